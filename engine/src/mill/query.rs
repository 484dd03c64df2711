//! A persistent query while the mill turns.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use planner::step_plan::{Operator, SourceColumn, StepPlan};

use crate::catalog::{Catalog, Query, RelationId, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::circuit::Circuit;
use crate::error::{Error, Result};
use crate::mill::relation::rowtime_column;
use crate::processing_log::PROCESSING_LOG;

/// Changes of relations between two epochs.
pub type Deltas = HashMap<RelationId, Arc<Vec<ChangeBatch>>>;

/// Which columns of which relation a source step of a circuit takes.
#[derive(Debug, Clone)]
pub struct Binding {
    pub step: usize,
    pub relation: RelationId,
    pub kind: RelationKind,
    /// Whether it is the processing log, or derived from it.
    pub reads_errors: bool,
    columns: Vec<SourceColumn>,
    schema: SchemaRef,
    /// How many columns of its own the relation has.
    width: usize,
}

/// Binds the sources of a plan.
pub fn bind(plan: &StepPlan, catalog: &Catalog) -> Result<Vec<Binding>> {
    let mut bindings = Vec::new();
    for (step, node) in plan.steps.iter().enumerate() {
        let Operator::Source(source) = &node.operator else {
            continue;
        };
        let relation = catalog.relation(source.relation).ok_or_else(|| {
            Error::Corruption(format!("a plan reads \"{}\", which is gone", source.name))
        })?;
        bindings.push(Binding {
            step,
            relation: relation.id,
            kind: relation.kind,
            reads_errors: catalog
                .relation_by_name(PROCESSING_LOG)
                .is_some_and(|log| catalog.flows_into(log.id, relation.id)),
            columns: source.columns.clone(),
            schema: node.schema.clone(),
            width: relation.columns.fields().len(),
        });
    }
    Ok(bindings)
}

impl Binding {
    /// Cuts a relation's changes down to the columns that the step takes.
    fn project(&self, delta: &ChangeBatch) -> Result<ChangeBatch> {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|column| match column {
                SourceColumn::Value(position) => delta.rows.column(*position).clone(),
                SourceColumn::Rowtime => rowtime_column(&delta.rowtimes),
                SourceColumn::Partition => delta.rows.column(self.width).clone(),
                SourceColumn::Offset => delta.rows.column(self.width + 1).clone(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(delta.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map(|rows| delta.with_rows(rows))
            .map_err(|error| Error::Internal(format!("a source does not fit its plan: {error}")))
    }
}

/// The input of a circuit's step.
pub fn inputs(bindings: &[Binding], deltas: &Deltas) -> Result<HashMap<usize, Vec<ChangeBatch>>> {
    let mut inputs = HashMap::with_capacity(bindings.len());
    for binding in bindings {
        let changes = match deltas.get(&binding.relation) {
            None => Vec::new(),
            Some(changes) => changes
                .iter()
                .map(|delta| binding.project(delta))
                .collect::<Result<_>>()?,
        };
        inputs.insert(binding.step, changes);
    }
    Ok(inputs)
}

/// Whether any of a circuit's inputs changed.
pub fn concerns(bindings: &[Binding], deltas: &Deltas) -> bool {
    bindings
        .iter()
        .any(|binding| deltas.contains_key(&binding.relation))
}

/// Changes of tables that a query apart from the rounds has yet to take, by epoch.
pub type Inbox = BTreeMap<u64, Deltas>;

/// Where a query stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It takes part in the rounds.
    Turning,
    /// A thread of its own brings it up to the present.
    CatchingUp,
    Paused,
    Failed(String),
}

/// A query and what it has to work with.
pub struct QueryState {
    pub query: Arc<Query>,
    pub bindings: Vec<Binding>,
    /// Absent while a catch-up thread has it.
    pub circuit: Option<Circuit>,
    pub standing: Standing,
    /// Complete through this epoch; while turning it is the mill's.
    pub frontier: u64,
    /// What it has missed of tables since `frontier`, while apart from the rounds.
    pub inbox: Inbox,
    /// Through which epoch it has seen the rows of streams of which it has not seen all up to
    /// `frontier`, because the query that writes them stood apart when it was paused.
    pub seen: BTreeMap<RelationId, u64>,
    /// Counts the times it has begun to catch up; a thread that comes back from an earlier one is too
    /// late.
    pub attempt: u64,
    /// Whether its thread has taken its inputs and not joined the rounds yet.
    pub apart: bool,
    /// Whether it catches up with the state it had, so that a checkpoint without it would be a state
    /// that never was.
    pub resuming: bool,
}

impl QueryState {
    pub fn new(
        query: Arc<Query>,
        bindings: Vec<Binding>,
        circuit: Option<Circuit>,
        standing: Standing,
    ) -> Self {
        Self {
            query,
            bindings,
            circuit,
            standing,
            frontier: 0,
            inbox: Inbox::new(),
            seen: BTreeMap::new(),
            attempt: 0,
            apart: false,
            resuming: false,
        }
    }

    /// Name of a step's entries in the state store.
    pub fn owner(query: &str, step: &str) -> String {
        format!("query/{query}/{step}")
    }

    /// Name of the entries of its inbox.
    pub fn inbox_owner(query: &str) -> String {
        format!("inbox/{query}")
    }

    /// Keeps what changed in the tables it reads, for later.
    pub fn put_aside(&mut self, epoch: u64, deltas: &Deltas) {
        let kept: Deltas = self
            .bindings
            .iter()
            .filter(|binding| binding.kind == RelationKind::Table)
            .filter_map(|binding| Some((binding.relation, deltas.get(&binding.relation)?.clone())))
            .collect();
        if !kept.is_empty() {
            self.inbox.insert(epoch, kept);
        }
    }
}
