//! `AVG`: an exact sum and a count.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float64Type, TimeUnit,
};

use super::codec::{Damaged, read_i64, write_i64};
use super::exact_float::ExactFloats;
use super::slots::{column_bytes, grow};
use super::sum::{Summable, Totals, decimal_in_range, nulls_with};
use super::{Accumulators, Input, OutOfRange};
use crate::operator::StepError;

/// The accumulators for the average of this type, if it is one of those specialised.
pub(super) fn new(arg: &DataType, result: &DataType) -> Option<Box<dyn Accumulators>> {
    fn exact<T: Summable>(
        result: &DataType,
        divide: impl Fn(T::Total, i64) -> Option<T::Native> + Send + 'static,
    ) -> Option<Box<dyn Accumulators>> {
        Some(Box::new(ExactAverage::<T> {
            totals: Totals::new(),
            counts: Vec::new(),
            divide: Box::new(divide),
            result: result.clone(),
        }))
    }
    match (arg, result) {
        (DataType::Float64, DataType::Float64) => Some(Box::<FloatAverage>::default()),
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from <= to => {
            let factor = 10_i128.pow(u32::from(to.abs_diff(*from)));
            let data_type = result.clone();
            exact::<Decimal128Type>(result, move |total, count| {
                let quotient = total.checked_mul(factor)? / i128::from(count);
                decimal_in_range(quotient, &data_type)
            })
        }
        (DataType::Duration(from), DataType::Duration(to)) if from == to => match to {
            TimeUnit::Second => exact::<DurationSecondType>(result, quotient),
            TimeUnit::Millisecond => exact::<DurationMillisecondType>(result, quotient),
            TimeUnit::Microsecond => exact::<DurationMicrosecondType>(result, quotient),
            TimeUnit::Nanosecond => exact::<DurationNanosecondType>(result, quotient),
        },
        _ => None,
    }
}

fn quotient(total: i64, count: i64) -> Option<i64> {
    total.checked_div(count)
}

fn present(counts: &[i64], slots: &[u32]) -> NullBuffer {
    slots
        .iter()
        .map(|slot| counts[*slot as usize] > 0)
        .collect()
}

/// The average of floating-point numbers: their correctly rounded sum by their count.
#[derive(Default)]
struct FloatAverage {
    sums: ExactFloats,
    counts: Vec<i64>,
}

impl Accumulators for FloatAverage {
    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots);
        grow(&mut self.counts, slots, 0);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let array = input.args[0].as_primitive::<Float64Type>();
        let values = array.values();
        input.each(array.nulls(), |row, slot, weight| {
            self.sums.add(slot, values[row], weight);
            self.counts[slot] += weight;
        });
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let values: Vec<f64> = slots
            .iter()
            .map(|slot| self.sums.get(*slot) / self.counts[*slot as usize] as f64)
            .collect();
        let nulls = present(&self.counts, slots);
        Ok(Arc::new(Float64Array::new(values.into(), Some(nulls))))
    }

    fn reset(&mut self, slot: u32) {
        self.sums.reset(slot);
        self.counts[slot as usize] = 0;
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        write_i64(self.counts[slot as usize], out);
        self.sums.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.counts[slot as usize] = read_i64(bytes)?;
        self.sums.decode(slot, bytes)
    }

    fn bytes(&self) -> usize {
        self.sums.bytes() + column_bytes(&self.counts)
    }
}

/// Gives the average from a total and a positive count, unless it leaves its type.
type Divide<T> =
    Box<dyn Fn(<T as Summable>::Total, i64) -> Option<<T as ArrowPrimitiveType>::Native> + Send>;

/// The average of decimals or durations, rounded towards zero.
struct ExactAverage<T: Summable> {
    totals: Totals<T>,
    counts: Vec<i64>,
    divide: Divide<T>,
    result: DataType,
}

impl<T: Summable> Accumulators for ExactAverage<T> {
    fn resize(&mut self, slots: usize) {
        self.totals.resize(slots);
        grow(&mut self.counts, slots, 0);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let array = input.args[0].as_primitive::<T>();
        let values = array.values();
        input.each(array.nulls(), |row, slot, weight| {
            self.totals.add(slot, values[row], weight);
            self.counts[slot] += weight;
        });
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
                let count = self.counts[*slot as usize];
                if count <= 0 {
                    return T::default_value();
                }
                let total = self.totals.get(*slot);
                total
                    .and_then(|total| (self.divide)(total, count))
                    .unwrap_or_else(|| {
                        outside.push(position);
                        T::default_value()
                    })
            })
            .collect();
        let nulls = nulls_with(
            present(&self.counts, slots),
            &outside,
            T::NAME,
            out_of_range,
        );
        Ok(Arc::new(
            PrimitiveArray::<T>::new(values.into(), Some(nulls))
                .with_data_type(self.result.clone()),
        ))
    }

    fn reset(&mut self, slot: u32) {
        self.totals.reset(slot);
        self.counts[slot as usize] = 0;
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        write_i64(self.counts[slot as usize], out);
        self.totals.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.counts[slot as usize] = read_i64(bytes)?;
        self.totals.decode(slot, bytes)
    }

    fn bytes(&self) -> usize {
        self.totals.bytes() + column_bytes(&self.counts)
    }
}
