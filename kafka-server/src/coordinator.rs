//! The coordinator of consumer groups, producer ids and transactions.
//!
//! ```text
//!  JoinGroup, SyncGroup, OffsetCommit …  ──► requests ──► groups ────────┐
//!                                                            ▲ offsets   ├──► storage: __consumer_offsets
//!  InitProducerId, Produce, EndTxn …     ──► requests ──► transactions ──┘             __transaction_state, topics
//! ```
//!
//! [`group`] and [`transaction`] are pure state machines; [`groups`] and [`transactions`] drive them, with the
//! log behind [`storage::Storage`] and time behind [`clock::Clock`]. Requests become calls in `requests`, one
//! file per kind; Kafka's messages go no further than that.

pub mod clock;
mod deadlines;
pub mod group;
mod group_records;
pub mod groups;
mod log_storage;
mod produce;
mod producer_ids;
mod requests;
mod sql;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod transaction;
mod transaction_records;
pub mod transactions;
mod wire;

use std::sync::Arc;

use clock::{Clock, SystemClock};
use engine::Engine;
use groups::{Groups, GroupsConfig};
use storage::{Storage, StorageError};
use transactions::{Transactions, TransactionsConfig};

pub use log_storage::LogStorage;
pub use requests::{Client, Node, VERSIONS};

/// Bounds and times of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CoordinatorConfig {
    pub groups: GroupsConfig,
    pub transactions: TransactionsConfig,
}

/// Groups, producer ids and transactions of this node, which coordinates them all.
pub struct Coordinator {
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
    storage: Arc<dyn Storage>,
}

impl Coordinator {
    /// The coordinator of an engine's topics, which also tells the engine of groups. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub fn of_engine(
        engine: &Arc<Engine>,
        config: CoordinatorConfig,
    ) -> Result<Arc<Self>, StorageError> {
        let storage = Arc::new(LogStorage::open(engine)?);
        let coordinator = Arc::new(Self::open(
            config,
            storage,
            Arc::new(SystemClock::default()),
        )?);
        let groups: std::sync::Weak<Self> = Arc::downgrade(&coordinator);
        engine.set_consumer_groups(groups);
        Ok(coordinator)
    }

    /// Reads what the log has. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn open(
        config: CoordinatorConfig,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StorageError> {
        let groups = Groups::open(config.groups, storage.clone(), clock.clone())?;
        let transactions =
            Transactions::open(config.transactions, groups.clone(), storage.clone(), clock)?;
        Ok(Self {
            groups,
            transactions,
            storage,
        })
    }

    /// Lets time pass for groups and transactions, for as long as it is polled.
    pub async fn keep_time(&self) {
        tokio::join!(self.groups.keep_time(), self.transactions.keep_time());
    }
}
