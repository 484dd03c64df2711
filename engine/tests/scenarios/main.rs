//! What must hold when queries are paused, resumed and created while others turn, and after crashes:
//! each row counts once everywhere.

mod sharing;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::response::Response;
use engine::{Engine, EngineConfig, Session, SessionParameters};
use futures::TryStreamExt;
use tempfile::TempDir;

/// An engine that takes no checkpoint but the one at its end.
async fn open(dir: &Path) -> Arc<Engine> {
    open_with(config(dir)).await
}

fn config(dir: &Path) -> EngineConfig {
    EngineConfig {
        data_dir: dir.to_owned(),
        workers: 2,
        sync: false,
        checkpoint_interval: Duration::from_secs(3600),
        ..EngineConfig::default()
    }
}

async fn open_with(config: EngineConfig) -> Arc<Engine> {
    tokio::task::spawn_blocking(|| Engine::open(config).unwrap())
        .await
        .unwrap()
}

async fn run(session: &mut Session, text: &str) -> String {
    let mut answer = Vec::new();
    for statement in session.parse(text).unwrap() {
        let response = session.execute(&statement, &[]).await;
        let response = response.unwrap_or_else(|error| panic!("{text}: {error}"));
        let Response::Rows(rows) = response else {
            continue;
        };
        let batches: Vec<_> = rows.batches.try_collect().await.unwrap();
        for batch in batches {
            let options = FormatOptions::default().with_null("NULL");
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            for row in 0..batch.num_rows() {
                let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
                answer.push(values.join(" "));
            }
        }
    }
    answer.sort();
    answer.join(", ")
}

/// A copy of what is on disk now, which is what a crash leaves.
fn crash(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for part in ["state", "log"] {
        copy(&from.join(part), &to.path().join(part));
    }
    to
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

const SET_UP: &str = "
    CREATE STREAM s (k BIGINT, x BIGINT);
    CREATE MATERIALIZED VIEW v AS SELECT k, sum(x) AS total FROM s GROUP BY k;
    CREATE MATERIALIZED VIEW w AS SELECT count(*) AS groups, sum(total) AS total FROM v;
    INSERT INTO s VALUES (1, 1), (2, 2);
    FLUSH";

/// The id of the query behind a view.
async fn query_of(session: &mut Session, view: &str) -> String {
    let rows = run(session, "SHOW QUERIES").await;
    rows.split([' ', ','])
        .find(|word| word.to_uppercase().starts_with(&format!("CTAS_{view}_")))
        .unwrap_or_else(|| panic!("no query of {view} in {rows}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_resumed_query_has_missed_comes_to_its_readers_once() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    let query = query_of(&mut session, "V").await;
    run(
        &mut session,
        &format!("PAUSE {query}; INSERT INTO s VALUES (3, 30)"),
    )
    .await;
    // A reader that comes while the resumed query hands over, and rows that come in the same round.
    run(
        &mut session,
        &format!(
            "RESUME {query};
             CREATE MATERIALIZED VIEW late AS SELECT count(*) AS groups, sum(total) AS total FROM v;
             INSERT INTO s VALUES (1, 10); INSERT INTO s VALUES (4, 400); FLUSH"
        ),
    )
    .await;
    assert_eq!(
        run(&mut session, "SELECT * FROM v").await,
        "1 11, 2 2, 3 30, 4 400"
    );
    assert_eq!(run(&mut session, "SELECT * FROM w").await, "4 443");
    assert_eq!(run(&mut session, "SELECT * FROM late").await, "4 443");
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_query_inserts_are_inserted_once_over_a_crash() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(
        &mut session,
        "CREATE STREAM a (x BIGINT); CREATE STREAM b (x BIGINT); INSERT INTO a VALUES (1);
         INSERT INTO b SELECT x FROM a; FLUSH",
    )
    .await;
    engine.shutdown().await.unwrap();
    let copied = crash(dir.path());
    let engine = open(copied.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(
        &mut session,
        "INSERT INTO a VALUES (2); FLUSH; INSERT INTO a VALUES (3); FLUSH; INSERT INTO b VALUES (100)",
    )
    .await;
    let before = run(&mut session, "SELECT x FROM b").await;
    assert_eq!(before, "1, 100, 2, 3");
    let copied = crash(copied.path());
    engine.shutdown().await.unwrap();
    let engine = open(copied.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, "FLUSH").await;
    assert_eq!(run(&mut session, "SELECT x FROM b").await, before);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_new_rows_loses_none_in_a_crash_before_its_first_checkpoint() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(
        &mut session,
        "CREATE STREAM s (x BIGINT); INSERT INTO s VALUES (1);
         SET auto.offset.reset = 'latest';
         CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(x) AS total FROM s; FLUSH;
         INSERT INTO s VALUES (10), (20); FLUSH",
    )
    .await;
    assert_eq!(run(&mut session, "SELECT * FROM v").await, "2 30");
    let copied = crash(dir.path());
    engine.shutdown().await.unwrap();
    let engine = open(copied.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, "FLUSH").await;
    assert_eq!(run(&mut session, "SELECT * FROM v").await, "2 30");
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_may_move_every_key_to_its_neighbour() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(
        &mut session,
        "CREATE TABLE t (id BIGINT PRIMARY KEY, x BIGINT);
         INSERT INTO t SELECT value, value FROM generate_series(1, 20000) AS g(value);
         UPDATE t SET id = id + 1",
    )
    .await;
    assert_eq!(
        run(
            &mut session,
            "SELECT count(*), min(id), max(id), sum(id - x) FROM t"
        )
        .await,
        "20000 2 20001 20000"
    );
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminated_query_has_left_survives_a_crash() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    let query = query_of(&mut session, "W").await;
    run(
        &mut session,
        &format!("INSERT INTO s VALUES (3, 4); FLUSH; TERMINATE {query}"),
    )
    .await;
    assert_eq!(run(&mut session, "SELECT * FROM w").await, "3 7");
    let copied = crash(dir.path());
    engine.shutdown().await.unwrap();
    let engine = open(copied.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, "INSERT INTO s VALUES (5, 100); FLUSH").await;
    assert_eq!(run(&mut session, "SELECT * FROM w").await, "3 7");
    assert_eq!(
        run(&mut session, "SELECT * FROM v").await,
        "1 1, 2 2, 3 4, 5 100"
    );
    engine.shutdown().await.unwrap();
}
