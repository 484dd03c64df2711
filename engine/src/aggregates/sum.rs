//! `SUM` of integers and decimals, exact whatever the order, and of floating-point numbers, correctly
//! rounded whatever the order (see [`super::exact_float`]).
//!
//! A total lives in the type of the result; what does not fit there goes to a wide total at the side.
//! So a sum that leaves the range of its type for a while, and comes back because rows are retracted,
//! is exact again. While it is outside it is NULL and reported.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float64Type, Int64Type, TimeUnit, UInt64Type, i256,
};

use super::codec::{Damaged, read_bytes, read_i64, read_i128, write_bytes, write_i64, write_i128};
use super::exact_float::ExactFloats;
use super::slots::{Bitmap, column_bytes, grow};
use super::{Accumulators, Demands, Input, OutOfRange};
use crate::operator::StepError;

/// The cheapest accumulators for the sum of this type, if it is one of those specialised.
pub(super) fn new(
    arg: &DataType,
    result: &DataType,
    demands: Demands,
) -> Option<Box<dyn Accumulators>> {
    fn of<T: Summable>(result: &DataType, demands: Demands) -> Option<Box<dyn Accumulators>> {
        Some(Box::new(Sum::<T>::new(result.clone(), demands)))
    }
    match (arg, result) {
        (DataType::Int64, DataType::Int64) => of::<Int64Type>(result, demands),
        (DataType::UInt64, DataType::UInt64) => of::<UInt64Type>(result, demands),
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from == to => {
            of::<Decimal128Type>(result, demands)
        }
        (DataType::Duration(from), DataType::Duration(to)) if from == to => match to {
            TimeUnit::Second => of::<DurationSecondType>(result, demands),
            TimeUnit::Millisecond => of::<DurationMillisecondType>(result, demands),
            TimeUnit::Microsecond => of::<DurationMicrosecondType>(result, demands),
            TimeUnit::Nanosecond => of::<DurationNanosecondType>(result, demands),
        },
        (DataType::Float64, DataType::Float64) => Some(Box::new(FloatSum::new(demands))),
        _ => None,
    }
}

/// Types whose sums are exact integers.
pub(super) trait Summable: ArrowPrimitiveType {
    /// A total as it is kept for each slot.
    type Total: Copy + Default + PartialEq + Send + Sync;

    /// `total + value × weight`, unless it overflows.
    fn add(total: Self::Total, value: Self::Native, weight: i64) -> Option<Self::Total>;
    /// `value × weight`, exactly.
    fn product(value: Self::Native, weight: i64) -> i256;
    fn widen(total: Self::Total) -> i256;
    fn narrow(wide: i256) -> Option<Self::Total>;
    /// The total as a result, if it is in range.
    fn result(total: Self::Total, data_type: &DataType) -> Option<Self::Native>;
    fn write(total: Self::Total, out: &mut Vec<u8>);
    fn read(bytes: &mut &[u8]) -> Result<Self::Total, Damaged>;
    /// What is out of range, as Postgres calls it.
    const NAME: &'static str;
}

macro_rules! summable_as_i64 {
    ($($type:ty, $name:literal;)*) => {$(
        impl Summable for $type {
            type Total = i64;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn add(total: i64, value: Self::Native, weight: i64) -> Option<i64> {
                let value = i64::try_from(value).ok()?;
                total.checked_add(if weight == 1 { value } else { value.checked_mul(weight)? })
            }

            fn product(value: Self::Native, weight: i64) -> i256 {
                i256::from_i128(i128::from(value) * i128::from(weight))
            }

            fn widen(total: i64) -> i256 {
                i256::from_i128(i128::from(total))
            }

            fn narrow(wide: i256) -> Option<i64> {
                i64::try_from(wide.to_i128()?).ok()
            }

            #[inline(always)]
            fn result(total: i64, _data_type: &DataType) -> Option<Self::Native> {
                Self::Native::try_from(total).ok()
            }

            fn write(total: i64, out: &mut Vec<u8>) {
                write_i64(total, out);
            }

            fn read(bytes: &mut &[u8]) -> Result<i64, Damaged> {
                read_i64(bytes)
            }
        }
    )*};
}

summable_as_i64! {
    Int64Type, "bigint";
    DurationSecondType, "interval";
    DurationMillisecondType, "interval";
    DurationMicrosecondType, "interval";
    DurationNanosecondType, "interval";
}

macro_rules! summable_as_i128 {
    ($($type:ty, $name:literal, $result:expr;)*) => {$(
        impl Summable for $type {
            type Total = i128;
            const NAME: &'static str = $name;

            #[inline(always)]
            fn add(total: i128, value: Self::Native, weight: i64) -> Option<i128> {
                let value = i128::from(value);
                total.checked_add(if weight == 1 {
                    value
                } else {
                    value.checked_mul(i128::from(weight))?
                })
            }

            fn product(value: Self::Native, weight: i64) -> i256 {
                // 128 bits by 64 bits are at most 192.
                i256::from_i128(i128::from(value)).wrapping_mul(i256::from_i128(i128::from(weight)))
            }

            fn widen(total: i128) -> i256 {
                i256::from_i128(total)
            }

            fn narrow(wide: i256) -> Option<i128> {
                wide.to_i128()
            }

            #[inline(always)]
            fn result(total: i128, data_type: &DataType) -> Option<Self::Native> {
                $result(total, data_type)
            }

            fn write(total: i128, out: &mut Vec<u8>) {
                write_i128(total, out);
            }

            fn read(bytes: &mut &[u8]) -> Result<i128, Damaged> {
                read_i128(bytes)
            }
        }
    )*};
}

summable_as_i128! {
    UInt64Type, "bigint", |total, _: &DataType| u64::try_from(total).ok();
    Decimal128Type, "numeric", decimal_in_range;
}

/// The value, if it has no more digits than the type.
pub(super) fn decimal_in_range(value: i128, data_type: &DataType) -> Option<i128> {
    let DataType::Decimal128(precision, _) = data_type else {
        return None;
    };
    let bound = 10_i128.checked_pow(u32::from(*precision))?;
    (-bound < value && value < bound).then_some(value)
}

/// Exact totals, one for each slot.
#[derive(Debug)]
pub(super) struct Totals<T: Summable> {
    totals: Vec<T::Total>,
    /// What did not fit; a slot's sum is its total and its entry here.
    wide: HashMap<u32, i256>,
}

impl<T: Summable> Totals<T> {
    pub(super) fn new() -> Self {
        Self {
            totals: Vec::new(),
            wide: HashMap::new(),
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        grow(&mut self.totals, slots, T::Total::default());
    }

    #[inline(always)]
    pub(super) fn add(&mut self, slot: usize, value: T::Native, weight: i64) {
        match T::add(self.totals[slot], value, weight) {
            Some(total) => self.totals[slot] = total,
            None => self.add_wide(slot, T::product(value, weight)),
        }
    }

    #[cold]
    fn add_wide(&mut self, slot: usize, term: i256) {
        // 2^63 terms of 192 bits would be needed to overflow.
        let sum = self.wide_sum(slot as u32).wrapping_add(term);
        self.put_wide(slot as u32, sum);
    }

    fn wide_sum(&self, slot: u32) -> i256 {
        let wide = self.wide.get(&slot).copied().unwrap_or(i256::ZERO);
        T::widen(self.totals[slot as usize]).wrapping_add(wide)
    }

    fn put_wide(&mut self, slot: u32, sum: i256) {
        match T::narrow(sum) {
            Some(total) => {
                self.totals[slot as usize] = total;
                self.wide.remove(&slot);
            }
            None => {
                self.totals[slot as usize] = T::Total::default();
                self.wide.insert(slot, sum);
            }
        }
    }

    /// The slot's sum, if it fits the type of totals.
    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> Option<T::Total> {
        if self.wide.is_empty() {
            return Some(self.totals[slot as usize]);
        }
        T::narrow(self.wide_sum(slot))
    }

    pub(super) fn reset(&mut self, slot: u32) {
        self.totals[slot as usize] = T::Total::default();
        self.wide.remove(&slot);
    }

    pub(super) fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        T::write(self.totals[slot as usize], out);
        match self.wide.get(&slot) {
            None => write_bytes(&[], out),
            Some(wide) => write_bytes(&wide.to_le_bytes(), out),
        }
    }

    pub(super) fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.totals[slot as usize] = T::read(bytes)?;
        let wide = read_bytes(bytes)?;
        if !wide.is_empty() {
            let wide = <[u8; 32]>::try_from(wide).map_err(|_| Damaged)?;
            self.wide.insert(slot, i256::from_le_bytes(wide));
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        column_bytes(&self.totals) + self.wide.capacity() * size_of::<(u32, i256)>()
    }
}

/// Whether a slot has any value that is not NULL. Insertions alone need one bit for that.
#[derive(Debug)]
pub(super) enum Presence {
    Seen(Bitmap),
    Counted(Vec<i64>),
}

impl Presence {
    pub(super) fn new(append_only: bool) -> Self {
        match append_only {
            true => Self::Seen(Bitmap::default()),
            false => Self::Counted(Vec::new()),
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        match self {
            Self::Seen(seen) => seen.resize(slots),
            Self::Counted(counts) => grow(counts, slots, 0),
        }
    }

    pub(super) fn nulls(&self, slots: &[u32]) -> NullBuffer {
        match self {
            Self::Seen(seen) => slots.iter().map(|slot| seen.get(*slot as usize)).collect(),
            Self::Counted(counts) => slots
                .iter()
                .map(|slot| counts[*slot as usize] > 0)
                .collect(),
        }
    }

    pub(super) fn reset(&mut self, slot: u32) {
        match self {
            Self::Seen(seen) => seen.unset(slot as usize),
            Self::Counted(counts) => counts[slot as usize] = 0,
        }
    }

    pub(super) fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        match self {
            Self::Seen(seen) => out.push(u8::from(seen.get(slot as usize))),
            Self::Counted(counts) => write_i64(counts[slot as usize], out),
        }
    }

    pub(super) fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        match self {
            Self::Seen(seen) => {
                if read_i64(bytes)? != 0 {
                    seen.set(slot as usize);
                }
            }
            Self::Counted(counts) => counts[slot as usize] = read_i64(bytes)?,
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Seen(seen) => seen.bytes(),
            Self::Counted(counts) => column_bytes(counts),
        }
    }
}

/// `SUM` with an exact integer total.
struct Sum<T: Summable> {
    totals: Totals<T>,
    presence: Presence,
    result: DataType,
}

impl<T: Summable> Sum<T> {
    fn new(result: DataType, demands: Demands) -> Self {
        Self {
            totals: Totals::new(),
            presence: Presence::new(demands.append_only),
            result,
        }
    }
}

impl<T: Summable> Accumulators for Sum<T> {
    fn resize(&mut self, slots: usize) {
        self.totals.resize(slots);
        self.presence.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let array = input.args[0].as_primitive::<T>();
        let values = array.values();
        let totals = &mut self.totals;
        match &mut self.presence {
            Presence::Seen(seen) => input.each(array.nulls(), |row, slot, weight| {
                totals.add(slot, values[row], weight);
                seen.set(slot);
            }),
            Presence::Counted(counts) => input.each(array.nulls(), |row, slot, weight| {
                totals.add(slot, values[row], weight);
                counts[slot] += weight;
            }),
        }
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let mut outside = Vec::new();
        let values: Vec<T::Native> = slots
            .iter()
            .enumerate()
            .map(|(position, slot)| {
                let total = self.totals.get(*slot);
                total
                    .and_then(|total| T::result(total, &self.result))
                    .unwrap_or_else(|| {
                        outside.push(position);
                        T::default_value()
                    })
            })
            .collect();
        let nulls = nulls_with(self.presence.nulls(slots), &outside, T::NAME, out_of_range);
        Ok(Arc::new(
            PrimitiveArray::<T>::new(values.into(), Some(nulls))
                .with_data_type(self.result.clone()),
        ))
    }

    fn reset(&mut self, slot: u32) {
        self.totals.reset(slot);
        self.presence.reset(slot);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        self.presence.encode(slot, out);
        self.totals.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.presence.decode(slot, bytes)?;
        self.totals.decode(slot, bytes)
    }

    fn bytes(&self) -> usize {
        self.totals.bytes() + self.presence.bytes()
    }
}

/// Makes results outside their type NULL, and notes them.
pub(super) fn nulls_with(
    nulls: NullBuffer,
    outside: &[usize],
    name: &str,
    out_of_range: &mut Vec<OutOfRange>,
) -> NullBuffer {
    if outside.is_empty() {
        return nulls;
    }
    let mut valid: Vec<bool> = nulls.iter().collect();
    for position in outside {
        if std::mem::replace(&mut valid[*position], false) {
            out_of_range.push(OutOfRange {
                position: *position,
                reason: format!("{name} out of range"),
            });
        }
    }
    valid.into()
}

/// `SUM` of floating-point numbers.
struct FloatSum {
    sums: ExactFloats,
    presence: Presence,
}

impl FloatSum {
    fn new(demands: Demands) -> Self {
        Self {
            sums: ExactFloats::default(),
            presence: Presence::new(demands.append_only),
        }
    }
}

impl Accumulators for FloatSum {
    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots);
        self.presence.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let array = input.args[0].as_primitive::<Float64Type>();
        let values = array.values();
        let sums = &mut self.sums;
        match &mut self.presence {
            Presence::Seen(seen) => input.each(array.nulls(), |row, slot, weight| {
                sums.add(slot, values[row], weight);
                seen.set(slot);
            }),
            Presence::Counted(counts) => input.each(array.nulls(), |row, slot, weight| {
                sums.add(slot, values[row], weight);
                counts[slot] += weight;
            }),
        }
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<f64> = slots.iter().map(|slot| self.sums.get(*slot)).collect();
        let nulls = self.presence.nulls(slots);
        Ok(Arc::new(PrimitiveArray::<Float64Type>::new(
            values.into(),
            Some(nulls),
        )))
    }

    fn reset(&mut self, slot: u32) {
        self.sums.reset(slot);
        self.presence.reset(slot);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        self.presence.encode(slot, out);
        self.sums.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.presence.decode(slot, bytes)?;
        self.sums.decode(slot, bytes)
    }

    fn bytes(&self) -> usize {
        self.sums.bytes() + self.presence.bytes()
    }
}
