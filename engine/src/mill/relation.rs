//! What the mill keeps of a relation: where it reads, and what a table has said so far.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::ScalarBuffer;
use arrow::row::{RowConverter, SortField};
use log_store::{Log, NewBatch, Topic};

use crate::catalog::{Relation, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::mill::ROUND_BYTES;
use crate::mill::cursor::{LogRows, TopicCursor, table_schema};
use crate::mill::timestamps::changelog_of;
use crate::operator::StepError;
use crate::processing_log::Collector;
use crate::state::{Arrangement, Key, Snapshot};
use crate::state_store::{Checkpoint, StateStore};

/// A relation while the mill turns.
pub struct RelationState {
    pub relation: Arc<Relation>,
    /// Its topic; absent for a table that a query maintains.
    pub topic: Option<Topic>,
    /// Where the rounds read, if they do: always for a base table, for a stream that clients write
    /// while a query reads it.
    pub cursor: Option<TopicCursor>,
    /// A table's rows.
    pub table: Option<Arrangement>,
    /// Why it cannot be read any more.
    pub damage: Option<String>,
}

impl RelationState {
    /// A relation with nothing in it yet.
    pub fn new(relation: Arc<Relation>, log: &Log, frontier: u64) -> Result<Self> {
        let topic = match relation.topic {
            None => None,
            Some(id) => Some(log.topic(log_store::TopicId(id))?),
        };
        let table = match relation.kind {
            RelationKind::Stream => None,
            RelationKind::Table => Some(new_arrangement(&relation)),
        };
        let cursor = match &topic {
            Some(topic) if relation.is_base_table() => {
                Some(TopicCursor::after_epoch(relation.clone(), topic, frontier)?)
            }
            _ => None,
        };
        Ok(Self {
            relation,
            topic,
            cursor,
            table,
            damage: None,
        })
    }

    /// The same relation before its first record, to follow how it came to what it is.
    pub fn of_the_past(of: &Self, log: &Log) -> Result<Self> {
        let mut past = Self::new(of.relation.clone(), log, 0)?;
        past.begin_again()?;
        Ok(past)
    }

    /// Name of its entries in the state store.
    pub fn owner(relation: &Relation) -> String {
        format!("relation/{}", relation.id)
    }

    pub fn restore(&mut self, store: &Arc<StateStore>) -> Result<(), StepError> {
        match &mut self.table {
            None => Ok(()),
            Some(table) => table.restore(b"", &store.reader(&Self::owner(&self.relation))),
        }
    }

    /// Tries again to read a base table whose log, or whose state, could not be read; whether it can.
    pub fn heal(&mut self, frontier: u64) -> bool {
        if self.damage.is_none() || !self.relation.is_base_table() {
            return false;
        }
        match self.rebuild(frontier) {
            Ok(()) => {
                tracing::info!(relation = %self.relation.name, "relation can be read again");
                self.damage = None;
                true
            }
            Err(error) => {
                self.damage = Some(error.to_string());
                self.cursor = None;
                false
            }
        }
    }

    /// Computes a base table again from its log, through an epoch.
    pub fn rebuild(&mut self, frontier: u64) -> Result<()> {
        let topic = self
            .topic
            .as_ref()
            .ok_or_else(|| Error::Internal("a base table without a topic".into()))?;
        let config = topic.config();
        let expires = config.retention_ms.is_some() || config.retention_bytes.is_some();
        if expires && !begins_at_the_beginning(topic) {
            return Err(Error::Corruption(
                "its state cannot be read, and its log no longer has its beginning".into(),
            ));
        }
        let cursor = TopicCursor::from_beginning(self.relation.clone(), topic)?;
        self.table = Some(new_arrangement(&self.relation));
        self.cursor = Some(cursor);
        // What cannot be decoded was reported when it was read first.
        self.fill(frontier, &Collector::of_relation(&self.relation))
    }

    pub fn checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(table) = &mut self.table {
            table.checkpoint(b"", &mut checkpoint.writer(&Self::owner(&self.relation)))?;
        }
        Ok(())
    }

    /// Has the cursor of a base table start with the oldest row there is.
    pub fn begin_again(&mut self) -> Result<()> {
        self.cursor = match &self.topic {
            Some(topic) => Some(TopicCursor::from_beginning(self.relation.clone(), topic)?),
            None => None,
        };
        Ok(())
    }

    /// Takes in what a base table's topic holds up to an epoch, without telling anybody: nobody reads
    /// the table yet.
    pub fn fill(&mut self, present: u64, errors: &Collector) -> Result<()> {
        let mut frontier = 0;
        while frontier < present {
            let Some(cursor) = self.cursor.as_mut().filter(|_| self.table.is_some()) else {
                return Ok(());
            };
            // Of epochs that are all in the past the cursor reads no more than it must.
            let through = cursor.read_ahead(frontier, present, ROUND_BYTES)?;
            let appended = cursor.take(through)?;
            self.absorb(appended, errors)?;
            frontier = through;
        }
        Ok(())
    }

    /// Makes changes of what was appended: a stream's rows as they are, a table's upserts as
    /// retractions and insertions.
    ///
    /// In ksqlDB's dialect every upsert is a change of its own, also when a later one of the same epoch
    /// replaces it, or when only its event time is new.
    pub fn absorb(
        &mut self,
        appended: Vec<LogRows>,
        errors: &Collector,
    ) -> Result<Vec<ChangeBatch>> {
        let one_by_one = self.relation.dialect == "ksqldb";
        let mut changes = Vec::with_capacity(appended.len());
        for mut rows in appended {
            errors.report_records(std::mem::take(&mut rows.undecoded));
            let Some(table) = &mut self.table else {
                changes.push(rows.into_stream_changes(&self.relation)?);
                continue;
            };
            let (rows, rowtimes, tombstones) = rows.into_upserts(&self.relation)?;
            if !one_by_one {
                let delta = table.upsert(&rows, &rowtimes, &tombstones)?;
                if delta.num_rows() > 0 {
                    changes.push(delta);
                }
                continue;
            }
            for row in 0..rows.num_rows() {
                let delta = table.upsert_every(
                    &rows.slice(row, 1),
                    &rowtimes.slice(row, 1),
                    &tombstones[row..=row],
                )?;
                if delta.num_rows() > 0 {
                    changes.push(delta.caused_at(Some(rowtimes[row])));
                }
            }
        }
        Ok(changes)
    }

    /// A table's rows at this moment.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.table.as_ref().map(Arrangement::snapshot)
    }

    /// A table's rows at this moment, as insertions.
    pub fn contents(&self) -> Result<Vec<ChangeBatch>> {
        match &self.table {
            None => Ok(Vec::new()),
            Some(table) => table
                .contents()
                .changes()
                .map(|changes| changes.map_err(|error| Error::Internal(error.to_string())))
                .collect(),
        }
    }
}

/// Whether a topic has all it was ever given, or what compaction has left of it.
pub fn begins_at_the_beginning(topic: &Topic) -> bool {
    let partitions = topic.partitions();
    partitions.iter().all(|p| p.start_offset().0 == 0)
}

/// An empty arrangement for a table.
pub fn new_arrangement(relation: &Relation) -> Arrangement {
    let schema = table_schema(relation);
    let key = if relation.has_row_id() {
        Key::Primary(vec![schema.fields().len() - 1])
    } else if relation.key.is_empty() {
        Key::Row
    } else {
        Key::Primary(relation.key.clone())
    };
    Arrangement::new(schema, key)
}

/// Appends the changes of a table that a query maintains to its changelog: of each key the new row, or
/// a tombstone if there is none. All of an epoch come in one call.
pub fn append_changelog(
    log: &Log,
    relation: &Relation,
    topic: &Topic,
    epoch: u64,
    changes: &[ChangeBatch],
) -> Result<()> {
    let mut batches = Vec::with_capacity(changes.len());
    for delta in changes.iter().filter(|delta| delta.num_rows() > 0) {
        let upserts = changelog_of(relation, delta)?;
        batches.extend(crate::ingest::encode_changelog(relation, topic, &upserts)?);
    }
    append_later_than(log, topic, epoch, batches)
}

/// What the changes of a keyed table look like as upserts: +1 of the row that a key has now, −1 of the
/// one that it had if it has none any more, at the time of what made it go if that is known. Rows keep
/// their order.
pub fn changelog(delta: &ChangeBatch, key: &[usize]) -> Result<ChangeBatch> {
    if delta.is_append_only() {
        return Ok(delta.clone());
    }
    let keys: Vec<ArrayRef> = key
        .iter()
        .map(|column| delta.column(*column).clone())
        .collect();
    let fields = keys
        .iter()
        .map(|key| SortField::new(key.data_type().clone()))
        .collect();
    let keys = RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(&keys))
        .map_err(|error| Error::Internal(error.to_string()))?;
    let is_replaced = |row: usize| {
        row + 1 < delta.num_rows()
            && delta.weight(row + 1) > 0
            && keys.row(row) == keys.row(row + 1)
    };
    let kept: BooleanArray = (0..delta.num_rows())
        .map(|row| Some(delta.weight(row) > 0 || !is_replaced(row)))
        .collect();
    let mut kept = delta
        .filter(&kept)
        .map_err(|error| Error::Internal(error.to_string()))?;
    if let Some(cause) = kept.caused_at {
        kept.rowtimes = (0..kept.num_rows())
            .map(|row| match kept.weight(row) < 0 {
                true => kept.rowtimes[row].max(cause),
                false => kept.rowtimes[row],
            })
            .collect();
    }
    Ok(kept)
}

/// The table that a changelog has said so far.
pub fn read_changelog(relation: &Arc<Relation>, topic: &Topic) -> Result<Arrangement> {
    let mut table = new_arrangement(relation);
    let mut cursor = TopicCursor::from_beginning(relation.clone(), topic)?;
    let mut frontier = 0;
    let end = topic.partitions().iter().map(|p| p.frontier().0).max();
    while let Some(end) = end.filter(|end| *end > frontier) {
        frontier = cursor.read_ahead(frontier, end, ROUND_BYTES)?;
        for rows in cursor.take(frontier)? {
            let (rows, rowtimes, tombstones) = rows.into_upserts(relation)?;
            table.upsert(&rows, &rowtimes, &tombstones)?;
        }
    }
    Ok(table)
}

/// Appends a query's output to the topic of the stream that it maintains.
pub fn append_derived(
    log: &Log,
    relation: &Relation,
    topic: &Topic,
    epoch: u64,
    changes: &[ChangeBatch],
) -> Result<()> {
    let mut batches = Vec::with_capacity(changes.len());
    for delta in changes {
        batches.extend(crate::ingest::encode_changes(relation, topic, delta)?);
    }
    append_later_than(log, topic, epoch, batches)
}

/// Appends what is not there yet: what a partition already holds of this epoch was written before a
/// crash.
fn append_later_than(
    log: &Log,
    topic: &Topic,
    epoch: u64,
    mut batches: Vec<NewBatch>,
) -> Result<()> {
    if batches.is_empty() {
        return Ok(());
    }
    let partitions = topic.partitions();
    batches.retain(|batch| partitions[batch.partition.0 as usize].frontier().0 < epoch);
    let epoch = log_store::Epoch(epoch);
    if !batches.is_empty() {
        log.append_derived(topic.id(), epoch, batches)?;
    }
    // Kafka's consumers see, and are woken for, what lies before the frontier.
    log.set_derived_frontier(topic.id(), epoch)?;
    Ok(())
}

/// Event times as a column.
pub fn rowtime_column(rowtimes: &ScalarBuffer<i64>) -> ArrayRef {
    Arc::new(
        arrow::array::TimestampMicrosecondArray::new(rowtimes.clone(), None)
            .with_timezone(planner::types::UTC),
    )
}
