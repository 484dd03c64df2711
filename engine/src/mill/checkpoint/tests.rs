use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use expect_test::expect;
use futures::TryStreamExt;

use crate::response::Response;
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
