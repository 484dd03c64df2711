//! Deleting the oldest rows of a partition because somebody says so (retention does it by age and size).

use std::sync::Arc;

use crate::{
    Log, LogError, Offset, PartitionId, TopicId,
    log::Shared,
    partition::PartitionInner,
    segment::{SEGMENT_HEADER_LEN, Segment},
};

impl Log {
    /// Deletes the rows before an offset, durably; gives the partition's start then, which never goes back.
    ///
    /// Files go once all of their rows are before it. A batch that reaches over it is still handed out whole, the rows
    /// before it not [visible](crate::StoredBatch::visible). After an error the rows may be there again when the log is
    /// opened anew.
    pub fn delete_records(
        &self,
        topic: TopicId,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, LogError> {
        let shared = &self.shared;
        shared.check_usable()?;
        let partition = shared.topic(topic)?.partition(partition)?;
        shared.delete_before(&partition, before)
    }
}

impl Shared {
    fn delete_before(
        &self,
        partition: &Arc<PartitionInner>,
        before: Offset,
    ) -> Result<Offset, LogError> {
        let mut manifest = self.manifest.lock();
        self.close_if_all_goes(partition, before)?;
        let doomed = {
            let mut state = partition.state.write();
            if before > state.end {
                return Err(LogError::OffsetOutOfRange {
                    offset: before,
                    start: state.start,
                    end: state.end,
                });
            }
            if before <= state.start {
                return Ok(state.start);
            }
            state.start = before;
            state.take_segments_before_start()
        };
        let paths = doomed.iter().map(|segment| segment.path.clone());
        manifest.garbage.extend(paths);
        self.write_manifest_locked(&mut manifest, false)?;
        Ok(before)
    }

    /// What the manifest will say of the start must not lie behind what is durable; and when all rows go, the file that
    /// was being written goes too.
    fn close_if_all_goes(
        &self,
        partition: &Arc<PartitionInner>,
        before: Offset,
    ) -> Result<(), LogError> {
        let _commits_rest = self.commit.lock();
        let mut writer = partition.writer.lock();
        partition.check_writable()?;
        if !partition.syncs_each_append() {
            partition.sync(&mut writer)?;
        }
        let all_go = before == partition.state.read().end;
        if all_go && writer.active.is_some() && writer.position > SEGMENT_HEADER_LEN {
            // On a full disk the file stays until the next one is begun.
            match partition.roll(&mut writer) {
                Err(error) if !error.is_passing() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl crate::partition::PartitionState {
    /// Takes out the segments that hold nothing at or behind the start. The last one stays: it is the active one, or it
    /// names the partition's end.
    pub fn take_segments_before_start(&mut self) -> Vec<Arc<Segment>> {
        let gone = self
            .segments
            .partition_point(|segment| segment.end() <= self.start)
            .min(self.segments.len().saturating_sub(1));
        self.segments.drain(..gone).collect()
    }
}
