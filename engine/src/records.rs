//! Records: rows as Kafka clients see them, with a key, a value, a time and headers, all bytes.

pub mod batch;
mod build;
mod compression;
mod format;
pub mod partition;
mod record;
mod varint;

pub use batch::{BatchError, KafkaBatch, Records, split_batches};
pub use build::{BatchBuilder, retain_records};
pub use compression::Codec;
pub use format::{Format, HeaderColumn, KeyWindow, RecordFormat};
pub use record::{Header, Headers, Record, RecordIter};
