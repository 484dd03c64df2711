//! Rows from the engine to the client.
//!
//! ```text
//!  stream ──poll──► ready: encode into the buffer; full? flush before going on   (the client sets the pace)
//!             └───► pending: flush first, then wait                             (no row is kept back)
//! ```

use std::panic::AssertUnwindSafe;
use std::task::Poll;

use arrow::datatypes::SchemaRef;
use engine::formats::Zone;
use engine::response::{CopyOut, Rows};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use crate::failure::Failure;
use crate::guard::{Guard, panicked};
use crate::socket::{Input, Output};
use crate::value::{ResultFormats, ResultRows};
use crate::wire::backend;

/// So much may wait for the client before the next row is asked for.
const BUFFER_BYTES_MAX: usize = 256 << 10;

/// A result on its way to the client; in the extended protocol it may pause.
pub struct Cursor {
    pub columns: SchemaRef,
    formats: ResultFormats,
    zone: Zone,
    batches: BoxStream<'static, engine::Result<arrow::array::RecordBatch>>,
    current: Option<ResultRows>,
    tag: &'static str,
}

/// How far a cursor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Through the last row, after so many of them.
    Finished(u64),
    /// As far as it was asked to go, which were so many rows.
    Suspended(u64),
}

impl Progress {
    /// How many rows were sent.
    pub fn rows(self) -> u64 {
        match self {
            Progress::Finished(rows) | Progress::Suspended(rows) => rows,
        }
    }
}

impl Cursor {
    pub fn new(rows: Rows, formats: ResultFormats, zone: Zone) -> Self {
        Cursor {
            columns: rows.columns,
            formats,
            zone,
            batches: rows.batches,
            current: None,
            tag: rows.tag,
        }
    }

    /// What CommandComplete says after so many rows.
    pub fn complete_tag(&self, rows: u64) -> String {
        match self.tag {
            "SHOW" | "EXPLAIN" => self.tag.to_owned(),
            "INSERT" => format!("INSERT 0 {rows}"),
            tag => format!("{tag} {rows}"),
        }
    }

    /// Sends rows, at most `rows_max`.
    pub async fn send(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        guard: &Guard,
        rows_max: u64,
    ) -> Result<Progress, Failure> {
        let mut sent = 0;
        loop {
            if let Some(current) = &mut self.current {
                sent += current.write(&mut output.buffer, rows_max - sent, BUFFER_BYTES_MAX)?;
                if current.is_done() {
                    self.current = None;
                }
                if output.pending() >= BUFFER_BYTES_MAX {
                    guard.run(input, output.flush()).await??;
                }
            }
            if sent == rows_max {
                return Ok(Progress::Suspended(sent));
            }
            if self.current.is_some() {
                continue;
            }
            match next(&mut self.batches, input, output, guard).await? {
                Some(batch) => {
                    let batch = batch?;
                    self.current = Some(ResultRows::new(
                        &batch,
                        &self.columns,
                        &self.formats,
                        &self.zone,
                    )?);
                }
                None => return Ok(Progress::Finished(sent)),
            }
        }
    }
}

/// Sends the data of `COPY … TO STDOUT`; gives the number of rows.
pub async fn send_copy(
    mut copy: CopyOut,
    input: &mut Input,
    output: &mut Output,
    guard: &Guard,
) -> Result<u64, Failure> {
    backend::copy_response(&mut output.buffer, b'H', copy.columns.fields().len());
    let mut rows = 0;
    while let Some(data) = next(&mut copy.data, input, output, guard).await? {
        let data = data?;
        rows += data.rows;
        let mut start = 0;
        for end in &data.ends {
            let end = *end as usize;
            backend::copy_data(&mut output.buffer, &data.bytes[start..end]);
            start = end;
            if output.pending() >= BUFFER_BYTES_MAX {
                guard.run(input, output.flush()).await??;
            }
        }
        if start < data.bytes.len() {
            backend::copy_data(&mut output.buffer, &data.bytes[start..]);
        }
    }
    backend::bare(&mut output.buffer, backend::Bare::CopyDone);
    Ok(rows)
}

/// The next item of a stream. If it has to be waited for, the client gets everything before that.
async fn next<T>(
    stream: &mut BoxStream<'static, T>,
    input: &mut Input,
    output: &mut Output,
    guard: &Guard,
) -> Result<Option<T>, Failure> {
    guard.check()?;
    // A stream that is always ready must not keep others on this thread from running.
    tokio::task::coop::consume_budget().await;
    let polled = {
        let mut next = AssertUnwindSafe(stream.next()).catch_unwind();
        std::future::poll_fn(|context| Poll::Ready(next.poll_unpin(context))).await
    };
    match polled {
        Poll::Ready(Ok(item)) => return Ok(item),
        Poll::Ready(Err(panic)) => return Err(panicked(panic.as_ref())),
        Poll::Pending => {}
    }
    guard.run(input, output.flush()).await??;
    guard.run(input, stream.next()).await
}
