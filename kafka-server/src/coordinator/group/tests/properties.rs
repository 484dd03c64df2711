//! Whatever clients do and whenever they die, a group stays one.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// What one of a few clients does, or what happens to it.
#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    /// It forgets who it is, as after a crash.
    Crash(usize),
    Pass(Millis),
    /// What was to be stored has been, or has failed.
    Store(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let client = 0..4_usize;
    prop_oneof![
        4 => client.clone().prop_map(Step::Join),
        4 => client.clone().prop_map(Step::Sync),
        2 => client.clone().prop_map(Step::Heartbeat),
        1 => client.clone().prop_map(Step::Leave),
        1 => client.prop_map(Step::Crash),
        2 => (1..SESSION * 2).prop_map(Step::Pass),
        1 => (1..DELAY * 3).prop_map(Step::Pass),
        3 => prop::bool::weighted(0.9).prop_map(Step::Store),
    ]
}

#[derive(Default)]
struct Client {
    member: String,
    join: Option<Pending<JoinedGroup>>,
    sync: Option<(i32, Pending<SyncedMember>)>,
}

struct Clients {
    world: World,
    clients: Vec<Client>,
    /// The source of each generation's assignments, as clients have seen it.
    assignments: HashMap<i32, String>,
    leaders: HashMap<i32, String>,
}

impl Clients {
    fn new() -> Self {
        let mut world = World::new();
        world.hold = true;
        Self {
            world,
            clients: (0..4).map(|_| Client::default()).collect(),
            assignments: HashMap::new(),
            leaders: HashMap::new(),
        }
    }

    fn step(&mut self, step: Step, statics: bool) -> Result<(), TestCaseError> {
        match step {
            Step::Join(client) => {
                let member = self.clients[client].member.clone();
                let mut request = self.world.request(&member);
                if statics && client < 2 {
                    request.instance = Some(format!("i{client}"));
                } else {
                    request.identity_first = true;
                }
                let join = self.world.join(request);
                self.clients[client].join = Some(join);
            }
            Step::Sync(client) => {
                let member = self.clients[client].member.clone();
                let generation = self.world.group.generation();
                let everybody: Vec<String> = self.world.group.members.keys().cloned().collect();
                // Whoever assigns leaves its name.
                let source: &'static str = Box::leak(member.clone().into_boxed_str());
                let parts: Vec<(&str, &'static str)> =
                    everybody.iter().map(|id| (id.as_str(), source)).collect();
                let sync = self.world.sync(&member, &parts);
                self.clients[client].sync = Some((generation, sync));
            }
            Step::Heartbeat(client) => {
                let member = self.clients[client].member.clone();
                let _ = self.world.heartbeat(&member);
            }
            Step::Leave(client) => {
                let member = self.clients[client].member.clone();
                let _ = self.world.leave(&member);
            }
            Step::Crash(client) => self.clients[client] = Client::default(),
            Step::Pass(time) => self.world.pass(time),
            Step::Store(true) => self.world.store(Ok(())),
            Step::Store(false) => {
                self.world
                    .store(Err(ResponseError::CoordinatorNotAvailable));
            }
        }
        self.read_answers()?;
        self.check_group()
    }

    fn read_answers(&mut self) -> Result<(), TestCaseError> {
        for client in &mut self.clients {
            if let Some(join) = &mut client.join
                && let Ok(joined) = join.0.try_recv()
            {
                client.join = None;
                match joined.error {
                    None => {
                        let leader = self.leaders.entry(joined.generation);
                        let leader = leader.or_insert_with(|| joined.leader.clone());
                        if joined.leader == joined.member {
                            prop_assert_eq!(&joined.leader, leader, "one leader");
                        }
                        client.member = joined.member;
                    }
                    Some(ResponseError::MemberIdRequired) => client.member = joined.member,
                    Some(ResponseError::RebalanceInProgress) => {}
                    Some(_) => client.member = String::new(),
                }
            }
            if let Some((generation, sync)) = &mut client.sync
                && let Ok(synced) = sync.0.try_recv()
            {
                let generation = *generation;
                client.sync = None;
                // A member that came in under a new identity was not named by the leader.
                if synced.error.is_none() && !synced.assignment.is_empty() {
                    let source = String::from_utf8(synced.assignment.to_vec()).unwrap();
                    let first = self.assignments.entry(generation);
                    let first = first.or_insert_with(|| source.clone());
                    prop_assert_eq!(&source, first, "one source of a generation's assignments");
                }
            }
        }
        Ok(())
    }

    fn check_group(&self) -> Result<(), TestCaseError> {
        let group = &self.world.group;
        let leads = group.leader.as_ref();
        prop_assert_eq!(leads.is_some(), !group.members.is_empty());
        prop_assert!(leads.is_none_or(|leader| group.members.contains_key(leader)));
        match group.state {
            GroupState::Empty => prop_assert!(group.members.is_empty()),
            GroupState::PreparingRebalance => prop_assert!(group.join_deadline.is_some()),
            GroupState::CompletingRebalance | GroupState::Stable => {
                prop_assert!(!group.members.is_empty());
                prop_assert!(group.protocol.is_some());
                let waits = |member: &Member| member.awaiting_join.is_some();
                let storing = !self.world.held.is_empty();
                prop_assert!(storing || !group.members.values().any(waits));
            }
            GroupState::Dead => prop_assert!(false, "nobody has killed it"),
        }
        for (instance, member) in &group.instances {
            prop_assert_eq!(group.members[member].instance.as_ref(), Some(instance));
        }
        let owners: HashSet<&String> = group.instances.values().collect();
        prop_assert_eq!(owners.len(), group.instances.len());
        for member in group.members.values() {
            prop_assert_eq!(&group.members[&member.id].id, &member.id);
            // Nobody stays for ever without a sign of life.
            prop_assert!(member.deadline.is_some() || member.is_waiting());
        }
        Ok(())
    }
}

proptest! {
    /// One leader and one source of assignments for each generation, and members that are watched.
    #[test]
    fn a_group_stays_one(
        steps in prop::collection::vec(any_step(), 1..120),
        statics in any::<bool>(),
    ) {
        let mut clients = Clients::new();
        for step in steps {
            clients.step(step, statics)?;
        }
        // When all are silent, nobody is left.
        clients.world.hold = false;
        clients.world.store(Ok(()));
        clients.world.pass(NEW_MEMBER_WAIT_MAX_MS + REBALANCE * 4 + SESSION * 4);
        prop_assert!(clients.world.group.members.is_empty());
        prop_assert_eq!(clients.world.group.state(), GroupState::Empty);
    }
}
