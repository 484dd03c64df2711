//! Hash index: from a key's hash to the row where the key is found.
//!
//! The index holds no keys, only row numbers and 32 bits of the hash; whoever looks up compares
//! the rows. It is cut into shards so that a snapshot which shares it makes a later step copy only
//! the shards that it touches, and so that growing never rehashes everything at once.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

use crate::state::snapshot::RowId;

/// A shard is split when it has more entries than this, on average.
const SHARD_ENTRIES_MAX: usize = 4 << 10;
const SHARDS_MAX: usize = 512;
/// So many shards do not fit in a core's cache together.
const SHARDS_UNCACHED: usize = 32;

#[derive(Debug, Clone)]
pub(crate) struct Index {
    shards: Vec<Arc<HashTable<Entry>>>,
    entries: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    row: RowId,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            shards: vec![Arc::default()],
            entries: 0,
        }
    }
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.allocation_size() + size_of::<HashTable<Entry>>() + 24)
            .sum()
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(RowId) -> bool) -> Option<RowId> {
        let hash = hash as u32;
        self.shards[self.shard(hash)]
            .find(spread(hash), |entry| entry.hash == hash && same(entry.row))
            .map(|entry| entry.row)
    }

    /// Calls `visit` with the row of every entry of a hash.
    #[inline]
    pub(crate) fn each(&self, hash: u64, mut visit: impl FnMut(RowId)) {
        let hash = hash as u32;
        for entry in self.shards[self.shard(hash)].iter_hash(spread(hash)) {
            if entry.hash == hash {
                visit(entry.row);
            }
        }
    }

    /// Adds a row whose key is known not to be there.
    pub(crate) fn insert_new(&mut self, hash: u64, row: RowId) {
        let hash = hash as u32;
        let shard = self.shard(hash);
        Arc::make_mut(&mut self.shards[shard]).insert_unique(
            spread(hash),
            Entry { hash, row },
            |entry| spread(entry.hash),
        );
        self.entries += 1;
        if self.entries > self.shards.len() * SHARD_ENTRIES_MAX {
            self.split();
        }
    }

    /// Adds `row` unless an entry is the same, which is returned instead.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        hash: u64,
        row: RowId,
        mut same: impl FnMut(RowId) -> bool,
    ) -> Option<RowId> {
        let hash = hash as u32;
        let shard = self.shard(hash);
        let entry = Arc::make_mut(&mut self.shards[shard]).entry(
            spread(hash),
            |entry| entry.hash == hash && same(entry.row),
            |entry| spread(entry.hash),
        );
        match entry {
            TableEntry::Occupied(occupied) => Some(occupied.get().row),
            TableEntry::Vacant(vacant) => {
                vacant.insert(Entry { hash, row });
                self.entries += 1;
                if self.entries > self.shards.len() * SHARD_ENTRIES_MAX {
                    self.split();
                }
                None
            }
        }
    }

    /// Adds rows, each in the place of an entry with the same hash; those are returned, each with
    /// the position of the row that has replaced it.
    pub(crate) fn push_all(
        &mut self,
        hashes: &[u64],
        positions: &[u32],
        row: impl Fn(u32) -> RowId,
    ) -> Vec<(u32, RowId)> {
        while self.entries + positions.len() > self.shards.len() * SHARD_ENTRIES_MAX
            && self.shards.len() < SHARDS_MAX
        {
            self.split();
        }
        // One shard after the other, so that each is looked for, and made our own, once.
        let mut by_shard: Vec<Vec<u32>> = Vec::new();
        if self.shards.len() > 1 {
            let expected = positions.len() / self.shards.len();
            by_shard.resize_with(self.shards.len(), || Vec::with_capacity(expected + 8));
            for position in positions {
                by_shard[self.shard(hashes[*position as usize] as u32)].push(*position);
            }
        }
        let mut replaced = Vec::new();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let positions = by_shard.get(number).map_or(positions, Vec::as_slice);
            if positions.is_empty() {
                continue;
            }
            let table = Arc::make_mut(shard);
            for position in positions {
                let hash = hashes[*position as usize] as u32;
                let entry = table.entry(
                    spread(hash),
                    |entry| entry.hash == hash,
                    |entry| spread(entry.hash),
                );
                let row = row(*position);
                match entry {
                    TableEntry::Occupied(mut occupied) => {
                        replaced.push((*position, occupied.get().row));
                        occupied.get_mut().row = row;
                    }
                    TableEntry::Vacant(vacant) => {
                        vacant.insert(Entry { hash, row });
                        self.entries += 1;
                    }
                }
            }
        }
        replaced
    }

    /// Positions of hashes in an order in which shard after shard is looked at, so that each stays in
    /// the cache while it is; `None` if it does not matter.
    pub(crate) fn shard_order(&self, hashes: &[u64]) -> Option<Vec<u32>> {
        if self.shards.len() < SHARDS_UNCACHED || hashes.len() < 8 * self.shards.len() {
            return None;
        }
        let mut starts = vec![0u32; self.shards.len() + 1];
        for hash in hashes {
            starts[self.shard(*hash as u32) + 1] += 1;
        }
        for shard in 1..starts.len() {
            starts[shard] += starts[shard - 1];
        }
        let mut order = vec![0; hashes.len()];
        for (position, hash) in hashes.iter().enumerate() {
            let next = &mut starts[self.shard(*hash as u32)];
            order[*next as usize] = position as u32;
            *next += 1;
        }
        Some(order)
    }

    /// Puts another row in the place of one that is there.
    #[inline]
    pub(crate) fn replace(&mut self, hash: u64, old: RowId, new: RowId) {
        let hash = hash as u32;
        let shard = self.shard(hash);
        let entry =
            Arc::make_mut(&mut self.shards[shard]).find_mut(spread(hash), |entry| entry.row == old);
        debug_assert!(entry.is_some(), "the index has every live row");
        if let Some(entry) = entry {
            entry.row = new;
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, row: RowId) {
        let hash = hash as u32;
        let shard = self.shard(hash);
        let entry = Arc::make_mut(&mut self.shards[shard])
            .find_entry(spread(hash), |entry| entry.row == row);
        debug_assert!(entry.is_ok(), "the index has every live row");
        if let Ok(entry) = entry {
            entry.remove();
            self.entries -= 1;
        }
    }

    #[inline]
    fn shard(&self, hash: u32) -> usize {
        (spread(hash) >> 48) as usize & (self.shards.len() - 1)
    }

    fn split(&mut self) {
        if self.shards.len() >= SHARDS_MAX {
            return;
        }
        let bit = self.shards.len() as u64;
        let mut upper = Vec::with_capacity(self.shards.len());
        for shard in &mut self.shards {
            let (mut stay, mut move_up) = (HashTable::new(), HashTable::new());
            for entry in shard.iter() {
                let half = match (spread(entry.hash) >> 48) & bit {
                    0 => &mut stay,
                    _ => &mut move_up,
                };
                half.insert_unique(spread(entry.hash), *entry, |e: &Entry| spread(e.hash));
            }
            *shard = Arc::new(stay);
            upper.push(Arc::new(move_up));
        }
        self.shards.append(&mut upper);
    }
}

/// 64 bits, as the table wants them, from the 32 that are kept.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
