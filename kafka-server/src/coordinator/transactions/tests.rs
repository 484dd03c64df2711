//! Transactions over a log that fails and crashes at every step.

use bytes::Bytes;

use super::*;
use crate::coordinator::groups::{CommitRequest, FetchedOffset, GroupsConfig};
use crate::coordinator::testing::{ManualClock, MemoryLog, Mode, outcome, partition};

const TIMEOUT: i32 = 60_000;

/// A coordinator over a log.
struct World {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
}

impl World {
    fn new() -> Self {
        Self::over(MemoryLog::new())
    }

    fn over(log: Arc<MemoryLog>) -> Self {
        let clock = Arc::<ManualClock>::default();
        let groups = Groups::open(GroupsConfig::default(), log.clone(), clock.clone()).unwrap();
        let config = TransactionsConfig {
            transaction_bytes_max: 100,
            transactions_bytes_max: 150,
            ..TransactionsConfig::default()
        };
        let transactions =
            Transactions::open(config, groups.clone(), log.clone(), clock.clone()).unwrap();
        Self {
            log,
            clock,
            groups,
            transactions,
        }
    }

    async fn init(&self, id: &str) -> Producer {
        self.try_init(id, None).await.unwrap()
    }

    async fn try_init(
        &self,
        id: &str,
        expected: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        let request = InitRequest {
            timeout_ms: TIMEOUT,
            expected,
        };
        self.transactions.init(Some(id), request).await
    }

    async fn add(&self, id: &str, producer: Producer) -> Result<(), ResponseError> {
        let partitions = vec![partition("a", 0), partition("b", 1)];
        let group = Some("g".to_owned());
        self.transactions.add(id, producer, partitions, group).await
    }

    fn produce(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        sequence: i32,
        text: &'static str,
    ) -> Result<SequenceCheck, ResponseError> {
        let number = if topic == "a" { 0 } else { 1 };
        let batch = DataBatch {
            partition: partition(topic, number),
            first_sequence: sequence,
            last_sequence: sequence,
            bytes: text.len(),
            payload: Arc::new(Bytes::from_static(text.as_bytes())),
        };
        self.transactions.produce(id, producer, batch)
    }

    fn commit_offset(&self, id: &str, producer: Producer, offset: i64) -> String {
        let committer = Committer {
            member: "",
            instance: None,
            generation: -1,
            transactional: true,
        };
        let offset = NewOffset {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
        };
        let offsets = vec![(partition("in", 0), offset)];
        let result = self
            .transactions
            .commit_offsets(id, producer, "g", committer, offsets);
        outcome(result.and_then(|answers| answers[0]))
    }

    async fn end(&self, id: &str, producer: Producer, commit: bool) -> String {
        outcome(self.transactions.end(id, producer, commit).await)
    }

    /// Everything that a reader sees: records of both topics, and the group's offset.
    fn visible(&self) -> String {
        let text = |topic: &str, number| {
            let data = self.log.data(&partition(topic, number));
            String::from_utf8(data.concat()).unwrap()
        };
        let fetched = self
            .groups
            .fetch("g", Some(vec![partition("in", 0)]), false);
        let offset = match &fetched[0].1 {
            FetchedOffset::Committed(committed) => committed.offset,
            FetchedOffset::None | FetchedOffset::Unstable => -1,
        };
        format!("a={} b={} offset={offset}", text("a", 0), text("b", 1))
    }

    fn is_unstable(&self) -> bool {
        let fetched = self.groups.fetch("g", Some(vec![partition("in", 0)]), true);
        fetched[0].1 == FetchedOffset::Unstable
    }

    /// A transaction over both topics and the group, not ended.
    async fn open_transaction(&self, id: &str) -> Producer {
        let producer = self.init(id).await;
        self.add(id, producer).await.unwrap();
        self.produce(id, producer, "a", 0, "1").unwrap();
        self.produce(id, producer, "b", 0, "2").unwrap();
        self.produce(id, producer, "a", 1, "3").unwrap();
        assert_eq!(self.commit_offset(id, producer, 10), "ok");
        producer
    }
}

async fn others_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const NOTHING: &str = "a= b= offset=-1";
const ALL: &str = "a=13 b=2 offset=10";

#[tokio::test]
async fn a_commit_shows_everything_at_once() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    assert_eq!(world.visible(), NOTHING);
    assert!(world.is_unstable());
    let writes = world.log.writes();
    assert_eq!(world.end("t", producer, true).await, "ok");
    assert_eq!(world.visible(), ALL);
    assert!(!world.is_unstable());
    assert_eq!(world.log.writes(), writes + 1);
    assert_eq!(world.end("t", producer, true).await, "ok");
    assert_eq!(world.log.writes(), writes + 1);
    assert_eq!(world.visible(), ALL);
}

#[tokio::test]
async fn an_abort_leaves_nothing() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    assert_eq!(world.end("t", producer, false).await, "ok");
    assert_eq!(world.visible(), NOTHING);
    assert!(!world.is_unstable());
    assert!(world.groups.list().is_empty());
    assert_eq!(world.transactions.buffered.load(Ordering::Relaxed), 0);
}

/// Crashes after every durable write of a commit, an abort and a new epoch.
#[tokio::test]
async fn after_a_crash_a_transaction_is_there_whole_or_not_at_all() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    let open = world.log.writes();
    assert_eq!(world.end("t", producer, true).await, "ok");
    for writes in 0..=world.log.writes() {
        let after = World::over(world.log.after_writes(writes));
        let committed = writes > open;
        assert_eq!(after.visible(), if committed { ALL } else { NOTHING });
        assert!(!after.is_unstable());
        let retried = after.end("t", producer, true).await;
        let expected = match writes {
            // The producer was given nothing yet.
            0 | 1 => "InvalidProducerIdMapping",
            _ if committed => "ok",
            // It had an epoch, and was not told that a transaction had begun.
            2 => "InvalidTxnState",
            _ => "UnknownProducerId",
        };
        assert_eq!(retried, expected, "after {writes} writes");
        assert_eq!(after.visible(), if committed { ALL } else { NOTHING });
        // A new producer goes on in any case, and nobody else gets its id.
        let next = after.init("t").await;
        let other = after.init("other").await;
        assert_ne!(next.id, other.id);
        assert!(writes < 2 || next.id != producer.id || next.epoch > producer.epoch);
    }
}

#[tokio::test]
async fn a_commit_that_was_under_way_at_a_crash_is_not_taken_for_done() {
    let world = World::new();
    let first = world.open_transaction("t").await;
    assert_eq!(world.end("t", first, true).await, "ok");
    // A second transaction, whose commit is lost: the first one's must not answer for it.
    world.add("t", first).await.unwrap();
    world.produce("t", first, "a", 2, "4").unwrap();
    world.log.set_mode(Mode::Held);
    let end = {
        let transactions = world.transactions.clone();
        tokio::spawn(async move { transactions.end("t", first, true).await })
    };
    others_run().await;
    assert_eq!(world.log.held(), 1);
    let after = World::over(world.log.after_crash());
    assert_eq!(after.visible(), ALL);
    let retried = after.end("t", first, true).await;
    assert_eq!(retried, "UnknownProducerId");
    // What clients do then: a new epoch, and the same again.
    let next = after.try_init("t", Some(first)).await.unwrap();
    after.add("t", next).await.unwrap();
    after.produce("t", next, "a", 0, "4").unwrap();
    assert_eq!(after.end("t", next, true).await, "ok");
    assert_eq!(after.visible(), "a=134 b=2 offset=10");
    end.abort();
}

#[tokio::test]
async fn a_producer_that_survives_a_restart_between_transactions_goes_on() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    assert_eq!(world.end("t", producer, true).await, "ok");
    let after = World::over(world.log.after_crash());
    after.add("t", producer).await.unwrap();
    after.produce("t", producer, "a", 2, "4").unwrap();
    assert_eq!(after.end("t", producer, true).await, "ok");
    assert_eq!(after.visible(), "a=134 b=2 offset=10");
}

#[tokio::test]
async fn a_commit_that_is_refused_may_be_tried_again() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    world.log.set_mode(Mode::Refused);
    assert_eq!(
        world.end("t", producer, true).await,
        "CoordinatorNotAvailable"
    );
    assert_eq!(world.visible(), NOTHING);
    world.log.set_mode(Mode::Durable);
    assert_eq!(world.end("t", producer, true).await, "ok");
    assert_eq!(world.visible(), ALL);
}

#[tokio::test]
async fn an_abort_that_is_refused_never_becomes_a_commit() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    world.log.set_mode(Mode::Refused);
    assert_eq!(
        world.end("t", producer, false).await,
        "CoordinatorNotAvailable"
    );
    world.log.set_mode(Mode::Durable);
    assert_eq!(world.end("t", producer, true).await, "UnknownProducerId");
    assert_eq!(world.end("t", producer, false).await, "ok");
    assert_eq!(world.visible(), NOTHING);
}

#[tokio::test]
async fn a_commit_is_finished_though_its_client_has_gone() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    world.log.set_mode(Mode::Held);
    let end = {
        let transactions = world.transactions.clone();
        tokio::spawn(async move { transactions.end("t", producer, true).await })
    };
    others_run().await;
    let busy = world.try_init("t", None).await;
    assert_eq!(outcome(busy), "ConcurrentTransactions");
    end.abort();
    others_run().await;
    world.log.settle();
    others_run().await;
    assert_eq!(world.visible(), ALL);
    world.log.set_mode(Mode::Durable);
    assert_eq!(world.end("t", producer, true).await, "ok");
}

#[tokio::test]
async fn a_new_producer_aborts_what_the_old_one_has_open() {
    let world = World::new();
    let old = world.open_transaction("t").await;
    let new = world.init("t").await;
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    assert!(!world.is_unstable());
    assert_eq!(world.end("t", old, true).await, "ProducerFenced");
    assert_eq!(world.commit_offset("t", old, 11), "InvalidProducerEpoch");
    assert_eq!(world.visible(), NOTHING);
}

#[tokio::test]
async fn a_transaction_is_aborted_when_its_time_is_over() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    world.clock.advance(TIMEOUT as Millis - 1);
    world.transactions.expire();
    assert!(world.is_unstable());
    world.clock.advance(1);
    world.transactions.expire();
    others_run().await;
    assert!(!world.is_unstable());
    assert_eq!(world.end("t", producer, true).await, "ProducerFenced");
    let after = World::over(world.log.after_crash());
    assert_eq!(after.end("t", producer, true).await, "ProducerFenced");
    assert_eq!(after.visible(), NOTHING);
}

#[tokio::test]
async fn offsets_are_committed_on_behalf_of_a_member_only() {
    let world = World::new();
    let producer = world.init("t").await;
    assert_eq!(world.commit_offset("t", producer, 1), "InvalidTxnState");
    world.add("t", producer).await.unwrap();
    let committer = Committer {
        member: "m",
        instance: None,
        generation: 1,
        transactional: true,
    };
    let offset = NewOffset {
        offset: 1,
        leader_epoch: -1,
        metadata: String::new(),
    };
    let offsets = vec![(partition("in", 0), offset)];
    let result = world
        .transactions
        .commit_offsets("t", producer, "g", committer, offsets);
    assert_eq!(outcome(result), "IllegalGeneration");
    assert_eq!(world.end("t", producer, true).await, "ok");
    assert_eq!(world.visible(), NOTHING);
}

#[tokio::test]
async fn a_later_commit_of_an_offset_wins_over_a_transactions() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    assert_eq!(world.end("t", producer, true).await, "ok");
    let offset = NewOffset {
        offset: 99,
        leader_epoch: -1,
        metadata: String::new(),
    };
    let request = CommitRequest {
        group: "g".into(),
        member: String::new(),
        instance: None,
        generation: -1,
        offsets: vec![(partition("in", 0), offset)],
    };
    assert_eq!(world.groups.commit(request).await, [Ok(())]);
    assert_eq!(world.visible(), "a=13 b=2 offset=99");
    let after = World::over(world.log.after_crash());
    assert_eq!(after.visible(), "a=13 b=2 offset=99");
}

#[tokio::test]
async fn a_topic_that_is_deleted_does_not_hold_up_the_rest() {
    let world = World::new();
    let producer = world.open_transaction("t").await;
    world.log.drop_topic("b");
    assert_eq!(world.end("t", producer, true).await, "ok");
    assert_eq!(world.visible(), "a=13 b= offset=10");
}

#[tokio::test]
async fn what_open_transactions_hold_is_bounded() {
    let world = World::new();
    let first = world.init("t1").await;
    let second = world.init("t2").await;
    world.add("t1", first).await.unwrap();
    world.add("t2", second).await.unwrap();
    let text = "0123456789012345678901234567890123456789";
    let say =
        |id: &str, producer, sequence| outcome(world.produce(id, producer, "a", sequence, text));
    assert_eq!(say("t1", first, 0), "ok");
    assert_eq!(say("t1", first, 1), "ok");
    assert_eq!(say("t1", first, 2), "PolicyViolation");
    assert_eq!(say("t2", second, 0), "ok");
    assert_eq!(say("t2", second, 1), "ThrottlingQuotaExceeded");
    assert_eq!(world.end("t1", first, false).await, "ok");
    assert_eq!(say("t2", second, 1), "ok");
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let mut log = MemoryLog::new();
    let mut given = std::collections::HashSet::new();
    for start in 1..=3 {
        let world = World::over(log.clone());
        for _ in 0..1_500 {
            let request = InitRequest {
                timeout_ms: 0,
                expected: None,
            };
            let producer = world.transactions.init(None, request).await.unwrap();
            assert_eq!(producer.epoch, 0);
            assert!(given.insert(producer.id));
        }
        given.insert(world.init("t").await.id);
        // One more, for the transactional id, which keeps it.
        assert_eq!(given.len(), start * 1_500 + 1);
        log = world.log.after_crash();
    }
}

#[tokio::test]
async fn a_transactional_id_keeps_its_producer_id_until_it_is_forgotten() {
    let world = World::new();
    let first = world.init("t").await;
    world.clock.advance(6 * 24 * 3_600 * 1_000);
    world.transactions.expire();
    let again = world.init("t").await;
    assert_eq!((again.id, again.epoch), (first.id, 1));
    world.clock.advance(8 * 24 * 3_600 * 1_000);
    world.transactions.expire();
    assert_eq!(
        world.end("t", again, true).await,
        "InvalidProducerIdMapping"
    );
    assert_ne!(world.init("t").await.id, first.id);
    let error = world.transactions.init(
        Some("t"),
        InitRequest {
            timeout_ms: i32::MAX,
            expected: None,
        },
    );
    assert_eq!(outcome(error.await), "InvalidTransactionTimeout");
}
