//! `VAR`, `STDDEV` and their population forms: count, exact sum and exact sum of squares.
//!
//! The textbook formula `(Σx² − (Σx)²/n) / n` is infamous for cancellation, which here cannot happen:
//! both sums are exact and the difference is taken with twice the precision of an `f64`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;

use super::codec::{Damaged, read_i64, write_i64};
use super::exact_float::{ExactFloats, two_product};
use super::slots::{column_bytes, grow};
use super::{Accumulators, Input, OutOfRange};
use crate::operator::StepError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sample,
    Population,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    Variance,
    Deviation,
}

/// The moments of each slot.
#[derive(Debug)]
pub(super) struct Variance {
    kind: Kind,
    result: Result,
    counts: Vec<i64>,
    sums: ExactFloats,
    squares: ExactFloats,
}

impl Variance {
    pub(super) fn new(kind: Kind, result: Result) -> Self {
        Self {
            kind,
            result,
            counts: Vec::new(),
            sums: ExactFloats::default(),
            squares: ExactFloats::default(),
        }
    }

    fn of_slot(&self, slot: u32) -> Option<f64> {
        let count = self.counts[slot as usize];
        let divisor = match self.kind {
            Kind::Population => count,
            Kind::Sample => count - 1,
        };
        if count <= 0 || divisor <= 0 {
            return None;
        }
        let n = count as f64;
        let (sum, sum_rest) = self.sums.get_parts(slot);
        let (squares, squares_rest) = self.squares.get_parts(slot);
        // n·Σx² − (Σx)², each as a rounded value and the rest.
        let (scaled, scaled_error) = two_product(squares, n);
        let scaled_rest = squares_rest.mul_add(n, scaled_error);
        let (squared, squared_error) = two_product(sum, sum);
        let squared_rest = (2.0 * sum).mul_add(sum_rest, squared_error);
        let difference = (scaled - squared) + (scaled_rest - squared_rest);
        let variance = (difference.max(0.0) / n) / divisor as f64;
        // `max` drops NaN, which must stay.
        let variance = if difference.is_nan() {
            f64::NAN
        } else {
            variance
        };
        Some(match self.result {
            Result::Variance => variance,
            Result::Deviation => variance.sqrt(),
        })
    }
}

impl Accumulators for Variance {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.counts, slots, 0);
        self.sums.resize(slots);
        self.squares.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> std::result::Result<(), StepError> {
        let array = input.args[0].as_primitive::<Float64Type>();
        let values = array.values();
        input.each(array.nulls(), |row, slot, weight| {
            let value = values[row];
            self.counts[slot] += weight;
            self.sums.add(slot, value, weight);
            let (square, error) = two_product(value, value);
            self.squares.add(slot, square, weight);
            if error != 0.0 && square.is_finite() {
                self.squares.add(slot, error, weight);
            }
        });
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> std::result::Result<ArrayRef, StepError> {
        let results: Float64Array = slots.iter().map(|slot| self.of_slot(*slot)).collect();
        Ok(Arc::new(results))
    }

    fn reset(&mut self, slot: u32) {
        self.counts[slot as usize] = 0;
        self.sums.reset(slot);
        self.squares.reset(slot);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        write_i64(self.counts[slot as usize], out);
        self.sums.encode(slot, out);
        self.squares.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> std::result::Result<(), Damaged> {
        self.counts[slot as usize] = read_i64(bytes)?;
        self.sums.decode(slot, bytes)?;
        self.squares.decode(slot, bytes)
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.counts) + self.sums.bytes() + self.squares.bytes()
    }
}
