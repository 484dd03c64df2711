//! `DeleteTopics`: by name, or since version 6 by number.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::{string, topic_name};
use crate::server::Shared;

pub async fn answer(
    shared: &Shared,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut results = Vec::new();
    if version < 6 {
        for name in request.topic_names {
            results.push(delete(shared, &name).await);
        }
    } else {
        for topic in request.topics {
            results.push(match topic.name {
                Some(name) => delete(shared, &name).await,
                None => match shared.topics.get_by_id(topic.topic_id) {
                    Some(info) => delete(shared, &info.name).await.with_topic_id(info.id),
                    None => DeletableTopicResult::default()
                        .with_topic_id(topic.topic_id)
                        .with_error_code(ResponseError::UnknownTopicId.code()),
                },
            });
        }
    }
    DeleteTopicsResponse::default().with_responses(results)
}

async fn delete(shared: &Shared, name: &str) -> DeletableTopicResult {
    let result = DeletableTopicResult::default().with_name(Some(topic_name(name)));
    match shared.topics.delete(name).await {
        Ok(()) => result,
        Err(error) => result
            .with_error_code(super::code(&error).code())
            .with_error_message(Some(string(error.to_string()))),
    }
}
