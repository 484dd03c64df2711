//! Kafka's record batch, format 2.
//!
//! ```text
//! batch  = base_offset: i64 · length: i32 · leader_epoch: i32 · magic: i8 (2) · crc32c: u32
//!          · attributes: i16 · last_offset_delta: i32 · base_timestamp: i64 · max_timestamp: i64
//!          · producer_id: i64 · producer_epoch: i16 · base_sequence: i32 · count: i32 · record*
//! record = length: varint · attributes: i8 · timestamp_delta: varlong · offset_delta: varint
//!          · key: bytes · value: bytes · headers: varint · (key: bytes · value: bytes)*
//! bytes  = length: varint (−1: null) · byte*
//! ```
//!
//! `length` counts what follows it; the checksum covers everything from the attributes on, so the
//! base offset and the leader's epoch may be stamped anew. The records may be compressed, all
//! together. Integers are big-endian. Nothing is believed before it has been checked, and no bytes
//! make anything here panic.

use bytes::Bytes;

use super::compression::Codec;
use super::record::{Record, RecordIter};

/// Bytes in front of the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes that the length does not count.
pub const LENGTH_PREFIX: usize = 12;

const MAGIC: i8 = 2;

pub(super) const AT_LENGTH: usize = 8;
pub(super) const AT_LEADER_EPOCH: usize = 12;
pub(super) const AT_MAGIC: usize = 16;
pub(super) const AT_CRC: usize = 17;
pub(super) const AT_ATTRIBUTES: usize = 21;
pub(super) const AT_LAST_OFFSET_DELTA: usize = 23;
pub(super) const AT_BASE_TIMESTAMP: usize = 27;
pub(super) const AT_MAX_TIMESTAMP: usize = 35;
pub(super) const AT_PRODUCER_ID: usize = 43;
pub(super) const AT_PRODUCER_EPOCH: usize = 51;
pub(super) const AT_BASE_SEQUENCE: usize = 53;
pub(super) const AT_COUNT: usize = 57;

const CODEC_BITS: i16 = 0x07;
pub(super) const LOG_APPEND_TIME: i16 = 0x08;
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
/// The base timestamp is when tombstones may go; only brokers set it.
const DELETE_HORIZON: i16 = 0x40;
const KNOWN_BITS: i16 = CODEC_BITS | LOG_APPEND_TIME | TRANSACTIONAL | CONTROL | DELETE_HORIZON;

/// What is wrong with a batch. Each variant has one error code of Kafka.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// `CORRUPT_MESSAGE`: the bytes are damaged.
    #[error("{0}")]
    Corrupt(String),
    /// `UNSUPPORTED_FOR_MESSAGE_FORMAT`: a format of long ago, or of the future.
    #[error("record batches of format {0} are not supported, only format 2")]
    Magic(i8),
    /// `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("compression type {0} is not known")]
    Compression(u8),
    /// `MESSAGE_TOO_LARGE`: decompressed, the records take more than allowed.
    #[error("the records of a batch take more than {bytes_max} bytes decompressed")]
    TooLarge { bytes_max: usize },
    /// `INVALID_RECORD`: well-formed, but not what a producer may send.
    #[error("{0}")]
    Invalid(String),
}

/// One batch, of which the length and the magic have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaBatch {
    bytes: Bytes,
}

/// Takes the batches that stand one behind the other in a Produce request.
///
/// # Errors
/// When the bytes are not whole batches. Their checksums are not looked at.
pub fn split_batches(mut bytes: Bytes) -> Result<Vec<KafkaBatch>, BatchError> {
    let mut batches = Vec::with_capacity(1);
    while !bytes.is_empty() {
        let size = batch_size(&bytes)?;
        if size > bytes.len() {
            return Err(ends_early(size, bytes.len()));
        }
        batches.push(KafkaBatch {
            bytes: bytes.split_to(size),
        });
    }
    Ok(batches)
}

/// Bytes of the batch that begins here, which may be more than there are.
fn batch_size(bytes: &[u8]) -> Result<usize, BatchError> {
    // The magic stands at the same place in all formats, and older ones are shorter.
    match bytes.get(AT_MAGIC) {
        Some(&magic) if magic as i8 == MAGIC => {}
        Some(&magic) => return Err(BatchError::Magic(magic as i8)),
        None => return Err(ends_early(HEADER_BYTES, bytes.len())),
    }
    if bytes.len() < HEADER_BYTES {
        return Err(ends_early(HEADER_BYTES, bytes.len()));
    }
    let length = i32::from_be_bytes(field(bytes, AT_LENGTH));
    match usize::try_from(length) {
        Ok(length) if length >= HEADER_BYTES - LENGTH_PREFIX => Ok(length + LENGTH_PREFIX),
        _ => Err(BatchError::Corrupt(format!(
            "a record batch has the length {length}"
        ))),
    }
}

#[cold]
fn ends_early(needed: usize, there: usize) -> BatchError {
    BatchError::Corrupt(format!(
        "a record batch ends early: {needed} bytes needed, {there} there"
    ))
}

/// The bytes of a field of the header.
#[inline]
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("a header has all its fields")
}

impl KafkaBatch {
    /// Exactly one batch.
    ///
    /// # Errors
    /// When the bytes are less or more than one. The checksum is not looked at.
    pub fn new(bytes: Bytes) -> Result<Self, BatchError> {
        let size = batch_size(&bytes)?;
        if size > bytes.len() {
            return Err(ends_early(size, bytes.len()));
        }
        if size < bytes.len() {
            return Err(BatchError::Corrupt(format!(
                "{} bytes stand behind a record batch",
                bytes.len() - size
            )));
        }
        Ok(Self { bytes })
    }

    /// All of it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All of it, to keep.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(field(&self.bytes, 0))
    }

    pub fn leader_epoch(&self) -> i32 {
        i32::from_be_bytes(field(&self.bytes, AT_LEADER_EPOCH))
    }

    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(field(&self.bytes, AT_ATTRIBUTES))
    }

    /// Offset of the last record, less that of the first. Compaction takes records, but not offsets.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(field(&self.bytes, AT_LAST_OFFSET_DELTA))
    }

    /// Milliseconds, like all times here.
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(field(&self.bytes, AT_BASE_TIMESTAMP))
    }

    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(field(&self.bytes, AT_MAX_TIMESTAMP))
    }

    /// −1 if the producer has none.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(field(&self.bytes, AT_PRODUCER_ID))
    }

    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(field(&self.bytes, AT_PRODUCER_EPOCH))
    }

    /// Sequence number of the first record.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(field(&self.bytes, AT_BASE_SEQUENCE))
    }

    /// How many records there are. Not to be believed before [`KafkaBatch::validate`].
    pub fn count(&self) -> i32 {
        i32::from_be_bytes(field(&self.bytes, AT_COUNT))
    }

    /// # Errors
    /// When the number in the attributes is none that Kafka knows.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let number = (self.attributes() & CODEC_BITS) as u8;
        Codec::of_number(number).ok_or(BatchError::Compression(number))
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// Whether it holds the markers of transactions instead of data.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// Whether all records have the maximum timestamp, which the broker has set.
    pub fn has_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME != 0
    }

    /// Checks the checksum and what the header says, but not the records.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn validate(&self) -> Result<(), BatchError> {
        let stored = u32::from_be_bytes(field(&self.bytes, AT_CRC));
        let computed = crc32c::crc32c(&self.bytes[AT_ATTRIBUTES..]);
        if stored != computed {
            return Err(BatchError::Corrupt(format!(
                "a record batch has the checksum {computed:08x}, not {stored:08x}"
            )));
        }
        self.codec()?;
        let unknown = self.attributes() & !KNOWN_BITS;
        if unknown != 0 {
            return Err(BatchError::Corrupt(format!(
                "a record batch has the unknown attributes {unknown:#x}"
            )));
        }
        let (count, last) = (self.count(), self.last_offset_delta());
        if count < 0 || last < 0 || i64::from(count) > i64::from(last) + 1 {
            return Err(BatchError::Corrupt(format!(
                "a record batch has {count} records up to offset delta {last}"
            )));
        }
        Ok(())
    }

    /// Checks everything, as of a batch that a producer has sent: records without gaps, no control
    /// records, all of them well-formed.
    ///
    /// # Errors
    /// When a broker must refuse it.
    pub fn validate_produced(&self, bytes_max: usize) -> Result<Records, BatchError> {
        self.validate()?;
        if self.is_control() {
            return Err(BatchError::Invalid(
                "producers may not write control records".into(),
            ));
        }
        let (count, last) = (self.count(), self.last_offset_delta());
        if count == 0 || count != last + 1 {
            return Err(BatchError::Invalid(format!(
                "a record batch has {count} records up to offset delta {last}"
            )));
        }
        let records = self.records(bytes_max)?;
        for record in &records {
            record?;
        }
        Ok(records)
    }

    /// The records, decompressed. What is not compressed is not copied either.
    ///
    /// # Errors
    /// When they cannot be decompressed, or take more than `bytes_max`.
    pub fn records(&self, bytes_max: usize) -> Result<Records, BatchError> {
        let compressed = self.bytes.slice(HEADER_BYTES..);
        let data = match self.codec()? {
            Codec::None => compressed,
            codec => codec.decompress(&compressed, bytes_max)?.into(),
        };
        Ok(Records {
            data,
            count: self.count().max(0) as u32,
            base_timestamp: self.base_timestamp(),
            append_time: self.has_log_append_time().then(|| self.max_timestamp()),
            last_offset_delta: self.last_offset_delta(),
        })
    }
}

/// The records of a batch.
#[derive(Debug, Clone)]
pub struct Records {
    pub(super) data: Bytes,
    pub(super) count: u32,
    pub(super) base_timestamp: i64,
    /// The timestamp of all, if the broker has set it.
    pub(super) append_time: Option<i64>,
    pub(super) last_offset_delta: i32,
}

impl Records {
    /// How many there are, by the header. An iteration yields as many or an error.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(self)
    }

    /// The least and the greatest timestamp; `None` if there are no records.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn timestamps(&self) -> Result<Option<(i64, i64)>, BatchError> {
        let mut range: Option<(i64, i64)> = None;
        for record in self {
            let timestamp = record?.timestamp;
            let (least, greatest) = range.unwrap_or((timestamp, timestamp));
            range = Some((least.min(timestamp), greatest.max(timestamp)));
        }
        Ok(range)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// Stamps a batch with its place in the partition, as it is sent to a consumer. The checksum does
/// not cover it.
pub fn restamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[AT_LEADER_EPOCH..AT_LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Gives all records the time of the append, for topics with `message.timestamp.type=LogAppendTime`.
pub fn stamp_append_time(batch: &mut [u8], timestamp: i64) {
    let attributes = i16::from_be_bytes(field(batch, AT_ATTRIBUTES)) | LOG_APPEND_TIME;
    batch[AT_ATTRIBUTES..AT_ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[AT_MAX_TIMESTAMP..AT_MAX_TIMESTAMP + 8].copy_from_slice(&timestamp.to_be_bytes());
    seal(batch);
}

/// Writes the checksum.
pub(super) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[AT_ATTRIBUTES..]);
    batch[AT_CRC..AT_CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests;
