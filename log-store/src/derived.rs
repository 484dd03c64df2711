//! Derived topics: written by one query, in its own epochs, synced when the query checkpoints.
//!
//! What a derived topic holds can be made again from its inputs, so its appends wait for no disk. They must not be
//! *half* there, though: recovery cuts each partition back to the last batch that its epoch flagged as the last.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Epoch, Log, LogError, NewBatch, Offset, PartitionId, TopicId, TopicKind,
    batch::Prepared,
    log::Shared,
    partition::{PartitionInner, Stamp},
};

impl Log {
    /// Appends the whole output of one epoch to a derived topic. Visible to readers at once, durable after
    /// [`Log::sync_derived`]. Blocks for a write to the page cache.
    ///
    /// The epoch must be later than what each touched partition already holds; all of a partition's rows of an epoch come
    /// in one call. The epoch must be sealed: recovery gives up derived rows of epochs that were not.
    pub fn append_derived(
        &self,
        topic: TopicId,
        epoch: Epoch,
        batches: Vec<NewBatch>,
    ) -> Result<Vec<Offset>, LogError> {
        self.shared.append_derived(topic, epoch, batches)
    }

    /// Says that a derived topic is complete through an epoch, whether or not that brought any rows. Wakes its readers.
    pub fn set_derived_frontier(&self, topic: TopicId, epoch: Epoch) -> Result<(), LogError> {
        let topic = self.topic(topic)?;
        topic.inner.expect_kind(TopicKind::Derived)?;
        let advanced = topic.inner.frontier.send_if_modified(|frontier| {
            let advances = *frontier < epoch;
            *frontier = epoch.max(*frontier);
            advances
        });
        if advanced {
            topic.inner.wake_waiters();
        }
        Ok(())
    }

    /// Lets clients append to a derived topic from now on, durably: it becomes an ingested one, what it holds keeps its
    /// place and its epochs, and later rows get epochs of their own. Its writer must have ended. Does nothing to a topic
    /// that is ingested already. Blocks for the disk.
    ///
    /// # Errors
    /// When its rows or the manifest cannot be made durable; it is then what it was before. If even that cannot be
    /// written down, nobody can append to it before the next start.
    pub fn make_ingested(&self, topic: TopicId) -> Result<(), LogError> {
        self.shared.make_ingested(topic)
    }

    /// Makes everything appended to derived topics durable: before the checkpoint that relies on it. Blocks for the disk.
    pub fn sync_derived(&self, topics: &[TopicId]) -> Result<(), LogError> {
        self.shared.sync_derived(topics)
    }
}

impl Shared {
    fn append_derived(
        &self,
        topic: TopicId,
        epoch: Epoch,
        batches: Vec<NewBatch>,
    ) -> Result<Vec<Offset>, LogError> {
        self.check_usable()?;
        let topic = self.topic(topic)?;
        topic.expect_kind(TopicKind::Derived)?;
        let mut offsets = vec![Offset::ZERO; batches.len()];
        let mut parts: BTreeMap<PartitionId, (Vec<Prepared>, Vec<usize>)> = BTreeMap::new();
        for (index, batch) in batches.into_iter().enumerate() {
            if batch.topic != topic.id {
                return Err(LogError::InvalidBatch("it is for another topic".into()));
            }
            if batch.producer.is_some() {
                return Err(LogError::InvalidBatch(
                    "batches of derived topics have no producer".into(),
                ));
            }
            let prepared = Prepared::new(batch, self.env.config.body_bytes_max)?;
            let part = parts.entry(prepared.partition).or_default();
            part.0.push(prepared);
            part.1.push(index);
        }
        let mut owners: Vec<Arc<PartitionInner>> = Vec::with_capacity(parts.len());
        for &id in parts.keys() {
            let partition = topic.partition(id)?;
            partition.check_writable()?;
            owners.push(partition);
        }
        let time = self
            .env
            .sealed
            .recent_time(epoch)
            .unwrap_or_else(|| self.env.sealed.last_time());
        let mut staged = Vec::with_capacity(parts.len());
        for (partition, (batches, indexes)) in owners.iter().zip(parts.into_values()) {
            let mut writer = partition.writer.lock();
            let last = partition.state.read().last_epoch;
            let stamp = Stamp {
                epoch,
                time,
                parts: batches.len() as u32,
                previous: epoch,
            };
            let result = if epoch <= last {
                Err(LogError::EpochNotAfter {
                    topic: topic.id,
                    given: epoch,
                    last,
                })
            } else {
                let staged = partition.stage(&mut writer, batches, stamp);
                if let Err(error) = &staged {
                    partition.roll_back(&mut writer);
                    if !error.is_passing() {
                        partition.poison(error);
                    }
                }
                staged
            };
            match result {
                Ok(done) => staged.push((partition, writer, done, indexes)),
                Err(error) => {
                    for (partition, mut writer, _, _) in staged {
                        partition.roll_back(&mut writer);
                    }
                    return Err(error);
                }
            }
        }
        let mut bytes = 0;
        for (partition, mut writer, done, indexes) in staged {
            for (index, offset) in indexes.into_iter().zip(done.base_offsets()) {
                offsets[index] = offset;
            }
            bytes += done.bytes();
            partition.publish(&mut writer, done);
        }
        self.count_appended(bytes);
        Ok(offsets)
    }

    fn make_ingested(&self, topic: TopicId) -> Result<(), LogError> {
        self.check_usable()?;
        let mut manifest = self.manifest.lock();
        let topic = self.topic(topic)?;
        if topic.kind.get() == TopicKind::Ingested {
            return Ok(());
        }
        // The manifest lists what is synced, and behind that recovery must find whole epochs only.
        for partition in topic.partitions() {
            let mut writer = partition.writer.lock();
            partition.check_writable()?;
            partition.sync(&mut writer)?;
        }
        let become_kind = |kind| {
            topic.config.write().kind = kind;
            topic.kind.set(kind);
        };
        become_kind(TopicKind::Ingested);
        let written = self.write_manifest_locked(&mut manifest, false);
        if let Err(error) = &written {
            become_kind(TopicKind::Derived);
            // One copy may say otherwise already, and recovery would take the newer one's word.
            if self.write_manifest_locked(&mut manifest, false).is_err() {
                for partition in topic.partitions() {
                    partition.poison(error);
                }
            }
        }
        written
    }

    fn sync_derived(&self, topics: &[TopicId]) -> Result<(), LogError> {
        let mut result = Ok(());
        for &id in topics {
            let topic = self.topic(id)?;
            topic.expect_kind(TopicKind::Derived)?;
            // Taken first: rows that arrive during the sync belong to later epochs.
            let frontier = *topic.frontier.borrow();
            let mut synced = Ok(());
            for partition in topic.partitions() {
                let mut writer = partition.writer.lock();
                synced = synced
                    .and_then(|()| partition.check_writable())
                    .and_then(|()| partition.sync(&mut writer));
            }
            if synced.is_ok() {
                *topic.synced_frontier.write() = frontier;
            }
            result = result.and(synced);
        }
        // The manifest now knows more to be durable, so that later damage there is not taken for a torn tail.
        let written = self.write_manifest();
        result.and(written)
    }
}
