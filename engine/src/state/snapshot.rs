//! Reading an arrangement: as it is now, or as it was when a snapshot was taken.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array, make_array,
    new_null_array,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::compute::{self, interleave};
use arrow::datatypes::{ArrowNativeType, DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::change_batch::ChangeBatch;
use crate::state::chunk::{Chunk, ChunkData, Weights, batch};
use crate::state::columns::{Keys, Values, rows_same};
use crate::state::index::Index;
use crate::state::residency::Stored;

/// Where a stored row is: number of its chunk, and position there. Compaction moves rows, so it
/// does not outlive a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u32);

impl RowId {
    /// No row; gathers as NULLs.
    pub const NONE: RowId = RowId(u32::MAX);

    pub(crate) fn new(chunk: usize, row: usize) -> Self {
        debug_assert!(chunk < 0xffff && row <= 0xffff);
        Self((chunk as u32) << 16 | row as u32)
    }

    #[inline]
    pub(crate) fn chunk(self) -> usize {
        (self.0 >> 16) as usize
    }

    #[inline]
    pub(crate) fn row(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    #[inline]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// Pairs of a probing row and a stored row with the same key.
#[derive(Debug, Default, Clone)]
pub struct Matches {
    pub probe: Vec<u32>,
    pub stored: Vec<RowId>,
}

/// Chains of stored rows that probing rows have found, to be walked in portions.
#[derive(Debug, Clone)]
pub struct Probe {
    /// For each probing row the first stored row of its key, or [`RowId::NONE`].
    pub heads: Vec<RowId>,
    row: usize,
    rest: RowId,
}

/// All rows at one moment. Cheap to take, and steps go on beside it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) schema: SchemaRef,
    /// Columns that the index is over.
    pub(crate) key: Vec<usize>,
    /// Whether many rows may share a key.
    pub(crate) chained: bool,
    pub(crate) chunks: Vec<Option<Chunk>>,
    pub(crate) index: Index,
    pub(crate) rows: usize,
    /// How many chunks have their rows only on disk, and where.
    pub(crate) absent: usize,
    pub(crate) stored: Option<Stored>,
}

impl Snapshot {
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows stored; one that is there several times may count once.
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// Whether all rows are in memory.
    pub fn is_resident(&self) -> bool {
        self.absent == 0
    }

    /// Approximate bytes held in memory. What is shared with another snapshot counts in both.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.live_chunks().map(Chunk::bytes).sum::<usize>()
    }

    pub(crate) fn live_chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().flatten()
    }

    #[inline]
    pub(crate) fn chunk(&self, row: RowId) -> &Chunk {
        self.chunks[row.chunk()]
            .as_ref()
            .expect("a row number of a live row names a live chunk")
    }

    #[inline]
    pub fn weight(&self, row: RowId) -> i64 {
        self.chunk(row).weights.get(row.row())
    }

    #[inline]
    pub fn rowtime(&self, row: RowId) -> i64 {
        self.chunk(row).data().rowtimes[row.row()]
    }

    /// Looks up all keys.
    pub fn probe(&self, keys: &Keys) -> Probe {
        Probe::of(self.heads(keys))
    }

    /// The first stored row of each key.
    fn heads(&self, keys: &Keys) -> Vec<RowId> {
        if self.index.len() == 0 {
            return vec![RowId::NONE; keys.len()];
        }
        // One integer column without NULLs is compared without asking anything about its type.
        if let ([position], [probe]) = (self.key.as_slice(), keys.columns.as_slice())
            && probe.nulls.is_none()
        {
            match &probe.values {
                Values::Fixed8(values) => {
                    let stored: Option<Vec<&[u64]>> = self.column_slices(*position, |v| match v {
                        Values::Fixed8(values) => Some(values),
                        _ => None,
                    });
                    if let Some(stored) = stored {
                        return self.heads_of_integers(keys, values, &stored);
                    }
                }
                Values::Fixed4(values) => {
                    let stored: Option<Vec<&[u32]>> = self.column_slices(*position, |v| match v {
                        Values::Fixed4(values) => Some(values),
                        _ => None,
                    });
                    if let Some(stored) = stored {
                        return self.heads_of_integers(keys, values, &stored);
                    }
                }
                _ => {}
            }
        }
        (0..keys.len())
            .map(|row| {
                if !keys.is_matchable(row) {
                    return RowId::NONE;
                }
                self.head(keys.hashes[row], |stored| self.key_same(keys, row, stored))
            })
            .collect()
    }

    /// The first row under a hash that is the same as what is looked for. Where keys may repeat the
    /// index has one chain for each hash, in which rows of another key may be.
    #[inline]
    fn head(&self, hash: u64, same: impl Fn(RowId) -> bool) -> RowId {
        if !self.chained {
            return self.index.find(hash, same).unwrap_or(RowId::NONE);
        }
        let mut row = self.index.find(hash, |_| true).unwrap_or(RowId::NONE);
        while row.is_some() && !same(row) {
            row = self.next(row);
        }
        row
    }

    /// The next row in a chain.
    #[inline]
    pub(crate) fn next(&self, row: RowId) -> RowId {
        match &self.chunk(row).links {
            Some(links) => links[row.row()].next,
            None => RowId::NONE,
        }
    }

    fn heads_of_integers<T: Copy + Eq>(
        &self,
        keys: &Keys,
        values: &[T],
        stored: &[&[T]],
    ) -> Vec<RowId> {
        let head = |row: usize| {
            let value = values[row];
            self.head(keys.hashes[row], |found| {
                stored[found.chunk()][found.row()] == value
            })
        };
        match self.index.shard_order(&keys.hashes) {
            None => (0..keys.len()).map(head).collect(),
            Some(order) => {
                let mut heads = vec![RowId::NONE; keys.len()];
                for row in order {
                    heads[row as usize] = head(row as usize);
                }
                heads
            }
        }
    }

    /// A column of every chunk in memory as a slice; `None` if it has NULLs somewhere.
    fn column_slices<'a, T: 'a>(
        &'a self,
        position: usize,
        slice: impl Fn(&'a Values) -> Option<&'a [T]>,
    ) -> Option<Vec<&'a [T]>> {
        self.chunks
            .iter()
            .map(|chunk| match chunk {
                None => Some(&[] as &[T]),
                Some(chunk) => match &chunk.data {
                    None => Some(&[] as &[T]),
                    Some(data) => match data.columns[position].nulls {
                        None => slice(&data.columns[position].values),
                        Some(_) => None,
                    },
                },
            })
            .collect()
    }

    #[inline]
    pub(crate) fn key_same(&self, keys: &Keys, row: usize, stored: RowId) -> bool {
        let columns = &self.chunk(stored).data().columns;
        self.key
            .iter()
            .zip(&keys.columns)
            .all(|(position, probe)| probe.same(row, &columns[*position], stored.row()))
    }

    /// Whether two stored rows have the same key.
    #[inline]
    fn keys_same(&self, row: RowId, other: RowId) -> bool {
        let (columns, others) = (
            &self.chunk(row).data().columns,
            &self.chunk(other).data().columns,
        );
        self.key
            .iter()
            .all(|position| columns[*position].same(row.row(), &others[*position], other.row()))
    }

    /// Stored rows as columns, in this order; [`RowId::NONE`] gives NULLs.
    pub fn gather(&self, rows: &[RowId], columns: &[usize]) -> Result<Vec<ArrayRef>, ArrowError> {
        // Chunks that occur, numbered as they do; one more stands for no row at all.
        let mut numbers = vec![usize::MAX; self.chunks.len()];
        let mut occurring: Vec<&Chunk> = Vec::new();
        let mut absent = false;
        for row in rows {
            if !row.is_some() {
                absent = true;
            } else if numbers[row.chunk()] == usize::MAX {
                numbers[row.chunk()] = occurring.len();
                occurring.push(self.chunk(*row));
            }
        }
        match (occurring.as_slice(), absent) {
            ([], _) => Ok(columns
                .iter()
                .map(|column| new_null_array(self.schema.field(*column).data_type(), rows.len()))
                .collect()),
            ([chunk], false) => {
                let positions = UInt32Array::from_iter_values(rows.iter().map(|r| r.row() as u32));
                columns
                    .iter()
                    .map(|column| {
                        compute::take(chunk.data().rows.column(*column), &positions, None)
                    })
                    .collect()
            }
            _ => {
                let mut positions: Vec<(usize, usize)> = Vec::new();
                columns
                    .iter()
                    .map(|column| {
                        if !absent && let Some(array) = self.gather_numbers(rows, *column) {
                            return array;
                        }
                        if positions.is_empty() {
                            positions.extend(rows.iter().map(|row| match row.is_some() {
                                true => (numbers[row.chunk()], row.row()),
                                false => (occurring.len(), 0),
                            }));
                        }
                        let null;
                        let mut arrays: Vec<&dyn Array> = occurring
                            .iter()
                            .map(|chunk| chunk.data().rows.column(*column).as_ref())
                            .collect();
                        if absent {
                            null = new_null_array(arrays[0].data_type(), 1);
                            arrays.push(null.as_ref());
                        }
                        interleave(&arrays, &positions)
                    })
                    .collect()
            }
        }
    }

    /// A column of numbers without NULLs, which is most of what is ever gathered.
    fn gather_numbers(
        &self,
        rows: &[RowId],
        column: usize,
    ) -> Option<Result<ArrayRef, ArrowError>> {
        fn values<T: ArrowNativeType>(rows: &[RowId], stored: &[&[T]]) -> Buffer {
            let values = rows.iter().map(|row| stored[row.chunk()][row.row()]);
            Buffer::from_vec(values.collect::<Vec<T>>())
        }
        let data_type = self.schema.field(column).data_type();
        let buffer = match data_type.primitive_width()? {
            8 => values::<u64>(
                rows,
                &self.column_slices(column, |v| match v {
                    Values::Fixed8(values) => Some(values),
                    _ => None,
                })?,
            ),
            4 => values::<u32>(
                rows,
                &self.column_slices(column, |v| match v {
                    Values::Fixed4(values) => Some(values),
                    _ => None,
                })?,
            ),
            _ => return None,
        };
        let data = ArrayData::builder(data_type.clone())
            .len(rows.len())
            .add_buffer(buffer);
        Some(data.build().map(make_array))
    }

    /// Stored rows with their weights and event times.
    pub(crate) fn gather_changes(
        &self,
        rows: &[RowId],
        weight: impl Fn(RowId) -> i64,
    ) -> Result<ChangeBatch, ArrowError> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = self.gather(rows, &all)?;
        Ok(ChangeBatch::new(
            batch(self.schema.clone(), columns, rows.len())?,
            rows.iter().map(|row| weight(*row)).collect(),
            rows.iter().map(|row| self.rowtime(*row)).collect(),
        ))
    }

    /// Whether some row is there more than once.
    pub(crate) fn has_repeats(&self) -> bool {
        self.live_chunks().any(|chunk| chunk.weights.has_repeats())
    }

    /// All rows, chunk by chunk.
    pub(crate) fn row_ids(&self) -> impl Iterator<Item = Vec<RowId>> + '_ {
        self.chunks
            .iter()
            .enumerate()
            .filter_map(|(number, chunk)| {
                let rows = chunk.as_ref()?.weights.live_positions();
                Some(rows.map(|row| RowId::new(number, row)).collect())
            })
    }

    /// Everything as insertions: what a reader that starts here has missed.
    pub fn changes(&self) -> impl Iterator<Item = Result<ChangeBatch, ArrowError>> + '_ {
        (0..self.num_parts()).filter_map(|part| self.part(part).transpose())
    }

    /// Everything as batches; a row that is there several times is repeated.
    pub fn batches(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        self.changes()
            .map(|changes| Ok(repeated(&changes?)?.rows))
            .collect()
    }

    /// As [`Snapshot::batches`], with event time as a last column of this name.
    pub fn batches_with_rowtime(&self, name: &str) -> Result<Vec<RecordBatch>, ArrowError> {
        (0..self.num_parts())
            .filter_map(|part| self.part_with_rowtime(part, name).transpose())
            .collect()
    }

    /// In how many parts the rows can be read.
    pub fn num_parts(&self) -> usize {
        self.chunks.len()
    }

    /// One part of [`Snapshot::changes`].
    pub fn part(&self, part: usize) -> Result<Option<ChangeBatch>, ArrowError> {
        let chunk = self.chunks[part].as_ref();
        chunk
            .map(|chunk| chunk_changes(&*self.data_of(chunk)?, &chunk.weights))
            .transpose()
    }

    /// One part of [`Snapshot::batches_with_rowtime`].
    pub fn part_with_rowtime(
        &self,
        part: usize,
        name: &str,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let Some(changes) = self.part(part)? else {
            return Ok(None);
        };
        let changes = repeated(&changes)?;
        let rowtimes =
            TimestampMicrosecondArray::new(changes.rowtimes.clone(), None).with_timezone("+00:00");
        let mut columns = changes.rows.columns().to_vec();
        columns.push(Arc::new(rowtimes));
        let schema = with_rowtime(&self.schema, name);
        batch(schema, columns, changes.num_rows()).map(Some)
    }

    /// The rows whose key starts with one of these: all key columns are looked up in the index,
    /// fewer are compared with every row. Columns of another type are cast.
    pub fn lookup(&self, prefix: &[ArrayRef]) -> Result<ChangeBatch, ArrowError> {
        let rows = prefix.first().map_or(0, |column| column.len());
        let prefix = prefix
            .iter()
            .zip(&self.key)
            .map(|(column, position)| {
                compute::cast(column, self.schema.field(*position).data_type())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let keys = Keys::new(&prefix, rows, false);
        if self.absent == 0 {
            return self.found(&keys, prefix.len());
        }
        // What is looked at is read into a copy, which shares all that is in memory.
        let mut own = self.clone();
        let fetched = match prefix.len() == self.key.len() {
            true => own.fetch_chains(&keys),
            false => own.fetch_all(),
        };
        fetched.map_err(|error| ArrowError::from_external_error(Box::new(error)))?;
        own.found(&keys, prefix.len())
    }

    /// The rows whose first `width` key columns are one of these, of chunks that are in memory.
    fn found(&self, keys: &Keys, width: usize) -> Result<ChangeBatch, ArrowError> {
        let rows = keys.len();
        let mut found = Vec::new();
        if width == self.key.len() {
            let mut matches = Matches::default();
            let mut probe = self.probe(keys);
            // A key that is asked for twice is found once.
            let distinct = keys.distinct(0..rows);
            for (row, head) in probe.heads.iter_mut().enumerate() {
                if distinct.binary_search(&row).is_err() {
                    *head = RowId::NONE;
                }
            }
            probe.next(self, usize::MAX, &mut matches);
            found = matches.stored;
        } else {
            for (number, chunk) in self.chunks.iter().enumerate() {
                let Some(chunk) = chunk else { continue };
                let columns: Vec<_> = self.key[..width]
                    .iter()
                    .map(|position| chunk.data().columns[*position].clone())
                    .collect();
                found.extend(
                    chunk
                        .weights
                        .live_positions()
                        .filter(|row| {
                            (0..rows).any(|probe| {
                                keys.is_matchable(probe)
                                    && rows_same(&keys.columns, probe, &columns, *row)
                            })
                        })
                        .map(|row| RowId::new(number, row)),
                );
            }
        }
        self.gather_changes(&found, |row| self.weight(row))
    }
}

impl Probe {
    /// Chains that start at these rows.
    pub(crate) fn of(heads: Vec<RowId>) -> Self {
        Self {
            heads,
            row: 0,
            rest: RowId::NONE,
        }
    }

    /// Adds some `limit` pairs to `matches`; whether there may be more.
    pub fn next(&mut self, stored: &Snapshot, limit: usize, matches: &mut Matches) -> bool {
        // While no two rows share a key there are no chains to walk.
        if self.row == 0 && stored.index.len() == stored.rows && self.heads.len() <= limit {
            let found = self
                .heads
                .iter()
                .enumerate()
                .filter(|(_, head)| head.is_some());
            for (row, head) in found {
                matches.probe.push(row as u32);
                matches.stored.push(*head);
            }
            self.row = self.heads.len();
            return false;
        }
        while self.row < self.heads.len() {
            if !self.rest.is_some() {
                self.rest = self.heads[self.row];
            }
            while self.rest.is_some() {
                if matches.stored.len() >= limit {
                    return true;
                }
                matches.probe.push(self.row as u32);
                matches.stored.push(self.rest);
                let head = self.heads[self.row];
                self.rest = stored.next(self.rest);
                while self.rest.is_some() && !stored.keys_same(head, self.rest) {
                    self.rest = stored.next(self.rest);
                }
            }
            self.row += 1;
        }
        false
    }
}

fn chunk_changes(data: &ChunkData, weights: &Weights) -> Result<ChangeBatch, ArrowError> {
    let whole = ChangeBatch::insertions(data.rows.clone(), data.rowtimes.clone());
    if weights.all_one() {
        return Ok(whole);
    }
    let positions: Vec<u32> = weights.live_positions().map(|row| row as u32).collect();
    let weights: ScalarBuffer<i64> = positions
        .iter()
        .map(|row| weights.get(*row as usize))
        .collect();
    let live = whole.take(&UInt32Array::from(positions))?;
    Ok(ChangeBatch::new(live.rows, weights, live.rowtimes))
}

/// A row for each time that it is there.
fn repeated(changes: &ChangeBatch) -> Result<ChangeBatch, ArrowError> {
    let Some(weights) = &changes.weights else {
        return Ok(changes.clone());
    };
    let positions: Vec<u32> = weights
        .iter()
        .enumerate()
        .flat_map(|(row, weight)| std::iter::repeat_n(row as u32, (*weight).max(0) as usize))
        .collect();
    let rows = changes.take(&UInt32Array::from(positions))?;
    Ok(ChangeBatch::insertions(rows.rows, rows.rowtimes))
}

/// The columns, then event time.
pub(crate) fn with_rowtime(schema: &SchemaRef, name: &str) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    let rowtime = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    fields.push(Arc::new(Field::new(name, rowtime, false)));
    Arc::new(Schema::new(fields))
}
