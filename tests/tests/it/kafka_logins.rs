//! Kafka clients log in with the users of the PostgreSQL port, with and without TLS.

use std::process::Stdio;

use tests::{Server, kafka_directory, prepare};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn librdkafka_logs_in_by_every_mechanism() {
    let Some(client) = prepare("python").await else {
        return;
    };
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).display().to_string();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = &mut parameters.distinguished_name;
    name.push(rcgen::DnType::CommonName, "an authority for tests");
    let ca = parameters.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .expect("a name")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    for (name, text) in [
        ("ca.pem", ca.pem()),
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(path(name), text).expect("written");
    }
    let server = Server::start_with(&[
        "--kafka-port",
        "0",
        "--tls-cert",
        &path("server.pem"),
        "--tls-key",
        &path("server.key"),
    ])
    .await;
    let db = server.connect().await;
    db.run("CREATE USER admin PASSWORD 'x'; CREATE USER app PASSWORD 'right'")
        .await;
    let mut command = Command::new(client.join("venv/bin/python"));
    command
        .arg(kafka_directory().join("python/logins.py"))
        .arg(server.kafka_address().to_string())
        .arg(path("ca.pem"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.expect("Python runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success(),
        "{said}\nserver:\n{}",
        server.log()
    );
    assert!(!server.log().contains("right"), "{}", server.log());
}
