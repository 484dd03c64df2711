//! The sparse index of a segment: about one entry for each [`SPAN_BYTES`] of it, found by offset, epoch or rowtime.
//!
//! It is kept in memory only and rebuilt from the batch headers whenever a closed segment is first asked for; an active
//! segment's grows with it. So there is no index file that could contradict the log.

use crate::{Epoch, Offset, batch::BatchHeader};

/// At least so many bytes lie between two entries.
const SPAN_BYTES: u64 = 64 << 10;

/// Batches from `position` up to the next entry's.
#[derive(Clone, Copy, Debug)]
struct Entry {
    position: u64,
    base_offset: Offset,
    /// The newest epoch within the span; epochs never decrease along a partition.
    last_epoch: Epoch,
    /// The largest rowtime in all spans up to this one, so that it never decreases either.
    rowtime_max: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    pub fn push(&mut self, position: u64, header: &BatchHeader) {
        if let Some(last) = self.entries.last_mut() {
            let rowtime_max = last.rowtime_max.max(header.rowtime_max);
            if position - last.position < SPAN_BYTES {
                last.last_epoch = header.epoch;
                last.rowtime_max = rowtime_max;
                return;
            }
            self.entries.push(Entry {
                position,
                base_offset: header.base_offset,
                last_epoch: header.epoch,
                rowtime_max,
            });
        } else {
            self.entries.push(Entry {
                position,
                base_offset: header.base_offset,
                last_epoch: header.epoch,
                rowtime_max: header.rowtime_max,
            });
        }
    }

    /// Marks where a batch could not be read, so that every search that would lead behind it leads to it.
    pub fn push_damage(&mut self, position: u64, base_offset: Offset) {
        self.entries.push(Entry {
            position,
            base_offset,
            last_epoch: Epoch::MAX,
            rowtime_max: i64::MAX,
        });
    }

    /// A position at or before the batch that holds `offset`, as near as the index knows.
    pub fn by_offset(&self, offset: Offset) -> Option<u64> {
        let after = self.entries.partition_point(|e| e.base_offset <= offset);
        self.entries
            .get(after.saturating_sub(1))
            .map(|e| e.position)
    }

    /// A position at or before the first batch with a later epoch; `None` if there is none.
    pub fn after_epoch(&self, epoch: Epoch) -> Option<u64> {
        let first = self.entries.partition_point(|e| e.last_epoch <= epoch);
        self.entries.get(first).map(|e| e.position)
    }

    /// A position at or before the first batch that reaches `rowtime`; `None` if there is none.
    pub fn by_rowtime(&self, rowtime: i64) -> Option<u64> {
        let first = self.entries.partition_point(|e| e.rowtime_max < rowtime);
        self.entries.get(first).map(|e| e.position)
    }
}
