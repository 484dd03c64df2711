//! `SyncGroup`: the leader says who does what, and everybody is told.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{Effect, Group, GroupState, Millis, Reply, Stored};

/// A member that asks for its assignment; the leader brings everybody's.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub member: String,
    pub instance: Option<String>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: HashMap<String, Bytes>,
}

/// The answer to a [`SyncRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedMember {
    pub error: Option<ResponseError>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

impl SyncedMember {
    /// A refusal.
    pub fn refused(error: ResponseError) -> Self {
        Self {
            error: Some(error),
            protocol_type: None,
            protocol: None,
            assignment: Bytes::new(),
        }
    }
}

impl Group {
    /// A member asks for its assignment. The answer may wait for the leader.
    pub fn sync(&mut self, now: Millis, request: SyncRequest, reply: Reply<SyncedMember>) {
        if let Err(error) = self.check_sync(&request) {
            let _ = reply.send(SyncedMember::refused(error));
            return;
        }
        let id = request.member;
        self.unsynced.remove(&id);
        if self.state == GroupState::Stable {
            let answer = self.assigned(&id);
            let _ = reply.send(answer);
            self.renew_session(now, &id);
            return;
        }
        let member = self.members.get_mut(&id).expect("checked above");
        member.answer_sync(SyncedMember::refused(ResponseError::RebalanceInProgress));
        member.awaiting_sync = Some(reply);
        if self.is_leader(&id) && !self.storing {
            self.storing = true;
            let assignment: HashMap<String, Bytes> = self
                .members
                .keys()
                .map(|id| {
                    let assigned = request.assignment.get(id);
                    (id.clone(), assigned.cloned().unwrap_or_default())
                })
                .collect();
            let metadata = self.metadata(Some(&assignment));
            let what = Stored::Assignment {
                generation: self.generation,
                assignment,
            };
            self.effects.push(Effect::Store(metadata, what));
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        self.check_member(&request.member, request.instance.as_deref())?;
        if request.generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs =
            |given: &Option<String>, ours: &Option<String>| given.is_some() && given != ours;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn assigned(&self, id: &str) -> SyncedMember {
        SyncedMember {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members[id].assignment.clone(),
        }
    }

    /// The leader's assignment is durable, or is not.
    pub(super) fn assignment_stored(
        &mut self,
        now: Millis,
        wall: i64,
        generation: i32,
        mut assignment: HashMap<String, Bytes>,
        result: Result<(), ResponseError>,
    ) {
        // Another member may have joined meanwhile.
        if self.state != GroupState::CompletingRebalance || generation != self.generation {
            return;
        }
        self.storing = false;
        if let Err(error) = result {
            self.drop_assignment(now, error);
            self.prepare_rebalance_if_possible(now, wall);
            return;
        }
        self.transition(wall, GroupState::Stable);
        for member in self.members.values_mut() {
            member.assignment = assignment.remove(&member.id).unwrap_or_default();
        }
        self.answer_syncs(now, None);
    }

    /// Nobody has an assignment any more; those who wait for one are told why.
    pub(super) fn drop_assignment(&mut self, now: Millis, error: ResponseError) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(now, Some(error));
    }

    fn answer_syncs(&mut self, now: Millis, error: Option<ResponseError>) {
        let waiting: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_sync.is_some())
            .map(|member| member.id.clone())
            .collect();
        for id in waiting {
            let answer = match error {
                Some(error) => SyncedMember::refused(error),
                None => self.assigned(&id),
            };
            let member = self.members.get_mut(&id).expect("listed above");
            if member.answer_sync(answer) {
                // Its session was not watched while it waited.
                self.renew_session(now, &id);
            }
        }
    }

    /// Members that took part in the rebalance and never asked for their assignment are gone.
    pub(super) fn expel_unsynced(&mut self, now: Millis, wall: i64) {
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => {}
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Dead => return,
        }
        let unsynced: Vec<String> = std::mem::take(&mut self.unsynced).into_iter().collect();
        if unsynced.is_empty() {
            return;
        }
        for id in &unsynced {
            self.remove_member(id);
        }
        self.prepare_rebalance_if_possible(now, wall);
    }
}
