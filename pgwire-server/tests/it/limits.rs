//! What one session may hold, and for how long.

use pgwire_server::ServerConfig;
use tokio_postgres::Client;

use crate::{Server, run, show_error};

/// Prepares statements until one is refused; how many there are then, and why.
async fn prepare_all(client: &Client, text: &str) -> (usize, String) {
    let mut held = Vec::new();
    loop {
        match client.prepare(text).await {
            Ok(statement) => held.push(statement),
            Err(error) => return (held.len(), show_error(&error)),
        }
        assert!(held.len() < 100, "nothing is refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_are_bounded() {
    let server = Server::start_with(ServerConfig {
        prepared_statements_max: 5,
        prepared_text_bytes_max: 1000,
        ..ServerConfig::default()
    })
    .await;
    let client = server.connect().await;
    let refused = "ERROR 54000: too many prepared statements";
    assert_eq!(
        prepare_all(&client, "SELECT 1").await,
        (5, refused.to_owned())
    );
    let client = server.connect().await;
    let long = format!("SELECT '{}'", "x".repeat(400));
    assert_eq!(prepare_all(&client, &long).await, (2, refused.to_owned()));
    // What was dropped has been closed by the driver, so there is room again.
    assert_eq!(run(&client, "SELECT 1 AS one").await, "# one\n1\n(1)");
    assert!(client.query("SELECT 1", &[]).await.is_ok());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_are_bounded() {
    let server = Server::start_with(ServerConfig {
        portals_max: 3,
        portal_bytes_max: 1000,
        ..ServerConfig::default()
    })
    .await;
    let mut client = server.connect().await;
    let statement = client
        .prepare("SELECT $1::text")
        .await
        .expect("a statement");
    for (value, expected) in [("x".to_owned(), 3), ("x".repeat(400), 2)] {
        let transaction = client.transaction().await.expect("a transaction");
        let mut portals = Vec::new();
        let error = loop {
            match transaction.bind(&statement, &[&value]).await {
                Ok(portal) => portals.push(portal),
                Err(error) => break show_error(&error),
            }
            assert!(portals.len() < 100, "nothing is refused");
        };
        assert_eq!(
            (portals.len(), error.as_str()),
            (expected, "ERROR 54000: too many portals")
        );
        drop(portals);
        transaction.rollback().await.expect("an end");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_may_idle_only_so_long() {
    let server = Server::start().await;
    let client = server.connect().await;
    run(
        &client,
        "SET idle_in_transaction_session_timeout = '100ms'; BEGIN",
    )
    .await;
    while !client.is_closed() {
        tokio::task::yield_now().await;
    }
    // Outside of a transaction the setting means nothing.
    let other = server.connect().await;
    run(&other, "SET idle_in_transaction_session_timeout = '100ms'").await;
    assert_eq!(run(&other, "SELECT 1 AS one").await, "# one\n1\n(1)");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_kept_for_superusers() {
    let server = Server::start_with(ServerConfig {
        max_connections: 3,
        reserved_connections: 1,
        ..ServerConfig::default()
    })
    .await;
    let open = server.connect().await;
    run(
        &open,
        "CREATE USER admin PASSWORD 'a'; CREATE USER app PASSWORD 'b'",
    )
    .await;
    let connect = async |user: &str, password: &str| {
        let parameters = server
            .parameters()
            .replace("user=me", &format!("user={user}"));
        let parameters = format!("{parameters} password={password}");
        let connected = tokio_postgres::connect(&parameters, tokio_postgres::NoTls).await;
        connected.map(|(client, connection)| {
            tokio::spawn(connection);
            client
        })
    };
    let _app = connect("app", "b").await.expect("a place");
    let refused = connect("app", "b").await.expect_err("too many");
    assert_eq!(
        show_error(&refused),
        "FATAL 53300: sorry, too many clients already"
    );
    // Who merely has the name of one gets no further.
    let refused = connect("admin", "b").await.expect_err("a wrong password");
    assert!(show_error(&refused).contains("28P01"));
    let _admin = connect("admin", "a")
        .await
        .expect("the place that was kept");
    server.stop().await;
}
