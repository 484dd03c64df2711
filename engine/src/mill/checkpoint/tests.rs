use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use expect_test::expect;
use futures::TryStreamExt;

use crate::records::{BatchBuilder, Codec, split_batches};
use crate::response::Response;
use crate::topics::NewTopic;
use crate::{Engine, EngineConfig, SessionParameters};

async fn open(dir: &Path) -> Arc<Engine> {
    let config = EngineConfig {
        data_dir: dir.to_owned(),
        workers: 1,
        sync: false,
        checkpoint_interval: Duration::from_secs(3600),
        ..EngineConfig::default()
    };
    let opened = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    opened.unwrap().unwrap()
}

/// Runs statements; gives the rows of the last as a table.
async fn run(engine: &Arc<Engine>, text: &str) -> String {
    let mut session = engine.session(SessionParameters::default());
    let mut shown = String::new();
    for statement in session.parse(text).unwrap() {
        if let Response::Rows(rows) = session.execute(&statement, &[]).await.unwrap() {
            let batches: Vec<_> = rows.batches.try_collect().await.unwrap();
            shown = format!("{}\n", pretty_format_batches(&batches).unwrap());
        }
    }
    shown
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Makes a compacted topic as a Kafka client does.
async fn create_compacted(engine: &Arc<Engine>, name: &str) {
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "4096")];
    let new = NewTopic {
        name: name.to_owned(),
        partitions: 1,
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    engine.topics().create(new, false).await.unwrap();
}

/// Writes batch after batch with a record of each of ten keys.
async fn produce(engine: &Arc<Engine>, topic: &str, batches: std::ops::Range<u32>) {
    let topics = engine.topics();
    for number in batches {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        for key in 0..10 {
            let value = format!("{{\"x\": {number}}}");
            builder.append(
                1_000,
                Some(format!("k{key}").as_bytes()),
                Some(value.as_bytes()),
            );
        }
        let prepared = topics.prepare(topic, 0, builder.build(0)).unwrap();
        topics.append(vec![prepared]).await.unwrap();
    }
}

/// Offset, key and value of each record that a consumer gets from the beginning.
fn consume(engine: &Arc<Engine>, topic: &str) -> Vec<(i64, String, String)> {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut found = Vec::new();
    let mut next = 0;
    loop {
        let fetched = engine.topics().fetch(topic, 0, next, 1 << 20).unwrap();
        if fetched.chunks.is_empty() {
            return found;
        }
        for batch in split_batches(fetched.chunks.concat().into()).unwrap() {
            batch.validate().unwrap();
            for record in &batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                let offset = batch.base_offset() + i64::from(record.offset_delta);
                found.push((offset, text(record.key), text(record.value)));
            }
            next = batch.base_offset() + i64::from(batch.last_offset_delta()) + 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_kafka_clients_that_nobody_here_reads_are_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    create_compacted(&engine, "c").await;
    produce(&engine, "c", 0..100).await;
    // Nothing is dirty: there is no query and no table.
    engine.mill.checkpoint().unwrap();
    engine.log.run_maintenance_once().unwrap();
    let found = consume(&engine, "c");
    assert!(found.len() < 500, "{}", found.len());
    let last: Vec<_> = (0..10)
        .map(|key| (990 + key, format!("k{key}"), "{\"x\": 99}".to_owned()))
        .collect();
    assert_eq!(found[found.len() - 10..], last);
    for (offset, key, value) in &found {
        assert_eq!(*key, format!("k{}", offset % 10));
        assert_eq!(*value, format!("{{\"x\": {}}}", offset / 10));
    }
    engine.shutdown().await.unwrap();
}

/// What comes after the last checkpoint would be replayed after a crash, and must come out the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_query_reads_is_compacted_only_up_to_what_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    create_compacted(&engine, "c").await;
    run(
        &engine,
        "CREATE STREAM s (x BIGINT) WITH (topic = 'c', value_format = 'json');
         CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s",
    )
    .await;
    produce(&engine, "c", 0..100).await;
    run(&engine, "FLUSH").await;
    engine.log.run_maintenance_once().unwrap();
    assert_eq!(consume(&engine, "c").len(), 1000);
    engine.mill.checkpoint().unwrap();
    engine.log.run_maintenance_once().unwrap();
    let left = consume(&engine, "c").len();
    assert!(left < 500, "{left}");
    produce(&engine, "c", 100..200).await;
    run(&engine, "FLUSH").await;
    engine.log.run_maintenance_once().unwrap();
    assert_eq!(consume(&engine, "c").len(), left + 1000);
    expect![[r#"
        +------+
        | n    |
        +------+
        | 2000 |
        +------+
    "#]]
    .assert_eq(&run(&engine, "SELECT * FROM v").await);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_a_full_disk_refused_is_written_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path()).await;
    run(
        &engine,
        "CREATE TABLE t (id BIGINT PRIMARY KEY, x BIGINT);
         CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(x) AS total FROM t;
         INSERT INTO t VALUES (1, 1), (2, 2), (3, 3); FLUSH",
    )
    .await;
    engine.mill.checkpoint().unwrap();
    engine.mill.store.refuses.store(true, Ordering::Release);
    run(&engine, "UPDATE t SET x = 20 WHERE id = 2; FLUSH").await;
    assert!(engine.mill.checkpoint().is_err());
    run(&engine, "DELETE FROM t WHERE id = 1; FLUSH").await;
    assert!(engine.mill.checkpoint().is_err());
    engine.mill.store.refuses.store(false, Ordering::Release);
    run(&engine, "INSERT INTO t VALUES (4, 400); FLUSH").await;
    engine.mill.checkpoint().unwrap();
    let frontier = engine.mill.frontier();
    assert_eq!(
        engine.mill.store.meta().unwrap().unwrap().frontier,
        frontier
    );

    let crashed = tempfile::tempdir().unwrap();
    for part in ["state", "log"] {
        copy(&dir.path().join(part), &crashed.path().join(part));
    }
    engine.shutdown().await.unwrap();
    let engine = open(crashed.path()).await;
    expect![[r#"
        +---+-------+
        | n | total |
        +---+-------+
        | 3 | 423   |
        +---+-------+
    "#]]
    .assert_eq(&run(&engine, "FLUSH; SELECT * FROM v").await);
    expect![[r#"
        +----+-----+
        | id | x   |
        +----+-----+
        | 2  | 20  |
        | 3  | 3   |
        | 4  | 400 |
        +----+-----+
    "#]]
    .assert_eq(&run(&engine, "SELECT * FROM t ORDER BY id").await);
    engine.shutdown().await.unwrap();
}
