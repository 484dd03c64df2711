//! Brings a new or resumed query up to the present, on a thread of its own.
//!
//! ```text
//!  new:      tables as they are at epoch s ─┐
//!            streams from the beginning ────┴─► big steps ─► … ─► frontier ─► turns with the others
//!  resumed:  what it has missed since it was paused ─────────► …
//! ```
//!
//! Others do not notice: the state of the rounds is locked only to look at the frontier and, at the
//! end, to hand the query over. What the query puts out meanwhile stays unseen until then if it is a
//! table; a stream's rows are in its topic as they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use log_store::Log;

use crate::catalog::{Relation, RelationId, RelationKind, SinkKind};
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions, consolidate};
use crate::error::{Error, Result};
use crate::mill::checkpoint::recorded_epochs;
use crate::mill::cursor::TopicCursor;
use crate::mill::query::{Binding, Deltas, Inbox, QueryState, Standing};
use crate::mill::relation::{
    RelationState, append_changelog, append_derived, new_arrangement, read_changelog,
};
use crate::mill::{Mill, Turning, progress};
use crate::processing_log::{Collector, PROCESSING_LOG};
use crate::state::{Arrangement, Snapshot};

/// A step while catching up takes about this much from each partition: bigger steps are cheaper per
/// row.
const CATCH_UP_BYTES: usize = 64 << 20;

/// A step over the rows that a table has takes about this many.
const PART_ROWS: usize = 1 << 18;

/// After so many passes the rest is done while the rounds wait.
const PASSES_MAX: usize = 8;

/// What a query needs while it stands apart.
struct Apart {
    query: Arc<crate::catalog::Query>,
    bindings: Vec<Binding>,
    circuit: Circuit,
    sink: Arc<Relation>,
    sink_topic: Option<log_store::Topic>,
    cursors: Vec<TopicCursor>,
    /// Tables as they were when it began; all at once, because streams are joined with them.
    contents: Deltas,
    /// Likewise, of a new table without a changelog, whose steps nobody sees: part after part.
    parts: Parts,
    frontier: u64,
    output: Output,
    /// Epochs that steps must stop at, because output up to them exists already.
    boundaries: Vec<u64>,
    /// Whether it began without state.
    is_new: bool,
}

/// Rows of tables that a query has yet to take.
#[derive(Default)]
struct Parts {
    tables: Vec<(RelationId, Snapshot)>,
    /// Of the last table.
    next: usize,
}

impl Parts {
    /// About as many rows as a step should have; `None` when all were taken.
    fn take(&mut self) -> Result<Option<Deltas>> {
        let Some((relation, snapshot)) = self.tables.last() else {
            return Ok(None);
        };
        let mut changes: Vec<ChangeBatch> = Vec::new();
        let mut rows = 0;
        while rows < PART_ROWS && self.next < snapshot.num_parts() {
            let part = snapshot.part(self.next);
            let part = part.map_err(|error| Error::Internal(error.to_string()))?;
            self.next += 1;
            rows += part.as_ref().map_or(0, ChangeBatch::num_rows);
            changes.extend(part);
        }
        let deltas = Deltas::from([(*relation, Arc::new(changes))]);
        if self.next == snapshot.num_parts() {
            self.tables.pop();
            self.next = 0;
        }
        Ok(Some(deltas))
    }
}

/// What becomes of output while the query stands apart.
enum Output {
    /// A new table is built unseen.
    Build {
        table: Box<Arrangement>,
        changelog: Changelog,
    },
    /// Changes of a table that others see already are kept for the end.
    Keep(Vec<ChangeBatch>),
    /// Rows go to a stream's topic.
    Append,
}

/// What becomes of the changelog of a table that is built.
enum Changelog {
    /// It is new as well: changes are appended as they come.
    Append,
    /// It holds what an earlier life of the query has said, perhaps from other contents of its inputs:
    /// in the end it is told in what the table differs.
    Amend,
}

impl Mill {
    /// Starts the thread.
    pub(super) fn spawn_catch_up(self: &Arc<Self>, sequence: u64) {
        let mill = self.clone();
        let attempt = self
            .lock()
            .queries
            .get(&sequence)
            .map(|query| query.attempt);
        let Some(attempt) = attempt else { return };
        let spawned = std::thread::Builder::new()
            .name("millpond-catch-up".into())
            .spawn(move || {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    mill.catch_up(sequence, attempt)
                }));
                let error = match caught {
                    Ok(Ok(())) => return,
                    Ok(Err(Error::ShuttingDown)) => return,
                    Ok(Err(error)) => error,
                    Err(_) => Error::Internal("the query panicked while catching up".into()),
                };
                let mut turning = mill.lock();
                if turning.is_attempt(sequence, attempt) {
                    turning.fail_query(sequence, &error);
                }
                drop(turning);
                mill.standing_changed();
            });
        if let Err(error) = spawned {
            let error = Error::Internal(format!("cannot start a thread: {error}"));
            self.lock().fail_query(sequence, &error);
            self.standing_changed();
        }
    }

    fn catch_up(&self, sequence: u64, attempt: u64) -> Result<()> {
        self.send_what_waits(sequence)?;
        let Some(mut apart) = self.set_apart_when_ready(sequence, attempt)? else {
            return Ok(());
        };
        for pass in 0.. {
            // Up to the present as it is now …
            let Some((present, mut missed)) = self.take_missed(sequence, attempt) else {
                return Ok(());
            };
            while apart.frontier < present || apart.has_contents() {
                if self.stopping() {
                    return Err(Error::ShuttingDown);
                }
                self.advance(&mut apart, present, &mut missed)?;
            }
            // … and if it has not moved on meanwhile, or for good, into the rounds.
            let mut turning = self.lock();
            if turning.frontier > present && pass < PASSES_MAX {
                continue;
            }
            if !turning.is_attempt(sequence, attempt) {
                return Ok(());
            }
            let present = turning.frontier;
            let Some(query) = turning.queries.get_mut(&sequence) else {
                return Ok(());
            };
            let mut missed = std::mem::take(&mut query.inbox);
            while apart.frontier < present {
                self.advance(&mut apart, present, &mut missed)?;
            }
            join_rounds(&self.log, &mut turning, sequence, apart)?;
            let has_carried = !turning.carried.is_empty();
            drop(turning);
            if has_carried {
                // They wait for a round, and a round for an epoch.
                drop(
                    self.log
                        .append(vec![progress::batch(&self.progress, "", 0)?]),
                );
            }
            self.standing_changed();
            return Ok(());
        }
        Ok(())
    }

    /// What a query that inserts has put out before must be in the log before it is known how far it
    /// has come.
    fn send_what_waits(&self, sequence: u64) -> Result<()> {
        let definition = {
            let turning = self.lock();
            let query = turning.queries.get(&sequence);
            query.map(|query| query.query.clone())
        };
        match definition.filter(|query| query.sink_kind == SinkKind::Insert) {
            None => Ok(()),
            Some(query) => self
                .outbox
                .wait(&self.outbox.sent_by(&progress::name(&query))),
        }
    }

    /// Waits until the queries that maintain its inputs have caught up themselves, and those that read
    /// its output have joined the rounds; then takes all it needs. `None` if it was dropped.
    fn set_apart_when_ready(&self, sequence: u64, attempt: u64) -> Result<Option<Apart>> {
        let mut standings = self.standings.subscribe();
        loop {
            standings.borrow_and_update();
            {
                let mut turning = self.lock();
                if !turning.is_attempt(sequence, attempt) {
                    return Ok(None);
                }
                let Some(query) = turning.queries.get(&sequence) else {
                    return Ok(None);
                };
                let sink = query.query.sink;
                let is_read = turning.queries.values().any(|reader| {
                    reader.apart && reader.bindings.iter().any(|b| b.relation == sink)
                });
                if !is_read && turning.inputs_ready(&query.bindings)? {
                    return self.set_apart(&mut turning, sequence);
                }
            }
            if self.stopping() {
                return Err(Error::ShuttingDown);
            }
            futures::executor::block_on(standings.changed()).map_err(|_| Error::ShuttingDown)?;
        }
    }

    /// Takes all that the query needs, at one epoch. `None` if it was dropped.
    fn set_apart(&self, turning: &mut Turning, sequence: u64) -> Result<Option<Apart>> {
        let present = turning.frontier;
        let Some(query) = turning.queries.get_mut(&sequence) else {
            return Ok(None);
        };
        let definition = query.query.clone();
        let bindings = query.bindings.clone();
        let resumed = query.circuit.take();
        let is_new = resumed.is_none();
        let frontier = if is_new {
            query.inbox.clear();
            query.frontier = present;
            if definition.from_beginning {
                0
            } else {
                // Also after a crash, or it would lose what came in between.
                definition.since.min(present)
            }
        } else {
            query.frontier
        };
        let seen_of = match is_new {
            true => BTreeMap::new(),
            false => query.seen.clone(),
        };
        let circuit = match resumed {
            Some(circuit) => circuit,
            None => {
                let options = CircuitOptions::for_pool(&self.workers);
                let options = options.passing_marks(definition.passes_marks);
                Circuit::build(&definition.plan, &options)?
            }
        };
        let mut cursors = Vec::new();
        let mut contents = Deltas::new();
        let mut parts = Parts::default();
        let sink = turning.relation(definition.sink)?;
        // A changelog takes each epoch once, and later steps are of earlier epochs.
        let is_unseen = sink.relation.kind == RelationKind::Table && sink.topic.is_none();
        let mut seen: Vec<RelationId> = Vec::new();
        for binding in &bindings {
            if seen.contains(&binding.relation) {
                continue;
            }
            seen.push(binding.relation);
            let state = turning.relation(binding.relation)?;
            match (state.relation.kind, &state.topic) {
                (RelationKind::Table, _) if is_new && is_unseen => {
                    parts
                        .tables
                        .extend(state.snapshot().map(|rows| (binding.relation, rows)));
                }
                (RelationKind::Table, _) if is_new => {
                    contents.insert(binding.relation, Arc::new(state.contents()?));
                }
                (RelationKind::Table, _) => {}
                (RelationKind::Stream, Some(topic)) => {
                    let relation = state.relation.clone();
                    cursors.push(if is_new && definition.from_beginning {
                        TopicCursor::from_beginning(relation, topic)?
                    } else {
                        let seen = seen_of.get(&binding.relation).copied();
                        TopicCursor::after_epoch(relation, topic, seen.unwrap_or(frontier))?
                    });
                }
                (RelationKind::Stream, None) => {
                    return Err(Error::Internal(format!(
                        "stream \"{}\" has no topic",
                        state.relation.name
                    )));
                }
            }
        }
        if is_new && contents.is_empty() {
            // Even over nothing there is a first step: an aggregate without groups has a row.
            contents.insert(RelationId::MAX, Arc::new(Vec::new()));
        }
        let sink = turning.relation(definition.sink)?;
        let boundaries = match (&sink.topic, definition.sink_kind) {
            (_, SinkKind::Insert) => {
                let inserted = turning.inserted.lock();
                let reached = inserted.get(&progress::name(&definition)).copied();
                reached.into_iter().collect()
            }
            // A table built anew takes no output over, so it need not stop there.
            (Some(_), SinkKind::Derived) if sink.table.is_some() && is_new => Vec::new(),
            (Some(topic), SinkKind::Derived) => recorded_epochs(topic, frontier)?,
            (None, SinkKind::Derived) => Vec::new(),
        };
        let sink = turning.relation(definition.sink)?;
        let output = match (sink.relation.kind, is_new) {
            (RelationKind::Stream, _) => Output::Append,
            (RelationKind::Table, true) => Output::Build {
                table: Box::new(new_arrangement(&sink.relation)),
                changelog: match &sink.topic {
                    Some(topic) if topic.partitions().iter().any(|p| p.end_offset().0 > 0) => {
                        Changelog::Amend
                    }
                    _ => Changelog::Append,
                },
            },
            (RelationKind::Table, false) => Output::Keep(Vec::new()),
        };
        let (sink, sink_topic) = (sink.relation.clone(), sink.topic.clone());
        if let Some(query) = turning.queries.get_mut(&sequence) {
            query.apart = true;
        }
        Ok(Some(Apart {
            query: definition,
            bindings,
            circuit,
            sink,
            sink_topic,
            cursors,
            contents,
            parts,
            frontier,
            output,
            boundaries,
            is_new,
        }))
    }

    /// The present epoch, and what the query has missed of tables up to it.
    fn take_missed(&self, sequence: u64, attempt: u64) -> Option<(u64, Inbox)> {
        let mut turning = self.lock();
        if !turning.is_attempt(sequence, attempt) {
            return None;
        }
        let present = turning.frontier;
        let query = turning.queries.get_mut(&sequence)?;
        Some((present, std::mem::take(&mut query.inbox)))
    }

    /// One step towards the present.
    fn advance(&self, apart: &mut Apart, present: u64, missed: &mut Inbox) -> Result<()> {
        if let Some(rows) = apart.parts.take()? {
            return self.step_apart(apart, present, &rows);
        }
        let mut to = present;
        if let Some(boundary) = apart
            .boundaries
            .iter()
            .filter(|b| **b > apart.frontier)
            .min()
        {
            to = to.min(*boundary);
        }
        for cursor in &mut apart.cursors {
            to = to.min(cursor.read_ahead(apart.frontier, to, CATCH_UP_BYTES)?);
        }
        let mut deltas = std::mem::take(&mut apart.contents);
        deltas.remove(&RelationId::MAX);
        for cursor in &mut apart.cursors {
            let relation = cursor.relation().clone();
            let errors = Collector::new(&apart.query.id, relation.topic_name == PROCESSING_LOG);
            let changes: Vec<ChangeBatch> = cursor
                .take(to)?
                .into_iter()
                .map(|mut rows| {
                    errors.report_records(std::mem::take(&mut rows.undecoded));
                    rows.into_stream_changes(&relation)
                })
                .collect::<Result<_>>()?;
            self.processing_log.write(errors)?;
            if !changes.is_empty() {
                deltas.insert(relation.id, Arc::new(changes));
            }
        }
        let later = missed.split_off(&(to + 1));
        for (_, tables) in std::mem::replace(missed, later) {
            for (relation, changes) in tables {
                let all = deltas.entry(relation).or_default();
                Arc::make_mut(all).extend(changes.iter().cloned());
            }
        }
        self.step_apart(apart, to, &deltas)?;
        apart.frontier = to;
        Ok(())
    }

    fn step_apart(&self, apart: &mut Apart, to: u64, deltas: &Deltas) -> Result<()> {
        let (query, bindings) = (apart.query.clone(), &apart.bindings);
        let output = match query.every_change {
            true => {
                let key = query.plan.root().key.clone().unwrap_or_default();
                self.step_each(&query.id, &key, bindings, &mut apart.circuit, to, deltas)
            }
            false => self.step(&query.id, bindings, &mut apart.circuit, to, deltas),
        }?;
        self.put_out(apart, to, output)?;
        let of_sink = match &apart.output {
            Output::Build { table, .. } => table.bytes(),
            Output::Keep(_) | Output::Append => 0,
        };
        let bytes = apart.circuit.state_bytes() + of_sink;
        self.check_limit(apart.query.state_limit, bytes)
    }

    fn put_out(&self, apart: &mut Apart, to: u64, output: Vec<ChangeBatch>) -> Result<()> {
        let output = self.timed(&apart.query, &apart.sink, output)?;
        match &mut apart.output {
            Output::Build { table, changelog } => {
                let changes = match apart.query.every_change {
                    true => output,
                    false => consolidate(output, &apart.sink.key)?,
                };
                for delta in &changes {
                    table.apply(delta)?;
                }
                if let (Changelog::Append, Some(topic)) = (changelog, &apart.sink_topic) {
                    append_changelog(&self.log, &apart.sink, topic, to, &changes)?;
                }
            }
            Output::Keep(kept) => kept.extend(output),
            Output::Append => {
                let topic = apart
                    .sink_topic
                    .as_ref()
                    .ok_or_else(|| Error::Internal("a stream without a topic".into()))?;
                match apart.query.sink_kind {
                    SinkKind::Derived => {
                        append_derived(&self.log, &apart.sink, topic, to, &output)?;
                    }
                    SinkKind::Insert => {
                        let done = apart.boundaries.iter().any(|reached| *reached >= to);
                        if !done && output.iter().any(|delta| delta.num_rows() > 0) {
                            // Waiting bounds what is in flight.
                            let name = progress::name(&apart.query);
                            self.insert(&apart.sink, topic, &name, to, &output)?;
                            self.outbox.wait(&self.outbox.sent_by(&name))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Apart {
    fn has_contents(&self) -> bool {
        !self.contents.is_empty() || !self.parts.tables.is_empty()
    }
}

impl Turning {
    /// Whether the query still catches up, and for the same reason.
    fn is_attempt(&self, sequence: u64, attempt: u64) -> bool {
        self.queries
            .get(&sequence)
            .is_some_and(|query| query.attempt == attempt && query.standing == Standing::CatchingUp)
    }

    fn relation(&self, id: RelationId) -> Result<&RelationState> {
        self.relations
            .get(&id)
            .ok_or_else(|| Error::Internal(format!("relation {id} is gone")))
    }
}

/// The changes that lead from one table to another.
fn difference(from: &Arrangement, to: &Arrangement, key: &[usize]) -> Result<Vec<ChangeBatch>> {
    let mut changes = Vec::new();
    for delta in from.contents().changes() {
        changes.push(delta.map_err(internal)?.negated());
    }
    for delta in to.contents().changes() {
        changes.push(delta.map_err(internal)?);
    }
    Ok(consolidate(changes, key)?)
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Internal(error.to_string())
}

/// Hands a query over to the rounds; both stand at the same epoch.
fn join_rounds(log: &Log, turning: &mut Turning, sequence: u64, apart: Apart) -> Result<()> {
    let sink_id = apart.query.sink;
    match apart.output {
        Output::Build { table, changelog } => {
            if let (Changelog::Amend, Some(topic)) = (changelog, &apart.sink_topic) {
                let told = read_changelog(&apart.sink, topic)?;
                let changes = difference(&told, &table, &apart.sink.key)?;
                append_changelog(log, &apart.sink, topic, apart.frontier, &changes)?;
            }
            let is_read = turning.queries.values().any(|reader| {
                matches!(reader.standing, Standing::Turning | Standing::Paused)
                    && reader.bindings.iter().any(|b| b.relation == sink_id)
            });
            let mut changes = Vec::new();
            if let Some(sink) = turning.relations.get_mut(&sink_id) {
                if is_read {
                    changes = sink.contents()?.iter().map(ChangeBatch::negated).collect();
                }
                sink.table = Some(*table);
                if is_read {
                    changes.extend(sink.contents()?);
                    changes = consolidate(changes, &apart.sink.key)?;
                }
            }
            if !changes.is_empty() {
                turning.carried.entry(sink_id).or_default().extend(changes);
            }
            turning.dropped.push(RelationState::owner(&apart.sink));
        }
        Output::Keep(kept) => {
            let changes = consolidate(kept, &apart.sink.key)?;
            if let Some(table) = turning
                .relations
                .get_mut(&sink_id)
                .and_then(|s| s.table.as_mut())
            {
                for delta in &changes {
                    table.apply(delta)?;
                }
                if let Some(topic) = &apart.sink_topic {
                    // A catch-up before a crash may have told more than what it comes to.
                    let told = match apart.boundaries.is_empty() {
                        true => changes.clone(),
                        false => {
                            let told = read_changelog(&apart.sink, topic)?;
                            difference(&told, table, &apart.sink.key)?
                        }
                    };
                    append_changelog(log, &apart.sink, topic, apart.frontier, &told)?;
                }
            }
            if !changes.is_empty() {
                turning.carried.entry(sink_id).or_default().extend(changes);
            }
        }
        Output::Append => {
            let frontier = turning.frontier;
            if let Some(sink) = turning.relations.get_mut(&sink_id)
                && apart.query.sink_kind == SinkKind::Derived
                && let Some(cursor) = &mut sink.cursor
            {
                cursor.read_ahead(0, frontier, usize::MAX)?;
                let appended = cursor.take(frontier)?;
                let errors = Collector::of_relation(&sink.relation);
                let changes = sink.absorb(appended, &errors)?;
                if !changes.is_empty() {
                    turning.carried.entry(sink_id).or_default().extend(changes);
                }
            }
        }
    }
    if apart.is_new {
        // Entries of an earlier life must not be mixed with the new ones.
        for step in &apart.query.plan.steps {
            turning
                .dropped
                .push(QueryState::owner(&apart.query.id, &step.id));
        }
    }
    if let Some(query) = turning.queries.get_mut(&sequence) {
        query.circuit = Some(apart.circuit);
        query.frontier = apart.frontier;
        query.standing = Standing::Turning;
        query.inbox.clear();
        query.seen.clear();
        query.apart = false;
        query.resuming = false;
    }
    turning.open_cursors(sequence);
    turning.dirty = true;
    Ok(())
}
