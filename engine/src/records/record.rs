//! One record of a batch, as slices of its bytes.

use super::batch::{BatchError, Records};
use super::varint::{take_varint, take_varlong};

/// A record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its offset, less that of the batch.
    pub offset_delta: i32,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// All of it behind its length.
    pub(super) body: &'a [u8],
}

/// The headers of a record, in order; names may repeat.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// One header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of the last header of a name.
    pub fn last_named(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.filter(|header| header.key == name)
            .last()
            .map(|header| header.value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        // They have been walked over once already, when the record was read.
        Some(Header {
            key: take_bytes(&mut self.bytes)??,
            value: take_bytes(&mut self.bytes)?,
        })
    }
}

/// Walks over the records of a batch and checks each.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    /// Records still to come.
    left: u32,
    base_timestamp: i64,
    append_time: Option<i64>,
    last_offset_delta: i32,
    /// The delta of the next record is at least this.
    next_delta: i32,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(records: &'a Records) -> Self {
        Self {
            rest: &records.data,
            left: records.count,
            base_timestamp: records.base_timestamp,
            append_time: records.append_time,
            last_offset_delta: records.last_offset_delta,
            next_delta: 0,
        }
    }

    #[inline]
    fn take_record(&mut self) -> Option<Record<'a>> {
        let body = take_bytes(&mut self.rest)??;
        let mut rest = body;
        let (_attributes, after) = rest.split_first()?;
        rest = after;
        let timestamp_delta = take_varlong(&mut rest)?;
        let offset_delta = take_varint(&mut rest)?;
        let key = take_bytes(&mut rest)?;
        let value = take_bytes(&mut rest)?;
        let headers = take_headers(&mut rest)?;
        if !rest.is_empty() || !(self.next_delta..=self.last_offset_delta).contains(&offset_delta) {
            return None;
        }
        // At the last delta there is, nothing may follow anyway.
        self.next_delta = offset_delta.saturating_add(1);
        let timestamp = match self.append_time {
            Some(append_time) => append_time,
            None => self.base_timestamp.checked_add(timestamp_delta)?,
        };
        Some(Record {
            offset_delta,
            timestamp,
            key,
            value,
            headers,
            body,
        })
    }

    #[cold]
    fn damaged(&mut self) -> BatchError {
        self.left = 0;
        self.rest = &[];
        BatchError::Corrupt(format!(
            "a record behind offset delta {} of a batch is damaged",
            self.next_delta - 1
        ))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(BatchError::Corrupt(
                "a batch has bytes behind its last record".into(),
            )));
        }
        match self.take_record() {
            Some(record) => {
                self.left -= 1;
                Some(Ok(record))
            }
            None => Some(Err(self.damaged())),
        }
    }
}

/// Bytes behind their length; the inner `None` is null.
#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_varint(bytes)?;
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let (taken, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(Some(taken))
}

#[inline]
pub(super) fn take_headers<'a>(bytes: &mut &'a [u8]) -> Option<Headers<'a>> {
    let count = usize::try_from(take_varint(bytes)?).ok()?;
    let all = *bytes;
    for _ in 0..count {
        take_bytes(bytes)??;
        take_bytes(bytes)?;
    }
    Some(Headers {
        bytes: &all[..all.len() - bytes.len()],
        count,
    })
}
