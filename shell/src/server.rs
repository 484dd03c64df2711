//! The server inside this process.

use std::net::SocketAddr;

use crate::config::Config;

/// Which port to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The configured one, or any free one if it is taken and was not asked for by name.
    ConfiguredOrFree,
    /// Any free one, for this process alone.
    Free,
}

/// A running server.
pub struct Server {
    /// Where PostgreSQL clients connect.
    pub address: SocketAddr,
}

impl Server {
    /// Opens the data directory and listens.
    pub async fn start(_config: &Config, _port: Port) -> anyhow::Result<Self> {
        anyhow::bail!("the embedded server is not part of this build; use --connect")
    }

    /// Ends all sessions, checkpoints and closes the log.
    pub async fn stop(self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Runs a server without a shell.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    Server::start(config, Port::Free).await?.stop().await
}
