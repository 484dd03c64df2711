//! `CreateTopics`.

use engine::topics::{NewTopic, TopicError, TopicInfo};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::{assignment, string};
use crate::server::Shared;

pub async fn answer(shared: &Shared, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        results.push(match create(shared, topic, request.validate_only).await {
            Ok(info) => result
                .with_topic_id(info.id)
                .with_num_partitions(info.partitions as i32)
                .with_replication_factor(1)
                .with_configs(Some(Vec::new())),
            Err((error, reason)) => result
                .with_error_code(error.code())
                .with_error_message(Some(string(reason)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// Whoever says which brokers shall have a topic's partitions says how many there are with it.
fn check_assignments(topic: &CreatableTopic) -> Result<(), (ResponseError, String)> {
    let assigned = &topic.assignments;
    if assigned.is_empty() {
        return Ok(());
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let reason = "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.";
        return Err((ResponseError::InvalidRequest, reason.to_owned()));
    }
    let mut partitions: Vec<i32> = assigned.iter().map(|one| one.partition_index).collect();
    partitions.sort_unstable();
    if !partitions.into_iter().eq(0..assigned.len() as i32) {
        return Err(assignment::refused(
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ));
    }
    assignment::check(assigned.iter().map(|partition| &*partition.broker_ids))
}

async fn create(
    shared: &Shared,
    topic: CreatableTopic,
    only_check: bool,
) -> Result<TopicInfo, (ResponseError, String)> {
    if !matches!(topic.replication_factor, -1 | 1) && topic.assignments.is_empty() {
        let reason = format!(
            "Unable to replicate the partition {} time(s): there is one broker",
            topic.replication_factor
        );
        return Err((ResponseError::InvalidReplicationFactor, reason));
    }
    check_assignments(&topic)?;
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => Ok(shared.config.partitions_default),
        (0, partitions) => u32::try_from(partitions),
        (assigned, _) => u32::try_from(assigned),
    };
    let partitions = partitions.map_err(|_| {
        let reason = "Number of partitions must be larger than 0.".to_owned();
        (ResponseError::InvalidPartitions, reason)
    })?;
    let settings = topic
        .configs
        .into_iter()
        .filter_map(|config| Some((config.name.to_string(), config.value?.to_string())));
    let new = NewTopic {
        name: topic.name.to_string(),
        partitions,
        settings: settings.collect(),
    };
    let created = shared.topics.create(new, only_check).await;
    created.map_err(|error: TopicError| (super::code(&error), error.to_string()))
}
