//! Rows that could not be evaluated, kept as a stream that can be queried.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::FutureExt as _;
use futures::future::Shared;
use log_store::{AppendHandle, Log, Topic};
use parking_lot::Mutex;

use crate::catalog::Relation;
use crate::error::{Error, Result};
use crate::ingest;
use crate::operator::{ErrorSink, RowError};

/// Name of the stream.
pub const PROCESSING_LOG: &str = "processing_log";

/// Errors of one step that are kept; the rest are counted.
const ERRORS_PER_STEP_MAX: usize = 1_000;

/// Its columns.
pub fn columns() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("query"),
        text("step"),
        text("expression"),
        text("reason"),
        text("row"),
    ]))
}

/// Writes to the stream.
pub struct ProcessingLog {
    log: Log,
    relation: Arc<Relation>,
    topic: Topic,
    /// Appends that may not have been acknowledged yet.
    pending: Mutex<Vec<Shared<AppendHandle>>>,
}

impl ProcessingLog {
    pub fn new(log: Log, relation: Arc<Relation>, topic: Topic) -> Self {
        Self {
            log,
            relation,
            topic,
            pending: Mutex::default(),
        }
    }

    /// Appends what was collected. It is not waited for: an error in a row must not hold up a step.
    pub fn write(&self, collector: Collector) -> Result<()> {
        let Collected { errors, dropped } = collector.collected.into_inner();
        if errors.is_empty() {
            return Ok(());
        }
        if dropped > 0 {
            tracing::warn!(query = %collector.query, dropped, "more rows failed in one step than the processing log takes");
        }
        let column = |get: &dyn Fn(&RowError) -> &str| -> Arc<StringArray> {
            Arc::new(errors.iter().map(|error| Some(get(error))).collect())
        };
        let query: StringArray = errors
            .iter()
            .map(|_| Some(collector.query.as_str()))
            .collect();
        let rows = RecordBatch::try_new(
            columns(),
            vec![
                Arc::new(query),
                column(&|error| &error.step),
                column(&|error| &error.expression),
                column(&|error| &error.reason),
                column(&|error| &error.row),
            ],
        )
        .map_err(|error| Error::Internal(error.to_string()))?;
        let rowtimes = errors
            .iter()
            .map(|error| error.rowtime)
            .collect::<Vec<_>>()
            .into();
        let batches = ingest::encode_rows(&self.relation, &self.topic, &rows, &rowtimes)?;
        let mut pending = self.pending.lock();
        pending.retain(|append| append.peek().is_none());
        pending.push(self.log.append(batches).shared());
        Ok(())
    }

    /// Waits until everything written so far is in the stream. A failure of the log shows itself to
    /// those who write their own rows.
    pub async fn flush(&self) {
        let pending = self.pending.lock().clone();
        for append in pending {
            let _ = append.await;
        }
    }
}

/// Collects the errors of one step.
pub struct Collector {
    query: String,
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    errors: Vec<RowError>,
    dropped: usize,
}

impl Collector {
    pub fn new(query: &str) -> Self {
        Self {
            query: query.to_owned(),
            collected: Mutex::new(Collected::default()),
        }
    }
}

impl Collector {
    /// Says in the server's log what must not go into the stream: errors of queries that read it would
    /// come back to them for ever.
    pub fn trace(self) {
        let Collected { errors, dropped } = self.collected.into_inner();
        if let Some(first) = errors.first() {
            tracing::warn!(
                query = %self.query,
                errors = errors.len() + dropped,
                reason = %first.reason,
                "rows of a query over the processing log failed"
            );
        }
    }
}

impl ErrorSink for Collector {
    fn report(&self, error: RowError) {
        let mut collected = self.collected.lock();
        if collected.errors.len() < ERRORS_PER_STEP_MAX {
            collected.errors.push(error);
        } else {
            collected.dropped += 1;
        }
    }
}
