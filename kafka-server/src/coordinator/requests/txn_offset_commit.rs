//! `TxnOffsetCommit`: offsets that are committed when the transaction is.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::{check_group, code, optional};
use crate::coordinator::Coordinator;
use crate::coordinator::group::{Committer, PartitionName};
use crate::coordinator::groups::NewOffset;
use crate::coordinator::transaction::Producer;

impl Coordinator {
    pub fn txn_offset_commit(&self, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let count = request
            .topics
            .iter()
            .map(|topic| topic.partitions.len())
            .sum();
        let answers = self
            .hold_offsets(&request)
            .unwrap_or_else(|error| vec![Err(error); count]);
        let mut answers = answers.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(answers.next().unwrap_or(Ok(()))))
            });
            TxnOffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(topic.name)
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn hold_offsets(
        &self,
        request: &TxnOffsetCommitRequest,
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        check_group(&request.group_id)?;
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
        // Before version 3 the fields have values that say "not a member".
        let committer = Committer {
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            transactional: true,
        };
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        self.transactions.commit_offsets(
            &request.transactional_id,
            producer,
            &request.group_id,
            committer,
            offsets,
        )
    }
}
