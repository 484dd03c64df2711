//! A stream that a query makes, once others write it as well: what the query and the others put into it comes once, over
//! restarts and crashes.

use super::*;

const SET_UP: &str = "
    CREATE STREAM s (k BIGINT, x BIGINT);
    CREATE STREAM t (k BIGINT, x BIGINT);
    CREATE STREAM d WITH (partitions = 2) AS SELECT k, x, 's' AS source FROM s WHERE x > 0;
    CREATE MATERIALIZED VIEW v AS SELECT source, count(*) AS n, sum(x) AS total FROM d GROUP BY source;
    CREATE STREAM later AS SELECT x FROM d WHERE source <> 's';
    INSERT INTO s VALUES (1, 1), (2, 2), (3, 0);
    FLUSH";

const SHARE: &str = "INSERT INTO d SELECT k, x, 't' AS source FROM t";

async fn look(session: &mut Session) -> String {
    run(session, "FLUSH").await;
    let view = run(session, "SELECT source, n, total FROM v").await;
    let stream = "SELECT source, count(*), sum(x) FROM d GROUP BY source";
    assert_eq!(run(session, stream).await, view);
    let later = run(session, "SELECT count(*) FROM later").await;
    format!("{view}; {later}")
}

#[tokio::test(flavor = "multi_thread")]
async fn its_query_and_others_write_it() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    run(&mut session, SHARE).await;
    let writes = "INSERT INTO s VALUES (4, 4); INSERT INTO t VALUES (1, 10), (2, 20);
        INSERT INTO d VALUES (9, 900, 'client')";
    run(&mut session, writes).await;
    let all = "client 1 900, s 3 7, t 2 30; 3";
    assert_eq!(look(&mut session).await, all);
    let after_crash = crash(dir.path());
    engine.shutdown().await.unwrap();
    for dir in [crash(dir.path()), after_crash] {
        let engine = open(dir.path()).await;
        let mut session = engine.session(SessionParameters::default());
        assert_eq!(look(&mut session).await, all);
        run(&mut session, writes).await;
        assert_eq!(look(&mut session).await, "client 2 1800, s 4 11, t 4 60; 6");
        let again = crash(dir.path());
        engine.shutdown().await.unwrap();
        let engine = open(again.path()).await;
        let mut session = engine.session(SessionParameters::default());
        assert_eq!(look(&mut session).await, "client 2 1800, s 4 11, t 4 60; 6");
        engine.shutdown().await.unwrap();
    }
}

/// The checkpoint that a start finds is older than the moment from which others write.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_before_it_was_shared_adds_nothing() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    engine.shutdown().await.unwrap();
    let dir = crash(dir.path());
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, "INSERT INTO s VALUES (5, 5); FLUSH").await;
    // Nothing but the sharing happens in one of them.
    run(&mut session, SHARE).await;
    let just_shared = crash(dir.path());
    run(
        &mut session,
        "INSERT INTO s VALUES (6, 6); INSERT INTO t VALUES (1, 10); FLUSH",
    )
    .await;
    let used = crash(dir.path());
    engine.shutdown().await.unwrap();
    for (dir, expected) in [(just_shared, "s 3 8; 0"), (used, "s 4 14, t 1 10; 1")] {
        let engine = open(dir.path()).await;
        let mut session = engine.session(SessionParameters::default());
        assert_eq!(look(&mut session).await, expected);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_was_paused_then_goes_on_where_it_was() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    let queries = run(&mut session, "SHOW QUERIES").await;
    let query = queries
        .split([' ', ','])
        .find(|word| word.starts_with("CSAS_D_"))
        .unwrap();
    let paused = format!("PAUSE {query}; INSERT INTO s VALUES (4, 4)");
    run(&mut session, &paused).await;
    run(&mut session, SHARE).await;
    run(&mut session, "INSERT INTO t VALUES (1, 10)").await;
    assert_eq!(look(&mut session).await, "s 2 3, t 1 10; 1");
    let while_paused = crash(dir.path());
    engine.shutdown().await.unwrap();
    for dir in [crash(dir.path()), while_paused] {
        let engine = open(dir.path()).await;
        let mut session = engine.session(SessionParameters::default());
        assert_eq!(look(&mut session).await, "s 2 3, t 1 10; 1");
        run(&mut session, &format!("RESUME {query}")).await;
        assert_eq!(look(&mut session).await, "s 3 7, t 1 10; 1");
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminated_query_has_left_can_be_added_to() {
    let dir = TempDir::new().unwrap();
    let engine = open(dir.path()).await;
    let mut session = engine.session(SessionParameters::default());
    run(&mut session, SET_UP).await;
    let queries = run(&mut session, "SHOW QUERIES").await;
    let query = queries
        .split([' ', ','])
        .find(|word| word.starts_with("CSAS_D_"))
        .unwrap();
    run(&mut session, &format!("TERMINATE {query}")).await;
    run(
        &mut session,
        "INSERT INTO s VALUES (4, 4); INSERT INTO d VALUES (9, 900, 'client')",
    )
    .await;
    let expected = "client 1 900, s 2 3; 1";
    assert_eq!(look(&mut session).await, expected);
    let after_crash = crash(dir.path());
    engine.shutdown().await.unwrap();
    for dir in [crash(dir.path()), after_crash] {
        let engine = open(dir.path()).await;
        let mut session = engine.session(SessionParameters::default());
        assert_eq!(look(&mut session).await, expected);
        engine.shutdown().await.unwrap();
    }
}
