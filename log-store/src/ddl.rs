//! Making, changing and dropping topics; and writing the manifest that makes it durable.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    Durability, Epoch, Log, LogError, PartitionId, Topic, TopicConfig, TopicId, TopicKind,
    log::{ManifestState, Shared},
    manifest::{Manifest, TopicEntry},
    partition::PartitionInner,
    reserve::Reserve,
    topic::{SharedKind, TopicInner},
};

/// A guard against a slip of the pen, not a design limit.
const PARTITIONS_MAX: u32 = 10_000;

impl Log {
    /// Makes a topic, durably.
    pub fn create_topic(&self, config: TopicConfig) -> Result<Topic, LogError> {
        check_config(&config)?;
        let shared = &self.shared;
        shared.check_usable()?;
        let mut manifest = shared.manifest.lock();
        if shared.topics.read().by_name.contains_key(&config.name) {
            return Err(LogError::TopicExists(config.name));
        }
        let id = manifest.next_topic;
        let segment_bytes = config
            .segment_bytes
            .unwrap_or(shared.env.config.segment_bytes_max);
        let kind = SharedKind::new(config.kind);
        let new = |partition| {
            let partition = PartitionId(partition);
            PartitionInner::new(&shared.env, id, partition, &kind, segment_bytes)
        };
        let partitions = (0..config.partitions).map(new).collect();
        let inner = Arc::new(TopicInner {
            id,
            kind,
            name: config.name.clone(),
            config: RwLock::new(config),
            partitions: RwLock::new(partitions),
            frontier: watch::Sender::new(Epoch::ZERO),
            synced_frontier: RwLock::default(),
            compaction_bound: RwLock::default(),
            env: shared.env.clone(),
        });
        manifest.next_topic = TopicId(id.0 + 1);
        shared.insert(&inner);
        if let Err(error) = shared.write_manifest_within_space(&mut manifest, false) {
            shared.remove(&inner);
            return Err(error);
        }
        Ok(Topic { inner })
    }

    /// Drops a topic and its files, durably. Those who hold it can still read it.
    pub fn drop_topic(&self, id: TopicId) -> Result<(), LogError> {
        let shared = &self.shared;
        let mut manifest = shared.manifest.lock();
        let inner = shared.topic(id)?;
        {
            // No epoch may have parts in a topic that recovery no longer knows: commits rest, and the manifest will say
            // that all epochs so far are sealed.
            let _commits_rest = shared.commit.lock();
            shared.remove(&inner);
        }
        if let Err(error) = shared.write_manifest_locked(&mut manifest, false) {
            shared.insert(&inner);
            return Err(error);
        }
        inner.wake_waiters();
        for partition in inner.partitions() {
            // What remains of the directory is removed by the next start at the latest.
            let disk = &shared.env.disk;
            for segment in &partition.state.read().segments {
                let _ = disk.remove(&segment.path);
            }
            let _ = disk.remove_dir(&partition.dir);
        }
        Ok(())
    }

    /// Lets an ingested topic grow to so many partitions, durably. Those it has keep their rows.
    ///
    /// (Where the rows of a derived topic go was decided when its query began; it cannot grow.)
    pub fn add_partitions(&self, id: TopicId, total: u32) -> Result<(), LogError> {
        let shared = &self.shared;
        shared.check_usable()?;
        let mut manifest = shared.manifest.lock();
        let inner = shared.topic(id)?;
        inner.expect_kind(TopicKind::Ingested)?;
        let mut config = inner.config.read().clone();
        if total <= config.partitions {
            return Err(LogError::InvalidConfig(format!(
                "topic \"{}\" has {} partitions already",
                config.name, config.partitions
            )));
        }
        let segment_bytes = config
            .segment_bytes
            .unwrap_or(shared.env.config.segment_bytes_max);
        let new = |partition| {
            let partition = PartitionId(partition);
            PartitionInner::new(&shared.env, id, partition, &inner.kind, segment_bytes)
        };
        let partitions: Vec<_> = (config.partitions..total).map(new).collect();
        config.partitions = total;
        check_config(&config)?;
        manifest.growing = Some((id, partitions.clone()));
        let written = shared.write_manifest_within_space(&mut manifest, false);
        manifest.growing = None;
        written?;
        inner.partitions.write().extend(partitions);
        *inner.config.write() = config;
        Ok(())
    }

    /// Changes retention, clean-up or segment size of a topic, durably. Name, kind and partitions are fixed.
    pub fn alter_topic(&self, id: TopicId, config: TopicConfig) -> Result<(), LogError> {
        check_config(&config)?;
        let shared = &self.shared;
        let mut manifest = shared.manifest.lock();
        let inner = shared.topic(id)?;
        let before = inner.config.read().clone();
        let fixed = |c: &TopicConfig| (c.name.clone(), c.kind, c.partitions);
        if fixed(&before) != fixed(&config) {
            return Err(LogError::InvalidConfig(
                "name, kind and partitions of a topic cannot be changed".into(),
            ));
        }
        let segment_bytes = config
            .segment_bytes
            .unwrap_or(shared.env.config.segment_bytes_max);
        *inner.config.write() = config;
        if let Err(error) = shared.write_manifest_locked(&mut manifest, false) {
            *inner.config.write() = before;
            return Err(error);
        }
        for partition in inner.partitions() {
            partition.state.write().segment_bytes = segment_bytes;
        }
        Ok(())
    }

    /// A topic by its number.
    pub fn topic(&self, id: TopicId) -> Result<Topic, LogError> {
        self.shared.topic(id).map(|inner| Topic { inner })
    }

    /// A topic by its name.
    pub fn topic_by_name(&self, name: &str) -> Option<Topic> {
        let topics = self.shared.topics.read();
        let id = topics.by_name.get(name)?;
        topics.by_id.get(id).map(|inner| Topic {
            inner: inner.clone(),
        })
    }

    /// All topics, in the order they were made.
    pub fn topics(&self) -> Vec<Topic> {
        let topics = self.shared.topics.read();
        topics
            .by_id
            .values()
            .map(|inner| Topic {
                inner: inner.clone(),
            })
            .collect()
    }
}

fn check_config(config: &TopicConfig) -> Result<(), LogError> {
    let problem = if config.name.is_empty() {
        "a topic needs a name"
    } else if config.partitions == 0 || config.partitions > PARTITIONS_MAX {
        "a topic has 1 to 10000 partitions"
    } else if config.segment_bytes.is_some_and(|bytes| bytes < 1024) {
        "a segment has at least 1024 bytes"
    } else {
        return Ok(());
    };
    Err(LogError::InvalidConfig(problem.into()))
}

impl Shared {
    fn insert(&self, topic: &Arc<TopicInner>) {
        let mut topics = self.topics.write();
        topics.by_name.insert(topic.name.clone(), topic.id);
        topics.by_id.insert(topic.id, topic.clone());
    }

    fn remove(&self, topic: &TopicInner) {
        let mut topics = self.topics.write();
        topics.by_name.remove(&topic.name);
        topics.by_id.remove(&topic.id);
    }

    /// Writes down what is durable now.
    pub fn write_manifest(&self) -> Result<(), LogError> {
        self.write_manifest_locked(&mut self.manifest.lock(), false)
    }

    /// At the end: everything is synced and nothing is left to check. The threads have ended.
    pub fn write_clean_manifest(&self) -> Result<(), LogError> {
        if let Err(error) = self.check_usable() {
            return match error {
                // A log that never left a full disk's read-only state has nothing to write down.
                LogError::DiskFull => Ok(()),
                error => Err(error),
            };
        }
        let topics: Vec<_> = self.topics.read().by_id.values().cloned().collect();
        let mut clean = true;
        for topic in topics {
            // The tail of a partition that recovery left alone is still to be recovered.
            let partitions = topic.partitions();
            clean &= partitions
                .iter()
                .all(|partition| partition.state.read().frozen.is_none());
            if topic.kind.get() == TopicKind::Ingested
                && self.env.config.durability == Durability::Sync
            {
                continue;
            }
            let frontier = *topic.frontier.borrow();
            let mut synced = true;
            for partition in &partitions {
                let mut writer = partition.writer.lock();
                synced &= partition.check_writable().is_ok() && partition.sync(&mut writer).is_ok();
            }
            if synced {
                *topic.synced_frontier.write() = frontier;
            }
            clean &= synced;
        }
        self.write_manifest_locked(&mut self.manifest.lock(), clean)
    }

    /// On a full disk the reserve makes room: what ends or frees something must always be possible.
    pub fn write_manifest_locked(
        &self,
        state: &mut ManifestState,
        clean: bool,
    ) -> Result<(), LogError> {
        match self.write_manifest_within_space(state, clean) {
            Err(LogError::DiskFull) if self.reserve().release() => {
                self.write_manifest_within_space(state, clean)
            }
            result => result,
        }
    }

    pub fn reserve(&self) -> Reserve<'_> {
        Reserve::new(&*self.env.disk, &self.env.config.dir)
    }

    fn write_manifest_within_space(
        &self,
        state: &mut ManifestState,
        clean: bool,
    ) -> Result<(), LogError> {
        let mut manifest = self.snapshot(state);
        manifest.clean = clean;
        manifest.write(&*self.env.disk, &self.env.config.dir)?;
        state.generation = manifest.generation;
        for path in state.garbage.drain(..) {
            // What cannot be removed now is removed by the next start.
            let _ = self.env.disk.remove(&path);
        }
        Ok(())
    }

    /// What is durable, at one moment between two commits.
    fn snapshot(&self, state: &ManifestState) -> Manifest {
        let _commits_rest = self.commit.lock();
        let durability = self.env.config.durability;
        let topics: Vec<_> = self.topics.read().by_id.values().cloned().collect();
        let topics = topics
            .iter()
            .map(|topic| {
                let ingested = topic.kind.get() == TopicKind::Ingested;
                let mut partitions = topic.partitions();
                if let Some((growing, new)) = &state.growing
                    && *growing == topic.id
                {
                    partitions.extend(new.iter().cloned());
                }
                let mut config = topic.config.read().clone();
                config.partitions = partitions.len() as u32;
                let partitions = partitions
                    .iter()
                    .map(|partition| {
                        let mut writer = partition.writer.lock();
                        if ingested
                            && durability == Durability::Os
                            && partition.check_writable().is_ok()
                        {
                            // A failure poisons the partition, and its entry then ends at its last sync.
                            let _ = partition.sync(&mut writer);
                        }
                        partition.forget_producers();
                        partition.entry(&writer, ingested && durability == Durability::Sync)
                    })
                    .collect();
                TopicEntry {
                    id: topic.id,
                    config,
                    frontier: *topic.synced_frontier.read(),
                    partitions,
                }
            })
            .collect();
        Manifest {
            generation: state.generation + 1,
            clean: false,
            durability,
            sealed: self.env.sealed.epoch(),
            sealed_time: self.env.sealed.last_time(),
            next_topic: state.next_topic,
            topics,
        }
    }
}
