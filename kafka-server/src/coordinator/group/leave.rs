//! `Heartbeat` and `LeaveGroup`, and members that are heard of no more.

use kafka_protocol::ResponseError;

use super::{Group, GroupState, JoinedGroup, Millis, SyncedMember};

/// A member that goes; an administrator may name a static one by its instance alone.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// Empty if only the instance is known.
    pub member: String,
    pub instance: Option<String>,
}

impl Group {
    /// A member is alive.
    pub fn heartbeat(
        &mut self,
        now: Millis,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.renew_session(now, member);
                Ok(())
            }
            GroupState::PreparingRebalance => {
                self.renew_session(now, member);
                Err(ResponseError::RebalanceInProgress)
            }
        }
    }

    /// A member goes.
    pub fn leave(
        &mut self,
        now: Millis,
        wall: i64,
        leaving: &Leaving,
    ) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if leaving.member.is_empty() {
            let instance = leaving.instance.as_ref();
            let current = instance.and_then(|instance| self.instances.get(instance));
            let current = current.cloned().ok_or(ResponseError::UnknownMemberId)?;
            self.remove_and_rebalance(now, wall, &current);
            return Ok(());
        }
        if self.pending.remove(&leaving.member).is_some() {
            self.complete_join_if_all_joined(now, wall);
            return Ok(());
        }
        self.check_member(&leaving.member, leaving.instance.as_deref())?;
        self.remove_and_rebalance(now, wall, &leaving.member);
        Ok(())
    }

    /// The session of a member has ended without a sign of life.
    pub(super) fn session_ended(&mut self, now: Millis, wall: i64, id: &str) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if member.deadline.is_none_or(|deadline| deadline > now) {
            // The end of another's session has led to an answer, which began a new one.
            return;
        }
        if !member.is_new && member.is_waiting() {
            // It waits for us; its next answer begins a new session.
            member.deadline = None;
            return;
        }
        tracing::info!(group = %self.id, member = id, "a member has not been heard of and is expelled");
        self.remove_and_rebalance(now, wall, id);
    }

    fn remove_and_rebalance(&mut self, now: Millis, wall: i64, id: &str) {
        self.remove_member(id);
        match self.state {
            GroupState::PreparingRebalance => self.complete_join_if_all_joined(now, wall),
            _ => self.prepare_rebalance_if_possible(now, wall),
        }
    }

    /// Takes a member out; whatever it waited for is answered.
    pub(super) fn remove_member(&mut self, id: &str) {
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        member.answer_join(JoinedGroup::refused("", ResponseError::UnknownMemberId));
        member.answer_sync(SyncedMember::refused(ResponseError::UnknownMemberId));
        if let Some(instance) = &member.instance
            && self
                .instances
                .get(instance)
                .is_some_and(|current| current == id)
        {
            self.instances.remove(instance);
        }
        self.unsynced.remove(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }
}
