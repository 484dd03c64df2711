//! The in-memory tail: the newest batches of each partition, shared with readers as they were handed in.
//!
//! All partitions together keep to one budget; the oldest published batch of the whole log goes first. Invariant: a
//! partition's tail is a suffix of its published batches, of which none has lost rows to compaction.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    Epoch, Offset, StoredBatch,
    batch::{BatchHeader, Decoded, stored},
    partition::PartitionInner,
    segment::push_visible,
};

struct TailBatch {
    header: BatchHeader,
    body: Bytes,
    decoded: Option<Decoded>,
}

#[derive(Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
}

impl Tail {
    pub fn push(&mut self, header: BatchHeader, body: Bytes, decoded: Option<Decoded>) {
        self.batches.push_back(TailBatch {
            header,
            body,
            decoded,
        });
    }

    /// Drops the oldest batch, if there is one.
    pub fn pop(&mut self) -> bool {
        self.batches.pop_front().is_some()
    }

    /// Drops the batches before an offset; gives how many that were.
    fn drop_before(&mut self, offset: Offset) -> usize {
        let kept_from = self
            .batches
            .partition_point(|batch| batch.header.end_offset() <= offset);
        self.batches.drain(..kept_from).len()
    }

    /// Whether rows from `from` on can be read here (if any exist).
    pub fn reaches(&self, from: Offset) -> bool {
        self.batches
            .front()
            .is_some_and(|first| first.header.base_offset <= from)
    }

    /// As [`crate::segment::Segment::read`].
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        up_to: Epoch,
        out: &mut Vec<StoredBatch>,
        bytes: &mut usize,
    ) {
        let first = self
            .batches
            .partition_point(|batch| batch.header.end_offset() <= from);
        for batch in self.batches.range(first..) {
            let found = stored(
                &batch.header,
                batch.body.clone(),
                batch.decoded.clone(),
                None,
            );
            if !push_visible(found, from, up_to, out, bytes) || *bytes >= bytes_max {
                return;
            }
        }
    }
}

/// What all tails together may hold.
pub(crate) struct TailBudget {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// In the order of publishing, so popping its front pops the front of that partition's tail.
    batches: VecDeque<(Weak<PartitionInner>, usize)>,
}

/// What a batch costs beside its body.
const BATCH_BYTES: usize = 256;

impl TailBudget {
    pub fn new(bytes_max: usize) -> Self {
        TailBudget {
            bytes_max,
            held: Mutex::default(),
        }
    }

    /// Accounts for batches that were just pushed, and drops the oldest of the log while there are too many bytes.
    ///
    /// Must not be called with a partition's state locked.
    pub fn charge(&self, partition: &Arc<PartitionInner>, bodies: impl Iterator<Item = usize>) {
        let mut held = self.held.lock();
        for body in bodies {
            let bytes = body + BATCH_BYTES;
            held.bytes += bytes;
            held.batches.push_back((Arc::downgrade(partition), bytes));
        }
        while held.bytes > self.bytes_max
            && let Some((owner, bytes)) = held.batches.pop_front()
        {
            held.bytes -= bytes;
            if let Some(owner) = owner.upgrade() {
                let was_there = owner.state.write().tail.pop();
                debug_assert!(was_there, "what is accounted for is in the tail");
            }
        }
    }

    /// Drops a partition's batches before an offset, because its segments no longer hold all of their rows.
    ///
    /// The segment that is being written to must begin at or after the offset, so that all of these batches have been
    /// accounted for. Must not be called with the partition's state locked.
    pub fn drop_before(&self, partition: &Arc<PartitionInner>, offset: Offset) {
        let mut held = self.held.lock();
        let held = &mut *held;
        let mut dropped = partition.state.write().tail.drop_before(offset);
        if dropped == 0 {
            return;
        }
        let this = Arc::as_ptr(partition);
        held.batches.retain(|(owner, bytes)| {
            // A partition's oldest batches come first.
            let goes = dropped > 0 && owner.as_ptr() == this;
            if goes {
                dropped -= 1;
                held.bytes -= bytes;
            }
            !goes
        });
        debug_assert_eq!(dropped, 0, "what is in the tail is accounted for");
    }
}
