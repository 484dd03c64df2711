//! Columns as typed views, so that rows of different batches can be compared one pair at a time.
//!
//! Equality is of identity, not of SQL: NULL equals NULL, NaN equals the same NaN, and -0.0 is not
//! 0.0. That is what a retraction needs to find the row it takes back. Nested values are compared
//! by their row encoding when they are part of a key, and by walking them otherwise.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use arrow::row::{RowConverter, SortField};

use crate::state::exchange::hash_columns;

/// One column of a batch or of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) nulls: Option<NullBuffer>,
}

/// The values of a column by their physical shape.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Null,
    Boolean(BooleanBuffer),
    Fixed1(ScalarBuffer<u8>),
    Fixed2(ScalarBuffer<u16>),
    Fixed4(ScalarBuffer<u32>),
    Fixed8(ScalarBuffer<u64>),
    Fixed16(ScalarBuffer<i128>),
    Fixed32(ScalarBuffer<i256>),
    Bytes(OffsetBuffer<i32>, Buffer),
    LargeBytes(OffsetBuffer<i64>, Buffer),
    Views(BinaryViewArray),
    Other(ArrayRef),
}

impl Column {
    /// A view that compares and hashes fast whatever the type; nested values are encoded, which
    /// costs memory.
    pub(crate) fn of_key(array: &ArrayRef) -> Self {
        Self::direct(array)
            .or_else(|| Self::encoded(array))
            .unwrap_or_else(|| Self::other(array))
    }

    /// A view without any copy; comparing nested values is slow.
    pub(crate) fn of_value(array: &ArrayRef) -> Self {
        Self::direct(array).unwrap_or_else(|| Self::other(array))
    }

    fn direct(array: &ArrayRef) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean().values().clone()),
            DataType::Utf8 => {
                let strings = array.as_string::<i32>();
                Values::Bytes(strings.offsets().clone(), strings.values().clone())
            }
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                Values::Bytes(bytes.offsets().clone(), bytes.values().clone())
            }
            DataType::LargeUtf8 => {
                let strings = array.as_string::<i64>();
                Values::LargeBytes(strings.offsets().clone(), strings.values().clone())
            }
            DataType::LargeBinary => {
                let bytes = array.as_binary::<i64>();
                Values::LargeBytes(bytes.offsets().clone(), bytes.values().clone())
            }
            DataType::Utf8View => Values::Views(array.as_string_view().clone().to_binary_view()),
            DataType::BinaryView => Values::Views(array.as_binary_view().clone()),
            // Their structs are aligned to 4 and 8 bytes, less than the integers of their width.
            DataType::Interval(_) => return None,
            other => match other.primitive_width() {
                Some(1) => Values::Fixed1(scalars(array)),
                Some(2) => Values::Fixed2(scalars(array)),
                Some(4) => Values::Fixed4(scalars(array)),
                Some(8) => Values::Fixed8(scalars(array)),
                Some(16) => Values::Fixed16(scalars(array)),
                Some(32) => Values::Fixed32(scalars(array)),
                _ => return None,
            },
        };
        Some(Self {
            values,
            nulls: array.nulls().filter(|n| n.null_count() > 0).cloned(),
        })
    }

    fn encoded(array: &ArrayRef) -> Option<Self> {
        let fields = vec![SortField::new(array.data_type().clone())];
        if !RowConverter::supports_fields(&fields) {
            return None;
        }
        let converter = RowConverter::new(fields).ok()?;
        let rows = converter
            .convert_columns(std::slice::from_ref(array))
            .ok()?;
        let bytes = rows.try_into_binary().ok()?;
        Some(Self {
            values: Values::Bytes(bytes.offsets().clone(), bytes.values().clone()),
            nulls: array.logical_nulls().filter(|n| n.null_count() > 0),
        })
    }

    fn other(array: &ArrayRef) -> Self {
        Self {
            values: Values::Other(array.clone()),
            nulls: array.logical_nulls().filter(|n| n.null_count() > 0),
        }
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    /// Whether two values are the same; NULL is the same as NULL.
    #[inline]
    pub(crate) fn same(&self, row: usize, other: &Column, other_row: usize) -> bool {
        if self.nulls.is_some() || other.nulls.is_some() {
            match (self.is_null(row), other.is_null(other_row)) {
                (true, true) => return true,
                (false, false) => {}
                _ => return false,
            }
        }
        match (&self.values, &other.values) {
            (Values::Fixed8(a), Values::Fixed8(b)) => a[row] == b[other_row],
            (Values::Fixed4(a), Values::Fixed4(b)) => a[row] == b[other_row],
            (Values::Bytes(ao, a), Values::Bytes(bo, b)) => {
                bytes(ao, a, row) == bytes(bo, b, other_row)
            }
            (Values::Null, Values::Null) => true,
            (Values::Boolean(a), Values::Boolean(b)) => a.value(row) == b.value(other_row),
            (Values::Fixed1(a), Values::Fixed1(b)) => a[row] == b[other_row],
            (Values::Fixed2(a), Values::Fixed2(b)) => a[row] == b[other_row],
            (Values::Fixed16(a), Values::Fixed16(b)) => a[row] == b[other_row],
            (Values::Fixed32(a), Values::Fixed32(b)) => a[row] == b[other_row],
            (Values::LargeBytes(ao, a), Values::LargeBytes(bo, b)) => {
                bytes(ao, a, row) == bytes(bo, b, other_row)
            }
            (Values::Views(a), Values::Views(b)) => a.value(row) == b.value(other_row),
            (Values::Other(a), Values::Other(b)) => {
                a.slice(row, 1).to_data() == b.slice(other_row, 1).to_data()
            }
            _ => false,
        }
    }
}

/// Whether two rows are the same in all these columns.
#[inline]
pub(crate) fn rows_same(left: &[Column], row: usize, right: &[Column], other: usize) -> bool {
    left.iter().zip(right).all(|(a, b)| a.same(row, b, other))
}

#[inline]
pub(crate) fn bytes<'a, O: arrow::array::OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    values: &'a Buffer,
    row: usize,
) -> &'a [u8] {
    &values.as_slice()[offsets[row].as_usize()..offsets[row + 1].as_usize()]
}

fn scalars<T: ArrowNativeType>(array: &ArrayRef) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// The keys of a batch, ready for looking up: typed views, hashes, and which rows match nothing.
#[derive(Debug, Clone)]
pub struct Keys {
    pub(crate) columns: Vec<Column>,
    pub(crate) hashes: Vec<u64>,
    /// Null where a key has a NULL that equals nothing.
    pub(crate) matchable: Option<NullBuffer>,
}

impl Keys {
    /// The keys of `rows` rows. Unless `null_equals_null`, a key with a NULL matches nothing.
    pub fn new(columns: &[ArrayRef], rows: usize, null_equals_null: bool) -> Self {
        let columns: Vec<Column> = columns.iter().map(Column::of_key).collect();
        let hashes = hash_columns(&columns, rows);
        let matchable = match null_equals_null {
            true => None,
            false => columns.iter().fold(None, |nulls, column| {
                let of_column = match column.values {
                    Values::Null => Some(NullBuffer::new_null(rows)),
                    _ => column.nulls.clone(),
                };
                NullBuffer::union(nulls.as_ref(), of_column.as_ref())
            }),
        };
        Self {
            columns,
            hashes,
            matchable,
        }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether a row's key can match anything.
    pub fn is_matchable(&self, row: usize) -> bool {
        self.matchable.as_ref().is_none_or(|m| m.is_valid(row))
    }

    /// One position for each distinct key among `rows`, the first.
    pub(crate) fn distinct(&self, rows: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut seen: hashbrown::HashTable<usize> = hashbrown::HashTable::new();
        let mut first = Vec::new();
        for row in rows {
            let entry = seen.entry(
                self.hashes[row],
                |other| rows_same(&self.columns, row, &self.columns, *other),
                |other| self.hashes[*other],
            );
            if let hashbrown::hash_table::Entry::Vacant(vacant) = entry {
                vacant.insert(row);
                first.push(row);
            }
        }
        first
    }
}
