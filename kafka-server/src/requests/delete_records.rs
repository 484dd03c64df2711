//! `DeleteRecords`.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::server::Shared;

pub async fn answer(shared: &Shared, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition_index;
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            let deleted = shared
                .topics
                .delete_records(&topic.name, index, partition.offset);
            partitions.push(match deleted.await {
                Ok(deleted) => result.with_low_watermark(deleted.start),
                Err(error) => result
                    .with_low_watermark(-1)
                    .with_error_code(super::code(&error).code()),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}
