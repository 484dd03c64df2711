//! The mill: turns all persistent queries, round by round, from epoch to epoch.
//!
//! ```text
//!  sealed epoch ──► round: read what was appended ─► tables absorb it ─► queries step, in the
//!                   order they were made ─► outputs reach sinks ─► frontier := epoch ─► readers wake
//! ```
//!
//! All queries that turn stand at one frontier, so a reader who looks between two rounds sees all
//! tables at one epoch: internal consistency needs nothing more. A query that is new, resumed or
//! paused stands apart until it has caught up (see `catch_up.rs`); what it derives from others is
//! the same, only later.
//!
//! Invariants:
//! - A round reads only sealed epochs, and reads each exactly once.
//! - A query's output for an epoch is in its sink before the frontier passes that epoch.
//! - State on disk is the state at one frontier (`checkpoint.rs`).

mod catch_up;
mod checkpoint;
pub mod cursor;
mod memory;
mod outbox;
mod progress;
pub mod query;
mod reading;
pub mod relation;
mod restore;
mod sharing;
pub mod subscription;
mod timestamps;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log_store::{Epoch, Log};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::catalog::{Catalog, Query, Relation, RelationId, RelationKind, SinkKind};
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, consolidate};
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::operator::StepContext;
use crate::processing_log::{Collector, ProcessingLog};
use crate::state::Snapshot;
use crate::state_store::StateStore;
use cursor::TopicCursor;
pub(crate) use progress::PROGRESS_TOPIC;
use query::{Binding, Deltas, QueryState, Standing};
use relation::RelationState;
pub(crate) use sharing::finish_sharing;
use subscription::SubscriptionInbox;

/// A round takes about this much from a partition, so that a long way to the present is cut into
/// rounds that fit in memory.
pub(crate) const ROUND_BYTES: usize = 16 << 20;

/// How the mill is set up.
#[derive(Debug, Clone)]
pub struct MillConfig {
    pub workers: usize,
    pub checkpoint_interval: Duration,
    /// Bytes of state from which on rows that are on disk are evicted from memory.
    pub state_memory: Option<usize>,
    /// Bytes of state that cannot be evicted from which on a query is stopped.
    pub state_memory_max: Option<usize>,
}

/// Runs all persistent queries of an engine.
pub struct Mill {
    pub(crate) log: Log,
    pub(crate) store: Arc<StateStore>,
    pub(crate) workers: rayon::ThreadPool,
    config: MillConfig,
    turning: Mutex<Turning>,
    /// Held while a checkpoint is taken.
    checkpointing: Mutex<checkpoint::Checkpointing>,
    /// The epoch that everything turning is complete through.
    frontier: watch::Sender<u64>,
    /// Counts changes of queries' standing.
    standings: watch::Sender<u64>,
    stop: AtomicBool,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Wakes the thread that takes checkpoints before its time.
    checkpoint_wanted: checkpoint::Wanted,
    processing_log: ProcessingLog,
    /// Where queries that insert into streams write down how far they have come.
    progress: log_store::Topic,
    /// What such queries have put out and the log does not have yet.
    outbox: outbox::Outbox,
}

/// What rounds work on.
pub(crate) struct Turning {
    pub frontier: u64,
    pub relations: BTreeMap<RelationId, RelationState>,
    /// By order of creation.
    pub queries: BTreeMap<u64, QueryState>,
    pub subscriptions: Vec<Weak<SubscriptionInbox>>,
    /// What resumed queries have changed in their tables between rounds.
    pub carried: HashMap<RelationId, Vec<ChangeBatch>>,
    /// Owners in the state store whose entries are to be forgotten.
    pub dropped: Vec<String>,
    /// Whether a table or a query's state changed since the last checkpoint.
    pub dirty: bool,
    /// Epochs at which rounds ended before a crash and which a replay must stop at again.
    pub boundaries: Vec<u64>,
    /// For each query that inserts into a stream, the input epoch that its rows have reached.
    pub inserted: Inserted,
    /// When the size of all state was last looked at.
    pub measured: Instant,
}

/// See [`Turning::inserted`]; a thread that catches up notes its progress without the rounds' lock.
pub(crate) type Inserted = Arc<Mutex<HashMap<String, u64>>>;

/// What a reader sees of a relation.
pub enum RelationSnapshot {
    Table(Snapshot),
    /// A stream is read from its log, up to the snapshot's epoch.
    Stream(log_store::Topic),
}

/// Several relations at one epoch.
pub struct ConsistentSnapshot {
    pub epoch: u64,
    pub relations: HashMap<RelationId, RelationSnapshot>,
}

impl Mill {
    /// Restores the state of the last checkpoint and replays the log from there.
    pub fn open(
        config: MillConfig,
        log: Log,
        store: Arc<StateStore>,
        catalog: &Catalog,
        processing_log: ProcessingLog,
    ) -> Result<Arc<Self>> {
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(config.workers)
            .thread_name(|index| format!("millpond-worker-{index}"))
            .build()
            .map_err(|error| Error::Internal(format!("cannot start worker threads: {error}")))?;
        let progress = progress::topic(&log)?;
        let turning = restore::restore(&log, &store, catalog, &progress, &workers)?;
        let frontier = turning.frontier;
        let inserted = turning.inserted.clone();
        let outbox = outbox::Outbox::start(log.clone(), progress.clone(), inserted)?;
        let mill = Arc::new(Self {
            log,
            store,
            workers,
            config,
            turning: Mutex::new(turning),
            checkpointing: Mutex::default(),
            frontier: watch::Sender::new(frontier),
            standings: watch::Sender::new(0),
            stop: AtomicBool::new(false),
            threads: Mutex::default(),
            checkpoint_wanted: checkpoint::Wanted::default(),
            processing_log,
            progress,
            outbox,
        });
        Ok(mill)
    }

    /// Begins to turn.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        // What a crash left undone is done before anybody looks.
        let sealed = self.log.sealed().0;
        while self.lock().frontier < sealed {
            self.round(sealed)?;
        }
        let waiting: Vec<u64> = self
            .lock()
            .queries
            .values()
            .filter(|query| query.standing == Standing::CatchingUp)
            .map(|query| query.query.sequence)
            .collect();
        for sequence in waiting {
            self.spawn_catch_up(sequence);
        }
        let mill = Arc::downgrade(self);
        let thread = std::thread::Builder::new()
            .name("millpond-rounds".into())
            .spawn(move || run(&mill))
            .map_err(|error| Error::Internal(format!("cannot start the mill: {error}")))?;
        self.threads.lock().push(thread);
        self.start_checkpoints()
    }

    /// Stops turning and writes a last checkpoint. Blocks.
    pub fn shutdown(&self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        // Whoever waits for a query to catch up looks whether the mill stops.
        self.standing_changed();
        self.checkpoint_wanted.set();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        self.checkpoint()?;
        self.store.settle();
        Ok(())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Turning> {
        self.turning.lock()
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The epoch that all that turns is complete through.
    pub fn frontier(&self) -> u64 {
        *self.frontier.borrow()
    }

    /// Waits until everything sealed so far is in every table. Queries that stand apart are waited
    /// for unless they are paused or have failed.
    pub async fn flush(&self) -> Result<()> {
        // A query may append to a stream that another reads: go on until nothing new comes.
        loop {
            let sealed = self.log.sealed().0;
            self.wait_frontier(sealed).await?;
            let mut standings = self.standings.subscribe();
            loop {
                standings.borrow_and_update();
                let settled = {
                    let turning = self.lock();
                    turning.carried.is_empty()
                        && turning
                            .queries
                            .values()
                            .all(|query| query.standing != Standing::CatchingUp)
                };
                if settled {
                    break;
                }
                standings.changed().await.map_err(|_| Error::ShuttingDown)?;
            }
            let sent = self.outbox.sent();
            self.outbox.waited(&sent).await?;
            self.processing_log.flush().await;
            if sent.is_empty() && self.log.sealed().0 == sealed && self.frontier() >= sealed {
                return Ok(());
            }
        }
    }

    /// Waits until rounds have passed an epoch.
    pub async fn wait_frontier(&self, epoch: u64) -> Result<()> {
        let mut frontier = self.frontier.subscribe();
        frontier
            .wait_for(|reached| *reached >= epoch)
            .await
            .map_err(|_| Error::ShuttingDown)?;
        Ok(())
    }

    /// Takes relations at one epoch, at least `epoch`, once all of them can be read.
    pub async fn snapshot(
        self: &Arc<Self>,
        relations: &[RelationId],
        epoch: u64,
    ) -> Result<ConsistentSnapshot> {
        let mut standings = self.standings.subscribe();
        self.wait_frontier(epoch).await?;
        loop {
            standings.borrow_and_update();
            let now = self
                .turning
                .try_lock()
                .map(|turning| self.try_snapshot(&turning, relations));
            let taken = match now {
                Some(taken) => taken?,
                None => {
                    // A round may take long: others on this thread do not wait for it.
                    let (mill, relations) = (self.clone(), relations.to_vec());
                    tokio::task::spawn_blocking(move || mill.try_snapshot(&mill.lock(), &relations))
                        .await
                        .map_err(|error| Error::Internal(format!("no snapshot: {error}")))??
                }
            };
            if let Some(snapshot) = taken {
                return Ok(snapshot);
            }
            standings.changed().await.map_err(|_| Error::ShuttingDown)?;
        }
    }

    /// Takes relations as they are, unless one of them is still being filled.
    fn try_snapshot(
        &self,
        turning: &Turning,
        relations: &[RelationId],
    ) -> Result<Option<ConsistentSnapshot>> {
        if !turning.carried.is_empty() && self.log.fault().is_none() {
            // A resumed query's table is ahead of those who read it until the next round.
            return Ok(None);
        }
        let mut snapshots = HashMap::with_capacity(relations.len());
        for id in relations {
            let state = turning.relations.get(id).ok_or_else(|| {
                StatementError::new(
                    StatementErrorKind::UndefinedRelation,
                    "relation was dropped while it was about to be read",
                )
            })?;
            if let Some(damage) = &state.damage {
                return Err(Error::Corruption(damage.clone()));
            }
            match turning.writer_standing(*id) {
                Some(Standing::CatchingUp) => return Ok(None),
                Some(Standing::Failed(reason)) => {
                    return Err(StatementError::new(
                        StatementErrorKind::ObjectNotInPrerequisiteState,
                        format!("the query behind \"{}\" has stopped", state.relation.name),
                    )
                    .with_detail(reason)
                    .with_hint("RESUME the query, or drop the relation and create it again.")
                    .into());
                }
                _ => {}
            }
            let snapshot = match (&state.topic, state.snapshot()) {
                (_, Some(table)) => RelationSnapshot::Table(table),
                (Some(topic), None) => RelationSnapshot::Stream(topic.clone()),
                (None, None) => {
                    return Err(Error::Internal(format!(
                        "\"{}\" has neither topic nor rows",
                        state.relation.name
                    )));
                }
            };
            snapshots.insert(*id, snapshot);
        }
        Ok(Some(ConsistentSnapshot {
            epoch: turning.frontier,
            relations: snapshots,
        }))
    }

    /// Adds a relation that was just created; a table over records that were there before it is filled
    /// with them first. Blocks.
    pub fn add_relation(&self, relation: Arc<Relation>) -> Result<()> {
        let mut state = RelationState::new(relation.clone(), &self.log, 0)?;
        let errors = Collector::of_relation(&relation);
        loop {
            let present = self.frontier();
            state.fill(present, &errors)?;
            let mut turning = self.lock();
            if turning.frontier > present {
                continue;
            }
            turning.relations.insert(relation.id, state);
            turning.dirty = true;
            break;
        }
        self.processing_log.write(errors)
    }

    /// Adds a query that was just created, and begins to fill it.
    pub fn add_query(self: &Arc<Self>, query: Arc<Query>, bindings: Vec<Binding>) -> Result<()> {
        let sequence = query.sequence;
        {
            let mut turning = self.lock();
            let state = QueryState::new(query, bindings, None, Standing::CatchingUp);
            turning.queries.insert(sequence, state);
        }
        self.spawn_catch_up(sequence);
        Ok(())
    }

    /// Forgets relations and queries that were dropped.
    pub fn remove(&self, relations: &[RelationId], queries: &[String]) {
        let mut turning = self.lock();
        for id in relations {
            if let Some(state) = turning.relations.remove(id) {
                turning.dropped.push(RelationState::owner(&state.relation));
            }
        }
        let gone = turning.remove_queries(queries);
        drop(turning);
        gone.iter().for_each(|query| self.outbox.forget(query));
        self.standing_changed();
    }

    /// Stops queries from turning; their state is kept.
    pub fn pause(&self, id: &str) -> Result<()> {
        let mut turning = self.lock();
        let frontier = turning.frontier;
        let seen = turning.seen_of_inputs(id);
        let Some(query) = turning.query_mut(id) else {
            return Ok(());
        };
        match query.standing {
            Standing::Turning => {
                query.frontier = frontier;
                query.seen = seen;
                query.standing = Standing::Paused;
            }
            Standing::CatchingUp => {
                return Err(StatementError::new(
                    StatementErrorKind::ObjectNotInPrerequisiteState,
                    format!("query \"{id}\" is still catching up"),
                )
                .with_hint("FLUSH waits until it has.")
                .into());
            }
            Standing::Paused | Standing::Failed(_) => {}
        }
        turning.close_cursors();
        drop(turning);
        self.standing_changed();
        Ok(())
    }

    /// Lets a paused query catch up and turn again; a failed one starts over.
    pub fn resume(self: &Arc<Self>, id: &str) -> Result<()> {
        let sequence = {
            let mut turning = self.lock();
            let Some(query) = turning.query_mut(id) else {
                return Ok(());
            };
            match query.standing {
                Standing::Turning | Standing::CatchingUp => return Ok(()),
                Standing::Paused => {}
                Standing::Failed(_) => {
                    query.circuit = None;
                    query.inbox.clear();
                }
            }
            query.resuming = query.circuit.is_some();
            query.attempt += 1;
            query.standing = Standing::CatchingUp;
            query.query.sequence
        };
        self.spawn_catch_up(sequence);
        Ok(())
    }

    /// Rows of a table, and the bytes they take in memory.
    pub fn table_size(&self, relation: RelationId) -> Option<(usize, usize)> {
        let turning = self.lock();
        let table = turning.relations.get(&relation)?.table.as_ref()?;
        Some((table.num_rows(), table.bytes()))
    }

    /// What each step of a query has done: its name, and the rest in words.
    pub fn statistics(&self, id: &str) -> Vec<(String, String)> {
        let mut turning = self.lock();
        let Some(circuit) = turning
            .query_mut(id)
            .and_then(|query| query.circuit.as_ref())
        else {
            return Vec::new();
        };
        circuit
            .statistics()
            .into_iter()
            .map(|step| {
                let words = format!(
                    "{} rows in, {} rows out, {} ms, {} bytes of state",
                    step.rows_in,
                    step.rows_out,
                    step.time.as_millis(),
                    step.state_bytes
                );
                (step.step, words)
            })
            .collect()
    }

    /// How many rows or records have failed since the start ([`ProcessingLog::failures`]).
    pub fn failures(&self, reporter: &str) -> u64 {
        self.processing_log.failures(reporter)
    }

    /// Where a query stands.
    pub fn standing(&self, id: &str) -> Option<Standing> {
        let mut turning = self.lock();
        turning.query_mut(id).map(|query| query.standing.clone())
    }

    pub(crate) fn standing_changed(&self) {
        self.standings.send_modify(|version| *version += 1);
    }

    /// Advances everything that turns to `sealed`, or less far if that is too much for one round.
    fn round(&self, sealed: u64) -> Result<()> {
        let mut turning = self.lock();
        let turning = &mut *turning;
        let to = turning.how_far(sealed);
        let (mut deltas, errors) = turning.read_appended(to);
        for errors in errors {
            self.processing_log.write(errors)?;
        }
        let had_carried = !turning.carried.is_empty();
        for (relation, changes) in turning.carried.drain() {
            let mut all = changes;
            if let Some(more) = deltas.remove(&relation) {
                all.extend(Arc::unwrap_or_clone(more));
            }
            deltas.insert(relation, Arc::new(all));
        }
        let sequences: Vec<u64> = turning.queries.keys().copied().collect();
        let mut failed = false;
        for sequence in sequences {
            failed |= self.turn_query(turning, sequence, to, &mut deltas);
        }
        turning.tell_subscriptions(to, &deltas);
        turning.frontier = to;
        turning.boundaries.retain(|boundary| *boundary > to);
        if !deltas.is_empty() {
            turning.dirty = true;
        }
        failed |= self.keep_within_memory(turning, &deltas);
        self.frontier.send_replace(to);
        if failed || had_carried {
            self.standing_changed();
        }
        Ok(())
    }

    /// Steps one query within a round; says whether it has failed.
    fn turn_query(
        &self,
        turning: &mut Turning,
        sequence: u64,
        to: u64,
        deltas: &mut Deltas,
    ) -> bool {
        let query = turning
            .queries
            .get_mut(&sequence)
            .expect("the query is listed");
        match query.standing {
            Standing::Turning => {}
            Standing::Failed(_) => return false,
            Standing::Paused | Standing::CatchingUp => {
                query.put_aside(to, deltas);
                return false;
            }
        }
        let initial = query
            .circuit
            .as_ref()
            .is_some_and(Circuit::has_initial_rows);
        if !initial && !query::concerns(&query.bindings, deltas) {
            return false;
        }
        let definition = query.query.clone();
        let circuit = query
            .circuit
            .as_mut()
            .expect("a query that turns has a circuit");
        let stepped = match definition.every_change {
            true => {
                let key = definition.plan.root().key.clone().unwrap_or_default();
                let (id, bindings) = (&definition.id, &query.bindings);
                self.step_each(id, &key, bindings, circuit, to, deltas)
            }
            false => self.step(&definition.id, &query.bindings, circuit, to, deltas),
        };
        match stepped.and_then(|output| self.deliver(turning, &definition, to, output)) {
            Ok(changed) => {
                if let Some(changes) = changed {
                    // What was carried into this round of the same table comes first.
                    let all = deltas.entry(definition.sink).or_default();
                    Arc::make_mut(all).extend(changes);
                }
                false
            }
            Err(error) => {
                turning.fail_query(sequence, &error);
                true
            }
        }
    }

    /// Tries again to read tables that could not be read.
    fn heal(&self) {
        let mut turning = self.lock();
        let turning = &mut *turning;
        for state in turning.relations.values_mut() {
            if state.heal(turning.frontier) {
                turning.dropped.push(RelationState::owner(&state.relation));
            }
        }
    }

    /// Runs a query's circuit over changes.
    pub(crate) fn step(
        &self,
        query: &str,
        bindings: &[Binding],
        circuit: &mut Circuit,
        to: u64,
        deltas: &Deltas,
    ) -> Result<Vec<ChangeBatch>> {
        let inputs = query::inputs(bindings, deltas)?;
        let reads_errors = bindings.iter().any(|binding| binding.reads_errors);
        let errors = Collector::new(query, reads_errors);
        let context = StepContext {
            epoch: to,
            epoch_time: self.log.epoch_time(Epoch(to)).unwrap_or(0),
            errors: &errors,
            workers: Some(&self.workers),
        };
        let output = circuit.step(inputs, &context)?;
        self.processing_log.write(errors)?;
        Ok(output)
    }

    /// Runs a query's circuit over changes one by one (an update, −old and +new, is one), and gives what
    /// came of each, consolidated on its own.
    pub(crate) fn step_each(
        &self,
        query: &str,
        key: &[usize],
        bindings: &[Binding],
        circuit: &mut Circuit,
        to: u64,
        deltas: &Deltas,
    ) -> Result<Vec<ChangeBatch>> {
        let mut output = Vec::new();
        if deltas
            .values()
            .all(|changes| changes.iter().all(|delta| delta.num_rows() == 0))
        {
            // A first step over nothing: an aggregate without groups has a row.
            let stepped = self.step(query, bindings, circuit, to, deltas)?;
            return Ok(consolidate(stepped, key)?);
        }
        let mut relations: Vec<RelationId> = deltas.keys().copied().collect();
        relations.sort_unstable();
        let stateless = circuit.is_stateless();
        for relation in relations {
            for delta in deltas[&relation].iter() {
                let mut row = 0;
                while row < delta.num_rows() {
                    let is_update = delta.weight(row) < 0
                        && row + 1 < delta.num_rows()
                        && delta.weight(row + 1) > 0;
                    let length = 1 + usize::from(is_update);
                    let one = delta.slice(row, length);
                    // A row that came tells its time itself.
                    let came = (0..length).find(|row| one.weight(*row) > 0);
                    let cause = came.map(|row| one.rowtimes[row]).or(one.caused_at);
                    let deltas = Deltas::from([(relation, Arc::new(vec![one]))]);
                    let stepped = self.step(query, bindings, circuit, to, &deltas)?;
                    let changes = match stateless {
                        // Each says what it is about once; a row that comes again does so too.
                        true => stepped,
                        false => consolidate(stepped, key)?,
                    };
                    output.extend(changes.into_iter().map(|delta| delta.caused_by(cause)));
                    row += length;
                }
            }
        }
        Ok(output)
    }

    /// Brings a query's output to where it belongs, and gives the changes that its readers in the
    /// same round are to see.
    fn deliver(
        &self,
        turning: &mut Turning,
        query: &Query,
        to: u64,
        output: Vec<ChangeBatch>,
    ) -> Result<Option<Vec<ChangeBatch>>> {
        let frontier = turning.frontier;
        let sink = turning
            .relations
            .get_mut(&query.sink)
            .ok_or_else(|| Error::Internal(format!("the sink of query {} is gone", query.id)))?;
        let output = self.timed(query, &sink.relation, output)?;
        match (query.sink_kind, sink.relation.kind) {
            (SinkKind::Derived, RelationKind::Table) => {
                let changes = match query.every_change {
                    // Of each input row on its own.
                    true => output,
                    false => consolidate(output, &sink.relation.key)?,
                };
                if changes.is_empty() {
                    return Ok(None);
                }
                let table = sink.table.as_mut().expect("a table has rows");
                for delta in &changes {
                    table.apply(delta)?;
                }
                if let Some(topic) = &sink.topic {
                    relation::append_changelog(&self.log, &sink.relation, topic, to, &changes)?;
                }
                Ok(Some(changes))
            }
            (SinkKind::Derived, RelationKind::Stream) => {
                let topic = sink.topic.clone().expect("a stream has a topic");
                relation::append_derived(&self.log, &sink.relation, &topic, to, &output)?;
                // Its readers see what the log holds, with partition and offset.
                match &mut sink.cursor {
                    None => Ok(None),
                    Some(cursor) => {
                        cursor.read_ahead(frontier, to, usize::MAX)?;
                        let appended = cursor.take(to)?;
                        let errors = Collector::of_relation(&sink.relation);
                        let changes = sink.absorb(appended, &errors)?;
                        Ok((!changes.is_empty()).then_some(changes))
                    }
                }
            }
            (SinkKind::Insert, _) => {
                if output.iter().all(|delta| delta.num_rows() == 0) {
                    return Ok(None);
                }
                let name = progress::name(query);
                let reached = turning.inserted.lock().get(&name).copied();
                if reached.is_some_and(|reached| reached >= to) {
                    // It was appended before a crash.
                    return Ok(None);
                }
                let topic = sink.topic.clone().expect("a stream has a topic");
                self.insert(&sink.relation, &topic, &name, to, &output)?;
                turning.dirty = true;
                Ok(None)
            }
        }
    }

    /// Sends a query's output on its way to a stream that others write as well.
    pub(crate) fn insert(
        &self,
        relation: &Relation,
        topic: &log_store::Topic,
        query: &str,
        epoch: u64,
        output: &[ChangeBatch],
    ) -> Result<()> {
        let mut batches = Vec::new();
        for delta in output {
            batches.extend(crate::ingest::encode_changes(relation, topic, delta)?);
        }
        self.outbox.send(query, epoch, batches)
    }
}

impl Turning {
    pub(crate) fn new(frontier: u64) -> Self {
        Self {
            frontier,
            relations: BTreeMap::new(),
            queries: BTreeMap::new(),
            subscriptions: Vec::new(),
            carried: HashMap::new(),
            dropped: Vec::new(),
            dirty: false,
            boundaries: Vec::new(),
            inserted: Inserted::default(),
            measured: Instant::now(),
        }
    }

    /// Through which epoch the next round goes.
    fn how_far(&mut self, sealed: u64) -> u64 {
        let mut to = sealed;
        if let Some(boundary) = self.boundaries.iter().min() {
            to = to.min(*boundary);
        }
        for state in self.relations.values_mut() {
            if state.relation.written_by.is_some() {
                continue;
            }
            let Some(cursor) = &mut state.cursor else {
                continue;
            };
            match cursor.read_ahead(self.frontier, to, ROUND_BYTES) {
                Ok(complete) => to = to.min(complete),
                Err(error) => state.condemn(&error),
            }
        }
        to
    }

    /// Takes what clients appended up to an epoch, as changes; and what could not be decoded.
    fn read_appended(&mut self, to: u64) -> (Deltas, Vec<Collector>) {
        let mut deltas = Deltas::new();
        let mut undecoded = Vec::new();
        for state in self.relations.values_mut() {
            if state.relation.written_by.is_some() {
                continue;
            }
            let Some(cursor) = &mut state.cursor else {
                continue;
            };
            let errors = Collector::of_relation(&state.relation);
            let absorbed = cursor
                .take(to)
                .and_then(|appended| state.absorb(appended, &errors));
            undecoded.push(errors);
            match absorbed {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => {
                    deltas.insert(state.relation.id, Arc::new(changes));
                }
                Err(error) => state.condemn(&error),
            }
        }
        let damaged: Vec<(RelationId, String)> = self
            .relations
            .values()
            .filter_map(|state| Some((state.relation.id, state.damage.clone()?)))
            .collect();
        for (relation, damage) in damaged {
            self.fail_readers(relation, &damage);
            self.end_subscriptions(relation, &damage);
        }
        (deltas, undecoded)
    }

    fn writer_standing(&self, relation: RelationId) -> Option<&Standing> {
        let writer = self
            .relations
            .get(&relation)?
            .relation
            .written_by
            .as_ref()?;
        self.queries
            .values()
            .find(|query| query.query.id == *writer)
            .map(|query| &query.standing)
    }

    pub(crate) fn query_mut(&mut self, id: &str) -> Option<&mut QueryState> {
        self.queries.values_mut().find(|query| query.query.id == id)
    }

    /// Gives what those that inserted into streams were called there.
    fn remove_queries(&mut self, ids: &[String]) -> Vec<String> {
        let gone: Vec<u64> = self
            .queries
            .values()
            .filter(|query| ids.contains(&query.query.id))
            .map(|query| query.query.sequence)
            .collect();
        let mut names = Vec::new();
        for sequence in gone {
            let Some(query) = self.queries.remove(&sequence) else {
                continue;
            };
            for step in &query.query.plan.steps {
                self.dropped
                    .push(QueryState::owner(&query.query.id, &step.id));
            }
            self.dropped.push(QueryState::inbox_owner(&query.query.id));
            let name = progress::name(&query.query);
            self.inserted.lock().remove(&name);
            names.push(name);
        }
        self.close_cursors();
        names
    }

    /// Stops a query, and all that derives from it, because of an error.
    pub(crate) fn fail_query(&mut self, sequence: u64, error: &Error) {
        let Some(query) = self.queries.get_mut(&sequence) else {
            return;
        };
        tracing::error!(query = %query.query.id, %error, "query stopped");
        query.standing = Standing::Failed(error.to_string());
        query.circuit = None;
        query.inbox.clear();
        query.apart = false;
        query.resuming = false;
        let sink = query.query.sink;
        let derived = query.query.sink_kind == SinkKind::Derived;
        let reason = format!("query {} has stopped: {error}", query.query.id);
        if derived {
            self.fail_readers(sink, &reason);
            self.end_subscriptions(sink, &reason);
        }
        self.close_cursors();
    }

    fn fail_readers(&mut self, relation: RelationId, reason: &str) {
        let readers: Vec<u64> = self
            .queries
            .values()
            .filter(|query| !matches!(query.standing, Standing::Failed(_)))
            .filter(|query| query.bindings.iter().any(|b| b.relation == relation))
            .map(|query| query.query.sequence)
            .collect();
        for sequence in readers {
            self.fail_query(sequence, &Error::Internal(reason.to_owned()));
        }
    }

    /// Streams are read by the rounds only while a query that turns needs them.
    pub(crate) fn open_cursors(&mut self, sequence: u64) {
        let Some(query) = self.queries.get(&sequence) else {
            return;
        };
        let streams: Vec<RelationId> = query
            .bindings
            .iter()
            .filter(|binding| binding.kind == RelationKind::Stream)
            .map(|binding| binding.relation)
            .collect();
        for stream in streams {
            let seen = self.seen_of(stream);
            if let Some(state) = self.relations.get_mut(&stream)
                && state.cursor.is_none()
                && let Some(topic) = &state.topic
            {
                match TopicCursor::after_epoch(state.relation.clone(), topic, seen) {
                    Ok(cursor) => state.cursor = Some(cursor),
                    Err(error) => state.condemn(&error),
                }
            }
        }
    }

    /// Through which epoch the rounds have seen a stream's rows: through the frontier, unless the query
    /// that writes it stands apart, and its later rows come when it joins again.
    fn seen_of(&self, stream: RelationId) -> u64 {
        let writer = self.relations.get(&stream).and_then(|state| {
            let writer = state.relation.written_by.as_ref()?;
            self.queries.values().find(|q| q.query.id == *writer)
        });
        match writer {
            Some(query)
                if query.standing != Standing::Turning
                    && (query.circuit.is_some() || query.resuming) =>
            {
                self.frontier.min(query.frontier)
            }
            _ => self.frontier,
        }
    }

    /// Through which epochs a query has seen the streams of which the rounds have not seen all.
    fn seen_of_inputs(&self, id: &str) -> BTreeMap<RelationId, u64> {
        let query = self.queries.values().find(|query| query.query.id == id);
        let bindings = query.map_or(&[] as &[Binding], |query| &query.bindings);
        bindings
            .iter()
            .filter(|binding| binding.kind == RelationKind::Stream)
            .map(|binding| (binding.relation, self.seen_of(binding.relation)))
            .filter(|(_, seen)| *seen < self.frontier)
            .collect()
    }

    /// Whether relations can be taken by a new reader as they are: those who maintain them have caught
    /// up, and what these have changed meanwhile has been told to all.
    pub(crate) fn inputs_ready(&self, bindings: &[Binding]) -> Result<bool> {
        for binding in bindings {
            if self.carried.contains_key(&binding.relation) {
                return Ok(false);
            }
            match self.writer_standing(binding.relation) {
                Some(Standing::CatchingUp) => return Ok(false),
                Some(Standing::Failed(reason)) => {
                    return Err(StatementError::new(
                        StatementErrorKind::ObjectNotInPrerequisiteState,
                        format!("a query that it reads from has stopped: {reason}"),
                    )
                    .into());
                }
                _ => {}
            }
        }
        Ok(true)
    }

    fn close_cursors(&mut self) {
        let needed: Vec<RelationId> = self
            .queries
            .values()
            .filter(|query| query.standing == Standing::Turning)
            .flat_map(|query| query.bindings.iter().map(|binding| binding.relation))
            .collect();
        for (id, state) in &mut self.relations {
            if state.relation.kind == RelationKind::Stream && !needed.contains(id) {
                state.cursor = None;
            }
        }
    }

    /// Push queries over what nobody maintains any more come to an end.
    fn end_subscriptions(&mut self, relation: RelationId, reason: &str) {
        for inbox in self.subscriptions.iter().filter_map(Weak::upgrade) {
            inbox.end(relation, reason);
        }
    }

    fn tell_subscriptions(&mut self, to: u64, deltas: &Deltas) {
        self.subscriptions
            .retain(|subscription| match subscription.upgrade() {
                None => false,
                Some(inbox) => {
                    inbox.tell(to, deltas);
                    true
                }
            });
    }
}

impl RelationState {
    /// Marks a relation whose log cannot be read.
    pub(crate) fn condemn(&mut self, error: &Error) {
        tracing::error!(relation = %self.relation.name, %error, "relation cannot be read");
        self.damage = Some(error.to_string());
        self.cursor = None;
    }
}

/// The thread that turns the mill.
fn run(mill: &Weak<Mill>) {
    loop {
        let Some(mill) = mill.upgrade() else { return };
        if mill.stopping() {
            return;
        }
        let frontier = mill.frontier();
        let sealed = mill
            .log
            .wait_sealed_after(Epoch(frontier), Duration::from_millis(200))
            .0;
        if sealed > frontier {
            let turned =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mill.round(sealed)));
            match turned {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a round failed"),
                Err(_) => {
                    // Half a round has been applied; the state on disk is whole.
                    tracing::error!(
                        "a round panicked; the server stops so as not to show half of it"
                    );
                    std::process::abort();
                }
            }
        }
    }
}
