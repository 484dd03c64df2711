//! Changes that say no more than they must: weights of equal rows summed, and nothing that does
//! nothing.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::row::{RowConverter, Rows, SortField};
use foldhash::fast::FixedState;

use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::operators::filter::rows_of;

/// Sums the weights of equal rows and drops those that come to nothing.
///
/// Rows keep the order in which they first appear, except that with a key (positions of columns; none
/// if empty) all rows of one key stand together, retractions before insertions. An insertion has the
/// rowtime of the last that was inserted, a retraction that of the first that was retracted. Input
/// without retractions is given back as it is.
pub fn consolidate(
    mut batches: Vec<ChangeBatch>,
    key: &[usize],
) -> Result<Vec<ChangeBatch>, StepError> {
    batches.retain(|batch| batch.num_rows() > 0);
    if batches.iter().all(ChangeBatch::is_append_only) {
        return Ok(batches);
    }
    let all = concat(&batches)?;
    let columns: Vec<usize> = (0..all.rows.num_columns()).collect();
    let rows = encode(&all.rows, &columns)?;

    struct Net {
        weight: i64,
        first: u32,
        first_retracted: Option<u32>,
        last_inserted: Option<u32>,
    }
    let mut nets: Vec<Net> = Vec::new();
    let mut known: HashMap<&[u8], usize, FixedState> =
        HashMap::with_capacity_and_hasher(all.num_rows(), FixedState::with_seed(0));
    for position in 0..all.num_rows() {
        let index = *known.entry(rows.row(position).data()).or_insert_with(|| {
            nets.push(Net {
                weight: 0,
                first: position as u32,
                first_retracted: None,
                last_inserted: None,
            });
            nets.len() - 1
        });
        let net = &mut nets[index];
        let weight = all.weight(position);
        net.weight += weight;
        match weight > 0 {
            true => net.last_inserted = Some(position as u32),
            false => net.first_retracted = net.first_retracted.or(Some(position as u32)),
        }
    }
    nets.retain(|net| net.weight != 0);
    if nets.is_empty() {
        return Ok(Vec::new());
    }
    if !key.is_empty() {
        let keys = encode(&all.rows, key)?;
        let mut ordinals: HashMap<&[u8], usize, FixedState> =
            HashMap::with_hasher(FixedState::with_seed(0));
        let ordinal_of: Vec<usize> = nets
            .iter()
            .map(|net| {
                let next = ordinals.len();
                *ordinals
                    .entry(keys.row(net.first as usize).data())
                    .or_insert(next)
            })
            .collect();
        let mut order: Vec<usize> = (0..nets.len()).collect();
        order.sort_by_key(|index| (ordinal_of[*index], nets[*index].weight > 0));
        let mut slots: Vec<Option<Net>> = nets.into_iter().map(Some).collect();
        nets = order
            .into_iter()
            .map(|index| slots[index].take().expect("each is taken once"))
            .collect();
    }
    let positions: Vec<u32> = nets
        .iter()
        .map(|net| match net.weight > 0 {
            true => net.last_inserted.unwrap_or(net.first),
            false => net.first_retracted.unwrap_or(net.first),
        })
        .collect();
    let rowtimes = positions
        .iter()
        .map(|position| all.rowtimes[*position as usize])
        .collect();
    let weights: Vec<i64> = nets.iter().map(|net| net.weight).collect();
    let taken = take_rows(&all.rows, &UInt32Array::from(positions))?;
    Ok(vec![ChangeBatch::new(taken, weights.into(), rowtimes)])
}

/// Changes one after the other as one batch; all have the same columns.
pub(super) fn concat(batches: &[ChangeBatch]) -> Result<ChangeBatch, StepError> {
    let [first, rest @ ..] = batches else {
        return Err(StepError::Internal("nothing to join".into()));
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let columns = (0..first.rows.num_columns())
        .map(|column| {
            let pieces: Vec<&dyn Array> = batches
                .iter()
                .map(|batch| batch.column(column).as_ref())
                .collect();
            compute::concat(&pieces)
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let total = batches.iter().map(ChangeBatch::num_rows).sum();
    let rowtimes = batches
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
        rows: rows_of(first.rows.schema(), columns, total)?,
        weights,
        rowtimes,
        caused_at: None,
        marks: concat_marks(batches)?,
    })
}

/// The marks of batches that come one after the other.
fn concat_marks(batches: &[ChangeBatch]) -> Result<Option<BinaryArray>, StepError> {
    if batches.iter().all(|batch| batch.marks.is_none()) {
        return Ok(None);
    }
    let pieces: Vec<BinaryArray> = batches
        .iter()
        .map(|batch| match &batch.marks {
            Some(marks) => marks.clone(),
            None => BinaryArray::new_null(batch.num_rows()),
        })
        .collect();
    let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece as &dyn Array).collect();
    Ok(Some(compute::concat(&pieces)?.as_binary::<i32>().clone()))
}

fn encode(rows: &RecordBatch, columns: &[usize]) -> Result<Rows, StepError> {
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|column| rows.column(*column).clone())
        .collect();
    let fields = arrays
        .iter()
        .map(|array| SortField::new(array.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields)?;
    if arrays.is_empty() {
        // Rows without columns are all equal.
        let mut encoded = converter.empty_rows(rows.num_rows(), 0);
        let empty = converter.parser();
        (0..rows.num_rows()).for_each(|_| encoded.push(empty.parse(&[])));
        return Ok(encoded);
    }
    Ok(converter.convert_columns(&arrays)?)
}

fn take_rows(rows: &RecordBatch, positions: &UInt32Array) -> Result<RecordBatch, StepError> {
    let columns = rows
        .columns()
        .iter()
        .map(|column| compute::take(column, positions, None))
        .collect::<Result<_, _>>()?;
    Ok(rows_of(rows.schema(), columns, positions.len())?)
}
