//! The record batch: what is appended, what is read, and the header between them.
//!
//! ```text
//! batch  = header[112] · zeros[lead] · body[body_len] · extension[extension_len] · zeros to a multiple of 8
//! header = "Mpnd" · version:u8 · kind:u8 · compression:u8 · flags:u8 · length:u32 · header_crc:u32
//!        · body_crc:u32 · extension_len:u32 · body_len:u32 · plain_len:u32
//!        · base_offset:u64 · last_offset_delta:u32 · rows:u32
//!        · epoch:u64 · epoch_time:i64 · parts:u32 · group_delta:u32
//!        · rowtime_min:i64 · rowtime_max:i64
//!        · producer_id:i64 · producer_epoch:i16 · epoch_delta:u16 · sequence:i32
//!        · schema_id:u32 · lead:u8 · 0[3]                                            (little-endian)
//! ```
//!
//! `header_crc` is the CRC-32C of the header without itself, and the header holds `body_crc`, that of body and
//! extension; the zeros between are checked to be zeros. So every bit of a batch is covered, a header can be trusted
//! (and hopped over) before its body is read, and the appender's own thread computes the checksum of the body.
//!
//! `parts` is how many batches its epoch has over all topics; `group_delta` reaches back to the first offset of its
//! epoch in this partition; `epoch_delta` back to the epoch that was sealed before (zero if it does not fit). With these
//! recovery needs no commit record: see [`crate::recovery`].
//!
//! Producer id, epoch and sequence are those of a [`ProducerStamp`], all −1 without one. Rewriting a batch may drop them:
//! what they said is in the manifest by then (see [`crate::producers`]).

use std::{any::Any, fmt, ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    Compression, Epoch, LogError, Offset, PartitionId, ProducerStamp, TopicId,
    compression::ALIGNMENT,
    extension::{EpochRun, Extension},
};

pub(crate) const HEADER_LEN: usize = 112;
pub(crate) const MAGIC: &[u8; 4] = b"Mpnd";
const VERSION: u8 = 1;
/// Batches begin at multiples of this in a file.
pub(crate) const BATCH_ALIGNMENT: u64 = 8;

/// Which of the engine's encodings a body has. The log only aligns Arrow bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyKind(pub u8);

impl BodyKind {
    /// An Arrow IPC record batch message; stored at a 64-byte aligned position.
    pub const ARROW: BodyKind = BodyKind(0);
    /// A compact row encoding.
    pub const ROWS: BodyKind = BodyKind(1);
    /// A Kafka record batch as a client sent it; see [`StoredBatch::base_offset`] for what becomes of it in compaction.
    /// Never merged with others, and never compressed anew.
    pub const RAW: BodyKind = BodyKind(2);
}

/// A decoded form of a body that the appender shares with readers of the in-memory tail.
pub type Decoded = Arc<dyn Any + Send + Sync>;

/// Rows to append to one partition.
#[derive(Clone)]
pub struct NewBatch {
    /// To which topic.
    pub topic: TopicId,
    /// To which of its partitions.
    pub partition: PartitionId,
    /// How many rows the body holds; at least one.
    pub rows: u32,
    /// The smallest rowtime, in microseconds.
    pub rowtime_min: i64,
    /// The largest rowtime, in microseconds.
    pub rowtime_max: i64,
    /// The engine's number for the schema of the body.
    pub schema_id: u32,
    /// The engine's encoding of the body.
    pub kind: BodyKind,
    /// How the log shall store the body.
    pub compression: Compression,
    /// The rows, opaque to the log.
    pub body: Bytes,
    /// Handed to those who read the batch while it is in memory.
    pub decoded: Option<Decoded>,
    /// Which of its producer's batches this is, so that a second sending is recognised. Only for ingested topics.
    pub producer: Option<ProducerStamp>,
}

impl fmt::Debug for NewBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewBatch")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("rows", &self.rows)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Rows as they are read back: a whole batch, with the part of it that was asked for in [`StoredBatch::visible`].
#[derive(Clone)]
pub struct StoredBatch {
    /// The offset at which the batch begins. It stays what it was when the batch was appended, also when compaction has
    /// since taken its first rows: offsets within a body that count from the batch's beginning (as those of a Kafka
    /// record batch do) stay right. Only merging begins anew, with the first of the merged batches, and
    /// [`BodyKind::RAW`] is never merged.
    pub base_offset: Offset,
    /// The offset at which it ends, included; like `base_offset`, that of the batch as it was appended.
    pub last_offset: Offset,
    /// Rows in the body. After compaction fewer than there are offsets.
    pub rows: u32,
    /// The rows of the body that were asked for: all of them, unless the batch was merged from several epochs (or begins
    /// before the offset asked for).
    pub visible: Range<u32>,
    /// The epoch of the batch; of its last row if it was merged.
    pub epoch: Epoch,
    /// The wall-clock time of that epoch, in microseconds.
    pub epoch_time: i64,
    /// The smallest rowtime, in microseconds (after compaction: at most that).
    pub rowtime_min: i64,
    /// The largest rowtime, in microseconds (after compaction: at least that).
    pub rowtime_max: i64,
    /// The engine's number for the schema of the body.
    pub schema_id: u32,
    /// The engine's encoding of the body.
    pub kind: BodyKind,
    /// Whether compaction took rows away, so that offsets have gaps: see [`StoredBatch::offset_of`].
    pub sparse_offsets: bool,
    /// The body, uncompressed, 64-byte aligned if it is an Arrow body that comes from a file. Zero-copy if stored so.
    pub body: Bytes,
    /// What the appender gave along, while the batch is in memory.
    pub decoded: Option<Decoded>,
    pub(crate) extension: Option<Arc<Extension>>,
}

impl StoredBatch {
    /// The epochs of the rows, in order; a single one unless the batch was merged.
    pub fn epochs(&self) -> Vec<EpochRun> {
        match &self.extension {
            Some(extension) if !extension.runs.is_empty() => extension.runs.clone(),
            _ => vec![EpochRun {
                epoch: self.epoch,
                time: self.epoch_time,
                rows: 0..self.rows,
            }],
        }
    }

    /// The offset of a row of the body.
    pub fn offset_of(&self, row: u32) -> Offset {
        match &self.extension {
            Some(extension) if !extension.offsets.is_empty() => self
                .base_offset
                .plus(u64::from(extension.offsets[row as usize])),
            _ => self.base_offset.plus(u64::from(row)),
        }
    }

    /// Whether every row of the body was asked for.
    pub fn is_whole(&self) -> bool {
        self.visible == (0..self.rows)
    }

    /// Narrows [`StoredBatch::visible`] to rows at or after `from` and with an epoch of at most `up_to`.
    pub(crate) fn restrict(&mut self, from: Offset, up_to: Epoch) {
        let mut first = 0;
        if from > self.base_offset {
            let delta = from.0 - self.base_offset.0;
            first = match &self.extension {
                Some(extension) if !extension.offsets.is_empty() => extension
                    .offsets
                    .partition_point(|&offset| u64::from(offset) < delta)
                    as u32,
                _ => delta.min(u64::from(self.rows)) as u32,
            };
        }
        let mut end = self.rows;
        if self.epoch > up_to {
            end = match &self.extension {
                Some(extension) => extension.rows_up_to(up_to),
                None => 0,
            };
        }
        self.visible = first..end.max(first);
    }
}

impl fmt::Debug for StoredBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBatch")
            .field("offsets", &(self.base_offset.0..=self.last_offset.0))
            .field("visible", &self.visible)
            .field("epoch", &self.epoch)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The header, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub kind: BodyKind,
    pub compression: Compression,
    pub flags: u8,
    pub body_crc: u32,
    pub extension_len: u32,
    pub body_len: u32,
    pub plain_len: u32,
    pub base_offset: Offset,
    pub last_offset_delta: u32,
    pub rows: u32,
    pub epoch: Epoch,
    pub epoch_time: i64,
    pub parts: u32,
    pub group_delta: u32,
    pub epoch_delta: u16,
    pub rowtime_min: i64,
    pub rowtime_max: i64,
    pub producer: Option<ProducerStamp>,
    pub schema_id: u32,
    pub lead: u8,
}

/// The last batch of its epoch in this partition.
pub(crate) const FLAG_LAST_OF_EPOCH: u8 = 1;
/// The extension holds the offsets of the rows.
pub(crate) const FLAG_SPARSE: u8 = 2;
/// The extension holds the epochs of the rows.
pub(crate) const FLAG_RUNS: u8 = 4;
/// What the header says when nobody stamped the batch.
const NO_PRODUCER: ProducerStamp = ProducerStamp {
    id: -1,
    epoch: -1,
    sequence: -1,
};
const FLAGS_KNOWN: u8 = FLAG_LAST_OF_EPOCH | FLAG_SPARSE | FLAG_RUNS;

impl BatchHeader {
    pub fn end_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.last_offset_delta) + 1)
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(u64::from(self.last_offset_delta))
    }

    /// The first offset of this batch's epoch in this partition.
    pub fn group_base(&self) -> Offset {
        Offset(self.base_offset.0 - u64::from(self.group_delta))
    }

    /// The epoch sealed before this one, if the header says.
    pub fn previous_epoch(&self) -> Option<Epoch> {
        let delta = u64::from(self.epoch_delta);
        (delta > 0).then(|| Epoch(self.epoch.0.saturating_sub(delta)))
    }

    pub fn is_last_of_epoch(&self) -> bool {
        self.flags & FLAG_LAST_OF_EPOCH != 0
    }

    /// Bytes of the whole batch in the file.
    pub fn length(&self) -> u64 {
        (HEADER_LEN as u64
            + u64::from(self.lead)
            + u64::from(self.body_len)
            + u64::from(self.extension_len))
        .next_multiple_of(BATCH_ALIGNMENT)
    }

    /// Sets the zeros before the body for a batch that is to begin at `position`.
    pub fn place(&mut self, position: u64) {
        let aligned = self.kind == BodyKind::ARROW && self.compression == Compression::None;
        let body = position + HEADER_LEN as u64;
        self.lead = if aligned {
            (body.next_multiple_of(ALIGNMENT as u64) - body) as u8
        } else {
            0
        };
    }

    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0u8; HEADER_LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(MAGIC);
        put(&[VERSION, self.kind.0, self.compression as u8, self.flags]);
        put(&(self.length() as u32).to_le_bytes());
        put(&[0; 4]);
        put(&self.body_crc.to_le_bytes());
        put(&self.extension_len.to_le_bytes());
        put(&self.body_len.to_le_bytes());
        put(&self.plain_len.to_le_bytes());
        put(&self.base_offset.0.to_le_bytes());
        put(&self.last_offset_delta.to_le_bytes());
        put(&self.rows.to_le_bytes());
        put(&self.epoch.0.to_le_bytes());
        put(&self.epoch_time.to_le_bytes());
        put(&self.parts.to_le_bytes());
        put(&self.group_delta.to_le_bytes());
        put(&self.rowtime_min.to_le_bytes());
        put(&self.rowtime_max.to_le_bytes());
        let producer = self.producer.unwrap_or(NO_PRODUCER);
        put(&producer.id.to_le_bytes());
        put(&producer.epoch.to_le_bytes());
        put(&self.epoch_delta.to_le_bytes());
        put(&producer.sequence.to_le_bytes());
        put(&self.schema_id.to_le_bytes());
        put(&[self.lead, 0, 0, 0]);
        let crc = header_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes and verifies a header; the error says what did not hold.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<BatchHeader, &'static str> {
        if &bytes[..4] != MAGIC {
            return Err("no batch begins here");
        }
        let mut fields = Fields { bytes, at: 4 };
        let [version, kind, compression, flags] = fields.take();
        let length = u32::from_le_bytes(fields.take());
        let crc = u32::from_le_bytes(fields.take());
        if crc != header_crc(bytes) {
            return Err("the checksum of the header does not match");
        }
        if version != VERSION {
            return Err("unknown batch version");
        }
        let mut producer = NO_PRODUCER;
        let mut header = BatchHeader {
            kind: BodyKind(kind),
            compression: Compression::from_code(compression).ok_or("unknown compression")?,
            flags,
            body_crc: u32::from_le_bytes(fields.take()),
            extension_len: u32::from_le_bytes(fields.take()),
            body_len: u32::from_le_bytes(fields.take()),
            plain_len: u32::from_le_bytes(fields.take()),
            base_offset: Offset(u64::from_le_bytes(fields.take())),
            last_offset_delta: u32::from_le_bytes(fields.take()),
            rows: u32::from_le_bytes(fields.take()),
            epoch: Epoch(u64::from_le_bytes(fields.take())),
            epoch_time: i64::from_le_bytes(fields.take()),
            parts: u32::from_le_bytes(fields.take()),
            group_delta: u32::from_le_bytes(fields.take()),
            rowtime_min: i64::from_le_bytes(fields.take()),
            rowtime_max: i64::from_le_bytes(fields.take()),
            producer: {
                producer.id = i64::from_le_bytes(fields.take());
                producer.epoch = i16::from_le_bytes(fields.take());
                None
            },
            epoch_delta: u16::from_le_bytes(fields.take()),
            schema_id: {
                producer.sequence = i32::from_le_bytes(fields.take());
                u32::from_le_bytes(fields.take())
            },
            lead: {
                let [lead, ..]: [u8; 4] = fields.take();
                lead
            },
        };
        header.producer = (producer != NO_PRODUCER).then_some(producer);
        // The checksum held, so what follows guards against a writer's mistake and against bytes made to deceive.
        let dense = header.flags & FLAG_SPARSE == 0;
        let offsets_fit = header.base_offset.0 < u64::MAX / 2;
        let rows_fit = header.rows > 0
            && (u64::from(header.last_offset_delta) + 1 >= u64::from(header.rows))
            && (!dense || header.last_offset_delta == header.rows - 1);
        if header.flags & !FLAGS_KNOWN != 0
            || !offsets_fit
            || !rows_fit
            || u64::from(header.group_delta) > header.base_offset.0
            || header.length() != u64::from(length)
            || usize::from(header.lead) >= ALIGNMENT
            || header.producer.is_some_and(|producer| !producer.is_valid())
        {
            return Err("the header contradicts itself");
        }
        Ok(header)
    }
}

fn header_crc(bytes: &[u8; HEADER_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

struct Fields<'a> {
    bytes: &'a [u8; HEADER_LEN],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }
}

/// A batch on its way to disk: compressed and with its checksum, without its place in the log.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub topic: TopicId,
    pub partition: PartitionId,
    pub header: BatchHeader,
    pub stored: Bytes,
    pub plain: Bytes,
    pub decoded: Option<Decoded>,
}

impl Prepared {
    /// The part of the work that needs no order, done on the appender's own thread.
    pub fn new(batch: NewBatch, body_bytes_max: usize) -> Result<Self, LogError> {
        if batch.rows == 0 {
            return Err(LogError::InvalidBatch("it has no rows".into()));
        }
        if batch.body.len() > body_bytes_max.min(u32::MAX as usize / 2) {
            return Err(LogError::InvalidBatch(format!(
                "its body of {} bytes is larger than the limit of {body_bytes_max}",
                batch.body.len()
            )));
        }
        if let Some(producer) = batch.producer
            && !producer.is_valid()
        {
            return Err(LogError::InvalidBatch(format!(
                "producer id {}, epoch {} and sequence {} must not be negative",
                producer.id, producer.epoch, producer.sequence
            )));
        }
        let (compression, stored) = batch.compression.pack(&batch.body);
        let header = BatchHeader {
            kind: batch.kind,
            compression,
            flags: 0,
            body_crc: crc32c::crc32c(&stored),
            extension_len: 0,
            body_len: stored.len() as u32,
            plain_len: batch.body.len() as u32,
            base_offset: Offset::ZERO,
            last_offset_delta: batch.rows - 1,
            rows: batch.rows,
            epoch: Epoch::ZERO,
            epoch_time: 0,
            parts: 0,
            group_delta: 0,
            epoch_delta: 0,
            rowtime_min: batch.rowtime_min,
            rowtime_max: batch.rowtime_max,
            producer: batch.producer,
            schema_id: batch.schema_id,
            lead: 0,
        };
        Ok(Prepared {
            topic: batch.topic,
            partition: batch.partition,
            header,
            stored,
            plain: batch.body,
            decoded: batch.decoded,
        })
    }
}

/// What [`parse`] found at a position.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// A valid batch (with its body verified if that was asked for).
    Batch(BatchHeader),
    /// Nothing but zeros, or nothing at all.
    End,
    /// Bytes that are not a valid batch; with its header, if at least that holds.
    Fault(&'static str, Option<BatchHeader>),
}

/// Reads the batch at `at`: a pure function of bytes, safe for any.
pub(crate) fn parse(bytes: &[u8], at: usize, verify_body: bool) -> Parsed {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(head) = rest.first_chunk::<HEADER_LEN>() else {
        return if rest.iter().all(|&b| b == 0) {
            Parsed::End
        } else {
            Parsed::Fault("the header is cut off", None)
        };
    };
    let header = match BatchHeader::decode(head) {
        Ok(header) => header,
        Err(_) if head.iter().all(|&b| b == 0) && rest.iter().all(|&b| b == 0) => {
            return Parsed::End;
        }
        Err(reason) => return Parsed::Fault(reason, None),
    };
    let Some(batch) = rest.get(..header.length() as usize) else {
        return Parsed::Fault("the body is cut off", Some(header));
    };
    if verify_body && let Err(reason) = check_body(&header, batch) {
        return Parsed::Fault(reason, Some(header));
    }
    Parsed::Batch(header)
}

/// Where body and extension lie in a batch.
pub(crate) fn body_range(header: &BatchHeader) -> (Range<usize>, Range<usize>) {
    let start = HEADER_LEN + usize::from(header.lead);
    let end = start + header.body_len as usize;
    (start..end, end..end + header.extension_len as usize)
}

fn check_body(header: &BatchHeader, batch: &[u8]) -> Result<(), &'static str> {
    let (body, extension) = body_range(header);
    if crc32c::crc32c(&batch[body.start..extension.end]) != header.body_crc {
        return Err("the checksum of the body does not match");
    }
    let zeros = |range: &[u8]| range.iter().all(|&b| b == 0);
    if !zeros(&batch[HEADER_LEN..body.start]) || !zeros(&batch[extension.end..]) {
        return Err("the bytes around the body are not zero");
    }
    Ok(())
}

/// Makes the batch at the front of `batch` (verified, and exactly its length) what a reader gets.
pub(crate) fn decode_batch(header: &BatchHeader, batch: &Bytes) -> Result<StoredBatch, String> {
    let (body, extension) = body_range(header);
    let extension = if header.extension_len == 0 && header.flags & (FLAG_RUNS | FLAG_SPARSE) == 0 {
        None
    } else {
        Some(Arc::new(Extension::decode(header, &batch[extension])?))
    };
    let body = header
        .compression
        .unpack(&batch.slice(body), header.plain_len as usize)
        .map_err(|error| error.to_string())?;
    Ok(stored(header, body, None, extension))
}

pub(crate) fn stored(
    header: &BatchHeader,
    body: Bytes,
    decoded: Option<Decoded>,
    extension: Option<Arc<Extension>>,
) -> StoredBatch {
    StoredBatch {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        rows: header.rows,
        visible: 0..header.rows,
        epoch: header.epoch,
        epoch_time: header.epoch_time,
        rowtime_min: header.rowtime_min,
        rowtime_max: header.rowtime_max,
        schema_id: header.schema_id,
        kind: header.kind,
        sparse_offsets: header.flags & FLAG_SPARSE != 0,
        body,
        decoded,
        extension,
    }
}

/// Zeros to pad with.
pub(crate) static ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
