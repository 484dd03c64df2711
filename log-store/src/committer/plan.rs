//! What a group commit will write: which of the appends that wait it takes, and at which offsets.
//!
//! An append is refused for reasons of its own (no such topic, a producer out of sequence) without harm to the others.
//! Offsets are given here already; while the committer is at work nobody else appends to ingested partitions.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Epoch, LogError, Offset, PartitionId, TopicId, append::Appended, batch::Prepared, log::Shared,
    partition::PartitionInner, producers::Pending,
};

/// The batches of a group that go to one partition.
pub(super) struct Part {
    pub partition: Arc<PartitionInner>,
    pub batches: Vec<Prepared>,
    /// Behind what is published.
    pub start: Offset,
    next: Offset,
    producers: Pending,
}

impl Part {
    fn new(partition: &Arc<PartitionInner>) -> Self {
        let end = partition.state.read().end;
        Part {
            partition: partition.clone(),
            batches: Vec::new(),
            start: end,
            next: end,
            producers: Pending::default(),
        }
    }

    /// Takes a batch, unless it was taken before; gives its offset, and whether that is so.
    fn place(&mut self, batch: &Prepared) -> Result<(Offset, bool), LogError> {
        let rows = batch.header.rows;
        if let Some(stamp) = batch.header.producer {
            let written = &self.partition.state.read().producers;
            if let Some(known) = self.producers.check(written, stamp, rows, self.next)? {
                return Ok((known, true));
            }
        }
        let offset = self.next;
        self.next = offset.plus(u64::from(rows));
        self.batches.push(batch.clone());
        Ok((offset, false))
    }
}

/// Where the batches of an append come to lie.
#[derive(Default)]
pub(super) struct Placed {
    offsets: Vec<Offset>,
    duplicates: Vec<bool>,
    /// At least one of them is there only once the group is committed.
    waits: bool,
}

impl Placed {
    fn appended(self, epoch: Epoch) -> Appended {
        Appended {
            epoch,
            base_offsets: self.offsets,
            duplicates: self.duplicates,
        }
    }
}

/// The plan of a group commit.
#[derive(Default)]
pub(super) struct Plan {
    /// What is to be written. None is empty.
    pub parts: BTreeMap<(TopicId, PartitionId), Part>,
    /// Of each append.
    placed: Vec<Result<Placed, LogError>>,
}

impl Plan {
    /// To be made, and carried out, while other commits rest.
    pub fn of(shared: &Shared, requests: &[Vec<Prepared>]) -> Self {
        let mut plan = Plan::default();
        for batches in requests {
            let placed = plan.take(shared, batches);
            plan.placed.push(placed);
        }
        plan.parts.retain(|_, part| !part.batches.is_empty());
        plan
    }

    /// Takes an append as a whole, or nothing of it.
    fn take(&mut self, shared: &Shared, batches: &[Prepared]) -> Result<Placed, LogError> {
        let partitions = shared.resolve(batches)?;
        let mut placed = Placed::default();
        for (batch, partition) in batches.iter().zip(&partitions) {
            let part = self
                .parts
                .entry((batch.topic, batch.partition))
                .or_insert_with(|| Part::new(partition));
            match part.place(batch) {
                Ok((offset, duplicate)) => {
                    placed.waits |= offset >= part.start;
                    placed.offsets.push(offset);
                    placed.duplicates.push(duplicate);
                }
                Err(error) => {
                    self.take_back(batches, &placed.duplicates);
                    return Err(error);
                }
            }
        }
        self.for_producers(batches, Pending::keep);
        Ok(placed)
    }

    /// Takes back the first batches of an append, as many as `duplicates` tells of.
    fn take_back(&mut self, batches: &[Prepared], duplicates: &[bool]) {
        for (batch, duplicate) in batches.iter().zip(duplicates).rev() {
            if let Some(part) = self.parts.get_mut(&(batch.topic, batch.partition))
                && !duplicate
            {
                part.batches.pop();
                part.next = Offset(part.next.0 - u64::from(batch.header.rows));
            }
        }
        self.for_producers(batches, Pending::take_back);
    }

    fn for_producers(&mut self, batches: &[Prepared], change: impl Fn(&mut Pending)) {
        for batch in batches {
            if batch.header.producer.is_some()
                && let Some(part) = self.parts.get_mut(&(batch.topic, batch.partition))
            {
                change(&mut part.producers);
            }
        }
    }

    /// The answers once the parts are committed in an epoch (or there are none).
    pub fn committed(self, epoch: Epoch) -> Vec<Result<Appended, LogError>> {
        let answer = |placed: Result<Placed, LogError>| placed.map(|p| p.appended(epoch));
        self.placed.into_iter().map(answer).collect()
    }

    /// The answers of those whose fate does not depend on the parts, when these could not be committed.
    pub fn settled(self, sealed: Epoch) -> Vec<Option<Result<Appended, LogError>>> {
        let answer = |placed: Result<Placed, LogError>| match placed {
            Ok(placed) if placed.waits => None,
            placed => Some(placed.map(|placed| placed.appended(sealed))),
        };
        self.placed.into_iter().map(answer).collect()
    }
}
