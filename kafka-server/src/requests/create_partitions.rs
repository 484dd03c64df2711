//! `CreatePartitions`.

use engine::topics::TopicError;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::string;
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
    let grown = shared
        .topics
        .grow(&topic.name, partitions, only_check)
        .await;
    grown.map_err(|error: TopicError| (super::code(&error), error.to_string()))
}
