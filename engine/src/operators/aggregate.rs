//! `GROUP BY`, `DISTINCT`, and aggregates over everything.
//!
//! ```text
//!  Δin ──► keys, arguments ──route by hash──► slice 0: groups ──┐
//!          (morsels, parallel)                slice 1: groups ──┴──► Δout = − old row + new row
//! ```
//!
//! Each slice owns its groups alone, so slices are updated in parallel without locks. Little input is
//! handled on the calling thread, because handing it over would cost more.
//!
//! Without group columns there is exactly one group, and its row exists even over no rows: it is
//! emitted in the first step.
//!
//! A group goes with its last row, unless groups are kept: then its row stays, aggregated over nothing.
//!
//! The row of a group has the largest rowtime among the rows that led to its last change, and never
//! one before that of the row it replaces.
//!
//! In the state store a group is found under its key, whatever the number of slices:
//! ```text
//!  00 · key                                       rows, rowtime, accumulators
//!  01 · call: u16 · length of key · key · entry   what the call keeps by entry, e.g. its values
//! ```

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use rayon::prelude::*;

use crate::aggregates::{Call, Damaged, Demands, read_i64, write_i64};
use crate::change_batch::ChangeBatch;
use crate::expression::{Expression, row_as_json};
use crate::operator::{Operator, RowError, StateReader, StateWriter, StepContext, StepError};
use crate::operators::project::conform;
use group_keys::KeyCodec;
use slice::{PlannedCall, PreparedBatch, Slice, SliceOutput};

mod group_keys;
mod slice;

/// Rows are prepared in pieces of this size, so that a piece stays in the cache.
const MORSEL_ROWS: usize = 16_384;
/// From here on it pays to wake other threads.
const PARALLEL_ROWS: usize = 4_096;

/// One aggregate call over the operator's input.
pub struct AggregateSpec {
    pub call: Call,
    pub args: Vec<Expression>,
    pub order: Vec<Expression>,
    pub filter: Option<Expression>,
    /// The call as text, for reports.
    pub text: String,
}

/// Keeps one row for each group of its input.
pub struct Aggregate {
    step: String,
    preparation: Preparation,
    calls: Vec<PlannedCall>,
    texts: Vec<String>,
    slices: Vec<Slice>,
}

/// What is computed from the input before any state is looked at.
struct Preparation {
    group_by: Vec<Expression>,
    key_types: Vec<DataType>,
    /// Distinct expressions that the calls need.
    inputs: Vec<Expression>,
    codec: KeyCodec,
    slices: usize,
}

impl Aggregate {
    /// `schema` has the group columns, then the aggregates.
    pub fn new(
        step: &str,
        group_by: Vec<Expression>,
        aggregates: Vec<AggregateSpec>,
        schema: SchemaRef,
        demands: Demands,
        slices: usize,
    ) -> Result<Self, StepError> {
        let key_types: Vec<DataType> = schema.fields()[..group_by.len()]
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let codec = KeyCodec::new(&key_types)?;
        let mut inputs: Vec<Expression> = Vec::new();
        let mut position_of = |expression: Expression| -> usize {
            let known = inputs
                .iter()
                .position(|other| other.physical() == expression.physical());
            known.unwrap_or_else(|| {
                inputs.push(expression);
                inputs.len() - 1
            })
        };
        let mut calls = Vec::new();
        let mut texts = Vec::new();
        for spec in aggregates {
            let counts_rows = spec.call.function == "count"
                && spec.filter.is_none()
                && !spec.call.distinct
                && spec.args.iter().all(Expression::is_never_null);
            calls.push(PlannedCall {
                columns: match counts_rows {
                    true => Vec::new(),
                    false => spec
                        .args
                        .into_iter()
                        .chain(spec.order)
                        .map(&mut position_of)
                        .collect(),
                },
                filter: spec.filter.map(&mut position_of),
                call: (!counts_rows).then_some(spec.call),
            });
            texts.push(spec.text);
        }
        let slices = match codec {
            KeyCodec::Single => 1,
            _ => slices.max(1),
        };
        Ok(Self {
            step: step.to_owned(),
            slices: (0..slices)
                .map(|_| Slice::new(&codec, &calls, demands, schema.clone()))
                .collect::<Result<_, _>>()?,
            preparation: Preparation {
                group_by,
                key_types,
                inputs,
                codec,
                slices,
            },
            calls,
            texts,
        })
    }

    /// Lets a group whose last row goes keep its row, aggregated over nothing.
    pub fn keeping_groups(mut self) -> Self {
        self.slices.iter_mut().for_each(Slice::keep_groups);
        self
    }

    /// How many columns of the result are the group's key; they come first.
    pub fn key_columns(&self) -> usize {
        self.preparation.key_types.len()
    }

    /// Whether there is a row to emit although nothing came in.
    pub fn has_initial_row(&self) -> bool {
        self.slices[0].is_unstarted()
    }

    /// The current rows of all groups.
    pub fn snapshot(&self) -> Result<Vec<ChangeBatch>, StepError> {
        let mut batches = Vec::new();
        for slice in &self.slices {
            batches.extend(slice.snapshot(MORSEL_ROWS)?);
        }
        Ok(batches)
    }

    /// The current rows of the groups with these keys, given as the group columns; keys without a
    /// group have none.
    pub fn lookup(&self, keys: &[ArrayRef]) -> Result<Vec<ChangeBatch>, StepError> {
        let rows = keys.first().map_or(1, |column| column.len());
        let keys = self.preparation.codec.encode(keys)?;
        let batches = self.slices.iter().map(|slice| slice.lookup(&keys, rows));
        batches
            .filter(|batch| !matches!(batch, Ok(batch) if batch.num_rows() == 0))
            .collect()
    }

    fn report(&self, output: &SliceOutput, context: &StepContext<'_>) {
        let Some(changes) = &output.changes else {
            return;
        };
        for (row, call, reason) in &output.out_of_range {
            context.errors.report(RowError {
                step: self.step.clone(),
                expression: self.texts[*call].clone(),
                reason: reason.clone(),
                row: row_as_json(&changes.rows.slice(*row, 1)),
                rowtime: changes.rowtimes[*row],
            });
        }
    }

    fn damaged(&self) -> StepError {
        StepError::DamagedState {
            step: self.step.clone(),
            reason: "an entry has an unknown form".into(),
        }
    }
}

impl Preparation {
    fn prepare(
        &self,
        batch: &ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<PreparedBatch, StepError> {
        let keys = self
            .group_by
            .iter()
            .zip(&self.key_types)
            .map(|(expression, data_type)| {
                let column = expression.evaluate(batch, context)?;
                Ok(conform(column, data_type)?)
            })
            .collect::<Result<Vec<_>, StepError>>()?;
        let keys = self.codec.encode(&keys)?;
        let routes = match self.slices {
            1 => Vec::new(),
            slices => keys.route(batch.num_rows(), slices),
        };
        let columns = self
            .inputs
            .iter()
            .map(|expression| expression.evaluate(batch, context))
            .collect::<Result<_, _>>()?;
        Ok(PreparedBatch {
            keys,
            columns,
            weights: batch.weights.clone(),
            rowtimes: batch.rowtimes.clone(),
            routes,
        })
    }
}

impl Operator for Aggregate {
    fn step(
        &mut self,
        inputs: Vec<Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let mut morsels = Vec::new();
        let mut rows = 0;
        for batch in inputs.iter().flatten() {
            rows += batch.num_rows();
            for start in (0..batch.num_rows()).step_by(MORSEL_ROWS) {
                morsels.push(batch.slice(start, MORSEL_ROWS.min(batch.num_rows() - start)));
            }
        }
        let workers = context.workers.filter(|_| rows >= PARALLEL_ROWS);
        let preparation = &self.preparation;
        let prepared: Vec<PreparedBatch> = match workers {
            Some(workers) if morsels.len() > 1 => workers.install(|| {
                morsels
                    .par_iter()
                    .map(|morsel| preparation.prepare(morsel, context))
                    .collect::<Result<_, _>>()
            })?,
            _ => morsels
                .iter()
                .map(|morsel| preparation.prepare(morsel, context))
                .collect::<Result<_, _>>()?,
        };
        let calls = &self.calls;
        let time = context.epoch_time;
        let outputs: Vec<SliceOutput> = match workers {
            Some(workers) if self.slices.len() > 1 => workers.install(|| {
                self.slices
                    .par_iter_mut()
                    .enumerate()
                    .map(|(index, slice)| slice.step(&prepared, calls, index, time))
                    .collect::<Result<_, _>>()
            })?,
            _ => self
                .slices
                .iter_mut()
                .enumerate()
                .map(|(index, slice)| slice.step(&prepared, calls, index, time))
                .collect::<Result<_, _>>()?,
        };
        for output in &outputs {
            self.report(output, context);
        }
        Ok(outputs
            .into_iter()
            .filter_map(|output| output.changes)
            .collect())
    }

    fn checkpoint(&mut self, writer: &mut dyn StateWriter) -> Result<(), StepError> {
        // A group that went and came again has two slots, so all deletions come first.
        let mut puts: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for slice in &mut self.slices {
            for slot in slice.drain_dirty() {
                let mut key = vec![GROUP];
                slice.write_key(slot, &mut key);
                let mut value = Vec::new();
                match slice.write_group(slot, &mut value) {
                    true => puts.push((key, value)),
                    false => writer.delete(&key),
                }
            }
            slice.drain_entries(&mut |keys, call, slot, entry, value| {
                let mut group = Vec::new();
                keys.write(slot, &mut group);
                let mut key = vec![ENTRY];
                key.extend_from_slice(&(call as u16).to_be_bytes());
                write_i64(group.len() as i64, &mut key);
                key.extend_from_slice(&group);
                key.extend_from_slice(entry);
                match value {
                    Some(value) => puts.push((key, value.to_vec())),
                    None => writer.delete(&key),
                }
            });
            slice.give_back();
        }
        for (key, value) in &puts {
            writer.put(key, value);
        }
        Ok(())
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StepError> {
        let mut outcome = Ok(());
        let (codec, slices) = (&self.preparation.codec, &mut self.slices);
        reader.scan(&[GROUP], &mut |key, value| {
            if outcome.is_ok() {
                outcome = codec
                    .slice_of_bytes(&key[1..], slices.len())
                    .and_then(|slice| slices[slice].read_group(&key[1..], value));
            }
        })?;
        reader.scan(&[ENTRY], &mut |key, value| {
            if outcome.is_ok() {
                outcome = parse_entry(key).and_then(|(call, group, entry)| {
                    let slice = codec.slice_of_bytes(group, slices.len())?;
                    slices[slice].restore_entry(call, group, entry, value)
                });
            }
        })?;
        outcome.map_err(|Damaged| self.damaged())
    }

    fn state_bytes(&self) -> usize {
        self.slices.iter().map(Slice::bytes).sum()
    }
}

/// First byte of the key of a group.
const GROUP: u8 = 0;
/// First byte of the key of an entry.
const ENTRY: u8 = 1;

/// Call, group and entry of the key of an entry.
fn parse_entry(key: &[u8]) -> Result<(usize, &[u8], &[u8]), Damaged> {
    let (head, mut rest) = key.split_first_chunk::<3>().ok_or(Damaged)?;
    let call = u16::from_be_bytes([head[1], head[2]]);
    let length = usize::try_from(read_i64(&mut rest)?).map_err(|_| Damaged)?;
    let (group, entry) = rest.split_at_checked(length).ok_or(Damaged)?;
    Ok((usize::from(call), group, entry))
}
