//! A run of stateless operators, fused.
//!
//! Input is cut into morsels small enough to stay in the cache while they go through all operators.
//! Many morsels go in parallel; their results keep the order of the input.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use rayon::prelude::*;

use super::StepStatistics;
use crate::change_batch::ChangeBatch;
use crate::operator::{StepContext, StepError};
use crate::operators::stateless::Stateless;

/// DataFusion's expressions are fastest at about this size: long enough to pay for their setting
/// up, short enough for the cache.
const MORSEL_ROWS: usize = 8_192;
/// From here on it pays to wake other threads.
const PARALLEL_ROWS: usize = 4 * MORSEL_ROWS;
/// Batches are joined while they are smaller than this on average.
const SMALL_ROWS: usize = 1_024;

/// Stateless operators, one after the other.
pub(super) struct Chain {
    links: Vec<Link>,
    /// For each column of the result the column of the input that it is, and the result's schema, if
    /// nothing is computed and no row is dropped or added.
    rearrangement: Option<(Vec<usize>, SchemaRef)>,
}

struct Link {
    /// Position of the step in the plan.
    step: usize,
    operator: Box<dyn Stateless>,
}

/// What one operator did to one morsel.
#[derive(Clone, Copy, Default)]
struct Work {
    rows_in: usize,
    rows_out: usize,
    time: Duration,
}

impl Chain {
    pub(super) fn new(
        links: Vec<(usize, Box<dyn Stateless>)>,
        rearrangement: Option<(Vec<usize>, SchemaRef)>,
    ) -> Self {
        let links = links
            .into_iter()
            .map(|(step, operator)| Link { step, operator })
            .collect();
        Self {
            links,
            rearrangement,
        }
    }

    /// See the field; `None` if the chain does more than rearrange columns.
    pub(super) fn as_rearrangement(&self) -> Option<(&[usize], &SchemaRef)> {
        let (columns, schema) = self.rearrangement.as_ref()?;
        Some((columns, schema))
    }

    pub(super) fn run(
        &self,
        batches: Vec<ChangeBatch>,
        context: &StepContext<'_>,
        statistics: &mut [StepStatistics],
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let rows: usize = batches.iter().map(ChangeBatch::num_rows).sum();
        let mut morsels = Vec::with_capacity(batches.len() + rows / MORSEL_ROWS);
        for batch in batches {
            if batch.num_rows() <= 2 * MORSEL_ROWS {
                morsels.push(batch);
                continue;
            }
            for start in (0..batch.num_rows()).step_by(MORSEL_ROWS) {
                morsels.push(batch.slice(start, MORSEL_ROWS.min(batch.num_rows() - start)));
            }
        }
        let done: Vec<(ChangeBatch, Vec<Work>)> = match context.workers {
            Some(workers) if rows >= PARALLEL_ROWS && workers.current_num_threads() > 1 => workers
                .install(|| {
                    morsels
                        .into_par_iter()
                        .map(|morsel| self.run_morsel(morsel, context))
                        .collect::<Result<_, _>>()
                })?,
            _ => morsels
                .into_iter()
                .map(|morsel| self.run_morsel(morsel, context))
                .collect::<Result<_, _>>()?,
        };
        let mut output = Vec::with_capacity(done.len());
        for (batch, works) in done {
            for (link, work) in self.links.iter().zip(works) {
                let statistics = &mut statistics[link.step];
                statistics.rows_in += work.rows_in as u64;
                statistics.rows_out += work.rows_out as u64;
                statistics.time += work.time;
            }
            if batch.num_rows() > 0 {
                output.push(batch);
            }
        }
        join_small(output)
    }

    fn run_morsel(
        &self,
        mut batch: ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<(ChangeBatch, Vec<Work>), StepError> {
        let mut works = Vec::with_capacity(self.links.len());
        for link in &self.links {
            let start = Instant::now();
            let rows_in = batch.num_rows();
            batch = link.operator.apply(batch, context)?;
            works.push(Work {
                rows_in,
                rows_out: batch.num_rows(),
                time: start.elapsed(),
            });
        }
        Ok((batch, works))
    }
}

/// Joins batches that a selective filter has left small, so that what follows has fewer to handle.
fn join_small(batches: Vec<ChangeBatch>) -> Result<Vec<ChangeBatch>, StepError> {
    let rows: usize = batches.iter().map(ChangeBatch::num_rows).sum();
    if batches.len() < 2 || rows / batches.len() >= SMALL_ROWS {
        return Ok(batches);
    }
    let mut joined = Vec::new();
    let mut group: Vec<ChangeBatch> = Vec::new();
    let mut group_rows = 0;
    for batch in batches {
        group_rows += batch.num_rows();
        group.push(batch);
        if group_rows >= MORSEL_ROWS {
            joined.push(super::consolidate::concat(&group)?);
            group.clear();
            group_rows = 0;
        }
    }
    if !group.is_empty() {
        joined.push(super::consolidate::concat(&group)?);
    }
    Ok(joined)
}
