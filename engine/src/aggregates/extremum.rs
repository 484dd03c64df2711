//! `MIN`, `MAX`.
//!
//! Insertions alone need only the extremum. Where rows may be retracted every value of the group is
//! kept, because any of them may come to be the extremum.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::codec::{Damaged, read_bytes, read_u64, write_bytes, write_u64};
use super::multiset::Multisets;
use super::slots::{Bitmap, column_bytes, grow};
use super::value_codec::{
    FixedCodec, RowCodec, Value, ValueCodec, from_ordered, is_fixed, to_ordered,
};
use super::{Accumulators, Demands, Input, OutOfRange, VisitEntry};
use crate::operator::StepError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Least,
    Greatest,
}

/// The accumulators for the extremum of this type.
pub(super) fn new(
    data_type: &DataType,
    side: Side,
    demands: Demands,
) -> Result<Box<dyn Accumulators>, StepError> {
    let fixed = FixedCodec::new(data_type);
    if demands.append_only {
        return Ok(match is_fixed(data_type) {
            true => Box::new(FixedExtremum {
                side,
                data_type: data_type.clone(),
                values: Vec::new(),
                present: Bitmap::default(),
            }),
            false => Box::new(BytesExtremum {
                side,
                codec: RowCodec::unordered(std::slice::from_ref(data_type))?,
                values: Vec::new(),
            }),
        });
    }
    Ok(match fixed {
        Some(codec) => Box::new(Retractable {
            side,
            codec,
            sets: Multisets::new(demands.durable),
        }),
        None => Box::new(Retractable {
            side,
            codec: RowCodec::unordered(std::slice::from_ref(data_type))?,
            sets: Multisets::new(demands.durable),
        }),
    })
}

/// The extremum of each slot as an integer that orders as the value does.
struct FixedExtremum {
    side: Side,
    data_type: DataType,
    values: Vec<u64>,
    present: Bitmap,
}

impl FixedExtremum {
    fn empty(&self) -> u64 {
        match self.side {
            Side::Least => u64::MAX,
            Side::Greatest => 0,
        }
    }
}

impl Accumulators for FixedExtremum {
    fn resize(&mut self, slots: usize) {
        let empty = self.empty();
        grow(&mut self.values, slots, empty);
        self.present.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let ordered = to_ordered(&input.args[0]);
        let nulls = input.args[0].nulls();
        let (values, present) = (&mut self.values, &mut self.present);
        match self.side {
            Side::Least => input.each(nulls, |row, slot, _| {
                values[slot] = values[slot].min(ordered[row]);
                present.set(slot);
            }),
            Side::Greatest => input.each(nulls, |row, slot, _| {
                values[slot] = values[slot].max(ordered[row]);
                present.set(slot);
            }),
        }
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<u64> = slots
            .iter()
            .map(|slot| self.values[*slot as usize])
            .collect();
        let nulls = slots
            .iter()
            .map(|slot| self.present.get(*slot as usize))
            .collect();
        Ok(from_ordered(&values, Some(nulls), &self.data_type))
    }

    fn reset(&mut self, slot: u32) {
        self.values[slot as usize] = self.empty();
        self.present.unset(slot as usize);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        match self.present.get(slot as usize) {
            false => out.push(0),
            true => {
                out.push(1);
                write_u64(self.values[slot as usize], out);
            }
        }
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        let (present, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        if *present != 0 {
            self.values[slot as usize] = read_u64(bytes)?;
            self.present.set(slot as usize);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.values) + self.present.bytes()
    }
}

/// The extremum of each slot in Arrow's row format.
struct BytesExtremum {
    side: Side,
    codec: RowCodec,
    values: Vec<Option<Box<[u8]>>>,
}

impl Accumulators for BytesExtremum {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.values, slots, None);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let nulls = input.args[0].logical_nulls();
        let (side, values) = (self.side, &mut self.values);
        self.codec.encode(&input.args[..1], |row, value| {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return;
            }
            let held = &mut values[input.slots[row] as usize];
            let better = match (held.as_ref(), side) {
                (None, _) => true,
                (Some(held), Side::Least) => value < *held,
                (Some(held), Side::Greatest) => value > *held,
            };
            if better {
                *held = Some(value);
            }
        })
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<_> = slots
            .iter()
            .map(|slot| self.values[*slot as usize].as_ref())
            .collect();
        Ok(self.codec.decode(&values)?.remove(0))
    }

    fn reset(&mut self, slot: u32) {
        self.values[slot as usize] = None;
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        match &self.values[slot as usize] {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                write_bytes(value, out);
            }
        }
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        let (present, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        if *present != 0 {
            self.values[slot as usize] = Some(read_bytes(bytes)?.into());
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        let values: usize = self.values.iter().flatten().map(Value::heap_bytes).sum();
        column_bytes(&self.values) + values
    }
}

/// All values of each slot.
struct Retractable<C: ValueCodec> {
    side: Side,
    codec: C,
    sets: Multisets<C::Value>,
}

impl<C: ValueCodec> Accumulators for Retractable<C> {
    fn resize(&mut self, slots: usize) {
        self.sets.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let nulls = input.args[0].logical_nulls();
        let sets = &mut self.sets;
        self.codec.encode(&input.args[..1], |row, value| {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                let weight = input.weights.map_or(1, |weights| weights[row]);
                sets.add(input.slots[row] as usize, value, weight);
            }
        })
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
        let values: Vec<Option<&C::Value>> = slots
            .iter()
            .map(|slot| match self.side {
                Side::Least => self.sets.get(*slot).first(),
                Side::Greatest => self.sets.get(*slot).last(),
            })
            .collect();
        Ok(self.codec.decode(&values)?.remove(0))
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
