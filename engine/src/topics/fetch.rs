//! Records on their way out: whole batches from an offset on, ready for the wire.

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::{Bytes, BytesMut};
use log_store::{BodyKind, DataWatch, Offset, Partition, StoredBatch, TopicKind};

use super::{Found, TopicError, Topics};
use crate::body_codec;
use crate::catalog::ColumnarTopic;
use crate::records::batch::restamp;
use crate::records::{BatchBuilder, Codec, RecordEncoder, Scratch};

/// In front of what is stamped anew: base offset, length and leader's epoch.
const STAMPED_BYTES: usize = 16;

/// A batch shorter than this is copied; of a longer one only what is stamped.
const COPIED_BYTES_MAX: usize = 1024;

/// Rows are encoded into batches of about this size.
const ENCODED_BYTES: usize = 256 << 10;

/// What a partition answers.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Record batches; cut anywhere, to be sent one behind the other.
    pub chunks: Vec<Bytes>,
    /// The length of all chunks.
    pub bytes: usize,
    /// The first offset that cannot be read yet.
    pub high_watermark: i64,
    /// The first offset that there still is.
    pub start: i64,
}

/// Wakes when something can be read from one of some partitions.
#[derive(Debug)]
pub struct TopicWatch(DataWatch);

impl TopicWatch {
    /// Waits for that. May wake although there is nothing.
    pub async fn changed(&self) {
        self.0.changed().await;
    }
}

impl Topics {
    /// Reads from an offset on: the whole batch that holds it, however long, unless `bytes_max` is
    /// zero; then more until there would be more than `bytes_max`.
    pub fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: usize,
    ) -> Result<Fetched, TopicError> {
        let found = self.find(topic)?;
        let held = found.partition(partition)?;
        let end = super::offsets::visible_end(&found.topic, &held, topic)?;
        let start = held.start_offset().0 as i64;
        if offset < start || offset > end {
            return Err(TopicError::OffsetOutOfRange { offset, start, end });
        }
        let mut fetched = Fetched {
            high_watermark: end,
            start,
            ..Fetched::default()
        };
        if offset == end || bytes_max == 0 {
            return Ok(fetched);
        }
        let batches = self.read(&found, &held, offset as u64, bytes_max)?;
        let mut chunks = Chunks::default();
        let columnar = found.columnar();
        let encoder = columnar.map(|columnar| {
            RecordEncoder::new(&columnar.format, &columnar.log_schema, columnar.kind)
        });
        for batch in &batches {
            match batch.kind {
                BodyKind::RAW => {
                    if chunks.bytes > 0 && chunks.bytes + batch.body.len() > bytes_max {
                        break;
                    }
                    chunks.push_raw(batch);
                }
                _ => {
                    let (Some(columnar), Some(encoder)) = (columnar, &encoder) else {
                        return Err(TopicError::Internal(format!(
                            "topic \"{topic}\" has rows where there should be records"
                        )));
                    };
                    chunks.push_rows(batch, columnar, encoder, bytes_max)?;
                    if chunks.bytes >= bytes_max {
                        break;
                    }
                }
            }
        }
        (fetched.chunks, fetched.bytes) = chunks.finish();
        Ok(fetched)
    }

    /// Whether reading a topic takes more than handing out bytes.
    pub fn is_raw(&self, topic: &str) -> bool {
        self.find(topic).is_ok_and(|found| found.is_raw())
    }

    /// A watch on partitions. Make it first, then read, then wait. Partitions that do not exist never
    /// wake it.
    pub fn watch<'a>(&self, partitions: impl IntoIterator<Item = (&'a str, i32)>) -> TopicWatch {
        let held: Vec<Partition> = partitions
            .into_iter()
            .filter_map(|(topic, partition)| self.find(topic).ok()?.partition(partition).ok())
            .collect();
        TopicWatch(self.engine.log.watch_partitions(&held))
    }

    /// Stored batches with rows at or after an offset that are visible.
    pub(super) fn read(
        &self,
        found: &Found,
        held: &Partition,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, TopicError> {
        let up_to = match found.topic.kind() {
            TopicKind::Ingested => log_store::Epoch::MAX,
            TopicKind::Derived => found.topic.frontier(),
        };
        held.read(Offset(offset), bytes_max, up_to)
            .map_err(|error| TopicError::of_log(error, found.name()))
    }
}

/// Gathers batches: small ones in one buffer, large ones shared.
#[derive(Default)]
struct Chunks {
    done: Vec<Bytes>,
    buffer: BytesMut,
    bytes: usize,
}

impl Chunks {
    /// A batch as it is stored, with its place in the partition.
    fn push_raw(&mut self, batch: &StoredBatch) {
        let body = &batch.body;
        self.bytes += body.len();
        let copied = match body.len() <= COPIED_BYTES_MAX {
            true => body.len(),
            false => STAMPED_BYTES.min(body.len()),
        };
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&body[..copied]);
        if copied >= STAMPED_BYTES {
            restamp(&mut self.buffer[at..], batch.base_offset.0 as i64, 0);
        }
        if copied < body.len() {
            self.flush();
            self.done.push(body.slice(copied..));
        }
    }

    /// Rows as records, each with its own offset, until there are bytes enough.
    fn push_rows(
        &mut self,
        batch: &StoredBatch,
        columnar: &ColumnarTopic,
        encoder: &RecordEncoder,
        bytes_max: usize,
    ) -> Result<(), TopicError> {
        let first = batch.visible.start;
        let count = batch.visible.len();
        if count == 0 {
            return Ok(());
        }
        let failed = |error: crate::error::Error| TopicError::Internal(error.to_string());
        let rows = rows_of(batch, columnar)?.slice(first as usize, count);
        let encoded = encoder.rows(&rows).map_err(failed)?;
        let mut scratch = Scratch::default();
        let mut row = 0;
        while row < count && (self.bytes < bytes_max || row == 0) {
            let base = batch.offset_of(first + row as u32).0;
            let room = ENCODED_BYTES.min(bytes_max.saturating_sub(self.bytes));
            let mut builder = BatchBuilder::new(Codec::None);
            while row < count && (builder.is_empty() || builder.size() < room) {
                let offset = batch.offset_of(first + row as u32).0;
                builder.skip_to((offset - base) as i32);
                encoded.append(row, None, &mut scratch, &mut builder);
                row += 1;
            }
            let bytes = builder.build(base as i64);
            self.bytes += bytes.len();
            self.flush();
            self.done.push(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.done.push(self.buffer.split().freeze());
        }
    }

    fn finish(mut self) -> (Vec<Bytes>, usize) {
        self.flush();
        (self.done, self.bytes)
    }
}

/// The rows of a batch of a columnar topic.
pub(super) fn rows_of(
    batch: &StoredBatch,
    columnar: &ColumnarTopic,
) -> Result<RecordBatch, TopicError> {
    if let Some(rows) = batch
        .decoded
        .as_ref()
        .and_then(|decoded| decoded.downcast_ref::<RecordBatch>())
    {
        return Ok(rows.clone());
    }
    body_codec::decode(batch.kind, &batch.body, &columnar.log_schema)
        .map_err(|error| TopicError::Storage(error.to_string()))
}

/// Their event times, microseconds; they stand behind the columns that users see.
pub(super) fn rowtimes_of(rows: &RecordBatch, column: usize) -> &Int64Array {
    rows.column(column).as_primitive::<Int64Type>()
}
