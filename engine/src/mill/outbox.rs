//! Rows of `INSERT INTO stream SELECT …` on their way to the log.
//!
//! ```text
//!  round ──send──► waiting ──one append at a time, for each query──► log
//!                     ▲            │ refused: disk full, too much waiting
//!                     └────────────┘
//! ```
//!
//! Such rows get epochs of their own, so they cannot simply be computed again from the same input
//! epoch as a derived stream's are. Each append carries how far its query has come
//! (`progress.rs`); a later one may therefore go only when the earlier ones are in the log, and one
//! that is refused is tried again until it is. What waits meanwhile goes together in the next.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use log_store::{Log, LogError, NewBatch, Topic};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::{Inserted, progress};

/// What a query may have waiting, bytes.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(200);

/// See the [module](self).
pub(crate) struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    log: Log,
    progress: Topic,
    inserted: Inserted,
    queues: Mutex<Queues>,
    changed: Condvar,
    /// Counts what has come to an end.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct Queues {
    by_query: BTreeMap<String, Queue>,
    /// Whose rows are being appended.
    sending: Option<String>,
    stop: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<NewBatch>,
    /// The input epoch that the last of them comes from.
    epoch: u64,
    bytes: usize,
    /// How many outputs were ever sent, how many of them are in the log.
    sent: u64,
    done: u64,
    /// Why the last attempt failed.
    failure: Option<LogError>,
}

/// What was sent up to a moment: to be waited for.
pub(crate) type Sent = Vec<(String, u64)>;

impl Outbox {
    pub(crate) fn start(log: Log, progress: Topic, inserted: Inserted) -> Result<Self> {
        let shared = Arc::new(Shared {
            log,
            progress,
            inserted,
            queues: Mutex::default(),
            changed: Condvar::new(),
            ended: watch::Sender::new(0),
        });
        let outbox = Self {
            shared: shared.clone(),
        };
        std::thread::Builder::new()
            .name("millpond-inserts".into())
            .spawn(move || shared.run())
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        Ok(outbox)
    }

    /// Takes the rows that a query has made of its input up to an epoch.
    pub(crate) fn send(&self, query: &str, epoch: u64, batches: Vec<NewBatch>) -> Result<()> {
        let mut queues = self.shared.queues.lock();
        let queue = queues.by_query.entry(query.to_owned()).or_default();
        let bytes: usize = batches.iter().map(|batch| batch.body.len()).sum();
        if queue.bytes > WAITING_BYTES_MAX {
            let failure = queue.failure.as_ref();
            let reason = failure.map_or_else(|| "the log is too slow".into(), |e| e.to_string());
            return Err(StatementError::new(
                StatementErrorKind::OutOfMemory,
                "too many rows wait to be inserted",
            )
            .with_detail(reason)
            .into());
        }
        queue.waiting.extend(batches);
        queue.epoch = epoch;
        queue.bytes += bytes;
        queue.sent += 1;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// What was sent up to now and is not in the log.
    pub(crate) fn sent(&self) -> Sent {
        let queues = self.shared.queues.lock();
        let pending = (queues.by_query.iter()).filter(|(_, queue)| queue.done < queue.sent);
        pending.map(|(q, queue)| (q.clone(), queue.sent)).collect()
    }

    /// As [`Outbox::sent`], of one query.
    pub(crate) fn sent_by(&self, query: &str) -> Sent {
        let mut sent = self.sent();
        sent.retain(|(name, _)| name == query);
        sent
    }

    /// Waits until that is in the log. Blocks.
    ///
    /// # Errors
    /// When the log refuses it. It is tried again all the same.
    pub(crate) fn wait(&self, sent: &Sent) -> Result<()> {
        let mut queues = self.shared.queues.lock();
        while let Some(queue) = queues.pending(sent) {
            if let Some(failure) = &queue.failure {
                return Err(failure.clone().into());
            }
            if queues.stop {
                return Err(Error::ShuttingDown);
            }
            self.shared.changed.wait(&mut queues);
        }
        Ok(())
    }

    /// As [`Outbox::wait`], without blocking a thread.
    pub(crate) async fn waited(&self, sent: &Sent) -> Result<()> {
        let mut ended = self.shared.ended.subscribe();
        loop {
            ended.borrow_and_update();
            {
                let queues = self.shared.queues.lock();
                match queues.pending(sent).map(|queue| &queue.failure) {
                    None => return Ok(()),
                    Some(Some(failure)) => return Err(failure.clone().into()),
                    Some(None) => {}
                }
            }
            ended.changed().await.map_err(|_| Error::ShuttingDown)?;
        }
    }

    /// Forgets what a query that was dropped has waiting.
    pub(crate) fn forget(&self, query: &str) {
        let mut queues = self.shared.queues.lock();
        while queues.sending.as_deref() == Some(query) {
            self.shared.changed.wait(&mut queues);
        }
        queues.by_query.remove(query);
        self.shared.changed.notify_all();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.shared.queues.lock().stop = true;
        self.shared.changed.notify_all();
    }
}

impl Queues {
    /// Where some of what was sent still waits; one that was refused first.
    fn pending(&self, sent: &Sent) -> Option<&Queue> {
        let pending = || {
            sent.iter().filter_map(|(query, number)| {
                let queue = self.by_query.get(query)?;
                (queue.done < *number).then_some(queue)
            })
        };
        let refused = pending().find(|queue| queue.failure.is_some());
        refused.or_else(|| pending().next())
    }

    /// Whose turn it is after `last`.
    fn next(&self, last: &str) -> Option<String> {
        let after = (Bound::Excluded(last), Bound::Unbounded);
        let (after, all) = (self.by_query.range::<str, _>(after), self.by_query.iter());
        let mut candidates = after.chain(all);
        let next = candidates.find(|(_, queue)| !queue.waiting.is_empty());
        next.map(|(query, _)| query.clone())
    }
}

impl Shared {
    fn run(&self) {
        let mut queues = self.queues.lock();
        let mut last = String::new();
        while !queues.stop {
            let Some(query) = queues.next(&last) else {
                self.changed.wait(&mut queues);
                continue;
            };
            last.clone_from(&query);
            let queue = queues.by_query.entry(query.clone()).or_default();
            let batches = std::mem::take(&mut queue.waiting);
            let (epoch, sent, bytes) = (queue.epoch, queue.sent, queue.bytes);
            queues.sending = Some(query.clone());
            drop(queues);

            let appended = self.append(&query, epoch, batches.clone());

            queues = self.queues.lock();
            queues.sending = None;
            let failed = appended.is_err();
            let queue = queues.by_query.entry(query.clone()).or_default();
            match appended {
                Ok(()) => {
                    queue.done = sent;
                    queue.bytes -= bytes;
                    queue.failure = None;
                    self.inserted.lock().insert(query, epoch);
                }
                Err(error) => {
                    let later = std::mem::replace(&mut queue.waiting, batches);
                    queue.waiting.extend(later);
                    if queue.failure.is_none() {
                        tracing::error!(%query, %error, "rows of a query cannot be inserted yet");
                    }
                    queue.failure = Some(error);
                }
            }
            self.changed.notify_all();
            self.ended.send_modify(|ended| *ended += 1);
            if failed && !queues.stop {
                self.changed.wait_for(&mut queues, RETRY);
            }
        }
    }

    fn append(&self, query: &str, epoch: u64, mut batches: Vec<NewBatch>) -> Result<(), LogError> {
        let record = progress::batch(&self.progress, query, epoch);
        batches.push(record.expect("a progress record is a name and a number"));
        self.log.append(batches).wait().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use log_store::sim::SimDisk;
    use log_store::{LogConfig, OpaqueBodies, SystemClock, TopicConfig};

    use super::*;
    use crate::ingest::raw_batch;

    #[test]
    fn what_a_full_disk_refuses_is_appended_when_there_is_room() {
        let disk = SimDisk::new(1);
        let config = LogConfig::new(PathBuf::from("/log"));
        let opened = Log::open(
            config,
            Arc::new(disk.clone()),
            Arc::new(SystemClock),
            Arc::new(OpaqueBodies),
        );
        let (log, _) = opened.unwrap();
        let stream = log.create_topic(TopicConfig::ingested("s", 1)).unwrap();
        let progress_topic = progress::topic(&log).unwrap();
        let inserted = Inserted::default();
        let outbox = Outbox::start(log.clone(), progress_topic.clone(), inserted.clone()).unwrap();
        let rows = || vec![raw_batch(&stream, vec![7; 100_000].into(), 0)];
        outbox.send("q", 1, rows()).unwrap();
        outbox.wait(&outbox.sent()).unwrap();
        disk.set_capacity(Some(disk.used()));
        outbox.send("q", 2, rows()).unwrap();
        assert!(outbox.wait(&outbox.sent()).is_err());
        assert_eq!(inserted.lock()["q"], 1);
        outbox.send("q", 3, rows()).unwrap();
        disk.set_capacity(None);
        while outbox.wait(&outbox.sent()).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(inserted.lock()["q"], 3);
        assert_eq!(stream.partitions()[0].end_offset().0, 3);
        assert_eq!(progress::reached(&progress_topic).unwrap()["q"], 3);
    }
}
