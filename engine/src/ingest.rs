//! Rows on their way into the log: partitioned, encoded, appended.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int8Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use arrow_schema::{DataType, Schema, TimeUnit};
use bytes::Bytes;
use log_store::{BodyKind, Compression, Decoded, NewBatch, PartitionId, Topic};

use crate::body_codec;
use crate::catalog::{Relation, RelationKind, mark_field};
use crate::change_batch::ChangeBatch;
use crate::error::{DataError, DataErrorKind, Error, Result, StatementError, StatementErrorKind};
use crate::records::partition::partition_of_key;
use crate::records::{BatchBuilder, Codec, Pattern, RecordEncoder};
use crate::state::exchange;

/// Rows of one append at the most; more are cut into several batches of the same epoch.
const BATCH_ROWS_MAX: usize = 64 << 10;

/// Event times further ahead of now than this are refused: one wild value must not close all
/// windows. Microseconds.
pub const ROWTIME_AHEAD_MAX: i64 = 24 * 3600 * 1_000_000;

/// What a row of a table does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    Upsert,
    Tombstone,
}

/// Encodes rows of a stream, or upserts of a table.
pub fn encode_rows(
    relation: &Relation,
    topic: &Topic,
    rows: &RecordBatch,
    rowtimes: &ScalarBuffer<i64>,
) -> Result<Vec<NewBatch>> {
    encode_writes(relation, topic, rows, rowtimes, Write::Upsert, None)
}

/// Encodes what a query adds to a stream, with the marks of its rows if the stream takes them.
pub fn encode_changes(
    relation: &Relation,
    topic: &Topic,
    delta: &ChangeBatch,
) -> Result<Vec<NewBatch>> {
    let failed = |error: ArrowError| Error::Internal(error.to_string());
    let mut delta = delta.clone();
    if !relation.takes_marks() {
        delta = delta.without_marks().map_err(failed)?;
    } else if let Some(null_values) = delta.null_values() {
        // What is read from a value that is not there.
        let key = &relation.format.key_columns;
        let columns = delta.rows.columns().iter().enumerate();
        let columns = columns
            .map(|(position, column)| match key.contains(&position) {
                true => Ok(column.clone()),
                false => compute::nullif(column, &null_values),
            })
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)?;
        let schema = relation.log_schema();
        let positions: Vec<usize> = (0..columns.len()).collect();
        let rows = schema
            .project(&positions)
            .and_then(|schema| RecordBatch::try_new(Arc::new(schema), columns))
            .map_err(failed)?;
        delta = delta.with_rows(rows);
    }
    let weights = Int8Array::from_value(1, delta.num_rows());
    let marks = delta.marks.as_ref();
    encode_weighted(
        relation,
        topic,
        &delta.rows,
        &delta.rowtimes,
        weights,
        None,
        marks,
    )
}

/// Encodes upserts or tombstones of a base table; a bag's rows that exist already have row ids.
pub fn encode_writes(
    relation: &Relation,
    topic: &Topic,
    rows: &RecordBatch,
    rowtimes: &ScalarBuffer<i64>,
    write: Write,
    row_ids: Option<&Int64Array>,
) -> Result<Vec<NewBatch>> {
    let weight = match write {
        Write::Upsert => 1,
        Write::Tombstone => -1,
    };
    let weights = Int8Array::from_value(weight, rows.num_rows());
    encode_weighted(relation, topic, rows, rowtimes, weights, row_ids, None)
}

/// Encodes upserts (weight +1) and tombstones (−1) of a table that a query maintains, in their order.
pub fn encode_changelog(
    relation: &Relation,
    topic: &Topic,
    upserts: &ChangeBatch,
) -> Result<Vec<NewBatch>> {
    let weights = (0..upserts.num_rows())
        .map(|row| upserts.weight(row).signum() as i8)
        .collect();
    encode_weighted(
        relation,
        topic,
        &upserts.rows,
        &upserts.rowtimes,
        weights,
        None,
        None,
    )
}

/// `weights` are of use to tables only.
fn encode_weighted(
    relation: &Relation,
    topic: &Topic,
    rows: &RecordBatch,
    rowtimes: &ScalarBuffer<i64>,
    weights: Int8Array,
    row_ids: Option<&Int64Array>,
    marks: Option<&BinaryArray>,
) -> Result<Vec<NewBatch>> {
    let count = rows.num_rows();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::new(rowtimes.clone(), None)));
    if relation.kind == RelationKind::Table {
        columns.push(Arc::new(weights));
    }
    if relation.has_row_id() {
        columns.push(match row_ids {
            Some(ids) => Arc::new(ids.clone()),
            None => Arc::new(Int64Array::new_null(count)),
        });
    }
    let mut schema = relation.log_schema();
    if relation.has_marks {
        columns.push(match marks {
            Some(marks) => Arc::new(marks.clone()),
            None => Arc::new(BinaryArray::new_null(count)),
        });
    } else if let Some(marks) = marks.filter(|_| relation.over_records) {
        // The record is made of them.
        let mut fields = schema.fields().to_vec();
        fields.push(Arc::new(mark_field()));
        schema = Arc::new(Schema::new(fields));
        columns.push(Arc::new(marks.clone()));
    }
    let whole = RecordBatch::try_new(schema, columns).map_err(|error| {
        Error::Internal(format!("rows do not fit \"{}\": {error}", relation.name))
    })?;
    if relation.records_of.is_some() {
        return Err(StatementError::new(
            StatementErrorKind::Unsupported,
            format!(
                "cannot write to \"{}\": the topic \"{}\" belongs to another relation",
                relation.name, relation.topic_name
            ),
        )
        .with_hint("Write to the relation that made the topic.")
        .into());
    }
    let mut batches = Vec::new();
    for (partition, part) in partition(relation, topic, whole, row_ids)? {
        let mut offset = 0;
        while offset < part.num_rows() {
            let length = BATCH_ROWS_MAX.min(part.num_rows() - offset);
            batches.push(new_batch(
                relation,
                topic,
                partition,
                part.slice(offset, length),
            )?);
            offset += length;
        }
    }
    Ok(batches)
}

/// One batch for one partition, of rows in the log's schema.
pub fn new_batch(
    relation: &Relation,
    topic: &Topic,
    partition: PartitionId,
    rows: RecordBatch,
) -> Result<NewBatch> {
    let (kind, body) = match relation.over_records {
        true => (BodyKind::RAW, encode_records(relation, &rows)?),
        false => body_codec::encode(&rows)?,
    };
    let decoded: Option<Decoded> = match kind {
        BodyKind::RAW => None,
        // These point into the body, so that the log's tail holds the rows once.
        BodyKind::ARROW => Some(Arc::new(body_codec::decode(kind, &body, &rows.schema())?)),
        _ => Some(Arc::new(rows.clone())),
    };
    let rowtimes = rows
        .column(relation.columns.fields().len())
        .as_primitive::<arrow::datatypes::Int64Type>();
    Ok(NewBatch {
        topic: topic.id(),
        partition,
        rows: rows.num_rows() as u32,
        rowtime_min: compute::min(rowtimes).unwrap_or(0),
        rowtime_max: compute::max(rowtimes).unwrap_or(0),
        schema_id: 0,
        kind,
        compression: Compression::None,
        body,
        decoded,
        producer: None,
    })
}

/// Rows as a Kafka producer would have sent them.
fn encode_records(relation: &Relation, rows: &RecordBatch) -> Result<Bytes> {
    let encoder = RecordEncoder::new(&relation.format, &rows.schema(), relation.kind);
    let mut builder = BatchBuilder::new(Codec::None);
    encoder.encode(rows, None, &mut builder)?;
    Ok(builder.build(0))
}

/// The partition of each row by the bytes of its key, as Kafka's own clients choose it; `None` for rows
/// whose key is null.
fn partitions_by_key(
    relation: &Relation,
    rows: &RecordBatch,
    partitions: u32,
) -> Result<Vec<Option<u64>>> {
    let encoder = RecordEncoder::new(&relation.format, &relation.log_schema(), relation.kind);
    let encoded = encoder.rows(rows)?;
    let mut key = Vec::new();
    Ok((0..rows.num_rows())
        .map(|row| {
            key.clear();
            encoded
                .write_key(row, &mut key)
                .then(|| u64::from(partition_of_key(&key, partitions)))
        })
        .collect())
}

/// Routes rows: by key where there is one, so that changes of a key keep their order; by row id in
/// a bag; otherwise whole batches to one partition.
fn partition(
    relation: &Relation,
    topic: &Topic,
    rows: RecordBatch,
    row_ids: Option<&Int64Array>,
) -> Result<Vec<(PartitionId, RecordBatch)>> {
    let partitions = topic.partitions().len() as u64;
    if partitions == 1 {
        return Ok(vec![(PartitionId(0), rows)]);
    }
    let targets: Vec<u64> = if !relation.format.key_columns.is_empty() {
        let by_key = partitions_by_key(relation, &rows, partitions as u32)?;
        // Rows without a key go where their values lead, so that a replay sends them there again.
        let by_value = exchange::hash_keys(&[rows.column(0).clone()], rows.num_rows());
        by_key
            .into_iter()
            .zip(by_value)
            .map(|(target, hash)| target.unwrap_or(hash % partitions))
            .collect()
    } else if let Some(ids) = row_ids {
        // The partition stands in a row id's upper bits.
        ids.values().iter().map(|id| (id >> 48) as u64).collect()
    } else if relation.written_by.is_some() {
        // Row by row, so that a replay in other steps sends each row to the same partition.
        exchange::hash_keys(&[rows.column(0).clone()], rows.num_rows())
            .into_iter()
            .map(|hash| hash % partitions)
            .collect()
    } else {
        let count = rows.num_rows().min(1);
        let first = exchange::hash_keys(&[rows.column(0).slice(0, count)], count);
        let target = first.first().map_or(0, |hash| hash % partitions);
        return Ok(vec![(PartitionId(target as u32), rows)]);
    };
    let mut positions: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
    for (row, target) in targets.iter().enumerate() {
        positions[*target as usize].push(row as u32);
    }
    positions
        .into_iter()
        .enumerate()
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(target, chosen)| {
            let part = compute::take_record_batch(&rows, &UInt32Array::from(chosen))
                .map_err(|error| Error::Internal(error.to_string()))?;
            Ok((PartitionId(target as u32), part))
        })
        .collect()
}

/// Event times of rows about to be written: given, else from the relation's timestamp column, else
/// now; now also where that is NULL.
///
/// # Errors
/// When a value is no time, or one before 1970 or more than a day ahead of now.
pub fn rowtimes(
    relation: &Relation,
    rows: &RecordBatch,
    given: Option<&ArrayRef>,
    now: i64,
) -> Result<ScalarBuffer<i64>> {
    let source = given.or_else(|| relation.timestamp.map(|column| rows.column(column)));
    let Some(source) = source else {
        return Ok(vec![now; rows.num_rows()].into());
    };
    let pattern = relation.format.timestamp_format.as_deref();
    let micros = event_times(source, pattern.filter(|_| given.is_none())).map_err(overflow)?;
    let no_time = |row: &usize| micros.is_null(*row) && source.is_valid(*row);
    if let Some(row) = (0..micros.len()).find(no_time) {
        let shown = array_value_to_string(source, row).map_err(overflow)?;
        return Err(DataError::new(
            DataErrorKind::InvalidDatetime,
            format!(
                "\"{shown}\" is no event time for a row in \"{}\"",
                relation.name
            ),
        )
        .into());
    }
    let times: Vec<i64> = micros.iter().map(|time| time.unwrap_or(now)).collect();
    let acceptable = 0..=now.saturating_add(ROWTIME_AHEAD_MAX);
    if let Some(wild) = times.iter().find(|time| !acceptable.contains(time)) {
        let shown = chrono::DateTime::from_timestamp_micros(*wild)
            .map_or_else(|| wild.to_string(), |time| time.to_rfc3339());
        return Err(DataError::new(
            DataErrorKind::DatetimeOverflow,
            format!(
                "event time {shown} of a row in \"{}\" is out of range",
                relation.name
            ),
        )
        .into());
    }
    Ok(times.into())
}

/// What a column says of event time, microseconds since the epoch. Whole numbers are milliseconds, as in
/// ksqlDB; text is read by the pattern of `TIMESTAMP_FORMAT`, if there is one. What is no time is NULL.
///
/// # Errors
/// When the column's type says nothing of time, or the pattern is none.
pub fn event_times(
    column: &ArrayRef,
    pattern: Option<&str>,
) -> std::result::Result<TimestampMicrosecondArray, ArrowError> {
    if let Some(pattern) = pattern {
        let pattern = Pattern::parse(pattern).map_err(ArrowError::ParseError)?;
        let texts = compute::cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        return Ok(texts.iter().map(|text| pattern.read(text?)).collect());
    }
    let micros = |zone: Option<Arc<str>>| DataType::Timestamp(TimeUnit::Microsecond, zone);
    let instants = match column.data_type() {
        DataType::Int64 | DataType::Int32 | DataType::Int16 => {
            compute::cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?
        }
        _ => compute::cast(column, &micros(Some("+00:00".into())))?,
    };
    let times = compute::cast(&instants, &micros(None))?;
    Ok(times.as_primitive::<TimestampMicrosecondType>().clone())
}

fn overflow(error: ArrowError) -> Error {
    DataError::new(DataErrorKind::DatetimeOverflow, error.to_string()).into()
}

/// A batch of bytes that only its writer understands.
pub fn raw_batch(topic: &Topic, body: Bytes, now: i64) -> NewBatch {
    NewBatch {
        topic: topic.id(),
        partition: PartitionId(0),
        rows: 1,
        rowtime_min: now,
        rowtime_max: now,
        schema_id: 0,
        kind: BodyKind::RAW,
        compression: Compression::None,
        body,
        decoded: None,
        producer: None,
    }
}
