//! Starting, stopping and starting again.

use tests::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_a_restart_and_after_a_crash() {
    let mut server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (k TEXT, x INT)").await;
    db.run("CREATE TABLE t (k TEXT PRIMARY KEY, name TEXT)")
        .await;
    db.run("CREATE MATERIALIZED VIEW v AS SELECT t.name, SUM(s.x) AS total FROM s JOIN t ON s.k = t.k GROUP BY t.name").await;
    db.run("INSERT INTO s VALUES ('a', 1), ('b', 2)").await;
    db.run("INSERT INTO t VALUES ('a', 'Ann'), ('b', 'Bob')")
        .await;
    let view = "SELECT name, total FROM v";
    assert_eq!(db.table(view).await, "Ann|1\nBob|2");
    server.restart().await;
    let db = server.connect().await;
    assert_eq!(db.table(view).await, "Ann|1\nBob|2");
    db.run("INSERT INTO s VALUES ('a', 10)").await;
    db.run("UPDATE t SET name = 'Rob' WHERE k = 'b'").await;
    server.crash().await;
    let db = server.connect().await;
    assert_eq!(db.table(view).await, "Ann|11\nRob|2");
    db.run("DROP MATERIALIZED VIEW v").await;
    server.crash().await;
    let db = server.connect().await;
    assert_eq!(db.error_code(view).await, "42P01");
    assert_eq!(db.table("SELECT k, x FROM s").await, "a|1\na|10\nb|2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_runs() {
    let mut server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (x INT)").await;
    db.run("INSERT INTO s VALUES (1)").await;
    let mut rows = db.subscribe("SELECT x FROM s EMIT CHANGES").await;
    rows.take(1).await;
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    let error = rows.next().await.expect_err("the server is gone");
    let code = error.code().map(|code| code.code().to_owned());
    assert!(
        code.is_none() || code.as_deref() == Some("57P01"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_told() {
    let server = Server::start().await;
    let output = tokio::process::Command::new(tests::millpond())
        .args([
            "server",
            "--pg-port",
            &server.address().port().to_string(),
            "--data-dir",
        ])
        .arg(server.scratch().join("other"))
        .env("HOME", server.scratch())
        .output()
        .await
        .expect("it runs");
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
}
