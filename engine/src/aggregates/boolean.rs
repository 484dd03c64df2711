//! `BOOL_AND`, `BOOL_OR`: how many are true, and how many are not NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};

use super::codec::{Damaged, read_i64, write_i64};
use super::slots::{column_bytes, grow};
use super::{Accumulators, Input, OutOfRange};
use crate::operator::StepError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    And,
    Or,
}

/// Two counts for each slot, from which either result follows.
#[derive(Debug)]
pub(super) struct Boolean {
    fold: Fold,
    trues: Vec<i64>,
    present: Vec<i64>,
}

impl Boolean {
    pub(super) fn new(fold: Fold) -> Self {
        Self {
            fold,
            trues: Vec::new(),
            present: Vec::new(),
        }
    }
}

impl Accumulators for Boolean {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.trues, slots, 0);
        grow(&mut self.present, slots, 0);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let array = input.args[0].as_boolean();
        let values = array.values();
        input.each(array.nulls(), |row, slot, weight| {
            self.present[slot] += weight;
            self.trues[slot] += if values.value(row) { weight } else { 0 };
        });
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        _out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let results: BooleanArray = slots
            .iter()
            .map(|slot| {
                let (trues, present) = (self.trues[*slot as usize], self.present[*slot as usize]);
                (present > 0).then_some(match self.fold {
                    Fold::And => trues == present,
                    Fold::Or => trues > 0,
                })
            })
            .collect();
        Ok(Arc::new(results))
    }

    fn reset(&mut self, slot: u32) {
        self.trues[slot as usize] = 0;
        self.present[slot as usize] = 0;
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        write_i64(self.trues[slot as usize], out);
        write_i64(self.present[slot as usize], out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.trues[slot as usize] = read_i64(bytes)?;
        self.present[slot as usize] = read_i64(bytes)?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.trues) + column_bytes(&self.present)
    }
}
