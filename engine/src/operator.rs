//! What an operator is to the circuit: a step function and a state that can be saved.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::change_batch::ChangeBatch;

/// One incremental operator of a circuit.
///
/// It sees changes and its own state: no clock, no I/O, no async. The circuit wraps metrics,
/// parallelism over morsels and error capture around all operators once.
pub trait Operator: Send {
    /// Takes the changes of each input between two epochs and gives the changes of the result.
    ///
    /// `inputs` has one entry for each input of the step, in the plan's order. After an error the
    /// operator's state is undefined and the circuit must be rebuilt from a checkpoint.
    fn step(
        &mut self,
        inputs: Vec<Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError>;

    /// Writes what changed since the last checkpoint. Stateless operators write nothing.
    fn checkpoint(&mut self, _writer: &mut dyn StateWriter) -> Result<(), StepError> {
        Ok(())
    }

    /// Loads what [`Operator::checkpoint`] calls have written; called once, before any step.
    fn restore(&mut self, _reader: &dyn StateReader) -> Result<(), StepError> {
        Ok(())
    }

    /// Approximate bytes of state held in memory.
    fn state_bytes(&self) -> usize {
        0
    }
}

/// What a step may know beside its input.
pub struct StepContext<'a> {
    /// The epoch that the step advances to.
    pub epoch: u64,
    /// Wall-clock time recorded with that epoch, microseconds since the epoch UTC.
    pub epoch_time: i64,
    /// Takes rows that could not be evaluated.
    pub errors: &'a dyn ErrorSink,
    /// Threads for data-parallel work; `None` asks for everything inline.
    pub workers: Option<&'a rayon::ThreadPool>,
}

/// Where rows that could not be evaluated are reported.
pub trait ErrorSink: Sync {
    fn report(&self, error: RowError);
}

/// A row that an expression could not be evaluated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Identity of the step within its query.
    pub step: String,
    /// The expression, as SQL.
    pub expression: String,
    pub reason: String,
    /// The row as JSON.
    pub row: String,
    pub rowtime: i64,
}

/// Takes the dirty entries of one operator's state. Keys are the operator's own; the circuit puts
/// query and step before them.
pub trait StateWriter {
    fn put(&mut self, key: &[u8], value: &[u8]);
    fn delete(&mut self, key: &[u8]);
    /// Deletes all entries of the operator, before it writes everything anew.
    fn clear(&mut self);
}

/// Gives back the entries of one operator's state, ordered by key.
pub trait StateReader {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError>;
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError>;
}

/// Why a step failed. The query stops; nothing of the step becomes visible.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("a row was retracted that is not there")]
    NegativeCount,
    #[error("{0} out of range")]
    OutOfRange(String),
    #[error("state of step \"{step}\" cannot be read: {reason}")]
    DamagedState { step: String, reason: String },
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    DataFusion(#[from] DataFusionError),
    #[error("state store: {0}")]
    Store(String),
    #[error("internal error: {0}")]
    Internal(String),
}
