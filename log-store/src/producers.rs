//! Idempotent producers: which of a producer's batches a partition has, so that a second sending changes nothing.
//!
//! ```text
//!  batch ──► check ──► in sequence           ──► written, then recorded from its header
//!               ├────► one of the newest five ──► answered with its first base offset, not written
//!               └────► anything else          ──► refused: its whole append is
//! ```
//!
//! The rules are those of Kafka's brokers, so that its clients find what they expect. A producer numbers its rows in each
//! partition, from zero, over again with each of its epochs; a batch carries the number of its first row. A producer that
//! the partition does not know (any more) may begin with any number.
//!
//! The state is kept in the manifest, as of the batches that the manifest lists, and recovery adds what the headers
//! behind them say. So it outlives the batches themselves. It is bounded: producers that wrote nothing for long are
//! forgotten when a manifest is written, and so are the quietest of too many.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{LogError, Offset, batch::BatchHeader};

/// As many batches of a producer are recognised when they come again; a Kafka client has no more under way.
const BATCHES_MAX: usize = 5;
/// Numbers of rows go from zero to 2³¹ − 1, and then from zero again.
const SEQUENCES: i64 = 1 << 31;

/// The number that a producer gave a batch.
///
/// Meant for batches that reach the log in the order of their numbers. Whoever holds batches back and may drop them (a
/// transaction that is aborted) has to check the numbers on arrival and appends without a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerStamp {
    /// The producer; never negative.
    pub id: i64,
    /// How often the producer was begun anew; those of lower epochs are fenced off. Never negative.
    pub epoch: i16,
    /// The number of the batch's first row; never negative. After `i32::MAX` comes zero.
    pub sequence: i32,
}

impl ProducerStamp {
    pub(crate) fn is_valid(&self) -> bool {
        self.id >= 0 && self.epoch >= 0 && self.sequence >= 0
    }

    /// The number of the row after the last of so many.
    pub fn sequence_after(&self, rows: u32) -> i32 {
        // The remainder fits.
        ((i64::from(self.sequence) + i64::from(rows)) % SEQUENCES) as i32
    }
}

/// What a partition knows of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The number that its next row must have.
    pub next_sequence: i32,
    /// The offset of its newest row.
    pub last_offset: Offset,
    /// When it last wrote, by the wall clock of the epoch, in microseconds.
    pub last_time: i64,
}

/// A batch that would be recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i32, u32, Offset)", into = "(i32, u32, Offset)")]
struct Known {
    sequence: i32,
    rows: u32,
    base: Offset,
}

impl From<(i32, u32, Offset)> for Known {
    fn from((sequence, rows, base): (i32, u32, Offset)) -> Self {
        Known {
            sequence,
            rows,
            base,
        }
    }
}

impl From<Known> for (i32, u32, Offset) {
    fn from(known: Known) -> Self {
        (known.sequence, known.rows, known.base)
    }
}

/// The newest batches of a producer, oldest first: in place, so that the committer can copy them without allocating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Known>", into = "Vec<Known>")]
struct Recent {
    batches: [Known; BATCHES_MAX],
    count: usize,
}

impl Recent {
    fn as_slice(&self) -> &[Known] {
        &self.batches[..self.count]
    }

    fn push(&mut self, batch: Known) {
        if self.count == BATCHES_MAX {
            self.batches.copy_within(1.., 0);
            self.count -= 1;
        }
        self.batches[self.count] = batch;
        self.count += 1;
    }

    fn pop_if(&mut self, condition: impl Fn(&Known) -> bool) -> Option<Known> {
        let last = *self.as_slice().last().filter(|last| condition(last))?;
        self.count -= 1;
        Some(last)
    }
}

impl From<Vec<Known>> for Recent {
    fn from(batches: Vec<Known>) -> Self {
        let mut recent = Recent::default();
        batches.into_iter().for_each(|batch| recent.push(batch));
        recent
    }
}

impl From<Recent> for Vec<Known> {
    fn from(recent: Recent) -> Self {
        recent.as_slice().to_vec()
    }
}

/// A producer's entry, in the manifest as in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    id: i64,
    epoch: i16,
    next: i32,
    /// So many rows in sequence before `next` are known to have been written in this epoch.
    rows: u64,
    time: i64,
    /// Never empty.
    batches: Recent,
}

impl Producer {
    /// The base offset of the batch if it was written before, `None` if it is the next; an error otherwise.
    fn check(&self, stamp: ProducerStamp, rows: u32) -> Result<Option<Offset>, LogError> {
        let out_of_order = |expected| LogError::OutOfOrderSequence {
            producer: stamp.id,
            epoch: stamp.epoch,
            sequence: stamp.sequence,
            expected,
        };
        if stamp.epoch < self.epoch {
            return Err(LogError::ProducerFenced {
                producer: stamp.id,
                epoch: stamp.epoch,
                current: self.epoch,
            });
        }
        if stamp.epoch > self.epoch {
            return match stamp.sequence {
                0 => Ok(None),
                _ => Err(out_of_order(0)),
            };
        }
        let batches = self.batches.as_slice();
        let again = batches
            .iter()
            .find(|known| known.sequence == stamp.sequence && known.rows == rows);
        if let Some(known) = again {
            return Ok(Some(known.base));
        }
        if stamp.sequence == self.next {
            return Ok(None);
        }
        let behind = i64::from(self.next) - i64::from(stamp.sequence);
        let behind = behind.rem_euclid(SEQUENCES) as u64;
        let remembered: u64 = batches.iter().map(|b| u64::from(b.rows)).sum();
        // All of its rows are there, but nobody remembers at which offset.
        if behind <= self.rows && behind >= remembered + u64::from(rows) {
            return Err(LogError::DuplicateSequence {
                producer: stamp.id,
                epoch: stamp.epoch,
                sequence: stamp.sequence,
            });
        }
        Err(out_of_order(self.next))
    }

    fn begin(id: i64, epoch: i16) -> Self {
        Producer {
            id,
            epoch,
            next: 0,
            rows: 0,
            time: i64::MIN,
            batches: Recent::default(),
        }
    }

    fn push(&mut self, stamp: ProducerStamp, rows: u32, base: Offset, time: i64) {
        self.batches.push(Known {
            sequence: stamp.sequence,
            rows,
            base,
        });
        self.next = stamp.sequence_after(rows);
        self.rows += u64::from(rows);
        self.time = time;
    }

    fn state(&self) -> ProducerState {
        let last = self.batches.as_slice().last();
        ProducerState {
            id: self.id,
            epoch: self.epoch,
            next_sequence: self.next,
            last_offset: last.map_or(Offset::ZERO, |b| Offset(b.base.0 + u64::from(b.rows) - 1)),
            last_time: self.time,
        }
    }
}

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

impl Producers {
    /// What the manifest said of batches before `end`.
    pub fn from_entries(entries: &[Producer], end: Offset) -> Self {
        let mut producers = Producers::default();
        for entry in entries {
            if let Some(entry) = cut_back(entry, end) {
                producers.by_id.insert(entry.id, entry);
            }
        }
        producers
    }

    /// What the manifest shall say of batches before `end`.
    pub fn entries(&self, end: Offset) -> Vec<Producer> {
        let mut entries: Vec<Producer> = self
            .by_id
            .values()
            .filter_map(|producer| cut_back(producer, end))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        entries
    }

    /// Takes a batch that was written; in the order of offsets.
    pub fn record(&mut self, header: &BatchHeader) {
        let Some(stamp) = header.producer else {
            return;
        };
        let producer = self
            .by_id
            .entry(stamp.id)
            .or_insert_with(|| Producer::begin(stamp.id, stamp.epoch));
        if producer.epoch != stamp.epoch {
            *producer = Producer::begin(stamp.id, stamp.epoch);
        }
        let time = header.epoch_time;
        producer.push(stamp, header.rows, header.base_offset, time);
    }

    /// Forgets producers that wrote last before `horizon`, and the quietest while there are more than `count_max`.
    pub fn expire(&mut self, horizon: i64, count_max: usize) {
        if self.by_id.is_empty() {
            return;
        }
        self.by_id.retain(|_, producer| producer.time >= horizon);
        let excess = self.by_id.len().saturating_sub(count_max);
        if excess > 0 {
            let mut ages: Vec<(i64, Offset, i64)> = self
                .by_id
                .values()
                .map(|producer| (producer.time, producer.state().last_offset, producer.id))
                .collect();
            ages.sort_unstable();
            for (_, _, id) in &ages[..excess] {
                self.by_id.remove(id);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// As [`Pending::check`], when nothing else is under way.
    pub fn check(&self, stamp: ProducerStamp, rows: u32) -> Result<Option<Offset>, LogError> {
        match self.by_id.get(&stamp.id) {
            Some(producer) => producer.check(stamp, rows),
            None => Ok(None),
        }
    }

    pub fn states(&self) -> Vec<ProducerState> {
        let mut states: Vec<_> = self.by_id.values().map(Producer::state).collect();
        states.sort_unstable_by_key(|state| state.id);
        states
    }
}

/// The entry as it was when the partition ended at `end`; `None` if it then knew nothing.
fn cut_back(entry: &Producer, end: Offset) -> Option<Producer> {
    let mut entry = *entry;
    while let Some(last) = entry.batches.pop_if(|last| last.base >= end) {
        entry.next = last.sequence;
        entry.rows = entry.rows.saturating_sub(u64::from(last.rows));
    }
    (entry.batches.count > 0).then_some(entry)
}

/// Producers of a partition as they will be when the batches under way are written.
#[derive(Default)]
pub(crate) struct Pending {
    changed: HashMap<i64, Producer>,
    /// What each change replaced, so that those of a refused append can be taken back.
    undo: Vec<(i64, Option<Producer>)>,
}

impl Pending {
    /// Whether a batch may be written at `base` (`None`), or has been before (its offset then). Remembers it if so.
    pub fn check(
        &mut self,
        written: &Producers,
        stamp: ProducerStamp,
        rows: u32,
        base: Offset,
    ) -> Result<Option<Offset>, LogError> {
        let pending = self.changed.get(&stamp.id);
        let known = pending.or_else(|| written.by_id.get(&stamp.id));
        if let Some(known) = known
            && let Some(again) = known.check(stamp, rows)?
        {
            return Ok(Some(again));
        }
        let mut producer = match known {
            Some(known) if known.epoch == stamp.epoch => *known,
            _ => Producer::begin(stamp.id, stamp.epoch),
        };
        producer.push(stamp, rows, base, i64::MIN);
        let before = self.changed.insert(stamp.id, producer);
        self.undo.push((stamp.id, before));
        Ok(None)
    }

    /// The changes so far stay.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back the changes since the last [`Pending::keep`].
    pub fn take_back(&mut self) {
        while let Some((id, before)) = self.undo.pop() {
            match before {
                Some(before) => self.changed.insert(id, before),
                None => self.changed.remove(&id),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: i16, sequence: i32) -> ProducerStamp {
        ProducerStamp {
            id: 7,
            epoch,
            sequence,
        }
    }

    /// Batches of `(epoch, sequence, rows)` one after the other, as "epoch:sequence+rows" to what becomes of each.
    fn check(batches: &[(i16, i32, u32)]) -> Vec<String> {
        let mut pending = Pending::default();
        let mut end = Offset::ZERO;
        let mut answers = Vec::new();
        for &(epoch, sequence, rows) in batches {
            let stamp = stamp(epoch, sequence);
            let answer = match pending.check(&Producers::default(), stamp, rows, end) {
                Ok(None) => {
                    end = end.plus(u64::from(rows));
                    "written".into()
                }
                Ok(Some(offset)) => format!("again {offset}"),
                Err(LogError::OutOfOrderSequence { expected, .. }) => format!("not {expected}"),
                Err(LogError::DuplicateSequence { .. }) => "long ago".into(),
                Err(LogError::ProducerFenced { current, .. }) => format!("fenced by {current}"),
                Err(other) => other.to_string(),
            };
            answers.push(answer);
        }
        answers
    }

    #[test]
    fn batches_in_sequence_are_written_and_recognised() {
        assert_eq!(
            check(&[(0, 0, 2), (0, 2, 3), (0, 0, 2), (0, 2, 3), (0, 5, 1)]),
            ["written", "written", "again 0", "again 2", "written"]
        );
    }

    #[test]
    fn gaps_and_overlaps_are_refused() {
        assert_eq!(
            check(&[(0, 0, 4), (0, 5, 1), (0, 0, 3), (0, 2, 4), (0, 4, 1)]),
            ["written", "not 4", "not 4", "not 4", "written"]
        );
    }

    #[test]
    fn the_sixth_batch_back_is_only_known_to_be_there() {
        let mut batches: Vec<_> = (0..6).map(|n| (0, n * 2, 2)).collect();
        batches.extend([(0, 0, 2), (0, 2, 2), (0, 0, 1), (0, 0, 3)]);
        assert_eq!(
            check(&batches)[6..],
            ["long ago", "again 2", "long ago", "not 12"]
        );
    }

    #[test]
    fn what_lies_before_the_first_batch_seen_is_not_taken_for_a_duplicate() {
        let mut batches: Vec<_> = (50..56).map(|n| (0, n, 1)).collect();
        batches.extend([(0, 49, 1), (0, 50, 1)]);
        assert_eq!(check(&batches)[6..], ["not 56", "long ago"]);
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
        assert_eq!(
            check(&[
                (0, 0, 1),
                (1, 1, 1),
                (1, 0, 1),
                (0, 1, 1),
                (0, 0, 1),
                (1, 1, 1)
            ]),
            [
                "written",
                "not 0",
                "written",
                "fenced by 1",
                "fenced by 1",
                "written"
            ]
        );
    }

    #[test]
    fn a_new_producer_begins_anywhere() {
        assert_eq!(
            check(&[(3, 17, 1), (3, 18, 1), (3, 17, 1)]),
            ["written", "written", "again 0"]
        );
    }

    #[test]
    fn sequences_wrap() {
        let max = i32::MAX;
        assert_eq!(
            check(&[
                (0, max - 2, 2),
                (0, max, 2),
                (0, 0, 1),
                (0, 1, 1),
                (0, max, 2),
                (0, max - 2, 2)
            ]),
            [
                "written", "written", "not 1", "written", "again 2", "again 0"
            ]
        );
        assert_eq!(
            check(&[(0, max, 1), (0, 0, 1), (0, max, 1)]),
            ["written", "written", "again 0"]
        );
    }

    #[test]
    fn an_append_that_is_refused_leaves_no_trace() {
        let written = Producers::default();
        let mut pending = Pending::default();
        let ask = |pending: &mut Pending, sequence| {
            pending
                .check(&written, stamp(0, sequence), 1, Offset(5))
                .is_ok()
        };
        assert!(ask(&mut pending, 0));
        pending.keep();
        assert!(ask(&mut pending, 1));
        assert!(!ask(&mut pending, 3));
        pending.take_back();
        assert!(ask(&mut pending, 1));
        pending.take_back();
        assert!(!ask(&mut pending, 2));
    }

    #[test]
    fn the_quiet_ones_of_too_many_are_forgotten() {
        let mut producers = Producers::default();
        for id in 0..10 {
            let mut producer = Producer::begin(id, 0);
            producer.push(stamp(0, 0), 1, Offset(id as u64), 100 - id);
            producers.by_id.insert(id, producer);
        }
        producers.expire(93, 5);
        let left: Vec<i64> = producers.states().iter().map(|state| state.id).collect();
        assert_eq!(left, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_entry_goes_back_to_an_earlier_end() {
        let mut producers = Producers::default();
        let mut producer = Producer::begin(7, 0);
        producer.push(stamp(0, 0), 2, Offset(10), 1);
        producer.push(stamp(0, 2), 2, Offset(12), 2);
        producers.by_id.insert(7, producer);
        assert_eq!(producers.entries(Offset(12))[0].next, 2);
        assert!(producers.entries(Offset(10)).is_empty());
        let entries = producers.entries(Offset(14));
        assert_eq!(
            Producers::from_entries(&entries, Offset(14)).states(),
            producers.states()
        );
    }
}
