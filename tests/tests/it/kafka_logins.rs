//! Kafka clients log in with the users of the PostgreSQL port, with and without TLS.

use std::process::Stdio;

use tests::{Certificates, Server, kafka_directory, prepare};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn librdkafka_logs_in_by_every_mechanism() {
    let Some(client) = prepare("python").await else {
        return;
    };
    let certificates = Certificates::make();
    let mut arguments = certificates.arguments();
    arguments.extend(["--kafka-port".to_owned(), "0".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Server::start_with(&arguments).await;
    let db = server.connect().await;
    db.run("CREATE USER admin PASSWORD 'x'; CREATE USER app PASSWORD 'right'")
        .await;
    let mut command = Command::new(client.join("venv/bin/python"));
    command
        .arg(kafka_directory().join("python/logins.py"))
        .arg(server.kafka_address().to_string())
        .arg(certificates.root())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.expect("Python runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}\nserver:\n{}", server.log());
}
