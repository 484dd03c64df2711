//! Rows that could not be evaluated, kept as a stream that can be queried.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
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
        text("topic"),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("bytes", DataType::Binary, true),
    ]))
}

/// A record that does not fit the relation that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodedRecord {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    /// `key`, `value` or `timestamp`: which part of it.
    pub part: &'static str,
    pub reason: String,
    /// The bytes of that part.
    pub bytes: Vec<u8>,
    /// Event time, microseconds since the epoch UTC.
    pub rowtime: i64,
}

/// Writes to the stream.
pub struct ProcessingLog {
    log: Log,
    relation: Arc<Relation>,
    topic: Topic,
    /// Appends that may not have been acknowledged yet.
    pending: Mutex<Vec<Shared<AppendHandle>>>,
    /// By who reported them: rows and records that failed since the start, written or not.
    failures: Mutex<HashMap<String, u64>>,
}

impl ProcessingLog {
    pub fn new(log: Log, relation: Arc<Relation>, topic: Topic) -> Self {
        Self {
            log,
            relation,
            topic,
            pending: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// How many rows or records have failed since the start, as a query, or as the rounds found them for a relation
    /// ([`reporter`]).
    pub fn failures(&self, reporter: &str) -> u64 {
        let failures = self.failures.lock();
        failures.get(reporter).copied().unwrap_or_default()
    }

    /// Appends what was collected. It is not waited for: an error in a row must not hold up a step.
    pub fn write(&self, collector: Collector) -> Result<()> {
        let count = collector.count();
        if count > 0 {
            let mut failures = self.failures.lock();
            *failures.entry(collector.query.clone()).or_default() += count;
        }
        if collector.reads_errors {
            collector.trace();
            return Ok(());
        }
        let Collected {
            errors,
            records,
            dropped,
        } = collector.collected.into_inner();
        if errors.is_empty() && records.is_empty() {
            return Ok(());
        }
        if dropped > 0 {
            tracing::warn!(query = %collector.query, dropped, "more rows failed in one step than the processing log takes");
        }
        let rows = rows(&collector.query, &errors, &records)?;
        let rowtimes = errors
            .iter()
            .map(|error| error.rowtime)
            .chain(records.iter().map(|record| record.rowtime))
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

/// Rows of the stream: failed expressions, then undecoded records.
fn rows(query: &str, errors: &[RowError], records: &[UndecodedRecord]) -> Result<RecordBatch> {
    let texts = |of_error: &dyn Fn(&RowError) -> Option<String>,
                 of_record: &dyn Fn(&UndecodedRecord) -> Option<String>|
     -> ArrayRef {
        let values = errors.iter().map(of_error);
        Arc::new(
            values
                .chain(records.iter().map(of_record))
                .collect::<StringArray>(),
        )
    };
    let partitions: Int32Array = errors
        .iter()
        .map(|_| None)
        .chain(records.iter().map(|r| Some(r.partition as i32)))
        .collect();
    let offsets: Int64Array = errors
        .iter()
        .map(|_| None)
        .chain(records.iter().map(|r| Some(r.offset)))
        .collect();
    let bytes: BinaryArray = errors
        .iter()
        .map(|_| None)
        .chain(records.iter().map(|r| Some(r.bytes.as_slice())))
        .collect();
    RecordBatch::try_new(
        columns(),
        vec![
            texts(&|_| Some(query.to_owned()), &|_| Some(query.to_owned())),
            texts(&|error| Some(error.step.clone()), &|_| {
                Some("decode".into())
            }),
            texts(&|error| Some(error.expression.clone()), &|record| {
                Some(record.part.into())
            }),
            texts(&|error| Some(error.reason.clone()), &|record| {
                Some(record.reason.clone())
            }),
            texts(&|error| Some(error.row.clone()), &|_| None),
            texts(&|_| None, &|record| Some(record.topic.clone())),
            Arc::new(partitions),
            Arc::new(offsets),
            Arc::new(bytes),
        ],
    )
    .map_err(|error| Error::Internal(error.to_string()))
}

/// Who reports the records that cannot be decoded as rows of a relation, whichever query reads it.
pub fn reporter(relation: &Relation) -> String {
    format!("{} {}", relation.kind_name(), relation.name)
}

/// Collects the errors of one step.
pub struct Collector {
    query: String,
    /// Whether it reads the processing log itself: its errors would come back to it for ever.
    reads_errors: bool,
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    errors: Vec<RowError>,
    records: Vec<UndecodedRecord>,
    dropped: usize,
}

impl Collector {
    pub fn new(query: &str, reads_errors: bool) -> Self {
        Self {
            query: query.to_owned(),
            reads_errors,
            collected: Mutex::new(Collected::default()),
        }
    }

    /// For records that cannot be decoded as rows of a relation, whichever query reads it.
    pub fn of_relation(relation: &Relation) -> Self {
        Self::new(&reporter(relation), relation.topic_name == PROCESSING_LOG)
    }

    /// How many errors it has met.
    fn count(&self) -> u64 {
        let collected = self.collected.lock();
        (collected.errors.len() + collected.records.len() + collected.dropped) as u64
    }

    /// Takes records that cannot be decoded.
    pub fn report_records(&self, records: Vec<UndecodedRecord>) {
        if records.is_empty() {
            return;
        }
        let mut collected = self.collected.lock();
        for record in records {
            if collected.records.len() < ERRORS_PER_STEP_MAX {
                collected.records.push(record);
            } else {
                collected.dropped += 1;
            }
        }
    }
}

impl Collector {
    /// Says in the server's log what must not go into the stream: errors of queries that read it would
    /// come back to them for ever.
    fn trace(self) {
        let Collected {
            errors,
            records,
            dropped,
        } = self.collected.into_inner();
        let first = errors.first().map(|error| &error.reason);
        if let Some(reason) = first.or(records.first().map(|record| &record.reason)) {
            tracing::warn!(
                query = %self.query,
                errors = errors.len() + records.len() + dropped,
                %reason,
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
