//! Upserts by primary key become changes: −old +new.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;

use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::state::arrangement::Arrangement;
use crate::state::chunk::batch;
use crate::state::columns::{Column, Keys, rows_same};
use crate::state::snapshot::RowId;

impl Arrangement {
    /// Inserts or replaces rows by key, or deletes those that are `tombstones`, as if one after
    /// the other, and gives what changed: for each key that did at most one retraction, directly
    /// followed by at most one insertion, in the order of the last row of each key.
    ///
    /// A row that is replaced by the same values changes nothing and keeps its event time.
    pub fn upsert(
        &mut self,
        rows: &RecordBatch,
        rowtimes: &ScalarBuffer<i64>,
        tombstones: &[bool],
    ) -> Result<ChangeBatch, StepError> {
        let changes = self.upserts_as_changes(rows, rowtimes, tombstones, false)?;
        self.apply(&changes)?;
        Ok(changes)
    }

    /// As [`Arrangement::upsert`], except that a row which is replaced by the same values is a change
    /// too, of its event time.
    pub fn upsert_every(
        &mut self,
        rows: &RecordBatch,
        rowtimes: &ScalarBuffer<i64>,
        tombstones: &[bool],
    ) -> Result<ChangeBatch, StepError> {
        let changes = self.upserts_as_changes(rows, rowtimes, tombstones, true)?;
        self.apply(&changes)?;
        Ok(changes)
    }

    /// What [`Arrangement::upsert`] would change.
    fn upserts_as_changes(
        &mut self,
        rows: &RecordBatch,
        rowtimes: &ScalarBuffer<i64>,
        tombstones: &[bool],
        equal_too: bool,
    ) -> Result<ChangeBatch, StepError> {
        let count = rows.num_rows();
        debug_assert_eq!(count, tombstones.len());
        let key = self.contents.key.iter();
        let key: Vec<_> = key.map(|c| rows.column(*c).clone()).collect();
        let keys = Keys::new(&key, count, true);
        self.contents.fetch_chains(&keys)?;
        let stored = self.contents();
        let columns: Vec<Column> = rows
            .columns()
            .iter()
            .enumerate()
            .map(|(position, array)| match stored.key.contains(&position) {
                true => Column::of_key(array),
                false => Column::of_value(array),
            })
            .collect();
        let heads = stored.probe(&keys).heads;

        // The last row of each key wins.
        let mut winners = keys.distinct((0..count).rev());
        winners.reverse();
        let (mut old, mut new, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for row in winners {
            let head = heads[row];
            let replaced = head.is_some();
            if !equal_too
                && replaced
                && !tombstones[row]
                && rows_same(
                    &columns,
                    row,
                    &stored.chunk(head).data().columns,
                    head.row(),
                )
            {
                continue;
            }
            if replaced {
                pairs.push((true, old.len()));
                old.push(head);
            }
            if !tombstones[row] {
                pairs.push((false, new.len()));
                new.push(row as u32);
            }
        }
        self.interleave_changes(rows, rowtimes, &old, new, &pairs)
    }

    fn interleave_changes(
        &self,
        rows: &RecordBatch,
        rowtimes: &ScalarBuffer<i64>,
        old: &[RowId],
        new: Vec<u32>,
        pairs: &[(bool, usize)],
    ) -> Result<ChangeBatch, StepError> {
        let stored = self.contents();
        let new = UInt32Array::from(new);
        if old.is_empty() {
            let columns = rows
                .columns()
                .iter()
                .map(|column| match new.len() == rows.num_rows() {
                    true => Ok(column.clone()),
                    false => compute::take(column, &new, None),
                })
                .collect::<Result<_, _>>()?;
            let rowtimes = new.values().iter().map(|r| rowtimes[*r as usize]).collect();
            let rows = batch(stored.schema.clone(), columns, new.len())?;
            return Ok(ChangeBatch::insertions(rows, rowtimes));
        }
        let all: Vec<usize> = (0..stored.schema.fields().len()).collect();
        let positions: Vec<(usize, usize)> = pairs
            .iter()
            .map(|(is_old, position)| match is_old {
                true => (0, *position),
                false => (1, new.value(*position) as usize),
            })
            .collect();
        let columns = stored
            .gather(old, &all)?
            .iter()
            .zip(rows.columns())
            .map(|(old, new)| compute::interleave(&[old.as_ref(), new.as_ref()], &positions))
            .collect::<Result<_, _>>()?;
        let weights: ScalarBuffer<i64> = pairs
            .iter()
            .map(|(is_old, _)| if *is_old { -1 } else { 1 })
            .collect();
        let rowtimes = pairs
            .iter()
            .map(|(is_old, position)| match is_old {
                true => stored.rowtime(old[*position]),
                false => rowtimes[new.value(*position) as usize],
            })
            .collect();
        Ok(ChangeBatch::new(
            batch(stored.schema.clone(), columns, pairs.len())?,
            weights,
            rowtimes,
        ))
    }
}
