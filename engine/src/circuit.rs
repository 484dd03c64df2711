//! A running step plan: operators wired together, stepped from epoch to epoch.
//!
//! ```text
//!  source ─► [filter ─ project ─ unnest] ─► aggregate ─► [project] ─► changes of the result
//!             fused, morsel by morsel        keyed state
//! ```
//!
//! A step visits the operators once, in the plan's order; a result that several operators need is
//! computed once. Runs of stateless operators are fused: each morsel of rows goes through all of them
//! while it is in the cache, and morsels go in parallel when there are many. Operators that get
//! nothing are not visited.
//!
//! The circuit is the boundary at which errors stop: a panic in an operator becomes an error of the
//! step. After an error the state is in between, so the circuit refuses to step again; it has to be
//! built anew from a checkpoint.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use planner::step_plan::StepPlan;

use crate::change_batch::ChangeBatch;
use crate::operator::{ChunkSource, Operator, StateReader, StateWriter, StepContext, StepError};
use crate::operators::aggregate::Aggregate;
use crate::operators::constant::Constant;
use chain::Chain;
use source::Source;

mod build;
mod chain;
mod consolidate;
mod root;
mod source;
#[cfg(test)]
mod tests;

pub use consolidate::consolidate;

/// How a circuit is built.
#[derive(Debug, Clone)]
pub struct CircuitOptions {
    /// Into how many slices keyed state is cut; as many threads can work on it.
    pub slices: usize,
    /// Whether checkpoints are taken. If not, operators need not remember what changed.
    pub durable: bool,
    /// Whether rows keep the marks of their records, also those that stand for a null value. Only a plan
    /// without state can do that.
    pub passes_marks: bool,
}

impl CircuitOptions {
    /// A circuit that is stepped on this pool, with checkpoints.
    pub fn for_pool(pool: &rayon::ThreadPool) -> Self {
        Self {
            slices: pool.current_num_threads(),
            durable: true,
            passes_marks: false,
        }
    }

    /// Whether marks go through.
    pub fn passing_marks(self, passes_marks: bool) -> Self {
        Self {
            passes_marks,
            ..self
        }
    }

    /// A circuit that ends with its session.
    pub fn ephemeral(self) -> Self {
        Self {
            durable: false,
            ..self
        }
    }
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            slices: 1,
            durable: true,
            passes_marks: false,
        }
    }
}

/// What a step of the plan has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepStatistics {
    /// Identity of the step.
    pub step: String,
    pub rows_in: u64,
    pub rows_out: u64,
    /// Time spent, summed over threads.
    pub time: Duration,
    pub state_bytes: usize,
}

/// The operators of a plan with their state.
pub struct Circuit {
    nodes: Vec<Node>,
    statistics: Vec<StepStatistics>,
    stateless: bool,
    failed: bool,
}

/// An operator, or a run of fused ones.
struct Node {
    /// Position in the plan of the (last) step.
    step: usize,
    /// Positions of the nodes whose changes come in.
    inputs: Vec<usize>,
    /// How many nodes take this one's changes.
    consumers: usize,
    kind: Kind,
}

enum Kind {
    Source(Source),
    Constant(Constant),
    Chain(Chain),
    Union,
    Aggregate(Box<Aggregate>),
    /// Any other operator with state.
    Stateful(Box<dyn Operator>),
}

impl Kind {
    /// Whether there are rows to emit although nothing came in.
    fn has_initial_rows(&self) -> bool {
        match self {
            Kind::Aggregate(aggregate) => aggregate.has_initial_row(),
            Kind::Constant(constant) => constant.has_initial_rows(),
            Kind::Source(_) | Kind::Chain(_) | Kind::Union | Kind::Stateful(_) => false,
        }
    }

    fn as_stateful(&mut self) -> Option<&mut dyn Operator> {
        match self {
            Kind::Aggregate(aggregate) => Some(aggregate.as_mut()),
            Kind::Constant(constant) => Some(constant),
            Kind::Stateful(operator) => Some(operator.as_mut()),
            Kind::Source(_) | Kind::Chain(_) | Kind::Union => None,
        }
    }
}

/// Saves an operator's state with the writer it is given.
pub type Save<'a> = dyn FnMut(&mut dyn StateWriter) -> Result<(), StepError> + 'a;
/// Loads an operator's state from the reader it is given.
pub type Load<'a> = dyn FnMut(&dyn StateReader) -> Result<(), StepError> + 'a;

impl Circuit {
    /// See [`StepPlan::is_stateless`].
    pub fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// Builds the operators of a plan, without state.
    pub fn build(plan: &StepPlan, options: &CircuitOptions) -> Result<Self, StepError> {
        build::circuit(plan, options)
    }

    /// Takes the changes of the sources between two epochs and gives those of the result.
    ///
    /// `inputs` is keyed by position of the source in the plan. A source's batches have its columns,
    /// or all but the rowtime columns, which are then made from the batches' rowtimes. Sources that
    /// are absent have not changed.
    pub fn step(
        &mut self,
        inputs: HashMap<usize, Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        if self.failed {
            return Err(StepError::Internal(
                "the circuit has failed before and must be rebuilt".into(),
            ));
        }
        self.failed = true;
        let output = catch_unwind(AssertUnwindSafe(|| self.run(inputs, context)))
            .unwrap_or_else(|panic| Err(StepError::Internal(panic_message(&*panic))))?;
        self.failed = false;
        Ok(output)
    }

    fn run(
        &mut self,
        mut inputs: HashMap<usize, Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let mut results: Vec<Vec<ChangeBatch>> = Vec::with_capacity(self.nodes.len());
        let mut takers: Vec<usize> = self.nodes.iter().map(|node| node.consumers).collect();
        for node in &mut self.nodes {
            let taken: Vec<Vec<ChangeBatch>> = node
                .inputs
                .iter()
                .map(|input| {
                    takers[*input] -= 1;
                    match takers[*input] {
                        0 => std::mem::take(&mut results[*input]),
                        _ => results[*input].clone(),
                    }
                })
                .collect();
            let incoming = match node.kind {
                Kind::Source(_) => vec![inputs.remove(&node.step).unwrap_or_default()],
                _ => taken,
            };
            let mut changes = node.run(incoming, context, &mut self.statistics)?;
            changes.retain(|batch| batch.num_rows() > 0);
            results.push(changes);
        }
        Ok(results.pop().expect("a plan has at least one step"))
    }

    /// Whether some row is to be emitted although no input changed, as at the first step of an
    /// aggregate over everything.
    pub fn has_initial_rows(&self) -> bool {
        self.nodes.iter().any(|node| node.kind.has_initial_rows())
    }

    /// Saves what changed since the last checkpoint. `store` is called for each step with state, and
    /// calls what it is given with a writer for that step.
    pub fn checkpoint(
        &mut self,
        store: &mut dyn FnMut(&str, &mut Save<'_>) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        for node in &mut self.nodes {
            if let Some(operator) = node.kind.as_stateful() {
                let step = &self.statistics[node.step].step;
                store(step, &mut |writer| operator.checkpoint(writer))?;
            }
        }
        Ok(())
    }

    /// Loads what [`Circuit::checkpoint`] has saved; called once, before any step.
    pub fn restore(
        &mut self,
        store: &mut dyn FnMut(&str, &mut Load<'_>) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        for node in &mut self.nodes {
            if let Some(operator) = node.kind.as_stateful() {
                let step = &self.statistics[node.step].step;
                store(step, &mut |reader| operator.restore(reader))?;
            }
        }
        Ok(())
    }

    /// Approximate bytes of state held in memory.
    pub fn state_bytes(&self) -> usize {
        self.nodes.iter().map(Node::state_bytes).sum()
    }

    /// What was given to the last checkpoint is on disk now.
    pub fn saved(&mut self) {
        for node in &mut self.nodes {
            if let Some(operator) = node.kind.as_stateful() {
                operator.saved();
            }
        }
    }

    /// Bytes of state that memory could do without.
    pub fn evictable_bytes(&self) -> usize {
        self.stateful().map(Operator::evictable_bytes).sum()
    }

    /// Bytes of state that memory could do without after the next checkpoint.
    pub fn unsaved_bytes(&self) -> usize {
        self.stateful().map(Operator::unsaved_bytes).sum()
    }

    fn stateful(&self) -> impl Iterator<Item = &dyn Operator> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Stateful(operator) => Some(operator.as_ref()),
            _ => None,
        })
    }

    /// Gives up about so many bytes of state that is on disk; `source_of` says where, for each step.
    /// Gives what it gave up.
    pub fn evict(
        &mut self,
        bytes: usize,
        source_of: &dyn Fn(&str) -> Arc<dyn ChunkSource>,
    ) -> usize {
        let mut given = 0;
        for node in &mut self.nodes {
            if given < bytes
                && let Kind::Stateful(operator) = &mut node.kind
            {
                let source = source_of(&self.statistics[node.step].step);
                given += operator.evict(bytes - given, &source);
            }
        }
        given
    }

    /// What each step of the plan has done since the circuit was built.
    pub fn statistics(&self) -> Vec<StepStatistics> {
        let mut statistics = self.statistics.clone();
        for node in &self.nodes {
            statistics[node.step].state_bytes = node.state_bytes();
        }
        statistics
    }

    /// Whether what a step gives is consolidated already: at most one retraction and one insertion
    /// of a key, and no change that does nothing.
    pub fn is_consolidated(&self) -> bool {
        matches!(self.root().kind, Kind::Aggregate(_))
    }

    /// The current result, if the circuit holds it: its root is an aggregate, perhaps with its
    /// columns rearranged. Nothing else needs to keep such a result.
    pub fn root_snapshot(&self) -> Option<Result<Vec<ChangeBatch>, StepError>> {
        let (aggregate, columns) = self.root_aggregate()?;
        Some(root::snapshot(aggregate, columns))
    }

    /// Positions of the result's columns that hold the group's key, in the order in which
    /// [`Circuit::root_lookup`] wants them, if the circuit holds its result.
    pub fn root_key(&self) -> Option<Vec<usize>> {
        let (aggregate, columns) = self.root_aggregate()?;
        root::key(aggregate, columns)
    }

    /// The rows of the current result with these keys, given as one column for each of
    /// [`Circuit::root_key`]; `None` if the circuit does not hold its result.
    pub fn root_lookup(&self, keys: &[ArrayRef]) -> Option<Result<Vec<ChangeBatch>, StepError>> {
        let (aggregate, columns) = self.root_aggregate()?;
        Some(root::lookup(aggregate, columns, keys))
    }

    fn root(&self) -> &Node {
        self.nodes.last().expect("a plan has at least one step")
    }

    fn root_aggregate(&self) -> Option<(&Aggregate, Option<root::Columns<'_>>)> {
        match &self.root().kind {
            Kind::Aggregate(aggregate) => Some((aggregate, None)),
            Kind::Chain(chain) => {
                let columns = chain.as_rearrangement()?;
                match &self.nodes[self.root().inputs[0]].kind {
                    Kind::Aggregate(aggregate) => Some((aggregate, Some(columns))),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Node {
    fn run(
        &mut self,
        inputs: Vec<Vec<ChangeBatch>>,
        context: &StepContext<'_>,
        statistics: &mut [StepStatistics],
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let is_idle = inputs.iter().all(Vec::is_empty);
        if is_idle && !self.kind.has_initial_rows() {
            return Ok(Vec::new());
        }
        if let Kind::Chain(chain) = &self.kind {
            return chain.run(inputs.into_iter().flatten().collect(), context, statistics);
        }
        let rows = |batches: &[ChangeBatch]| -> u64 {
            batches.iter().map(|batch| batch.num_rows() as u64).sum()
        };
        let rows_in: u64 = inputs.iter().map(|batches| rows(batches)).sum();
        let start = Instant::now();
        let output = match &mut self.kind {
            Kind::Source(source) => inputs
                .into_iter()
                .flatten()
                .map(|batch| source.complete(batch))
                .collect::<Result<_, _>>()?,
            Kind::Union => inputs.into_iter().flatten().collect(),
            Kind::Constant(constant) => constant.step(inputs, context)?,
            Kind::Aggregate(aggregate) => aggregate.step(inputs, context)?,
            Kind::Stateful(operator) => operator.step(inputs, context)?,
            Kind::Chain(_) => unreachable!("chains have run above"),
        };
        let statistics = &mut statistics[self.step];
        statistics.rows_in += rows_in;
        statistics.rows_out += rows(&output);
        statistics.time += start.elapsed();
        Ok(output)
    }

    fn state_bytes(&self) -> usize {
        match &self.kind {
            Kind::Aggregate(aggregate) => aggregate.state_bytes(),
            Kind::Stateful(operator) => operator.state_bytes(),
            Kind::Source(_) | Kind::Constant(_) | Kind::Chain(_) | Kind::Union => 0,
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("an operator panicked: {}", message.unwrap_or("no message"))
}
