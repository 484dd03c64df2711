//! What can go wrong, as values. Cheap to clone: one failed group commit answers many appends.

use std::{io, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Epoch, Offset, PartitionId, TopicId};

/// Damaged bytes, and where they lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "data corrupted in file \"{}\" at position {position} (offset {offset}, epoch {epoch}): {reason}",
    file.display()
)]
pub struct Corruption {
    /// The file.
    pub file: PathBuf,
    /// The byte at which the damaged batch begins.
    pub position: u64,
    /// The offset that the damaged batch should have begun with.
    pub offset: Offset,
    /// The last epoch known to be whole before it.
    pub epoch: Epoch,
    /// What did not hold.
    pub reason: String,
}

/// Every failure of this crate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// Another process (or another handle of this one) has the directory open.
    #[error("log directory \"{}\" is in use by another server", .0.display())]
    InUse(PathBuf),
    /// A file was written by a newer version.
    #[error("file \"{}\" has format version {found}; this server reads up to {known}", file.display())]
    FormatVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this build reads.
        known: u32,
    },
    /// Damaged bytes; the partition is refused from there on.
    #[error(transparent)]
    Corruption(Arc<Corruption>),
    /// Parts of a sealed epoch are missing and no damaged file explains it.
    #[error("epoch {epoch} is incomplete: {found} of {parts} batches found")]
    EpochIncomplete {
        /// The epoch.
        epoch: Epoch,
        /// Batches found.
        found: u32,
        /// Batches written.
        parts: u32,
    },
    /// No room; nothing was changed, and reading goes on.
    #[error("could not extend the log: no space left on device")]
    DiskFull,
    /// The disk failed.
    #[error("could not {action} file \"{}\": {source}", file.display())]
    Io {
        /// What was tried: "write", "sync", "read" …
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// An earlier write or sync failed: the partition is read-only until the log is opened anew.
    #[error("partition {partition} of topic {topic} is read-only after a failed write: {reason}")]
    Poisoned {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
        /// The failure.
        reason: String,
    },
    /// The log can no longer promise anything for new appends; reading goes on.
    #[error("the log is read-only: {0}")]
    Failed(String),
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// Appends arrive faster than the disk takes them.
    #[error("too many bytes are waiting to be appended ({waiting} of {limit})")]
    Overloaded {
        /// Bytes waiting.
        waiting: usize,
        /// The bound.
        limit: usize,
    },
    /// No such topic, or no longer.
    #[error("topic {0} does not exist")]
    UnknownTopic(TopicId),
    /// No such partition.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// The name is taken.
    #[error("topic \"{0}\" already exists")]
    TopicExists(String),
    /// A topic was described in a way that cannot be kept.
    #[error("invalid topic configuration: {0}")]
    InvalidConfig(String),
    /// A batch that cannot be stored.
    #[error("invalid batch: {0}")]
    InvalidBatch(String),
    /// A derived topic was appended to as if ingested, or the other way round.
    #[error("topic {topic} is {is}")]
    WrongKind {
        /// The topic.
        topic: TopicId,
        /// What it is.
        is: &'static str,
    },
    /// A derived topic's epochs only grow.
    #[error("epoch {given} of topic {topic} is not after epoch {last}")]
    EpochNotAfter {
        /// The topic.
        topic: TopicId,
        /// The epoch given.
        given: Epoch,
        /// The last one written.
        last: Epoch,
    },
    /// The rows asked for are no longer, or not yet, there.
    #[error("offset {offset} is out of range: the partition holds {start} to {end}")]
    OffsetOutOfRange {
        /// Asked for.
        offset: Offset,
        /// First held.
        start: Offset,
        /// First not held.
        end: Offset,
    },
    /// A producer's batch does not begin where its last one ended: something before it was lost, or it overlaps.
    #[error(
        "producer {producer} of epoch {epoch} sent sequence {sequence}; {expected} was expected"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer: i64,
        /// Its epoch.
        epoch: i16,
        /// The batch's first sequence.
        sequence: i32,
        /// The sequence that would have been taken.
        expected: i32,
    },
    /// A producer's batch was written before, so long ago that its offset is no longer known.
    #[error(
        "producer {producer} of epoch {epoch} sent sequence {sequence}, which was written before"
    )]
    DuplicateSequence {
        /// The producer.
        producer: i64,
        /// Its epoch.
        epoch: i16,
        /// The batch's first sequence.
        sequence: i32,
    },
    /// A newer incarnation of the producer has written to the partition.
    #[error("producer {producer} of epoch {epoch} was fenced off by epoch {current}")]
    ProducerFenced {
        /// The producer.
        producer: i64,
        /// The epoch of the batch.
        epoch: i16,
        /// The epoch that counts now.
        current: i16,
    },
    /// The engine's codec could not handle a body.
    #[error("could not rewrite a batch: {0}")]
    Codec(String),
}

impl LogError {
    pub(crate) fn io(action: &'static str, file: impl Into<PathBuf>, source: io::Error) -> Self {
        if is_disk_full(&source) {
            return LogError::DiskFull;
        }
        LogError::Io {
            action,
            file: file.into(),
            source: Arc::new(source),
        }
    }
}

impl LogError {
    /// Nothing was written: no room, or no new file could be made (out of descriptors, say). Such a failure passes.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            LogError::DiskFull
                | LogError::Io {
                    action: "create",
                    ..
                }
        )
    }
}

impl From<Corruption> for LogError {
    fn from(corruption: Corruption) -> Self {
        LogError::Corruption(Arc::new(corruption))
    }
}

/// Out of blocks, of inodes' worth of blocks, or of quota: all mean "later perhaps".
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
