//! Consumer groups, as whoever coordinates them tells the engine.
//!
//! The engine knows topics but not the protocol in which clients agree who reads which partition. The
//! server that does is asked when a statement wants to see groups.

use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::engine::Engine;

/// Whoever coordinates consumer groups.
pub trait ConsumerGroups: Send + Sync {
    /// All groups by name, at one moment each.
    fn groups(&self) -> Vec<ConsumerGroup>;

    /// Topics were deleted, and others of the same names may have been made: what groups have committed of the
    /// old ones counts no more. Called within a runtime; does not wait for the disk.
    fn topics_are_gone(&self);
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroup {
    pub id: String,
    /// Such as `Stable` or `Empty`.
    pub state: String,
    /// How members agree on their partitions, such as `range`; empty if they have not.
    pub protocol: String,
    pub members: Vec<ConsumerGroupMember>,
    /// What the group has committed, by topic and partition.
    pub offsets: Vec<ConsumerGroupOffset>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupMember {
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Topic and partition of what it reads.
    pub partitions: Vec<(String, i32)>,
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupOffset {
    pub topic: String,
    pub partition: i32,
    /// Offset of the next record that the group wants.
    pub offset: i64,
    /// What the consumer has put beside it.
    pub metadata: String,
    /// Milliseconds since the epoch UTC.
    pub committed_at_ms: i64,
}

/// Where the engine gets groups from; nowhere if no server coordinates any. The server owns itself.
#[derive(Default)]
pub(crate) struct Source(RwLock<Option<Weak<dyn ConsumerGroups>>>);

impl Source {
    pub(crate) fn get(&self) -> Option<Arc<dyn ConsumerGroups>> {
        self.0.read().as_ref().and_then(Weak::upgrade)
    }
}

impl Engine {
    /// From now on groups are asked of `source`, for as long as it lives.
    pub fn set_consumer_groups(&self, source: Weak<dyn ConsumerGroups>) {
        *self.consumer_groups.0.write() = Some(source);
    }

    /// All consumer groups by name; none if nobody coordinates any.
    pub fn consumer_groups(&self) -> Vec<ConsumerGroup> {
        let source = self.consumer_groups.get();
        source.map(|source| source.groups()).unwrap_or_default()
    }
}
