//! `CreatePartitions`.

use engine::topics::TopicError;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::{assignment, string};
use crate::server::Shared;

pub async fn answer(shared: &Shared, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        results.push(match grow(shared, &topic, request.validate_only).await {
            Ok(()) => result,
            Err((error, reason)) => result
                .with_error_code(error.code())
                .with_error_message(Some(string(reason))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn grow(
    shared: &Shared,
    topic: &CreatePartitionsTopic,
    only_check: bool,
) -> Result<(), (ResponseError, String)> {
    let partitions = u32::try_from(topic.count).map_err(|_| {
        let reason = "Number of partitions must be larger than 0.".to_owned();
        (ResponseError::InvalidPartitions, reason)
    })?;
    let refused = |error: TopicError| (super::code(&error), error.to_string());
    let topics = &shared.topics;
    if let Some(assigned) = &topic.assignments {
        // What is wrong with the number is said first.
        let grown = topics.grow(&topic.name, partitions, true);
        grown.await.map_err(refused)?;
        let now = topics.get(&topic.name).map_or(0, |info| info.partitions);
        let new = partitions.saturating_sub(now) as usize;
        if assigned.len() != new {
            return Err(assignment::refused(format!(
                "Increasing the number of partitions by {new} but {} assignments provided.",
                assigned.len()
            )));
        }
        assignment::check(assigned.iter().map(|partition| &*partition.broker_ids))?;
    }
    let grown = topics.grow(&topic.name, partitions, only_check);
    grown.await.map_err(refused)
}
