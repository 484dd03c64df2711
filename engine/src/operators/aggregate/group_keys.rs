//! From group keys to slots.
//!
//! ```text
//!  key columns ──encode──► one integer or some bytes a row ──index──► slot ──► accumulators
//! ```
//!
//! One key column of up to 64 bits is its own key; anything else is encoded in Arrow's row format
//! into an arena. The index holds slots only, so that its entries are small; keys are compared where
//! they lie. NULL is a group like any other, −0 is in the group of 0, and all NaNs are in one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::aggregates::{Damaged, from_ordered, grow, is_fixed, normalise_floats, to_ordered};
use crate::nulls::zero_under_nulls;
use crate::operator::StepError;

/// How keys of an aggregate are encoded; shared by its slices.
#[derive(Clone)]
pub(super) enum KeyCodec {
    /// No key: all rows are one group.
    Single,
    Fixed(DataType),
    Rows(Arc<RowConverter>),
}

/// The keys of a batch.
pub(super) enum EncodedKeys {
    Single,
    Fixed {
        values: Vec<u64>,
        nulls: Option<NullBuffer>,
    },
    Rows {
        rows: Rows,
        hashes: Vec<u64>,
    },
}

/// The state on disk names keys by bytes, not by hashes, so the hash may change between versions.
fn hasher() -> FixedState {
    FixedState::with_seed(0x6d69_6c6c_706f_6e64)
}

#[inline]
fn hash_fixed(value: u64) -> u64 {
    hasher().hash_one(value)
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut state = hasher().build_hasher();
    state.write(bytes);
    state.finish()
}

const HASH_OF_NULL: u64 = 0x51ed_270b_9f31_88c3;

/// The slice, of `slices`, that owns a hash. Taken from the middle, because the index uses both ends.
#[inline]
fn slice_of(hash: u64, slices: usize) -> usize {
    (((hash >> 24) & 0xffff) as usize * slices) >> 16
}

impl KeyCodec {
    pub(super) fn new(data_types: &[DataType]) -> Result<Self, StepError> {
        Ok(match data_types {
            [] => Self::Single,
            [only] if is_fixed(only) => Self::Fixed(only.clone()),
            several => {
                let fields = several.iter().cloned().map(SortField::new).collect();
                Self::Rows(Arc::new(RowConverter::new(fields)?))
            }
        })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<EncodedKeys, StepError> {
        Ok(match self {
            Self::Single => EncodedKeys::Single,
            Self::Fixed(_) => EncodedKeys::Fixed {
                values: to_ordered(&columns[0]),
                nulls: columns[0]
                    .logical_nulls()
                    .filter(|nulls| nulls.null_count() > 0),
            },
            Self::Rows(converter) => {
                let columns: Vec<ArrayRef> = columns.iter().map(normalise_floats).collect();
                let rows = converter.convert_columns(&columns)?;
                let hashes = rows.iter().map(|row| hash_bytes(row.as_ref())).collect();
                EncodedKeys::Rows { rows, hashes }
            }
        })
    }

    /// The slice that owns a key given as bytes.
    pub(super) fn slice_of_bytes(&self, key: &[u8], slices: usize) -> Result<usize, Damaged> {
        Ok(match self {
            Self::Single => 0,
            Self::Fixed(_) => match fixed_from_bytes(key)? {
                None => slice_of(HASH_OF_NULL, slices),
                Some(value) => slice_of(hash_fixed(value), slices),
            },
            Self::Rows(_) => slice_of(hash_bytes(key), slices),
        })
    }
}

impl EncodedKeys {
    /// For each slice the positions of its rows, in order.
    pub(super) fn route(&self, rows: usize, slices: usize) -> Vec<Vec<u32>> {
        let mut routes = vec![Vec::with_capacity(rows / slices + rows / 8 + 4); slices];
        match self {
            Self::Single => routes[0].extend(0..rows as u32),
            Self::Fixed { values, nulls } => {
                for (row, value) in values.iter().enumerate() {
                    let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                    let hash = match is_null {
                        true => HASH_OF_NULL,
                        false => hash_fixed(*value),
                    };
                    routes[slice_of(hash, slices)].push(row as u32);
                }
            }
            Self::Rows { hashes, .. } => {
                for (row, hash) in hashes.iter().enumerate() {
                    routes[slice_of(*hash, slices)].push(row as u32);
                }
            }
        }
        routes
    }
}

fn fixed_from_bytes(bytes: &[u8]) -> Result<Option<u64>, Damaged> {
    match bytes {
        [0] => Ok(None),
        [1, rest @ ..] => {
            let value = <[u8; 8]>::try_from(rest).map_err(|_| Damaged)?;
            Ok(Some(u64::from_be_bytes(value)))
        }
        _ => Err(Damaged),
    }
}

/// Slots in use and those that can be used again.
#[derive(Debug, Default)]
struct Slots {
    count: usize,
    free: Vec<u32>,
}

impl Slots {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            u32::try_from(self.count - 1).expect("a slice has fewer than 2^32 groups")
        })
    }
}

/// The keys of one slice, each in its slot.
pub(super) struct GroupKeys {
    codec: KeyCodec,
    slots: Slots,
    index: Index,
}

enum Index {
    Single,
    Fixed {
        /// Slots by the hash of their key.
        table: HashTable<u32>,
        keys: Vec<u64>,
        null: Option<u32>,
    },
    Rows {
        /// Slots, each with the hash of its key folded to 32 bits.
        table: HashTable<(u32, u32)>,
        /// Where each slot's key lies in the arena.
        spans: Vec<(u64, u32)>,
        arena: Vec<u8>,
        /// Bytes of the arena that belong to no slot any more.
        garbage: usize,
    },
}

/// 32 bits of a hash, and the 64 bits that the index makes of them.
#[inline]
fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

#[inline]
fn unfold(hash: u32) -> u64 {
    u64::from(hash) | (u64::from(hash) << 32)
}

impl GroupKeys {
    pub(super) fn new(codec: KeyCodec) -> Self {
        let index = match codec {
            KeyCodec::Single => Index::Single,
            KeyCodec::Fixed(_) => Index::Fixed {
                table: HashTable::new(),
                keys: Vec::new(),
                null: None,
            },
            KeyCodec::Rows(_) => Index::Rows {
                table: HashTable::new(),
                spans: Vec::new(),
                arena: Vec::new(),
                garbage: 0,
            },
        };
        let mut slots = Slots::default();
        if matches!(codec, KeyCodec::Single) {
            slots.take();
        }
        Self {
            codec,
            slots,
            index,
        }
    }

    /// One more than the greatest slot ever used.
    pub(super) fn slot_count(&self) -> usize {
        self.slots.count
    }

    /// Appends the slot of each of the rows (all, if not said which); new keys get new slots.
    pub(super) fn intern(
        &mut self,
        keys: &EncodedKeys,
        rows: Option<&[u32]>,
        num_rows: usize,
        out: &mut Vec<u32>,
    ) {
        let slots = &mut self.slots;
        match (&mut self.index, keys) {
            (Index::Single, _) => {
                out.extend(std::iter::repeat_n(0, rows.map_or(num_rows, <[u32]>::len)));
            }
            (
                Index::Fixed {
                    table,
                    keys: held,
                    null,
                },
                EncodedKeys::Fixed { values, nulls },
            ) => {
                // The slot of NULL is kept for good, even in slices that never see it.
                let null_slot = match nulls {
                    Some(_) => *null.get_or_insert_with(|| {
                        let slot = slots.take();
                        grow(held, slot as usize + 1, 0);
                        slot
                    }),
                    None => 0,
                };
                let mut of_value = |value: u64| -> u32 {
                    let hash = hash_fixed(value);
                    let entry = table.entry(
                        hash,
                        |slot| held[*slot as usize] == value,
                        |slot| hash_fixed(held[*slot as usize]),
                    );
                    match entry {
                        hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
                        hashbrown::hash_table::Entry::Vacant(entry) => {
                            let slot = slots.take();
                            entry.insert(slot);
                            grow(held, slot as usize + 1, 0);
                            held[slot as usize] = value;
                            slot
                        }
                    }
                };
                match (nulls, rows) {
                    (None, None) => out.extend(values.iter().map(|value| of_value(*value))),
                    (None, Some(rows)) => {
                        out.extend(rows.iter().map(|row| of_value(values[*row as usize])));
                    }
                    (Some(nulls), rows) => {
                        let mut each = |row: usize| {
                            out.push(match nulls.is_null(row) {
                                true => null_slot,
                                false => of_value(values[row]),
                            });
                        };
                        match rows {
                            None => (0..num_rows).for_each(&mut each),
                            Some(rows) => rows.iter().for_each(|row| each(*row as usize)),
                        }
                    }
                }
            }
            (
                Index::Rows {
                    table,
                    spans,
                    arena,
                    ..
                },
                EncodedKeys::Rows { rows: keys, hashes },
            ) => {
                let mut of_row = |row: usize| {
                    let key = keys.row(row);
                    out.push(intern_bytes(
                        table,
                        spans,
                        arena,
                        slots,
                        key.as_ref(),
                        fold(hashes[row]),
                    ));
                };
                match rows {
                    None => (0..num_rows).for_each(&mut of_row),
                    Some(rows) => rows.iter().for_each(|row| of_row(*row as usize)),
                }
            }
            _ => unreachable!("keys are encoded by the codec of their index"),
        }
    }

    /// The slot of each row's key, if it has one.
    pub(super) fn find(&self, keys: &EncodedKeys, num_rows: usize) -> Vec<Option<u32>> {
        match (&self.index, keys) {
            (Index::Single, _) => vec![Some(0); num_rows],
            (
                Index::Fixed {
                    table,
                    keys: held,
                    null,
                },
                EncodedKeys::Fixed { values, nulls },
            ) => (0..num_rows)
                .map(|row| match nulls {
                    Some(nulls) if nulls.is_null(row) => *null,
                    _ => {
                        let is_key = |slot: &u32| held[*slot as usize] == values[row];
                        table.find(hash_fixed(values[row]), is_key).copied()
                    }
                })
                .collect(),
            (
                Index::Rows {
                    table,
                    spans,
                    arena,
                    ..
                },
                EncodedKeys::Rows { rows, hashes },
            ) => (0..num_rows)
                .map(|row| {
                    let hash = fold(hashes[row]);
                    let key = rows.row(row);
                    let is_key = |(other, slot): &(u32, u32)| {
                        *other == hash && span(arena, spans[*slot as usize]) == key.as_ref()
                    };
                    table.find(unfold(hash), is_key).map(|(_, slot)| *slot)
                })
                .collect(),
            _ => unreachable!("keys are encoded by the codec of their index"),
        }
    }

    /// The slot of a key given as bytes, as [`GroupKeys::write`] wrote them.
    pub(super) fn intern_bytes(&mut self, key: &[u8]) -> Result<u32, Damaged> {
        match &mut self.index {
            Index::Single => Ok(0),
            Index::Fixed { .. } => {
                let value = fixed_from_bytes(key)?;
                let keys = EncodedKeys::Fixed {
                    values: vec![value.unwrap_or(0)],
                    nulls: value.is_none().then(|| NullBuffer::new_null(1)),
                };
                let mut slot = Vec::with_capacity(1);
                self.intern(&keys, None, 1, &mut slot);
                Ok(slot[0])
            }
            Index::Rows {
                table,
                spans,
                arena,
                ..
            } => {
                let hash = fold(hash_bytes(key));
                Ok(intern_bytes(
                    table,
                    spans,
                    arena,
                    &mut self.slots,
                    key,
                    hash,
                ))
            }
        }
    }

    /// Forgets the key of a slot, so that it gets another slot when it comes again. The slot still
    /// knows it until it is given back. False if the slot keeps its key.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        match &mut self.index {
            Index::Single => false,
            Index::Fixed { null, .. } if *null == Some(slot) => false,
            Index::Fixed { table, keys, .. } => {
                let hash = hash_fixed(keys[slot as usize]);
                if let Ok(entry) = table.find_entry(hash, |other| *other == slot) {
                    entry.remove();
                }
                true
            }
            Index::Rows {
                table,
                spans,
                arena,
                ..
            } => {
                let hash = fold(hash_bytes(span(arena, spans[slot as usize])));
                if let Ok(entry) = table.find_entry(unfold(hash), |(_, other)| *other == slot) {
                    entry.remove();
                }
                true
            }
        }
    }

    /// Makes removed slots available to other keys.
    pub(super) fn give_back(&mut self, removed: impl Iterator<Item = u32>) {
        for slot in removed {
            if let Index::Rows { spans, garbage, .. } = &mut self.index {
                *garbage += spans[slot as usize].1 as usize;
                spans[slot as usize].1 = 0;
            }
            self.slots.free.push(slot);
        }
        if let Index::Rows {
            spans,
            arena,
            garbage,
            ..
        } = &mut self.index
            && *garbage > arena.len() / 2
            && *garbage > 4096
        {
            let mut compact = Vec::with_capacity(arena.len() - *garbage);
            for place in spans.iter_mut() {
                let start = compact.len() as u64;
                compact.extend_from_slice(span(arena, *place));
                place.0 = start;
            }
            *arena = compact;
            *garbage = 0;
        }
    }

    /// Appends the bytes of a slot's key.
    pub(super) fn write(&self, slot: u32, out: &mut Vec<u8>) {
        match &self.index {
            Index::Single => {}
            Index::Fixed { null, keys, .. } => {
                if *null == Some(slot) {
                    out.push(0);
                } else {
                    out.push(1);
                    out.extend_from_slice(&keys[slot as usize].to_be_bytes());
                }
            }
            Index::Rows { spans, arena, .. } => {
                out.extend_from_slice(span(arena, spans[slot as usize]));
            }
        }
    }

    /// The key columns of some slots.
    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, StepError> {
        Ok(match (&self.codec, &self.index) {
            (KeyCodec::Fixed(data_type), Index::Fixed { keys, null, .. }) => {
                let values: Vec<u64> = slots.iter().map(|slot| keys[*slot as usize]).collect();
                let nulls = null.and_then(|null| {
                    slots
                        .contains(&null)
                        .then(|| slots.iter().map(|slot| *slot != null).collect())
                });
                vec![from_ordered(&values, nulls, data_type)]
            }
            (KeyCodec::Rows(converter), Index::Rows { spans, arena, .. }) => {
                let parser = converter.parser();
                let rows = slots
                    .iter()
                    .map(|slot| parser.parse(span(arena, spans[*slot as usize])));
                zero_under_nulls(converter.convert_rows(rows)?)
            }
            _ => Vec::new(),
        })
    }

    /// Approximate bytes held.
    pub(super) fn bytes(&self) -> usize {
        let free = self.slots.free.capacity() * 4;
        free + match &self.index {
            Index::Single => 0,
            Index::Fixed { table, keys, .. } => table.allocation_size() + keys.capacity() * 8,
            Index::Rows {
                table,
                spans,
                arena,
                ..
            } => table.allocation_size() + spans.capacity() * 16 + arena.capacity(),
        }
    }
}

#[inline]
fn span(arena: &[u8], (start, length): (u64, u32)) -> &[u8] {
    &arena[start as usize..start as usize + length as usize]
}

#[inline]
fn intern_bytes(
    table: &mut HashTable<(u32, u32)>,
    spans: &mut Vec<(u64, u32)>,
    arena: &mut Vec<u8>,
    slots: &mut Slots,
    key: &[u8],
    hash: u32,
) -> u32 {
    let entry = table.entry(
        unfold(hash),
        |(other, slot)| *other == hash && span(arena, spans[*slot as usize]) == key,
        |(other, _)| unfold(*other),
    );
    match entry {
        hashbrown::hash_table::Entry::Occupied(entry) => entry.get().1,
        hashbrown::hash_table::Entry::Vacant(entry) => {
            let slot = slots.take();
            entry.insert((hash, slot));
            grow(spans, slot as usize + 1, (0, 0));
            spans[slot as usize] = (arena.len() as u64, key.len() as u32);
            arena.extend_from_slice(key);
            slot
        }
    }
}
