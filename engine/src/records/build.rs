//! Builds record batches.

use bytes::Bytes;

use super::batch::{
    AT_ATTRIBUTES, AT_BASE_SEQUENCE, AT_BASE_TIMESTAMP, AT_COUNT, AT_LAST_OFFSET_DELTA, AT_LENGTH,
    AT_MAGIC, AT_MAX_TIMESTAMP, AT_PRODUCER_EPOCH, AT_PRODUCER_ID, BatchError, CONTROL,
    HEADER_BYTES, KafkaBatch, LENGTH_PREFIX, LOG_APPEND_TIME, TRANSACTIONAL, seal,
};
use super::compression::Codec;
use super::varint::{put_varint, varint_length};

/// Gathers records into one batch.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    /// A header to be filled, and the records.
    bytes: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Delta that the next record gets.
    next_delta: i32,
    attributes: i16,
    producer: (i64, i16, i32),
}

impl BatchBuilder {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            bytes: vec![0; HEADER_BYTES],
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            next_delta: 0,
            attributes: 0,
            producer: (-1, -1, -1),
        }
    }

    /// Who sends it: id, epoch, and the sequence number of the first record.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Marks it as part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Marks it as control records.
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL;
        self
    }

    /// Appends a record without headers.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.append_with_headers(timestamp, key, value, &[]);
    }

    /// Appends a record.
    pub fn append_with_headers(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let delta = i64::from(self.next_delta);
        let headers_length: usize = headers
            .iter()
            .map(|(key, value)| bytes_length(Some(key)) + bytes_length(*value))
            .sum();
        let length = 1
            + varint_length(timestamp_delta)
            + varint_length(delta)
            + bytes_length(key)
            + bytes_length(value)
            + varint_length(headers.len() as i64)
            + headers_length;
        let out = &mut self.bytes;
        out.reserve(length + 5);
        put_varint(out, length as i64);
        out.push(0);
        put_varint(out, timestamp_delta);
        put_varint(out, delta);
        put_bytes(out, key);
        put_bytes(out, value);
        put_varint(out, headers.len() as i64);
        for (key, value) in headers {
            put_bytes(out, Some(key));
            put_bytes(out, *value);
        }
        self.count += 1;
        self.next_delta += 1;
    }

    /// Leaves offsets out, so that the next record has this delta.
    pub fn skip_to(&mut self, delta: i32) {
        debug_assert!(delta >= self.next_delta, "offsets rise");
        self.next_delta = delta;
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The batch. Its last offset is that of the last record, or what was skipped to.
    pub fn build(self, base_offset: i64) -> Bytes {
        let last = (self.next_delta - 1).max(0);
        let mut bytes = match self.codec {
            Codec::None => self.bytes,
            codec => {
                let mut bytes = codec.compress(&self.bytes[HEADER_BYTES..]);
                bytes.splice(..0, [0; HEADER_BYTES]);
                bytes
            }
        };
        let mut put = |at: usize, field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
        };
        let (id, epoch, sequence) = self.producer;
        let attributes = self.attributes | i16::from(self.codec.number());
        put(0, &base_offset.to_be_bytes());
        put(AT_MAGIC, &[2]);
        put(AT_ATTRIBUTES, &attributes.to_be_bytes());
        put(AT_LAST_OFFSET_DELTA, &last.to_be_bytes());
        put(AT_BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(AT_MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(AT_PRODUCER_ID, &id.to_be_bytes());
        put(AT_PRODUCER_EPOCH, &epoch.to_be_bytes());
        put(AT_BASE_SEQUENCE, &sequence.to_be_bytes());
        put(AT_COUNT, &self.count.to_be_bytes());
        finish(bytes)
    }
}

/// Fills in the length and the checksum.
fn finish(mut bytes: Vec<u8>) -> Bytes {
    let length = (bytes.len() - LENGTH_PREFIX) as i32;
    bytes[AT_LENGTH..AT_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    seal(&mut bytes);
    bytes.into()
}

/// The batch with only the records for which `keep` is true: offsets, timestamps and everything in
/// the header but for the count stay. `keep` has an entry for each offset, also those that are gone.
///
/// # Errors
/// When the batch is damaged, or takes more than `bytes_max` decompressed.
pub fn retain_records(
    batch: &KafkaBatch,
    keep: impl Fn(i32) -> bool,
    bytes_max: usize,
) -> Result<Bytes, BatchError> {
    let records = batch.records(bytes_max)?;
    let mut kept = Vec::with_capacity(records.data().len());
    let mut count = 0i32;
    let mut max_timestamp = i64::MIN;
    for record in &records {
        let record = record?;
        if keep(record.offset_delta) {
            put_varint(&mut kept, record.body.len() as i64);
            kept.extend(record.body);
            count += 1;
            max_timestamp = max_timestamp.max(record.timestamp);
        }
    }
    let mut bytes = batch.bytes()[..HEADER_BYTES].to_vec();
    match batch.codec()? {
        Codec::None => bytes.append(&mut kept),
        codec => bytes.append(&mut codec.compress(&kept)),
    }
    bytes[AT_COUNT..AT_COUNT + 4].copy_from_slice(&count.to_be_bytes());
    // Where the broker has set the time, the maximum is the time of all records.
    if count > 0 && batch.attributes() & LOG_APPEND_TIME == 0 {
        bytes[AT_MAX_TIMESTAMP..AT_MAX_TIMESTAMP + 8].copy_from_slice(&max_timestamp.to_be_bytes());
    }
    Ok(finish(bytes))
}

#[inline]
fn bytes_length(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varint_length(bytes.len() as i64) + bytes.len(),
        None => 1,
    }
}

#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}
