//! `DECLARE`, `FETCH`, `CLOSE`: a result set read in pieces.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::stream::BoxStream;
use sql::ast::{CloseTarget, DeclareCursor, Fetch, FetchCount, Ident};
use tokio::sync::Mutex;

use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::{Response, Rows};
use crate::session::{Session, done};

/// Cursors that a session may have open.
const CURSORS_MAX: usize = 1_000;

/// An open cursor.
pub struct Cursor {
    columns: SchemaRef,
    endless: bool,
    /// Whether it outlives its transaction.
    pub hold: bool,
    source: Arc<Mutex<Source>>,
}

/// The rows still to come.
struct Source {
    batches: BoxStream<'static, Result<RecordBatch>>,
    /// What is left of the last batch.
    rest: Option<RecordBatch>,
    /// Whether the last batch has come; a stream must not be asked again then.
    ended: bool,
}

impl Cursor {
    pub fn columns(&self) -> SchemaRef {
        self.columns.clone()
    }
}

impl Session {
    pub(super) async fn declare(
        &mut self,
        declare: &DeclareCursor,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        if self.transaction.is_none() && !declare.hold {
            return Err(StatementError::new(
                StatementErrorKind::NoActiveTransaction,
                "DECLARE CURSOR can only be used in transaction blocks",
            )
            .with_hint("Use BEGIN first, or DECLARE … CURSOR WITH HOLD.")
            .into());
        }
        let name = declare.name.value.clone();
        if self.cursors.contains_key(&name) {
            return Err(StatementError::new(
                StatementErrorKind::DuplicateCursor,
                format!("cursor \"{name}\" already exists"),
            )
            .into());
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(StatementError::new(
                StatementErrorKind::TooManyObjects,
                "too many cursors are open",
            )
            .into());
        }
        let rows = match declare.query.emit {
            Some(_) => self.push(&declare.query, parameters).await?,
            None => self.read(&declare.query, parameters).await?,
        };
        let cursor = Cursor {
            columns: rows.columns,
            endless: rows.endless,
            hold: declare.hold,
            source: Arc::new(Mutex::new(Source {
                batches: rows.batches,
                rest: None,
                ended: false,
            })),
        };
        self.cursors.insert(name, cursor);
        Ok(done("DECLARE CURSOR"))
    }

    pub(super) fn fetch(&mut self, fetch: &Fetch) -> Result<Response> {
        let cursor = self.cursor(&fetch.cursor)?;
        let wanted = match fetch.count {
            FetchCount::Rows(count) => usize::try_from(count).unwrap_or(usize::MAX),
            FetchCount::All => usize::MAX,
        };
        let deadline = cursor
            .endless
            .then(|| self.settings.fetch_timeout())
            .flatten()
            .map(|timeout| tokio::time::Instant::now() + timeout);
        let state = (cursor.source.clone(), wanted);
        let batches = futures::stream::unfold(state, move |(source, left)| async move {
            if left == 0 {
                return None;
            }
            let next = source
                .clone()
                .lock_owned()
                .await
                .next(left, deadline)
                .await?;
            let taken = next.as_ref().map_or(left, RecordBatch::num_rows);
            Some((next, (source, left - taken)))
        });
        Ok(Response::Rows(Rows {
            columns: cursor.columns(),
            batches: batches.boxed(),
            endless: cursor.endless,
            tag: "FETCH",
        }))
    }

    pub(super) fn close(&mut self, target: &CloseTarget) -> Result<Response> {
        match target {
            CloseTarget::All => self.cursors.clear(),
            CloseTarget::Cursor(name) => {
                self.cursor(name)?;
                self.cursors.remove(&name.value);
            }
        }
        Ok(done("CLOSE CURSOR"))
    }

    pub(super) fn cursor(&self, name: &Ident) -> Result<&Cursor> {
        self.cursors.get(&name.value).ok_or_else(|| {
            StatementError::new(
                StatementErrorKind::UndefinedCursor,
                format!("cursor \"{}\" does not exist", name.value),
            )
            .into()
        })
    }
}

impl Source {
    /// Up to so many rows; `None` at the end or when time is up.
    async fn next(
        &mut self,
        rows_max: usize,
        deadline: Option<tokio::time::Instant>,
    ) -> Option<Result<RecordBatch>> {
        while self.rest.as_ref().is_none_or(|rest| rest.num_rows() == 0) {
            if self.ended {
                return None;
            }
            let next = match deadline {
                None => self.batches.next().await,
                Some(deadline) => tokio::time::timeout_at(deadline, self.batches.next())
                    .await
                    .ok()?,
            };
            match next {
                None => self.ended = true,
                Some(Ok(batch)) => self.rest = Some(batch),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        let batch = self.rest.take()?;
        let taken = batch.num_rows().min(rows_max);
        if taken < batch.num_rows() {
            self.rest = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        Some(Ok(batch.slice(0, taken)))
    }
}
