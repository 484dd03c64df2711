//! `CreateTopics`.

use engine::topics::{NewTopic, TopicError, TopicInfo};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::string;
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
