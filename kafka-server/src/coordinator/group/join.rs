//! `JoinGroup`: members come in, and a generation begins when all are there.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{Effect, Group, GroupState, JoinDeadline, Member, Millis, Reply, Stored, SyncedMember};

/// A member that wants to take part.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Empty if it has none yet.
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocol_type: String,
    /// Best first.
    pub protocols: Vec<(String, Bytes)>,
    /// A new member gets its identity first and joins with a second request.
    pub identity_first: bool,
    /// The client knows what to do with [`JoinedGroup::skip_assignment`].
    pub can_skip_assignment: bool,
    /// What a new member shall be called.
    pub new_member: String,
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedGroup {
    pub error: Option<ResponseError>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub member: String,
    /// The member leads but must not assign: the assignment stands.
    pub skip_assignment: bool,
    /// For the leader: everybody.
    pub members: Vec<JoinedMember>,
}

/// What the leader is told of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub id: String,
    pub instance: Option<String>,
    pub metadata: Bytes,
}

impl JoinedGroup {
    /// A refusal.
    pub fn refused(member: impl Into<String>, error: ResponseError) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            member: member.into(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

/// A static member that came back under another identity.
pub(super) struct Identity {
    pub instance: String,
    pub old_member: String,
    pub new_member: String,
    pub old_leader: String,
    pub generation: i32,
    pub skip_assignment: bool,
}

impl Group {
    /// A member joins, or joins again. The answer may wait for the others.
    pub fn join(
        &mut self,
        now: Millis,
        wall: i64,
        request: JoinRequest,
        reply: Reply<JoinedGroup>,
    ) {
        match self.admit(now, &request) {
            Ok(()) => self.join_admitted(now, wall, request, reply),
            Err(refused) => {
                let _ = reply.send(refused);
            }
        }
        self.complete_join_if_all_joined(now, wall);
    }

    /// What can be said against a request without changing the group; a new member may be given an
    /// identity to come back with.
    fn admit(&mut self, now: Millis, request: &JoinRequest) -> Result<(), JoinedGroup> {
        let refuse = |error| Err(JoinedGroup::refused(request.member.clone(), error));
        if self.state == GroupState::Dead {
            return refuse(ResponseError::CoordinatorNotAvailable);
        }
        if !self.has_room_for(&request.member) {
            self.remove_member(&request.member);
            return Err(JoinedGroup::refused("", ResponseError::GroupMaxSizeReached));
        }
        if !self.can_agree(request) {
            return refuse(ResponseError::InconsistentGroupProtocol);
        }
        if request.member.is_empty() {
            if request.instance.is_none() && request.identity_first {
                let deadline = now + request.session_timeout_ms.max(0) as Millis;
                self.pending.insert(request.new_member.clone(), deadline);
                return Err(JoinedGroup::refused(
                    request.new_member.clone(),
                    ResponseError::MemberIdRequired,
                ));
            }
            return Ok(());
        }
        if self.pending.contains_key(&request.member) {
            return match request.instance {
                None => Ok(()),
                // Identities of this kind are never given to static members.
                Some(_) => refuse(ResponseError::UnknownMemberId),
            };
        }
        match self.check_member(&request.member, request.instance.as_deref()) {
            Ok(()) => Ok(()),
            Err(error) => refuse(error),
        }
    }

    fn join_admitted(
        &mut self,
        now: Millis,
        wall: i64,
        request: JoinRequest,
        reply: Reply<JoinedGroup>,
    ) {
        if request.member.is_empty() {
            let current = request.instance.as_ref();
            match current
                .and_then(|instance| self.instances.get(instance))
                .cloned()
            {
                Some(old_member) => self.replace_static(now, wall, old_member, request, reply),
                None => {
                    let id = request.new_member.clone();
                    self.add_member(now, wall, id, request, reply);
                }
            }
            return;
        }
        if self.pending.contains_key(&request.member) {
            let id = request.member.clone();
            self.add_member(now, wall, id, request, reply);
            return;
        }
        let id = request.member.clone();
        let unchanged = self.members[&id].protocols == request.protocols;
        let answer_now = match self.state {
            // It has missed the answer, so it gets it again.
            GroupState::CompletingRebalance => unchanged,
            // The leader asks for a rebalance by joining, since what it assigns may have changed.
            GroupState::Stable => unchanged && !self.is_leader(&id),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Dead => false,
        };
        if answer_now {
            let _ = reply.send(self.joined(&id));
            self.renew_session(now, &id);
            return;
        }
        self.update_member(&id, request, reply);
        self.prepare_rebalance_if_possible(now, wall);
    }

    fn has_room_for(&self, member: &str) -> bool {
        let known = self.members.get(member);
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                let waiting = |member: &&Member| member.awaiting_join.is_some();
                known.is_some_and(|member| member.awaiting_join.is_some())
                    || self.members.values().filter(waiting).count() < self.config.members_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || self.members.len() < self.config.members_max
            }
        }
    }

    /// Whether there would still be a protocol that all members can do.
    fn can_agree(&self, request: &JoinRequest) -> bool {
        if self.members.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&request.protocol_type)
            && request
                .protocols
                .iter()
                .any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    fn add_member(
        &mut self,
        now: Millis,
        wall: i64,
        id: String,
        request: JoinRequest,
        reply: Reply<JoinedGroup>,
    ) {
        if self.state == GroupState::PreparingRebalance && self.generation == 0 {
            self.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.pending.remove(&id);
        if let Some(instance) = &request.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            id: id.clone(),
            instance: request.instance,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout: request.rebalance_timeout_ms.max(0) as Millis,
            session_timeout: request.session_timeout_ms.max(0) as Millis,
            protocols: request.protocols,
            assignment: Bytes::new(),
            is_new: true,
            deadline: Some(now + super::NEW_MEMBER_WAIT_MAX_MS),
            awaiting_join: Some(reply),
            awaiting_sync: None,
        };
        self.members.insert(id, member);
        self.prepare_rebalance_if_possible(now, wall);
    }

    fn update_member(&mut self, id: &str, request: JoinRequest, reply: Reply<JoinedGroup>) {
        let member = self.members.get_mut(id).expect("the caller has found it");
        member.protocols = request.protocols;
        member.rebalance_timeout = request.rebalance_timeout_ms.max(0) as Millis;
        member.session_timeout = request.session_timeout_ms.max(0) as Millis;
        member.client_id = request.client_id;
        member.client_host = request.client_host;
        // A client that asks twice has given up the connection of the first request.
        member.answer_join(JoinedGroup::refused(id, ResponseError::RebalanceInProgress));
        member.awaiting_join = Some(reply);
    }

    /// A static member is back after a restart, under a new identity; whoever used the old one is fenced.
    fn replace_static(
        &mut self,
        now: Millis,
        wall: i64,
        old: String,
        request: JoinRequest,
        reply: Reply<JoinedGroup>,
    ) {
        let old_leader = self.leader.clone().unwrap_or_default();
        let (new, skip_assignment) = (request.new_member.clone(), request.can_skip_assignment);
        let instance = request.instance.clone().unwrap_or_default();
        self.rename_member(&instance, &old, &new);
        self.renew_session(now, &new);
        self.update_member(&new, request, reply);
        match self.state {
            GroupState::Stable if self.protocol == self.select_protocol() => {
                let what = Stored::Identity {
                    instance,
                    old_member: old,
                    new_member: new,
                    old_leader,
                    generation: self.generation,
                    skip_assignment,
                };
                let metadata = self.metadata(None);
                self.effects.push(Effect::Store(metadata, what));
            }
            // While it completes, the leader may be assigning to the old identity.
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(now, wall);
            }
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {}
        }
    }

    fn rename_member(&mut self, instance: &str, old: &str, new: &str) {
        let Some(mut member) = self.members.remove(old) else {
            return;
        };
        member.answer_join(JoinedGroup::refused(old, ResponseError::FencedInstanceId));
        member.answer_sync(SyncedMember::refused(ResponseError::FencedInstanceId));
        member.id = new.to_owned();
        if self.is_leader(old) {
            self.leader = Some(new.to_owned());
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(new.to_owned());
        }
        self.instances.insert(instance.to_owned(), new.to_owned());
        self.members.insert(new.to_owned(), member);
    }

    /// The new identity of a static member is durable, or is not.
    pub(super) fn identity_stored(
        &mut self,
        now: Millis,
        identity: Identity,
        result: Result<(), ResponseError>,
    ) {
        let Identity {
            instance,
            old_member,
            new_member,
            old_leader,
            generation,
            skip_assignment,
        } = identity;
        if let Err(error) = result {
            if self.instances.get(&instance) == Some(&new_member) {
                if let Some(member) = self.members.get_mut(&new_member) {
                    member.answer_join(JoinedGroup::refused("", error));
                }
                self.rename_member(&instance, &new_member, &old_member);
                self.renew_session(now, &old_member);
            }
            return;
        }
        // A rebalance that began meanwhile answers it.
        if self.state != GroupState::Stable || self.generation != generation {
            return;
        }
        if !self.members.contains_key(&new_member) {
            return;
        }
        let mut answer = self.joined(&new_member);
        if skip_assignment {
            answer.skip_assignment = self.is_leader(&new_member);
        } else {
            // A client that cannot skip the assignment must not think that it leads.
            answer.leader = old_leader;
            answer.members = Vec::new();
        }
        let member = self.members.get_mut(&new_member).expect("looked up above");
        member.answer_join(answer);
        self.renew_session(now, &new_member);
    }

    /// What a member is told of the present generation.
    fn joined(&self, id: &str) -> JoinedGroup {
        let members = match self.is_leader(id) {
            true => self.everybody(),
            false => Vec::new(),
        };
        JoinedGroup {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: id.to_owned(),
            skip_assignment: false,
            members,
        }
    }

    fn everybody(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinedMember {
                id: member.id.clone(),
                instance: member.instance.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    /// Of the protocols that all can do, the one that most members like best.
    fn select_protocol(&self) -> Option<String> {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .map(|(name, _)| name.as_str())
                .find(|name| self.members.values().all(|other| other.supports(name)))?;
            match votes.iter_mut().find(|(name, _)| *name == choice) {
                Some((_, count)) => *count += 1,
                None => votes.push((choice, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| name.to_owned())
    }

    pub(super) fn prepare_rebalance_if_possible(&mut self, now: Millis, wall: i64) {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(now, wall);
            }
            GroupState::PreparingRebalance | GroupState::Dead => {}
        }
    }

    fn prepare_rebalance(&mut self, now: Millis, wall: i64) {
        if self.state == GroupState::CompletingRebalance {
            self.drop_assignment(now, ResponseError::RebalanceInProgress);
        }
        self.sync_deadline = None;
        self.unsynced.clear();
        self.storing = false;
        let timeout = self.rebalance_timeout();
        self.join_deadline = Some(match self.state {
            GroupState::Empty => {
                let delay = self.config.initial_rebalance_delay_ms;
                self.new_member_added = false;
                JoinDeadline {
                    at: now + delay,
                    initial_remaining: Some(timeout.saturating_sub(delay)),
                }
            }
            _ => JoinDeadline {
                at: now + timeout,
                initial_remaining: None,
            },
        });
        self.transition(wall, GroupState::PreparingRebalance);
        self.complete_join_if_all_joined(now, wall);
    }

    pub(super) fn complete_join_if_all_joined(&mut self, now: Millis, wall: i64) {
        let waits_for_more = self
            .join_deadline
            .is_some_and(|deadline| deadline.initial_remaining.is_some() && deadline.at > now);
        if self.state == GroupState::PreparingRebalance
            && !waits_for_more
            && self.pending.is_empty()
            && self
                .members
                .values()
                .all(|member| member.awaiting_join.is_some())
        {
            self.complete_join(now, wall);
        }
    }

    pub(super) fn join_time_is_up(&mut self, now: Millis, wall: i64, deadline: JoinDeadline) {
        if let Some(remaining) = deadline
            .initial_remaining
            .filter(|remaining| *remaining > 0)
            && self.new_member_added
        {
            self.new_member_added = false;
            let delay = self.config.initial_rebalance_delay_ms.clamp(1, remaining);
            self.join_deadline = Some(JoinDeadline {
                at: now + delay,
                initial_remaining: Some(remaining - delay),
            });
            return;
        }
        self.complete_join(now, wall);
    }

    /// A generation begins with those who are there.
    fn complete_join(&mut self, now: Millis, wall: i64) {
        self.join_deadline = None;
        let absent: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in absent {
            self.remove_member(&id);
        }
        if !self.members.is_empty() && !self.elect_leader_among_joined() {
            // Only static members are left and none has come back yet: their sessions decide.
            self.join_deadline = Some(JoinDeadline {
                at: now + self.rebalance_timeout().max(1),
                initial_remaining: None,
            });
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.transition(wall, GroupState::Empty);
            let metadata = self.metadata(None);
            self.effects.push(Effect::Store(metadata, Stored::Emptied));
            return;
        }
        self.protocol = self.select_protocol();
        self.transition(wall, GroupState::CompletingRebalance);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            let member = self.members.get_mut(&id).expect("listed above");
            member.answer_join(answer);
            member.is_new = false;
            self.renew_session(now, &id);
            self.unsynced.insert(id);
        }
        self.sync_deadline = Some(now + self.rebalance_timeout());
    }

    fn elect_leader_among_joined(&mut self) -> bool {
        let waits = |member: &Member| member.awaiting_join.is_some();
        let leads = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leads.is_some_and(waits) {
            return true;
        }
        match self.members.values().find(|member| waits(member)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }
}
