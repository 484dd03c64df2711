//! A server process with a data directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Db, millpond};

/// A start takes less than a second; on a busy machine with much to recover it may take this long.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// See the module's text. Dropping it kills the process.
pub struct Server {
    directory: TempDir,
    arguments: Vec<String>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    postgres: SocketAddr,
    /// Where Kafka clients connect, if they are served.
    kafka: Option<SocketAddr>,
}

impl Server {
    /// Starts a server over an empty data directory.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further arguments.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let arguments = arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect();
        let mut server = Self {
            directory,
            arguments,
            running: None,
        };
        server.start_again().await;
        server
    }

    /// Starts the process again over the same data.
    pub async fn start_again(&mut self) {
        if let Err(error) = self.try_start().await {
            panic!("the server does not start: {error:#}\n{}", self.log());
        }
    }

    /// Starts the process again, or tells why it did not start.
    pub async fn try_start(&mut self) -> anyhow::Result<()> {
        assert!(self.running.is_none(), "the server is running");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context("the log file")?;
        let mut command = Command::new(millpond());
        command
            .arg("server")
            .args(["--pg-port", "0", "--log-level", "info", "--data-dir"])
            .arg(self.data_dir());
        command.args(&self.arguments);
        // Settings of the user who runs the tests must not reach the server.
        command
            .env_clear()
            .env("HOME", self.directory.path())
            .env("RUST_BACKTRACE", "1");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", millpond().display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_TIME_MAX, lines.next_line())
            .await
            .context("it is not ready in time")??;
        let Some(line) = line else {
            bail!("it ended with {}", child.wait().await?);
        };
        let said = || format!("it said {line:?}");
        let parts = line
            .strip_prefix("millpond ready: ")
            .with_context(said)?
            .split(' ');
        let address = |name: &str| {
            let mut values = parts.clone().filter_map(|part| part.split_once('='));
            values.find_map(|(key, value)| (key == name).then(|| value.parse::<SocketAddr>()))
        };
        let postgres = address("postgres").with_context(said)?;
        self.running = Some(Running {
            child,
            postgres: postgres.with_context(said)?,
            kafka: address("kafka").transpose().with_context(said)?,
        });
        Ok(())
    }

    /// Ends the process without warning, as `kill -9` does.
    pub async fn kill(&mut self) {
        let mut child = self.running.take().expect("the server is running").child;
        child.kill().await.expect("a child can be killed");
    }

    /// Asks the process to end, as a service manager does, and waits for it.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.running.take().expect("the server is running").child;
        let id = child.id().expect("it has not been waited for").to_string();
        let status = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .await
            .expect("kill runs");
        assert!(status.success(), "cannot signal the server");
        match tokio::time::timeout(START_TIME_MAX, child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("the server does not stop\n{}", self.log()),
        }
    }

    /// Stops and starts again.
    pub async fn restart(&mut self) {
        let status = self.stop().await;
        assert!(
            status.success(),
            "the server ended with {status}\n{}",
            self.log()
        );
        self.start_again().await;
    }

    /// Kills and starts again.
    pub async fn crash(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running
            .as_ref()
            .expect("the server is running")
            .postgres
    }

    /// Where Kafka clients connect; it was started with `--kafka-port`.
    pub fn kafka_address(&self) -> SocketAddr {
        let running = self.running.as_ref().expect("the server is running");
        running.kafka.expect("it serves Kafka clients")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.running
            .as_ref()
            .and_then(|running| running.child.id())
            .expect("the server is running")
    }

    /// A new session.
    pub async fn connect(&self) -> Db {
        match Db::connect(self.address()).await {
            Ok(db) => db,
            Err(error) => panic!("cannot connect: {error:?}\n{}", self.log()),
        }
    }

    /// Where its data lies.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory for files of the test, removed with the server.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// The end of what the server logged.
    pub fn log(&self) -> String {
        const LOG_LINES: usize = 60;
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "server log:\n{}",
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
        )
    }

    /// Runs `psql` with a script on standard input; `None`, told loudly, where it is not installed.
    pub async fn psql(&self, arguments: &[&str], script: &str) -> Option<std::process::Output> {
        let mut command = Command::new("psql");
        command.args([
            "-X",
            "-h",
            "127.0.0.1",
            "-U",
            "tester",
            "-d",
            "millpond",
            "-v",
            "ON_ERROR_STOP=1",
            "-p",
        ]);
        command
            .arg(self.address().port().to_string())
            .args(arguments);
        self.feed(command, script).await
    }

    /// Runs the shell against this server with a script on standard input.
    pub async fn shell(&self, arguments: &[&str], script: &str) -> std::process::Output {
        let mut command = Command::new(millpond());
        command
            .args(["--connect", &self.address().to_string()])
            .args(arguments);
        self.feed(command, script)
            .await
            .expect("the binary is there")
    }

    async fn feed(&self, mut command: Command, script: &str) -> Option<std::process::Output> {
        use tokio::io::AsyncWriteExt as _;
        command
            .env("HOME", self.directory.path())
            .env("PGCONNECT_TIMEOUT", "10")
            .env_remove("PGOPTIONS");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: psql is not installed, so this test shows nothing");
                return None;
            }
            Err(error) => panic!("{command:?}: {error}"),
        };
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let script = script.to_owned();
        // A process that fails early does not read it all.
        let writer = tokio::spawn(async move {
            let _ = stdin.write_all(script.as_bytes()).await;
        });
        let output = child
            .wait_with_output()
            .await
            .expect("a child can be waited for");
        let _ = writer.await;
        Some(output)
    }
}
