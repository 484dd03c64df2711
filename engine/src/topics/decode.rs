//! Records that clients send to a columnar topic become rows, as `INSERT` makes them, or are refused.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int8Type;
use log_store::{NewBatch, PartitionId};

use super::append::RECORDS_BYTES_MAX;
use super::fetch::rowtimes_of;
use super::{Found, TopicError, Topics};
use crate::catalog::{Relation, RelationId, RelationKind};
use crate::ingest;
use crate::records::{KafkaBatch, RecordDecoder};

/// What a producer sends that knows no time, microseconds.
const NO_TIME: i64 = -1000;

impl Topics {
    /// The rows of a batch of records, and the table that they go to.
    pub(super) fn decode(
        &self,
        found: &Found,
        partition: PartitionId,
        batch: &KafkaBatch,
    ) -> Result<(Vec<NewBatch>, Option<RelationId>), TopicError> {
        let relation = self.writable_relation(found)?;
        let failed = |error| TopicError::of_engine(error, &relation.topic_name);
        let schema = relation.log_schema();
        let mut decoder =
            RecordDecoder::new(&relation.format, schema, relation.kind, relation.timestamp)
                .map_err(failed)?;
        if relation.has_marks {
            decoder = decoder.keep_marks();
        }
        for (number, record) in batch.records(RECORDS_BYTES_MAX)?.iter().enumerate() {
            decoder.push(&record?, number as i64);
        }
        let decoded = decoder.finish().map_err(failed)?;
        if let Some(error) = decoded.errors.first() {
            return Err(TopicError::InvalidRecord(format!(
                "record {} of the batch does not fit {} \"{}\": {}: {}",
                error.offset,
                relation.kind_name(),
                relation.name,
                error.part,
                error.reason
            )));
        }
        let decoded_rows = match (decoded.marks, relation.has_marks) {
            (Some(marks), true) => with_marks(decoded.rows, marks)?,
            _ => decoded.rows,
        };
        if decoded.passed_over > 0 || decoded_rows.num_rows() == 0 {
            let lacks = match relation.kind {
                RelationKind::Stream => "a value",
                RelationKind::Table => "a key",
            };
            return Err(TopicError::InvalidRecord(format!(
                "each record of {} \"{}\" needs {lacks}",
                relation.kind_name(),
                relation.name
            )));
        }
        let rows = self.with_times(&relation, decoded_rows)?;
        check_not_null(&relation, &rows)?;
        let batch = ingest::new_batch(&relation, &found.topic, partition, rows).map_err(failed)?;
        let table = (relation.kind == RelationKind::Table).then_some(relation.id);
        Ok((vec![batch], table))
    }

    /// The relation that made a topic, if clients may write it.
    fn writable_relation(&self, found: &Found) -> Result<Arc<Relation>, TopicError> {
        let catalog = self.engine.catalog();
        let id = found.topic.id().0;
        let owner = catalog
            .relations()
            .find(|relation| relation.topic == Some(id) && !relation.over_records);
        let refused = |reason: String| {
            TopicError::InvalidRecord(format!(
                "topic \"{}\" cannot be written: {reason}",
                found.name()
            ))
        };
        let Some(relation) = owner else {
            return Err(refused("the relation that made it was dropped".into()));
        };
        let (kind, name) = (relation.kind_name(), &relation.name);
        if let Some(query) = &relation.written_by {
            return Err(refused(format!(
                "{kind} \"{name}\" is maintained by query {query}{}",
                match relation.kind {
                    RelationKind::Stream =>
                        "; once there was an INSERT INTO it, others may write it too",
                    RelationKind::Table => "",
                }
            )));
        }
        if relation.read_only {
            return Err(refused(format!("{kind} \"{name}\" is read-only")));
        }
        Ok(relation.clone())
    }

    /// Gives rows without a time the present one; a wild time is refused, as `INSERT` does.
    fn with_times(
        &self,
        relation: &Relation,
        rows: RecordBatch,
    ) -> Result<RecordBatch, TopicError> {
        let at = relation.columns.fields().len();
        let now = self.engine.now();
        let times = rowtimes_of(&rows, at);
        let acceptable = 0..=now.saturating_add(ingest::ROWTIME_AHEAD_MAX);
        let mut given = Vec::with_capacity(times.len());
        for row in 0..times.len() {
            let time = match times.is_valid(row) {
                true if times.value(row) != NO_TIME => times.value(row),
                _ => now,
            };
            if !acceptable.contains(&time) {
                return Err(TopicError::InvalidTimestamp(format!(
                    "the time of record {row}, {} ms, is out of range",
                    time.div_euclid(1000)
                )));
            }
            given.push(time);
        }
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns[at] = Arc::new(Int64Array::from(given));
        RecordBatch::try_new(rows.schema(), columns)
            .map_err(|error| TopicError::Internal(error.to_string()))
    }
}

/// Puts the marks of records into their column, the last one.
fn with_marks(rows: RecordBatch, marks: BinaryArray) -> Result<RecordBatch, TopicError> {
    let mut columns = rows.columns().to_vec();
    columns.pop();
    columns.push(Arc::new(marks));
    RecordBatch::try_new(rows.schema(), columns)
        .map_err(|error| TopicError::Internal(error.to_string()))
}

fn check_not_null(relation: &Relation, rows: &RecordBatch) -> Result<(), TopicError> {
    // Of a row that goes only the key is there.
    let tombstones = rows
        .column_by_name(crate::catalog::LOG_WEIGHT)
        .map(|weights| weights.as_primitive::<Int8Type>());
    let goes = |row: usize| tombstones.is_some_and(|weights| weights.value(row) < 0);
    for (index, field) in relation.columns.fields().iter().enumerate() {
        let key = relation.kind == RelationKind::Table && relation.key.contains(&index);
        let column = rows.column(index);
        if field.is_nullable() && !key || column.null_count() == 0 {
            continue;
        }
        if (0..column.len()).any(|row| column.is_null(row) && (key || !goes(row))) {
            return Err(TopicError::InvalidRecord(format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                field.name(),
                relation.name
            )));
        }
    }
    Ok(())
}
