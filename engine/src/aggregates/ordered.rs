//! Aggregates that look at the order of their rows: `ARRAY_AGG`, `STRING_AGG`, `FIRST_VALUE`,
//! `LAST_VALUE`, `NTH_VALUE`, and any with an `ORDER BY` of its own.
//!
//! The rows of a group are kept by the keys of the call's order and, among equal ones (or when the
//! call has no order), by arrival: each row gets a number when it comes, which is saved with it, so
//! that a restart changes nothing.
//!
//! A retraction takes the row that came first among those that are equal to it. Queues of equal rows
//! being first-in-first-out, the result is the same however changes are cut into steps.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef};

use super::codec::{Damaged, read_bytes, read_i64, read_u64, write_bytes, write_i64, write_u64};
use super::multiset::Changed;
use super::recomputed::{BatchFunction, Kept, kept_bytes};
use super::slots::{column_bytes, grow};
use super::value_codec::{RowCodec, Value, ValueCodec};
use super::{Accumulators, Call, Demands, Input, OutOfRange, VisitEntry};
use crate::operator::StepError;

/// Where a row stands: keys of the call's order, then number of arrival.
type Place = (Box<[u8]>, u64);

/// How often each row is to be taken out.
type Wanted = HashMap<Kept, i64>;

/// Which end of the order is needed, when the others can be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

pub(super) struct Ordered {
    function: BatchFunction,
    order: Option<RowCodec>,
    /// How many of the input's columns are arguments; the keys of the order follow.
    args: usize,
    /// Whether rows with a NULL argument are left out.
    skips_nulls: bool,
    only_end: Option<End>,
    /// Rows by place, each with how often it came there.
    rows: Vec<BTreeMap<Place, (Kept, i64)>>,
    arrivals: u64,
    /// Retractions of this step by slot and order keys, taken from `rows` at its end.
    retractions: HashMap<u32, BTreeMap<Box<[u8]>, Wanted>>,
    changed: Option<Changed<Place>>,
    heap_bytes: usize,
}

impl Ordered {
    pub(super) fn new(call: &Call, demands: Demands) -> Result<Self, StepError> {
        let only_end = match call.function.as_str() {
            "first_value" if demands.append_only => Some(End::First),
            "last_value" if demands.append_only => Some(End::Last),
            _ => None,
        };
        let order = match call.order.is_empty() {
            true => None,
            false => Some(RowCodec::new(&call.order)?),
        };
        Ok(Self {
            function: BatchFunction::new(call)?,
            order,
            args: call.arg_types.len(),
            skips_nulls: call.ignore_nulls,
            only_end,
            rows: Vec::new(),
            arrivals: 0,
            retractions: HashMap::new(),
            changed: demands.durable.then(Changed::default),
            heap_bytes: 0,
        })
    }

    fn insert(&mut self, slot: u32, place: Place, kept: Kept, count: i64) {
        self.heap_bytes += held_bytes(&place, &kept);
        self.note(slot, &place);
        let rows = &mut self.rows[slot as usize];
        rows.insert(place, (kept, count));
        if rows.len() > 1 {
            let forgotten = match self.only_end {
                None => None,
                Some(End::First) => rows.pop_last(),
                Some(End::Last) => rows.pop_first(),
            };
            if let Some((place, (kept, _))) = forgotten {
                self.heap_bytes -= held_bytes(&place, &kept);
                self.note(slot, &place);
            }
        }
    }

    fn note(&mut self, slot: u32, place: &Place) {
        if let Some(changed) = &mut self.changed {
            changed.note(slot, place.clone());
        }
    }

    /// Takes retracted rows out, those that came first before others that are equal.
    fn retract(&mut self, slot: u32, order: &[u8], mut wanted: Wanted) -> Result<(), StepError> {
        let mut touched = Vec::new();
        let range = (order.into(), 0)..=(order.into(), u64::MAX);
        for (place, (kept, count)) in self.rows[slot as usize].range_mut(range) {
            let Some(missing) = wanted.get_mut(kept) else {
                continue;
            };
            let taken = (*count).min(*missing);
            *count -= taken;
            *missing -= taken;
            if *missing == 0 {
                wanted.remove(kept);
            }
            touched.push((place.clone(), *count == 0));
            if wanted.is_empty() {
                break;
            }
        }
        for (place, is_gone) in touched {
            self.note(slot, &place);
            if is_gone && let Some((kept, _)) = self.rows[slot as usize].remove(&place) {
                self.heap_bytes -= held_bytes(&place, &kept);
            }
        }
        match wanted.is_empty() {
            true => Ok(()),
            false => Err(StepError::NegativeCount),
        }
    }
}

fn held_bytes(place: &Place, kept: &Kept) -> usize {
    let order = match place.0.is_empty() {
        true => 0,
        false => place.0.heap_bytes(),
    };
    // An entry of a tree whose nodes are two thirds full.
    (size_of::<Place>() + size_of::<(Kept, i64)>()) * 3 / 2 + order + kept_bytes(kept)
}

impl Accumulators for Ordered {
    fn resize(&mut self, slots: usize) {
        grow(&mut self.rows, slots, BTreeMap::new());
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let (args, keys) = input.args.split_at(self.args);
        let mut orders: Vec<Box<[u8]>> = Vec::new();
        if let Some(codec) = &self.order {
            codec.encode(keys, |_, order| orders.push(order))?;
        }
        let mut kept = Vec::new();
        self.function.encode(args, |_, row| kept.push(row))?;
        let nulls = match self.skips_nulls {
            true => args[0].logical_nulls(),
            false => None,
        };
        for (row, kept) in kept.into_iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let slot = input.slots[row];
            let order = orders.get_mut(row).map(std::mem::take).unwrap_or_default();
            let weight = input.weights.map_or(1, |weights| weights[row]);
            if weight > 0 {
                self.arrivals += 1;
                let place = (order, self.arrivals);
                self.insert(slot, place, kept, weight);
            } else {
                let of_slot = self.retractions.entry(slot).or_default();
                *of_slot.entry(order).or_default().entry(kept).or_default() -= weight;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StepError> {
        for (slot, orders) in std::mem::take(&mut self.retractions) {
            for (order, wanted) in orders {
                self.retract(slot, &order, wanted)?;
            }
        }
        Ok(())
    }

    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let groups = slots.iter().map(|slot| {
            let rows = self.rows[*slot as usize].values();
            rows.map(|(kept, count)| (kept, *count)).collect()
        });
        self.function.evaluate(groups, out_of_range)
    }

    fn reset(&mut self, slot: u32) {
        for (place, (kept, _)) in std::mem::take(&mut self.rows[slot as usize]) {
            self.heap_bytes -= held_bytes(&place, &kept);
            self.note(slot, &place);
        }
    }

    fn encode(&self, _slot: u32, _out: &mut Vec<u8>) {}

    fn decode(&mut self, _slot: u32, _bytes: &mut &[u8]) -> Result<(), Damaged> {
        Ok(())
    }

    fn drain_entries(&mut self, visit: &mut VisitEntry<'_>) {
        let Some(changed) = &mut self.changed else {
            return;
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for (slot, place) in changed.take() {
            key.clear();
            write_u64(place.1, &mut key);
            match self.rows[slot as usize].get(&place) {
                None => visit(slot, &key, None),
                Some((kept, count)) => {
                    value.clear();
                    write_bytes(&place.0, &mut value);
                    write_i64(*count, &mut value);
                    write_bytes(kept, &mut value);
                    visit(slot, &key, Some(&value));
                }
            }
        }
    }

    fn restore_entry(
        &mut self,
        slot: u32,
        mut key: &[u8],
        mut value: &[u8],
    ) -> Result<(), Damaged> {
        let arrival = read_u64(&mut key)?;
        let order: Box<[u8]> = read_bytes(&mut value)?.into();
        let count = read_i64(&mut value)?;
        let kept: Kept = read_bytes(&mut value)?.into();
        self.arrivals = self.arrivals.max(arrival);
        let place = (order, arrival);
        self.heap_bytes += held_bytes(&place, &kept);
        self.rows[slot as usize].insert(place, (kept, count));
        Ok(())
    }

    fn bytes(&self) -> usize {
        column_bytes(&self.rows) + self.heap_bytes
    }
}
