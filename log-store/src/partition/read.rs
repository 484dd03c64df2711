//! Reading a partition: by offset, by epoch, by rowtime.

use std::sync::Arc;

use super::{Health, PartitionInner};
use crate::{
    Epoch, LogError, Offset, PartitionId, ProducerStamp, ProducerState, StoredBatch, TopicId,
    TopicKind, segment::Segment,
};

/// A partition as its readers see it. Cheap to clone; stays readable after its topic was dropped, for as long as it is
/// held.
#[derive(Clone)]
pub struct Partition {
    pub(crate) inner: Arc<PartitionInner>,
}

impl Partition {
    /// Its number in its topic.
    pub fn id(&self) -> PartitionId {
        self.inner.id
    }

    /// Its topic.
    pub fn topic(&self) -> TopicId {
        self.inner.topic
    }

    /// The first offset that retention and [`crate::Log::delete_records`] have left.
    pub fn start_offset(&self) -> Offset {
        self.inner.state.read().start
    }

    /// The high watermark: the first offset that is not visible yet.
    pub fn end_offset(&self) -> Offset {
        self.inner.state.read().end
    }

    /// The newest epoch of which this partition holds rows. (How far it is *complete* is its topic's frontier.)
    pub fn frontier(&self) -> Epoch {
        self.inner.state.read().last_epoch
    }

    /// Bytes on disk.
    pub fn size_bytes(&self) -> u64 {
        let state = self.inner.state.read();
        state.segments.iter().map(|segment| segment.len()).sum()
    }

    /// How many segment files there are.
    pub fn segment_count(&self) -> usize {
        self.inner.state.read().segments.len()
    }

    /// Why the partition takes no appends, if it does not.
    pub fn fault(&self) -> Option<LogError> {
        self.inner.check_writable().err()
    }

    /// Batches with rows at or after `from`, in order, up to an epoch (included): at least one if there is any, then more
    /// until their bodies reach `bytes_max`.
    ///
    /// An ingested topic shows nothing beyond the sealed epoch. A derived one shows what was written, so its readers ask
    /// for epochs up to its topic's frontier. Empty when there is nothing (yet) to read.
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        up_to: Epoch,
    ) -> Result<Vec<StoredBatch>, LogError> {
        let up_to = match self.inner.kind.get() {
            TopicKind::Ingested => up_to.min(self.inner.env.sealed.epoch()),
            TopicKind::Derived => up_to,
        };
        let mut out = Vec::new();
        let mut bytes = 0;
        let mut from = from;
        loop {
            let segment = {
                let state = self.inner.state.read();
                if out.is_empty() && (from < state.start || from > state.end) {
                    return Err(LogError::OffsetOutOfRange {
                        offset: from,
                        start: state.start,
                        end: state.end,
                    });
                }
                if from == state.end {
                    return match &state.health {
                        // Rows are missing here: an empty answer would say that there are none.
                        Health::Damaged(corruption) if out.is_empty() => {
                            Err(LogError::Corruption(corruption.clone()))
                        }
                        _ => Ok(out),
                    };
                }
                if state.tail.reaches(from) {
                    state
                        .tail
                        .read(from, bytes_max, up_to, &mut out, &mut bytes);
                    return Ok(out);
                }
                segment_of(&state.segments, from)
            };
            let Some(segment) = segment else {
                return Ok(out);
            };
            // The end is taken before reading: rows published meanwhile are left for the next round.
            let end = segment.end();
            let exhausted = segment.read(from, bytes_max, up_to, &mut out, &mut bytes)?;
            if !exhausted || bytes >= bytes_max {
                return Ok(out);
            }
            from = out
                .last()
                .map_or(end, |last| last.last_offset.plus(1).max(end));
        }
    }

    /// The first offset whose epoch is later than `epoch`; the high watermark if there is none.
    ///
    /// Where retention took rows away, that is at least [`Partition::start_offset`].
    pub fn offset_of_epoch(&self, epoch: Epoch) -> Result<Offset, LogError> {
        let Held {
            segments,
            start,
            end,
            last_epoch,
        } = self.held();
        if last_epoch <= epoch {
            return Ok(end);
        }
        let first = segments.partition_point(|segment| segment.summary().last_epoch <= epoch);
        for segment in &segments[first..] {
            if let Some(offset) = segment.offset_after_epoch(epoch)? {
                return Ok(offset.max(start));
            }
        }
        Ok(end)
    }

    /// Where the first batch begins that may have a row of at least this rowtime; the high watermark if there is none.
    ///
    /// Which of its rows that is, only who understands its body can say: read from the offset given here, and go on with
    /// [`Partition::offset_of_time_from`] if no row of the batch reaches the rowtime after all. (Compaction and deletion
    /// may have taken the one that did.)
    pub fn offset_of_time(&self, rowtime: i64) -> Result<Offset, LogError> {
        self.offset_of_time_from(rowtime, Offset::ZERO)
    }

    /// As [`Partition::offset_of_time`], among the rows at or after an offset.
    pub fn offset_of_time_from(&self, rowtime: i64, from: Offset) -> Result<Offset, LogError> {
        let held = self.held();
        let from = from.max(held.start);
        for segment in &held.segments {
            let summary = segment.summary();
            if summary.end > from
                && summary.rowtime_max >= rowtime
                && let Some(offset) = segment.offset_of_rowtime(rowtime, from)?
            {
                return Ok(offset.max(from));
            }
        }
        Ok(held.end)
    }

    /// The largest rowtime, and where the first batch begins that has it; `None` without any rows.
    ///
    /// As exact as [`StoredBatch::rowtime_max`] is.
    pub fn max_rowtime(&self) -> Result<Option<(i64, Offset)>, LogError> {
        let held = self.held();
        let mut segments: Vec<(i64, &Arc<Segment>)> = held
            .segments
            .iter()
            .map(|segment| (segment.summary(), segment))
            .filter(|(summary, _)| summary.end > held.start)
            .map(|(summary, segment)| (summary.rowtime_max, segment))
            .collect();
        // The most promising first, and of those the oldest.
        segments.sort_by_key(|(rowtime, _)| std::cmp::Reverse(*rowtime));
        let mut best: Option<(i64, Offset)> = None;
        for (promised, segment) in segments {
            if best.is_some_and(|(rowtime, _)| promised <= rowtime) {
                break;
            }
            if let Some(found) = segment.max_rowtime(held.start)?
                && best.is_none_or(|(rowtime, _)| rowtime < found.0)
            {
                best = Some(found);
            }
        }
        Ok(best.map(|(rowtime, offset)| (rowtime, offset.max(held.start))))
    }

    /// What is known of the producers that stamp their batches.
    pub fn producers(&self) -> Vec<ProducerState> {
        self.inner.state.read().producers.states()
    }

    /// What would become of a producer's next batch: `None` if it would be written, its base offset if it has been
    /// before. (What is under way and not yet answered does not count.)
    pub fn check_producer(
        &self,
        stamp: ProducerStamp,
        rows: u32,
    ) -> Result<Option<Offset>, LogError> {
        self.inner.state.read().producers.check(stamp, rows)
    }

    /// The distinct epochs after `epoch` of which this partition holds rows, in order: a replay stops at each.
    pub fn epochs_after(&self, epoch: Epoch) -> Result<Vec<Epoch>, LogError> {
        let held = self.held();
        let mut found = Vec::new();
        for segment in held.segments {
            let summary = segment.summary();
            if summary.last_epoch > epoch && summary.end > held.start {
                segment.epochs_after(epoch, held.start, &mut found)?;
            }
        }
        Ok(found.into_iter().map(|(epoch, _)| epoch).collect())
    }

    /// The wall-clock time of the newest epoch at or before `epoch` of which this partition holds rows.
    pub(crate) fn time_of_epoch(&self, epoch: Epoch) -> Result<Option<(Epoch, i64)>, LogError> {
        let segments = self.held().segments;
        let first = segments.partition_point(|segment| segment.summary().last_epoch < epoch);
        if let Some(segment) = segments.get(first) {
            let before = Epoch(epoch.0.saturating_sub(1));
            let mut found = Vec::new();
            segment.epochs_after(before, Offset::ZERO, &mut found)?;
            if let Some(&exact) = found.first().filter(|(e, _)| *e == epoch) {
                return Ok(Some(exact));
            }
        }
        Ok(segments[..first].last().map(|segment| {
            let summary = segment.summary();
            (summary.last_epoch, summary.last_time)
        }))
    }

    fn held(&self) -> Held {
        let state = self.inner.state.read();
        Held {
            segments: state.segments.clone(),
            start: state.start,
            end: state.end,
            last_epoch: state.last_epoch,
        }
    }
}

/// What a partition holds at a moment.
struct Held {
    segments: Vec<Arc<Segment>>,
    start: Offset,
    end: Offset,
    last_epoch: Epoch,
}

/// The first segment that reaches beyond `offset`. (Where compaction left nothing, that may begin after it.)
fn segment_of(segments: &[Arc<Segment>], offset: Offset) -> Option<Arc<Segment>> {
    let first = segments.partition_point(|segment| segment.end() <= offset);
    segments.get(first).cloned()
}
