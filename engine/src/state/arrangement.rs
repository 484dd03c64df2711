//! An arrangement: a relation in memory, columnar and indexed.
//!
//! ```text
//!   index: hash of key ─► newest row        chunks: ┌ rows: RecordBatch   immutable
//!                            │                      │ rowtimes            immutable
//!                            ▼                      │ weights             copied on write
//!                 row ─next─► row ─next─► …         └ links               copied on write
//! ```
//!
//! Rows stay in the batches that they came in. Retracting a row clears its bit; nothing moves until
//! [compaction](crate::state::compaction) gathers small and half-dead chunks into larger ones. One
//! kind of arrangement serves base tables, materialised views and both sides of joins.
//!
//! Rows that have not been looked at lately may be only on disk (see
//! [residency](crate::state::residency)); index, links and weights are always in memory.
//!
//! Invariants:
//! - A row is in the index, or in the chain of its key, exactly while its weight is positive.
//! - A weight is never negative: what retracts a row that is not there is an error.
//! - Where many rows may share a key, the index has one chain for each hash, so that putting a row in
//!   looks at no other; whoever walks a chain compares.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;

use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::state::chunk::{CHUNK_ROWS_MAX, Chunk, ChunkData, Link, Weights, unpinned};
use crate::state::columns::{Column, Keys, rows_same};
use crate::state::exchange::hash_columns;
use crate::state::index::Index;
use crate::state::snapshot::{RowId, Snapshot};

/// Chunks that can be numbered; the last number is left for [`RowId::NONE`].
const CHUNKS_MAX: usize = (1 << 16) - 1;

/// A retraction that had to look at more rows of its key than this makes the arrangement index
/// whole rows, too.
const CHAIN_WALK_MAX: usize = 32;

/// What the index is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// These columns identify a row.
    Primary(Vec<usize>),
    /// The whole row; rows that repeat have a weight.
    Row,
    /// These columns are what rows are looked up by; many rows may share a key.
    Secondary(Vec<usize>),
}

/// An indexed multiset of rows. See the [module](self).
#[derive(Debug)]
pub struct Arrangement {
    pub(crate) key: Key,
    pub(crate) contents: Snapshot,
    /// Rows by all their columns, for retractions from long chains. Under it, rows that repeat have
    /// a weight.
    pub(crate) by_row: Option<Index>,
    /// Whether match counts are kept for a join.
    pub(crate) counted: bool,
    /// Numbers of empty places among the chunks.
    pub(crate) free: Vec<usize>,
    /// Numbers of chunks that compaction should look at.
    pub(crate) unsettled: Vec<usize>,
    pub(crate) next_chunk: u64,
    /// Chunks that are gone, but not from the checkpoint.
    pub(crate) removed: Vec<u64>,
    /// The chunk that eviction looks at next.
    pub(crate) hand: usize,
}

/// A batch on its way in.
pub(crate) struct Incoming {
    rows: usize,
    pub(crate) keys: Keys,
    columns: Vec<Column>,
    /// Hashes over all columns, made when somebody asks.
    row_hashes: OnceCell<Vec<u64>>,
}

impl Incoming {
    pub(crate) fn row_hash(&self, position: usize) -> u64 {
        self.row_hashes
            .get_or_init(|| hash_columns(&self.columns, self.rows))[position]
    }
}

impl Arrangement {
    /// An empty relation of these columns.
    pub fn new(schema: SchemaRef, key: Key) -> Self {
        let columns = match &key {
            Key::Primary(columns) | Key::Secondary(columns) => columns.clone(),
            Key::Row => (0..schema.fields().len()).collect(),
        };
        Self {
            contents: Snapshot {
                schema,
                key: columns,
                chained: matches!(key, Key::Secondary(_)),
                chunks: Vec::new(),
                index: Index::default(),
                rows: 0,
                absent: 0,
                stored: None,
            },
            by_row: None,
            counted: false,
            free: Vec::new(),
            unsettled: Vec::new(),
            next_chunk: 0,
            removed: Vec::new(),
            hand: 0,
            key,
        }
    }

    /// Keeps a number beside each row: how many rows it matches on a join's other side.
    pub(crate) fn with_counts(mut self) -> Self {
        self.counted = true;
        self
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.contents.schema
    }

    /// The rows as they are now, to be read whatever happens afterwards.
    pub fn snapshot(&self) -> Snapshot {
        self.contents.frozen()
    }

    /// The rows as they are, to be read at once.
    pub fn contents(&self) -> &Snapshot {
        &self.contents
    }

    pub fn num_rows(&self) -> usize {
        self.contents.rows
    }

    /// Whether all rows are in memory.
    pub(crate) fn is_resident(&self) -> bool {
        self.contents.absent == 0
    }

    /// Approximate bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.contents.bytes() + self.by_row.as_ref().map_or(0, Index::bytes)
    }

    /// Applies changes. Within a batch their order does not matter.
    ///
    /// # Errors
    /// When a row is retracted that is not there, or a key comes to have two rows. The arrangement
    /// must not be used after that.
    pub fn apply(&mut self, changes: &ChangeBatch) -> Result<(), StepError> {
        self.apply_keyed(changes, None, None)
    }

    /// As [`Arrangement::apply`], when the keys have been made already; `counts` has the matches of
    /// each row that is inserted.
    pub(crate) fn apply_keyed(
        &mut self,
        changes: &ChangeBatch,
        keys: Option<&Keys>,
        counts: Option<&[i64]>,
    ) -> Result<(), StepError> {
        let rows = changes.num_rows();
        let mut deferred = Vec::new();
        if rows <= CHUNK_ROWS_MAX {
            self.apply_part(changes, keys, counts, &mut deferred)?;
        } else {
            for offset in (0..rows).step_by(CHUNK_ROWS_MAX) {
                let length = CHUNK_ROWS_MAX.min(rows - offset);
                let counts = counts.map(|counts| &counts[offset..offset + length]);
                let part = changes.slice(offset, length);
                let mut rest = Vec::new();
                self.apply_part(&part, None, counts, &mut rest)?;
                deferred.extend(rest.into_iter().map(|late: Deferred| Deferred {
                    position: late.position + offset,
                    ..late
                }));
            }
        }
        if !deferred.is_empty() {
            self.settle(changes, deferred)?;
        }
        self.compact()
    }

    fn apply_part(
        &mut self,
        changes: &ChangeBatch,
        keys: Option<&Keys>,
        counts: Option<&[i64]>,
        deferred: &mut Vec<Deferred>,
    ) -> Result<(), StepError> {
        let rows = changes.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let number = self.push_insertions(changes, counts)?;
        let incoming = self.incoming(changes, keys);
        self.fetch_incoming(changes, &incoming)?;
        if let Some(number) = number
            && changes.is_append_only()
            && self.has_chains()
            && self.by_row.is_none()
        {
            let all: Vec<u32> = (0..rows as u32).collect();
            self.push_links(number, &incoming.keys.hashes, &all);
            self.chunk_mut(RowId::new(number, 0)).weights = Arc::new(Weights::ones(rows));
            self.contents.rows += rows;
            return Ok(());
        }
        let mut inserted = 0;
        for position in 0..rows {
            let weight = changes.weight(position);
            let row = match number {
                Some(number) if weight > 0 => {
                    inserted += 1;
                    RowId::new(number, inserted - 1)
                }
                _ => RowId::NONE,
            };
            let rest = match weight > 0 {
                true => self.insert(&incoming, position, row, weight)?,
                false => -self.retract(&incoming, position, -weight)?,
            };
            if rest != 0 {
                deferred.push(Deferred {
                    position,
                    row,
                    weight: rest,
                });
            }
        }
        Ok(())
    }

    /// Makes a chunk of the rows that are inserted, all of weight 0 yet.
    fn push_insertions(
        &mut self,
        changes: &ChangeBatch,
        counts: Option<&[i64]>,
    ) -> Result<Option<usize>, StepError> {
        if changes.is_append_only() {
            let rows = unpinned(changes.rows.clone())?;
            let counts = counts.map(|counts| counts.to_vec());
            return Ok(Some(self.push_chunk(
                rows,
                changes.rowtimes.clone(),
                counts,
            )?));
        }
        let positions: Vec<u32> = (0..changes.num_rows() as u32)
            .filter(|row| changes.weight(*row as usize) > 0)
            .collect();
        if positions.is_empty() {
            return Ok(None);
        }
        let counts = counts.map(|counts| positions.iter().map(|p| counts[*p as usize]).collect());
        let inserted = changes.take(&UInt32Array::from(positions))?;
        let rows = unpinned(inserted.rows)?;
        Ok(Some(self.push_chunk(rows, inserted.rowtimes, counts)?))
    }

    /// Adds a chunk whose rows all have weight 0 and are in no chain.
    pub(crate) fn push_chunk(
        &mut self,
        rows: RecordBatch,
        rowtimes: ScalarBuffer<i64>,
        counts: Option<Vec<i64>>,
    ) -> Result<usize, StepError> {
        let id = self.next_chunk;
        self.next_chunk += 1;
        let length = rows.num_rows();
        let data = ChunkData::new(rows, rowtimes, &self.contents.key);
        let counts = self
            .counted
            .then(|| Arc::new(counts.unwrap_or_else(|| vec![0; length])));
        self.place_chunk(Chunk {
            id,
            data_bytes: data.bytes,
            data: Some(Arc::new(data)),
            weights: Arc::new(Weights::zeros(length)),
            links: self
                .has_chains()
                .then(|| Arc::new(vec![Link::ALONE; length])),
            counts,
            rows_saved: false,
            weights_saved: false,
            counts_saved: false,
            durable: false,
            recent: true,
        })
    }

    pub(crate) fn place_chunk(&mut self, chunk: Chunk) -> Result<usize, StepError> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.contents.chunks.len() < CHUNKS_MAX => {
                self.contents.chunks.push(None);
                self.contents.chunks.len() - 1
            }
            None => return Err(StepError::OutOfRange("number of rows in memory".into())),
        };
        self.contents.chunks[number] = Some(chunk);
        self.unsettled.push(number);
        Ok(number)
    }

    pub(crate) fn has_chains(&self) -> bool {
        matches!(self.key, Key::Secondary(_))
    }

    fn incoming(&self, changes: &ChangeBatch, keys: Option<&Keys>) -> Incoming {
        let rows = changes.num_rows();
        let keys = keys.cloned().unwrap_or_else(|| {
            let key = self.contents.key.iter();
            let key: Vec<_> = key.map(|column| changes.column(*column).clone()).collect();
            Keys::new(&key, rows, true)
        });
        // The key's columns must be views of the same kind as those of the chunks.
        let columns: Vec<Column> = (0..changes.rows.num_columns())
            .map(|position| {
                match self
                    .contents
                    .key
                    .iter()
                    .position(|column| *column == position)
                {
                    Some(of_key) => keys.columns[of_key].clone(),
                    None => Column::of_value(changes.column(position)),
                }
            })
            .collect();
        Incoming {
            rows,
            keys,
            columns,
            row_hashes: OnceCell::new(),
        }
    }

    /// Puts in a row of a new chunk; gives the weight that could not be, because the key has a row.
    #[inline]
    fn insert(
        &mut self,
        incoming: &Incoming,
        position: usize,
        row: RowId,
        weight: i64,
    ) -> Result<i64, StepError> {
        if let Some(by_row) = &mut self.by_row {
            let chunks = &self.contents.chunks;
            let same = by_row.find_or_insert(incoming.row_hash(position), row, |stored| {
                row_same(chunks, &incoming.columns, position, stored)
            });
            if let Some(same) = same {
                self.add_weight(same, weight)?;
                return Ok(0);
            }
        }
        let existing = self.index_row(&incoming.keys, position, row);
        match (&self.key, existing) {
            (Key::Primary(_), Some(_)) => return Ok(weight),
            (Key::Primary(_), None) if weight > 1 => return Err(duplicate_key()),
            (Key::Row, Some(existing)) => self.add_weight(existing, weight)?,
            (Key::Secondary(_), Some(head)) => {
                self.push_link(&incoming.keys, position, head, row);
                self.set_weight(row, weight);
            }
            (_, None) => self.set_weight(row, weight),
        }
        Ok(0)
    }

    /// Puts a row under its key, unless the key has one, which is given back.
    #[inline]
    pub(crate) fn index_row(&mut self, keys: &Keys, position: usize, row: RowId) -> Option<RowId> {
        let Snapshot {
            index,
            chunks,
            key,
            chained,
            ..
        } = &mut self.contents;
        index.find_or_insert(keys.hashes[position], row, |stored| {
            *chained || key_same(chunks, key, keys, position, stored)
        })
    }

    /// Puts a row before the first one of its key.
    #[inline]
    pub(crate) fn push_link(&mut self, keys: &Keys, position: usize, head: RowId, row: RowId) {
        self.contents
            .index
            .replace(keys.hashes[position], head, row);
        self.link_mut(row).next = head;
        self.link_mut(head).previous = row;
    }

    /// Puts rows of a chunk before the first ones of their keys.
    pub(crate) fn push_links(&mut self, number: usize, hashes: &[u64], positions: &[u32]) {
        let row = |position: u32| RowId::new(number, position as usize);
        let replaced = self.contents.index.push_all(hashes, positions, row);
        for (position, head) in replaced {
            self.link_mut(row(position)).next = head;
            self.link_mut(head).previous = row(position);
        }
    }

    /// Takes `weight` of a row away; gives what is left to take because the row is not there.
    fn retract(
        &mut self,
        incoming: &Incoming,
        position: usize,
        mut weight: i64,
    ) -> Result<i64, StepError> {
        let hash = incoming.keys.hashes[position];
        while weight > 0 {
            let Some(row) = self.find_row(incoming, position)? else {
                break;
            };
            let before = self.contents.weight(row);
            let taken = before.min(weight);
            weight -= taken;
            self.set_weight(row, before - taken);
            if before == taken {
                self.unlink(row, hash);
                if let Some(by_row) = &mut self.by_row {
                    by_row.remove(incoming.row_hash(position), row);
                }
            }
        }
        Ok(weight)
    }

    /// A stored row that is the same in all columns.
    fn find_row(
        &mut self,
        incoming: &Incoming,
        position: usize,
    ) -> Result<Option<RowId>, StepError> {
        let chunks = &self.contents.chunks;
        if let Some(by_row) = &self.by_row {
            return Ok(by_row.find(incoming.row_hash(position), |stored| {
                row_same(chunks, &incoming.columns, position, stored)
            }));
        }
        let Snapshot {
            key,
            chained,
            index,
            ..
        } = &self.contents;
        let head = index.find(incoming.keys.hashes[position], |stored| {
            *chained || key_same(chunks, key, &incoming.keys, position, stored)
        });
        let Some(mut row) = head else {
            return Ok(None);
        };
        let mut walked = 0;
        loop {
            if row_same(chunks, &incoming.columns, position, row) {
                break;
            }
            walked += 1;
            row = self.contents.next(row);
            if !row.is_some() {
                return Ok(None);
            }
        }
        if walked > CHAIN_WALK_MAX {
            self.index_rows()?;
            return self.find_row(incoming, position);
        }
        Ok(Some(row))
    }

    /// Starts to index whole rows; rows that repeat are made one.
    fn index_rows(&mut self) -> Result<(), StepError> {
        self.contents.fetch_all()?;
        let mut by_row = Index::default();
        for number in 0..self.contents.chunks.len() {
            let Some(chunk) = &self.contents.chunks[number] else {
                continue;
            };
            let data = chunk.data.clone().expect("all chunks were fetched");
            let live: Vec<usize> = chunk.weights.live_positions().collect();
            let hashes = hash_columns(&data.columns, chunk.len());
            let key: Vec<Column> = key_columns(&data.columns, &self.contents.key);
            let key_hashes = hash_columns(&key, chunk.len());
            for position in live {
                let row = RowId::new(number, position);
                let chunks = &self.contents.chunks;
                let same = by_row.find_or_insert(hashes[position], row, |stored| {
                    row_same(chunks, &data.columns, position, stored)
                });
                if let Some(same) = same {
                    let weight = self.contents.weight(row) + self.contents.weight(same);
                    self.set_weight(same, weight);
                    self.set_weight(row, 0);
                    self.unlink(row, key_hashes[position]);
                }
            }
        }
        self.by_row = Some(by_row);
        Ok(())
    }

    /// Takes a row out of the index and out of its chain.
    fn unlink(&mut self, row: RowId, hash: u64) {
        let link = match &self.contents.chunk(row).links {
            Some(links) => links[row.row()],
            None => Link::ALONE,
        };
        match (link.previous.is_some(), link.next.is_some()) {
            (false, false) => self.contents.index.remove(hash, row),
            (false, true) => self.contents.index.replace(hash, row, link.next),
            (true, _) => self.link_mut(link.previous).next = link.next,
        }
        if link.next.is_some() {
            self.link_mut(link.next).previous = link.previous;
        }
    }

    #[inline]
    pub(crate) fn chunk_mut(&mut self, row: RowId) -> &mut Chunk {
        self.contents.chunks[row.chunk()]
            .as_mut()
            .expect("a row number of a live row names a live chunk")
    }

    #[inline]
    pub(crate) fn link_mut(&mut self, row: RowId) -> &mut Link {
        let links = self.chunk_mut(row).links.as_mut();
        &mut Arc::make_mut(links.expect("rows that have neighbours have links"))[row.row()]
    }

    fn add_weight(&mut self, row: RowId, weight: i64) -> Result<(), StepError> {
        let weight = self
            .contents
            .weight(row)
            .checked_add(weight)
            .ok_or_else(|| StepError::OutOfRange("number of equal rows".into()))?;
        self.set_weight(row, weight);
        Ok(())
    }

    #[inline]
    pub(crate) fn set_weight(&mut self, row: RowId, weight: i64) {
        let chunk = self.chunk_mut(row);
        let weights = Arc::make_mut(&mut chunk.weights);
        let before = weights.live_rows();
        let dead_before = weights.dead_rows();
        weights.set(row.row(), weight);
        let (after, dead) = (weights.live_rows(), weights.dead_rows());
        chunk.weights_saved = false;
        self.contents.rows = self.contents.rows + after - before;
        // Looked at again when it has become half dead, and when nothing is left.
        if dead > dead_before && (after == 0 || (dead > after && dead_before <= before)) {
            self.unsettled.push(row.chunk());
        }
    }

    /// How many rows of the other side of a join a row matches.
    pub(crate) fn count(&self, row: RowId) -> i64 {
        let counts = &self.contents.chunk(row).counts;
        counts.as_ref().map_or(0, |counts| counts[row.row()])
    }

    pub(crate) fn set_count(&mut self, row: RowId, count: i64) {
        let chunk = self.chunk_mut(row);
        chunk.counts_saved = false;
        if let Some(counts) = &mut chunk.counts {
            Arc::make_mut(counts)[row.row()] = count;
        }
    }

    /// The rows that the batch could not place in its own order. Equal ones cancel out; what is
    /// left is retracted first and then inserted, and must fit now.
    fn settle(&mut self, changes: &ChangeBatch, deferred: Vec<Deferred>) -> Result<(), StepError> {
        let positions = deferred.iter().map(|late| late.position as u32);
        let rows = changes.take(&UInt32Array::from_iter_values(positions))?;
        let incoming = self.incoming(&rows, None);
        let hashes = hash_columns(&incoming.columns, rows.num_rows());
        let mut groups: HashTable<usize> = HashTable::new();
        let mut net: Vec<i64> = deferred.iter().map(|late| late.weight).collect();
        for row in 0..rows.num_rows() {
            let columns = &incoming.columns;
            // Rows of opposite sign cancel pair by pair, so that what is left keeps its number.
            for other in groups.iter_hash(hashes[row]) {
                if net[row] != 0
                    && net[*other].signum() == -net[row].signum()
                    && rows_same(columns, row, columns, *other)
                {
                    let cancelled = net[row].abs().min(net[*other].abs());
                    net[*other] -= cancelled * net[*other].signum();
                    net[row] -= cancelled * net[row].signum();
                }
            }
            if net[row] != 0 {
                groups.insert_unique(hashes[row], row, |other| hashes[*other]);
            }
        }
        for (row, weight) in net.iter().enumerate().filter(|(_, weight)| **weight < 0) {
            if self.retract(&incoming, row, -weight)? != 0 {
                return Err(StepError::NegativeCount);
            }
        }
        for (row, weight) in net.iter().enumerate().filter(|(_, weight)| **weight > 0) {
            if self.insert(&incoming, row, deferred[row].row, *weight)? != 0 {
                return Err(duplicate_key());
            }
        }
        Ok(())
    }
}

/// A change that does not fit yet.
struct Deferred {
    position: usize,
    /// Where the row is in its new chunk, if it is inserted.
    row: RowId,
    weight: i64,
}

fn duplicate_key() -> StepError {
    StepError::Internal("two rows have the same primary key".into())
}

#[inline]
fn chunk_of(chunks: &[Option<Chunk>], row: RowId) -> &ChunkData {
    let chunk = chunks[row.chunk()].as_ref();
    chunk.expect("the index has live rows only").data()
}

#[inline]
fn key_same(
    chunks: &[Option<Chunk>],
    key: &[usize],
    keys: &Keys,
    position: usize,
    stored: RowId,
) -> bool {
    let columns = &chunk_of(chunks, stored).columns;
    key.iter()
        .zip(&keys.columns)
        .all(|(column, probe)| probe.same(position, &columns[*column], stored.row()))
}

fn row_same(chunks: &[Option<Chunk>], columns: &[Column], position: usize, stored: RowId) -> bool {
    rows_same(
        columns,
        position,
        &chunk_of(chunks, stored).columns,
        stored.row(),
    )
}

pub(crate) fn key_columns(columns: &[Column], key: &[usize]) -> Vec<Column> {
    key.iter().map(|column| columns[*column].clone()).collect()
}

#[cfg(test)]
mod tests;
