//! What a group looks like from outside.

use bytes::Bytes;

use super::subscription::{self, CONSUMER_PROTOCOL};
use super::{Group, GroupState, PartitionName};

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    pub id: String,
    pub state: GroupState,
    pub protocol_type: String,
    /// Empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<MemberSummary>,
}

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSummary {
    pub id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    /// Empty unless the group is stable.
    pub assignment: Bytes,
}

impl MemberSummary {
    /// The partitions it was given, if it is a consumer.
    pub fn partitions(&self) -> Vec<PartitionName> {
        subscription::assigned_partitions(&self.assignment).unwrap_or_default()
    }
}

impl Group {
    /// What it looks like now.
    pub fn summary(&self) -> GroupSummary {
        let stable = self.state == GroupState::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        let members = self.members.values().map(|member| MemberSummary {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: match stable {
                true => member.metadata(&protocol),
                false => Bytes::new(),
            },
            assignment: match stable {
                true => member.assignment.clone(),
                false => Bytes::new(),
            },
        });
        GroupSummary {
            id: self.id.clone(),
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        }
    }

    /// Whether its members are consumers that say which topics they want.
    pub fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL)
    }

    /// Whether a member wants a topic. If a member cannot be understood, it may want every topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let chosen = self.protocol.as_deref();
            let metadata = match chosen.filter(|name| member.supports(name)) {
                Some(name) => member.metadata(name),
                None => member
                    .protocols
                    .first()
                    .map(|(_, metadata)| metadata.clone())
                    .unwrap_or_default(),
            };
            subscription::subscribed_topics(&metadata)
                .is_none_or(|topics| topics.iter().any(|name| name == topic))
        })
    }
}
