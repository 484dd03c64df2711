//! `OffsetFetch`: of one group, or since version 8 of several.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};

use super::{check_offsets_group, string};
use crate::coordinator::Coordinator;
use crate::coordinator::group::PartitionName;
use crate::coordinator::groups::FetchedOffset;

impl Coordinator {
    pub fn offset_fetch(&self, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let stable = request.require_stable;
        if version >= 8 {
            let groups = request.groups.into_iter().map(|group| {
                let wanted = group.topics.map(|topics| {
                    let topics = topics.into_iter();
                    names(topics.map(|topic| (topic.name, topic.partition_indexes)))
                });
                let answer = OffsetFetchResponseGroup::default();
                match check_offsets_group(&group.group_id) {
                    Ok(()) => {
                        let topics = self.fetch(&group.group_id, wanted, stable);
                        answer.with_topics(topics)
                    }
                    Err(error) => answer.with_error_code(error.code()),
                }
                .with_group_id(group.group_id)
            });
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        let wanted = request.topics.map(|topics| {
            let topics = topics.into_iter();
            names(topics.map(|topic| (topic.name, topic.partition_indexes)))
        });
        match check_offsets_group(&request.group_id) {
            Ok(()) => {
                let topics = self.fetch(&request.group_id, wanted, stable);
                let topics = topics.into_iter().map(as_before_groups);
                OffsetFetchResponse::default().with_topics(topics.collect())
            }
            Err(error) => OffsetFetchResponse::default().with_error_code(error.code()),
        }
    }

    fn fetch(
        &self,
        group: &str,
        wanted: Option<Vec<PartitionName>>,
        stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
        for (name, fetched) in self.groups.fetch(group, wanted, stable) {
            let partition = partition(name.partition, fetched);
            match topics.last_mut() {
                Some(topic) if *topic.name == *name.topic => topic.partitions.push(partition),
                _ => {
                    let topic = OffsetFetchResponseTopics::default()
                        .with_name(string(name.topic).into())
                        .with_partitions(vec![partition]);
                    topics.push(topic);
                }
            }
        }
        topics
    }
}

fn names(topics: impl Iterator<Item = (TopicName, Vec<i32>)>) -> Vec<PartitionName> {
    let mut names = Vec::new();
    for (topic, partitions) in topics {
        names.extend(partitions.into_iter().map(|partition| PartitionName {
            topic: topic.to_string(),
            partition,
        }));
    }
    names
}

fn partition(index: i32, fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(string("")));
    match fetched {
        FetchedOffset::Committed(committed) => answer
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(string(committed.metadata))),
        FetchedOffset::None => answer,
        FetchedOffset::Unstable => {
            answer.with_error_code(ResponseError::UnstableOffsetCommit.code())
        }
    }
}

fn as_before_groups(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    });
    OffsetFetchResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(topic.name)
}
