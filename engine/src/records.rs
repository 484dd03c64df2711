//! Records: rows as Kafka clients see them, with a key, a value, a time and headers, all bytes.
//!
//! ```text
//!  Produce ─► split_batches ─► KafkaBatch ─► Records ─► RecordDecoder ─► rows in the log's schema
//!  Fetch   ◄─ KafkaBatch ◄──── BatchBuilder ◄────────── RecordEncoder ◄─ rows in the log's schema
//! ```

pub mod batch;
mod build;
mod column;
mod compression;
mod decode;
mod delimited;
mod encode;
mod fail;
mod format;
mod guess;
mod json;
mod kafka;
mod mark;
mod names;
pub mod partition;
mod pattern;
mod record;
mod text;
mod varint;

#[cfg(test)]
mod tests;

pub use batch::{BatchError, KafkaBatch, Records, split_batches};
pub use build::{BatchBuilder, retain_records};
pub use compression::Codec;
pub use decode::{Decoded, RecordDecoder, RecordError, RecordPart, Windows};
pub use encode::{EncodedRows, RecordEncoder, Scratch};
pub use format::{Format, HeaderColumn, KeyWindow, RecordFormat};
pub use guess::RecordPrinter;
pub use mark::Mark;
pub use pattern::Pattern;
pub use record::{Header, Headers, Record, RecordIter};
