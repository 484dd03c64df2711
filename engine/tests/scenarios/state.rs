//! State that is damaged, that is too large, and that is only on disk.

use std::path::Path;
use std::time::Duration;

use engine::response::Response;
use engine::{EngineConfig, Session, SessionParameters};
use futures::StreamExt;
use tempfile::TempDir;

use crate::{config, crash, open, open_with, query_of, run};

const RELATIONS: &str = "
    CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT);
    CREATE TABLE bag (n BIGINT, name TEXT);
    CREATE STREAM s (k BIGINT, x BIGINT);
    CREATE MATERIALIZED VIEW totals AS SELECT k, sum(x) AS total FROM s GROUP BY k;
    CREATE MATERIALIZED VIEW named AS
        SELECT t.name, totals.total FROM totals JOIN t ON totals.k = t.id;
    CREATE MATERIALIZED VIEW grand AS SELECT count(*) AS n, sum(total) AS total FROM named;
    CREATE STREAM big AS SELECT k, x FROM s WHERE x > 500;
    CREATE MATERIALIZED VIEW bigs AS SELECT k, count(*) AS n FROM big GROUP BY k;";

const QUESTIONS: [&str; 6] = [
    "SELECT count(*), min(name), max(name) FROM t",
    "SELECT count(*), sum(n) FROM bag",
    "SELECT count(*), sum(total) FROM totals",
    "SELECT count(*), sum(total), max(name) FROM named",
    "SELECT * FROM grand",
    "SELECT count(*), sum(n) FROM bigs",
];

async fn answers(session: &mut Session) -> Vec<String> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(run(session, question).await);
    }
    answers
}

async fn fill(session: &mut Session) {
    for part in 0..10 {
        let rows = |columns: fn(i64) -> String| -> String {
            let rows: Vec<String> = (part * 100..part * 100 + 100).map(columns).collect();
            rows.join(", ")
        };
        let t = rows(|n| format!("({n}, 'the name of number {n}')"));
        let bag = rows(|n| format!("({n}, 'bag {}')", n % 7));
        let s = rows(|n| format!("({}, {n})", n % 250));
        run(
            session,
            &format!(
                "INSERT INTO t VALUES {t}; INSERT INTO bag VALUES {bag}; INSERT INTO s VALUES {s}"
            ),
        )
        .await;
    }
    run(
        session,
        "DELETE FROM t WHERE id % 10 = 3; UPDATE t SET name = 'changed' WHERE id = 5;
         DELETE FROM bag WHERE n % 3 = 0; FLUSH",
    )
    .await;
}

/// Flips bytes of every table file of the state store, from a share of its length on.
fn damage(dir: &Path, eighth: usize) -> usize {
    let mut damaged = 0;
    for entry in std::fs::read_dir(dir.join("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = std::fs::read(&path).unwrap();
            let from = bytes.len() * eighth / 8;
            for byte in bytes.iter_mut().skip(from).take(64) {
                *byte ^= 0x55;
            }
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    damaged
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_is_computed_anew() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, RELATIONS).await;
    fill(&mut session).await;
    let expected = answers(&mut session).await;
    engine.shutdown().await.unwrap();
    // What is in the store's own log is written to tables when it is opened.
    let second = crash(dir.path());
    open(second.path()).await.shutdown().await.unwrap();
    for eighth in 0..8 {
        let copy = crash(second.path());
        assert!(damage(copy.path(), eighth) > 0);
        let engine = open(copy.path()).await;
        let mut session = engine.session(SessionParameters::default());
        run(&mut session, "FLUSH").await;
        assert_eq!(answers(&mut session).await, expected, "eighth {eighth}");
        run(
            &mut session,
            "INSERT INTO s VALUES (1, 1000), (9999, 1); INSERT INTO bag VALUES (1, 'x'); FLUSH",
        )
        .await;
        let changed = answers(&mut session).await;
        assert_ne!(changed, expected);
        engine.shutdown().await.unwrap();
        let again = crash(copy.path());
        let engine = open(again.path()).await;
        let mut session = engine.session(SessionParameters::default());
        run(&mut session, "FLUSH").await;
        assert_eq!(answers(&mut session).await, changed, "eighth {eighth}");
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_may_be_larger_than_memory() {
    let dir = TempDir::new().unwrap();
    let evicting = |dir: &Path| EngineConfig {
        checkpoint_interval: Duration::from_millis(5),
        state_memory: Some(1),
        ..config(dir)
    };
    let engine = open_with(evicting(dir.path())).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, RELATIONS).await;
    fill(&mut session).await;
    let evicted = answers(&mut session).await;
    engine.shutdown().await.unwrap();
    let copy = crash(dir.path());
    let engine = open(copy.path()).await;
    let mut session = engine.session(SessionParameters::default());
    assert_eq!(answers(&mut session).await, evicted);
    // All of it computed in memory.
    let other = TempDir::new().unwrap();
    let in_memory = open(other.path()).await;
    let mut session = in_memory.session(SessionParameters::default());
    run(&mut session, RELATIONS).await;
    fill(&mut session).await;
    assert_eq!(answers(&mut session).await, evicted);
    engine.shutdown().await.unwrap();
    in_memory.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_exceeds_its_limit_stops_and_says_so() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(
        &mut session,
        "CREATE STREAM s (k BIGINT, x BIGINT);
         CREATE MATERIALIZED VIEW small AS SELECT count(*) AS n FROM s;
         CREATE MATERIALIZED VIEW large WITH (state_limit = '200kB') AS
            SELECT k, count(*) AS n FROM s GROUP BY k;
         INSERT INTO s VALUES (1, 1); FLUSH",
    )
    .await;
    assert_eq!(run(&mut session, "SELECT * FROM large").await, "1 1");
    let mut watcher = engine.session(SessionParameters::default());
    let statement = &watcher.parse("SELECT * FROM large EMIT CHANGES").unwrap()[0];
    let Response::Rows(rows) = watcher.execute(statement, &[]).await.unwrap() else {
        panic!("a push query gives rows");
    };
    let mut pushed = rows.batches;
    assert!(pushed.next().await.unwrap().is_ok());

    let rows: Vec<String> = (0..20_000).map(|n| format!("({n}, {n})")).collect();
    let insert = format!("INSERT INTO s VALUES {}; FLUSH", rows.join(", "));
    run(&mut session, &insert).await;
    let queries = run(&mut session, "SHOW QUERIES").await;
    assert!(
        queries.contains("FAILED: out of memory: the state of the query takes"),
        "{queries}"
    );
    let statement = &session.parse("SELECT * FROM large").unwrap()[0];
    assert!(session.execute(statement, &[]).await.is_err());
    assert_eq!(run(&mut session, "SELECT * FROM small").await, "20001");
    // Who watches it is told, perhaps after rows that came before.
    let ended = loop {
        match pushed.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the push query ends with an error"),
        }
    };
    assert!(ended.to_string().contains("not maintained"), "{ended}");
    run(&mut session, "DROP MATERIALIZED VIEW large; FLUSH").await;
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_queries_in_a_row_that_were_paused_miss_nothing() {
    for crashes in [false, true] {
        let dir = TempDir::new().unwrap();
        let mut engine = open(dir.path()).await;
        let mut session = engine.session(SessionParameters::default());
        run(
            &mut session,
            "CREATE STREAM s (k BIGINT, x BIGINT);
             CREATE STREAM d AS SELECT k, x FROM s WHERE x > 0;
             CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(x) AS total FROM d;
             INSERT INTO s VALUES (1, 1); FLUSH",
        )
        .await;
        let shown = run(&mut session, "SHOW QUERIES").await;
        let first = shown
            .split([' ', ','])
            .find(|word| word.starts_with("CSAS_D_"))
            .unwrap()
            .to_owned();
        let second = query_of(&mut session, "V").await;
        run(
            &mut session,
            &format!(
                "PAUSE {first}; INSERT INTO s VALUES (1, 10); FLUSH;
                 PAUSE {second}; INSERT INTO s VALUES (1, 100); FLUSH"
            ),
        )
        .await;
        let copy;
        if crashes {
            engine.shutdown().await.unwrap();
            copy = crash(dir.path());
            engine = open(copy.path()).await;
            session = engine.session(SessionParameters::default());
        }
        run(
            &mut session,
            &format!("RESUME {first}; FLUSH; RESUME {second}; FLUSH; INSERT INTO s VALUES (1, 1000); FLUSH"),
        )
        .await;
        assert_eq!(run(&mut session, "SELECT * FROM v").await, "4 1111");
        engine.shutdown().await.unwrap();
    }
}
