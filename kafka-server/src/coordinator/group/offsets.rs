//! How far a group has come: committed offsets, and those that open transactions will commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::{Group, GroupState, Millis};

/// A partition by the name of its topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    pub topic: String,
    pub partition: i32,
}

/// An offset that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic that it is of: one that is made anew has the same name and another id. Nil where what was
    /// stored does not say.
    pub topic_id: Uuid,
    pub offset: i64,
    /// −1 if the consumer did not say.
    pub leader_epoch: i32,
    pub metadata: String,
    /// Wall clock, milliseconds.
    pub committed_at: i64,
    /// Where the commit stands in the log, which decides between commits at the same time.
    pub position: u64,
}

/// Who commits.
#[derive(Debug, Clone, Copy)]
pub struct Committer<'a> {
    /// Empty if it does not use the group protocol.
    pub member: &'a str,
    pub instance: Option<&'a str>,
    /// −1 if it does not use the group protocol.
    pub generation: i32,
    /// It commits as part of a transaction.
    pub transactional: bool,
}

/// The offsets of a group.
#[derive(Debug, Default)]
pub struct GroupOffsets {
    committed: BTreeMap<PartitionName, CommittedOffset>,
    /// Partitions with commits that are on their way into the log, and how many.
    in_flight: BTreeMap<PartitionName, u32>,
    /// By transactional id: what its open transaction will commit.
    in_transactions: HashMap<String, BTreeSet<PartitionName>>,
}

impl GroupOffsets {
    /// Whether there is nothing to keep and nothing on its way.
    pub fn is_unused(&self) -> bool {
        self.committed.is_empty() && self.in_flight.is_empty() && self.in_transactions.is_empty()
    }

    /// All that is committed.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionName, &CommittedOffset)> {
        self.committed.iter()
    }

    /// The committed offset of a partition.
    pub fn get(&self, partition: &PartitionName) -> Option<&CommittedOffset> {
        self.committed.get(partition)
    }

    /// Whether an open transaction may yet commit another offset for a partition.
    pub fn is_unstable(&self, partition: &PartitionName) -> bool {
        self.in_transactions
            .values()
            .any(|partitions| partitions.contains(partition))
    }

    /// Whether another commit of a partition is on its way, or may yet be made by an open transaction.
    pub fn is_changing(&self, partition: &PartitionName) -> bool {
        self.in_flight.contains_key(partition) || self.is_unstable(partition)
    }

    /// All partitions of which the log says something, or soon will.
    pub fn partitions(&self) -> BTreeSet<PartitionName> {
        let committed = self.committed.keys();
        committed.chain(self.in_flight.keys()).cloned().collect()
    }

    /// Whether an open transaction will commit offsets.
    pub fn is_held(&self) -> bool {
        !self.in_transactions.is_empty()
    }

    /// A commit is on its way.
    pub fn begin(&mut self, partition: PartitionName) {
        *self.in_flight.entry(partition).or_default() += 1;
    }

    /// A commit has arrived, or has failed.
    pub fn end(&mut self, partition: &PartitionName) {
        if let Some(count) = self.in_flight.get_mut(partition) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(partition);
            }
        }
    }

    /// A commit is durable. One that stands later in the log wins.
    pub fn put(&mut self, partition: PartitionName, committed: CommittedOffset) {
        match self.committed.get_mut(&partition) {
            Some(current) if current.position > committed.position => {}
            Some(current) => *current = committed,
            None => {
                self.committed.insert(partition, committed);
            }
        }
    }

    /// That a partition's offset is forgotten is durable, as of `position`.
    pub fn remove(&mut self, partition: &PartitionName, position: u64) {
        if let Some(current) = self.committed.get(partition)
            && current.position < position
        {
            self.committed.remove(partition);
        }
    }

    /// An open transaction will commit offsets of these partitions.
    pub fn hold(
        &mut self,
        transactional_id: &str,
        partitions: impl Iterator<Item = PartitionName>,
    ) {
        self.in_transactions
            .entry(transactional_id.to_owned())
            .or_default()
            .extend(partitions);
    }

    /// A transaction has ended.
    pub fn release(&mut self, transactional_id: &str) {
        self.in_transactions.remove(transactional_id);
    }
}

impl Group {
    /// Whether a commit may be made now, by Kafka's rules.
    pub fn check_commit(
        &mut self,
        now: Millis,
        committer: Committer<'_>,
    ) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let Committer {
            member,
            instance,
            generation,
            transactional,
        } = committer;
        let is_member = generation >= 0 || !member.is_empty() || instance.is_some();
        if !is_member {
            // Older transactional producers do not say on whose behalf they commit.
            return match transactional || self.state == GroupState::Empty {
                true => Ok(()),
                false => Err(ResponseError::UnknownMemberId),
            };
        }
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.state {
            // It has joined the generation but does not know its part yet.
            GroupState::CompletingRebalance if !transactional => {
                Err(ResponseError::RebalanceInProgress)
            }
            _ => {
                self.renew_session(now, member);
                Ok(())
            }
        }
    }

    /// Offsets that have not been of use for so long that they are forgotten. Clocks in milliseconds.
    pub fn expired_offsets(&self, wall: i64, retention: i64) -> Vec<PartitionName> {
        let long_ago = wall.saturating_sub(retention);
        let is_expired = |partition: &PartitionName, committed: &CommittedOffset| {
            if self.offsets.is_unstable(partition) {
                return false;
            }
            match (self.state, &self.protocol_type) {
                // A group counts from when its last member left.
                (GroupState::Empty, Some(_)) => {
                    self.state_since.max(committed.committed_at) <= long_ago
                }
                // Consumers without the group protocol count from their last commit.
                (GroupState::Empty, None) => committed.committed_at <= long_ago,
                (GroupState::Stable, _) => {
                    self.is_consumer_group()
                        && committed.committed_at <= long_ago
                        && !self.is_subscribed_to(&partition.topic)
                }
                _ => false,
            }
        };
        self.offsets
            .iter()
            .filter(|(partition, committed)| is_expired(partition, committed))
            .map(|(partition, _)| partition.clone())
            .collect()
    }
}
