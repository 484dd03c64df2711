//! One slice of an aggregate's groups: a table from keys to slots, and columns indexed by slot.
//!
//! ```text
//!            slot  rows  rowtime  SUM(x)  MAX(x)
//!  key ────►   0     3       17      12       7
//!              1     1       20       4       4
//! ```
//!
//! A step goes through its rows in four passes, each over whole columns: find the slots, note the
//! rows that the touched groups have now, update the accumulators, and emit what has changed.
//!
//! Invariants:
//! - Between steps a group is in the index exactly while its row count is positive (the one group of
//!   an aggregate without keys, and the group of NULL, keep their slots); or, if groups are kept, once
//!   it has had a row.
//! - A step emits at most one retraction and one insertion per group, the retraction first.
//! - A slot that lost its group is not used again before the next checkpoint, which needs its key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array, make_comparator};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{self, SortOptions};
use arrow::datatypes::SchemaRef;

use super::group_keys::{EncodedKeys, GroupKeys, KeyCodec};
use crate::aggregates::{
    self, Accumulators, Bitmap, Call, Damaged, Demands, Input, OutOfRange, grow, read_i64,
    write_i64,
};
use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::operators::filter::rows_of;
use crate::operators::project::conform;

/// A step that touches more groups than this visits them in the order of their slots.
const MANY_GROUPS: usize = 4_096;

/// A call and where its inputs are.
pub(super) struct PlannedCall {
    /// `None` counts rows, which the slice does anyway.
    pub call: Option<Call>,
    /// Positions among the evaluated columns: arguments, then keys of the call's order.
    pub columns: Vec<usize>,
    /// Position of the column with the call's `FILTER`.
    pub filter: Option<usize>,
}

/// A batch of changes with all that the aggregate computes from it.
pub(super) struct PreparedBatch {
    pub keys: EncodedKeys,
    /// Arguments, keys of orders, filters.
    pub columns: Vec<ArrayRef>,
    pub weights: Option<ScalarBuffer<i64>>,
    pub rowtimes: ScalarBuffer<i64>,
    /// For each slice the rows that belong to it, unless there is only one slice.
    pub routes: Vec<Vec<u32>>,
}

/// Takes an entry of a call's collection, with the keys that tell which group a slot is.
pub(super) type VisitCallEntry<'a> = dyn FnMut(&GroupKeys, usize, u32, &[u8], Option<&[u8]>) + 'a;

/// What a step of a slice gives.
#[derive(Default)]
pub(super) struct SliceOutput {
    pub changes: Option<ChangeBatch>,
    /// Results that left their type: the row of `changes`, the call, and why.
    pub out_of_range: Vec<(usize, usize, String)>,
}

pub(super) struct Slice {
    keys: GroupKeys,
    /// Sum of the weights of each group's rows.
    rows: Vec<i64>,
    /// Event time that each group's row was emitted with.
    rowtimes: Vec<i64>,
    /// In the order of the calls; `None` where the row count is the result.
    accumulators: Vec<Option<Box<dyn Accumulators>>>,
    /// Whether the group without key has been emitted.
    started: bool,
    is_single: bool,
    /// If groups are kept: which slots have had a row.
    kept: Option<Vec<bool>>,
    demands: Demands,
    touched: Bitmap,
    /// Slots that changed since the last checkpoint.
    dirty: Bitmap,
    /// Slots to be given back after the next checkpoint.
    removed: Vec<u32>,
    schema: SchemaRef,
}

/// The rows of a batch that belong to the slice, gathered.
struct SliceBatch {
    columns: Vec<ArrayRef>,
    slots: Vec<u32>,
    weights: Option<ScalarBuffer<i64>>,
    rowtimes: ScalarBuffer<i64>,
}

impl Slice {
    pub(super) fn new(
        codec: &KeyCodec,
        calls: &[PlannedCall],
        demands: Demands,
        schema: SchemaRef,
    ) -> Result<Self, StepError> {
        let accumulators = calls
            .iter()
            .map(|planned| match &planned.call {
                None => Ok(None),
                Some(call) => aggregates::accumulators(call, demands).map(Some),
            })
            .collect::<Result<_, _>>()?;
        let mut slice = Self {
            keys: GroupKeys::new(codec.clone()),
            rows: Vec::new(),
            rowtimes: Vec::new(),
            accumulators,
            started: false,
            is_single: matches!(codec, KeyCodec::Single),
            kept: None,
            demands,
            touched: Bitmap::default(),
            dirty: Bitmap::default(),
            removed: Vec::new(),
            schema,
        };
        slice.resize();
        Ok(slice)
    }

    /// Lets groups stay when their last row goes.
    pub(super) fn keep_groups(&mut self) {
        self.kept = Some(vec![false; self.keys.slot_count()]);
    }

    /// Whether a slot has a group.
    fn lives(&self, slot: u32) -> bool {
        let slot = slot as usize;
        match &self.kept {
            _ if self.is_single => self.started,
            None => self.rows[slot] > 0,
            Some(kept) => kept[slot],
        }
    }

    /// Whether the slice has a row to emit although nothing came in.
    pub(super) fn is_unstarted(&self) -> bool {
        self.is_single && !self.started
    }

    fn resize(&mut self) {
        let slots = self.keys.slot_count();
        grow(&mut self.rows, slots, 0);
        grow(&mut self.rowtimes, slots, 0);
        if let Some(kept) = &mut self.kept {
            grow(kept, slots, false);
        }
        self.touched.resize(slots);
        if self.demands.durable {
            self.dirty.resize(slots);
        }
        for accumulators in self.accumulators.iter_mut().flatten() {
            accumulators.resize(slots);
        }
    }

    /// Takes the changes of one step. `time` is the rowtime of a row that no row contributed to.
    pub(super) fn step(
        &mut self,
        batches: &[PreparedBatch],
        calls: &[PlannedCall],
        slice: usize,
        time: i64,
    ) -> Result<SliceOutput, StepError> {
        let (batches, touched) = self.find_slots(batches, slice)?;
        if touched.is_empty() {
            return Ok(SliceOutput::default());
        }
        let lived: Vec<bool> = touched.iter().map(|slot| self.lives(*slot)).collect();
        let any_lived = lived.contains(&true);
        let old = match any_lived {
            true => self.evaluate(&touched, &mut Vec::new())?,
            false => Vec::new(),
        };
        let old_rowtimes: Vec<i64> = touched
            .iter()
            .map(|slot| self.rowtimes[*slot as usize])
            .collect();

        for (slot, lived) in touched.iter().zip(&lived) {
            let slot = *slot as usize;
            if self.rows[slot] == 0 && !(*lived && self.kept.is_some()) {
                self.rowtimes[slot] = i64::MIN;
            }
        }
        self.update(&batches, calls)?;
        self.started = true;
        if let Some(kept) = &mut self.kept {
            touched.iter().for_each(|slot| kept[*slot as usize] = true);
        }
        let lives: Vec<bool> = touched.iter().map(|slot| self.lives(*slot)).collect();
        for slot in &touched {
            if self.rows[*slot as usize] < 0 {
                return Err(StepError::NegativeCount);
            }
        }
        let mut out_of_range = Vec::new();
        let new = self.evaluate(&touched, &mut out_of_range)?;
        let changed = match any_lived {
            true => self.changed(&old, &new, touched.len(), calls)?,
            false => vec![true; touched.len()],
        };
        self.settle_rowtimes(&touched, &lived, &changed, &old_rowtimes, time);
        let output = self.emit(Transition {
            touched: &touched,
            lived: &lived,
            lives: &lives,
            changed: &changed,
            old,
            old_rowtimes: &old_rowtimes,
            new,
            out_of_range,
        })?;
        self.remove_dead(&touched, &lived, &lives);
        Ok(output)
    }

    /// Finds the slots of all rows; gives the slice's rows, and the touched slots: in the order in
    /// which they were first touched, or of the slots when there are many.
    fn find_slots(
        &mut self,
        batches: &[PreparedBatch],
        slice: usize,
    ) -> Result<(Vec<SliceBatch>, Vec<u32>), StepError> {
        let mut touched = Vec::new();
        let mut taken = Vec::with_capacity(batches.len());
        for batch in batches {
            let rows = batch.routes.get(slice);
            let num_rows = batch.rowtimes.len();
            let own = rows.map_or(num_rows, Vec::len);
            if own == 0 {
                continue;
            }
            let mut slots = Vec::with_capacity(own);
            self.keys
                .intern(&batch.keys, rows.map(Vec::as_slice), num_rows, &mut slots);
            self.touched.resize(self.keys.slot_count());
            for slot in &slots {
                if !self.touched.replace(*slot as usize) {
                    touched.push(*slot);
                }
            }
            taken.push(match rows {
                Some(rows) if rows.len() < num_rows => gather(batch, rows, slots)?,
                _ => SliceBatch {
                    columns: batch.columns.clone(),
                    slots,
                    weights: batch.weights.clone(),
                    rowtimes: batch.rowtimes.clone(),
                },
            });
        }
        if self.is_unstarted() && touched.is_empty() {
            touched.push(0);
        }
        if touched.len() > MANY_GROUPS {
            // In the order of slots the columns are read from front to end.
            touched = self.touched.drain();
        } else {
            for slot in &touched {
                self.touched.unset(*slot as usize);
            }
        }
        self.resize();
        if self.demands.durable {
            touched
                .iter()
                .for_each(|slot| self.dirty.set(*slot as usize));
        }
        Ok((taken, touched))
    }

    fn update(&mut self, batches: &[SliceBatch], calls: &[PlannedCall]) -> Result<(), StepError> {
        for batch in batches {
            match &batch.weights {
                None => batch
                    .slots
                    .iter()
                    .for_each(|slot| self.rows[*slot as usize] += 1),
                Some(weights) => {
                    for (slot, weight) in batch.slots.iter().zip(weights.iter()) {
                        self.rows[*slot as usize] += weight;
                    }
                }
            }
            for (slot, rowtime) in batch.slots.iter().zip(batch.rowtimes.iter()) {
                let held = &mut self.rowtimes[*slot as usize];
                *held = (*held).max(*rowtime);
            }
            for (accumulators, planned) in self.accumulators.iter_mut().zip(calls) {
                let Some(accumulators) = accumulators else {
                    continue;
                };
                let args: Vec<ArrayRef> = planned
                    .columns
                    .iter()
                    .map(|column| Arc::clone(&batch.columns[*column]))
                    .collect();
                match planned.filter {
                    None => accumulators.update(&Input {
                        args: &args,
                        slots: &batch.slots,
                        weights: batch.weights.as_deref(),
                    })?,
                    Some(filter) => {
                        update_filtered(accumulators, &args, batch, &batch.columns[filter])?;
                    }
                }
            }
        }
        for accumulators in self.accumulators.iter_mut().flatten() {
            accumulators.finish()?;
        }
        Ok(())
    }

    /// The results of all calls for some slots.
    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<(usize, usize, String)>,
    ) -> Result<Vec<ArrayRef>, StepError> {
        let fields = &self.schema.fields()[self.schema.fields().len() - self.accumulators.len()..];
        let mut results = Vec::with_capacity(self.accumulators.len());
        for (index, accumulators) in self.accumulators.iter().enumerate() {
            results.push(match accumulators {
                None => Arc::new(Int64Array::from_iter_values(
                    slots.iter().map(|slot| self.rows[*slot as usize]),
                )),
                Some(accumulators) => {
                    let mut outside: Vec<OutOfRange> = Vec::new();
                    let result = accumulators.evaluate(slots, &mut outside)?;
                    out_of_range.extend(
                        outside
                            .into_iter()
                            .map(|note| (note.position, index, note.reason)),
                    );
                    conform(result, fields[index].data_type())?
                }
            });
        }
        Ok(results)
    }

    /// Which of the touched groups have other results than before.
    fn changed(
        &self,
        old: &[ArrayRef],
        new: &[ArrayRef],
        groups: usize,
        calls: &[PlannedCall],
    ) -> Result<Vec<bool>, StepError> {
        // Insertions always change a count of rows.
        let counts_rows = calls.iter().any(|planned| planned.call.is_none());
        if self.demands.append_only && counts_rows {
            return Ok(vec![true; groups]);
        }
        let mut changed = vec![false; groups];
        for (old, new) in old.iter().zip(new) {
            if old.data_type().is_nested() {
                let compare = make_comparator(old, new, SortOptions::default())?;
                for (group, changed) in changed.iter_mut().enumerate() {
                    *changed = *changed || compare(group, group).is_ne();
                }
            } else {
                let distinct = compute::kernels::cmp::distinct(old, new)?;
                for (changed, distinct) in changed.iter_mut().zip(distinct.values()) {
                    *changed |= distinct;
                }
            }
        }
        Ok(changed)
    }

    /// A row keeps its rowtime until it changes, so that what is retracted is what was emitted.
    fn settle_rowtimes(
        &mut self,
        touched: &[u32],
        lived: &[bool],
        changed: &[bool],
        old: &[i64],
        time: i64,
    ) {
        for (group, slot) in touched.iter().enumerate() {
            let rowtime = &mut self.rowtimes[*slot as usize];
            if lived[group] && !changed[group] {
                *rowtime = old[group];
            } else if *rowtime == i64::MIN {
                *rowtime = time;
            }
        }
    }

    fn emit(&self, transition: Transition<'_>) -> Result<SliceOutput, StepError> {
        let Transition {
            touched,
            lived,
            lives,
            changed,
            old,
            old_rowtimes,
            new,
            out_of_range,
        } = transition;
        let new_rowtime = |group: usize| self.rowtimes[touched[group] as usize];
        // Usually all are new, or all are updated, when catching up.
        if !lived.contains(&true) && !lives.contains(&false) {
            let mut columns = self.keys.columns(touched)?;
            columns.extend(new);
            let rows = rows_of(self.schema.clone(), columns, touched.len())?;
            let rowtimes = (0..touched.len()).map(new_rowtime).collect();
            return Ok(SliceOutput {
                changes: Some(ChangeBatch::insertions(rows, rowtimes)),
                out_of_range,
            });
        }
        let capacity = 2 * touched.len();
        let mut groups: Vec<u32> = Vec::with_capacity(capacity);
        let mut sides: Vec<(usize, usize)> = Vec::with_capacity(capacity);
        let mut weights: Vec<i64> = Vec::with_capacity(capacity);
        let mut rowtimes: Vec<i64> = Vec::with_capacity(capacity);
        let mut emitted = vec![
            None;
            if out_of_range.is_empty() {
                0
            } else {
                touched.len()
            }
        ];
        for group in 0..touched.len() {
            if lived[group] && (!lives[group] || changed[group]) {
                groups.push(group as u32);
                sides.push((0, group));
                weights.push(-1);
                rowtimes.push(old_rowtimes[group]);
            }
            if lives[group] && (!lived[group] || changed[group]) {
                if let Some(emitted) = emitted.get_mut(group) {
                    *emitted = Some(groups.len());
                }
                groups.push(group as u32);
                sides.push((1, group));
                weights.push(1);
                rowtimes.push(new_rowtime(group));
            }
        }
        if groups.is_empty() {
            return Ok(SliceOutput::default());
        }
        let groups = UInt32Array::from(groups);
        let mut columns = self
            .keys
            .columns(touched)?
            .iter()
            .map(|column| compute::take(column, &groups, None))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, new) in new.iter().enumerate() {
            // Without old rows nothing refers to them.
            let old = old.get(index).unwrap_or(new);
            columns.push(compute::interleave(&[old.as_ref(), new.as_ref()], &sides)?);
        }
        let rows = rows_of(self.schema.clone(), columns, groups.len())?;
        let changes = ChangeBatch::new(rows, weights.into(), rowtimes.into());
        let out_of_range = out_of_range
            .into_iter()
            .filter_map(|(group, call, reason)| Some((emitted[group]?, call, reason)))
            .collect();
        Ok(SliceOutput {
            changes: Some(changes),
            out_of_range,
        })
    }

    fn remove_dead(&mut self, touched: &[u32], lived: &[bool], lives: &[bool]) {
        let mut removed = Vec::new();
        for (group, slot) in touched.iter().enumerate() {
            if lives[group] {
                continue;
            }
            for accumulators in self.accumulators.iter_mut().flatten() {
                accumulators.reset(*slot);
            }
            if self.keys.remove(*slot) {
                removed.push(*slot);
            }
        }
        debug_assert_eq!(lived.len(), lives.len());
        match self.demands.durable {
            true => self.removed.extend(removed),
            false => self.keys.give_back(removed.into_iter()),
        }
    }

    /// The rows of all groups, in batches of at most `batch_rows`.
    pub(super) fn snapshot(&self, batch_rows: usize) -> Result<Vec<ChangeBatch>, StepError> {
        let live: Vec<u32> = (0..self.rows.len() as u32)
            .filter(|slot| self.lives(*slot))
            .collect();
        live.chunks(batch_rows)
            .map(|slots| self.rows_of_slots(slots))
            .collect()
    }

    /// The rows of the groups with these keys that belong to the slice.
    pub(super) fn lookup(&self, keys: &EncodedKeys, rows: usize) -> Result<ChangeBatch, StepError> {
        let slots: Vec<u32> = self
            .keys
            .find(keys, rows)
            .into_iter()
            .flatten()
            .filter(|slot| self.lives(*slot))
            .collect();
        self.rows_of_slots(&slots)
    }

    fn rows_of_slots(&self, slots: &[u32]) -> Result<ChangeBatch, StepError> {
        let mut columns = self.keys.columns(slots)?;
        columns.extend(self.evaluate(slots, &mut Vec::new())?);
        let rows = rows_of(self.schema.clone(), columns, slots.len())?;
        let rowtimes = slots.iter().map(|slot| self.rowtimes[*slot as usize]);
        Ok(ChangeBatch::insertions(rows, rowtimes.collect()))
    }

    /// Slots that changed since the last call.
    pub(super) fn drain_dirty(&mut self) -> Vec<u32> {
        self.dirty.drain()
    }

    /// Appends the key of a slot.
    pub(super) fn write_key(&self, slot: u32, out: &mut Vec<u8>) {
        self.keys.write(slot, out);
    }

    /// Appends a group's counts, rowtime and accumulators; false if the slot has no group.
    pub(super) fn write_group(&self, slot: u32, out: &mut Vec<u8>) -> bool {
        if !self.lives(slot) {
            return false;
        }
        write_i64(self.rows[slot as usize], out);
        write_i64(self.rowtimes[slot as usize], out);
        for accumulators in self.accumulators.iter().flatten() {
            accumulators.encode(slot, out);
        }
        true
    }

    /// Takes back a group that [`Slice::write_group`] wrote.
    pub(super) fn read_group(&mut self, key: &[u8], mut group: &[u8]) -> Result<(), Damaged> {
        let slot = self.keys.intern_bytes(key)?;
        self.resize();
        self.rows[slot as usize] = read_i64(&mut group)?;
        self.rowtimes[slot as usize] = read_i64(&mut group)?;
        for accumulators in self.accumulators.iter_mut().flatten() {
            accumulators.decode(slot, &mut group)?;
        }
        self.started = true;
        if let Some(kept) = &mut self.kept {
            kept[slot as usize] = true;
        }
        match group.is_empty() {
            true => Ok(()),
            false => Err(Damaged),
        }
    }

    /// See [`Accumulators::drain_entries`]; the call comes first.
    pub(super) fn drain_entries(&mut self, visit: &mut VisitCallEntry<'_>) {
        let keys = &self.keys;
        for (call, accumulators) in self.accumulators.iter_mut().enumerate() {
            if let Some(accumulators) = accumulators {
                accumulators.drain_entries(&mut |slot, key, value| {
                    visit(keys, call, slot, key, value);
                });
            }
        }
    }

    pub(super) fn restore_entry(
        &mut self,
        call: usize,
        group: &[u8],
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Damaged> {
        let slot = self.keys.intern_bytes(group)?;
        self.resize();
        match self.accumulators.get_mut(call) {
            Some(Some(accumulators)) => accumulators.restore_entry(slot, key, value),
            _ => Err(Damaged),
        }
    }

    /// The checkpoint is written: slots without groups can be used again.
    pub(super) fn give_back(&mut self) {
        let removed = std::mem::take(&mut self.removed);
        self.keys.give_back(removed.into_iter());
    }

    pub(super) fn bytes(&self) -> usize {
        let accumulators: usize = self
            .accumulators
            .iter()
            .flatten()
            .map(|accumulators| accumulators.bytes())
            .sum();
        let columns = (self.rows.capacity() + self.rowtimes.capacity()) * 8;
        self.keys.bytes() + columns + self.touched.bytes() + self.dirty.bytes() + accumulators
    }
}

/// The touched groups of a step, before and after.
struct Transition<'a> {
    touched: &'a [u32],
    lived: &'a [bool],
    lives: &'a [bool],
    changed: &'a [bool],
    /// Empty if no group lived.
    old: Vec<ArrayRef>,
    old_rowtimes: &'a [i64],
    new: Vec<ArrayRef>,
    out_of_range: Vec<(usize, usize, String)>,
}

fn gather(batch: &PreparedBatch, rows: &[u32], slots: Vec<u32>) -> Result<SliceBatch, StepError> {
    let positions = UInt32Array::from(rows.to_vec());
    let columns = batch
        .columns
        .iter()
        .map(|column| compute::take(column, &positions, None))
        .collect::<Result<_, _>>()?;
    let values =
        |values: &ScalarBuffer<i64>| rows.iter().map(|row| values[*row as usize]).collect();
    Ok(SliceBatch {
        columns,
        slots,
        weights: batch.weights.as_ref().map(values),
        rowtimes: values(&batch.rowtimes),
    })
}

/// Updates with the rows for which the call's filter is true.
fn update_filtered(
    accumulators: &mut Box<dyn Accumulators>,
    args: &[ArrayRef],
    batch: &SliceBatch,
    filter: &ArrayRef,
) -> Result<(), StepError> {
    let Some(mask) = filter.as_any().downcast_ref::<BooleanArray>() else {
        // An untyped NULL is true for no row.
        return Ok(());
    };
    let rows: Vec<u32> = match mask.nulls() {
        None => mask.values().set_indices().map(|row| row as u32).collect(),
        Some(nulls) => (mask.values() & nulls.inner())
            .set_indices()
            .map(|row| row as u32)
            .collect(),
    };
    if rows.is_empty() {
        return Ok(());
    }
    let slots: Vec<u32> = rows.iter().map(|row| batch.slots[*row as usize]).collect();
    let weights: Option<Vec<i64>> = batch
        .weights
        .as_ref()
        .map(|weights| rows.iter().map(|row| weights[*row as usize]).collect());
    let positions = UInt32Array::from(rows);
    let args = args
        .iter()
        .map(|arg| compute::take(arg, &positions, None))
        .collect::<Result<Vec<_>, _>>()?;
    accumulators.update(&Input {
        args: &args,
        slots: &slots,
        weights: weights.as_deref(),
    })
}
