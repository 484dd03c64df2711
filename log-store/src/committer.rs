//! The committer: one thread that makes what waits into epochs.
//!
//! ```text
//!  queue ──► group ──► stage in each partition ──► one fdatasync per file ──► publish ──► seal ──► answer
//!               ▲                                        │
//!               └────── what arrives meanwhile ◄─────────┘
//! ```
//!
//! An epoch's number is used once. If its group fails, everything it wrote is cut off again, durably, before the next
//! epoch is written; so on disk every epoch but the last is whole, which is what recovery relies on.

mod plan;

use std::{sync::Arc, thread};

use parking_lot::MutexGuard;

use crate::{
    Durability, Epoch, LogError, TopicKind,
    append::{Appended, Reply, Request},
    batch::Prepared,
    log::Shared,
    partition::{PartitionInner, Staged, Stamp, Writer},
};
use plan::Plan;

/// At most so many files are synced at the same time.
const SYNC_THREADS_MAX: usize = 16;

/// What the committer alone changes.
pub(crate) struct CommitState {
    pub next_epoch: Epoch,
}

/// A part on its way to disk.
struct Writing<'a> {
    partition: &'a Arc<PartitionInner>,
    writer: MutexGuard<'a, Writer>,
    staged: Staged,
}

/// What became of an append.
type Answer = Result<Appended, LogError>;

/// A group that could not be committed.
struct GroupFailure {
    /// The appends whose fate does not depend on the group.
    settled: Vec<Option<Answer>>,
    cause: WriteFailure,
}

/// What went wrong with writing.
struct WriteFailure {
    error: LogError,
    /// A partition was poisoned: the manifest must say so before anything else is committed.
    poisoned: bool,
}

impl Shared {
    /// The committer's thread: runs until the queue is closed and empty.
    pub fn commit_groups(&self) {
        /// However the committer ends, by a panic too, nobody must wait for it.
        struct Ending<'a>(&'a Shared);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                self.0.queue.abandon();
            }
        }
        let _ending = Ending(self);
        let config = &self.env.config;
        while let Some(group) = self
            .queue
            .next_group(config.epoch_bytes_max, config.epoch_rows_max)
        {
            self.commit_group(group);
        }
    }

    fn commit_group(&self, group: Vec<Request>) {
        let (requests, replies): (Vec<Vec<Prepared>>, Vec<Reply>) = group
            .into_iter()
            .map(|request| (request.batches, request.reply))
            .unzip();
        let answers = match self.commit(&requests) {
            Ok(answers) => answers,
            Err(failure) => self.answer_failed_group(requests, failure),
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A client that has gone away does not mind.
            let _ = reply.send(answer);
        }
    }

    fn answer_failed_group(
        &self,
        requests: Vec<Vec<Prepared>>,
        failure: GroupFailure,
    ) -> Vec<Answer> {
        let error = self.failed_group(failure.cause);
        // There may be room for some of them; and what was refused may have been so because of another that now fails.
        let one_by_one = matches!(error, LogError::DiskFull) && requests.len() > 1;
        let answer = |(request, settled): (Vec<Prepared>, Option<Answer>)| match settled {
            Some(Ok(answer)) => Ok(answer),
            _ if one_by_one => match self.commit(&[request]) {
                Ok(mut answers) => answers.pop().expect("one append has one answer"),
                Err(failure) => Err(self.failed_group(failure.cause)),
            },
            settled => settled.unwrap_or(Err(error.clone())),
        };
        let settled = failure.settled;
        requests.into_iter().zip(settled).map(answer).collect()
    }

    /// After a poisoning the manifest must name the end of what counts, or the failed epoch could come back.
    fn failed_group(&self, failure: WriteFailure) -> LogError {
        if failure.poisoned
            && let Err(error) = self.write_manifest()
        {
            self.fail(&error);
        }
        failure.error
    }

    fn resolve(&self, batches: &[Prepared]) -> Result<Vec<Arc<PartitionInner>>, LogError> {
        self.check_usable()?;
        let topics = self.topics.read();
        batches
            .iter()
            .map(|batch| {
                let topic = topics
                    .by_id
                    .get(&batch.topic)
                    .ok_or(LogError::UnknownTopic(batch.topic))?;
                topic.expect_kind(TopicKind::Ingested)?;
                let partition = topic.partition(batch.partition)?;
                partition.check_writable()?;
                Ok(partition)
            })
            .collect()
    }

    /// Commits requests as one epoch; gives the answer to each.
    fn commit(&self, requests: &[Vec<Prepared>]) -> Result<Vec<Answer>, GroupFailure> {
        let mut state = self.commit.lock();
        let mut plan = Plan::of(self, requests);
        let sealed = self.env.sealed.epoch();
        if plan.parts.is_empty() {
            return Ok(plan.committed(sealed));
        }
        let epoch = state.next_epoch;
        state.next_epoch = epoch.next();
        let stamp = Stamp {
            epoch,
            time: self.env.clock.now_micros().max(self.env.sealed.last_time()),
            parts: plan.parts.values().map(|p| p.batches.len() as u32).sum(),
            previous: sealed,
        };
        match self.write(&mut plan, stamp) {
            Ok(bytes) => {
                drop(state);
                for part in plan.parts.values() {
                    part.partition.waiters.wake();
                }
                self.count_appended(bytes);
                Ok(plan.committed(epoch))
            }
            Err(cause) => Err(GroupFailure {
                settled: plan.settled(sealed),
                cause,
            }),
        }
    }

    /// Writes, syncs and publishes the parts, and seals their epoch; gives the bytes written.
    fn write(&self, plan: &mut Plan, stamp: Stamp) -> Result<u64, WriteFailure> {
        let mut writing: Vec<Writing<'_>> = Vec::with_capacity(plan.parts.len());
        for part in plan.parts.values_mut() {
            let mut writer = part.partition.writer.lock();
            debug_assert_eq!(writer.next, part.start);
            let batches = std::mem::take(&mut part.batches);
            match part.partition.stage(&mut writer, batches, stamp) {
                Ok(staged) => writing.push(Writing {
                    partition: &part.partition,
                    writer,
                    staged,
                }),
                Err(error) => {
                    part.partition.roll_back(&mut writer);
                    if !error.is_passing() {
                        part.partition.poison(&error);
                    }
                    let mut failure = roll_back(writing, error);
                    failure.poisoned |= part.partition.check_writable().is_err();
                    return Err(failure);
                }
            }
        }
        if self.env.config.durability == Durability::Sync
            && let Err(error) = sync_all(&mut writing)
        {
            return Err(WriteFailure {
                poisoned: true,
                ..roll_back(writing, error)
            });
        }
        let mut bytes = 0;
        for mut part in writing {
            bytes += part.staged.bytes();
            part.partition.publish(&mut part.writer, part.staged);
        }
        self.env.sealed.seal(stamp.epoch, stamp.time);
        Ok(bytes)
    }
}

/// Cuts off what a failed group wrote.
fn roll_back(writing: Vec<Writing<'_>>, error: LogError) -> WriteFailure {
    let mut poisoned = false;
    for mut part in writing {
        part.partition.roll_back(&mut part.writer);
        poisoned |= part.partition.check_writable().is_err();
    }
    WriteFailure { error, poisoned }
}

/// Syncs every touched file, several at the same time: the file system then joins their journal commits.
fn sync_all(writing: &mut [Writing<'_>]) -> Result<(), LogError> {
    let mut targets: Vec<(&Arc<PartitionInner>, &mut Writer)> = writing
        .iter_mut()
        .map(|part| (part.partition, &mut *part.writer))
        .collect();
    if let [(partition, writer)] = targets.as_mut_slice() {
        return partition.sync(writer);
    }
    let chunk = targets.len().div_ceil(SYNC_THREADS_MAX);
    thread::scope(|scope| {
        let threads: Vec<_> = targets
            .chunks_mut(chunk)
            .map(|chunk| {
                scope.spawn(move || {
                    let mut result = Ok(());
                    for (partition, writer) in chunk {
                        // All are synced, whatever became of the others: each failure poisons its own.
                        result = result.and(partition.sync(writer));
                    }
                    result
                })
            })
            .collect();
        let mut result = Ok(());
        for thread in threads {
            let synced = thread
                .join()
                .unwrap_or_else(|_| Err(LogError::Failed("a sync thread panicked".into())));
            result = result.and(synced);
        }
        result
    })
}
