//! One slice of a join's state, and the join of one batch of changes with it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;

use crate::change_batch::ChangeBatch;
use crate::operator::{
    ChunkSource, ErrorSink, RowError, StateReader, StateWriter, StepContext, StepError,
};
use crate::operators::join::layout::{LEFT, Layout, RIGHT, Solo};
use crate::state::chunk::batch;
use crate::state::{Arrangement, Keys, Matches, Probe, RowId, Snapshot};

/// Pairs that are put together at a time.
const PAIRS_MAX: usize = 16_384;

/// Both sides of a join, of the keys that belong to one slice.
#[derive(Debug)]
pub(super) struct Slice {
    sides: [Option<Arrangement>; 2],
}

/// What joining a batch with the other side has given.
pub(super) struct Found {
    pub(super) output: Vec<ChangeBatch>,
    /// First rows of the other side with the key of each row of the batch.
    heads: Vec<RowId>,
    /// Number of matches of each row of the batch, when there is a filter and somebody asks.
    counts: Option<Vec<i64>>,
    /// Changes to the numbers of matches of rows of the other side.
    touched: Vec<Touched>,
}

struct Touched {
    row: RowId,
    matches: i64,
    rowtime: i64,
}

impl Slice {
    pub(super) fn new(layout: &Layout) -> Self {
        let arrangement = |side: usize| {
            let plan = &layout.sides[side];
            let arrangement = Arrangement::new(plan.schema.clone(), layout.key(side));
            plan.stored.then(|| match layout.counts(side) {
                true => arrangement.with_counts(),
                false => arrangement,
            })
        };
        Self {
            sides: [arrangement(LEFT), arrangement(RIGHT)],
        }
    }

    /// The rows of a side, if they are kept.
    pub(super) fn side(&self, side: usize) -> Option<&Snapshot> {
        self.sides[side].as_ref().map(Arrangement::contents)
    }

    pub(super) fn bytes(&self) -> usize {
        self.sides.iter().flatten().map(Arrangement::bytes).sum()
    }

    pub(super) fn step(
        &mut self,
        layout: &Layout,
        deltas: &[Vec<ChangeBatch>; 2],
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let mut output = Vec::new();
        for side in [LEFT, RIGHT] {
            for delta in &deltas[side] {
                self.half_step(layout, side, delta, context, &mut output)?;
            }
        }
        Ok(output)
    }

    /// Joins changes of one side with the other as it is, and applies them.
    fn half_step(
        &mut self,
        layout: &Layout,
        side: usize,
        delta: &ChangeBatch,
        context: &StepContext<'_>,
        output: &mut Vec<ChangeBatch>,
    ) -> Result<(), StepError> {
        let other = 1 - side;
        let keys = layout.keys(side, delta);
        if let Some(stored) = &mut self.sides[other] {
            stored.fetch_chains(&keys)?;
        }
        let Some(stored) = self.side(other) else {
            return Ok(());
        };
        let mut found = half_join(layout, side, delta, &keys, stored, context)?;
        output.append(&mut found.output);

        let solo = layout.sides[other].solo;
        if solo.is_none() || layout.filter.is_some() {
            self.apply_keyed(side, delta, &keys, found.counts.as_deref())?;
            if let Some(solo) = solo {
                let touched = std::mem::take(&mut found.touched);
                output.extend(self.recount(layout, other, solo, touched)?);
            }
            return Ok(());
        }
        let present = |slice: &Self| -> Vec<bool> {
            let heads = slice.side(side).map(|own| own.probe(&keys).heads);
            heads.map_or_else(Vec::new, |heads| {
                heads.iter().map(|head| head.is_some()).collect()
            })
        };
        self.fetch_heads(side, &keys)?;
        let before = present(self);
        self.apply_keyed(side, delta, &keys, None)?;
        self.fetch_heads(side, &keys)?;
        let after = present(self);
        if let Some(solo) = solo {
            let changed = (0..before.len()).filter(|row| before[*row] != after[*row]);
            let changed = keys.distinct(changed);
            output.extend(self.keys_changed(
                layout,
                other,
                solo,
                delta,
                &found.heads,
                &changed,
                &after,
            )?);
        }
        Ok(())
    }

    fn fetch_heads(&mut self, side: usize, keys: &Keys) -> Result<(), StepError> {
        match &mut self.sides[side] {
            None => Ok(()),
            Some(own) => own.fetch_heads(keys),
        }
    }

    /// Brings what changes of the other side match into memory.
    pub(super) fn fetch(
        &mut self,
        layout: &Layout,
        side: usize,
        others: &[ChangeBatch],
    ) -> Result<(), StepError> {
        let Some(stored) = self.sides[side].as_mut().filter(|own| !own.is_resident()) else {
            return Ok(());
        };
        for delta in others {
            stored.fetch_chains(&layout.keys(1 - side, delta))?;
        }
        Ok(())
    }

    /// Applies changes to one side, without output.
    pub(super) fn apply(
        &mut self,
        layout: &Layout,
        side: usize,
        delta: &ChangeBatch,
    ) -> Result<(), StepError> {
        let keys = layout.keys(side, delta);
        self.apply_keyed(side, delta, &keys, None)
    }

    fn apply_keyed(
        &mut self,
        side: usize,
        delta: &ChangeBatch,
        keys: &Keys,
        counts: Option<&[i64]>,
    ) -> Result<(), StepError> {
        let Some(stored) = &mut self.sides[side] else {
            return Ok(());
        };
        match &keys.matchable {
            None => stored.apply_keyed(delta, Some(keys), counts),
            // What matches nothing, whatever comes, need not be kept.
            Some(matchable) => {
                let mask = BooleanArray::new(matchable.inner().clone(), None);
                let counts: Option<Vec<i64>> = counts.map(|counts| {
                    let kept = counts.iter().enumerate();
                    kept.filter(|(row, _)| keys.is_matchable(*row))
                        .map(|(_, count)| *count)
                        .collect()
                });
                stored.apply_keyed(&delta.filter(&mask)?, None, counts.as_deref())
            }
        }
    }

    /// Rows of a side whose key has come or gone on the other.
    #[expect(clippy::too_many_arguments, reason = "the two halves of one step")]
    fn keys_changed(
        &self,
        layout: &Layout,
        side: usize,
        solo: Solo,
        delta: &ChangeBatch,
        heads: &[RowId],
        changed: &[usize],
        present: &[bool],
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let Some(stored) = self.side(side) else {
            return Ok(Vec::new());
        };
        let mut output = Vec::new();
        let mut probe = Probe::of(changed.iter().map(|row| heads[*row]).collect());
        loop {
            let mut matches = Matches::default();
            let more = probe.next(stored, PAIRS_MAX, &mut matches);
            let changes: Vec<(RowId, i64, i64)> = matches
                .probe
                .iter()
                .zip(&matches.stored)
                .map(|(position, row)| {
                    let cause = changed[*position as usize];
                    let sign = solo.sign(present[cause]);
                    (*row, sign, delta.rowtimes[cause])
                })
                .collect();
            output.extend(solo_rows(layout, side, stored, &changes)?);
            if !more {
                return Ok(output);
            }
        }
    }

    /// Changes numbers of matches; gives the rows that have got their first or lost their last.
    fn recount(
        &mut self,
        layout: &Layout,
        side: usize,
        solo: Solo,
        mut touched: Vec<Touched>,
    ) -> Result<Option<ChangeBatch>, StepError> {
        let Some(arrangement) = &mut self.sides[side] else {
            return Ok(None);
        };
        touched.sort_by_key(|touched| touched.row);
        let mut changes = Vec::new();
        for of_row in touched.chunk_by(|a, b| a.row == b.row) {
            let row = of_row[0].row;
            let before = arrangement.count(row);
            let after = before + of_row.iter().map(|touched| touched.matches).sum::<i64>();
            if after < 0 {
                return Err(StepError::NegativeCount);
            }
            arrangement.set_count(row, after);
            if (before == 0) != (after == 0) {
                let rowtime = of_row.iter().map(|touched| touched.rowtime).max();
                changes.push((row, solo.sign(after > 0), rowtime.unwrap_or(i64::MIN)));
            }
        }
        solo_rows(layout, side, arrangement.contents(), &changes)
    }

    pub(super) fn checkpoint(
        &mut self,
        number: usize,
        writer: &mut dyn StateWriter,
    ) -> Result<(), StepError> {
        for (side, arrangement) in self.sides.iter_mut().enumerate() {
            if let Some(arrangement) = arrangement {
                arrangement.checkpoint(&prefix(number, side), writer)?;
            }
        }
        Ok(())
    }

    pub(super) fn restore(
        &mut self,
        number: usize,
        reader: &dyn StateReader,
    ) -> Result<(), StepError> {
        for (side, arrangement) in self.sides.iter_mut().enumerate() {
            if let Some(arrangement) = arrangement {
                arrangement.restore(&prefix(number, side), reader)?;
            }
        }
        Ok(())
    }

    pub(super) fn saved(&mut self) {
        self.sides.iter_mut().flatten().for_each(Arrangement::saved);
    }

    pub(super) fn evictable_bytes(&self) -> usize {
        let sides = self.sides.iter().flatten();
        sides.map(Arrangement::evictable_bytes).sum()
    }

    pub(super) fn unsaved_bytes(&self) -> usize {
        let sides = self.sides.iter().flatten();
        sides.map(Arrangement::unsaved_bytes).sum()
    }

    pub(super) fn evict(
        &mut self,
        number: usize,
        bytes: usize,
        source: &Arc<dyn ChunkSource>,
    ) -> usize {
        let mut given = 0;
        for (side, arrangement) in self.sides.iter_mut().enumerate() {
            if let Some(arrangement) = arrangement {
                let rest = bytes.saturating_sub(given);
                given += arrangement.evict(rest, source, &prefix(number, side));
            }
        }
        given
    }

    /// Counts the matches of all rows.
    pub(super) fn count_matches(&mut self, layout: &Layout) -> Result<(), StepError> {
        let context = StepContext {
            epoch: 0,
            epoch_time: 0,
            errors: &Silent,
            workers: None,
        };
        for side in [LEFT, RIGHT] {
            let (Some(own), Some(stored)) = (self.side(side), self.side(1 - side)) else {
                continue;
            };
            if !layout.counts(side) {
                continue;
            }
            let mut counted = Vec::new();
            for rows in own.row_ids() {
                let delta = own.gather_changes(&rows, |_| 1)?;
                let keys = layout.keys(side, &delta);
                let found = half_join(layout, side, &delta, &keys, stored, &context)?;
                counted.push((rows, found.counts.unwrap_or_default()));
            }
            if let Some(arrangement) = &mut self.sides[side] {
                for (rows, counts) in counted {
                    for (row, count) in rows.into_iter().zip(counts) {
                        arrangement.set_count(row, count);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Solo {
    /// How a row's part in the result changes when it has come to match, or no longer does.
    fn sign(self, matched: bool) -> i64 {
        match (self, matched) {
            (Solo::Matched, true) | (Solo::Unmatched, false) => 1,
            (Solo::Matched, false) | (Solo::Unmatched, true) => -1,
        }
    }

    fn holds(self, matched: bool) -> bool {
        self.sign(matched) > 0
    }
}

/// Joins changes of one side with the other side as it is. Reads only, so that any number of
/// threads can do it at once.
pub(super) fn half_join(
    layout: &Layout,
    side: usize,
    delta: &ChangeBatch,
    keys: &Keys,
    stored: &Snapshot,
    context: &StepContext<'_>,
) -> Result<Found, StepError> {
    let rows = delta.num_rows();
    let mut probe = stored.probe(keys);
    let mut found = Found {
        output: Vec::new(),
        heads: probe.heads.clone(),
        counts: layout.counts(side).then(|| vec![0; rows]),
        touched: Vec::new(),
    };
    if layout.pairs || layout.filter.is_some() {
        loop {
            let mut matches = Matches::default();
            let more = probe.next(stored, PAIRS_MAX, &mut matches);
            if !matches.stored.is_empty() {
                join_pairs(layout, side, delta, stored, matches, context, &mut found)?;
            }
            if !more {
                break;
            }
        }
    }
    if let Some(solo) = layout.sides[side].solo {
        let matched = |row: usize| match &found.counts {
            Some(counts) => counts[row] > 0,
            None => found.heads[row].is_some(),
        };
        let alone: Vec<u32> = (0..rows)
            .filter(|row| solo.holds(matched(*row)))
            .map(|row| row as u32)
            .collect();
        if !alone.is_empty() {
            let alone = match alone.len() == rows {
                true => delta.clone(),
                false => delta.take(&UInt32Array::from(alone))?,
            };
            let columns = alone.rows.columns()[..layout.sides[side].width].to_vec();
            let columns = layout.solo_columns(side, columns, alone.num_rows());
            let rows = batch(layout.output.clone(), columns, alone.num_rows())?;
            found.output.push(alone.with_rows(rows));
        }
    }
    Ok(found)
}

/// Puts pairs of rows together, as far as they satisfy the filter.
fn join_pairs(
    layout: &Layout,
    side: usize,
    delta: &ChangeBatch,
    stored: &Snapshot,
    mut matches: Matches,
    context: &StepContext<'_>,
    found: &mut Found,
) -> Result<(), StepError> {
    let mut weights = pair_weights(delta, stored, &matches)?;
    let mut columns = pair_columns(layout, side, delta, stored, &matches)?;
    if let Some(filter) = &layout.filter {
        let pairs = ChangeBatch {
            rows: batch(layout.pair_schema.clone(), columns, matches.stored.len())?,
            weights: weights.clone(),
            rowtimes: pair_rowtimes(layout, delta, stored, &matches),
            caused_at: None,
            marks: None,
        };
        let mask = filter.evaluate_predicate(&pairs, context)?;
        let passes: Vec<bool> = mask.iter().map(|pass| pass == Some(true)).collect();
        columns = pairs.rows.columns().to_vec();
        if !passes.iter().all(|pass| *pass) {
            let kept = pairs.filter(&mask)?;
            columns = kept.rows.columns().to_vec();
            weights = kept.weights;
            let mut pass = passes.iter();
            matches.probe.retain(|_| pass.next() == Some(&true));
            let mut pass = passes.iter();
            matches.stored.retain(|_| pass.next() == Some(&true));
        }
        let pairs = || {
            matches
                .probe
                .iter()
                .map(|row| *row as usize)
                .zip(&matches.stored)
        };
        if let Some(counts) = &mut found.counts {
            for (row, other) in pairs() {
                counts[row] += stored.weight(*other);
            }
        }
        if layout.counts(1 - side) {
            found.touched.extend(pairs().map(|(row, other)| Touched {
                row: *other,
                matches: delta.weight(row),
                rowtime: delta.rowtimes[row],
            }));
        }
    }
    if layout.pairs && !matches.stored.is_empty() {
        found.output.push(ChangeBatch {
            rows: batch(layout.output.clone(), columns, matches.stored.len())?,
            weights,
            rowtimes: pair_rowtimes(layout, delta, stored, &matches),
            caused_at: None,
            marks: None,
        });
    }
    Ok(())
}

fn pair_weights(
    delta: &ChangeBatch,
    stored: &Snapshot,
    matches: &Matches,
) -> Result<Option<ScalarBuffer<i64>>, StepError> {
    let repeats = stored.has_repeats();
    if delta.is_append_only() && !repeats {
        return Ok(None);
    }
    let pairs = matches.probe.iter().zip(&matches.stored);
    pairs
        .map(|(row, other)| {
            let weight = if repeats { stored.weight(*other) } else { 1 };
            delta
                .weight(*row as usize)
                .checked_mul(weight)
                .ok_or_else(|| StepError::OutOfRange("number of equal rows".into()))
        })
        .collect::<Result<Vec<i64>, _>>()
        .map(|weights| Some(ScalarBuffer::from(weights)))
}

fn pair_rowtimes(
    layout: &Layout,
    delta: &ChangeBatch,
    stored: &Snapshot,
    matches: &Matches,
) -> ScalarBuffer<i64> {
    if layout.lookup {
        return match is_identity(&matches.probe, delta.num_rows()) {
            true => delta.rowtimes.clone(),
            false => matches
                .probe
                .iter()
                .map(|row| delta.rowtimes[*row as usize])
                .collect(),
        };
    }
    let pairs = matches.probe.iter().zip(&matches.stored);
    pairs
        .map(|(row, other)| delta.rowtimes[*row as usize].max(stored.rowtime(*other)))
        .collect()
}

/// Left columns, then right.
fn pair_columns(
    layout: &Layout,
    side: usize,
    delta: &ChangeBatch,
    stored: &Snapshot,
    matches: &Matches,
) -> Result<Vec<ArrayRef>, StepError> {
    let own = &delta.rows.columns()[..layout.sides[side].width];
    let own: Vec<ArrayRef> = match is_identity(&matches.probe, delta.num_rows()) {
        true => own.to_vec(),
        false => {
            let positions = UInt32Array::from(matches.probe.clone());
            let taken = own
                .iter()
                .map(|column| compute::take(column, &positions, None));
            taken.collect::<Result<_, _>>()?
        }
    };
    let others: Vec<usize> = (0..layout.sides[1 - side].width).collect();
    let others = stored.gather(&matches.stored, &others)?;
    Ok(match side {
        LEFT => own.into_iter().chain(others).collect(),
        _ => others.into_iter().chain(own).collect(),
    })
}

fn is_identity(positions: &[u32], rows: usize) -> bool {
    positions.len() == rows
        && positions
            .iter()
            .enumerate()
            .all(|(row, position)| row == *position as usize)
}

/// Stored rows that enter or leave the result for themselves: row, sign, event time of the cause.
fn solo_rows(
    layout: &Layout,
    side: usize,
    stored: &Snapshot,
    changes: &[(RowId, i64, i64)],
) -> Result<Option<ChangeBatch>, StepError> {
    if changes.is_empty() {
        return Ok(None);
    }
    let rows: Vec<RowId> = changes.iter().map(|(row, _, _)| *row).collect();
    let columns: Vec<usize> = (0..layout.sides[side].width).collect();
    let columns = layout.solo_columns(side, stored.gather(&rows, &columns)?, rows.len());
    Ok(Some(ChangeBatch::new(
        batch(layout.output.clone(), columns, rows.len())?,
        changes
            .iter()
            .map(|(row, sign, _)| sign * stored.weight(*row))
            .collect(),
        changes
            .iter()
            .map(|(row, _, rowtime)| (*rowtime).max(stored.rowtime(*row)))
            .collect(),
    )))
}

/// `'s' · slice (u16, big-endian) · side`
fn prefix(number: usize, side: usize) -> [u8; 4] {
    let [high, low] = (number as u16).to_be_bytes();
    [b's', high, low, side as u8]
}

/// Rows that could not be evaluated were reported when they came.
struct Silent;

impl ErrorSink for Silent {
    fn report(&self, _error: RowError) {}
}
