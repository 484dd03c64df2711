//! What rounds work on, as the last checkpoint has it.
//!
//! State that cannot be read does not keep the server from starting, since the log has what it was
//! computed from. A store of moderate size is read through first, because rows are otherwise read
//! when they are needed. What is damaged:
//!
//! - a base table is read from its log again, up to the checkpoint's frontier;
//! - a query begins anew, as does one that reads a view whose rows are lost, because nobody can tell
//!   it how the view has changed;
//! - a query whose inputs no longer have their beginning is stopped instead: `RESUME` lets it begin
//!   with what is left.
//!
//! Rounds then stop exactly at the epochs that derived streams have recorded, and what those hold is
//! not appended again.

use std::collections::BTreeSet;
use std::sync::Arc;

use log_store::{Log, Topic};

use crate::catalog::{Catalog, Query, QueryStatus, RelationId, RelationKind, SinkKind};
use crate::circuit::{Circuit, CircuitOptions};
use crate::error::{Error, Result};
use crate::mill::checkpoint::{read_inbox, recorded_epochs};
use crate::mill::query::{Binding, QueryState, Standing, bind};
use crate::mill::relation::{RelationState, begins_at_the_beginning};
use crate::mill::{Turning, progress};
use crate::operator::StepError;
use crate::processing_log::Collector;
use crate::state_store::{CheckpointMeta, FORMAT, StateStore};

/// See the [module](self).
pub(super) fn restore(
    log: &Log,
    store: &Arc<StateStore>,
    catalog: &Catalog,
    progress: &Topic,
    workers: &rayon::ThreadPool,
) -> Result<Turning> {
    let mut restoring = Restoring {
        log,
        store,
        catalog,
        workers,
        meta: meta(log, store)?,
        lost: BTreeSet::new(),
        is_damaged: false,
        lost_tables: BTreeSet::new(),
        failed: Vec::new(),
    };
    if !store.verify()? {
        restoring.lost.extend(store.salvage(&owners(catalog))?);
    }
    let mut turning = restoring.run(progress)?;
    if restoring.is_damaged {
        // A database with a damaged block takes no writes once it has come across it.
        let owners: Vec<String> = owners(catalog)
            .into_iter()
            .filter(|owner| !restoring.lost.contains(owner))
            .collect();
        restoring.lost.extend(store.salvage(&owners)?);
        restoring.is_damaged = false;
        restoring.lost_tables.clear();
        restoring.failed.clear();
        drop(turning);
        turning = restoring.run(progress)?;
    }
    for (sequence, reason) in restoring.failed {
        turning.fail_query(sequence, &Error::Corruption(reason));
    }
    Ok(turning)
}

/// What the last checkpoint says of itself, if it is of use.
fn meta(log: &Log, store: &StateStore) -> Result<CheckpointMeta> {
    let meta = match store.meta() {
        Ok(None) => return Ok(CheckpointMeta::default()),
        Ok(Some(meta)) => meta,
        Err(error) => {
            tracing::error!(%error, "computing all state anew");
            store.start_over()?;
            return Ok(CheckpointMeta::default());
        }
    };
    // The log can end before the checkpoint only when it was not synced and the machine lost power:
    // what is in the log is the truth.
    if meta.frontier > log.sealed().0 || meta.format != FORMAT {
        tracing::warn!(
            checkpoint = meta.frontier,
            sealed = log.sealed().0,
            format = meta.format,
            "the last checkpoint does not fit; computing all state anew"
        );
        store.wipe()?;
        return Ok(CheckpointMeta::default());
    }
    Ok(meta)
}

/// Everybody who may have entries in the store.
fn owners(catalog: &Catalog) -> Vec<String> {
    let relations = catalog
        .relations()
        .map(|relation| RelationState::owner(relation));
    let queries = catalog.queries().into_iter().flat_map(|query| {
        let steps = query.plan.steps.iter();
        let steps = steps.map(|step| QueryState::owner(&query.id, &step.id));
        steps.chain([QueryState::inbox_owner(&query.id)])
    });
    relations.chain(queries).collect()
}

struct Restoring<'a> {
    log: &'a Log,
    store: &'a Arc<StateStore>,
    catalog: &'a Catalog,
    workers: &'a rayon::ThreadPool,
    meta: CheckpointMeta,
    /// Owners whose entries cannot be read.
    lost: BTreeSet<String>,
    /// Whether the store itself, not only what is in it, gave an error.
    is_damaged: bool,
    /// Views whose rows are lost.
    lost_tables: BTreeSet<RelationId>,
    /// Queries that cannot begin anew by themselves, and why.
    failed: Vec<(u64, String)>,
}

impl Restoring<'_> {
    fn run(&mut self, progress: &Topic) -> Result<Turning> {
        let mut turning = Turning::new(self.meta.frontier);
        for relation in self.catalog.relations() {
            let state = self.relation(&mut turning, relation)?;
            turning.relations.insert(relation.id, state);
        }
        *turning.inserted.lock() = progress::reached(progress)?;
        for query in self.catalog.queries() {
            let state = self.query(&mut turning, query)?;
            let turns = state.standing == Standing::Turning;
            turning.queries.insert(query.sequence, state);
            if turns {
                turning.open_cursors(query.sequence);
            }
        }
        Ok(turning)
    }

    /// Whether an owner's entries could be read.
    fn is_read(&mut self, owner: &str, outcome: Result<(), StepError>) -> bool {
        let Err(error) = outcome else { return true };
        tracing::error!(%owner, %error, "state cannot be read; computing it anew");
        self.is_damaged |= matches!(error, StepError::Store(_));
        self.lost.insert(owner.to_owned());
        false
    }

    fn relation(
        &mut self,
        turning: &mut Turning,
        relation: &Arc<crate::catalog::Relation>,
    ) -> Result<RelationState> {
        let frontier = self.meta.frontier;
        let mut state = RelationState::new(relation.clone(), self.log, frontier)?;
        let filled = relation.terminated
            || relation
                .written_by
                .as_ref()
                .is_none_or(|writer| self.meta.queries.iter().any(|query| query.id == *writer));
        if !filled {
            return Ok(state);
        }
        let is_saved = self.meta.tables_over_records.contains(&relation.id);
        if relation.over_records && state.table.is_some() && !is_saved {
            // Made after the checkpoint, over records that may be older.
            state.begin_again()?;
            state.fill(frontier, &Collector::of_relation(relation))?;
            return Ok(state);
        }
        let owner = RelationState::owner(relation);
        let is_known = !self.lost.contains(&owner) && !self.meta.unreadable.contains(&relation.id);
        if is_known {
            let restored = state.restore(self.store);
            if self.is_read(&owner, restored) {
                return Ok(state);
            }
        }
        state = RelationState::new(relation.clone(), self.log, frontier)?;
        turning.dropped.push(owner);
        if relation.is_base_table() {
            if let Err(error) = state.rebuild(frontier) {
                state.condemn(&error);
            }
        } else if relation.terminated {
            let reason = "its rows cannot be read, and the query that made them was terminated";
            state.condemn(&Error::Corruption(reason.into()));
        } else {
            self.lost_tables.insert(relation.id);
        }
        Ok(state)
    }

    fn query(&mut self, turning: &mut Turning, query: &Arc<Query>) -> Result<QueryState> {
        let bindings = bind(&query.plan, self.catalog)?;
        let saved = self.meta.queries.iter().find(|saved| saved.id == query.id);
        let saved = saved.cloned();
        let paused = query.status == QueryStatus::Paused;
        let mut state = QueryState::new(query.clone(), bindings, None, Standing::CatchingUp);
        if paused {
            state.standing = Standing::Paused;
        }
        let Some(saved) = saved else {
            return Ok(state);
        };
        let lacks_rows = self.lost_tables.contains(&query.sink)
            || (state.bindings.iter()).any(|b| self.lost_tables.contains(&b.relation));
        let is_apart = paused || saved.frontier != self.meta.frontier;
        let circuit = match lacks_rows {
            true => None,
            false => self.circuit(query)?,
        };
        let inbox = match is_apart && circuit.is_some() {
            true => self.inbox(query),
            false => Some(Default::default()),
        };
        let (Some(circuit), Some(inbox)) = (circuit, inbox) else {
            self.begin_anew(turning, query, &state.bindings, paused);
            return Ok(state);
        };
        state.circuit = Some(circuit);
        state.frontier = saved.frontier;
        state.inbox = inbox;
        state.seen = saved.seen;
        if paused {
            return Ok(state);
        }
        if saved.frontier != self.meta.frontier {
            // Resumed after the checkpoint: it has to catch up again.
            state.resuming = true;
            return Ok(state);
        }
        state.standing = Standing::Turning;
        let frontier = self.meta.frontier;
        if query.sink_kind == SinkKind::Insert {
            let reached = turning.inserted.lock().get(&progress::name(query)).copied();
            turning
                .boundaries
                .extend(reached.filter(|reached| *reached > frontier));
        } else {
            let sink = turning.relations.get(&query.sink);
            if let Some(topic) = sink.and_then(|sink| sink.topic.as_ref()) {
                turning.boundaries.extend(recorded_epochs(topic, frontier)?);
            }
        }
        Ok(state)
    }

    /// A query's operators with their state; `None` if it cannot be read.
    fn circuit(&mut self, query: &Query) -> Result<Option<Circuit>> {
        let options = CircuitOptions::for_pool(self.workers).passing_marks(query.passes_marks);
        let mut circuit = Circuit::build(&query.plan, &options)?;
        let mut outcomes = Vec::new();
        let store = self.store;
        let lost = &self.lost;
        circuit.restore(&mut |step, load| {
            let owner = QueryState::owner(&query.id, step);
            let outcome = match lost.contains(&owner) {
                true => Err(StepError::DamagedState {
                    step: step.to_owned(),
                    reason: "it was lost".into(),
                }),
                false => load(&store.reader(&owner)),
            };
            outcomes.push((owner, outcome));
            Ok(())
        })?;
        let mut all = true;
        for (owner, outcome) in outcomes {
            all &= self.is_read(&owner, outcome);
        }
        Ok(all.then_some(circuit))
    }

    fn inbox(&mut self, query: &Query) -> Option<crate::mill::query::Inbox> {
        let owner = QueryState::inbox_owner(&query.id);
        if self.lost.contains(&owner) {
            return None;
        }
        match read_inbox(self.store, &query.id) {
            Ok(inbox) => Some(inbox),
            Err(Error::Step(error)) => {
                self.is_read(&owner, Err(error));
                None
            }
            Err(error) => {
                let error = StepError::Internal(error.to_string());
                self.is_read(&owner, Err(error));
                None
            }
        }
    }

    /// Notes what keeps a query without state from beginning anew by itself.
    fn begin_anew(&mut self, turning: &Turning, query: &Query, bindings: &[Binding], paused: bool) {
        let cut = bindings.iter().find_map(|binding| {
            let state = turning.relations.get(&binding.relation)?;
            let topic = state.topic.as_ref()?;
            let is_cut = binding.kind == RelationKind::Stream && !begins_at_the_beginning(topic);
            is_cut.then(|| state.relation.name.clone())
        });
        let reason = if let Some(stream) = cut {
            format!(
                "its state cannot be read, and the log of \"{stream}\" no longer has its \
                 beginning; RESUME computes it from what is left"
            )
        } else if paused && self.lost_tables.contains(&query.sink) {
            "its state cannot be read; RESUME computes it anew".to_owned()
        } else {
            return;
        };
        self.failed.push((query.sequence, reason));
    }
}
