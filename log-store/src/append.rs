//! The way of an append: prepared on its caller's thread, queued, and answered by the committer.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Epoch, LogError, Offset, batch::Prepared};

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The epoch that all its batches share. If all were duplicates: one that is sealed and not before theirs.
    pub epoch: Epoch,
    /// The offset at which each batch begins, in the order they were given.
    pub base_offsets: Vec<Offset>,
    /// Which of them had been written before (see [`crate::ProducerStamp`]): nothing was written now, and the offset is
    /// the one given then.
    pub duplicates: Vec<bool>,
}

pub(crate) type Reply = oneshot::Sender<Result<Appended, LogError>>;

/// The answer to an append, when it is there: await it, or [`AppendHandle::wait`] for it on a thread that may block.
///
/// Dropping it does not take the append back.
#[must_use = "an append is acknowledged only through its handle"]
pub struct AppendHandle {
    answer: oneshot::Receiver<Result<Appended, LogError>>,
}

impl AppendHandle {
    pub(crate) fn new() -> (Reply, Self) {
        let (reply, answer) = oneshot::channel();
        (reply, AppendHandle { answer })
    }

    /// Blocks until the append is acknowledged. Not to be called from asynchronous code.
    pub fn wait(self) -> Result<Appended, LogError> {
        self.answer.blocking_recv().unwrap_or(Err(LogError::Closed))
    }
}

impl Future for AppendHandle {
    type Output = Result<Appended, LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or(Err(LogError::Closed)))
    }
}

/// An append that waits for the committer.
pub(crate) struct Request {
    pub batches: Vec<Prepared>,
    pub reply: Reply,
}

impl Request {
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.stored.len()).sum()
    }

    pub fn rows(&self) -> u64 {
        self.batches
            .iter()
            .map(|batch| u64::from(batch.header.rows))
            .sum()
    }
}

/// The appends that wait, in order.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds an append, or answers it at once if it cannot be taken.
    pub fn push(&self, request: Request, bytes_max: usize) {
        let bytes = request.bytes();
        let mut waiting = self.waiting.lock();
        let refusal = if waiting.closed {
            LogError::Closed
        } else if waiting.bytes > 0 && waiting.bytes + bytes > bytes_max {
            LogError::Overloaded {
                waiting: waiting.bytes,
                limit: bytes_max,
            }
        } else {
            waiting.bytes += bytes;
            waiting.requests.push_back(request);
            self.arrived.notify_one();
            return;
        };
        drop(waiting);
        // Nobody may be listening; that is theirs to decide.
        let _ = request.reply.send(Err(refusal));
    }

    /// What one group commit shall take: everything that waits, up to the bounds. `None` once closed and empty.
    pub fn next_group(&self, bytes_max: usize, rows_max: u64) -> Option<Vec<Request>> {
        let mut waiting = self.waiting.lock();
        while waiting.requests.is_empty() {
            if waiting.closed {
                return None;
            }
            self.arrived.wait(&mut waiting);
        }
        let (mut bytes, mut rows) = (0, 0);
        let mut group = Vec::with_capacity(waiting.requests.len());
        while let Some(request) = waiting.requests.front() {
            let (more_bytes, more_rows) = (request.bytes(), request.rows());
            if !group.is_empty() && (bytes + more_bytes > bytes_max || rows + more_rows > rows_max)
            {
                break;
            }
            bytes += more_bytes;
            rows += more_rows;
            group.extend(waiting.requests.pop_front());
        }
        waiting.bytes -= bytes;
        Some(group)
    }

    /// Nobody will commit any more: whoever waits is told so.
    pub fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        // Their handles answer that the log is closed.
        waiting.requests.clear();
    }

    /// Takes no further appends; those that wait are still committed.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_all();
    }
}
