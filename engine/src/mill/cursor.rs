//! Follows a topic from epoch to epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int8Type, Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use log_store::{Epoch, Offset, Partition, StoredBatch, Topic};
use planner::relations::{ROWOFFSET, ROWPARTITION};

use crate::catalog::{LOG_ROW_ID, Relation, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::mill::reading::Reading;
use crate::processing_log::UndecodedRecord;

/// Rows of a topic as they were appended, of one epoch and one partition.
#[derive(Debug, Clone)]
pub struct LogRows {
    pub epoch: u64,
    pub partition: u32,
    /// Offset of each row in its partition.
    pub offsets: Offsets,
    /// In the topic's schema.
    pub rows: RecordBatch,
    /// The marks of a stream's records, if any has one and they are kept.
    pub marks: Option<BinaryArray>,
    /// Records of the same piece that do not fit the relation; they are not among the rows.
    pub undecoded: Vec<UndecodedRecord>,
}

/// Offsets of rows.
#[derive(Debug, Clone)]
pub enum Offsets {
    /// One after the other, from here.
    From(i64),
    /// With gaps, which compaction has left.
    Sparse(Vec<i64>),
}

impl Offsets {
    fn of(&self, row: usize) -> i64 {
        match self {
            Offsets::From(first) => first + row as i64,
            Offsets::Sparse(offsets) => offsets[row],
        }
    }
}

/// A reader of all partitions of a topic, at its own pace.
pub struct TopicCursor {
    relation: Arc<Relation>,
    reading: Reading,
    partitions: Vec<PartitionCursor>,
}

struct PartitionCursor {
    partition: Partition,
    next: Offset,
    /// Read but not yet taken; epochs never fall.
    read_ahead: VecDeque<StoredBatch>,
}

impl TopicCursor {
    /// Starts with the oldest row there is.
    pub fn from_beginning(relation: Arc<Relation>, topic: &Topic) -> Result<Self> {
        let partitions = topic
            .partitions()
            .into_iter()
            .map(PartitionCursor::from_beginning)
            .collect();
        Self::new(relation, partitions)
    }

    /// One partition only, from the oldest row there is.
    pub fn of_partition(relation: Arc<Relation>, topic: &Topic, partition: usize) -> Result<Self> {
        let partitions = topic
            .partitions()
            .into_iter()
            .skip(partition)
            .take(1)
            .map(PartitionCursor::from_beginning)
            .collect();
        Self::new(relation, partitions)
    }

    /// Starts with the first row after an epoch.
    pub fn after_epoch(relation: Arc<Relation>, topic: &Topic, epoch: u64) -> Result<Self> {
        let partitions = topic
            .partitions()
            .into_iter()
            .map(|partition| {
                let next = partition.offset_of_epoch(Epoch(epoch))?;
                Ok(PartitionCursor {
                    next,
                    ..PartitionCursor::from_beginning(partition)
                })
            })
            .collect::<Result<_>>()?;
        Self::new(relation, partitions)
    }

    fn new(relation: Arc<Relation>, partitions: Vec<PartitionCursor>) -> Result<Self> {
        Ok(Self {
            reading: Reading::of(&relation)?,
            relation,
            partitions,
        })
    }

    /// Reads ahead about `bytes_max` a partition, and says through which epoch, `up_to` at the
    /// most, everything has been read. That is more than `frontier` even if the next epoch alone
    /// is larger than `bytes_max`.
    pub fn read_ahead(&mut self, frontier: u64, up_to: u64, bytes_max: usize) -> Result<u64> {
        let mut complete = up_to;
        for cursor in &mut self.partitions {
            complete = complete.min(cursor.read_ahead(frontier, up_to, bytes_max)?);
        }
        Ok(complete)
    }

    /// Takes what was read ahead, through an epoch that [`TopicCursor::read_ahead`] has allowed.
    pub fn take(&mut self, through: u64) -> Result<Vec<LogRows>> {
        let mut taken = Vec::new();
        for cursor in &mut self.partitions {
            let number = cursor.partition.id().0;
            while let Some(batch) = cursor.read_ahead.front()
                && first_epoch(batch) <= through
            {
                let mut batch = cursor.read_ahead.pop_front().expect("there is a front");
                let mut chosen = batch.visible.clone();
                if last_epoch(&batch) > through {
                    // Merged from several epochs, of which only the first are wanted now.
                    chosen.end = rows_through(&batch, through);
                    batch.visible.start = chosen.end;
                    cursor.read_ahead.push_front(batch.clone());
                }
                let epoch = last_epoch(&batch).min(through);
                let read = self.reading.read(&self.relation, number, &batch, chosen)?;
                taken.push(LogRows { epoch, ..read });
            }
        }
        // Across partitions rows come in the order of their epochs.
        taken.sort_by_key(|rows| rows.epoch);
        Ok(taken)
    }

    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }
}

impl PartitionCursor {
    fn from_beginning(partition: Partition) -> Self {
        Self {
            next: partition.start_offset(),
            partition,
            read_ahead: VecDeque::new(),
        }
    }

    fn read_ahead(&mut self, frontier: u64, up_to: u64, bytes_max: usize) -> Result<u64> {
        let mut bytes: usize = self.read_ahead.iter().map(|batch| batch.body.len()).sum();
        loop {
            let last = self.read_ahead.back().map(last_epoch);
            // The last epoch read may go on, the ones before it cannot.
            if let Some(last) = last
                && bytes >= bytes_max
                && last > frontier + 1
                && self
                    .read_ahead
                    .front()
                    .is_some_and(|front| first_epoch(front) < last)
            {
                return Ok(up_to.min(last - 1));
            }
            let batches = self
                .partition
                .read(self.next, bytes_max.max(1), Epoch(up_to))
                .map_err(Error::from)?;
            if batches.is_empty() {
                return Ok(up_to);
            }
            for batch in batches {
                bytes += batch.body.len();
                self.next = if batch.visible.end == batch.rows {
                    batch.last_offset.plus(1)
                } else {
                    batch.offset_of(batch.visible.end)
                };
                self.read_ahead.push_back(batch);
            }
        }
    }
}

/// Epoch of the first row that is still to be taken.
fn first_epoch(batch: &StoredBatch) -> u64 {
    batch
        .epochs()
        .iter()
        .find(|run| run.rows.end > batch.visible.start)
        .map_or(batch.epoch.0, |run| run.epoch.0)
}

/// Epoch of the last row that is visible.
fn last_epoch(batch: &StoredBatch) -> u64 {
    if batch.visible.end == batch.rows {
        return batch.epoch.0;
    }
    batch
        .epochs()
        .iter()
        .rev()
        .find(|run| run.rows.start < batch.visible.end)
        .map_or(batch.epoch.0, |run| run.epoch.0)
}

/// The row behind the last visible one of an epoch of at most `through`.
fn rows_through(batch: &StoredBatch, through: u64) -> u32 {
    batch
        .epochs()
        .iter()
        .filter(|run| run.epoch.0 <= through)
        .map(|run| run.rows.end)
        .max()
        .unwrap_or(0)
        .clamp(batch.visible.start, batch.visible.end)
}

impl LogRows {
    /// Event times of the rows.
    fn rowtimes(&self, relation: &Relation) -> arrow::buffer::ScalarBuffer<i64> {
        self.rows
            .column(relation.columns.fields().len())
            .as_primitive::<Int64Type>()
            .values()
            .clone()
    }

    fn user_columns(&self, relation: &Relation) -> Vec<ArrayRef> {
        self.rows.columns()[..relation.columns.fields().len()].to_vec()
    }

    /// Partition and offset of each row.
    fn places(&self) -> [ArrayRef; 2] {
        let count = self.rows.num_rows();
        let partitions = Int32Array::from_value(self.partition as i32, count);
        let offsets = (0..count).map(|row| self.offsets.of(row));
        let offsets = Int64Array::from_iter_values(offsets);
        [Arc::new(partitions), Arc::new(offsets)]
    }

    /// The rows of a stream, as insertions; with the columns `rowpartition` and `rowoffset` behind
    /// the user's.
    pub fn into_stream_changes(self, relation: &Relation) -> Result<ChangeBatch> {
        debug_assert_eq!(relation.kind, RelationKind::Stream);
        let rowtimes = self.rowtimes(relation);
        let mut columns = self.user_columns(relation);
        columns.extend(self.places());
        let rows = RecordBatch::try_new(stream_schema(relation), columns).map_err(corrupt)?;
        Ok(ChangeBatch::insertions(rows, rowtimes).with_marks(self.marks))
    }

    /// The rows of a base table, as upserts: rows in the schema of [`table_schema`], event times,
    /// and which of them are tombstones.
    pub fn into_upserts(
        self,
        relation: &Relation,
    ) -> Result<(RecordBatch, arrow::buffer::ScalarBuffer<i64>, Vec<bool>)> {
        let rowtimes = self.rowtimes(relation);
        let user_columns = relation.columns.fields().len();
        let tombstones = self
            .rows
            .column(user_columns + 1)
            .as_primitive::<Int8Type>()
            .values()
            .iter()
            .map(|weight| *weight < 0)
            .collect();
        let mut columns = self.user_columns(relation);
        if relation.has_row_id() {
            // An insertion is identified by where it stands; epochs and restarts do not change it.
            let given = self
                .rows
                .column(user_columns + 2)
                .as_primitive::<Int64Type>();
            let place = |row| (i64::from(self.partition) << 48) + self.offsets.of(row);
            let ids: Int64Array = (0..given.len())
                .map(|row| {
                    Some(if given.is_valid(row) {
                        given.value(row)
                    } else {
                        place(row)
                    })
                })
                .collect();
            columns.push(Arc::new(ids));
        }
        if relation.keeps_places {
            columns.extend(self.places());
        }
        let rows = RecordBatch::try_new(table_schema(relation), columns).map_err(corrupt)?;
        Ok((rows, rowtimes, tombstones))
    }
}

/// What a stream's changes are made of: the user's columns, `rowpartition`, `rowoffset`.
pub fn stream_schema(relation: &Relation) -> SchemaRef {
    let mut fields = nullable_fields(relation);
    fields.extend(place_fields());
    Arc::new(Schema::new(fields))
}

/// What a table keeps: the user's columns, and a row id if it is a bag, or the places of its records.
pub fn table_schema(relation: &Relation) -> SchemaRef {
    let mut fields = nullable_fields(relation);
    if relation.has_row_id() {
        fields.push(Arc::new(Field::new(LOG_ROW_ID, DataType::Int64, true)));
    }
    if relation.keeps_places {
        fields.extend(place_fields());
    }
    Arc::new(Schema::new(fields))
}

fn place_fields() -> [Arc<Field>; 2] {
    [
        Arc::new(Field::new(ROWPARTITION, DataType::Int32, true)),
        Arc::new(Field::new(ROWOFFSET, DataType::Int64, true)),
    ]
}

fn nullable_fields(relation: &Relation) -> Vec<Arc<Field>> {
    relation
        .columns
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        .collect()
}

fn corrupt(error: arrow::error::ArrowError) -> Error {
    Error::Corruption(format!(
        "rows of a topic do not fit their relation: {error}"
    ))
}
