//! A partition: its segments, what of them is published, and how batches get into them.
//!
//! ```text
//!  stage (write at the end) ──► sync ──► publish (index, tail, high watermark) ──► readers
//!            │ failed                │ failed
//!            ▼                       ▼
//!        roll back                poisoned: read-only
//! ```
//!
//! Invariants:
//! - Only the holder of `writer` appends; only published bytes are read. The writer's lock is taken before the state's.
//! - Segments are in order and without gaps; only the last one may be active.
//! - Bytes behind the published ones were never acknowledged and are overwritten only after they were cut off.

mod read;
mod write;

use std::{path::PathBuf, sync::Arc};

use parking_lot::{Mutex, RwLock};

use crate::{
    BodyCodec, Clock, Corruption, Disk, Epoch, LogConfig, LogError, Offset, PartitionId, TopicId,
    manifest::{PartitionEntry, SegmentEntry},
    producers::Producers,
    sealed::Sealed,
    segment::{SEGMENT_HEADER_LEN, Segment, Summary},
    tail::{Tail, TailBudget},
    topic::SharedKind,
    waiting::Waiters,
};

pub use read::Partition;
pub(crate) use write::{Layout, Staged, Stamp};

/// What all parts of an open log share.
pub(crate) struct Env {
    pub config: LogConfig,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub codec: Arc<dyn BodyCodec>,
    pub sealed: Sealed,
    pub budget: TailBudget,
}

/// Whether a partition takes appends.
#[derive(Clone, Debug, Default)]
pub(crate) enum Health {
    #[default]
    Good,
    /// A write or sync failed; what was published stays readable.
    Poisoned(String),
    /// Recovery found damage; what lies before it stays readable.
    Damaged(Arc<Corruption>),
}

pub(crate) struct PartitionInner {
    pub topic: TopicId,
    pub id: PartitionId,
    pub kind: Arc<SharedKind>,
    pub dir: PathBuf,
    pub env: Arc<Env>,
    pub state: RwLock<PartitionState>,
    pub writer: Mutex<Writer>,
    pub waiters: Waiters,
}

pub(crate) struct PartitionState {
    pub segments: Vec<Arc<Segment>>,
    pub start: Offset,
    /// The high watermark: the first offset not published.
    pub end: Offset,
    pub last_epoch: Epoch,
    /// As the published batches made it.
    pub producers: Producers,
    pub tail: Tail,
    pub health: Health,
    pub segment_bytes: u64,
    /// What the manifest goes on saying about a partition that recovery must not touch.
    pub frozen: Option<PartitionEntry>,
}

/// Where the next batch goes.
#[derive(Default)]
pub(crate) struct Writer {
    /// The last segment, once something was appended to it.
    pub active: Option<Arc<Segment>>,
    pub position: u64,
    pub next: Offset,
    /// The active segment as of its last sync; what lies behind may be lost.
    pub synced: Option<Summary>,
    /// A new file's name, and the directory's own, are not durable yet.
    pub names_unsynced: bool,
    pub dir_made: bool,
}

impl PartitionInner {
    /// A partition that never held anything.
    pub fn new(
        env: &Arc<Env>,
        topic: TopicId,
        id: PartitionId,
        kind: &Arc<SharedKind>,
        segment_bytes: u64,
    ) -> Arc<Self> {
        Arc::new(PartitionInner {
            topic,
            id,
            kind: kind.clone(),
            dir: env.config.dir.join(dir_name(topic, id)),
            env: env.clone(),
            state: RwLock::new(PartitionState {
                segments: Vec::new(),
                start: Offset::ZERO,
                end: Offset::ZERO,
                last_epoch: Epoch::ZERO,
                producers: Producers::default(),
                tail: Tail::default(),
                health: Health::Good,
                segment_bytes,
                frozen: None,
            }),
            writer: Mutex::default(),
            waiters: Waiters::default(),
        })
    }

    /// Fails if the partition takes no appends.
    pub fn check_writable(&self) -> Result<(), LogError> {
        match &self.state.read().health {
            Health::Good => Ok(()),
            Health::Poisoned(reason) => Err(LogError::Poisoned {
                topic: self.topic,
                partition: self.id,
                reason: reason.clone(),
            }),
            Health::Damaged(corruption) => Err(LogError::Corruption(corruption.clone())),
        }
    }

    /// Makes the partition read-only. Says so once, where it happens.
    pub fn poison(&self, error: &LogError) {
        tracing::error!(
            topic = self.topic.0,
            partition = self.id.0,
            %error,
            "partition is read-only after a failed write"
        );
        self.state.write().health = Health::Poisoned(error.to_string());
    }

    /// Forgets producers that have been quiet for too long, and those that are too many.
    pub fn forget_producers(&self) {
        let config = &self.env.config;
        let age = i64::try_from(config.producer_expiry_ms).unwrap_or(i64::MAX);
        let now = self.env.clock.now_micros();
        let horizon = now.saturating_sub(age.saturating_mul(1000));
        let mut state = self.state.write();
        state.producers.expire(horizon, config.producers_max);
    }

    /// The partition's entry in the manifest: what of it is durable. Call with its writer (or all commits) at rest.
    pub fn entry(&self, writer: &Writer, published_is_durable: bool) -> PartitionEntry {
        let state = self.state.read();
        if let Some(frozen) = &state.frozen {
            return frozen.clone();
        }
        let mut segments: Vec<SegmentEntry> = state
            .segments
            .iter()
            .map(|segment| segment.entry())
            .collect();
        let mut last_epoch = state.last_epoch;
        let mut end = state.end;
        if let Some(active) = &writer.active
            && segments
                .last()
                .is_some_and(|last| last.base == active.id.base)
        {
            if !published_is_durable {
                let synced = writer
                    .synced
                    .clone()
                    .unwrap_or_else(|| Summary::empty(active.id.base));
                segments.pop();
                end = synced.end;
                last_epoch = match synced.last_epoch {
                    Epoch::ZERO => segments.last().map_or(Epoch::ZERO, |last| last.epochs.1),
                    epoch => epoch,
                };
                segments.push(SegmentEntry::new(
                    active.id.base,
                    active.id.generation,
                    &synced,
                ));
            }
            // Of a new file not even the name need be durable: recovery finds it behind what is listed, or does not.
            segments.pop_if(|last| last.len <= SEGMENT_HEADER_LEN);
        }
        PartitionEntry {
            start: state.start,
            end,
            last_epoch,
            segments,
            producers: state.producers.entries(end),
            cut: matches!(state.health, Health::Poisoned(_)),
            damage: None,
        }
    }
}

/// The name of a partition's directory.
pub(crate) fn dir_name(topic: TopicId, partition: PartitionId) -> String {
    format!("{}-{}", topic.0, partition.0)
}

/// The opposite of [`dir_name`].
pub(crate) fn parse_dir_name(name: &str) -> Option<(TopicId, PartitionId)> {
    let (topic, partition) = name.split_once('-')?;
    Some((
        TopicId(topic.parse().ok()?),
        PartitionId(partition.parse().ok()?),
    ))
}
