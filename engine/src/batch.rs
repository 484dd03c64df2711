//! Batch queries: DataFusion over snapshots, on threads of their own, within a memory budget.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Result, StatementError, StatementErrorKind};

/// Rows of a batch query as they come.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Batches that may wait for a reader.
const BATCHES_AHEAD: usize = 2;

/// Bytes of a result that is held as a whole.
const COLLECTED_BYTES_MAX: usize = 512 << 20;

/// Threads and memory for batch queries.
pub struct BatchRuntime {
    /// Present until it is dropped, which must not block.
    runtime: Option<tokio::runtime::Runtime>,
    environment: Arc<RuntimeEnv>,
    partitions: usize,
    /// What the states of statements have in common, for the time zone that was wanted last.
    common: Mutex<Option<(String, Arc<SessionState>)>>,
}

impl BatchRuntime {
    pub fn new(threads: usize, memory_max: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("millpond-batch")
            // Planning recurses over the statement.
            .thread_stack_size(64 << 20)
            .enable_time()
            .build()
            .map_err(|error| Error::Internal(format!("cannot start batch threads: {error}")))?;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_max)))
            .build_arc()
            .map_err(execution)?;
        Ok(Self {
            runtime: Some(runtime),
            environment,
            partitions: threads,
            common: Mutex::default(),
        })
    }

    /// A state to plan and run one statement with.
    pub fn state(&self, time_zone: &str) -> SessionState {
        planner::session::for_statement(&self.common(time_zone))
    }

    fn common(&self, time_zone: &str) -> Arc<SessionState> {
        let mut common = self.common.lock();
        if let Some((zone, state)) = &*common
            && zone == time_zone
        {
            return state.clone();
        }
        let config =
            planner::session::session_config(time_zone).with_target_partitions(self.partitions);
        let state = planner::session::timeless_state(config, self.environment.clone());
        let state = Arc::new(state);
        *common = Some((time_zone.to_owned(), state.clone()));
        state
    }

    /// Runs something that recurses over a statement, on a thread with a large stack.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.perform(async move { work() }).await
    }

    /// Runs several stages of a statement in one task there: each change of threads takes as long as
    /// planning something small. Dropping it ends the task.
    pub async fn perform<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        AbortOnDropHandle::new(self.handle().spawn(work))
            .await
            .map_err(|error| panicked(&error))?
    }

    /// Optimises a plan.
    pub async fn physical(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        self.perform(optimise(state, plan)).await
    }

    /// Starts the plan that `prepare` gives, and gives what else that tells, all in one task. The
    /// stream ends the query when it is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        state: SessionState,
        prepare: impl Future<Output = Result<(LogicalPlan, T)>> + Send + 'static,
    ) -> Result<(T, Batches)> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (begun, beginning) = oneshot::channel();
        let task = self.handle().spawn(async move {
            let begin = async {
                let (plan, told) = prepare.await?;
                Ok((optimise(state, plan).await?, told))
            };
            let begin = AssertUnwindSafe(begin).catch_unwind().await;
            match begin.unwrap_or_else(|_| Err(gone())) {
                Ok(((physical, context), told)) => {
                    if begun.send(Ok(told)).is_ok() {
                        execute(physical, context, sender).await;
                    }
                }
                Err(error) => drop(begun.send(Err(error))),
            }
        });
        let running = Running {
            receiver,
            task: task.abort_handle(),
        };
        let told = beginning.await.unwrap_or_else(|_| Err(gone()))?;
        Ok((told, running.stream()))
    }

    /// Starts an optimised plan.
    pub fn start(&self, physical: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Batches {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let task = self.handle().spawn(execute(physical, context, sender));
        let running = Running {
            receiver,
            task: task.abort_handle(),
        };
        running.stream()
    }

    /// Runs a plan to its end, if its result is not too large to be held.
    pub async fn collect(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<Vec<RecordBatch>> {
        self.perform(collect(state, plan)).await
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime
            .as_ref()
            .expect("the runtime lives as long as this")
            .handle()
    }
}

impl Drop for BatchRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn optimise(
    state: SessionState,
    plan: LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
    let physical = state.create_physical_plan(&plan).await.map_err(execution)?;
    // A plan has its functions in it; nobody looks for others by name while it runs.
    let context = TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        state.runtime_env().clone(),
    );
    Ok((physical, Arc::new(context)))
}

/// Runs a plan to its end, if its result is not too large to be held.
pub async fn collect(state: SessionState, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
    let (physical, context) = optimise(state, plan).await?;
    let mut stream = execute_stream(physical, context).map_err(execution)?;
    let mut batches = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(execution)?;
        bytes += batch.get_array_memory_size();
        if bytes > COLLECTED_BYTES_MAX {
            return Err(StatementError::new(
                StatementErrorKind::ProgramLimit,
                format!(
                    "a statement may change at most {} MiB of rows",
                    COLLECTED_BYTES_MAX >> 20
                ),
            )
            .with_hint("Change them in several statements, or load them with COPY.")
            .into());
        }
        batches.push(batch);
    }
    Ok(batches)
}

/// Runs an optimised plan to its end, or until nobody wants its rows.
async fn execute(
    physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    let work = async {
        let mut stream = execute_stream(physical, context).map_err(execution)?;
        while let Some(batch) = stream.next().await {
            if sender.send(Ok(batch.map_err(execution)?)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let failed = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => gone(),
    };
    let _ = sender.send(Err(failed)).await;
}

/// A query in progress, which ends with it.
struct Running {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: tokio::task::AbortHandle,
}

impl Running {
    fn stream(self) -> Batches {
        futures::stream::unfold(self, |mut running| async move {
            let batch = running.receiver.recv().await?;
            Some((batch, running))
        })
        .boxed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn panicked(error: &tokio::task::JoinError) -> Error {
    tracing::error!(%error, "a batch query panicked");
    gone()
}

fn gone() -> Error {
    Error::Internal("the query panicked".into())
}

/// An error of DataFusion's while planning or running.
pub fn execution(error: datafusion::error::DataFusionError) -> Error {
    Error::from(error)
}
