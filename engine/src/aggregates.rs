//! States of aggregate functions: columns of accumulators, one slot a group.
//!
//! ```text
//!  args ─┬─(FILTER)─► [distinct] ─► counts, totals, extremes, … ─evaluate─► one column of results
//!        slots, weights
//! ```
//!
//! DataFusion's own accumulators cannot be used: its group accumulators neither retract nor give
//! the result of chosen groups, and some of its row accumulators retract only in order of arrival.
//! What is not specialised here keeps the rows of each group and runs DataFusion's accumulator over
//! them when the group is touched ([`recomputed`]), so every aggregate function works and every
//! result has DataFusion's type.
//!
//! Which state is cheapest depends on the input: insertions only, or retractions too.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;

use crate::operator::StepError;

mod average;
mod bits;
mod boolean;
mod codec;
mod count;
mod distinct;
mod exact_float;
mod extremum;
mod multiset;
mod ordered;
mod recomputed;
mod slots;
mod sum;
mod value_codec;
mod variance;

pub(crate) use codec::{Damaged, read_i64, write_i64};
pub(crate) use slots::{Bitmap, grow};
pub(crate) use value_codec::{from_ordered, is_fixed, normalise_floats, to_ordered};

/// Takes an entry of a collection: slot, key, and value or `None` when the entry is gone.
pub type VisitEntry<'a> = dyn FnMut(u32, &[u8], Option<&[u8]>) + 'a;

/// The accumulators of one aggregate call, one for each slot of a group table.
///
/// Slots are numbered from 0; an empty slot holds the aggregate of no rows. Within a step a value
/// may be retracted before it is inserted; [`Accumulators::finish`] marks the step's end.
pub trait Accumulators: Send {
    /// Makes room for slots below `slots`; new ones are empty.
    fn resize(&mut self, slots: usize);

    /// Adds rows to the slots they belong to, each as often as its weight says.
    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError>;

    /// All updates of the step have been given; checks that nothing is retracted that was not
    /// there.
    fn finish(&mut self) -> Result<(), StepError> {
        Ok(())
    }

    /// The results of some slots. A result outside its type is NULL and noted in `out_of_range`.
    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError>;

    /// Makes a slot empty, because no row is left in its group.
    fn reset(&mut self, slot: u32);

    /// Writes what a slot holds, except for what [`Accumulators::drain_entries`] gives.
    fn encode(&self, slot: u32, out: &mut Vec<u8>);

    /// Reads what [`Accumulators::encode`] wrote, from the front of `bytes`.
    fn decode(&mut self, slot: u32, bytes: &mut &[u8]) -> Result<(), Damaged>;

    /// Gives the entries of collections that changed since the last call: slot, key, and value or
    /// `None` when the entry is gone. The collections that grow with their group are stored entry
    /// by entry, so that a checkpoint writes only what changed.
    fn drain_entries(&mut self, _visit: &mut VisitEntry<'_>) {}

    /// Takes back an entry that [`Accumulators::drain_entries`] gave.
    fn restore_entry(&mut self, _slot: u32, _key: &[u8], _value: &[u8]) -> Result<(), Damaged> {
        Err(Damaged)
    }

    /// Approximate bytes held.
    fn bytes(&self) -> usize;
}

/// Rows on their way into accumulators.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The arguments, then the keys of the call's `ORDER BY`.
    pub args: &'a [ArrayRef],
    /// The slot of each row.
    pub slots: &'a [u32],
    /// The weight of each row; absent when all are +1.
    pub weights: Option<&'a [i64]>,
}

impl Input<'_> {
    /// Calls `f(row, slot, weight)` for each row that is not NULL.
    #[inline(always)]
    fn each(&self, nulls: Option<&NullBuffer>, mut f: impl FnMut(usize, usize, i64)) {
        match (nulls.filter(|nulls| nulls.null_count() > 0), self.weights) {
            (None, None) => {
                for (row, slot) in self.slots.iter().enumerate() {
                    f(row, *slot as usize, 1);
                }
            }
            (None, Some(weights)) => {
                for (row, (slot, weight)) in self.slots.iter().zip(weights).enumerate() {
                    f(row, *slot as usize, *weight);
                }
            }
            (Some(nulls), None) => {
                for row in nulls.valid_indices() {
                    f(row, self.slots[row] as usize, 1);
                }
            }
            (Some(nulls), Some(weights)) => {
                for row in nulls.valid_indices() {
                    f(row, self.slots[row] as usize, weights[row]);
                }
            }
        }
    }
}

/// A result that does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfRange {
    /// Position among the slots that were asked for.
    pub position: usize,
    /// As Postgres words it, e.g. `bigint out of range`.
    pub reason: String,
}

/// An aggregate call as the accumulators see it.
#[derive(Clone)]
pub struct Call {
    /// Canonical lower-case name.
    pub function: String,
    pub udaf: Arc<AggregateUDF>,
    /// The arguments; DataFusion's accumulators want to see constant ones.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    pub arg_types: Vec<DataType>,
    /// Type and direction of each key of the call's `ORDER BY`.
    pub order: Vec<(DataType, SortOptions)>,
    pub distinct: bool,
    pub ignore_nulls: bool,
    pub return_type: DataType,
}

/// What kind of changes come in, and whether state is saved.
#[derive(Debug, Clone, Copy)]
pub struct Demands {
    /// Nothing is ever retracted.
    pub append_only: bool,
    /// Checkpoints are taken, so changes must be remembered until the next.
    pub durable: bool,
}

/// The cheapest accumulators that give the call's results.
pub fn accumulators(call: &Call, demands: Demands) -> Result<Box<dyn Accumulators>, StepError> {
    let insensitive = matches!(
        call.function.as_str(),
        "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or"
    );
    if call.distinct && !insensitive {
        let inner = Call {
            distinct: false,
            ..call.clone()
        };
        let inner = accumulators(&inner, demands)?;
        return distinct::over(inner, call, demands);
    }
    if is_ordered(call) {
        return Ok(Box::new(ordered::Ordered::new(call, demands)?));
    }
    let arg = call.arg_types.first().unwrap_or(&DataType::Null);
    let fitting: Option<Box<dyn Accumulators>> = match call.function.as_str() {
        "count" => Some(Box::new(count::Count::default())),
        "sum" => sum::new(arg, &call.return_type, demands),
        "avg" => average::new(arg, &call.return_type),
        "min" => Some(extremum::new(arg, extremum::Side::Least, demands)?),
        "max" => Some(extremum::new(arg, extremum::Side::Greatest, demands)?),
        "bool_and" if arg == &DataType::Boolean => {
            Some(Box::new(boolean::Boolean::new(boolean::Fold::And)))
        }
        "bool_or" if arg == &DataType::Boolean => {
            Some(Box::new(boolean::Boolean::new(boolean::Fold::Or)))
        }
        "bit_and" if arg.is_integer() => Some(bits::new(bits::Fold::And, arg, demands)?),
        "bit_or" if arg.is_integer() => Some(bits::new(bits::Fold::Or, arg, demands)?),
        "bit_xor" if arg.is_integer() => Some(bits::new(bits::Fold::Xor, arg, demands)?),
        "var" | "var_samp" | "var_sample" if arg == &DataType::Float64 => Some(Box::new(
            variance::Variance::new(variance::Kind::Sample, variance::Result::Variance),
        )),
        "var_pop" | "var_population" if arg == &DataType::Float64 => Some(Box::new(
            variance::Variance::new(variance::Kind::Population, variance::Result::Variance),
        )),
        "stddev" | "stddev_samp" if arg == &DataType::Float64 => Some(Box::new(
            variance::Variance::new(variance::Kind::Sample, variance::Result::Deviation),
        )),
        "stddev_pop" if arg == &DataType::Float64 => Some(Box::new(variance::Variance::new(
            variance::Kind::Population,
            variance::Result::Deviation,
        ))),
        _ => None,
    };
    match fitting {
        Some(fitting) => Ok(fitting),
        None => Ok(Box::new(recomputed::Recomputed::new(call, demands)?)),
    }
}

/// Whether the result depends on the order of the rows.
fn is_ordered(call: &Call) -> bool {
    match call.function.as_str() {
        "array_agg" | "string_agg" | "first_value" | "last_value" | "nth_value" => true,
        // Nothing else that is specialised here looks at the order.
        "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or"
        | "bit_xor" | "var" | "var_samp" | "var_sample" | "var_pop" | "var_population"
        | "stddev" | "stddev_samp" | "stddev_pop" => false,
        _ => !call.order.is_empty(),
    }
}

/// The rows for which no argument is NULL.
fn valid_rows(args: &[ArrayRef]) -> Option<NullBuffer> {
    args.iter().fold(None, |valid, arg| {
        NullBuffer::union(valid.as_ref(), arg.logical_nulls().as_ref())
    })
}
