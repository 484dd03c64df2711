//! `AddPartitionsToTxn`: of one transaction, or since version 4 of several.

use std::collections::HashSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::{code, fenced_code};
use crate::coordinator::Coordinator;
use crate::coordinator::group::PartitionName;
use crate::coordinator::transaction::Producer;

impl Coordinator {
    pub async fn add_partitions_to_txn(
        &self,
        version: i16,
        request: AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let answer = AddPartitionsToTxnResponse::default();
        if version < 4 {
            let producer = Producer {
                id: request.v3_and_below_producer_id.0,
                epoch: request.v3_and_below_producer_epoch,
            };
            let id = request.v3_and_below_transactional_id;
            let topics = request.v3_and_below_topics;
            let results = self.add_partitions(version, &id, producer, topics).await;
            return answer.with_results_by_topic_v3_and_below(results);
        }
        let mut results = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let producer = Producer {
                id: transaction.producer_id.0,
                epoch: transaction.producer_epoch,
            };
            let (id, topics) = (transaction.transactional_id, transaction.topics);
            let topic_results = match transaction.verify_only {
                true => results_of(topics, |partition| {
                    code(self.transactions.verify(&id, producer, partition))
                }),
                false => self.add_partitions(version, &id, producer, topics).await,
            };
            let result = AddPartitionsToTxnResult::default()
                .with_transactional_id(id)
                .with_topic_results(topic_results);
            results.push(result);
        }
        answer.with_results_by_transaction(results)
    }

    /// All partitions are added, or none.
    async fn add_partitions(
        &self,
        version: i16,
        id: &str,
        producer: Producer,
        topics: Vec<AddPartitionsToTxnTopic>,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let mut partitions = Vec::new();
        let mut unknown = HashSet::new();
        for topic in &topics {
            for partition in &topic.partitions {
                if !self.storage.has_partition(&topic.name, *partition) {
                    unknown.insert((topic.name.to_string(), *partition));
                }
                partitions.push(PartitionName {
                    topic: topic.name.to_string(),
                    partition: *partition,
                });
            }
        }
        if !unknown.is_empty() {
            return results_of(topics, |partition| {
                match unknown.contains(&(partition.topic.clone(), partition.partition)) {
                    true => ResponseError::UnknownTopicOrPartition.code(),
                    false => ResponseError::OperationNotAttempted.code(),
                }
            });
        }
        let added = self.transactions.add(id, producer, partitions, None).await;
        let code = added.map_or_else(|error| fenced_code(error, version, 2), |()| 0);
        results_of(topics, |_| code)
    }
}

fn results_of(
    topics: Vec<AddPartitionsToTxnTopic>,
    code: impl Fn(&PartitionName) -> i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let results = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let name = PartitionName {
                topic: topic.name.to_string(),
                partition,
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(partition)
                .with_partition_error_code(code(&name))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_results_by_partition(partitions.collect())
            .with_name(topic.name.clone())
    });
    results.collect()
}
