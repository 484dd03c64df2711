//! `COUNT(x, …)`: rows in which no argument is NULL. (`COUNT(*)` needs no state of its own: the group
//! table counts rows anyway.)

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::codec::{Damaged, read_i64, write_i64};
use super::slots::{column_bytes, grow};
use super::{Accumulators, Input, OutOfRange, valid_rows};
use crate::operator::StepError;

/// One count for each slot.
#[derive(Debug, Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulators for Count {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.counts, slots, 0);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let nulls = valid_rows(input.args);
        input.each(nulls.as_ref(), |_, slot, weight| {
            self.counts[slot] += weight
        });
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let counts = slots.iter().map(|slot| self.counts[*slot as usize]);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn reset(&mut self, slot: u32) {
        self.counts[slot as usize] = 0;
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        write_i64(self.counts[slot as usize], out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.counts[slot as usize] = read_i64(bytes)?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.counts)
    }
}
