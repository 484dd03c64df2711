//! `DISTINCT` inside a call: counts how often each group has each value of the arguments, and passes
//! on only a value's first arrival and its last retraction.
//!
//! ```text
//!  + oslo 5    count 0 → 1    + oslo 5  ─► COUNT, SUM, …
//!  + oslo 5    count 1 → 2
//!  − oslo 5    count 2 → 1
//!  − oslo 5    count 1 → 0    − oslo 5  ─► COUNT, SUM, …
//! ```

use std::hash::Hash;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::codec::{Damaged, read_i64, write_i64};
use super::multiset::Changed;
use super::value_codec::{FixedCodec, RowCodec, Value, ValueCodec};
use super::{Accumulators, Call, Demands, Input, OutOfRange, VisitEntry};
use crate::operator::StepError;

/// Puts distinctness before the accumulators of a call.
pub(super) fn over(
    inner: Box<dyn Accumulators>,
    call: &Call,
    demands: Demands,
) -> Result<Box<dyn Accumulators>, StepError> {
    let fixed = match call.arg_types.as_slice() {
        [only] => FixedCodec::new(only),
        _ => None,
    };
    let args = call.arg_types.len();
    Ok(match fixed {
        Some(codec) => Box::new(Distinct::new(codec, args, inner, demands)),
        None => Box::new(Distinct::new(
            RowCodec::unordered(&call.arg_types)?,
            args,
            inner,
            demands,
        )),
    })
}

/// A value in one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key<V> {
    value: V,
    slot: u32,
    null: bool,
}

struct Distinct<C: ValueCodec> {
    codec: C,
    /// How many of the input's columns are arguments; keys of an order follow.
    args: usize,
    counts: HashMap<Key<C::Value>, i64, FixedState>,
    /// How many counts are below zero at the moment.
    negative: usize,
    changed: Option<Changed<Key<C::Value>>>,
    heap_bytes: usize,
    inner: Box<dyn Accumulators>,
}

impl<C: ValueCodec> Distinct<C> {
    fn new(codec: C, args: usize, inner: Box<dyn Accumulators>, demands: Demands) -> Self {
        Self {
            codec,
            args,
            counts: HashMap::with_hasher(FixedState::with_seed(0)),
            negative: 0,
            changed: demands.durable.then(Changed::default),
            heap_bytes: 0,
            inner,
        }
    }
}

impl<C: ValueCodec> Accumulators for Distinct<C> {
    fn resize(&mut self, slots: usize) {
        self.inner.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let args = &input.args[..self.args];
        let nulls = match args {
            [only] => only.logical_nulls(),
            _ => None,
        };
        let mut rows = Vec::new();
        let mut weights = Vec::new();
        self.codec.encode(args, |row, value| {
            let slot = input.slots[row];
            let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let key = Key { value, slot, null };
            if let Some(changed) = &mut self.changed {
                changed.note(slot, key.clone());
            }
            let weight = input.weights.map_or(1, |weights| weights[row]);
            let (before, after) = match self.counts.entry(key) {
                Entry::Vacant(entry) => {
                    self.heap_bytes += entry.key().value.heap_bytes();
                    entry.insert(weight);
                    (0, weight)
                }
                Entry::Occupied(mut entry) => {
                    let before = *entry.get();
                    *entry.get_mut() += weight;
                    if before + weight == 0 {
                        let (key, _) = entry.remove_entry();
                        self.heap_bytes -= key.value.heap_bytes();
                    }
                    (before, before + weight)
                }
            };
            self.negative += usize::from(after < 0);
            self.negative -= usize::from(before < 0);
            if (before > 0) != (after > 0) {
                rows.push(row as u32);
                weights.push(if after > 0 { 1 } else { -1 });
            }
        })?;
        if rows.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = rows.iter().map(|row| input.slots[*row as usize]).collect();
        let positions = UInt32Array::from(rows);
        let args = input
            .args
            .iter()
            .map(|arg| compute::take(arg, &positions, None))
            .collect::<Result<Vec<_>, _>>()?;
        self.inner.update(&Input {
            args: &args,
            slots: &slots,
            weights: weights.contains(&-1).then_some(&weights),
        })
    }

    fn finish(&mut self) -> Result<(), StepError> {
        if self.negative > 0 {
            return Err(StepError::NegativeCount);
        }
        self.inner.finish()
    }

    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        self.inner.evaluate(slots, out_of_range)
    }

    fn reset(&mut self, slot: u32) {
        // The counts are gone with the rows.
        self.inner.reset(slot);
    }

    fn encode(&self, slot: u32, out: &mut Vec<u8>) {
        self.inner.encode(slot, out);
    }

    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged> {
        self.inner.decode(slot, bytes)
    }

    fn drain_entries(&mut self, visit: &mut VisitEntry<'_>) {
        let mut entry = Vec::new();
        if let Some(changed) = &mut self.changed {
            let mut count_bytes = Vec::new();
            for (slot, key) in changed.take() {
                entry.clear();
                entry.push(u8::from(key.null));
                key.value.write(&mut entry);
                match self.counts.get(&key) {
                    None => visit(slot, &entry, None),
                    Some(count) => {
                        count_bytes.clear();
                        write_i64(*count, &mut count_bytes);
                        visit(slot, &entry, Some(&count_bytes));
                    }
                }
            }
        }
        self.inner.drain_entries(&mut |slot, key, value| {
            entry.clear();
            entry.push(INNER);
            entry.extend_from_slice(key);
            visit(slot, &entry, value);
        });
    }

    fn restore_entry(&mut self, slot: u32, key: &[u8], mut value: &[u8]) -> Result<(), Damaged> {
        let (kind, key) = key.split_first().ok_or(Damaged)?;
        if *kind == INNER {
            return self.inner.restore_entry(slot, key, value);
        }
        let null = *kind == 1;
        let count = read_i64(&mut value)?;
        let key = C::Value::read(key)?;
        self.heap_bytes += key.heap_bytes();
        let key = Key {
            value: key,
            slot,
            null,
        };
        self.counts.insert(key, count);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.allocation_size() + self.heap_bytes + self.inner.bytes()
    }
}

/// First byte of the key of an entry that is not ours; ours have 0, or 1 for NULL.
const INNER: u8 = 2;
