//! A topic as its users hold it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    Epoch, LogError, Offset, Partition, PartitionId, TopicConfig, TopicId, TopicKind,
    partition::{Env, PartitionInner},
};

/// The kind of a topic, which its partitions share: a derived topic may become an ingested one
/// ([`crate::Log::make_ingested`]).
#[derive(Debug)]
pub(crate) struct SharedKind(AtomicBool);

impl SharedKind {
    pub fn new(kind: TopicKind) -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(kind == TopicKind::Derived)))
    }

    pub fn get(&self) -> TopicKind {
        match self.0.load(Ordering::Acquire) {
            true => TopicKind::Derived,
            false => TopicKind::Ingested,
        }
    }

    pub fn set(&self, kind: TopicKind) {
        self.0.store(kind == TopicKind::Derived, Ordering::Release);
    }
}

pub(crate) struct TopicInner {
    pub id: TopicId,
    pub kind: Arc<SharedKind>,
    pub name: String,
    pub config: RwLock<TopicConfig>,
    /// May grow; see [`crate::Log::add_partitions`].
    pub partitions: RwLock<Vec<Arc<PartitionInner>>>,
    /// Of a derived topic: complete through here, as its writer says.
    pub frontier: watch::Sender<Epoch>,
    /// The frontier as of the last sync.
    pub synced_frontier: RwLock<Epoch>,
    /// Compaction goes no further than this epoch.
    pub compaction_bound: RwLock<Epoch>,
    pub env: Arc<Env>,
}

impl TopicInner {
    pub fn partition(&self, id: PartitionId) -> Result<Arc<PartitionInner>, LogError> {
        let partitions = self.partitions.read();
        partitions
            .get(id.0 as usize)
            .cloned()
            .ok_or(LogError::UnknownPartition {
                topic: self.id,
                partition: id,
            })
    }

    /// All that there are now.
    pub fn partitions(&self) -> Vec<Arc<PartitionInner>> {
        self.partitions.read().clone()
    }

    /// Whoever waits for rows shall look.
    pub fn wake_waiters(&self) {
        for partition in self.partitions.read().iter() {
            partition.waiters.wake();
        }
    }

    pub fn expect_kind(&self, kind: TopicKind) -> Result<(), LogError> {
        let is = self.kind.get();
        if is == kind {
            return Ok(());
        }
        Err(LogError::WrongKind {
            topic: self.id,
            is: match is {
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
        self.inner.kind.get()
    }

    /// Its configuration as of now.
    pub fn config(&self) -> TopicConfig {
        self.inner.config.read().clone()
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> Vec<Partition> {
        let partitions = self.inner.partitions();
        partitions
            .into_iter()
            .map(|inner| Partition { inner })
            .collect()
    }

    /// One partition.
    pub fn partition(&self, id: PartitionId) -> Result<Partition, LogError> {
        self.inner.partition(id).map(|inner| Partition { inner })
    }

    /// The first offset of a partition that its readers cannot see yet: its end if the topic is ingested, the end of the
    /// topic's frontier if it is derived (its writer may be ahead of that).
    pub fn visible_end(&self, id: PartitionId) -> Result<Offset, LogError> {
        let partition = self.partition(id)?;
        match self.kind() {
            TopicKind::Ingested => Ok(partition.end_offset()),
            TopicKind::Derived => partition.offset_of_epoch(self.frontier()),
        }
    }

    /// The epoch through which the topic is complete: the sealed epoch if it is ingested, what its writer said if it is
    /// derived (after a restart: what was durable).
    pub fn frontier(&self) -> Epoch {
        match self.kind() {
            TopicKind::Ingested => self.inner.env.sealed.epoch(),
            TopicKind::Derived => *self.inner.frontier.borrow(),
        }
    }

    /// Wakes whenever the frontier advances.
    pub fn frontier_watch(&self) -> watch::Receiver<Epoch> {
        match self.kind() {
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
