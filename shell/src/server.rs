//! The server inside this process: the one place that wires engine and front doors together.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use engine::{Engine, EngineConfig};
use kafka_server::KafkaConfig;
use kafka_server::encryption::Encryption;
use pgwire_server::{ServerConfig, Tls};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::Durability;
use crate::config::Config;
use crate::memory;
use crate::security;

/// Its number, in the exit code of a process that it ended.
const SIGTERM: i32 = 15;

/// Connections kept for those who look after the server.
const RESERVED_CONNECTIONS_MAX: usize = 3;

/// Which port to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The configured one, or fail.
    Configured,
    /// The configured one, or any free one if it is taken and was not asked for by name.
    ConfiguredOrFree,
    /// Any free one, for this process alone.
    Free,
}

/// A running server.
pub struct Server {
    /// Where PostgreSQL clients connect.
    pub address: SocketAddr,
    /// Where Kafka clients connect.
    pub kafka_address: SocketAddr,
    engine: Arc<Engine>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    serving_kafka: JoinHandle<()>,
    giving_back: JoinHandle<()>,
}

impl Server {
    /// Opens the data directory and listens. The socket is bound first, so that a taken port costs nothing.
    pub async fn start(config: &Config, port: Port) -> anyhow::Result<Self> {
        let listener = bind(config, port).await?;
        let address = listener
            .local_addr()
            .context("the listening socket has no address")?;
        let kafka_listener = bind_kafka(config, port).await?;
        let kafka_address = kafka_listener
            .local_addr()
            .context("the listening socket has no address")?;
        let tls = security::tls(config)?;
        let engine_config = EngineConfig {
            data_dir: config.data_dir.clone(),
            sync: config.durability == Durability::Sync,
            workers: config.workers.unwrap_or_default(),
            query_memory_max: config.query_memory_bytes,
            state_memory: config.state_memory_bytes,
            // Indexes and groups stay; half as much again is where it ends.
            state_memory_max: config.state_memory_bytes.map(|bytes| bytes + bytes / 2),
            checkpoint_interval: config.checkpoint_interval,
            session_defaults: session_defaults(config),
            auth: security::auth_mode(config, address.ip()),
            ..EngineConfig::default()
        };
        // Recovery reads files and may take a while; the runtime's threads stay free for others.
        let engine = tokio::task::spawn_blocking(move || Engine::open(engine_config))
            .await
            .context("opening the data directory was interrupted")?
            .with_context(|| {
                format!(
                    "cannot open the data directory \"{}\"",
                    config.data_dir.display()
                )
            })?;
        security::check(config, &engine, address.ip(), port != Port::Configured)?;
        let kafka_config = kafka_config(config, tls.as_ref().map(Tls::acceptor));
        let server_config = ServerConfig {
            max_connections: config.max_connections,
            reserved_connections: (config.max_connections / 10).min(RESERVED_CONNECTIONS_MAX),
            tls,
            tls_required: config.tls_required,
            ..ServerConfig::default()
        };
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (engine, stop) = (Arc::clone(&engine), stop.clone());
            async move {
                if let Err(error) =
                    pgwire_server::serve(listener, engine, server_config, stop).await
                {
                    tracing::error!(%error, "the PostgreSQL listener has failed");
                }
            }
        });
        let serving_kafka = tokio::spawn({
            let (engine, stop) = (Arc::clone(&engine), stop.clone());
            async move {
                if let Err(error) =
                    kafka_server::serve(kafka_listener, engine, kafka_config, stop).await
                {
                    tracing::error!(%error, "the Kafka listener has failed");
                }
            }
        });
        tracing::info!(postgres = %address, kafka = %kafka_address, data = %config.data_dir.display(), "ready");
        Ok(Self {
            address,
            kafka_address,
            engine,
            stop,
            serving,
            serving_kafka,
            giving_back: tokio::spawn(memory::give_back()),
        })
    }

    /// How this process logs in to its own server, if that asks for a password.
    pub fn owner(&self) -> Option<(&str, &str)> {
        self.engine
            .asks_for_passwords()
            .then(|| self.engine.owner_login())
    }

    /// A shell blocks in its line editor; SIGTERM must end it cleanly all the same.
    pub fn stop_on_termination(&self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let (engine, stop) = (Arc::clone(&self.engine), self.stop.clone());
        tokio::spawn(async move {
            if terminate.recv().await.is_some() {
                stop.cancel();
                if let Err(error) = engine.shutdown().await {
                    tracing::error!(%error, "cannot shut down cleanly");
                }
                std::process::exit(128 + SIGTERM);
            }
        });
        Ok(())
    }

    /// Ends all sessions, checkpoints and closes the log.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.giving_back.abort();
        self.stop.cancel();
        self.serving
            .await
            .context("the PostgreSQL listener has panicked")?;
        self.serving_kafka
            .await
            .context("the Kafka listener has panicked")?;
        self.engine
            .shutdown()
            .await
            .context("cannot shut down cleanly")?;
        tracing::info!("shut down");
        Ok(())
    }
}

/// The settings that every session begins with, in milliseconds as PostgreSQL has them.
fn session_defaults(config: &Config) -> Vec<(String, String)> {
    let timeouts = [
        ("statement_timeout", config.statement_timeout),
        ("idle_session_timeout", config.idle_timeout),
    ];
    let set = timeouts
        .into_iter()
        .filter_map(|(name, time)| Some((name, time?)));
    set.map(|(name, time)| (name.to_owned(), time.as_millis().to_string()))
        .collect()
}

async fn bind(config: &Config, port: Port) -> anyhow::Result<TcpListener> {
    let wanted = match port {
        Port::Free => SocketAddr::from(([127, 0, 0, 1], 0)),
        Port::Configured | Port::ConfiguredOrFree => {
            SocketAddr::from((config.listen, config.pg_port))
        }
    };
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && port == Port::ConfiguredOrFree
                && !config.pg_port_chosen =>
        {
            let free = SocketAddr::from((config.listen, 0));
            TcpListener::bind(free)
                .await
                .with_context(|| format!("cannot listen on {free}"))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {wanted}")),
    }
}

/// Without a port that the user chose, any free one will do if the usual one is taken: PostgreSQL's clients are served all
/// the same.
async fn bind_kafka(config: &Config, port: Port) -> anyhow::Result<TcpListener> {
    let wanted = match port {
        Port::Free => SocketAddr::from(([127, 0, 0, 1], 0)),
        Port::Configured | Port::ConfiguredOrFree => {
            SocketAddr::from((config.listen, config.kafka_port))
        }
    };
    match TcpListener::bind(wanted).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !config.kafka_port_chosen => {
            tracing::warn!(address = %wanted, "another process listens here; Kafka clients get another port");
            let free = SocketAddr::from((config.listen, 0));
            TcpListener::bind(free)
                .await
                .with_context(|| format!("cannot listen on {free}"))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {wanted}")),
    }
}

fn kafka_config(config: &Config, acceptor: Option<tokio_rustls::TlsAcceptor>) -> KafkaConfig {
    KafkaConfig {
        encryption: Encryption {
            acceptor,
            required: config.tls_required,
            plain_from_anywhere: config.insecure,
        },
        auto_create_topics: config.kafka_auto_create_topics,
        partitions_default: config.kafka_partitions,
        advertised: config.kafka_advertised.clone(),
        ..KafkaConfig::default()
    }
}

/// Runs a server without a shell, until SIGINT or SIGTERM.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let mut stopped = std::pin::pin!(stop_signal()?);
    let server = tokio::select! {
        server = Server::start(config, Port::Configured) => server?,
        () = &mut stopped => return Ok(()),
    };
    let ready = format!(
        "millpond ready: postgres={} kafka={} data={}\n",
        server.address,
        server.kafka_address,
        config.data_dir.display()
    );
    let mut stdout = io::stdout();
    stdout
        .write_all(ready.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")?;
    stopped.await;
    server.stop().await
}

/// Resolves when the process is asked to end.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
