//! Queries that do not end: what they show, and the three ways to read them; queries paused, resumed and terminated.

use futures::StreamExt as _;
use tests::{Db, Row, Server, show};

async fn started() -> (Server, Db) {
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (k TEXT, x INT)").await;
    db.run("CREATE MATERIALIZED VIEW v AS SELECT k, SUM(x) AS total FROM s GROUP BY k")
        .await;
    db.run("INSERT INTO s VALUES ('a', 1)").await;
    (server, db)
}

fn text(rows: &[Row]) -> Vec<String> {
    rows.iter().map(show).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_shown_and_then_its_changes() {
    let (server, db) = started().await;
    let watcher = server.connect().await;
    let mut rows = watcher.subscribe("SELECT * FROM v EMIT CHANGES").await;
    assert_eq!(text(&rows.take(1).await), ["+|a|1"]);
    db.run("INSERT INTO s VALUES ('a', 2), ('b', 5)").await;
    let mut changes = text(&rows.take(3).await);
    changes.sort();
    assert_eq!(changes, ["+|a|3", "+|b|5", "-|a|1"]);
    let notices: Vec<String> = watcher
        .take_notices()
        .iter()
        .map(|notice| notice.message().to_owned())
        .collect();
    assert!(
        notices.iter().any(|notice| notice.contains("does not end")),
        "{notices:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_can_be_read_from_now_on() {
    let (server, db) = started().await;
    let watcher = server.connect().await;
    watcher.run("SET auto.offset.reset = 'latest'").await;
    let mut rows = watcher.subscribe("SELECT k, x FROM s EMIT CHANGES").await;
    // The row written before is not shown. When the query began is not told, so rows are written until one is seen.
    let writing = async {
        loop {
            db.run("INSERT INTO s VALUES ('now', 7)").await;
        }
    };
    let row = tokio::select! {
        row = rows.take(1) => row,
        () = writing => unreachable!("it writes for ever"),
    };
    assert_eq!(text(&row), ["now|7"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_shows_rows_as_they_come() {
    let (server, db) = started().await;
    let watcher = server.connect().await;
    let copy = watcher
        .client
        .copy_out("COPY (SELECT k, x FROM s EMIT CHANGES) TO STDOUT")
        .await
        .expect("COPY starts");
    let mut copy = std::pin::pin!(copy);
    assert_eq!(
        copy.next().await.expect("a row").expect("a row").as_ref(),
        b"a\t1\n"
    );
    db.run("INSERT INTO s VALUES ('b', 2)").await;
    assert_eq!(
        copy.next().await.expect("a row").expect("a row").as_ref(),
        b"b\t2\n"
    );
    watcher.cancel().await;
    let error = copy
        .next()
        .await
        .expect("an end")
        .expect_err("it was cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_waits_for_its_rows() {
    let (server, db) = started().await;
    let reader = server.connect().await;
    reader
        .run("BEGIN; DECLARE c CURSOR FOR SELECT k, x FROM s EMIT CHANGES")
        .await;
    assert_eq!(text(&reader.rows("FETCH 1 FROM c").await), ["a|1"]);
    let (rows, ()) = tokio::join!(reader.rows("FETCH 2 FROM c"), async {
        db.run("INSERT INTO s VALUES ('b', 2)").await;
        db.run("INSERT INTO s VALUES ('c', 3)").await;
    });
    assert_eq!(text(&rows), ["b|2", "c|3"]);
    reader.run("CLOSE c; COMMIT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_paused_resumed_and_terminated() {
    let (_server, db) = started().await;
    let queries = db.rows("SHOW QUERIES").await;
    let id = queries[0][0].clone().expect("a name");
    db.run("SET consistency = 'eventual'").await;
    db.run(&format!("PAUSE {id}")).await;
    db.run("INSERT INTO s VALUES ('a', 10)").await;
    assert_eq!(db.table("SELECT total FROM v").await, "1");
    db.run(&format!("RESUME {id}")).await;
    db.run("SET consistency = 'strict'").await;
    assert_eq!(db.table("SELECT total FROM v").await, "11");
    db.run(&format!("TERMINATE {id}")).await;
    assert!(
        db.rows("SHOW QUERIES")
            .await
            .iter()
            .all(|query| query[0].as_ref() != Some(&id))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_a_row_is_logged_and_stops_nothing() {
    let (_server, db) = started().await;
    db.run("CREATE MATERIALIZED VIEW quotients AS SELECT k, x, 10 / x AS q FROM s")
        .await;
    db.run("INSERT INTO s VALUES ('zero', 0), ('two', 2)").await;
    assert_eq!(
        db.table("SELECT k, q FROM quotients").await,
        "a|10\ntwo|5\nzero|NULL"
    );
    // The entry is written beside the query, not in its epoch, so it is waited for.
    let mut entries = db
        .subscribe("SELECT * FROM processing_log EMIT CHANGES")
        .await;
    let entry = text(&entries.take(1).await);
    assert!(entry[0].contains("division by zero"), "{entry:?}");
}
