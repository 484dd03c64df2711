//! `OffsetCommit`: answered when the offsets are durable.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::{check_offsets_group, code, optional};
use crate::coordinator::Coordinator;
use crate::coordinator::group::PartitionName;
use crate::coordinator::groups::{CommitRequest, NewOffset};

impl Coordinator {
    pub async fn offset_commit(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let mut offsets = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let name = PartitionName {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                };
                let offset = NewOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: optional(&partition.committed_metadata).unwrap_or_default(),
                };
                offsets.push((name, offset));
            }
        }
        let count = offsets.len();
        let answers = match check_offsets_group(&request.group_id) {
            Ok(()) => {
                let commit = CommitRequest {
                    group: request.group_id.to_string(),
                    member: request.member_id.to_string(),
                    instance: optional(&request.group_instance_id),
                    generation: request.generation_id_or_member_epoch,
                    offsets,
                };
                self.groups.commit(commit).await
            }
            Err(error) => vec![Err(error); count],
        };
        let mut answers = answers.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(answers.next().unwrap_or(Ok(()))))
            });
            OffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }
}
