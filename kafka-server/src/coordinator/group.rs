//! A consumer group in Kafka's classic protocol: who its members are, and what they agreed on.
//!
//! ```text
//!           join                    all joined, or time is up           the leader's assignment is stored
//!  Empty ─────────► PreparingRebalance ─────────► CompletingRebalance ─────────► Stable
//!    ▲                 │     ▲                             │                        │
//!    └── nobody left ──┘     └──── a member joins, leaves, dies or changes ─────────┘
//! ```
//!
//! The machine is pure: it is told the time, and what must be stored it gives back as an [`Effect`] whose
//! outcome it is told later ([`Group::stored`]). Answers that have to wait for other members go through a
//! [`Reply`].
//!
//! Invariants:
//! - There is a leader exactly while there are members, and it is one of them.
//! - All members of a generation in `Stable` have their assignment from one `SyncGroup` of its leader.
//! - A member that waits for an answer is not expelled, unless it has never been answered at all.

mod describe;
mod join;
mod leave;
mod member;
mod offsets;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

pub use describe::{GroupSummary, MemberSummary};
pub use join::{JoinRequest, JoinedGroup, JoinedMember};
pub use leave::Leaving;
pub use member::Member;
pub use offsets::{CommittedOffset, Committer, GroupOffsets, PartitionName};
pub use sync::{SyncRequest, SyncedMember};

use super::group_records::{GroupMetadata, MemberRecord};

/// Milliseconds on the coordinator's monotonic clock.
pub type Millis = u64;

/// How an answer gets to a request that waits.
pub type Reply<T> = oneshot::Sender<T>;

/// How long a new member may wait for its first generation. It cannot send heartbeats yet, and a client that
/// gave up would otherwise stay for ever; one that is alive asks again.
const NEW_MEMBER_WAIT_MAX_MS: Millis = 5 * 60 * 1_000;

/// What all groups have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// How long the first rebalance of an empty group waits for further members.
    pub initial_rebalance_delay_ms: Millis,
    /// Session timeouts that members may ask for.
    pub session_timeout_min_ms: i32,
    /// Session timeouts that members may ask for.
    pub session_timeout_max_ms: i32,
    /// Members that a group may have.
    pub members_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 50,
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            members_max: 10_000,
        }
    }
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Waits for all members to join again.
    PreparingRebalance,
    /// All have joined; waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Being deleted, or deleted.
    Dead,
}

impl GroupState {
    /// The name that clients know.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// What the driver has to do, in order, before it lets others see the group.
#[derive(Debug)]
pub enum Effect {
    /// Store the group as it is described; tell [`Group::stored`] how it went.
    Store(GroupMetadata, Stored),
}

/// What was being stored.
#[derive(Debug)]
pub enum Stored {
    /// That the group is empty.
    Emptied,
    /// The leader's assignment, by member.
    Assignment {
        generation: i32,
        assignment: HashMap<String, Bytes>,
    },
    /// A static member's new identity.
    Identity {
        instance: String,
        old_member: String,
        new_member: String,
        old_leader: String,
        generation: i32,
        skip_assignment: bool,
    },
}

/// A consumer group.
pub struct Group {
    id: String,
    config: GroupConfig,
    state: GroupState,
    /// Wall clock of the last change of `state`, milliseconds.
    state_since: i64,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Member of each static instance.
    instances: HashMap<String, String>,
    /// Members that were given an identity and have not joined with it yet, with the time they have.
    pending: BTreeMap<String, Millis>,
    /// Members that have not sent `SyncGroup` in this generation.
    unsynced: BTreeSet<String>,
    /// When the rebalance goes on without those who have not joined.
    join_deadline: Option<JoinDeadline>,
    /// When those who have not sent `SyncGroup` are expelled.
    sync_deadline: Option<Millis>,
    /// A member has joined since the initial delay began.
    new_member_added: bool,
    /// The leader's assignment is being stored.
    storing: bool,
    /// What the group has committed.
    pub offsets: GroupOffsets,
    effects: Vec<Effect>,
}

/// When a rebalance stops waiting.
#[derive(Debug, Clone, Copy)]
struct JoinDeadline {
    at: Millis,
    /// The group was empty: the time is waited for even if all have joined, and extended while more come,
    /// by this much in total.
    initial_remaining: Option<Millis>,
}

impl Group {
    /// A group without members.
    pub fn new(id: impl Into<String>, config: GroupConfig, wall: i64) -> Self {
        Self {
            id: id.into(),
            config,
            state: GroupState::Empty,
            state_since: wall,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            join_deadline: None,
            sync_deadline: None,
            new_member_added: false,
            storing: false,
            offsets: GroupOffsets::default(),
            effects: Vec::new(),
        }
    }

    /// A group as it was stored. Its members are taken to be alive until their session times out.
    pub fn restore(&mut self, now: Millis, stored: GroupMetadata) {
        self.generation = stored.generation;
        self.protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
        self.protocol = stored.protocol;
        self.leader = stored.leader;
        self.state_since = stored.state_since;
        self.members.clear();
        self.instances.clear();
        for record in stored.members {
            let member = Member::restore(now, record, self.protocol.as_deref());
            if let Some(instance) = &member.instance {
                self.instances.insert(instance.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member);
        }
        if !self
            .leader
            .as_ref()
            .is_some_and(|leader| self.members.contains_key(leader))
        {
            self.leader = self.members.keys().next().cloned();
        }
        self.state = match self.members.is_empty() {
            true => GroupState::Empty,
            false => GroupState::Stable,
        };
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Since when, by the wall clock in milliseconds.
    pub fn state_since(&self) -> i64 {
        self.state_since
    }

    /// The number of its last agreement.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What its members call their protocol, such as `consumer`.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// What the driver has to do now.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Begins its deletion: nobody may use it any more.
    pub fn kill(&mut self) {
        self.state = GroupState::Dead;
    }

    /// Its deletion could not be stored.
    pub fn revive(&mut self) {
        self.state = GroupState::Empty;
    }

    /// Whether nothing would be lost if it were forgotten.
    pub fn is_disposable(&self) -> bool {
        self.state == GroupState::Empty && self.pending.is_empty() && self.offsets.is_unused()
    }

    /// When it wants to be called ([`Group::expire`]), if nothing happens before.
    pub fn next_deadline(&self) -> Option<Millis> {
        let members = self.members.values().filter_map(|member| member.deadline);
        members
            .chain(self.pending.values().copied())
            .chain(self.join_deadline.map(|deadline| deadline.at))
            .chain(self.sync_deadline)
            .min()
    }

    /// Lets pass what the time has overtaken.
    pub fn expire(&mut self, now: Millis, wall: i64) {
        let overdue: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in overdue {
            self.pending.remove(&id);
        }
        let overdue: Vec<String> = self
            .members
            .values()
            .filter(|member| member.deadline.is_some_and(|deadline| deadline <= now))
            .map(|member| member.id.clone())
            .collect();
        for id in overdue {
            self.session_ended(now, wall, &id);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            self.expel_unsynced(now, wall);
        }
        match self.join_deadline {
            Some(deadline) if deadline.at <= now => self.join_time_is_up(now, wall, deadline),
            _ => self.complete_join_if_all_joined(now, wall),
        }
    }

    /// Whoever asks must be a member; a static one must be the current owner of its instance.
    pub fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            return match self.instances.get(instance) {
                None => Err(ResponseError::UnknownMemberId),
                Some(current) if current != member => Err(ResponseError::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        match self.members.contains_key(member) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
        }
    }

    /// How the storing of an effect went.
    pub fn stored(
        &mut self,
        now: Millis,
        wall: i64,
        what: Stored,
        result: Result<(), ResponseError>,
    ) {
        match what {
            Stored::Emptied => {
                if let Err(error) = result {
                    tracing::warn!(group = %self.id, %error, "an empty group could not be stored");
                }
            }
            Stored::Assignment {
                generation,
                assignment,
            } => self.assignment_stored(now, wall, generation, assignment, result),
            Stored::Identity {
                instance,
                old_member,
                new_member,
                old_leader,
                generation,
                skip_assignment,
            } => {
                let identity = join::Identity {
                    instance,
                    old_member,
                    new_member,
                    old_leader,
                    generation,
                    skip_assignment,
                };
                self.identity_stored(now, identity, result);
            }
        }
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    fn transition(&mut self, wall: i64, state: GroupState) {
        tracing::debug!(group = %self.id, from = self.state.name(), to = state.name(), generation = self.generation);
        self.state = state;
        self.state_since = wall;
    }

    /// The longest time that any member wants to have for joining.
    fn rebalance_timeout(&self) -> Millis {
        self.members
            .values()
            .map(|member| member.rebalance_timeout)
            .max()
            .unwrap_or(0)
    }

    /// The member has been heard of.
    fn renew_session(&mut self, now: Millis, member: &str) {
        if let Some(member) = self.members.get_mut(member) {
            member.deadline = Some(now + member.session_timeout);
        }
    }

    /// What is stored of the group, with an assignment that is not yet in effect.
    fn metadata(&self, assignment: Option<&HashMap<String, Bytes>>) -> GroupMetadata {
        let members = self.members.values().map(|member| MemberRecord {
            id: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout as i32,
            session_timeout_ms: member.session_timeout as i32,
            subscription: member.metadata(self.protocol.as_deref().unwrap_or_default()),
            assignment: match assignment {
                Some(assignment) => assignment.get(&member.id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            },
        });
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: members.collect(),
        }
    }
}
