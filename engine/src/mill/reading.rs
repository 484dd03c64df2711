//! From a topic's batches to rows of the relation that reads it.

use std::ops::Range;

use arrow::array::{AsArray, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use log_store::{BodyKind, StoredBatch};

use crate::body_codec;
use crate::catalog::{LOG_MARK, Relation};
use crate::error::{Error, Result};
use crate::mill::cursor::{LogRows, Offsets};
use crate::processing_log::UndecodedRecord;
use crate::records::{
    BatchBuilder, Codec, Decoded, KafkaBatch, Record, RecordDecoder, RecordEncoder, RecordPart,
    Records,
};

/// Records of one batch take this much when decompressed, at the most.
const RECORDS_BYTES_MAX: usize = 512 << 20;

/// How the batches of a topic are read.
pub(super) enum Reading {
    /// They hold the relation's rows.
    Columnar(SchemaRef),
    /// They hold records, or rows of another relation that are read as the records they look like.
    Records {
        decoder: Box<RecordDecoder>,
        columnar: Option<(SchemaRef, RecordEncoder)>,
    },
}

impl Reading {
    pub fn of(relation: &Relation) -> Result<Self> {
        if !relation.over_records {
            return Ok(Self::Columnar(relation.log_schema()));
        }
        let decoder = RecordDecoder::new(
            &relation.format,
            relation.log_schema(),
            relation.kind,
            relation.timestamp,
        )?;
        let decoder = match relation.gives_marks() {
            true => decoder.keep_marks(),
            false => decoder,
        };
        let columnar = relation.records_of.as_ref().map(|columnar| {
            let schema = columnar.log_schema.clone();
            let encoder = RecordEncoder::new(&columnar.format, &schema, columnar.kind);
            (schema, encoder)
        });
        Ok(Self::Records {
            decoder: Box::new(decoder),
            columnar,
        })
    }

    /// The chosen rows of a batch, with the batch's epoch.
    pub fn read(
        &mut self,
        relation: &Relation,
        partition: u32,
        batch: &StoredBatch,
        chosen: Range<u32>,
    ) -> Result<LogRows> {
        match self {
            Self::Columnar(schema) => {
                let rows =
                    columnar(relation, schema, batch)?.slice(chosen.start as usize, chosen.len());
                let marks = rows.column_by_name(LOG_MARK).filter(|_| relation.has_marks);
                Ok(LogRows {
                    epoch: batch.epoch.0,
                    partition,
                    marks: marks.map(|marks| marks.as_binary::<i32>().clone()),
                    rows,
                    offsets: offsets(batch, chosen),
                    undecoded: Vec::new(),
                })
            }
            Self::Records { decoder, columnar } => {
                let records = match (batch.kind, columnar) {
                    (BodyKind::RAW, _) => RecordsOf::raw(batch, chosen),
                    (_, Some((schema, encoder))) => {
                        let rows = self::columnar(relation, schema, batch)?
                            .slice(chosen.start as usize, chosen.len());
                        RecordsOf::rows(&rows, encoder, batch, chosen)?
                    }
                    (kind, None) => {
                        return Err(Error::Corruption(format!(
                            "body kind {kind:?} in topic \"{}\" of records",
                            relation.topic_name
                        )));
                    }
                };
                records.decode(decoder, relation, partition, batch)
            }
        }
    }
}

/// The records of a batch, and where each stands.
struct RecordsOf {
    body: Bytes,
    offsets: RecordOffsets,
}

enum RecordOffsets {
    /// As their deltas say, counted from here; those before `from` are not asked for.
    Deltas { base: i64, from: i64 },
    /// One for each record.
    Listed(Vec<i64>),
}

impl RecordsOf {
    fn raw(batch: &StoredBatch, chosen: Range<u32>) -> Self {
        Self {
            body: batch.body.clone(),
            offsets: RecordOffsets::Deltas {
                base: batch.base_offset.0 as i64,
                from: batch.offset_of(chosen.start).0 as i64,
            },
        }
    }

    fn rows(
        rows: &RecordBatch,
        encoder: &RecordEncoder,
        batch: &StoredBatch,
        chosen: Range<u32>,
    ) -> Result<Self> {
        let mut builder = BatchBuilder::new(Codec::None);
        encoder.encode(rows, None, &mut builder)?;
        Ok(Self {
            body: builder.build(0),
            offsets: RecordOffsets::Listed(
                chosen.map(|row| batch.offset_of(row).0 as i64).collect(),
            ),
        })
    }

    fn decode(
        self,
        decoder: &mut RecordDecoder,
        relation: &Relation,
        partition: u32,
        batch: &StoredBatch,
    ) -> Result<LogRows> {
        let mut unreadable = None;
        let records =
            KafkaBatch::new(self.body.clone()).and_then(|batch| batch.records(RECORDS_BYTES_MAX));
        match &records {
            Ok(records) => {
                for (index, record) in records.iter().enumerate() {
                    match record {
                        Ok(record) => {
                            if let Some(offset) = self.offset(index, &record) {
                                decoder.push(&record, offset);
                            }
                        }
                        Err(error) => {
                            unreadable = Some(error.to_string());
                            break;
                        }
                    }
                }
            }
            Err(error) => unreadable = Some(error.to_string()),
        }
        let decoded = decoder.finish()?;
        let mut undecoded = match &records {
            Ok(records) => self.undecoded(records, &decoded, relation, partition),
            Err(_) => Vec::new(),
        };
        // The log's checksum holds, so this is what its producer sent.
        undecoded.extend(unreadable.map(|reason| UndecodedRecord {
            topic: relation.topic_name.clone(),
            partition,
            offset: batch.base_offset.0 as i64,
            part: "batch",
            reason,
            bytes: self.body.to_vec(),
            rowtime: batch.rowtime_min,
        }));
        Ok(LogRows {
            epoch: batch.epoch.0,
            partition,
            offsets: Offsets::Sparse(decoded.offsets),
            rows: decoded.rows,
            marks: decoded.marks,
            undecoded,
        })
    }

    /// Where a record stands; `None` if it is not asked for.
    fn offset(&self, index: usize, record: &Record<'_>) -> Option<i64> {
        match &self.offsets {
            RecordOffsets::Deltas { base, from } => {
                Some(base + i64::from(record.offset_delta)).filter(|offset| offset >= from)
            }
            RecordOffsets::Listed(offsets) => offsets.get(index).copied(),
        }
    }

    /// What did not fit, with its bytes.
    fn undecoded(
        &self,
        records: &Records,
        decoded: &Decoded,
        relation: &Relation,
        partition: u32,
    ) -> Vec<UndecodedRecord> {
        let mut errors = decoded.errors.iter().peekable();
        let mut undecoded = Vec::with_capacity(decoded.errors.len());
        for (index, record) in records.iter().enumerate() {
            let (Ok(record), Some(error)) = (record, errors.peek()) else {
                break;
            };
            if self.offset(index, &record) != Some(error.offset) {
                continue;
            }
            let (part, bytes) = match error.part {
                RecordPart::Key => ("key", record.key),
                RecordPart::Value => ("value", record.value),
                RecordPart::Headers => ("headers", record.value),
                RecordPart::Timestamp => ("timestamp", record.value),
            };
            undecoded.push(UndecodedRecord {
                topic: relation.topic_name.clone(),
                partition,
                offset: error.offset,
                part,
                reason: error.reason.clone(),
                bytes: bytes.unwrap_or_default().to_vec(),
                rowtime: record.timestamp.saturating_mul(1000),
            });
            errors.next();
        }
        undecoded
    }
}

/// All rows of a columnar batch.
fn columnar(relation: &Relation, schema: &SchemaRef, batch: &StoredBatch) -> Result<RecordBatch> {
    let rows = match batch.decoded.as_ref().and_then(|any| any.downcast_ref()) {
        Some(decoded) => RecordBatch::clone(decoded),
        None => body_codec::decode(batch.kind, &batch.body, schema)?,
    };
    if rows.num_rows() != batch.rows as usize {
        return Err(Error::Corruption(format!(
            "a batch at offset {} of \"{}\" has {} rows, not {}",
            batch.base_offset,
            relation.name,
            rows.num_rows(),
            batch.rows
        )));
    }
    Ok(rows)
}

fn offsets(batch: &StoredBatch, chosen: Range<u32>) -> Offsets {
    if batch.sparse_offsets {
        Offsets::Sparse(chosen.map(|row| batch.offset_of(row).0 as i64).collect())
    } else {
        Offsets::From((batch.base_offset.0 + u64::from(chosen.start)) as i64)
    }
}
