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

use std::{collections::BTreeMap, sync::Arc, thread};

use parking_lot::MutexGuard;

use crate::{
    Durability, Epoch, LogError, Offset, PartitionId, TopicId, TopicKind,
    append::{Appended, Reply, Request},
    batch::Prepared,
    log::Shared,
    partition::{PartitionInner, Staged, Stamp, Writer},
};

/// At most so many files are synced at the same time.
const SYNC_THREADS_MAX: usize = 16;

/// What the committer alone changes.
pub(crate) struct CommitState {
    pub next_epoch: Epoch,
}

/// The batches of a group that go to one partition.
struct Part {
    partition: Arc<PartitionInner>,
    batches: Vec<Prepared>,
    /// Which request each batch belongs to, and which of its batches it is.
    origins: Vec<(usize, usize)>,
}

/// A part on its way to disk.
struct Writing<'a> {
    partition: &'a Arc<PartitionInner>,
    writer: MutexGuard<'a, Writer>,
    origins: &'a [(usize, usize)],
    staged: Staged,
}

/// A group that could not be committed.
struct GroupFailure {
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
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        let mut requests: Vec<Vec<Prepared>> = Vec::with_capacity(group.len());
        let mut owners = Vec::with_capacity(group.len());
        for request in group {
            match self.resolve(&request.batches) {
                Ok(partitions) => {
                    owners.push(partitions);
                    requests.push(request.batches);
                    replies.push(request.reply);
                }
                Err(error) => {
                    // A client that has gone away does not mind.
                    let _ = request.reply.send(Err(error));
                }
            }
        }
        if requests.is_empty() {
            return;
        }
        match self.commit(&requests, &owners) {
            Ok((epoch, offsets)) => {
                for (reply, base_offsets) in replies.into_iter().zip(offsets) {
                    let _ = reply.send(Ok(Appended {
                        epoch,
                        base_offsets,
                    }));
                }
            }
            // There may be room for some of them.
            Err(failure) if matches!(failure.error, LogError::DiskFull) && requests.len() > 1 => {
                for ((reply, request), owner) in replies.into_iter().zip(requests).zip(owners) {
                    let result = self.commit(&[request], &[owner]);
                    let answer = match result {
                        Ok((epoch, mut offsets)) => Ok(Appended {
                            epoch,
                            base_offsets: offsets.pop().unwrap_or_default(),
                        }),
                        Err(failure) => Err(self.failed_group(failure)),
                    };
                    let _ = reply.send(answer);
                }
            }
            Err(failure) => {
                let error = self.failed_group(failure);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// After a poisoning the manifest must name the end of what counts, or the failed epoch could come back.
    fn failed_group(&self, failure: GroupFailure) -> LogError {
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
                Ok(partition.clone())
            })
            .collect()
    }

    /// Commits requests as one epoch; gives the base offsets of each.
    fn commit(
        &self,
        requests: &[Vec<Prepared>],
        owners: &[Vec<Arc<PartitionInner>>],
    ) -> Result<(Epoch, Vec<Vec<Offset>>), GroupFailure> {
        let mut state = self.commit.lock();
        // A topic may have been dropped, or a partition poisoned, since the request was looked at.
        for batches in requests {
            if let Err(error) = self.resolve(batches) {
                return Err(GroupFailure {
                    error,
                    poisoned: false,
                });
            }
        }
        let mut parts: BTreeMap<(TopicId, PartitionId), Part> = BTreeMap::new();
        let mut count = 0u32;
        for (request, (batches, partitions)) in requests.iter().zip(owners).enumerate() {
            for (index, (batch, partition)) in batches.iter().zip(partitions).enumerate() {
                let part = parts
                    .entry((batch.topic, batch.partition))
                    .or_insert_with(|| Part {
                        partition: partition.clone(),
                        batches: Vec::new(),
                        origins: Vec::new(),
                    });
                part.batches.push(batch.clone());
                part.origins.push((request, index));
                count += 1;
            }
        }
        let epoch = state.next_epoch;
        state.next_epoch = epoch.next();
        let stamp = Stamp {
            epoch,
            time: self.env.clock.now_micros().max(self.env.sealed.last_time()),
            parts: count,
            previous: self.env.sealed.epoch(),
        };

        let mut writing: Vec<Writing<'_>> = Vec::with_capacity(parts.len());
        for part in parts.values_mut() {
            let mut writer = part.partition.writer.lock();
            let batches = std::mem::take(&mut part.batches);
            match part.partition.stage(&mut writer, batches, stamp) {
                Ok(staged) => writing.push(Writing {
                    partition: &part.partition,
                    writer,
                    origins: &part.origins,
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
            return Err(GroupFailure {
                poisoned: true,
                ..roll_back(writing, error)
            });
        }

        let mut offsets: Vec<Vec<Offset>> = requests
            .iter()
            .map(|batches| vec![Offset::ZERO; batches.len()])
            .collect();
        let mut bytes = 0;
        for mut part in writing {
            for (&(request, index), offset) in part.origins.iter().zip(part.staged.base_offsets()) {
                offsets[request][index] = offset;
            }
            bytes += part.staged.bytes();
            part.partition.publish(&mut part.writer, part.staged);
        }
        self.env.sealed.seal(epoch, stamp.time);
        drop(state);
        self.count_appended(bytes);
        Ok((epoch, offsets))
    }
}

/// Cuts off what a failed group wrote.
fn roll_back(writing: Vec<Writing<'_>>, error: LogError) -> GroupFailure {
    let mut poisoned = false;
    for mut part in writing {
        part.partition.roll_back(&mut part.writer);
        poisoned |= part.partition.check_writable().is_err();
    }
    GroupFailure { error, poisoned }
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
