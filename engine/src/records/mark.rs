//! What a record is beside its columns and its time, on its way through queries: whether its value is
//! null, and its headers. ksqlDB hands both on from a stream to the streams that derive from it.
//!
//! ```text
//!  1 if the value is null, else 0 │ headers as in a record: count, then names and values
//! ```
//!
//! A record with a value and without headers, as nearly all are, has no mark: NULL among the marks of
//! a batch, and a batch without any has no column of them at all.

use super::build::put_bytes;
use super::record::{Headers, take_headers};
use super::varint::put_varint;

/// A mark that was read.
#[derive(Debug, Clone, Copy)]
pub struct Mark<'a> {
    pub null_value: bool,
    pub headers: Headers<'a>,
}

impl<'a> Mark<'a> {
    /// Reads the bytes of a mark; `None` if they are none.
    pub fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let (null_value, rest) = bytes.split_first()?;
        bytes = rest;
        Some(Self {
            null_value: *null_value != 0,
            headers: take_headers(&mut bytes)?,
        })
    }

    /// Whether the bytes of a mark say that the value is null.
    pub fn says_null(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|flag| *flag != 0)
    }

    /// Appends the bytes of a mark.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.null_value));
        put_varint(out, self.headers.len() as i64);
        for header in self.headers {
            put_bytes(out, Some(header.key));
            put_bytes(out, header.value);
        }
    }
}
