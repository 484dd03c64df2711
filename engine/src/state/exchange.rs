//! Routing of rows to the slice of state that owns their key.
//!
//! The hash is our own, because it must never change under state on disk: the same key goes to the
//! same slice after a restart and after an upgrade, and both sides of a join agree whatever the
//! representation of a string. It folds a 128-bit product as wyhash does (Wang Yi, 2019).

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::change_batch::ChangeBatch;
use crate::state::columns::{Column, Values, bytes};

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const NULL: u64 = 0xa409_3822_299f_31d0;

/// A hash for each of `rows` rows of these key columns. NULLs hash alike.
pub fn hash_keys(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let columns: Vec<Column> = columns.iter().map(Column::of_key).collect();
    hash_columns(&columns, rows)
}

/// The slice, of `slices`, that owns a hash.
#[inline]
pub fn slice_of(hash: u64, slices: usize) -> usize {
    // The top bits choose the slice, so that the low ones are still random within it.
    (((hash >> 48) * slices as u64) >> 16) as usize
}

/// Cuts changes into one batch for each slice, in the same order within each.
pub fn partition(
    changes: &ChangeBatch,
    hashes: &[u64],
    slices: usize,
) -> Result<Vec<ChangeBatch>, ArrowError> {
    debug_assert_eq!(changes.num_rows(), hashes.len());
    if slices <= 1 {
        return Ok(vec![changes.clone()]);
    }
    let mut positions = vec![Vec::with_capacity(hashes.len() / slices + 16); slices];
    for (row, hash) in hashes.iter().enumerate() {
        positions[slice_of(*hash, slices)].push(row as u32);
    }
    positions
        .into_iter()
        .map(|rows| match rows.len() {
            0 => Ok(changes.slice(0, 0)),
            all if all == hashes.len() => Ok(changes.clone()),
            _ => changes.take(&UInt32Array::from(rows)),
        })
        .collect()
}

/// Changes one after the other as one batch.
pub fn concat(schema: &SchemaRef, batches: &[ChangeBatch]) -> Result<ChangeBatch, ArrowError> {
    if let [only] = batches {
        return Ok(only.clone());
    }
    let rows = concat_batches(schema, batches.iter().map(|batch| &batch.rows))?;
    let rowtimes: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.rowtimes.iter().copied())
        .collect();
    let weights = match batches.iter().all(ChangeBatch::is_append_only) {
        true => None,
        false => Some(
            batches
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(|row| batch.weight(row)))
                .collect(),
        ),
    };
    Ok(ChangeBatch {
        rows: rows_with_schema(rows, schema)?,
        weights,
        rowtimes: ScalarBuffer::from(rowtimes),
        caused_at: None,
        marks: None,
    })
}

fn rows_with_schema(rows: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    match rows.schema_ref() == schema {
        true => Ok(rows),
        false => rows.with_schema(schema.clone()),
    }
}

/// See [`hash_keys`].
pub(crate) fn hash_columns(columns: &[Column], rows: usize) -> Vec<u64> {
    let mut hashes = vec![SEED; rows];
    for column in columns {
        hash_column(column, &mut hashes);
    }
    hashes
}

fn hash_column(column: &Column, hashes: &mut [u64]) {
    match &column.values {
        Values::Null => hashes.iter_mut().for_each(|hash| *hash = fold(*hash, NULL)),
        Values::Boolean(values) => hash_values(column, hashes, |row| u64::from(values.value(row))),
        Values::Fixed1(values) => hash_values(column, hashes, |row| u64::from(values[row])),
        Values::Fixed2(values) => hash_values(column, hashes, |row| u64::from(values[row])),
        Values::Fixed4(values) => hash_values(column, hashes, |row| u64::from(values[row])),
        Values::Fixed8(values) => hash_values(column, hashes, |row| values[row]),
        Values::Fixed16(values) => hash_values(column, hashes, |row| {
            fold(values[row] as u64, (values[row] >> 64) as u64 ^ SEED)
        }),
        Values::Fixed32(values) => {
            hash_values(column, hashes, |row| hash_bytes(&values[row].to_le_bytes()))
        }
        Values::Bytes(offsets, values) => hash_values(column, hashes, |row| {
            hash_bytes(bytes(offsets, values, row))
        }),
        Values::LargeBytes(offsets, values) => hash_values(column, hashes, |row| {
            hash_bytes(bytes(offsets, values, row))
        }),
        Values::Views(views) => hash_values(column, hashes, |row| hash_bytes(views.value(row))),
        Values::Other(array) => match Column::of_key(array) {
            Column {
                values: Values::Other(_),
                ..
            } => {}
            encoded => hash_column(&encoded, hashes),
        },
    }
}

#[inline]
fn hash_values(column: &Column, hashes: &mut [u64], value: impl Fn(usize) -> u64) {
    match &column.nulls {
        None => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = fold(*hash, value(row));
            }
        }
        Some(nulls) => {
            for (row, hash) in hashes.iter_mut().enumerate() {
                let word = match nulls.is_valid(row) {
                    true => value(row),
                    false => NULL,
                };
                *hash = fold(*hash, word);
            }
        }
    }
}

#[inline]
fn fold(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(FACTOR);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Of bytes; also detects, when stored beside state, that state was sliced by another hash.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = fold(SEED, bytes.len() as u64);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash, u64::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        hash = fold(hash, u64::from_le_bytes(last));
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array, StringArray, StringViewArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    /// State on disk depends on these.
    #[test]
    fn hashes_never_change() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![Some("millpond"), Some("")])),
        ];
        let text = hash_keys(&columns, 2)
            .iter()
            .map(|hash| format!("{hash:016x}\n"))
            .collect::<String>();
        expect_test::expect![[r#"
            8ccc1ce47151d2b2
            6495a00304c2f390
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn strings_hash_alike_in_any_representation() {
        let texts = vec![Some("a"), None, Some("a text longer than twelve bytes")];
        let strings: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        let views: ArrayRef = Arc::new(StringViewArray::from(texts));
        assert_eq!(hash_keys(&[strings], 3), hash_keys(&[views], 3));
    }

    #[test]
    fn a_partition_keeps_each_row_once_and_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let hashes = hash_keys(std::slice::from_ref(&column), 10_000);
        let rows = RecordBatch::try_new(schema, vec![column]).expect("one column");
        let changes = ChangeBatch::insertions(rows, (0..10_000).collect());
        let parts = partition(&changes, &hashes, 3).expect("int64 can be taken");
        assert_eq!(
            parts.iter().map(ChangeBatch::num_rows).sum::<usize>(),
            10_000
        );
        for part in parts {
            assert!(part.num_rows() > 3_000);
            assert!(part.rowtimes.is_sorted());
            assert_eq!(part.column(0).len(), part.rowtimes.len());
        }
    }
}
