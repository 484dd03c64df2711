//! Kafka clients that nobody here wrote, as processes.
//!
//! ```text
//!  test ──► Broker (Millpond with a Kafka port, or the server that MILLPOND_TEST_KAFKA names)
//!             ▲
//!             └── kcat · python clients.py · java Clients      one process each, given the address
//! ```
//!
//! `MILLPOND_TEST_KAFKA=127.0.0.1:9092` runs the same tests against another server, Apache Kafka for one, which shows
//! that it is the tests that are right (`tests/kafka/against-apache.sh`).

use std::io::Write as _;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Server;

/// A client has hung if it takes longer; most take a second.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(240);

/// Ports that no system gives to those who ask for any (Linux does from 32768 on, others from 49152), so that no other
/// test can take one between two starts of its server.
const LASTING_PORTS: Range<u16> = 10_000..32_000;

/// The server that clients talk to.
pub struct Broker {
    address: String,
    server: Option<Server>,
}

impl Broker {
    /// Starts Millpond with a Kafka port, or uses the server that the environment names.
    pub async fn start() -> Self {
        if let Ok(address) = std::env::var("MILLPOND_TEST_KAFKA") {
            return Self {
                address,
                server: None,
            };
        }
        let server = Server::start_with(&["--kafka-port", "0"]).await;
        Self {
            address: server.kafka_address().to_string(),
            server: Some(server),
        }
    }

    /// Starts Millpond on a port that stays the same when it is started again. `None` where the environment names
    /// another server, which is not ours to kill.
    pub async fn start_to_be_killed() -> Option<Self> {
        if std::env::var_os("MILLPOND_TEST_KAFKA").is_some() {
            return None;
        }
        let port = lasting_port().to_string();
        let server = Server::start_with(&["--kafka-port", &port]).await;
        Some(Self {
            address: server.kafka_address().to_string(),
            server: Some(server),
        })
    }

    /// What clients call the bootstrap server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Millpond, if it is that.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server is Millpond")
    }

    /// What kcat writes. `None`, said loudly, where it is not installed.
    pub async fn kcat(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Option<String> {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.address, "-q"]).args(arguments);
        let bytes = self.try_run(command, input.as_ref()).await?;
        Some(String::from_utf8(bytes).expect("the test's messages are text"))
    }

    /// Runs a scenario of `kafka/python/clients.py`. `None`, said loudly, where Python or its client cannot be had.
    pub async fn python(&self, scenario: &[&str]) -> Option<String> {
        let command = self.python_command(scenario).await?;
        self.run(command).await
    }

    /// Starts one that the test follows while it runs.
    pub async fn start_python(&self, scenario: &[&str]) -> Option<Client> {
        Some(Client::start(self.python_command(scenario).await?))
    }

    async fn python_command(&self, scenario: &[&str]) -> Option<Command> {
        let mut command = Command::new(prepare("python").await?.join("venv/bin/python"));
        command.arg(kafka_directory().join("python/clients.py"));
        command.arg(&self.address).args(scenario);
        Some(command)
    }

    /// Runs a scenario of `kafka/java/src/Clients.java`. `None`, said loudly, where Java or its client cannot be had.
    pub async fn java(&self, scenario: &[&str]) -> Option<String> {
        let command = self.java_command(scenario).await?;
        self.run(command).await
    }

    /// Starts one that the test follows while it runs.
    pub async fn start_java(&self, scenario: &[&str]) -> Option<Client> {
        Some(Client::start(self.java_command(scenario).await?))
    }

    async fn java_command(&self, scenario: &[&str]) -> Option<Command> {
        let made = prepare("java").await?;
        let mut command = Command::new("java");
        let classes = format!("{0}/classes:{0}/jars/*", made.display());
        // Starting fast matters more than running fast.
        command.args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-cp",
            &classes,
            "Clients",
        ]);
        command.arg(&self.address).args(scenario);
        Some(command)
    }

    /// Runs a client that must succeed; gives what it wrote.
    pub async fn run(&self, command: Command) -> Option<String> {
        let bytes = self.try_run(command, b"").await?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log(&self) -> String {
        let server = self.server.as_ref();
        server.map_or(String::new(), |server| server.log())
    }

    async fn try_run(&self, mut command: Command, input: &[u8]) -> Option<Vec<u8>> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let program = command.as_std().get_program().display();
                say_skipped(&format!("{program} is not installed"));
                return None;
            }
            Err(error) => panic!("{command:?}: {error}"),
        };
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let feed = async move {
            // A client that fails early does not read it all.
            let _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let finish = async { tokio::join!(feed, child.wait_with_output()).1 };
        let Ok(output) = tokio::time::timeout(CLIENT_TIME_MAX, finish).await else {
            panic!("it does not end: {command:?}\n{}", self.log());
        };
        let output = output.expect("a child can be waited for");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{command:?}\n{}\n{out}\n{err}\nserver:\n{}",
            output.status,
            self.log()
        );
        Some(output.stdout)
    }
}

/// A client that runs.
pub struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.expect("it was found when it was prepared");
        let stdout = child.stdout.take().expect("standard output is piped");
        let lines = BufReader::new(stdout).lines();
        Self { child, lines }
    }

    /// Waits until it writes this line.
    pub async fn wait_for(&mut self, expected: &str, broker: &Broker) {
        let search = async {
            while let Some(line) = self.lines.next_line().await.expect("it writes text") {
                if line == expected {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(CLIENT_TIME_MAX, search).await {
            Ok(true) => {}
            Ok(false) => panic!("it ended without {expected:?}\n{}", broker.log()),
            Err(_) => panic!("it does not write {expected:?}\n{}", broker.log()),
        }
    }

    /// Waits for its end, which must be a success.
    pub async fn finish(mut self, broker: &Broker) {
        let rest = async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await.expect("a child can be waited for")
        };
        let Ok(status) = tokio::time::timeout(CLIENT_TIME_MAX, rest).await else {
            panic!("it does not end\n{}", broker.log());
        };
        assert!(status.success(), "{status}\n{}", broker.log());
    }
}

/// A port that is free now and stays so while its server is down.
fn lasting_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::random_range(LASTING_PORTS));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("the iterator has no end")
}

/// The directory of the clients' programs and scripts.
pub fn kafka_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka")
}

/// Has `kafka/prepare.sh` make what a client needs, once for all runs. `None`, said loudly, where that is not possible.
pub async fn prepare(what: &str) -> Option<PathBuf> {
    let mut command = Command::new(kafka_directory().join("prepare.sh"));
    command.arg(what).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.expect("bash is there");
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) {
        say_skipped(error.trim());
        return None;
    }
    assert!(output.status.success(), "{command:?}\n{error}");
    Some(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

/// To the terminal itself: the test harness shows what is printed only of tests that fail.
pub fn say_skipped(why: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test").to_owned();
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {test}: {why}, so this test shows nothing"
    );
}
