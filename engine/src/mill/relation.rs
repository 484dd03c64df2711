//! What the mill keeps of a relation: where it reads, and what a table has said so far.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use log_store::{Log, Topic};

use crate::catalog::{Relation, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::mill::ROUND_BYTES;
use crate::mill::cursor::{LogRows, TopicCursor, table_schema};
use crate::operator::StepError;
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
        let mut cursor = TopicCursor::from_beginning(self.relation.clone(), topic);
        self.table = Some(new_arrangement(&self.relation));
        let mut reached = 0;
        while reached < frontier {
            reached = cursor.read_ahead(reached, frontier, ROUND_BYTES)?;
            let rows = cursor.take(reached)?;
            self.absorb(rows)?;
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    pub fn checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(table) = &mut self.table {
            table.checkpoint(b"", &mut checkpoint.writer(&Self::owner(&self.relation)))?;
        }
        Ok(())
    }

    /// Makes changes of what was appended: a stream's rows as they are, a table's upserts as
    /// retractions and insertions.
    pub fn absorb(&mut self, appended: Vec<LogRows>) -> Result<Vec<ChangeBatch>> {
        let mut changes = Vec::with_capacity(appended.len());
        match &mut self.table {
            None => {
                for rows in appended {
                    changes.push(rows.into_stream_changes(&self.relation)?);
                }
            }
            Some(table) => {
                for rows in appended {
                    let (rows, rowtimes, tombstones) = rows.into_upserts(&self.relation)?;
                    let delta = table.upsert(&rows, &rowtimes, &tombstones)?;
                    if delta.num_rows() > 0 {
                        changes.push(delta);
                    }
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
        batches.extend(crate::ingest::encode_rows(
            relation,
            topic,
            &delta.rows,
            &delta.rowtimes,
        )?);
    }
    // What a partition already holds of this epoch was written before a crash.
    let partitions = topic.partitions();
    batches.retain(|batch| partitions[batch.partition.0 as usize].frontier().0 < epoch);
    if !batches.is_empty() {
        log.append_derived(topic.id(), log_store::Epoch(epoch), batches)?;
    }
    Ok(())
}

/// Event times as a column.
pub fn rowtime_column(rowtimes: &ScalarBuffer<i64>) -> arrow::array::ArrayRef {
    Arc::new(
        arrow::array::TimestampMicrosecondArray::new(rowtimes.clone(), None)
            .with_timezone(planner::types::UTC),
    )
}
