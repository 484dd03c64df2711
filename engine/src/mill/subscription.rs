//! Push queries: a client follows the changes of a query of its own.
//!
//! A push query runs on a thread of its own. Streams it reads from the log at its own pace, so a slow
//! client costs nothing but time; changes of tables it is told by the rounds, and they wait in an
//! inbox of bounded size.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use planner::step_plan::{ChangelogMode, StepPlan};
use tokio::sync::mpsc;

use crate::catalog::{Catalog, RelationId, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions, consolidate};
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::cursor::TopicCursor;
use crate::mill::query::{Binding, Deltas, bind};
use crate::mill::relation::{self, RelationState};
use crate::mill::{Mill, Turning};
use crate::processing_log::Collector;

/// Changes of tables that may wait for a subscriber, bytes.
const INBOX_BYTES_MAX: usize = 256 << 20;

/// A step over history takes about this much from each partition.
const HISTORY_BYTES: usize = 8 << 20;

/// Changes of one step, for a client.
#[derive(Debug)]
pub struct Pushed {
    pub epoch: u64,
    pub changes: Vec<ChangeBatch>,
}

/// What the rounds tell a push query.
#[derive(Default)]
pub struct SubscriptionInbox {
    state: Mutex<InboxState>,
    told: Condvar,
    tables: Vec<RelationId>,
    /// All that is read, tables and streams.
    inputs: Vec<RelationId>,
}

#[derive(Default)]
struct InboxState {
    frontier: u64,
    deltas: VecDeque<(u64, Deltas)>,
    bytes: usize,
    overflowed: bool,
    /// Why nothing more will come.
    ended: Option<String>,
}

impl SubscriptionInbox {
    /// Called by a round at its end.
    pub fn tell(&self, epoch: u64, deltas: &Deltas) {
        let mut state = self.state.lock();
        state.frontier = epoch;
        let relevant: Deltas = self
            .tables
            .iter()
            .filter_map(|table| Some((*table, deltas.get(table)?.clone())))
            .collect();
        if !relevant.is_empty() {
            let bytes: usize = relevant
                .values()
                .flat_map(|changes| changes.iter())
                .map(|delta| delta.rows.get_array_memory_size())
                .sum();
            state.bytes += bytes;
            if state.bytes > INBOX_BYTES_MAX {
                state.overflowed = true;
                state.deltas.clear();
            } else {
                state.deltas.push_back((epoch, relevant));
            }
        }
        self.told.notify_all();
    }

    /// Called when a relation stops being maintained.
    pub fn end(&self, relation: RelationId, reason: &str) {
        if self.inputs.contains(&relation) {
            self.state.lock().ended = Some(reason.to_owned());
            self.told.notify_all();
        }
    }
}

/// How a push query begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushOptions {
    /// With what there is already, or only with what comes.
    pub from_beginning: bool,
    /// Shows what each input row changes, rather than what comes of an epoch.
    pub every_change: bool,
}

struct Subscriber {
    mill: Weak<Mill>,
    circuit: Circuit,
    bindings: Vec<Binding>,
    cursors: Vec<TopicCursor>,
    /// The only table that is read, from its first record on, while it is shown how it came about.
    past: Option<RelationState>,
    inbox: Arc<SubscriptionInbox>,
    sender: mpsc::Sender<Result<Pushed>>,
    frontier: u64,
    key: Vec<usize>,
    retracts: bool,
    every_change: bool,
}

impl Mill {
    /// Starts a push query. It ends when the receiver is dropped.
    pub fn subscribe(
        self: &Arc<Self>,
        plan: &StepPlan,
        catalog: &Catalog,
        options: PushOptions,
    ) -> Result<mpsc::Receiver<Result<Pushed>>> {
        let bindings = bind(plan, catalog)?;
        let circuit = Circuit::build(plan, &CircuitOptions::for_pool(&self.workers).ephemeral())?;
        let (sender, receiver) = mpsc::channel(4);
        let mut tables = Vec::new();
        let mut cursors = Vec::new();
        let mut contents = Deltas::new();
        let mut turning = self.lock_when_ready(&bindings)?;
        let present = turning.frontier;
        let mut past = None;
        for binding in &bindings {
            let state = turning.relations.get(&binding.relation).ok_or_else(|| {
                StatementError::new(
                    StatementErrorKind::UndefinedRelation,
                    "relation was dropped while it was about to be read",
                )
            })?;
            match (binding.kind, &state.topic) {
                (RelationKind::Table, _) if !tables.contains(&binding.relation) => {
                    tables.push(binding.relation);
                    let is_told = options.from_beginning && options.every_change;
                    let is_alone = bindings
                        .iter()
                        .all(|other| other.relation == binding.relation);
                    match &state.topic {
                        Some(topic)
                            if is_told && is_alone && relation::begins_at_the_beginning(topic) =>
                        {
                            past = Some(RelationState::of_the_past(state, &self.log)?);
                        }
                        _ => {
                            contents.insert(binding.relation, Arc::new(state.contents()?));
                        }
                    }
                }
                (RelationKind::Stream, Some(topic))
                    if !cursors
                        .iter()
                        .any(|c: &TopicCursor| c.relation().id == binding.relation) =>
                {
                    cursors.push(if options.from_beginning {
                        TopicCursor::from_beginning(state.relation.clone(), topic)?
                    } else {
                        TopicCursor::after_epoch(state.relation.clone(), topic, present)?
                    });
                }
                _ => {}
            }
        }
        let inbox = Arc::new(SubscriptionInbox {
            state: Mutex::new(InboxState {
                frontier: present,
                ..Default::default()
            }),
            told: Condvar::new(),
            tables,
            inputs: bindings.iter().map(|binding| binding.relation).collect(),
        });
        turning.subscriptions.push(Arc::downgrade(&inbox));
        drop(turning);
        let root = plan.root();
        let subscriber = Subscriber {
            mill: Arc::downgrade(self),
            circuit,
            bindings,
            cursors,
            past,
            inbox,
            sender,
            frontier: if options.from_beginning { 0 } else { present },
            key: root.key.clone().unwrap_or_default(),
            retracts: root.mode == ChangelogMode::Retract,
            every_change: options.every_change,
        };
        let show_contents = options.from_beginning;
        std::thread::Builder::new()
            .name("millpond-push".into())
            .spawn(move || subscriber.run(present, contents, show_contents))
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        Ok(receiver)
    }
}

impl Mill {
    /// Waits until relations can be taken as they are. Blocks.
    fn lock_when_ready(&self, bindings: &[Binding]) -> Result<MutexGuard<'_, Turning>> {
        let mut standings = self.standings.subscribe();
        loop {
            standings.borrow_and_update();
            let turning = self.lock();
            if turning.inputs_ready(bindings)? {
                return Ok(turning);
            }
            drop(turning);
            if self.stopping() {
                return Err(Error::ShuttingDown);
            }
            futures::executor::block_on(standings.changed()).map_err(|_| Error::ShuttingDown)?;
        }
    }
}

impl Subscriber {
    fn run(mut self, present: u64, contents: Deltas, show_contents: bool) {
        let sender = self.sender.clone();
        let followed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.begin(present, contents, show_contents)?;
            self.follow()
        }));
        let error = match followed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => Error::Internal("the query panicked".into()),
        };
        let _ = sender.blocking_send(Err(error));
    }

    /// Shows what there is already. A result that can change is shown only as it is at the end of
    /// history, not as it came about, unless every change is wanted.
    fn begin(&mut self, present: u64, mut contents: Deltas, show_contents: bool) -> Result<()> {
        let mut history = Vec::new();
        let mut first = true;
        while first || self.frontier < present {
            first = false;
            let to = self.read_ahead(present)?;
            let mut deltas = self.take_streams(to)?;
            deltas.extend(self.take_past(to)?);
            deltas.extend(contents.drain());
            let output = self.step(to, &deltas)?;
            self.frontier = to;
            if !show_contents {
                continue;
            }
            if self.retracts && !self.every_change {
                history = consolidate(history.into_iter().chain(output).collect(), &self.key)?;
            } else if !self.push(to, output) {
                return Ok(());
            }
        }
        if !history.is_empty() {
            self.push(present, history);
        }
        self.past = None;
        Ok(())
    }

    /// Goes on with what comes, until the client leaves.
    fn follow(&mut self) -> Result<()> {
        loop {
            let Some((present, mut tables)) = self.wait()? else {
                return Ok(());
            };
            while self.frontier < present {
                let to = self.read_ahead(present)?;
                let mut deltas = self.take_streams(to)?;
                while tables.front().is_some_and(|(epoch, _)| *epoch <= to) {
                    let (_, more) = tables.pop_front().expect("there is a front");
                    for (relation, changes) in more {
                        let all = deltas.entry(relation).or_default();
                        Arc::make_mut(all).extend(changes.iter().cloned());
                    }
                }
                if !deltas.is_empty() {
                    let mut output = self.step(to, &deltas)?;
                    if self.retracts && !self.every_change {
                        output = consolidate(output, &self.key)?;
                    }
                    if !self.push(to, output) {
                        return Ok(());
                    }
                }
                self.frontier = to;
            }
        }
    }

    /// Waits for a round. `None` when the client has left or the server stops.
    fn wait(&self) -> Result<Option<(u64, VecDeque<(u64, Deltas)>)>> {
        let mut state = self.inbox.state.lock();
        loop {
            if self.sender.is_closed() {
                return Ok(None);
            }
            if self.mill.upgrade().is_none_or(|mill| mill.stopping()) {
                return Err(Error::ShuttingDown);
            }
            if state.overflowed {
                return Err(StatementError::new(
                    StatementErrorKind::ProgramLimit,
                    "the client reads too slowly: too many changes wait for it",
                )
                .into());
            }
            if let Some(reason) = &state.ended {
                return Err(StatementError::new(
                    StatementErrorKind::ObjectNotInPrerequisiteState,
                    "what the query reads is not maintained any more",
                )
                .with_detail(reason.clone())
                .into());
            }
            if state.frontier > self.frontier {
                state.bytes = 0;
                return Ok(Some((state.frontier, std::mem::take(&mut state.deltas))));
            }
            self.inbox
                .told
                .wait_for(&mut state, Duration::from_millis(500));
        }
    }

    fn read_ahead(&mut self, present: u64) -> Result<u64> {
        let mut to = present;
        for cursor in &mut self.cursors {
            to = to.min(cursor.read_ahead(self.frontier, to, HISTORY_BYTES)?);
        }
        if let Some(cursor) = self.past.as_mut().and_then(|past| past.cursor.as_mut()) {
            to = to.min(cursor.read_ahead(self.frontier, to, HISTORY_BYTES)?);
        }
        Ok(to)
    }

    fn take_past(&mut self, to: u64) -> Result<Deltas> {
        let Some(past) = &mut self.past else {
            return Ok(Deltas::new());
        };
        let appended = match &mut past.cursor {
            Some(cursor) => cursor.take(to)?,
            None => Vec::new(),
        };
        // What cannot be decoded was reported when it was read first.
        let changes = past.absorb(appended, &Collector::of_relation(&past.relation.clone()))?;
        Ok(match changes.is_empty() {
            true => Deltas::new(),
            false => Deltas::from([(past.relation.id, Arc::new(changes))]),
        })
    }

    fn take_streams(&mut self, to: u64) -> Result<Deltas> {
        let mut deltas = Deltas::new();
        for cursor in &mut self.cursors {
            let relation = cursor.relation().clone();
            let changes: Vec<ChangeBatch> = cursor
                .take(to)?
                .into_iter()
                .map(|rows| rows.into_stream_changes(&relation))
                .collect::<Result<_>>()?;
            if !changes.is_empty() {
                deltas.insert(relation.id, Arc::new(changes));
            }
        }
        Ok(deltas)
    }

    fn step(&mut self, to: u64, deltas: &Deltas) -> Result<Vec<ChangeBatch>> {
        let mill = self.mill.upgrade().ok_or(Error::ShuttingDown)?;
        let (bindings, circuit) = (&self.bindings, &mut self.circuit);
        match self.retracts && self.every_change {
            true => mill.step_each("push", &self.key, bindings, circuit, to, deltas),
            false => mill.step("push", bindings, circuit, to, deltas),
        }
    }

    /// Hands changes to the client, waiting while it is busy. False when it has left.
    fn push(&self, epoch: u64, changes: Vec<ChangeBatch>) -> bool {
        let changes: Vec<_> = changes
            .into_iter()
            .filter(|delta| delta.num_rows() > 0)
            .collect();
        changes.is_empty()
            || self
                .sender
                .blocking_send(Ok(Pushed { epoch, changes }))
                .is_ok()
    }
}
