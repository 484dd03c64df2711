//! What a session answers, independent of any wire protocol.

use arrow::array::RecordBatch;
use arrow_schema::{FieldRef, SchemaRef};
use futures::stream::BoxStream;

use crate::error::Result;

/// The answer to one statement.
pub enum Response {
    /// Rows, as they come.
    Rows(Rows),
    /// Nothing but a command tag such as `INSERT 0 5` or `CREATE STREAM`.
    Done { tag: String },
    /// The client is to send data.
    CopyIn(Box<dyn CopyIn>),
    /// The client is to be sent data; [`Rows::columns`] say how many columns there are.
    CopyOut(CopyOut),
}

/// A result set.
pub struct Rows {
    pub columns: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// Whether rows may come for ever, so that each must reach the client at once.
    pub endless: bool,
    /// Word of the command tag: `SELECT`, `FETCH`, `SHOW`, `EXPLAIN`. The server appends the
    /// number of rows where Postgres does.
    pub tag: &'static str,
}

/// Bytes for `COPY … TO STDOUT`, each item whole lines.
pub struct CopyOut {
    pub columns: SchemaRef,
    pub data: BoxStream<'static, Result<CopyData>>,
    pub endless: bool,
}

/// A piece of `COPY … TO STDOUT`.
#[derive(Debug)]
pub struct CopyData {
    pub bytes: bytes::Bytes,
    /// Where each message ends: clients rely on a row a message. A header line has one of its own.
    pub ends: Vec<u32>,
    /// How many rows there are, the header not counted.
    pub rows: u64,
}

/// Takes the data of `COPY … FROM STDIN`. Dropped without [`CopyIn::finish`] it adds nothing that
/// was not already acknowledged.
#[async_trait::async_trait]
pub trait CopyIn: Send {
    /// Columns expected, in order.
    fn columns(&self) -> SchemaRef;
    /// Takes bytes, cut anywhere.
    async fn write(&mut self, bytes: bytes::Bytes) -> Result<()>;
    /// Commits; gives the number of rows copied.
    async fn finish(self: Box<Self>) -> Result<u64>;
}

/// What a prepared statement needs and gives.
#[derive(Debug, Clone)]
pub struct Description {
    /// Type of each parameter `$1`, `$2`, …
    pub parameters: Vec<FieldRef>,
    /// Columns of the result; `None` when there are no rows.
    pub columns: Option<SchemaRef>,
}

/// A message beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
}

/// Where a session stands in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}
