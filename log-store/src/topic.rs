//! A topic as its users hold it.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    Epoch, LogError, Partition, PartitionId, TopicConfig, TopicId, TopicKind,
    partition::{Env, PartitionInner},
};

pub(crate) struct TopicInner {
    pub id: TopicId,
    pub kind: TopicKind,
    pub name: String,
    pub config: RwLock<TopicConfig>,
    pub partitions: Vec<Arc<PartitionInner>>,
    /// Of a derived topic: complete through here, as its writer says.
    pub frontier: watch::Sender<Epoch>,
    /// The frontier as of the last sync.
    pub synced_frontier: RwLock<Epoch>,
    /// Compaction goes no further than this epoch.
    pub compaction_bound: RwLock<Epoch>,
    pub env: Arc<Env>,
}

impl TopicInner {
    pub fn partition(&self, id: PartitionId) -> Result<&Arc<PartitionInner>, LogError> {
        self.partitions
            .get(id.0 as usize)
            .ok_or(LogError::UnknownPartition {
                topic: self.id,
                partition: id,
            })
    }

    pub fn expect_kind(&self, kind: TopicKind) -> Result<(), LogError> {
        if self.kind == kind {
            return Ok(());
        }
        Err(LogError::WrongKind {
            topic: self.id,
            is: match self.kind {
                TopicKind::Ingested => "not a derived topic",
                TopicKind::Derived => "written by its query only",
            },
        })
    }
}

/// A topic. Cheap to clone; its partitions stay readable after it was dropped, for as long as it is held.
#[derive(Clone)]
pub struct Topic {
    pub(crate) inner: Arc<TopicInner>,
}

impl Topic {
    /// Its number.
    pub fn id(&self) -> TopicId {
        self.inner.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Who gives its epochs.
    pub fn kind(&self) -> TopicKind {
        self.inner.kind
    }

    /// Its configuration as of now.
    pub fn config(&self) -> TopicConfig {
        self.inner.config.read().clone()
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> Vec<Partition> {
        self.inner
            .partitions
            .iter()
            .map(|inner| Partition {
                inner: inner.clone(),
            })
            .collect()
    }

    /// One partition.
    pub fn partition(&self, id: PartitionId) -> Result<Partition, LogError> {
        self.inner.partition(id).map(|inner| Partition {
            inner: inner.clone(),
        })
    }

    /// The epoch through which the topic is complete: the sealed epoch if it is ingested, what its writer said if it is
    /// derived (after a restart: what was durable).
    pub fn frontier(&self) -> Epoch {
        match self.inner.kind {
            TopicKind::Ingested => self.inner.env.sealed.epoch(),
            TopicKind::Derived => *self.inner.frontier.borrow(),
        }
    }

    /// Wakes whenever the frontier advances.
    pub fn frontier_watch(&self) -> watch::Receiver<Epoch> {
        match self.inner.kind {
            TopicKind::Ingested => self.inner.env.sealed.watch(),
            TopicKind::Derived => self.inner.frontier.subscribe(),
        }
    }

    /// Bytes on disk, of all partitions.
    pub fn size_bytes(&self) -> u64 {
        self.partitions().iter().map(Partition::size_bytes).sum()
    }
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
