//! The group machine, step by step.

mod properties;

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::*;

const SESSION: Millis = 10_000;
const REBALANCE: Millis = 60_000;
const DELAY: Millis = 50;
const WALL: i64 = 1_700_000_000_000;

/// A group with a clock; what it wants stored is stored at once unless it is held.
struct World {
    group: Group,
    now: Millis,
    hold: bool,
    held: Vec<Effect>,
    identities: u32,
}

/// An answer that may not be there yet.
struct Pending<T>(oneshot::Receiver<T>);

impl<T> Pending<T> {
    fn waits(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    fn answer(&mut self) -> T {
        self.0.try_recv().expect("an answer is there")
    }
}

impl World {
    fn new() -> Self {
        let config = GroupConfig {
            initial_rebalance_delay_ms: DELAY,
            members_max: 5,
            ..GroupConfig::default()
        };
        Self {
            group: Group::new("g", config, WALL),
            now: 0,
            hold: false,
            held: Vec::new(),
            identities: 0,
        }
    }

    fn request(&mut self, member: &str) -> JoinRequest {
        self.identities += 1;
        JoinRequest {
            member: member.into(),
            instance: None,
            client_id: "client".into(),
            client_host: "host".into(),
            rebalance_timeout_ms: REBALANCE as i32,
            session_timeout_ms: SESSION as i32,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"topics"))],
            identity_first: false,
            can_skip_assignment: false,
            new_member: format!("m{}", self.identities),
        }
    }

    fn static_request(&mut self, member: &str, instance: &str) -> JoinRequest {
        JoinRequest {
            instance: Some(instance.into()),
            ..self.request(member)
        }
    }

    fn join(&mut self, request: JoinRequest) -> Pending<JoinedGroup> {
        let (reply, answer) = oneshot::channel();
        self.group.join(self.now, WALL, request, reply);
        self.settle();
        Pending(answer)
    }

    fn join_new(&mut self) -> Pending<JoinedGroup> {
        let request = self.request("");
        self.join(request)
    }

    fn rejoin(&mut self, member: &str) -> Pending<JoinedGroup> {
        let request = self.request(member);
        self.join(request)
    }

    fn sync(&mut self, member: &str, assignment: &[(&str, &'static str)]) -> Pending<SyncedMember> {
        let (reply, answer) = oneshot::channel();
        let assignment: HashMap<String, Bytes> = assignment
            .iter()
            .map(|(member, part)| ((*member).into(), Bytes::from_static(part.as_bytes())))
            .collect();
        let request = SyncRequest {
            member: member.into(),
            instance: None,
            generation: self.group.generation(),
            protocol_type: None,
            protocol: None,
            assignment,
        };
        self.group.sync(self.now, request, reply);
        self.settle();
        Pending(answer)
    }

    fn heartbeat(&mut self, member: &str) -> Result<(), ResponseError> {
        let generation = self.group.generation();
        self.group.heartbeat(self.now, member, None, generation)
    }

    fn leave(&mut self, member: &str) -> Result<(), ResponseError> {
        let leaving = Leaving {
            member: member.into(),
            instance: None,
        };
        let result = self.group.leave(self.now, WALL, &leaving);
        self.settle();
        result
    }

    /// Lets time pass, stopping wherever the group wants to be called.
    fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while let Some(deadline) = self.group.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.group.expire(self.now, WALL);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        self.held.extend(self.group.take_effects());
        if !self.hold {
            self.store(Ok(()));
        }
    }

    fn store(&mut self, result: Result<(), ResponseError>) {
        for Effect::Store(_, what) in std::mem::take(&mut self.held) {
            self.group.stored(self.now, WALL, what, result);
        }
        self.held.extend(self.group.take_effects());
    }

    /// A stable group of so many members, the first of which leads: their identities.
    fn stable(count: usize) -> (Self, Vec<String>) {
        let mut world = Self::new();
        let mut joins: Vec<_> = (0..count).map(|_| world.join_new()).collect();
        world.pass(DELAY * (count as Millis + 1));
        let joined: Vec<JoinedGroup> = joins.iter_mut().map(Pending::answer).collect();
        let members: Vec<String> = joined.iter().map(|joined| joined.member.clone()).collect();
        let leader = joined[0].leader.clone();
        let mut syncs: Vec<_> = members
            .iter()
            .filter(|member| **member != leader)
            .map(|member| world.sync(member, &[]))
            .collect();
        let parts: Vec<(&str, &'static str)> = members
            .iter()
            .map(|member| (member.as_str(), "part"))
            .collect();
        syncs.push(world.sync(&leader, &parts));
        for sync in &mut syncs {
            assert_eq!(sync.answer().assignment, "part");
        }
        assert_eq!(world.group.state(), GroupState::Stable);
        assert_eq!(leader, members[0]);
        (world, members)
    }
}

#[test]
fn members_that_come_together_make_one_generation() {
    let mut world = World::new();
    let mut first = world.join_new();
    world.pass(DELAY / 2);
    let mut second = world.join_new();
    assert!(first.waits());
    // The second one has extended the wait.
    world.pass(DELAY / 2);
    let mut third = world.join_new();
    assert!(first.waits());
    world.pass(DELAY * 2);
    let joined = first.answer();
    assert_eq!((joined.generation, joined.error), (1, None));
    assert_eq!(joined.members.len(), 3);
    assert_eq!(joined.leader, joined.member);
    assert_eq!(second.answer().members.len(), 0);
    assert_eq!(third.answer().leader, joined.member);
}

#[test]
fn new_members_get_an_identity_first() {
    let mut world = World::new();
    let mut request = world.request("");
    request.identity_first = true;
    let joined = world.join(request).answer();
    assert_eq!(joined.error, Some(ResponseError::MemberIdRequired));
    let mut again = world.rejoin(&joined.member);
    world.pass(DELAY);
    assert_eq!(again.answer().member, joined.member);
}

#[test]
fn an_identity_that_is_not_used_is_forgotten() {
    let mut world = World::new();
    let mut request = world.request("");
    request.identity_first = true;
    let joined = world.join(request).answer();
    assert!(!world.group.is_disposable());
    world.pass(SESSION);
    assert!(world.group.is_disposable());
    let error = world.rejoin(&joined.member).answer().error;
    assert_eq!(error, Some(ResponseError::UnknownMemberId));
}

#[test]
fn a_rebalance_waits_for_an_identity_that_was_given() {
    let (mut world, members) = World::stable(1);
    let mut request = world.request("");
    request.identity_first = true;
    let identity = world.join(request).answer().member;
    let mut leader = world.rejoin(&members[0]);
    assert!(leader.waits());
    let mut new = world.rejoin(&identity);
    assert_eq!(leader.answer().members.len(), 2);
    assert_eq!(new.answer().generation, 2);
}

#[test]
fn everybody_waits_for_the_leaders_assignment_to_be_durable() {
    let mut world = World::new();
    let mut joins = [world.join_new(), world.join_new()];
    world.pass(DELAY * 3);
    let ids = [joins[0].answer().member, joins[1].answer().member];
    let mut follower = world.sync(&ids[1], &[]);
    world.hold = true;
    let mut leader = world.sync(&ids[0], &[(&ids[0], "a"), (&ids[1], "b")]);
    assert!(leader.waits() && follower.waits());
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    world.store(Ok(()));
    assert_eq!(leader.answer().assignment, "a");
    assert_eq!(follower.answer().assignment, "b");
    assert_eq!(world.sync(&ids[1], &[]).answer().assignment, "b");
}

#[test]
fn an_assignment_that_could_not_be_stored_is_none() {
    let mut world = World::new();
    let mut join = world.join_new();
    world.pass(DELAY);
    let id = join.answer().member;
    world.hold = true;
    let mut sync = world.sync(&id, &[(&id, "a")]);
    world.store(Err(ResponseError::CoordinatorNotAvailable));
    let error = sync.answer().error;
    assert_eq!(error, Some(ResponseError::CoordinatorNotAvailable));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_late_assignment_has_no_effect_on_the_next_generation() {
    let mut world = World::new();
    let mut join = world.join_new();
    world.pass(DELAY);
    let id = join.answer().member;
    world.hold = true;
    let mut sync = world.sync(&id, &[(&id, "old")]);
    let mut second = world.join_new();
    let error = sync.answer().error;
    assert_eq!(error, Some(ResponseError::RebalanceInProgress));
    let mut first = world.rejoin(&id);
    assert_eq!(first.answer().generation, 2);
    assert_eq!(second.answer().generation, 2);
    world.store(Ok(()));
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
}

#[test]
fn a_silent_member_is_expelled_and_the_others_rebalance() {
    let (mut world, members) = World::stable(3);
    world.pass(SESSION - 1);
    assert_eq!(world.heartbeat(&members[0]), Ok(()));
    assert_eq!(world.heartbeat(&members[2]), Ok(()));
    world.pass(1);
    let rebalance = Err(ResponseError::RebalanceInProgress);
    assert_eq!(world.heartbeat(&members[0]), rebalance);
    assert_eq!(
        world.heartbeat(&members[1]),
        Err(ResponseError::UnknownMemberId)
    );
    let mut first = world.rejoin(&members[0]);
    assert!(first.waits());
    let mut third = world.rejoin(&members[2]);
    assert_eq!(first.answer().members.len(), 2);
    assert_eq!(third.answer().generation, 2);
}

#[test]
fn when_the_leader_dies_another_leads() {
    let (mut world, members) = World::stable(2);
    assert_eq!(world.leave(&members[0]), Ok(()));
    let joined = world.rejoin(&members[1]).answer();
    assert_eq!(joined.leader, members[1]);
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_left_behind() {
    let (mut world, members) = World::stable(2);
    let mut first = world.rejoin(&members[0]);
    assert!(first.waits());
    // It is alive, but does not join.
    for _ in 0..(REBALANCE / 5_000) - 1 {
        world.pass(5_000);
        let alive = world.heartbeat(&members[1]);
        assert_eq!(alive, Err(ResponseError::RebalanceInProgress));
    }
    world.pass(5_000);
    assert_eq!(first.answer().members.len(), 1);
    assert_eq!(
        world.heartbeat(&members[1]),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_member_that_never_asks_for_its_assignment_is_expelled() {
    let mut world = World::new();
    let mut joins = [world.join_new(), world.join_new()];
    world.pass(DELAY * 3);
    let ids = [joins[0].answer().member, joins[1].answer().member];
    let mut leader = world.sync(&ids[0], &[]);
    assert_eq!(leader.answer().error, None);
    // Only the leader's session is renewed by what it does.
    for _ in 0..(REBALANCE / 5_000) {
        world.pass(5_000);
        let _ = world.heartbeat(&ids[0]);
        let _ = world.heartbeat(&ids[1]);
    }
    assert_eq!(
        world.heartbeat(&ids[1]),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_leader_that_dies_before_it_assigns_holds_nobody_up() {
    let mut world = World::new();
    let mut joins = [world.join_new(), world.join_new()];
    world.pass(DELAY * 3);
    let ids = [joins[0].answer().member, joins[1].answer().member];
    let mut follower = world.sync(&ids[1], &[]);
    world.pass(SESSION);
    let error = follower.answer().error;
    assert_eq!(error, Some(ResponseError::RebalanceInProgress));
    let joined = world.rejoin(&ids[1]).answer();
    assert_eq!((joined.leader, joined.members.len()), (ids[1].clone(), 1));
}

#[test]
fn old_generations_are_refused() {
    let (mut world, members) = World::stable(1);
    let old = world.group.heartbeat(world.now, &members[0], None, 0);
    assert_eq!(old, Err(ResponseError::IllegalGeneration));
    let committer = |generation, member| Committer {
        member,
        instance: None,
        generation,
        transactional: false,
    };
    let group = &mut world.group;
    let me = members[0].as_str();
    assert_eq!(group.check_commit(0, committer(1, me)), Ok(()));
    let error = group.check_commit(0, committer(0, me));
    assert_eq!(error, Err(ResponseError::IllegalGeneration));
    let error = group.check_commit(0, committer(1, "other"));
    assert_eq!(error, Err(ResponseError::UnknownMemberId));
    let error = group.check_commit(0, committer(-1, ""));
    assert_eq!(error, Err(ResponseError::UnknownMemberId));
}

#[test]
fn only_members_commit_while_there_are_members() {
    let (mut world, members) = World::stable(1);
    world.leave(&members[0]).unwrap();
    assert_eq!(world.group.state(), GroupState::Empty);
    let alone = Committer {
        member: "",
        instance: None,
        generation: -1,
        transactional: false,
    };
    assert_eq!(world.group.check_commit(0, alone), Ok(()));
}

#[test]
fn a_protocol_must_suit_all_and_most_decide() {
    let mut world = World::new();
    let protocols = |names: &[&str]| -> Vec<(String, Bytes)> {
        names
            .iter()
            .map(|name| ((*name).into(), Bytes::new()))
            .collect()
    };
    let wishes: [&[&str]; 3] = [&["a", "b", "c"], &["b", "a"], &["b", "a", "d"]];
    let mut joins = Vec::new();
    for wish in wishes {
        let mut request = world.request("");
        request.protocols = protocols(wish);
        joins.push(world.join(request));
    }
    let mut request = world.request("");
    request.protocols = protocols(&["c", "d"]);
    let error = world.join(request).answer().error;
    assert_eq!(error, Some(ResponseError::InconsistentGroupProtocol));
    world.pass(DELAY * 4);
    assert_eq!(joins[0].answer().protocol.as_deref(), Some("b"));
}

#[test]
fn there_is_a_bound_on_members() {
    let (mut world, _) = World::stable(5);
    let error = world.join_new().answer().error;
    assert_eq!(error, Some(ResponseError::GroupMaxSizeReached));
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn followers_that_join_again_unchanged_learn_what_they_are() {
    let (mut world, members) = World::stable(2);
    let joined = world.rejoin(&members[1]).answer();
    assert_eq!((joined.generation, joined.members.len()), (1, 0));
    assert_eq!(world.group.state(), GroupState::Stable);
    let mut request = world.request(&members[1]);
    request.protocols[0].1 = Bytes::from_static(b"other topics");
    assert!(world.join(request).waits());
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut world = World::new();
    let request = world.static_request("", "i1");
    let mut first = world.join(request);
    let request = world.static_request("", "i2");
    let mut second = world.join(request);
    world.pass(DELAY * 3);
    let ids = [first.answer().member, second.answer().member];
    let mut sync = world.sync(&ids[1], &[]);
    world
        .sync(&ids[0], &[(&ids[0], "a"), (&ids[1], "b")])
        .answer();
    assert_eq!(sync.answer().assignment, "b");

    let request = world.static_request("", "i2");
    let joined = world.join(request).answer();
    assert_eq!((joined.error, joined.generation), (None, 1));
    assert_ne!(joined.member, ids[1]);
    assert_eq!(world.group.state(), GroupState::Stable);
    assert_eq!(world.sync(&joined.member, &[]).answer().assignment, "b");
    let fenced = world.group.heartbeat(world.now, &ids[1], Some("i2"), 1);
    assert_eq!(fenced, Err(ResponseError::FencedInstanceId));

    // The leader, too; older clients must not think that it leads, newer ones skip the assignment.
    let request = world.static_request("", "i1");
    let joined = world.join(request).answer();
    assert_eq!(joined.leader, ids[0]);
    assert_ne!(joined.member, ids[0]);
    let mut request = world.static_request("", "i1");
    request.can_skip_assignment = true;
    let joined = world.join(request).answer();
    assert_eq!(joined.leader, joined.member);
    assert!(joined.skip_assignment);
    assert_eq!(joined.members.len(), 2);
}

#[test]
fn a_static_members_new_identity_that_is_not_durable_is_taken_back() {
    let mut world = World::new();
    let request = world.static_request("", "i1");
    let mut first = world.join(request);
    world.pass(DELAY);
    let id = first.answer().member;
    world.sync(&id, &[(&id, "a")]).answer();
    world.hold = true;
    let request = world.static_request("", "i1");
    let mut again = world.join(request);
    assert!(again.waits());
    world.store(Err(ResponseError::CoordinatorNotAvailable));
    let error = again.answer().error;
    assert_eq!(error, Some(ResponseError::CoordinatorNotAvailable));
    assert_eq!(world.group.heartbeat(world.now, &id, Some("i1"), 1), Ok(()));
}

#[test]
fn static_members_are_missed_only_when_their_session_ends() {
    let mut world = World::new();
    let request = world.static_request("", "i1");
    let mut first = world.join(request);
    let mut second = world.join_new();
    world.pass(DELAY * 3);
    let ids = [first.answer().member, second.answer().member];
    world.sync(&ids[0], &[]).answer();
    world.sync(&ids[1], &[]).answer();
    // An administrator may remove it by its instance.
    let leaving = Leaving {
        member: String::new(),
        instance: Some("i1".into()),
    };
    assert_eq!(world.group.leave(world.now, WALL, &leaving), Ok(()));
    let error = world.group.leave(world.now, WALL, &leaving);
    assert_eq!(error, Err(ResponseError::UnknownMemberId));
    assert_eq!(world.rejoin(&ids[1]).answer().members.len(), 1);
}

#[test]
fn a_group_that_was_stored_goes_on_after_a_restart() {
    let (world, members) = World::stable(2);
    let metadata = world.group.metadata(None);
    let mut after = World::new();
    after.group.restore(0, metadata);
    assert_eq!(after.group.summary(), world.group.summary());
    assert_eq!(after.heartbeat(&members[1]), Ok(()));
    assert_eq!(after.sync(&members[1], &[]).answer().assignment, "part");
    after.pass(SESSION);
    assert_eq!(after.group.state(), GroupState::Empty);
}

#[test]
fn when_the_last_member_leaves_the_group_is_empty_and_keeps_its_generation() {
    let (mut world, members) = World::stable(1);
    world.leave(&members[0]).unwrap();
    assert_eq!(world.group.state(), GroupState::Empty);
    assert_eq!(world.group.next_deadline(), None);
    let mut join = world.join_new();
    world.pass(DELAY);
    assert_eq!(join.answer().generation, 3);
}

#[test]
fn a_dead_group_sends_everybody_away() {
    let mut world = World::new();
    world.group.kill();
    let error = world.join_new().answer().error;
    assert_eq!(error, Some(ResponseError::CoordinatorNotAvailable));
}
