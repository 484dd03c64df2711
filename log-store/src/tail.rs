//! The in-memory tail: the newest batches of each partition, shared with readers as they were handed in.
//!
//! All partitions together keep to one budget; the oldest published batch of the whole log goes first. Invariant: a
//! partition's tail is a suffix of its published batches.

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

    pub fn pop(&mut self) {
        self.batches.pop_front();
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
                owner.state.write().tail.pop();
            }
        }
    }
}
