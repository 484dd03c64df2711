//! Saves everything that rounds work on.
//!
//! A checkpoint takes what changed while the rounds stand still, then makes it durable while they go
//! on:
//!
//! 1. derived streams are synced, since their rows up to the frontier will not be computed again;
//! 2. appends that queries made are waited for, likewise;
//! 3. state and frontier are committed in one write batch.
//!
//! If that fails, what was taken is kept and written first by the next checkpoint. After a crash the
//! state is that of the last frontier (`restore.rs`); the log is replayed from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use log_store::{Cleanup, Epoch, Topic, TopicId, TopicKind};
use parking_lot::{Condvar, Mutex};

use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::mill::Mill;
use crate::mill::outbox::Sent;
use crate::mill::query::{Deltas, Inbox, QueryState, Standing};
use crate::operator::{StateReader, StateWriter};
use crate::state_store::{Checkpoint, CheckpointMeta, FORMAT, QueryMeta, StateStore};

/// Where checkpoints stand.
#[derive(Default)]
pub(crate) struct Checkpointing {
    /// Taken, but not on disk yet, because writing it failed.
    unfinished: Option<Taken>,
    /// Whether one failed half taken, so that nobody knows any more what had changed.
    broken: bool,
}

impl Checkpointing {
    /// Whether it is of use to try again.
    pub(crate) fn is_possible(&self) -> bool {
        !self.broken
    }
}

/// What changed up to a frontier, and what must be durable before it.
struct Taken {
    checkpoint: Checkpoint,
    meta: CheckpointMeta,
    derived: Vec<TopicId>,
    sent: Sent,
}

/// Whether a checkpoint is wanted before its time.
#[derive(Default)]
pub(crate) struct Wanted {
    is_wanted: Mutex<bool>,
    changed: Condvar,
}

impl Wanted {
    pub(crate) fn set(&self) {
        *self.is_wanted.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until one is wanted, or for so long; whether one is.
    fn wait(&self, interval: Duration) -> bool {
        let mut is_wanted = self.is_wanted.lock();
        if !*is_wanted {
            self.changed.wait_for(&mut is_wanted, interval);
        }
        std::mem::take(&mut is_wanted)
    }
}

impl Mill {
    /// Starts the thread that takes checkpoints, so that rounds wait for no disk.
    pub(super) fn start_checkpoints(self: &Arc<Self>) -> Result<()> {
        let mill = Arc::downgrade(self);
        let interval = self.config.checkpoint_interval;
        let thread = std::thread::Builder::new()
            .name("millpond-checkpoints".into())
            .spawn(move || {
                // Nobody wakes a mill that was dropped without a shutdown.
                let nap = interval.min(Duration::from_secs(1));
                let mut slept = Duration::ZERO;
                while let Some(mill) = mill.upgrade().filter(|mill| !mill.stopping()) {
                    let began = Instant::now();
                    let is_early = mill.checkpoint_wanted.wait(nap);
                    slept += began.elapsed();
                    if (is_early || slept >= interval) && !mill.stopping() {
                        mill.checkpoint_in_time();
                        slept = Duration::ZERO;
                    }
                }
            })
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    fn checkpoint_in_time(&self) {
        if self.checkpointing.lock().is_possible()
            && let Err(error) = self.checkpoint()
        {
            tracing::error!(%error, "checkpoint failed");
        }
        self.heal();
    }

    /// Saves what changed since the last checkpoint. Blocks; one at a time.
    ///
    /// # Errors
    /// When it cannot be written, as on a full disk. What had changed is kept, and the next call
    /// writes it first; until then the last good checkpoint stays, and a start would replay the log
    /// from there.
    pub fn checkpoint(&self) -> Result<()> {
        self.allow_compaction_of_unread()?;
        let mut checkpointing = self.checkpointing.lock();
        if checkpointing.broken {
            return Err(Error::Store(
                "what changed since the last checkpoint is not known; restart to recover".into(),
            ));
        }
        loop {
            let again = checkpointing.unfinished.is_some();
            if !again {
                checkpointing.broken = true;
                checkpointing.unfinished = self.take_checkpoint()?;
                checkpointing.broken = false;
            }
            let Some(taken) = &checkpointing.unfinished else {
                return Ok(());
            };
            self.write_checkpoint(taken)?;
            checkpointing.unfinished = None;
            self.lock().saved();
            if !again {
                return Ok(());
            }
        }
    }

    /// Takes what changed, if anything did and the moment is good.
    fn take_checkpoint(&self) -> Result<Option<Taken>> {
        let mut checkpoint = Checkpoint::default();
        let mut turning = self.lock();
        let turning = &mut *turning;
        // A query that catches up with the state it had is in no checkpoint, though others have seen
        // what it did before; nor are changes that wait for the next round. Soon they are.
        let unsettled = turning.queries.values().any(|query| query.resuming);
        if unsettled || !turning.carried.is_empty() {
            return Ok(None);
        }
        if !turning.dirty && turning.dropped.is_empty() {
            return Ok(None);
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
                seen: query.seen.clone(),
            });
        }
        let mut derived: Vec<TopicId> = Vec::new();
        let mut unreadable = Vec::new();
        for relation in turning.relations.values_mut() {
            // What a terminated query has left stays.
            let filled = relation.relation.written_by.as_ref().is_none_or(|writer| {
                queries.iter().any(|query| query.id == *writer)
                    || turning
                        .queries
                        .values()
                        .all(|query| query.query.id != *writer)
            });
            if relation.damage.is_some() {
                // It stands at an earlier epoch than the rest.
                unreadable.push(relation.relation.id);
            } else if filled {
                relation.checkpoint(&mut checkpoint)?;
            }
            if relation.relation.written_by.is_some()
                && let Some(topic) = &relation.topic
            {
                derived.push(topic.id());
            }
        }
        turning.dirty = false;
        let meta = CheckpointMeta {
            format: FORMAT,
            frontier: turning.frontier,
            queries,
            unreadable,
            tables_over_records: turning
                .relations
                .values()
                .filter(|state| state.relation.over_records && state.table.is_some())
                .map(|state| state.relation.id)
                .collect(),
        };
        Ok(Some(Taken {
            checkpoint,
            meta,
            derived,
            sent: self.outbox.sent(),
        }))
    }

    fn write_checkpoint(&self, taken: &Taken) -> Result<()> {
        self.outbox.wait(&taken.sent)?;
        self.log.sync_derived(&taken.derived)?;
        self.store.commit(&taken.checkpoint, &taken.meta)?;
        self.allow_compaction_of_read(taken.meta.frontier)?;
        let (frontier, bytes) = (taken.meta.frontier, taken.checkpoint.bytes());
        tracing::debug!(frontier, bytes, "checkpoint");
        Ok(())
    }
}

impl Mill {
    /// Nobody here reads them, so Kafka clients' topics may be compacted up to the present.
    fn allow_compaction_of_unread(&self) -> Result<()> {
        let read: BTreeSet<TopicId> = {
            let turning = self.lock();
            let topics = turning
                .relations
                .values()
                .filter_map(|state| state.topic.as_ref());
            topics.map(Topic::id).collect()
        };
        let sealed = self.log.sealed();
        for topic in self.log.topics() {
            let is_compacted = matches!(topic.config().cleanup, Cleanup::Compact { .. });
            if topic.kind() == TopicKind::Ingested && is_compacted && !read.contains(&topic.id()) {
                self.bound_compaction(topic.id(), sealed)?;
            }
        }
        Ok(())
    }

    fn bound_compaction(&self, topic: TopicId, bound: Epoch) -> Result<()> {
        match self.log.set_compaction_bound(topic, bound) {
            // It was dropped meanwhile.
            Ok(()) | Err(log_store::LogError::UnknownTopic(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Nothing is replayed any more from before a checkpoint, so the log may drop what later rows of
    /// base tables have replaced.
    fn allow_compaction_of_read(&self, frontier: u64) -> Result<()> {
        let topics: Vec<TopicId> = {
            let turning = self.lock();
            turning
                .relations
                .values()
                .filter(|state| state.table.is_some() || state.relation.over_records)
                .filter_map(|state| state.topic.as_ref().map(Topic::id))
                .collect()
        };
        for topic in topics {
            self.bound_compaction(topic, Epoch(frontier))?;
        }
        Ok(())
    }
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

pub(super) fn read_inbox(store: &Arc<StateStore>, query: &str) -> Result<Inbox> {
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

#[cfg(test)]
mod tests;
