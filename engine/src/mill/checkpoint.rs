//! Saves and restores everything that rounds work on.
//!
//! A checkpoint takes what changed while the rounds stand still, then makes it durable while they go
//! on:
//!
//! 1. derived streams are synced, since their rows up to the frontier will not be computed again;
//! 2. appends that queries made are waited for, likewise;
//! 3. state and frontier are committed in one write batch.
//!
//! After a crash the state is that of the last frontier; the log is replayed from there. Rounds then
//! stop exactly at the epochs that derived streams have recorded, and what they hold is not appended
//! again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use log_store::{Epoch, Log, Topic, TopicId};

use crate::catalog::{Catalog, QueryStatus, RelationKind, SinkKind};
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions};
use crate::error::{Error, Result};
use crate::mill::query::{Deltas, Inbox, QueryState, Standing, bind};
use crate::mill::relation::RelationState;
use crate::mill::{Mill, Turning, progress};
use crate::operator::{StateReader, StateWriter};
use crate::state_store::{Checkpoint, CheckpointMeta, QueryMeta, StateStore};

impl Mill {
    /// Saves what changed since the last checkpoint. Blocks; one at a time.
    ///
    /// # Errors
    /// After one has failed no other is taken: what had changed is known only to the failed one, and
    /// a later one without it would be a state that never was. The last good one stays, and the next
    /// start replays the log from there.
    pub fn checkpoint(&self) -> Result<()> {
        let mut failed = self.checkpointing.lock();
        if *failed {
            return Err(Error::Store(
                "a checkpoint has failed before; restart to recover".into(),
            ));
        }
        *failed = true;
        self.take_checkpoint()?;
        *failed = false;
        Ok(())
    }

    fn take_checkpoint(&self) -> Result<()> {
        let mut checkpoint = Checkpoint::default();
        let (meta, derived, appends) = {
            let mut turning = self.lock();
            let turning = &mut *turning;
            // A query that catches up with the state it had is in no checkpoint, though others have seen
            // what it did before; nor are changes that wait for the next round. Soon they are.
            let unsettled = turning.queries.values().any(|query| query.resuming);
            if unsettled || !turning.carried.is_empty() {
                return Ok(());
            }
            if !turning.dirty && turning.dropped.is_empty() && turning.appends.is_empty() {
                return Ok(());
            }
            for owner in turning.dropped.drain(..) {
                checkpoint.drop_owner(&owner);
            }
            let mut queries = Vec::new();
            for query in turning.queries.values_mut() {
                let is_kept = matches!(query.standing, Standing::Turning | Standing::Paused);
                let Some(circuit) = query.circuit.as_mut().filter(|_| is_kept) else {
                    continue;
                };
                let id = &query.query.id;
                circuit.checkpoint(&mut |step, save| {
                    save(&mut checkpoint.writer(&QueryState::owner(id, step)))
                })?;
                if query.standing == Standing::Paused {
                    write_inbox(&mut checkpoint, id, &query.inbox)?;
                } else {
                    query.frontier = turning.frontier;
                }
                queries.push(QueryMeta {
                    id: id.clone(),
                    frontier: query.frontier,
                });
            }
            let mut derived: Vec<TopicId> = Vec::new();
            for relation in turning.relations.values_mut() {
                // What a terminated query has left stays.
                let filled = relation.relation.written_by.as_ref().is_none_or(|writer| {
                    queries.iter().any(|query| query.id == *writer)
                        || turning
                            .queries
                            .values()
                            .all(|query| query.query.id != *writer)
                });
                if filled {
                    relation.checkpoint(&mut checkpoint)?;
                }
                if relation.relation.kind == RelationKind::Stream
                    && relation.relation.written_by.is_some()
                    && let Some(topic) = &relation.topic
                {
                    derived.push(topic.id());
                }
            }
            turning.dirty = false;
            let meta = CheckpointMeta {
                frontier: turning.frontier,
                queries,
            };
            (meta, derived, turning.appends.clone())
        };
        for append in appends {
            futures::executor::block_on(append)?;
        }
        self.lock()
            .appends
            .retain(|append| !matches!(append.peek(), Some(Ok(()))));
        self.log.sync_derived(&derived)?;
        let bytes = checkpoint.bytes();
        self.store.commit(checkpoint, &meta)?;
        self.allow_compaction(meta.frontier)?;
        tracing::debug!(frontier = meta.frontier, bytes, "checkpoint");
        Ok(())
    }
}

impl Mill {
    /// Nothing is replayed any more from before a checkpoint, so the log may drop what later rows of
    /// base tables have replaced.
    fn allow_compaction(&self, frontier: u64) -> Result<()> {
        let topics: Vec<TopicId> = {
            let turning = self.lock();
            let tables = turning
                .relations
                .values()
                .filter(|state| state.relation.is_base_table());
            tables
                .filter_map(|state| state.topic.as_ref().map(Topic::id))
                .collect()
        };
        for topic in topics {
            match self.log.set_compaction_bound(topic, Epoch(frontier)) {
                // It was dropped meanwhile.
                Ok(()) | Err(log_store::LogError::UnknownTopic(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What rounds work on, as the last checkpoint has it.
pub(super) fn restore(
    log: &Log,
    store: &StateStore,
    catalog: &Catalog,
    progress: &Topic,
    workers: &rayon::ThreadPool,
) -> Result<Turning> {
    let mut meta = store.meta()?.unwrap_or_default();
    if meta.frontier > log.sealed().0 {
        // Only possible when the log was not synced and the machine lost power: what is in the log
        // is the truth, and all state can be computed from it.
        tracing::warn!(
            checkpoint = meta.frontier,
            sealed = log.sealed().0,
            "the log ends before the last checkpoint; computing all state anew"
        );
        store.wipe()?;
        meta = CheckpointMeta::default();
    }
    let mut turning = Turning::new(meta.frontier);
    for relation in catalog.relations() {
        let mut state = RelationState::new(relation.clone(), log, meta.frontier)?;
        let filled = relation.terminated
            || relation
                .written_by
                .as_ref()
                .is_none_or(|writer| meta.queries.iter().any(|query| query.id == *writer));
        if filled {
            state.restore(store)?;
        }
        turning.relations.insert(relation.id, state);
    }
    *turning.inserted.lock() = progress::reached(progress)?;
    for query in catalog.queries() {
        let bindings = bind(&query.plan, catalog)?;
        let saved = meta.queries.iter().find(|saved| saved.id == query.id);
        let paused = query.status == QueryStatus::Paused;
        let mut state = QueryState::new(query.clone(), bindings, None, Standing::CatchingUp);
        if paused {
            state.standing = Standing::Paused;
        }
        if let Some(saved) = saved {
            let mut circuit = Circuit::build(&query.plan, &CircuitOptions::for_pool(workers))?;
            circuit.restore(&mut |step, load| {
                load(&store.reader(&QueryState::owner(&query.id, step)))
            })?;
            state.circuit = Some(circuit);
            state.frontier = saved.frontier;
            if paused {
                state.inbox = read_inbox(store, &query.id)?;
            } else if saved.frontier == meta.frontier {
                state.standing = Standing::Turning;
                if query.sink_kind == SinkKind::Insert {
                    let reached = turning.inserted.lock().get(&progress::name(query)).copied();
                    turning
                        .boundaries
                        .extend(reached.filter(|reached| *reached > meta.frontier));
                } else {
                    let sink = turning.relations.get(&query.sink);
                    if let Some(topic) = sink.and_then(|sink| sink.topic.as_ref()) {
                        let recorded = recorded_epochs(topic, meta.frontier)?;
                        turning.boundaries.extend(recorded);
                    }
                }
            } else {
                // Resumed after the checkpoint: it has to catch up again.
                state.resuming = true;
                state.inbox = read_inbox(store, &query.id)?;
            }
        }
        let sequence = query.sequence;
        let turns = state.standing == Standing::Turning;
        turning.queries.insert(sequence, state);
        if turns {
            turning.open_cursors(sequence);
        }
    }
    Ok(turning)
}

/// Epochs after `frontier` of which a derived stream holds output.
pub(super) fn recorded_epochs(topic: &Topic, frontier: u64) -> Result<Vec<u64>> {
    let mut recorded = Vec::new();
    for partition in topic.partitions() {
        let epochs = partition.epochs_after(Epoch(frontier))?;
        recorded.extend(epochs.into_iter().map(|epoch| epoch.0));
    }
    Ok(recorded)
}

/// Keys of an inbox: `epoch: u64 · relation: u32 · number: u32`, big-endian; values Arrow IPC of the
/// rows with two columns more, weight and event time.
fn write_inbox(checkpoint: &mut Checkpoint, query: &str, inbox: &Inbox) -> Result<()> {
    let mut writer = checkpoint.writer(&QueryState::inbox_owner(query));
    writer.clear();
    for (epoch, deltas) in inbox {
        for (relation, changes) in deltas {
            for (number, delta) in changes.iter().enumerate() {
                let mut key = epoch.to_be_bytes().to_vec();
                key.extend(relation.to_be_bytes());
                key.extend((number as u32).to_be_bytes());
                writer.put(&key, &encode_delta(delta)?);
            }
        }
    }
    Ok(())
}

fn read_inbox(store: &StateStore, query: &str) -> Result<Inbox> {
    let mut inbox = Inbox::new();
    let mut failed = None;
    store
        .reader(&QueryState::inbox_owner(query))
        .scan(b"", &mut |key, value| {
            let read = || -> Option<(u64, u32)> {
                Some((
                    u64::from_be_bytes(key.get(..8)?.try_into().ok()?),
                    u32::from_be_bytes(key.get(8..12)?.try_into().ok()?),
                ))
            };
            match (read(), decode_delta(value)) {
                (Some((epoch, relation)), Ok(delta)) => {
                    let deltas: &mut Deltas = inbox.entry(epoch).or_default();
                    Arc::make_mut(deltas.entry(relation).or_default()).push(delta);
                }
                (None, _) => failed = Some("a key is too short".to_owned()),
                (_, Err(error)) => failed = Some(error.to_string()),
            }
        })?;
    match failed {
        None => Ok(inbox),
        Some(reason) => Err(Error::Corruption(format!(
            "the inbox of query {query}: {reason}"
        ))),
    }
}

fn encode_delta(delta: &ChangeBatch) -> Result<Vec<u8>> {
    let with_weights = delta.to_batch();
    let mut bytes = Vec::new();
    let write = |bytes: &mut Vec<u8>| -> Result<(), arrow::error::ArrowError> {
        let mut writer = StreamWriter::try_new(bytes, &with_weights.schema())?;
        writer.write(&with_weights)?;
        writer.finish()
    };
    write(&mut bytes)
        .map_err(|error| Error::Internal(format!("cannot encode changes: {error}")))?;
    Ok(bytes)
}

fn decode_delta(bytes: &[u8]) -> Result<ChangeBatch> {
    let read = || -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
        StreamReader::try_new(bytes, None)?.next().transpose()
    };
    match read() {
        Ok(Some(batch)) => Ok(ChangeBatch::from_batch(batch)),
        Ok(None) => Err(Error::Corruption("no batch in an entry".into())),
        Err(error) => Err(Error::Corruption(error.to_string())),
    }
}
