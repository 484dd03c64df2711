//! `OffsetDelete`.

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{check_offsets_group, code};
use crate::coordinator::Coordinator;
use crate::coordinator::group::PartitionName;

impl Coordinator {
    pub async fn offset_delete(&self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let mut partitions = Vec::new();
        for topic in &request.topics {
            partitions.extend(topic.partitions.iter().map(|partition| PartitionName {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            }));
        }
        let deleted = match check_offsets_group(&request.group_id) {
            Ok(()) => {
                self.groups
                    .delete_offsets(&request.group_id, partitions)
                    .await
            }
            Err(error) => Err(error),
        };
        let mut answers = match deleted {
            Ok(answers) => answers.into_iter(),
            Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
        };
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(answers.next().unwrap_or(Ok(()))))
            });
            OffsetDeleteResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    }
}
