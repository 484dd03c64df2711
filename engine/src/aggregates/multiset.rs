//! An ordered multiset, small while it has few values.
//!
//! Most groups have few distinct values, for which a sorted vector is smaller and faster than a tree.

use std::collections::BTreeMap;

use super::VisitEntry;
use super::value_codec::Value;

/// Above this many distinct values a tree is used.
const FEW: usize = 32;

/// How often each value occurs. Within a step a count may be negative for a while.
#[derive(Debug, Clone)]
pub(super) enum Multiset<V> {
    Few(Vec<(V, i64)>),
    /// Boxed, so that the many small ones stay small.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<V, i64>>),
}

impl<V> Default for Multiset<V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<V: Value> Multiset<V> {
    /// Adds a value `weight` times; gives its count before and after.
    pub(super) fn add(&mut self, value: V, weight: i64) -> (i64, i64) {
        match self {
            Self::Few(values) => {
                let place = values.binary_search_by(|(other, _)| other.cmp(&value));
                match place {
                    Ok(index) => {
                        let before = values[index].1;
                        values[index].1 += weight;
                        if before + weight == 0 {
                            values.remove(index);
                            if values.is_empty() {
                                *values = Vec::new();
                            }
                        }
                        (before, before + weight)
                    }
                    Err(index) if values.len() < FEW => {
                        if values.capacity() == 0 {
                            values.reserve_exact(1);
                        }
                        values.insert(index, (value, weight));
                        (0, weight)
                    }
                    Err(_) => {
                        let mut tree: BTreeMap<V, i64> =
                            std::mem::take(values).into_iter().collect();
                        tree.insert(value, weight);
                        *self = Self::Many(Box::new(tree));
                        (0, weight)
                    }
                }
            }
            Self::Many(tree) => {
                use std::collections::btree_map::Entry;
                match tree.entry(value) {
                    Entry::Vacant(entry) => {
                        entry.insert(weight);
                        (0, weight)
                    }
                    Entry::Occupied(mut entry) => {
                        let before = *entry.get();
                        if before + weight == 0 {
                            entry.remove();
                            // Not at FEW, lest it change back and forth.
                            if tree.len() <= FEW / 2 {
                                *self =
                                    Self::Few(std::mem::take(&mut **tree).into_iter().collect());
                            }
                        } else {
                            *entry.get_mut() += weight;
                        }
                        (before, before + weight)
                    }
                }
            }
        }
    }

    /// How often the value occurs.
    pub(super) fn get(&self, value: &V) -> i64 {
        match self {
            Self::Few(values) => values
                .binary_search_by(|(other, _)| other.cmp(value))
                .map_or(0, |index| values[index].1),
            Self::Many(tree) => tree.get(value).copied().unwrap_or(0),
        }
    }

    pub(super) fn first(&self) -> Option<&V> {
        match self {
            Self::Few(values) => values.first().map(|(value, _)| value),
            Self::Many(tree) => tree.first_key_value().map(|(value, _)| value),
        }
    }

    pub(super) fn last(&self) -> Option<&V> {
        match self {
            Self::Few(values) => values.last().map(|(value, _)| value),
            Self::Many(tree) => tree.last_key_value().map(|(value, _)| value),
        }
    }

    /// Values and their counts in order.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&V, i64)> + '_> {
        match self {
            Self::Few(values) => Box::new(values.iter().map(|(value, count)| (value, *count))),
            Self::Many(tree) => Box::new(tree.iter().map(|(value, count)| (value, *count))),
        }
    }

    /// Bytes outside the multiset itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let entry = size_of::<(V, i64)>();
        match self {
            Self::Few(values) => values.capacity() * entry,
            // Nodes of a B-tree are two thirds full.
            Self::Many(tree) => tree.len() * entry * 3 / 2,
        }
    }
}

/// One multiset for each slot, and what changed in them since the last checkpoint.
#[derive(Debug)]
pub(super) struct Multisets<V> {
    sets: Vec<Multiset<V>>,
    /// How many values are below zero at the moment.
    negative: usize,
    /// Bytes that values hold outside themselves.
    heap_bytes: usize,
    changed: Option<Changed<V>>,
}

impl<V: Value> Multisets<V> {
    pub(super) fn new(durable: bool) -> Self {
        Self {
            sets: Vec::new(),
            negative: 0,
            heap_bytes: 0,
            changed: durable.then(Changed::default),
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        super::grow(&mut self.sets, slots, Multiset::default());
    }

    /// Adds a value `weight` times; gives its count before and after.
    pub(super) fn add(&mut self, slot: usize, value: V, weight: i64) -> (i64, i64) {
        if let Some(changed) = &mut self.changed {
            changed.note(slot as u32, value.clone());
        }
        let heap_bytes = value.heap_bytes();
        let (before, after) = self.sets[slot].add(value, weight);
        match (before, after) {
            (0, _) => self.heap_bytes += heap_bytes,
            (_, 0) => self.heap_bytes = self.heap_bytes.saturating_sub(heap_bytes),
            _ => {}
        }
        self.negative += usize::from(after < 0);
        self.negative -= usize::from(before < 0);
        (before, after)
    }

    pub(super) fn get(&self, slot: u32) -> &Multiset<V> {
        &self.sets[slot as usize]
    }

    pub(super) fn reset(&mut self, slot: u32) {
        self.sets[slot as usize] = Multiset::default();
    }

    /// Whether no value occurs less than never.
    pub(super) fn is_consistent(&self) -> bool {
        self.negative == 0
    }

    /// See [`super::Accumulators::drain_entries`].
    pub(super) fn drain(&mut self, visit: &mut VisitEntry<'_>) {
        let Some(changed) = &mut self.changed else {
            return;
        };
        let (mut key, mut count_bytes) = (Vec::new(), Vec::new());
        for (slot, value) in changed.take() {
            key.clear();
            value.write(&mut key);
            match self.sets[slot as usize].get(&value) {
                0 => visit(slot, &key, None),
                count => {
                    count_bytes.clear();
                    super::write_i64(count, &mut count_bytes);
                    visit(slot, &key, Some(&count_bytes));
                }
            }
        }
    }

    /// See [`super::Accumulators::restore_entry`].
    pub(super) fn restore(
        &mut self,
        slot: u32,
        key: &[u8],
        mut count: &[u8],
    ) -> Result<(), super::Damaged> {
        let value = V::read(key)?;
        let count = super::read_i64(&mut count)?;
        if count <= 0 {
            return Err(super::Damaged);
        }
        self.heap_bytes += value.heap_bytes();
        self.sets[slot as usize].add(value, count);
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        let sets: usize = self.sets.iter().map(Multiset::heap_bytes).sum();
        self.sets.capacity() * size_of::<Multiset<V>>() + sets + self.heap_bytes
    }
}

/// Entries that changed since the last checkpoint.
#[derive(Debug)]
pub(super) struct Changed<V> {
    entries: Vec<(u32, V)>,
    /// Length after repetitions were last removed.
    distinct: usize,
}

impl<V> Default for Changed<V> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            distinct: 0,
        }
    }
}

impl<V: Ord> Changed<V> {
    pub(super) fn note(&mut self, slot: u32, value: V) {
        self.entries.push((slot, value));
        if self.entries.len() > 2 * self.distinct + 4096 {
            self.entries.sort_unstable();
            self.entries.dedup();
            self.distinct = self.entries.len();
        }
    }

    /// Each changed entry once, in order.
    pub(super) fn take(&mut self) -> Vec<(u32, V)> {
        let mut entries = std::mem::take(&mut self.entries);
        self.distinct = 0;
        entries.sort_unstable();
        entries.dedup();
        entries
    }
}
