//! Groups as SQL statements see them.

use engine::consumer_groups::{
    ConsumerGroup, ConsumerGroupMember, ConsumerGroupOffset, ConsumerGroups,
};

use super::Coordinator;
use super::group::{GroupSummary, MemberSummary};
use super::groups::FetchedOffset;

impl ConsumerGroups for Coordinator {
    fn groups(&self) -> Vec<ConsumerGroup> {
        let groups = self.groups.list().into_iter();
        groups.map(|summary| self.consumer_group(summary)).collect()
    }

    fn topics_are_gone(&self) {
        self.groups.forget_gone_topics();
    }
}

impl Coordinator {
    fn consumer_group(&self, summary: GroupSummary) -> ConsumerGroup {
        let fetched = self.groups.fetch(&summary.id, None, false).into_iter();
        let offsets = fetched.filter_map(|(partition, fetched)| match fetched {
            FetchedOffset::Committed(committed) => Some(ConsumerGroupOffset {
                topic: partition.topic,
                partition: partition.partition,
                offset: committed.offset,
                metadata: committed.metadata,
                committed_at_ms: committed.committed_at,
            }),
            FetchedOffset::None | FetchedOffset::Unstable => None,
        });
        ConsumerGroup {
            offsets: offsets.collect(),
            state: summary.state.name().to_owned(),
            protocol: summary.protocol,
            members: summary.members.into_iter().map(member).collect(),
            id: summary.id,
        }
    }
}

fn member(summary: MemberSummary) -> ConsumerGroupMember {
    let partitions = summary.partitions().into_iter();
    ConsumerGroupMember {
        partitions: partitions
            .map(|partition| (partition.topic, partition.partition))
            .collect(),
        id: summary.id,
        instance: summary.instance,
        client_id: summary.client_id,
        host: summary.client_host,
    }
}
