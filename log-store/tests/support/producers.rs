//! Idempotent producers as a plain model: everything that each has written, ever.

use std::collections::BTreeMap;

use log_store::ProducerStamp;
use proptest::prelude::*;

/// What a producer does next.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Its next batch, of so many rows.
    Next(u32),
    /// The same, twice in the same append.
    Twice(u32),
    /// The nth last batch again.
    Again(usize),
    /// A batch that overlaps the last, or leaves a gap behind it.
    Shifted(i32),
    /// Begins a new epoch, properly or not.
    NewEpoch(i32),
    /// Sends as if it had not been fenced off.
    OldEpoch,
}

pub fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        8 => (1u32..4).prop_map(Behaviour::Next),
        2 => (1u32..4).prop_map(Behaviour::Twice),
        4 => (0usize..7).prop_map(Behaviour::Again),
        1 => prop_oneof![-3i32..0, 1i32..3].prop_map(Behaviour::Shifted),
        1 => prop_oneof![3 => Just(0i32), 1 => Just(1i32)].prop_map(Behaviour::NewEpoch),
        1 => Just(Behaviour::OldEpoch),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    Again(u64),
    Refused,
}

#[derive(Clone, Debug)]
struct Written {
    stamp: ProducerStamp,
    rows: u32,
    base: u64,
    /// The epoch of its commit, once there is one.
    epoch: Option<u64>,
}

/// By partition and producer.
#[derive(Clone, Debug)]
pub struct Producers<K> {
    written: BTreeMap<(K, i64), Vec<Written>>,
}

impl<K> Default for Producers<K> {
    fn default() -> Self {
        Producers {
            written: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Producers<K> {
    fn of(&self, key: K, id: i64) -> &[Written] {
        self.written.get(&(key, id)).map_or(&[], Vec::as_slice)
    }

    /// The batches that a producer sends.
    pub fn next(&self, key: K, id: i64, behaviour: Behaviour) -> Vec<(ProducerStamp, u32)> {
        let written = self.of(key, id);
        let next = match written.last() {
            Some(last) => ProducerStamp {
                sequence: last.stamp.sequence_after(last.rows),
                ..last.stamp
            },
            // Soon at the end of the numbers, or at their beginning.
            None => ProducerStamp {
                id,
                epoch: 3,
                sequence: if id == 0 { 0 } else { i32::MAX - 6 },
            },
        };
        match behaviour {
            Behaviour::Next(rows) => vec![(next, rows)],
            Behaviour::Twice(rows) => vec![(next, rows); 2],
            Behaviour::Again(back) => match written.iter().rev().nth(back) {
                Some(batch) => vec![(batch.stamp, batch.rows)],
                None => vec![(next, 1)],
            },
            Behaviour::Shifted(by) => {
                let sequence = next.sequence.saturating_add(by).max(0);
                vec![(ProducerStamp { sequence, ..next }, 2)]
            }
            Behaviour::NewEpoch(sequence) => {
                let epoch = next.epoch + 1;
                vec![(
                    ProducerStamp {
                        id,
                        epoch,
                        sequence,
                    },
                    1,
                )]
            }
            Behaviour::OldEpoch => {
                let epoch = next.epoch - 1;
                vec![(ProducerStamp { epoch, ..next }, 1)]
            }
        }
    }

    /// What becomes of a batch; remembers it if it is written, at `base`.
    pub fn take(&mut self, key: K, stamp: ProducerStamp, rows: u32, base: u64) -> Outcome {
        let outcome = self.judge(key, stamp, rows);
        if outcome == Outcome::Written {
            let written = self.written.entry((key, stamp.id)).or_default();
            written.push(Written {
                stamp,
                rows,
                base,
                epoch: None,
            });
        }
        outcome
    }

    fn judge(&self, key: K, stamp: ProducerStamp, rows: u32) -> Outcome {
        let written = self.of(key, stamp.id);
        let Some(last) = written.last() else {
            return Outcome::Written;
        };
        let allowed = |condition| {
            if condition {
                Outcome::Written
            } else {
                Outcome::Refused
            }
        };
        if stamp.epoch != last.stamp.epoch {
            return allowed(stamp.epoch > last.stamp.epoch && stamp.sequence == 0);
        }
        let again = written
            .iter()
            .rev()
            .take(5)
            .find(|known| known.stamp == stamp && known.rows == rows);
        match again {
            Some(known) => Outcome::Again(known.base),
            None => allowed(stamp.sequence == last.stamp.sequence_after(last.rows)),
        }
    }

    /// What was taken since is committed in an epoch.
    pub fn committed(&mut self, epoch: u64) {
        for batch in self.written.values_mut().flatten() {
            batch.epoch.get_or_insert(epoch);
        }
    }

    /// What was committed after an epoch is lost.
    pub fn forget_after(&mut self, epoch: u64) {
        for batches in self.written.values_mut() {
            batches.retain(|batch| batch.epoch.is_none_or(|known| known <= epoch));
        }
    }
}
