//! A chunk: up to 65,536 rows as one immutable batch, and what changes about them beside it.
//!
//! Everything is behind its own `Arc`, so a snapshot shares a chunk for the price of a few
//! reference counts, and a step that changes weights under it copies a bitmap, not rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, make_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::state::columns::Column;
use crate::state::snapshot::RowId;

/// Rows a chunk holds at most; the low 16 bits of a [`RowId`].
pub(crate) const CHUNK_ROWS_MAX: usize = 1 << 16;

#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Names the chunk in checkpoints; never used twice.
    pub(crate) id: u64,
    /// Its rows; absent while they are only on disk.
    pub(crate) data: Option<Arc<ChunkData>>,
    /// Bytes of its rows, in memory or not.
    pub(crate) data_bytes: usize,
    pub(crate) weights: Arc<Weights>,
    /// Neighbours among the rows of the same key; absent when keys are unique.
    pub(crate) links: Option<Arc<Vec<Link>>>,
    /// How many rows of a join's other side each row matches; absent when nobody asks.
    pub(crate) counts: Option<Arc<Vec<i64>>>,
    /// Whether a checkpoint was given the rows, the weights and the counts.
    pub(crate) rows_saved: bool,
    pub(crate) weights_saved: bool,
    pub(crate) counts_saved: bool,
    /// Whether a checkpoint with the rows is on disk, so that memory can do without them.
    pub(crate) durable: bool,
    /// Whether its rows were looked at since eviction last came by.
    pub(crate) recent: bool,
}

/// What never changes.
#[derive(Debug)]
pub(crate) struct ChunkData {
    pub(crate) rows: RecordBatch,
    pub(crate) rowtimes: ScalarBuffer<i64>,
    /// The columns, for comparing.
    pub(crate) columns: Vec<Column>,
    pub(crate) bytes: usize,
}

/// A row's neighbours in the chain of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) next: RowId,
    pub(crate) previous: RowId,
}

impl Link {
    pub(crate) const ALONE: Link = Link {
        next: RowId::NONE,
        previous: RowId::NONE,
    };
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.weights.rows as usize
    }

    /// The rows of a chunk that is in memory.
    #[inline]
    pub(crate) fn data(&self) -> &ChunkData {
        let data = self.data.as_deref();
        data.expect("chunks are fetched before their rows are looked at")
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.data.as_ref().map_or(0, |_| self.data_bytes)
            + self.weights.bytes()
            + self
                .links
                .as_ref()
                .map_or(0, |links| links.len() * size_of::<Link>())
            + self.counts.as_ref().map_or(0, |counts| counts.len() * 8)
    }
}

impl ChunkData {
    pub(crate) fn new(rows: RecordBatch, rowtimes: ScalarBuffer<i64>, key: &[usize]) -> Self {
        let columns: Vec<Column> = rows
            .columns()
            .iter()
            .enumerate()
            .map(|(position, array)| match key.contains(&position) {
                true => Column::of_key(array),
                false => Column::of_value(array),
            })
            .collect();
        let encoded: usize = rows
            .columns()
            .iter()
            .zip(&columns)
            .filter(|(array, _)| array.data_type().is_nested())
            .map(|(_, column)| match &column.values {
                crate::state::columns::Values::Bytes(offsets, _) => {
                    offsets.last().map_or(0, |end| *end as usize) + 4 * offsets.len()
                }
                _ => 0,
            })
            .sum();
        let bytes = held_bytes(&rows) + rowtimes.len() * 8 + encoded;
        Self {
            rows,
            rowtimes,
            columns,
            bytes,
        }
    }
}

/// How often each row of a chunk is there: one bit, and a number for the few that are there more
/// than once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    live: Vec<u64>,
    rows: u32,
    live_rows: u32,
    repeated: HashMap<u16, i64>,
}

impl Weights {
    /// All rows absent.
    pub(crate) fn zeros(rows: usize) -> Self {
        Self {
            live: vec![0; rows.div_ceil(64)],
            rows: rows as u32,
            live_rows: 0,
            repeated: HashMap::new(),
        }
    }

    pub(crate) fn ones(rows: usize) -> Self {
        let mut live = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = live.last_mut()
            && !rows.is_multiple_of(64)
        {
            *last = (1 << (rows % 64)) - 1;
        }
        Self {
            live,
            rows: rows as u32,
            live_rows: rows as u32,
            repeated: HashMap::new(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> i64 {
        let live = (self.live[row / 64] >> (row % 64)) & 1;
        match self.repeated.is_empty() || live == 0 {
            true => live as i64,
            false => self.repeated.get(&(row as u16)).copied().unwrap_or(1),
        }
    }

    pub(crate) fn set(&mut self, row: usize, weight: i64) {
        let bit = 1 << (row % 64);
        let was_live = self.live[row / 64] & bit != 0;
        match weight {
            0 => self.live[row / 64] &= !bit,
            _ => self.live[row / 64] |= bit,
        }
        self.live_rows = self.live_rows + u32::from(weight != 0) - u32::from(was_live);
        match weight {
            0 | 1 if self.repeated.is_empty() => {}
            0 | 1 => {
                self.repeated.remove(&(row as u16));
            }
            _ => {
                self.repeated.insert(row as u16, weight);
            }
        }
    }

    pub(crate) fn live_rows(&self) -> usize {
        self.live_rows as usize
    }

    pub(crate) fn dead_rows(&self) -> usize {
        (self.rows - self.live_rows) as usize
    }

    /// Whether every row is there exactly once.
    pub(crate) fn all_one(&self) -> bool {
        self.live_rows == self.rows && self.repeated.is_empty()
    }

    /// Whether some row is there more than once.
    pub(crate) fn has_repeats(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Positions of the rows that are there.
    pub(crate) fn live_positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.live.iter().enumerate().flat_map(|(word, bits)| {
            let mut rest = *bits;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(word * 64 + bit)
            })
        })
    }

    fn bytes(&self) -> usize {
        self.live.len() * 8 + self.repeated.capacity() * 24
    }

    /// `rows: u32 · word: u64 * ceil(rows / 64) · (row: u16 · weight: i64)*`, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.live.len() * 8 + self.repeated.len() * 10);
        bytes.extend(self.rows.to_le_bytes());
        for word in &self.live {
            bytes.extend(word.to_le_bytes());
        }
        let mut repeated: Vec<_> = self.repeated.iter().collect();
        repeated.sort();
        for (row, weight) in repeated {
            bytes.extend(row.to_le_bytes());
            bytes.extend(weight.to_le_bytes());
        }
        bytes
    }

    /// `None` when these bytes are not what [`Weights::encode`] gives for so many rows.
    pub(crate) fn decode(bytes: &[u8], rows: usize) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*count) as usize != rows {
            return None;
        }
        let (words, rest) = rest.split_at_checked(rows.div_ceil(64) * 8)?;
        let mut weights = Self::zeros(rows);
        weights.live = words
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        weights.live_rows = weights.live.iter().map(|word| word.count_ones()).sum();
        let (repeated, excess) = rest.as_chunks::<10>();
        for entry in repeated {
            let (row, weight) = entry.split_first_chunk::<2>()?;
            let row = u16::from_le_bytes(*row);
            let weight = i64::from_le_bytes(weight.try_into().ok()?);
            if usize::from(row) >= rows || weights.get(row.into()) == 0 {
                return None;
            }
            weights.repeated.insert(row, weight);
        }
        (excess.is_empty() && weights.live_rows <= weights.rows).then_some(weights)
    }
}

/// A batch from columns, also when there are none.
pub(crate) fn batch(
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// The rows in memory of their own, if what they are a part of is much larger than they are.
pub(crate) fn unpinned(rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut seen = HashSet::new();
    let held: usize = rows
        .columns()
        .iter()
        .map(|column| allocated_bytes(&column.to_data(), &mut seen))
        .sum();
    if held <= 2 * held_bytes(&rows) + 1024 {
        return Ok(rows);
    }
    let all = UInt32Array::from_iter_values(0..rows.num_rows() as u32);
    let columns = rows
        .columns()
        .iter()
        .map(|column| Ok(own_views(compute::take(column, &all, None)?)))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    batch(rows.schema(), columns, rows.num_rows())
}

/// Views with buffers of their own: gathering keeps all buffers of its inputs alive.
pub(crate) fn own_views(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::Dictionary(_, _) => make_array(array.to_data()),
        _ => array,
    }
}

/// Size of the allocations behind an array, each counted once.
fn allocated_bytes(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let mut bytes = 0;
    for buffer in data.buffers() {
        if seen.insert(buffer.data_ptr().as_ptr() as usize) {
            bytes += buffer.capacity();
        }
    }
    bytes
        + data
            .child_data()
            .iter()
            .map(|child| allocated_bytes(child, seen))
            .sum::<usize>()
}

/// Size of the rows proper, however large the buffers they lie in.
fn held_bytes(rows: &RecordBatch) -> usize {
    rows.columns()
        .iter()
        .map(|column| {
            let data = column.to_data();
            let views: usize = match column.data_type() {
                DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
                DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
                _ => 0,
            };
            views
                + data
                    .get_slice_memory_size()
                    .unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_encoding_and_reject_what_is_cut() {
        let mut weights = Weights::ones(130);
        weights.set(3, 0);
        weights.set(129, 7);
        assert_eq!(
            (weights.get(3), weights.get(4), weights.get(129)),
            (0, 1, 7)
        );
        assert_eq!(weights.live_positions().count(), 129);
        let bytes = weights.encode();
        assert_eq!(Weights::decode(&bytes, 130), Some(weights));
        for end in 0..bytes.len() {
            assert!(Weights::decode(&bytes[..end], 130).is_none_or(|w| w.get(129) == 1));
        }
        assert_eq!(Weights::decode(&bytes, 131), None);
    }
}
