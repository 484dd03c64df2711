//! `BIT_AND`, `BIT_OR`, `BIT_XOR`.
//!
//! XOR undoes itself. AND and OR cannot be undone, so where rows may be retracted the group's values
//! are kept and folded anew.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::codec::{Damaged, read_u64, write_u64};
use super::multiset::Multisets;
use super::slots::{column_bytes, grow};
use super::sum::Presence;
use super::value_codec::{from_ordered, to_ordered};
use super::{Accumulators, Demands, Input, OutOfRange, VisitEntry};
use crate::operator::StepError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    And,
    Or,
    Xor,
}

impl Fold {
    fn empty(self) -> u64 {
        match self {
            Fold::And => u64::MAX,
            Fold::Or | Fold::Xor => 0,
        }
    }

    #[inline]
    fn apply(self, a: u64, b: u64) -> u64 {
        match self {
            Fold::And => a & b,
            Fold::Or => a | b,
            Fold::Xor => a ^ b,
        }
    }
}

pub(super) fn new(
    fold: Fold,
    data_type: &DataType,
    demands: Demands,
) -> Result<Box<dyn Accumulators>, StepError> {
    // Ordered integers have the sign bit of signed types turned round.
    let flip = match data_type.is_signed_integer() {
        true => 1 << 63,
        false => 0,
    };
    Ok(if demands.append_only || fold == Fold::Xor {
        Box::new(Folded {
            fold,
            flip,
            data_type: data_type.clone(),
            values: Vec::new(),
            presence: Presence::new(demands.append_only),
        })
    } else {
        Box::new(Refolded {
            fold,
            flip,
            data_type: data_type.clone(),
            sets: Multisets::new(demands.durable),
        })
    })
}

/// One folded value for each slot.
struct Folded {
    fold: Fold,
    flip: u64,
    data_type: DataType,
    values: Vec<u64>,
    presence: Presence,
}

impl Accumulators for Folded {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.values, slots, self.fold.empty());
        self.presence.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let ordered = to_ordered(&input.args[0]);
        let (fold, flip) = (self.fold, self.flip);
        let (values, presence) = (&mut self.values, &mut self.presence);
        input.each(input.args[0].nulls(), |row, slot, weight| {
            // An even number of equal values cancels out.
            if fold != Fold::Xor || weight % 2 != 0 {
                values[slot] = fold.apply(values[slot], ordered[row] ^ flip);
            }
            match presence {
                Presence::Seen(seen) => seen.set(slot),
                Presence::Counted(counts) => counts[slot] += weight,
            }
        });
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<u64> = slots
            .iter()
            .map(|slot| self.values[*slot as usize] ^ self.flip)
            .collect();
        let nulls = self.presence.nulls(slots);
        Ok(from_ordered(&values, Some(nulls), &self.data_type))
    }

    fn reset(&mut self, slot: u32) {
        self.values[slot as usize] = self.fold.empty();
        self.presence.reset(slot);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        self.presence.encode(slot, out);
        write_u64(self.values[slot as usize], out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.presence.decode(slot, bytes)?;
        self.values[slot as usize] = read_u64(bytes)?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.values) + self.presence.bytes()
    }
}

/// The values of each slot, folded when asked for.
struct Refolded {
    fold: Fold,
    flip: u64,
    data_type: DataType,
    sets: Multisets<u64>,
}

impl Accumulators for Refolded {
    fn resize(&mut self, slots: usize) {
        self.sets.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let ordered = to_ordered(&input.args[0]);
        input.each(input.args[0].nulls(), |row, slot, weight| {
            self.sets.add(slot, ordered[row] ^ self.flip, weight);
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StepError> {
        match self.sets.is_consistent() {
            true => Ok(()),
            false => Err(StepError::NegativeCount),
        }
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<u64> = slots
            .iter()
            .map(|slot| {
                let all = self.sets.get(*slot).iter();
                all.fold(self.fold.empty(), |folded, (value, _)| {
                    self.fold.apply(folded, *value)
                }) ^ self.flip
            })
            .collect();
        let nulls = slots
            .iter()
            .map(|slot| self.sets.get(*slot).first().is_some())
            .collect();
        Ok(from_ordered(&values, Some(nulls), &self.data_type))
    }

    fn reset(&mut self, slot: u32) {
        self.sets.reset(slot);
    }

    fn encode(&self, _slot: u32, _out: &mut Vec<u8>) {}

    fn decode(&mut self, _slot: u32, _bytes: &mut &[u8]) -> Result<(), Damaged> {
        Ok(())
    }

    fn drain_entries(&mut self, visit: &mut VisitEntry<'_>) {
        self.sets.drain(visit);
    }

    fn restore_entry(&mut self, slot: u32, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        self.sets.restore(slot, key, value)
    }

    fn bytes(&self) -> usize {
        self.sets.bytes()
    }
}
