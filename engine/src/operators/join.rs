//! Incremental joins on equal keys, with any further condition.
//!
//! ```text
//!            ┌── probe R ──► Δleft ⋈ R ──┐
//!  Δleft ────┤                           ├──► consolidate ──► Δout
//!            └── apply ──► L             │
//!                          L ⋈ Δright ───┘
//!  Δright ───┬── probe L ───────┘
//!            └── apply ──► R
//! ```
//!
//! One batch of changes after the other is joined with the other side as it is at that moment and
//! then becomes part of its own side, so the outputs add up to exactly the difference between the
//! join after the step and the join before it.
//!
//! Outer, semi and anti joins also say something about rows for themselves: whether they match at
//! all. Without a further condition a row matches exactly if its key is on the other side, which
//! the index knows. With one, the number of matches is kept beside each row.
//!
//! Rows with a NULL in their key match nothing for ever, so they are never stored. State is cut
//! into slices by hash of the key; a large step works on all slices at once.

mod layout;
mod slice;

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use planner::step_plan::JoinKind;
use rayon::prelude::*;

use crate::change_batch::ChangeBatch;
use crate::expression::Expression;
use crate::operator::{ChunkSource, Operator, StateReader, StateWriter, StepContext, StepError};
use crate::operators::join::layout::{LEFT, Layout, RIGHT};
use crate::operators::join::slice::{Slice, half_join};
use crate::state::consolidate::consolidate;
use crate::state::exchange::{concat, hash_keys, partition, slice_of};

/// Steps with fewer rows are not worth handing to other threads.
const PARALLEL_ROWS_MIN: usize = 4_096;
/// Rows that one thread looks up at a time.
const MORSEL_ROWS: usize = 16_384;
const HEADER: &[u8] = b"h";

/// What there is to choose about a join beside its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Whether NULL equals NULL in keys.
    pub null_equals_null: bool,
    /// Only left rows look up the right side as it is at that moment; nothing is kept of them.
    pub lookup: bool,
    /// Into how many slices state is cut; as many as there are workers.
    pub slices: usize,
}

/// The join operator. See the [module](self).
pub struct Join {
    layout: Layout,
    slices: Vec<Slice>,
    /// Whether the stored state is sliced otherwise, so that the next checkpoint replaces it.
    resliced: bool,
}

impl Join {
    /// A join of two inputs with these schemas. `filter` is over the columns of both.
    ///
    /// # Errors
    /// When the keys of the two sides have different types, or a lookup is to keep unmatched rows
    /// of its right side.
    pub fn new(
        kind: JoinKind,
        on: Vec<(Expression, Expression)>,
        filter: Option<Expression>,
        left: &SchemaRef,
        right: &SchemaRef,
        output: SchemaRef,
        options: JoinOptions,
    ) -> Result<Self, StepError> {
        // Without keys every row belongs to the same slice. Lookups share the right side instead.
        let slices = match on.is_empty() || options.lookup {
            true => 1,
            false => options.slices.max(1),
        };
        let layout = Layout::new(kind, on, filter, left, right, output, options)?;
        Ok(Self {
            slices: (0..slices).map(|_| Slice::new(&layout)).collect(),
            layout,
            resliced: false,
        })
    }

    fn step_slices(
        &mut self,
        deltas: [Vec<ChangeBatch>; 2],
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let layout = &self.layout;
        if let [slice] = self.slices.as_mut_slice() {
            return slice.step(layout, &deltas, context);
        }
        let rows: usize = deltas.iter().flatten().map(ChangeBatch::num_rows).sum();
        let mut parts: Vec<[Vec<ChangeBatch>; 2]> = Vec::new();
        parts.resize_with(self.slices.len(), Default::default);
        for side in [LEFT, RIGHT] {
            for delta in &deltas[side] {
                let hashes = hash_keys(&layout.key_columns(side, delta), delta.num_rows());
                let cut = partition(delta, &hashes, parts.len())?;
                for (part, of_slice) in parts.iter_mut().zip(cut) {
                    if of_slice.num_rows() > 0 {
                        part[side].push(of_slice);
                    }
                }
            }
        }
        let outputs: Vec<Vec<ChangeBatch>> = match context.workers {
            Some(workers) if rows >= PARALLEL_ROWS_MIN => workers.install(|| {
                self.slices
                    .par_iter_mut()
                    .zip(&parts)
                    .map(|(slice, part)| slice.step(layout, part, context))
                    .collect::<Result<_, StepError>>()
            })?,
            _ => self
                .slices
                .iter_mut()
                .zip(&parts)
                .map(|(slice, part)| slice.step(layout, part, context))
                .collect::<Result<_, StepError>>()?,
        };
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Left rows look up the right side after its changes; there is one slice, which all workers
    /// read.
    fn step_lookup(
        &mut self,
        [left, right]: [Vec<ChangeBatch>; 2],
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let layout = &self.layout;
        let slice = &mut self.slices[0];
        for delta in &right {
            slice.apply(layout, RIGHT, delta)?;
        }
        slice.fetch(layout, RIGHT, &left)?;
        let Some(stored) = slice.side(RIGHT) else {
            return Ok(Vec::new());
        };
        let morsels: Vec<ChangeBatch> = left
            .iter()
            .flat_map(|delta| {
                let rows = delta.num_rows();
                (0..rows)
                    .step_by(MORSEL_ROWS)
                    .map(move |start| delta.slice(start, MORSEL_ROWS.min(rows - start)))
            })
            .collect();
        let look_up = |morsel: &ChangeBatch| {
            let keys = layout.keys(LEFT, morsel);
            half_join(layout, LEFT, morsel, &keys, stored, context).map(|found| found.output)
        };
        let outputs: Vec<Vec<ChangeBatch>> = match context.workers {
            Some(workers) if morsels.len() > 1 => workers.install(|| {
                morsels
                    .par_iter()
                    .map(look_up)
                    .collect::<Result<_, StepError>>()
            })?,
            _ => morsels
                .iter()
                .map(look_up)
                .collect::<Result<_, StepError>>()?,
        };
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Opposite changes of the same row cancel out; what is left has retractions first, so that an
    /// update never shows the new row before the old one is gone.
    fn finish(
        &self,
        output: Vec<ChangeBatch>,
        may_cancel: bool,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let no_columns = self.layout.output.fields().is_empty();
        if no_columns || output.iter().all(ChangeBatch::is_append_only) {
            return Ok(output);
        }
        let output = match may_cancel {
            true => consolidate(&self.layout.output, output)?,
            false => output,
        };
        if output.is_empty() {
            return Ok(output);
        }
        let output = concat(&self.layout.output, &output)?;
        let (retracted, inserted): (Vec<u32>, Vec<u32>) =
            (0..output.num_rows() as u32).partition(|row| output.weight(*row as usize) < 0);
        if retracted.is_empty() || inserted.is_empty() || retracted.is_sorted_before(&inserted) {
            return Ok(vec![output]);
        }
        let order = UInt32Array::from([retracted, inserted].concat());
        Ok(vec![output.take(&order)?])
    }
}

/// Whether everything in one ascending list is before everything in another.
trait SortedBefore {
    fn is_sorted_before(&self, other: &Self) -> bool;
}

impl SortedBefore for Vec<u32> {
    fn is_sorted_before(&self, other: &Self) -> bool {
        self.last() < other.first()
    }
}

impl Operator for Join {
    fn step(
        &mut self,
        inputs: Vec<Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let [left, right] = <[Vec<ChangeBatch>; 2]>::try_from(inputs)
            .map_err(|_| StepError::Internal("a join has two inputs".into()))?;
        let deltas = [
            self.layout.prepare(LEFT, left, context)?,
            self.layout.prepare(RIGHT, right, context)?,
        ];
        let both_changed = deltas.iter().all(|delta| !delta.is_empty());
        let may_cancel = match self.layout.lookup {
            true => false,
            false => both_changed || self.layout.has_solo_rows(),
        };
        let output = match self.layout.lookup {
            true => self.step_lookup(deltas, context)?,
            false => self.step_slices(deltas, context)?,
        };
        self.finish(output, may_cancel)
    }

    fn checkpoint(&mut self, writer: &mut dyn StateWriter) -> Result<(), StepError> {
        if std::mem::take(&mut self.resliced) {
            writer.clear();
        }
        writer.put(HEADER, &(self.slices.len() as u32).to_le_bytes());
        for (number, slice) in self.slices.iter_mut().enumerate() {
            slice.checkpoint(number, writer)?;
        }
        Ok(())
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StepError> {
        let Some(header) = reader.get(HEADER)? else {
            return Ok(());
        };
        let stored_slices =
            header
                .try_into()
                .map(u32::from_le_bytes)
                .map_err(|_| StepError::DamagedState {
                    step: String::new(),
                    reason: "number of slices".into(),
                })? as usize;
        if stored_slices == self.slices.len() {
            for (number, slice) in self.slices.iter_mut().enumerate() {
                slice.restore(number, reader)?;
            }
            return Ok(());
        }
        self.reslice(stored_slices, reader)?;
        for slice in &mut self.slices {
            slice.count_matches(&self.layout)?;
        }
        Ok(())
    }

    fn saved(&mut self) {
        self.slices.iter_mut().for_each(Slice::saved);
    }

    fn evictable_bytes(&self) -> usize {
        self.slices.iter().map(Slice::evictable_bytes).sum()
    }

    fn unsaved_bytes(&self) -> usize {
        self.slices.iter().map(Slice::unsaved_bytes).sum()
    }

    fn evict(&mut self, bytes: usize, source: &Arc<dyn ChunkSource>) -> usize {
        if self.resliced {
            // What the store has is cut otherwise.
            return 0;
        }
        let share = bytes.div_ceil(self.slices.len());
        let slices = self.slices.iter_mut().enumerate();
        slices
            .map(|(number, slice)| slice.evict(number, share, source))
            .sum()
    }

    fn state_bytes(&self) -> usize {
        self.slices.iter().map(Slice::bytes).sum()
    }
}

impl Join {
    /// Loads state that was cut into another number of slices.
    fn reslice(&mut self, stored_slices: usize, reader: &dyn StateReader) -> Result<(), StepError> {
        self.resliced = true;
        for number in 0..stored_slices {
            let mut stored = Slice::new(&self.layout);
            stored.restore(number, reader)?;
            for side in [LEFT, RIGHT] {
                let Some(rows) = stored.side(side) else {
                    continue;
                };
                for changes in rows.changes() {
                    let changes = changes?;
                    let keys = self.layout.key_columns(side, &changes);
                    let hashes = hash_keys(&keys, changes.num_rows());
                    debug_assert!(
                        hashes
                            .iter()
                            .all(|hash| slice_of(*hash, stored_slices) == number)
                    );
                    let parts = partition(&changes, &hashes, self.slices.len())?;
                    for (slice, part) in self.slices.iter_mut().zip(parts) {
                        slice.apply(&self.layout, side, &part)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
