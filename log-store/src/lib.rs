//! The commit log: topics and partitions of record batches, committed in epochs, on one disk.
//!
//! ```text
//!  append ──► queue ──► committer ──► segments ──► fdatasync ──► publish ──► seal epoch ──► acknowledge
//!                                                                   │             │
//!                                        in-memory tail, memory map ┘             └► sealed_watch, wait_sealed_after
//!                                                   │
//!  Partition::read(from, bytes_max, up_to) ◄────────┘
//! ```
//!
//! What is appended together is atomic over partitions and topics and shares one [`Epoch`]; an acknowledged append is on
//! disk. *Ingested* topics get their epochs here; *derived* topics keep those of their input (see [`derived`]). Bodies
//! are opaque bytes: where the log must look into one, it asks the [`BodyCodec`] it was opened with.
//!
//! Offsets and commit order never depend on the wall clock, and nothing here retries a failed write: it says so and
//! stops (see [`LogError`]). [`recovery`] tells what a crash can leave behind, [`batch`] and [`segment`] specify the
//! format.

mod append;
mod batch;
mod clock;
mod codec;
mod committer;
mod compression;
mod config;
mod ddl;
mod deletion;
mod derived;
mod disk;
mod error;
mod extension;
mod index;
mod log;
mod maintenance;
mod manifest;
mod partition;
mod producers;
mod recovery;
mod reserve;
mod rewrite;
mod sealed;
mod segment;
pub mod sim;
mod tail;
mod topic;
mod types;
mod verify;
mod waiting;

pub use append::{AppendHandle, Appended};
pub use batch::{BodyKind, Decoded, NewBatch, StoredBatch};
pub use clock::{Clock, SystemClock};
pub use codec::{Body, BodyCodec, NewBody, OpaqueBodies, RowKeys};
pub use compression::Compression;
pub use config::{Cleanup, Durability, LogConfig, TopicConfig, TopicKind};
pub use disk::{DirEntry, DirLock, Disk, DiskFile, OpenMode, RealDisk};
pub use error::{Corruption, LogError};
pub use extension::EpochRun;
pub use log::Log;
pub use maintenance::MaintenanceReport;
pub use partition::Partition;
pub use producers::{ProducerStamp, ProducerState};
pub use recovery::RecoveryReport;
pub use segment::scan_batches;
pub use topic::Topic;
pub use types::{Epoch, Offset, PartitionId, TopicId};
pub use waiting::DataWatch;
