//! The coordinator over the engine's own log, with restarts.

use std::collections::BTreeMap;

use engine::EngineConfig;
use engine::records::{BatchBuilder, Codec, split_batches};
use engine::topics::NewTopic;
use kafka_protocol::ResponseError;

use super::*;
use crate::coordinator::group::{Committer, PartitionName};
use crate::coordinator::groups::{CommitRequest, FetchedOffset, NewOffset};
use crate::coordinator::transaction::{InitRequest, Producer};
use crate::coordinator::{Coordinator, CoordinatorConfig};

/// An engine in a directory, with its coordinator.
struct Server {
    engine: Arc<Engine>,
    coordinator: Arc<Coordinator>,
}

impl Server {
    async fn start(dir: &std::path::Path) -> Self {
        let config = EngineConfig {
            data_dir: dir.to_owned(),
            workers: 1,
            ..EngineConfig::default()
        };
        tokio::task::spawn_blocking(|| {
            let engine = Engine::open(config).unwrap();
            let coordinator = Coordinator::of_engine(&engine, CoordinatorConfig::default());
            Self {
                engine,
                coordinator: coordinator.unwrap(),
            }
        })
        .await
        .unwrap()
    }

    async fn stop(self) {
        self.engine.shutdown().await.unwrap();
    }

    async fn create(&self, name: &str) {
        let new = NewTopic {
            name: name.into(),
            partitions: 2,
            settings: BTreeMap::new(),
        };
        self.engine.topics().create(new, false).await.unwrap();
    }

    async fn init(&self) -> Producer {
        let request = InitRequest {
            timeout_ms: 60_000,
            expected: None,
        };
        let producer = self.coordinator.transactions.init(Some("t"), request);
        producer.await.unwrap()
    }

    /// A transaction over both topics and a group, not ended.
    async fn open_transaction(&self, producer: Producer, sequence: i32) {
        let partitions = vec![partition("a"), partition("b")];
        let group = Some("g".to_owned());
        let transactions = &self.coordinator.transactions;
        transactions
            .add("t", producer, partitions, group)
            .await
            .unwrap();
        for topic in ["a", "b"] {
            self.produce(topic, producer, sequence).unwrap();
        }
        let committer = Committer {
            member: "",
            instance: None,
            generation: -1,
            transactional: true,
        };
        let offsets = vec![(partition("a"), new_offset(i64::from(sequence) + 10))];
        let answers = transactions.commit_offsets("t", producer, "g", committer, offsets);
        assert_eq!(answers.unwrap(), [Ok(())]);
    }

    fn produce(&self, topic: &str, producer: Producer, sequence: i32) -> Result<(), ResponseError> {
        let mut builder = BatchBuilder::new(Codec::Lz4).transactional().producer(
            producer.id,
            producer.epoch,
            sequence,
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        builder.append(
            now.unwrap().as_millis() as i64,
            None,
            Some(format!("{topic}{sequence}").as_bytes()),
        );
        let prepared = self
            .engine
            .topics()
            .prepare(topic, 1, builder.build(0))
            .unwrap();
        self.coordinator.produce_transactional("t", 1, prepared)
    }

    async fn end(&self, producer: Producer, commit: bool) -> Result<(), ResponseError> {
        self.coordinator
            .transactions
            .end("t", producer, commit)
            .await
    }

    /// The values in a topic's second partition.
    fn values(&self, topic: &str) -> Vec<String> {
        let fetched = self.engine.topics().fetch(topic, 1, 0, 1 << 20).unwrap();
        let mut values = Vec::new();
        for batch in split_batches(fetched.chunks.concat().into()).unwrap() {
            for record in &batch.records(1 << 20).unwrap() {
                let value = record.unwrap().value.unwrap().to_vec();
                values.push(String::from_utf8(value).unwrap());
            }
        }
        values
    }

    fn offset(&self) -> i64 {
        let fetched = self
            .coordinator
            .groups
            .fetch("g", Some(vec![partition("a")]), true);
        match &fetched[0].1 {
            FetchedOffset::Committed(committed) => committed.offset,
            FetchedOffset::None => -1,
            FetchedOffset::Unstable => -2,
        }
    }
}

fn partition(topic: &str) -> PartitionName {
    PartitionName {
        topic: topic.into(),
        partition: 1,
    }
}

fn new_offset(offset: i64) -> NewOffset {
    NewOffset {
        offset,
        leader_epoch: -1,
        metadata: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_one_append_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.create("a").await;
    server.create("b").await;
    let producer = server.init().await;
    server.open_transaction(producer, 0).await;
    assert!(server.values("a").is_empty() && server.values("b").is_empty());
    assert_eq!(server.offset(), -2);
    assert_eq!(server.end(producer, true).await, Ok(()));
    assert_eq!(
        (server.values("a"), server.values("b")),
        (vec!["a0".into()], vec!["b0".into()])
    );
    assert_eq!(server.offset(), 10);
    // Another is open when the server ends.
    server.open_transaction(producer, 1).await;
    server.stop().await;

    let server = Server::start(dir.path()).await;
    assert_eq!(
        (server.values("a"), server.values("b")),
        (vec!["a0".into()], vec!["b0".into()])
    );
    assert_eq!(server.offset(), 10);
    let lost = server.end(producer, true).await;
    assert_eq!(lost, Err(ResponseError::UnknownProducerId));
    assert_eq!(
        server.produce("a", producer, 2),
        Err(ResponseError::UnknownProducerId)
    );
    let next = server.init().await;
    assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 1));
    server.open_transaction(next, 0).await;
    assert_eq!(server.end(next, true).await, Ok(()));
    assert_eq!(server.values("a"), ["a0", "a0"]);
    assert_eq!(
        server.end(producer, true).await,
        Err(ResponseError::ProducerFenced)
    );
    server.stop().await;

    let server = Server::start(dir.path()).await;
    assert_eq!(server.end(next, true).await, Ok(()));
    assert_eq!(server.values("b"), ["b0", "b0"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_seen_by_sql_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.create("a").await;
    for offset in 0..20 {
        let commit = CommitRequest {
            group: "g".into(),
            member: String::new(),
            instance: None,
            generation: -1,
            offsets: vec![(partition("a"), new_offset(offset))],
        };
        assert_eq!(server.coordinator.groups.commit(commit).await, [Ok(())]);
    }
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let groups = server.engine.consumer_groups();
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].id.as_str(), groups[0].state.as_str()),
        ("g", "Empty")
    );
    assert_eq!(groups[0].offsets[0].offset, 19);
    assert_eq!(server.coordinator.groups.delete("g").await, Ok(()));
    server.stop().await;
    let server = Server::start(dir.path()).await;
    assert!(server.engine.consumer_groups().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_does_not_hold_up_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.create("a").await;
    server.create("b").await;
    let producer = server.init().await;
    server.open_transaction(producer, 0).await;
    server.engine.topics().delete("b").await.unwrap();
    assert_eq!(server.end(producer, true).await, Ok(()));
    assert_eq!(server.values("a"), ["a0"]);
    // One that is made anew under the same name is another.
    server.create("b").await;
    server.open_transaction(producer, 1).await;
    server.engine.topics().delete("b").await.unwrap();
    server.create("b").await;
    assert_eq!(server.end(producer, true).await, Ok(()));
    assert_eq!(server.values("a"), ["a0", "a1"]);
    assert!(server.values("b").is_empty());
    server.stop().await;
}
