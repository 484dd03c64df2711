//! How much memory state may take.
//!
//! ```text
//!  state of all  ≤ budget                 nothing is done
//!  state of all  > budget                 rows that are on disk and were not used lately are evicted
//!  what cannot be evicted  > the maximum  the query that holds the most is stopped
//!  a query's state  > its own limit       that query is stopped
//! ```
//!
//! Rows of tables, views and joins can be evicted once a checkpoint has them; their indexes, and the
//! groups of aggregates, cannot. A query that is stopped says so with SQLSTATE 53200; its state is
//! given up, and `RESUME` lets it begin anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalog::{RelationId, SinkKind};
use crate::error::Error;
use crate::mill::query::{Deltas, QueryState, Standing};
use crate::mill::relation::{RelationState, new_arrangement};
use crate::mill::{Mill, Turning};
use crate::operator::StepError;
use crate::state_store::StateStore;

/// State is measured this often while little happens; a budget smaller than [`SMALL`] always.
const INTERVAL: Duration = Duration::from_millis(100);
const SMALL: usize = 16 << 20;
/// A round with so many changes is followed by a measurement.
const MANY_ROWS: usize = 10_000;

/// Bytes of state, and how many of them memory could do without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSize {
    pub bytes: usize,
    pub evictable: usize,
    /// How many could be evicted after a checkpoint.
    pub unsaved: usize,
}

impl StateSize {
    /// Bytes that memory cannot do without.
    fn held(self) -> usize {
        self.bytes.saturating_sub(self.evictable)
    }
}

impl std::ops::AddAssign for StateSize {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.evictable += other.evictable;
        self.unsaved += other.unsaved;
    }
}

impl Mill {
    /// Keeps state within its bounds; called between rounds. Says whether a query was stopped.
    pub(super) fn keep_within_memory(&self, turning: &mut Turning, changes: &Deltas) -> bool {
        let (budget, max) = (self.config.state_memory, self.config.state_memory_max);
        let has_limits = (turning.queries.values()).any(|query| query.query.state_limit.is_some());
        if budget.is_none() && max.is_none() && !has_limits {
            return false;
        }
        let rows: usize = (changes.values().flat_map(|changes| changes.iter()))
            .map(|changes| changes.num_rows())
            .sum();
        let is_small = budget.is_some_and(|budget| budget < SMALL);
        if turning.measured.elapsed() < INTERVAL && rows < MANY_ROWS && !is_small && !has_limits {
            return false;
        }
        turning.measured = Instant::now();
        let mut stopped = turning.stop_what_exceeds_its_limit();
        let size = turning.state_size();
        if let Some(budget) = budget.filter(|budget| size.bytes > *budget) {
            // Below the budget, so that not every round evicts a little.
            let goal = size.bytes - budget / 8 * 7;
            turning.evict(&self.store, goal, size.evictable);
            if goal > size.evictable && size.unsaved > budget / 8 {
                self.checkpoint_wanted.set();
            }
        }
        // What the next checkpoint makes evictable is no reason to stop anybody, unless it does not come.
        let held = size.held().saturating_sub(size.unsaved);
        if let Some(max) = max.filter(|max| held > *max || size.held() > 2 * *max) {
            stopped |= turning.stop_the_largest(max);
        }
        stopped
    }

    /// Bytes of a query's state, with the rows of the view that it maintains.
    pub fn query_size(&self, id: &str) -> Option<StateSize> {
        let turning = self.lock();
        let query = turning.queries.values().find(|q| q.query.id == id)?;
        Some(turning.size_of(query))
    }

    /// Fails a query that stands apart if its state is larger than it may be.
    pub(super) fn check_limit(&self, limit: Option<u64>, bytes: usize) -> Result<(), Error> {
        let bytes = bytes as u64;
        if let Some(limit) = limit.filter(|limit| bytes > *limit) {
            return Err(StepError::StateLimit { bytes, limit }.into());
        }
        let max = self.config.state_memory_max.map(|max| max as u64);
        match max.filter(|max| bytes > *max) {
            None => Ok(()),
            Some(max) => Err(StepError::StateMemory { bytes, max }.into()),
        }
    }
}

impl Turning {
    /// What was given to the last checkpoint is on disk.
    pub(super) fn saved(&mut self) {
        for relation in self.relations.values_mut() {
            if let Some(table) = &mut relation.table {
                table.saved();
            }
        }
        for query in self.queries.values_mut() {
            if let Some(circuit) = &mut query.circuit {
                circuit.saved();
            }
        }
    }

    /// All state that turns.
    pub fn state_size(&self) -> StateSize {
        let mut size = StateSize::default();
        for relation in self.relations.values() {
            size += relation.size();
        }
        for query in self.queries.values() {
            size += query.size();
        }
        size
    }

    fn size_of(&self, query: &QueryState) -> StateSize {
        let mut size = query.size();
        if query.query.sink_kind == SinkKind::Derived
            && let Some(sink) = self.relations.get(&query.query.sink)
        {
            size += sink.size();
        }
        size
    }

    /// Everybody gives up rows in proportion to what they could.
    fn evict(&mut self, store: &Arc<StateStore>, goal: usize, evictable: usize) {
        let share = |size: StateSize| match evictable {
            0 => 0,
            _ => (goal as u128 * size.evictable as u128).div_ceil(evictable as u128) as usize,
        };
        for relation in self.relations.values_mut() {
            let wanted = share(relation.size());
            if let Some(table) = relation.table.as_mut().filter(|_| wanted > 0) {
                let source = store.source(&RelationState::owner(&relation.relation));
                table.evict(wanted, &source, b"");
            }
        }
        for query in self.queries.values_mut() {
            let wanted = share(query.size());
            let id = &query.query.id;
            if let Some(circuit) = query.circuit.as_mut().filter(|_| wanted > 0) {
                circuit.evict(wanted, &|step| store.source(&QueryState::owner(id, step)));
            }
        }
    }

    fn stop_what_exceeds_its_limit(&mut self) -> bool {
        let exceeding: Vec<(u64, StepError)> = self
            .queries
            .values()
            .filter(|query| matches!(query.standing, Standing::Turning | Standing::Paused))
            .filter_map(|query| {
                let limit = query.query.state_limit?;
                let bytes = self.size_of(query).bytes as u64;
                let error = StepError::StateLimit { bytes, limit };
                (bytes > limit).then_some((query.query.sequence, error))
            })
            .collect();
        let any = !exceeding.is_empty();
        for (sequence, error) in exceeding {
            self.give_up(sequence, error);
        }
        any
    }

    /// Stops the query that holds most of what cannot be evicted.
    fn stop_the_largest(&mut self, max: usize) -> bool {
        let largest = self
            .queries
            .values()
            .filter(|query| query.circuit.is_some())
            .map(|query| (self.size_of(query).held(), query.query.sequence))
            .max();
        let Some((bytes, sequence)) = largest.filter(|(bytes, _)| *bytes > 0) else {
            return false;
        };
        let error = StepError::StateMemory {
            bytes: bytes as u64,
            max: max as u64,
        };
        self.give_up(sequence, error);
        true
    }

    /// Stops a query and gives up the memory of what it maintains.
    fn give_up(&mut self, sequence: u64, error: StepError) {
        let sink: Option<RelationId> = self
            .queries
            .get(&sequence)
            .filter(|query| query.query.sink_kind == SinkKind::Derived)
            .map(|query| query.query.sink);
        self.fail_query(sequence, &error.into());
        if let Some(sink) = sink.and_then(|sink| self.relations.get_mut(&sink))
            && sink.table.is_some()
        {
            sink.table = Some(new_arrangement(&sink.relation));
            self.dropped.push(RelationState::owner(&sink.relation));
        }
    }
}

impl RelationState {
    fn size(&self) -> StateSize {
        match &self.table {
            None => StateSize::default(),
            Some(table) => StateSize {
                bytes: table.bytes(),
                evictable: table.evictable_bytes(),
                unsaved: table.unsaved_bytes(),
            },
        }
    }
}

impl QueryState {
    fn size(&self) -> StateSize {
        match &self.circuit {
            None => StateSize::default(),
            Some(circuit) => StateSize {
                bytes: circuit.state_bytes(),
                evictable: circuit.evictable_bytes(),
                unsaved: circuit.unsaved_bytes(),
            },
        }
    }
}
