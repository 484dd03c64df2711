//! The server as its clients see it: tokio-postgres, psql and raw bytes over real sockets.

mod clients;
mod hostile;
mod limits;
mod login;
mod psql;
mod values;

use std::sync::Arc;

use engine::{Engine, EngineConfig};
use pgwire_server::{ServerConfig, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

/// A server over an engine of its own.
struct Server {
    port: u16,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    engine: Arc<Engine>,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(ServerConfig::default()).await
    }

    async fn start_with(config: ServerConfig) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = dir.path().to_owned();
        let engine = tokio::task::spawn_blocking(move || {
            Engine::open(EngineConfig {
                data_dir,
                sync: false,
                ..EngineConfig::default()
            })
        });
        let engine = engine.await.expect("no panic").expect("an engine");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, engine.clone(), config, shutdown.clone()));
        Server {
            port,
            shutdown,
            task,
            engine,
            _dir: dir,
        }
    }

    fn parameters(&self) -> String {
        format!("host=127.0.0.1 port={} user=me dbname=mine", self.port)
    }

    async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.parameters(), NoTls)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Stops the server; all connections end.
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic").expect("a clean end");
        self.engine.shutdown().await.expect("a clean end");
    }
}

/// Runs statements and shows what comes back.
async fn run(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(messages) => show(&messages),
        Err(error) => show_error(&error),
    }
}

fn show(messages: &[SimpleQueryMessage]) -> String {
    let mut lines = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
                lines.push(format!("# {}", names.join(" | ")));
            }
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len())
                    .map(|column| row.get(column).unwrap_or("NULL"))
                    .collect();
                lines.push(values.join(" | "));
            }
            SimpleQueryMessage::CommandComplete(rows) => lines.push(format!("({rows})")),
            _ => {}
        }
    }
    lines.join("\n")
}

fn show_error(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else {
        return format!("{error:?}");
    };
    let mut text = format!(
        "{} {}: {}",
        error.severity(),
        error.code().code(),
        error.message()
    );
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = error.position() {
        text.push_str(&format!(" at {position}"));
    }
    text
}
