//! Batch queries: DataFusion over snapshots, on threads of their own, within a memory budget.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

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
        })
    }

    /// A state to plan and run one statement with.
    pub fn state(&self, time_zone: &str) -> SessionState {
        let config =
            planner::session::session_config(time_zone).with_target_partitions(self.partitions);
        planner::session::session_state(config, self.environment.clone())
    }

    /// Runs something that recurses over a statement, on a thread with a large stack.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.handle()
            .spawn(async move { work() })
            .await
            .map_err(|error| panicked(&error))?
    }

    /// Optimises a plan.
    pub async fn physical(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        let context = state.task_ctx();
        let physical = self
            .handle()
            .spawn(async move { state.create_physical_plan(&plan).await.map_err(execution) })
            .await
            .map_err(|error| panicked(&error))??;
        Ok((physical, context))
    }

    /// Optimises and starts a plan. The stream ends the query when it is dropped.
    pub async fn run(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<(SchemaRef, Batches)> {
        let (physical, context) = self.physical(state, plan).await?;
        Ok((physical.schema(), self.start(physical, context)))
    }

    /// Starts an optimised plan.
    pub fn start(&self, physical: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Batches {
        let (sender, receiver) = mpsc::channel::<Result<RecordBatch>>(BATCHES_AHEAD);
        let task = self.handle().spawn(async move {
            let work = async {
                let mut stream = execute_stream(physical, context).map_err(execution)?;
                while let Some(batch) = stream.next().await {
                    if sender.send(Ok(batch.map_err(execution)?)).await.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            let failed = match std::panic::AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => Error::Internal("the query panicked".into()),
            };
            let _ = sender.send(Err(failed)).await;
        });
        let running = Running {
            receiver,
            task: task.abort_handle(),
        };
        futures::stream::unfold(running, |mut running| async move {
            let batch = running.receiver.recv().await?;
            Some((batch, running))
        })
        .boxed()
    }

    /// Runs a plan to its end, if its result is not too large to be held.
    pub async fn collect(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let (schema, mut stream) = self.run(state, plan).await?;
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
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
        Ok((schema, batches))
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

/// A query in progress, which ends with it.
struct Running {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn panicked(error: &tokio::task::JoinError) -> Error {
    tracing::error!(%error, "a batch query panicked");
    Error::Internal("the query panicked".into())
}

/// An error of DataFusion's while planning or running.
pub fn execution(error: datafusion::error::DataFusionError) -> Error {
    Error::from(error)
}
