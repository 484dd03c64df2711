//! Consolidation: rows that are inserted and retracted in the same step are neither.

use arrow::array::UInt32Array;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::change_batch::ChangeBatch;
use crate::state::columns::{Column, rows_same};
use crate::state::exchange::{concat, hash_columns};

/// Cancels insertions against retractions of the same row; what is left keeps its order. Event
/// times do not distinguish rows.
pub fn consolidate(
    schema: &SchemaRef,
    batches: Vec<ChangeBatch>,
) -> Result<Vec<ChangeBatch>, ArrowError> {
    let signs = || {
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| batch.weight(row).signum()))
    };
    if batches.iter().all(ChangeBatch::is_append_only) || signs().all(|sign| sign < 0) {
        return Ok(batches);
    }
    let changes = concat(schema, &batches)?;
    let rows = changes.num_rows();
    let columns: Vec<Column> = changes.rows.columns().iter().map(Column::of_key).collect();
    let hashes = hash_columns(&columns, rows);

    // For each distinct row: the rows still open, all of one sign, as a chain through `earlier`.
    let mut groups: HashTable<(usize, Option<usize>)> = HashTable::with_capacity(rows);
    let mut earlier: Vec<Option<usize>> = vec![None; rows];
    let mut net: Vec<i64> = (0..rows).map(|row| changes.weight(row)).collect();
    let mut cancelled = false;
    for row in 0..rows {
        let entry = groups.entry(
            hashes[row],
            |(first, _)| rows_same(&columns, row, &columns, *first),
            |(first, _)| hashes[*first],
        );
        match entry {
            Entry::Vacant(vacant) => {
                vacant.insert((row, Some(row)));
            }
            Entry::Occupied(mut occupied) => {
                let (_, open) = occupied.get_mut();
                while let Some(last) = *open
                    && net[row] != 0
                    && net[last].signum() == -net[row].signum()
                {
                    cancelled = true;
                    let amount = net[row].abs().min(net[last].abs());
                    net[last] -= amount * net[last].signum();
                    net[row] -= amount * net[row].signum();
                    if net[last] == 0 {
                        *open = earlier[last];
                    }
                }
                if net[row] != 0 {
                    earlier[row] = *open;
                    *open = Some(row);
                }
            }
        }
    }
    if !cancelled {
        return Ok(batches);
    }
    let left: Vec<u32> = (0..rows as u32)
        .filter(|row| net[*row as usize] != 0)
        .collect();
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let weights: ScalarBuffer<i64> = left.iter().map(|row| net[*row as usize]).collect();
    let kept = changes.take(&UInt32Array::from(left))?;
    Ok(vec![ChangeBatch::new(kept.rows, weights, kept.rowtimes)])
}
