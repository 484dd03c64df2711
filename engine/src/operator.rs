//! What an operator is to the circuit: a step function and a state that can be saved.

use std::sync::Arc;

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

    /// What was given to the last checkpoint is durable now.
    fn saved(&mut self) {}

    /// Bytes of state that [`Operator::evict`] could give up.
    fn evictable_bytes(&self) -> usize {
        0
    }

    /// Bytes of state that it could give up after the next checkpoint.
    fn unsaved_bytes(&self) -> usize {
        0
    }

    /// Gives up about so many bytes of memory, of rows that `source` has and that were not looked
    /// at lately; they are read again when they are needed. Gives what it gave up.
    fn evict(&mut self, _bytes: usize, _source: &Arc<dyn ChunkSource>) -> usize {
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

    /// Where the entries can be read later, too; without it all are read at once.
    fn source(&self) -> Option<Arc<dyn ChunkSource>> {
        None
    }
}

/// Where rows are read that are not in memory.
pub trait ChunkSource: Send + Sync + std::fmt::Debug {
    /// The values of some keys of an operator, or of a table.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StepError>;

    /// What is stored now, whatever is stored later.
    fn freeze(&self) -> Result<Arc<dyn ChunkSource>, StepError>;
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
    /// A query's state is larger than it may be.
    #[error("out of memory: the state of the query takes {bytes} bytes, its limit is {limit}")]
    StateLimit { bytes: u64, limit: u64 },
    /// All state together is larger than memory, and this query has most of it.
    #[error(
        "out of memory: state takes more than the {max} bytes that there are for it, and the query \
         has {bytes} of them that cannot be evicted"
    )]
    StateMemory { bytes: u64, max: u64 },
    #[error("internal error: {0}")]
    Internal(String),
}
