//! Background work: retention, merging of small batches, compaction, and a fresh manifest. Never blocks an append.

use std::sync::Arc;

use crate::{
    Cleanup, Epoch, Log, LogError, TopicId,
    log::Shared,
    partition::PartitionInner,
    rewrite::Survivors,
    segment::{SEGMENT_HEADER_LEN, Segment},
    topic::TopicInner,
};

/// What one round of background work did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Segments deleted by retention.
    pub segments_deleted: usize,
    /// Segments written anew, their small batches merged.
    pub segments_merged: usize,
    /// Segments written anew by compaction.
    pub segments_compacted: usize,
    /// Rows that compaction took away.
    pub rows_removed: u64,
    /// Bytes of the rewritten segments before.
    pub bytes_before: u64,
    /// Bytes of the rewritten segments after.
    pub bytes_after: u64,
}

impl Log {
    /// One round of background work, on the calling thread.
    pub fn run_maintenance_once(&self) -> Result<MaintenanceReport, LogError> {
        self.shared.run_maintenance()
    }

    /// Lets compaction touch rows of a compacted topic up to an epoch: no reader will replay from before it any more.
    ///
    /// A replay of epochs whose rows were partly compacted away would not give the same output again; so nothing is
    /// compacted until the engine says how far its checkpoints have come, and says so anew after each start.
    pub fn set_compaction_bound(&self, topic: TopicId, epoch: Epoch) -> Result<(), LogError> {
        let topic = self.shared.topic(topic)?;
        *topic.compaction_bound.write() = epoch;
        Ok(())
    }
}

impl Shared {
    pub fn run_maintenance(&self) -> Result<MaintenanceReport, LogError> {
        let _one_at_a_time = self.maintenance.lock();
        self.check_usable()?;
        let mut report = MaintenanceReport::default();
        let topics: Vec<_> = self.topics.read().by_id.values().cloned().collect();
        let mut doomed = Vec::new();
        for topic in &topics {
            for partition in &topic.partitions() {
                if partition.check_writable().is_ok() {
                    self.close_aged(topic, partition)?;
                    doomed.extend(self.expire(topic, partition));
                }
            }
        }
        report.segments_deleted = doomed.len();
        let mut manifest = self.manifest.lock();
        manifest
            .garbage
            .extend(doomed.iter().map(|segment| segment.path.clone()));
        // From here on recovery knows which segments are closed; only those are rewritten.
        self.write_manifest_locked(&mut manifest, false)?;
        drop(manifest);
        self.reserve().renew();
        for topic in &topics {
            for partition in &topic.partitions() {
                if self.is_ending() {
                    return Ok(report);
                }
                if partition.check_writable().is_ok() {
                    self.rewrite(topic, partition, &mut report)?;
                }
            }
        }
        Ok(report)
    }

    /// Begins a new segment when the last one is too old, so that a quiet partition forgets and is compacted too.
    fn close_aged(
        &self,
        topic: &TopicInner,
        partition: &Arc<PartitionInner>,
    ) -> Result<(), LogError> {
        let config = topic.config.read().clone();
        let opened_before = config.segment_ms.map(|ms| self.horizon(ms));
        let written_before = config.retention_ms.map(|ms| self.horizon(ms));
        // After a start nothing is active before the first append; the last segment is then as good as closed, but only
        // the next one makes it so.
        let is_aged = || {
            let last = partition.state.read().segments.last().cloned();
            last.map(|last| last.summary()).is_some_and(|last| {
                last.len > SEGMENT_HEADER_LEN
                    && (opened_before.is_some_and(|horizon| last.first_time < horizon)
                        || written_before.is_some_and(|horizon| last.last_time < horizon))
            })
        };
        // Appends are held up only where there is something to do.
        if !is_aged() {
            return Ok(());
        }
        let _commits_rest = self.commit.lock();
        let mut writer = partition.writer.lock();
        if is_aged() {
            match partition.roll(&mut writer) {
                // On a full disk the other partitions must forget all the more.
                Err(error) if !error.is_passing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes segments that are too old, or too many, out of the partition; their files are removed later.
    fn expire(&self, topic: &TopicInner, partition: &PartitionInner) -> Vec<Arc<Segment>> {
        let config = topic.config.read().clone();
        let horizon = config.retention_ms.map(|ms| self.horizon(ms));
        let mut state = partition.state.write();
        let mut size: u64 = state.segments.iter().map(|segment| segment.len()).sum();
        let mut expired = 0;
        // The last segment stays: it is the active one, or it names the partition's end.
        for segment in &state.segments[..state.segments.len().saturating_sub(1)] {
            let summary = segment.summary();
            let too_old = horizon.is_some_and(|horizon| summary.last_time < horizon);
            let too_many = config.retention_bytes.is_some_and(|bytes| size > bytes);
            if !too_old && !too_many {
                break;
            }
            size -= summary.len;
            expired += 1;
        }
        let doomed: Vec<_> = state.segments.drain(..expired).collect();
        if let Some(last) = doomed.last() {
            // Rows behind it may have been deleted already.
            state.start = state.start.max(last.end());
        }
        doomed
    }

    /// What is older than `age_ms` lies before this wall-clock time.
    pub fn horizon(&self, age_ms: u64) -> i64 {
        let age = i64::try_from(age_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        self.env.clock.now_micros().saturating_sub(age)
    }

    fn rewrite(
        &self,
        topic: &TopicInner,
        partition: &Arc<PartitionInner>,
        report: &mut MaintenanceReport,
    ) -> Result<(), LogError> {
        let cleanup = topic.config.read().cleanup;
        let result = match cleanup {
            Cleanup::Delete => self.merge(partition, report),
            Cleanup::Compact {
                tombstone_retention_ms,
            } => self.compact(topic, partition, tombstone_retention_ms, report),
        };
        match result {
            // The segments stay as they are, and whoever reads them learns of the damage. Others go on.
            Err(error @ (LogError::Codec(_) | LogError::Corruption(_))) => {
                tracing::error!(
                    topic = topic.id.0,
                    partition = partition.id.0,
                    %error,
                    "segments could not be rewritten"
                );
                Ok(())
            }
            Err(LogError::Closed) => Ok(()),
            result => result,
        }
    }

    fn merge(
        &self,
        partition: &Arc<PartitionInner>,
        report: &mut MaintenanceReport,
    ) -> Result<(), LogError> {
        let (closed, segment_bytes) = closed(partition);
        let unmerged = |segment: &Arc<Segment>| !segment.summary().merged;
        for group in closed.chunk_by(|a, b| unmerged(a) == unmerged(b)) {
            if !unmerged(&group[0]) {
                continue;
            }
            for run in runs(group, segment_bytes) {
                if self.is_ending() {
                    return Ok(());
                }
                if let [segment] = run
                    && !self.has_small_neighbours(segment)?
                {
                    segment.update_summary(|summary| summary.merged = true);
                    continue;
                }
                self.replace(partition, run, None, report)?;
            }
        }
        Ok(())
    }

    /// Keeps the last row of each key, once enough has come in since the last time.
    fn compact(
        &self,
        topic: &TopicInner,
        partition: &Arc<PartitionInner>,
        tombstone_retention_ms: u64,
        report: &mut MaintenanceReport,
    ) -> Result<(), LogError> {
        let bound = *topic.compaction_bound.read();
        let (mut segments, segment_bytes) = closed(partition);
        segments.truncate(segments.partition_point(|s| s.summary().last_epoch <= bound));
        let clean = segments.partition_point(|segment| segment.summary().compacted);
        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|s| s.len()).sum::<u64>();
        let dirty = &segments[clean..];
        if dirty.is_empty() || bytes(dirty) * 2 < bytes(&segments[..clean]) {
            return Ok(());
        }
        let (survivors, covered) = Survivors::of(
            &self.env,
            dirty,
            self.horizon(tombstone_retention_ms),
            self.env.config.compaction_bytes_max,
        )?;
        // Oldest first: a tombstone must not go before what it hides.
        for run in runs(&segments[..clean + covered], segment_bytes) {
            if self.is_ending() {
                return Ok(());
            }
            self.replace(partition, run, Some(&survivors), report)?;
        }
        Ok(())
    }
}

/// All segments of a partition but the last, and how large one may be.
fn closed(partition: &PartitionInner) -> (Vec<Arc<Segment>>, u64) {
    let state = partition.state.read();
    let count = state.segments.len().saturating_sub(1);
    (state.segments[..count].to_vec(), state.segment_bytes)
}

/// Neighbours that fit into one segment.
fn runs(segments: &[Arc<Segment>], bytes_max: u64) -> Vec<&[Arc<Segment>]> {
    let mut runs = Vec::new();
    let mut rest = segments;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|segment| {
                bytes += segment.len();
                bytes <= bytes_max
            })
            .count();
        let (run, after) = rest.split_at(fitting.max(1));
        runs.push(run);
        rest = after;
    }
    runs
}
