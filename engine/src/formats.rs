//! Formats: bytes to Arrow and back.
//!
//! ```text
//!  COPY FROM bytes ─► csv | text | json split rows into cells ─► build: cells to columns ─► RecordBatch
//!  COPY TO   RecordBatch ─► Column: cells to text or JSON ─► csv | text | json ─► bytes
//! ```
//!
//! The formats differ only in how they cut rows into cells; a cell's text means the same in all of them, and the
//! same as in a Postgres protocol's text parameters and results, which use [`parse_value`] and [`Column`] too.

mod build;
mod bytes_as_base64;
mod column;
mod csv;
mod datetime;
mod decode;
mod encode;
mod interval;
mod json;
mod literal;
mod parse;
mod rows;
mod text;
mod types;
mod zone;

#[cfg(test)]
mod tests;

pub use build::{build_texts, parse_value};
pub(crate) use column::write_decimal;
pub use column::{Blobs, Column, Texts, Values, write_json_string};
pub(crate) use datetime::{
    days_from_civil, parse_date, parse_time, parse_timestamp, parse_timestamptz,
};
pub use decode::{RowDecoder, project};
pub use encode::RowEncoder;
pub(crate) use interval::parse_interval;
pub(crate) use parse::{parse_decimal, parse_uuid};
pub use types::{LOGICAL_TYPE, is_json, logical_type, text_length, type_name};
pub use zone::Zone;

pub use datafusion::scalar::ScalarValue;
