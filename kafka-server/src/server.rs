//! The Kafka port: connections come in, each is served in order, and all end together.
//!
//! ```text
//!  socket ──frame──► begin (records are put in line for the log) ──► queue ──► finish ──answer──► socket
//! ```
//!
//! Answers of a connection have the order of its requests. Producers may have many requests on their way:
//! the records of each are put in line as it is read, and only the answers wait for one another. Everything
//! else is worked on when what was asked before has been answered.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::Engine;
use engine::topics::Topics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::coordinator::{Coordinator, CoordinatorConfig};
use crate::encryption::Encryption;

/// How the Kafka port behaves.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Which connections are accepted.
    pub encryption: Encryption,
    /// A longer request ends its connection.
    pub request_bytes_max: usize,
    /// Bytes of requests that may be worked on at the same time, over all connections.
    pub requests_bytes_max: usize,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Topics that a client names and that are not there are made.
    pub auto_create_topics: bool,
    /// Partitions of a topic of which nobody has said how many.
    pub partitions_default: u32,
    /// Where clients are told to connect; by default where they have.
    pub advertised: Option<(String, Option<u16>)>,
    pub coordinator: CoordinatorConfig,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            encryption: Encryption::default(),
            request_bytes_max: 100 << 20,
            requests_bytes_max: 512 << 20,
            connections_max: 10_000,
            auto_create_topics: true,
            partitions_default: 1,
            advertised: None,
            coordinator: CoordinatorConfig::default(),
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub config: KafkaConfig,
    pub engine: Arc<Engine>,
    pub topics: Topics,
    pub coordinator: Arc<Coordinator>,
    /// One permit for each KiB of requests that are worked on.
    memory: Arc<Semaphore>,
    connections: AtomicUsize,
}

/// Bytes for one permit of [`Shared::memory`].
const PERMIT_BYTES: usize = 1 << 10;

/// Serves Kafka clients until it is told to stop.
///
/// # Errors
/// When the coordinator cannot read what the log has.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    config: KafkaConfig,
    stop: CancellationToken,
) -> Result<(), crate::coordinator::storage::StorageError> {
    let coordinator = {
        let (engine, config) = (engine.clone(), config.coordinator.clone());
        tokio::task::spawn_blocking(move || Coordinator::of_engine(&engine, config))
            .await
            .map_err(|error| {
                crate::coordinator::storage::StorageError::Failed(error.to_string())
            })??
    };
    let permits = (config.requests_bytes_max / PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        topics: engine.topics(),
        engine,
        coordinator: coordinator.clone(),
        memory: Arc::new(Semaphore::new(permits)),
        connections: AtomicUsize::new(0),
        config,
    });
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(listener, &shared, &connections, &stop) => {}
        () = coordinator.keep_time() => {}
        () = stop.cancelled() => {}
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    shared: &Arc<Shared>,
    connections: &TaskTracker,
    stop: &CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let (shared, stop) = (shared.clone(), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = serve_one(socket, peer, &shared) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, say: those who are connected are served on.
                tracing::warn!(%error, "a Kafka client could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_one(socket: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let before = shared.connections.fetch_add(1, Ordering::Relaxed);
    if before < shared.config.connections_max {
        match connection::serve(socket, peer, shared).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(%peer, %error, "a Kafka client's connection has ended"),
        }
    } else {
        tracing::warn!(%peer, "too many Kafka clients");
    }
    shared.connections.fetch_sub(1, Ordering::Relaxed);
}
