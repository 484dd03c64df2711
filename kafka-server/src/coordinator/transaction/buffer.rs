//! What an open transaction holds, and the check that nothing is missing or there twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use kafka_protocol::ResponseError;

use super::super::group::{CommittedOffset, PartitionName};
use super::super::storage::Payload;

/// Batches of a partition of which retries are recognised, as in Apache Kafka.
const REMEMBERED: usize = 5;

/// A batch of records for a partition.
#[derive(Debug, Clone)]
pub struct DataBatch {
    pub partition: PartitionName,
    pub first_sequence: i32,
    pub last_sequence: i32,
    /// Memory that it takes.
    pub bytes: usize,
    pub payload: Payload,
}

/// Offsets of a group, to be committed.
pub type GroupOffsets = BTreeMap<PartitionName, CommittedOffset>;

/// What an open transaction holds.
#[derive(Debug, Clone, Default)]
pub struct Buffer {
    partitions: BTreeSet<PartitionName>,
    groups: BTreeSet<String>,
    batches: Vec<DataBatch>,
    offsets: BTreeMap<String, GroupOffsets>,
    bytes: usize,
}

impl Buffer {
    pub fn add(&mut self, partitions: &[PartitionName], group: Option<&str>) {
        self.partitions.extend(partitions.iter().cloned());
        self.groups.extend(group.map(str::to_owned));
    }

    pub fn has(&self, partition: &PartitionName) -> bool {
        self.partitions.contains(partition)
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// In the order of their arrival.
    pub fn batches(&self) -> &[DataBatch] {
        &self.batches
    }

    pub fn offsets(&self) -> &BTreeMap<String, GroupOffsets> {
        &self.offsets
    }

    /// All groups that it may have offsets of.
    pub fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.iter()
    }

    pub fn push(&mut self, batch: DataBatch) {
        self.bytes += batch.bytes;
        self.batches.push(batch);
    }

    /// The last offset of a partition counts.
    pub fn put_offsets(&mut self, group: &str, offsets: GroupOffsets) {
        self.groups.insert(group.to_owned());
        self.offsets
            .entry(group.to_owned())
            .or_default()
            .extend(offsets);
    }
}

/// What a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceCheck {
    /// The one that was to come.
    Next,
    /// One that is held already.
    Duplicate,
}

/// The sequence numbers of a producer's epoch.
#[derive(Debug)]
pub struct Sequences {
    /// The epoch began under our eyes, so that every partition begins at 0.
    from_start: bool,
    /// First and last sequence of the last batches of each partition.
    last: HashMap<PartitionName, VecDeque<(i32, i32)>>,
}

impl Sequences {
    pub fn new(from_start: bool) -> Self {
        Self {
            from_start,
            last: HashMap::new(),
        }
    }

    /// Checks a batch.
    pub fn check(&self, batch: &DataBatch) -> Result<SequenceCheck, ResponseError> {
        let Some(last) = self.last.get(&batch.partition) else {
            return match self.from_start && batch.first_sequence != 0 {
                true => Err(ResponseError::OutOfOrderSequenceNumber),
                false => Ok(SequenceCheck::Next),
            };
        };
        if last.contains(&(batch.first_sequence, batch.last_sequence)) {
            return Ok(SequenceCheck::Duplicate);
        }
        let newest = last.back().map_or(-1, |(_, last)| *last);
        let expected = if newest == i32::MAX { 0 } else { newest + 1 };
        match batch.first_sequence == expected {
            true => Ok(SequenceCheck::Next),
            false => Err(ResponseError::OutOfOrderSequenceNumber),
        }
    }

    /// A batch is held.
    pub fn remember(&mut self, batch: &DataBatch) {
        let last = self.last.entry(batch.partition.clone()).or_default();
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back((batch.first_sequence, batch.last_sequence));
    }
}
