//! Plain settings, handed in by whoever opens the log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When it is on disk: one `fdatasync` for each touched file and group of appends.
    #[default]
    Sync,
    /// When the operating system has it: survives the death of the process, not of the machine.
    Os,
}

/// How a log is kept. All fields are public; start from [`LogConfig::new`].
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The log's directory, made when it is missing.
    pub dir: PathBuf,
    /// A segment is closed when the next group would make it larger than this.
    pub segment_bytes_max: u64,
    /// When an append is acknowledged.
    pub durability: Durability,
    /// The newest batches of all partitions together are served from memory up to this many bytes.
    pub tail_bytes_max: usize,
    /// A group commit takes no further append once it holds this many bytes (a larger append goes alone).
    pub epoch_bytes_max: usize,
    /// A group commit takes no further append once it holds this many rows.
    pub epoch_rows_max: u64,
    /// Appends that wait for the committer may hold this many bytes; further ones fail at once.
    pub queue_bytes_max: usize,
    /// The largest body accepted, before compression.
    pub body_bytes_max: usize,
    /// Batches below this size are merged with their neighbours after their segment has closed.
    pub merge_below_bytes: usize,
    /// A merged batch grows to about this size before the codec encodes it.
    pub merge_target_bytes: usize,
    /// How merged and compacted bodies are stored.
    pub rewrite_compression: crate::Compression,
    /// Compaction remembers keys of about this many bytes at a time.
    pub compaction_bytes_max: usize,
    /// A background thread looks after manifest, retention, merging and compaction. Without it the owner calls
    /// [`crate::Log::run_maintenance_once`].
    pub background: bool,
    /// How often the background thread looks when nothing calls it earlier.
    pub maintenance_interval_ms: u64,
    /// The manifest is renewed after this many bytes were appended; bounds what recovery must check.
    pub manifest_bytes: u64,
    /// A producer that wrote nothing to a partition for so long is forgotten there.
    pub producer_expiry_ms: u64,
    /// At least so many producers are remembered for each partition; of more, the quietest are forgotten.
    pub producers_max: usize,
    /// Opens a damaged log by giving up what cannot be read at the end of the damaged partitions. Off by default: such
    /// partitions are refused. Set only when told to by whoever owns the data.
    pub accept_data_loss: bool,
}

impl LogConfig {
    /// The defaults over `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        LogConfig {
            dir: dir.into(),
            segment_bytes_max: 128 << 20,
            durability: Durability::Sync,
            tail_bytes_max: 64 << 20,
            epoch_bytes_max: 64 << 20,
            epoch_rows_max: 4 << 20,
            queue_bytes_max: 512 << 20,
            body_bytes_max: 512 << 20,
            merge_below_bytes: 64 << 10,
            merge_target_bytes: 1 << 20,
            rewrite_compression: crate::Compression::Lz4,
            compaction_bytes_max: 256 << 20,
            background: true,
            maintenance_interval_ms: 10_000,
            manifest_bytes: 64 << 20,
            producer_expiry_ms: 7 * 24 * 3600 * 1000,
            producers_max: 1000,
            accept_data_loss: false,
        }
    }
}

/// Who gives a topic's batches their epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicKind {
    /// Clients append; the committer assigns the epoch and syncs before it acknowledges.
    Ingested,
    /// One persistent query writes; its output keeps the epoch of its input and is synced at checkpoints.
    Derived,
}

/// What becomes of old rows. Whole segments go by age and size in any case, if [`TopicConfig`] bounds either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Rows stay until they are deleted.
    Delete,
    /// Of each key only the last row stays; a tombstone goes once it is this old.
    Compact {
        /// Age, by the wall clock of its epoch, at which a tombstone is forgotten.
        tombstone_retention_ms: u64,
    },
}

/// A topic as its owner describes it; kept durably by the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    /// Unique among the topics of a log.
    pub name: String,
    /// How many partitions; more can be added to an ingested topic, see [`crate::Log::add_partitions`].
    pub partitions: u32,
    /// Who gives the epochs.
    pub kind: TopicKind,
    /// A closed segment whose newest epoch is older than this is deleted (wall clock of the epochs, not rowtime: loading
    /// old data must not lose it).
    pub retention_ms: Option<u64>,
    /// Closed segments are deleted, oldest first, while a partition is larger than this.
    pub retention_bytes: Option<u64>,
    /// What becomes of old rows.
    pub cleanup: Cleanup,
    /// Overrides [`LogConfig::segment_bytes_max`].
    pub segment_bytes: Option<u64>,
    /// A segment is closed, at the next maintenance, once its first row is this old.
    #[serde(default)]
    pub segment_ms: Option<u64>,
}

impl TopicConfig {
    /// An ingested topic that keeps everything.
    pub fn ingested(name: impl Into<String>, partitions: u32) -> Self {
        TopicConfig {
            name: name.into(),
            partitions,
            kind: TopicKind::Ingested,
            retention_ms: None,
            retention_bytes: None,
            cleanup: Cleanup::Delete,
            segment_bytes: None,
            segment_ms: None,
        }
    }

    /// A derived topic that keeps everything.
    pub fn derived(name: impl Into<String>, partitions: u32) -> Self {
        TopicConfig {
            kind: TopicKind::Derived,
            ..TopicConfig::ingested(name, partitions)
        }
    }
}
