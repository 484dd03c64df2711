//! Groups and their offsets over a log that fails and crashes.

use bytes::Bytes;

use super::*;
use crate::coordinator::testing::{ManualClock, MemoryLog, Mode, outcome, partition};

const DAY: Millis = 24 * 3_600 * 1_000;

fn open(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>) -> Arc<Groups> {
    let config = GroupsConfig {
        group: GroupConfig {
            initial_rebalance_delay_ms: 0,
            ..GroupConfig::default()
        },
        ..GroupsConfig::default()
    };
    Groups::open(config, log.clone(), clock.clone()).unwrap()
}

fn commit_request(group: &str, offsets: &[(&str, i32, i64)]) -> CommitRequest {
    CommitRequest {
        group: group.into(),
        member: String::new(),
        instance: None,
        generation: -1,
        offsets: offsets
            .iter()
            .map(|(topic, number, offset)| (partition(topic, *number), new_offset(*offset)))
            .collect(),
    }
}

fn new_offset(offset: i64) -> NewOffset {
    NewOffset {
        offset,
        leader_epoch: -1,
        metadata: "m".into(),
    }
}

/// All offsets of a group as text.
fn offsets(groups: &Groups, group: &str) -> Vec<String> {
    groups
        .fetch(group, None, false)
        .into_iter()
        .map(|(partition, fetched)| match fetched {
            FetchedOffset::Committed(committed) => {
                format!(
                    "{}/{} {}",
                    partition.topic, partition.partition, committed.offset
                )
            }
            other => format!("{}/{} {other:?}", partition.topic, partition.partition),
        })
        .collect()
}

fn join_request(member: &str, new_member: &str) -> JoinRequest {
    JoinRequest {
        member: member.into(),
        instance: None,
        client_id: "client".into(),
        client_host: "host".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["rides"]))],
        identity_first: false,
        can_skip_assignment: false,
        new_member: new_member.into(),
    }
}

/// What a consumer says of the topics it wants.
fn subscription(topics: &[&str]) -> Bytes {
    let mut out = vec![0, 0];
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        crate::coordinator::wire::put_string(&mut out, topic);
    }
    out.into()
}

/// A group of one member that has its assignment.
async fn stable(groups: &Arc<Groups>, group: &str) -> JoinedGroup {
    let joined = groups.join(group, join_request("", "m")).await;
    let request = SyncRequest {
        member: joined.member.clone(),
        instance: None,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignment: HashMap::from([(joined.member.clone(), Bytes::from_static(b"all"))]),
    };
    let synced = groups.sync(group, request).await;
    assert_eq!((synced.error, &*synced.assignment), (None, &b"all"[..]));
    joined
}

/// Lets tasks that were started come to where they wait.
async fn others_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn offsets_are_found_again_after_a_restart() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    let answers = groups
        .commit(commit_request("g", &[("a", 0, 5), ("a", 1, 6)]))
        .await;
    assert_eq!(answers, [Ok(()), Ok(())]);
    groups.commit(commit_request("g", &[("a", 0, 7)])).await;
    let expected = ["a/0 7", "a/1 6"];
    assert_eq!(offsets(&groups, "g"), expected);
    assert_eq!(offsets(&open(&log.after_crash(), &clock), "g"), expected);
}

#[tokio::test]
async fn a_commit_is_not_answered_nor_seen_before_it_is_durable() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    log.set_mode(Mode::Held);
    let commit = {
        let groups = groups.clone();
        tokio::spawn(async move { groups.commit(commit_request("g", &[("a", 0, 5)])).await })
    };
    others_run().await;
    assert_eq!(log.held(), 1);
    assert!(!commit.is_finished());
    assert!(offsets(&groups, "g").is_empty());
    log.settle();
    assert_eq!(commit.await.unwrap(), [Ok(())]);
    assert_eq!(offsets(&groups, "g"), ["a/0 5"]);
}

#[tokio::test]
async fn a_commit_takes_effect_though_its_client_has_gone() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    log.set_mode(Mode::Held);
    let commit = {
        let groups = groups.clone();
        tokio::spawn(async move { groups.commit(commit_request("g", &[("a", 0, 5)])).await })
    };
    others_run().await;
    commit.abort();
    log.settle();
    others_run().await;
    assert_eq!(offsets(&groups, "g"), ["a/0 5"]);
}

#[tokio::test]
async fn what_cannot_be_committed_is_said_for_each_offset() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    let mut request = commit_request("g", &[("missing", 0, 1), ("a", 0, 2), ("a", 1, 3)]);
    request.offsets[2].1.metadata = "x".repeat(5_000);
    let answers = groups.commit(request).await;
    let expected = [
        Err(ResponseError::UnknownTopicOrPartition),
        Ok(()),
        Err(ResponseError::OffsetMetadataTooLarge),
    ];
    assert_eq!(answers, expected);
    assert_eq!(offsets(&groups, "g"), ["a/0 2"]);
    log.set_mode(Mode::Refused);
    let answers = groups.commit(commit_request("g", &[("a", 0, 9)])).await;
    assert_eq!(answers, [Err(ResponseError::CoordinatorNotAvailable)]);
    assert_eq!(offsets(&groups, "g"), ["a/0 2"]);
}

#[tokio::test]
async fn members_commit_with_their_generation() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    let joined = stable(&groups, "g").await;
    let mut request = commit_request("g", &[("a", 0, 5)]);
    let answers = groups.commit(request.clone()).await;
    assert_eq!(answers, [Err(ResponseError::UnknownMemberId)]);
    request.member = joined.member;
    request.generation = joined.generation + 1;
    let answers = groups.commit(request.clone()).await;
    assert_eq!(answers, [Err(ResponseError::IllegalGeneration)]);
    request.generation = joined.generation;
    assert_eq!(groups.commit(request).await, [Ok(())]);
    let mut nowhere = commit_request("nobody", &[("a", 0, 5)]);
    nowhere.generation = 3;
    let answers = groups.commit(nowhere).await;
    assert_eq!(answers, [Err(ResponseError::IllegalGeneration)]);
    assert!(groups.describe("nobody").is_none());
}

#[tokio::test]
async fn members_stay_over_a_restart_and_are_watched() {
    let (log, clock) = (MemoryLog::new(), Arc::<ManualClock>::default());
    let joined = stable(&open(&log, &clock), "g").await;
    let groups = open(&log.after_crash(), &clock);
    let alive = groups.heartbeat("g", &joined.member, None, joined.generation);
    assert_eq!(alive, Ok(()));
    clock.advance(5_000);
    groups
        .heartbeat("g", &joined.member, None, joined.generation)
        .unwrap();
    clock.advance(5_000);
    groups.expire();
    assert_eq!(groups.describe("g").unwrap().state, GroupState::Stable);
    clock.advance(5_000);
    groups.expire();
    others_run().await;
    assert_eq!(groups.describe("g").unwrap().state, GroupState::Empty);
}

#[tokio::test]
async fn a_group_is_deleted_when_nobody_is_in_it() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    assert_eq!(outcome(groups.delete("g").await), "GroupIdNotFound");
    let joined = stable(&groups, "g").await;
    let mut request = commit_request("g", &[("a", 0, 5)]);
    request.member = joined.member.clone();
    request.generation = joined.generation;
    groups.commit(request).await;
    assert_eq!(outcome(groups.delete("g").await), "NonEmptyGroup");
    let leaving = Leaving {
        member: joined.member,
        instance: None,
    };
    assert_eq!(groups.leave("g", &[leaving]), [Ok(())]);
    others_run().await;
    log.set_mode(Mode::Refused);
    assert_eq!(outcome(groups.delete("g").await), "CoordinatorNotAvailable");
    assert_eq!(offsets(&groups, "g"), ["a/0 5"]);
    log.set_mode(Mode::Durable);
    assert_eq!(outcome(groups.delete("g").await), "ok");
    assert!(groups.describe("g").is_none());
    let after = open(&log.after_crash(), &clock);
    assert!(after.describe("g").is_none());
    assert!(offsets(&after, "g").is_empty());
}

#[tokio::test]
async fn a_deleted_group_does_not_come_back_by_a_commit_that_was_under_way() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    log.set_mode(Mode::Held);
    let commit = {
        let groups = groups.clone();
        tokio::spawn(async move { groups.commit(commit_request("g", &[("a", 0, 5)])).await })
    };
    others_run().await;
    let delete = {
        let groups = groups.clone();
        tokio::spawn(async move { groups.delete("g").await })
    };
    others_run().await;
    log.settle();
    commit.await.unwrap();
    assert_eq!(outcome(delete.await.unwrap()), "ok");
    assert!(groups.describe("g").is_none());
    assert!(open(&log.after_crash(), &clock).describe("g").is_none());
}

#[tokio::test]
async fn offsets_are_deleted_unless_a_member_wants_the_topic() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    let partitions = || vec![partition("rides", 0), partition("fares", 0)];
    let none = groups.delete_offsets("g", partitions()).await;
    assert_eq!(outcome(none), "GroupIdNotFound");
    groups
        .commit(commit_request("g", &[("rides", 0, 5), ("fares", 0, 6)]))
        .await;
    stable(&groups, "g").await;
    let answers = groups.delete_offsets("g", partitions()).await.unwrap();
    assert_eq!(
        answers,
        [Err(ResponseError::GroupSubscribedToTopic), Ok(())]
    );
    assert_eq!(offsets(&groups, "g"), ["rides/0 5"]);
    assert_eq!(
        offsets(&open(&log.after_crash(), &clock), "g"),
        ["rides/0 5"]
    );
}

#[tokio::test]
async fn offsets_that_are_not_used_are_forgotten_after_their_time() {
    let (log, clock) = (MemoryLog::new(), Arc::<ManualClock>::default());
    let groups = open(&log, &clock);
    groups
        .commit(commit_request("g", &[("a", 0, 5), ("a", 1, 5)]))
        .await;
    clock.advance(6 * DAY);
    groups.commit(commit_request("g", &[("a", 1, 6)])).await;
    groups.expire();
    others_run().await;
    assert_eq!(offsets(&groups, "g"), ["a/0 5", "a/1 6"]);
    clock.advance(2 * DAY);
    groups.expire();
    others_run().await;
    assert_eq!(offsets(&groups, "g"), ["a/1 6"]);
    clock.advance(6 * DAY);
    groups.expire();
    others_run().await;
    assert!(groups.describe("g").is_none());
    assert!(open(&log.after_crash(), &clock).describe("g").is_none());
}

#[tokio::test]
async fn a_group_with_members_keeps_its_offsets() {
    let (log, clock) = (MemoryLog::new(), Arc::<ManualClock>::default());
    let groups = open(&log, &clock);
    groups
        .commit(commit_request("g", &[("rides", 0, 5), ("old", 0, 6)]))
        .await;
    let joined = stable(&groups, "g").await;
    clock.advance(8 * DAY);
    groups
        .heartbeat("g", &joined.member, None, joined.generation)
        .unwrap();
    groups.expire();
    others_run().await;
    // It does not read the other topic any more.
    assert_eq!(offsets(&groups, "g"), ["rides/0 5"]);
}

#[tokio::test]
async fn groups_that_were_only_asked_for_leave_nothing_behind() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    let mut request = join_request("", "m");
    request.protocols.clear();
    let error = groups.join("g", request).await.error;
    assert_eq!(error, Some(ResponseError::InconsistentGroupProtocol));
    let mut request = join_request("", "m");
    request.session_timeout_ms = 5;
    let error = groups.join("g", request).await.error;
    assert_eq!(error, Some(ResponseError::InvalidSessionTimeout));
    groups
        .commit(commit_request("h", &[("missing", 0, 1)]))
        .await;
    assert!(groups.list().is_empty());
}

#[tokio::test]
async fn a_thousand_members_join_and_are_told_of_each_other() {
    let (log, clock) = (MemoryLog::new(), Arc::<ManualClock>::default());
    let config = GroupsConfig::default();
    let delay = config.group.initial_rebalance_delay_ms;
    let groups = Groups::open(config, log.clone(), clock.clone()).unwrap();
    let joins: Vec<_> = (0..1_000)
        .map(|number| {
            let groups = groups.clone();
            let request = join_request("", &format!("m{number:04}"));
            tokio::spawn(async move { groups.join("g", request).await })
        })
        .collect();
    // All of them wait before the time is up.
    while groups
        .describe("g")
        .is_none_or(|group| group.members.len() < 1_000)
    {
        tokio::task::yield_now().await;
    }
    clock.advance(delay);
    groups.expire();
    clock.advance(delay);
    groups.expire();
    let mut leaders = 0;
    for join in joins {
        let joined = join.await.unwrap();
        assert_eq!((joined.error, joined.generation), (None, 1));
        leaders += usize::from(joined.members.len() == 1_000);
    }
    assert_eq!(leaders, 1);
}

#[tokio::test]
async fn offsets_of_a_topic_do_not_count_for_another_of_its_name() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    groups
        .commit(commit_request("g", &[("a", 0, 5), ("b", 0, 6)]))
        .await;
    log.make_topic_anew("a");
    assert_eq!(offsets(&groups, "g"), ["b/0 6"]);
    // The server may end before the log is told.
    let restarted = open(&log.after_crash(), &clock);
    assert_eq!(offsets(&restarted, "g"), ["b/0 6"]);
    groups.forget_gone_topics();
    others_run().await;
    assert_eq!(log.writes(), 2);
    groups.commit(commit_request("g", &[("a", 0, 1)])).await;
    groups.forget_gone_topics();
    assert_eq!(offsets(&groups, "g"), ["a/0 1", "b/0 6"]);
    let restarted = open(&log.after_crash(), &clock);
    assert_eq!(offsets(&restarted, "g"), ["a/0 1", "b/0 6"]);
}

#[tokio::test]
async fn a_start_forgets_groups_of_topics_that_are_gone() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    groups.commit(commit_request("g", &[("a", 0, 5)])).await;
    log.drop_topic("a");
    let log = log.after_crash();
    assert!(open(&log, &clock).list().is_empty());
    // The log was told, and is not told again.
    assert_eq!(log.writes(), 2);
    assert!(open(&log, &clock).list().is_empty());
    assert_eq!(log.writes(), 2);
}

#[tokio::test]
async fn a_commit_on_its_way_is_not_forgotten_with_the_topic_before() {
    let (log, clock) = (MemoryLog::new(), Arc::default());
    let groups = open(&log, &clock);
    groups.commit(commit_request("g", &[("a", 0, 5)])).await;
    log.make_topic_anew("a");
    log.set_mode(Mode::Held);
    let commit = {
        let groups = groups.clone();
        tokio::spawn(async move { groups.commit(commit_request("g", &[("a", 0, 1)])).await })
    };
    others_run().await;
    groups.forget_gone_topics();
    log.settle();
    commit.await.unwrap();
    others_run().await;
    assert_eq!(offsets(&groups, "g"), ["a/0 1"]);
    assert_eq!(offsets(&open(&log.after_crash(), &clock), "g"), ["a/0 1"]);
}
