//! Records: rows as Kafka clients see them, with a key, a value, a time and headers, all bytes.

mod format;

pub use format::{Format, HeaderColumn, KeyWindow, RecordFormat};
