//! What drivers do.

use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _, pin_mut};
use pgwire_server::ServerConfig;
use tokio_postgres::NoTls;

use crate::{Server, run, show_error};

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_in_one_message() {
    let server = Server::start().await;
    let client = server.connect().await;
    let shown = [
        run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'); SELECT * FROM t ORDER BY id").await,
        // What stands behind the error is not run.
        run(&client, "INSERT INTO t VALUES (3, 'c'); SELECT nope FROM t; INSERT INTO t VALUES (4, 'd')").await,
        run(&client, "SELECT count(*) FROM t").await,
        run(&client, "").await,
        run(&client, "SELEC 1").await,
        run(&client, "SELECT 'é', nope").await,
    ];
    expect![[r#"
        (0)
        (2)
        # id | v
        1 | a
        2 | b
        (2)
        ERROR 42703: column "nope" does not exist at 39
        # count
        3
        (1)
        (0)
        ERROR 42601: syntax error at or near "SELEC" at 1
        ERROR 42703: column "nope" does not exist at 13"#]]
    .assert_eq(&shown.join("\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_gives_its_rows_in_parts() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3), (4), (5)",
        )
        .await
        .expect("a table");
    let transaction = client.transaction().await.expect("a transaction");
    let portal = transaction
        .bind("SELECT id FROM t ORDER BY id", &[])
        .await
        .expect("a portal");
    let mut parts = Vec::new();
    for rows_max in [2, 2, i32::MAX, 2] {
        let rows = transaction
            .query_portal(&portal, rows_max)
            .await
            .expect("rows");
        parts.push(
            rows.iter()
                .map(|row| row.get::<_, i32>(0))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(parts, [vec![1, 2], vec![3, 4], vec![5], vec![]]);
    // Negative numbers mean all rows, and nothing is reserved for them.
    let portal = transaction
        .bind("SELECT id FROM t ORDER BY id", &[])
        .await
        .expect("a portal");
    assert_eq!(
        transaction
            .query_portal(&portal, -1)
            .await
            .expect("rows")
            .len(),
        5
    );
    transaction.commit().await.expect("an end");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_the_session_goes_on() {
    let server = Server::start().await;
    let client = server.connect().await;
    let error = client
        .query("SELECT nope", &[])
        .await
        .expect_err("no such column");
    expect![[r#"ERROR 42703: column "nope" does not exist at 8"#]].assert_eq(&show_error(&error));
    assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    let error = client
        .prepare("SELECT 1; SELECT 2")
        .await
        .expect_err("two statements");
    expect!["ERROR 42601: cannot insert multiple commands into a prepared statement"]
        .assert_eq(&show_error(&error));
    assert!(client.query("", &[]).await.expect("nothing").is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_goes_both_ways() {
    let server = Server::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        .await
        .expect("a table");
    let sink = client
        .copy_in("COPY t FROM STDIN WITH (FORMAT csv)")
        .await
        .expect("copying");
    pin_mut!(sink);
    for piece in ["1,a\n2,", "\"b,\"\"c\"\n", "3,\n"] {
        sink.send(Bytes::from(piece)).await.expect("sent");
    }
    assert_eq!(sink.finish().await.expect("copied"), 3);
    for format in ["text", "csv", "json"] {
        let stream = client
            .copy_out(&format!(
                "COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT {format})"
            ))
            .await;
        let rows: Vec<Bytes> = stream.expect("copying").try_collect().await.expect("rows");
        // A message a row.
        assert_eq!(rows.len(), 3, "{format}");
    }
    let sink = client
        .copy_in("COPY t FROM STDIN WITH (FORMAT csv)")
        .await
        .expect("copying");
    pin_mut!(sink);
    sink.send(Bytes::from("4,d\nfive,e\n")).await.expect("sent");
    let error = sink.finish().await.expect_err("five is no number");
    expect![[r#"ERROR 22P02: invalid input syntax for type integer: "five""#]]
        .assert_eq(&show_error(&error));
    // Given up by the client.
    let sink = client
        .copy_in::<_, Bytes>("COPY t FROM STDIN")
        .await
        .expect("copying");
    drop(sink);
    expect![[r#"
        # count
        3
        (1)"#]]
    .assert_eq(&run(&client, "SELECT count(*) FROM t").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_result_comes_row_by_row_and_can_be_cancelled() {
    let server = Server::start().await;
    let client = server.connect().await;
    let writer = server.connect().await;
    client
        .batch_execute("CREATE STREAM s (x int); INSERT INTO s VALUES (1)")
        .await
        .expect("a stream");
    client
        .batch_execute("SET auto.offset.reset = 'earliest'")
        .await
        .ok();
    let token = client.cancel_token();
    let rows = client
        .query_raw("SELECT x FROM s EMIT CHANGES", Vec::<i32>::new())
        .await
        .expect("rows");
    pin_mut!(rows);
    let first = rows.next().await.expect("a row").expect("no error");
    assert_eq!(first.get::<_, i32>(0), 1);
    // Each row is sent when it comes, not when some buffer is full.
    writer
        .batch_execute("INSERT INTO s VALUES (2)")
        .await
        .expect("written");
    let second = rows.next().await.expect("a row").expect("no error");
    assert_eq!(second.get::<_, i32>(0), 2);
    token.cancel_query(NoTls).await.expect("sent");
    let error = loop {
        match rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("an endless result ended"),
        }
    };
    expect!["ERROR 57014: canceling statement due to user request"].assert_eq(&show_error(&error));
    assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_take_only_so_long() {
    let server = Server::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE STREAM s (x int); SET statement_timeout = '100ms'")
        .await
        .expect("a stream");
    let error = client
        .query("SELECT x FROM s EMIT CHANGES", &[])
        .await
        .expect_err("it takes longer");
    expect!["ERROR 57014: canceling statement due to statement timeout"]
        .assert_eq(&show_error(&error));
    assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_sessions() {
    let config = ServerConfig {
        max_connections: 3,
        reserved_connections: 1,
        ..ServerConfig::default()
    };
    let server = Server::start_with(config).await;
    let one = server.connect().await;
    let _two = server.connect().await;
    let refused = tokio_postgres::connect(&server.parameters(), NoTls)
        .await
        .err()
        .expect("too many");
    expect!["FATAL 53300: sorry, too many clients already"].assert_eq(&show_error(&refused));
    let privileged = server.parameters().replace("user=me", "user=postgres");
    assert!(tokio_postgres::connect(&privileged, NoTls).await.is_ok());
    // A place becomes free when its session has ended.
    drop(one);
    let mut free = false;
    for _ in 0..100 {
        free = tokio_postgres::connect(&server.parameters(), NoTls)
            .await
            .is_ok();
        if free {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(free);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_server_is_told() {
    let server = Server::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE STREAM s (x int)")
        .await
        .expect("a stream");
    // It runs when this returns.
    let rows = client
        .query_raw("SELECT x FROM s EMIT CHANGES", Vec::<i32>::new())
        .await
        .expect("rows");
    let endless = tokio::spawn(async move { rows.try_collect::<Vec<_>>().await });
    let idle = server.connect().await;
    server.stop().await;
    let error = endless
        .await
        .expect("no panic")
        .expect_err("the server has gone");
    expect!["FATAL 57P01: terminating connection due to administrator command"]
        .assert_eq(&show_error(&error));
    assert!(idle.query("SELECT 1", &[]).await.is_err());
}
