//! Aggregates without a state of their own: the rows of each group are kept, and DataFusion's
//! accumulator runs over them whenever the group is touched.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array,
};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};

use super::codec::Damaged;
use super::multiset::Multisets;
use super::value_codec::{RowCodec, Value, ValueCodec};
use super::{Accumulators, Call, Demands, Input, OutOfRange, VisitEntry};
use crate::operator::StepError;

/// The rows of a group as they are kept.
pub(super) type Kept = Box<[u8]>;

/// DataFusion's form of a call, over kept rows.
pub(super) struct BatchFunction {
    function: AggregateFunctionExpr,
    /// The arguments that are constant; they are not kept.
    constants: Vec<Option<Arc<dyn PhysicalExpr>>>,
    codec: RowCodec,
    return_type: DataType,
}

impl BatchFunction {
    pub(super) fn new(call: &Call) -> Result<Self, StepError> {
        let constants: Vec<Option<Arc<dyn PhysicalExpr>>> = call
            .args
            .iter()
            .map(|arg| arg.downcast_ref::<Literal>().map(|_| Arc::clone(arg)))
            .collect();
        let fields: Vec<Field> = call
            .arg_types
            .iter()
            .enumerate()
            .map(|(index, data_type)| Field::new(format!("arg{index}"), data_type.clone(), true))
            .collect();
        let args = constants
            .iter()
            .enumerate()
            .map(|(index, constant)| match constant {
                Some(constant) => Arc::clone(constant),
                None => Arc::new(Column::new(&format!("arg{index}"), index)),
            })
            .collect();
        // The rows are given in the call's order, so the accumulator need not know of it.
        let function = AggregateExprBuilder::new(Arc::clone(&call.udaf), args)
            .schema(Arc::new(Schema::new(fields)))
            .alias(&call.function)
            .with_ignore_nulls(call.ignore_nulls)
            .build()?;
        let kept: Vec<DataType> = call
            .arg_types
            .iter()
            .zip(&constants)
            .filter(|(_, constant)| constant.is_none())
            .map(|(data_type, _)| data_type.clone())
            .collect();
        Ok(Self {
            function,
            constants,
            codec: RowCodec::verbatim(&kept)?,
            return_type: call.return_type.clone(),
        })
    }

    /// Calls `each` with the row of arguments to be kept.
    pub(super) fn encode(
        &self,
        args: &[ArrayRef],
        mut each: impl FnMut(usize, Kept),
    ) -> Result<(), StepError> {
        let kept: Vec<ArrayRef> = args
            .iter()
            .zip(&self.constants)
            .filter(|(_, constant)| constant.is_none())
            .map(|(arg, _)| Arc::clone(arg))
            .collect();
        if kept.is_empty() {
            let rows = args.first().map_or(0, |arg| arg.len());
            (0..rows).for_each(|row| each(row, Kept::default()));
            return Ok(());
        }
        self.codec.encode(&kept, each)
    }

    /// The result over rows, each of which occurs some number of times.
    fn of_rows(&self, rows: &[(&Kept, i64)]) -> Result<ScalarValue, StepError> {
        let mut accumulator = self.function.create_accumulator()?;
        if !rows.is_empty() {
            let args = self.args_of(rows)?;
            accumulator.update_batch(&args)?;
        }
        Ok(accumulator.evaluate()?)
    }

    fn args_of(&self, rows: &[(&Kept, i64)]) -> Result<Vec<ArrayRef>, StepError> {
        let total: usize = rows.iter().map(|(_, count)| *count as usize).sum();
        let mut columns = Vec::new();
        if self.constants.iter().any(Option::is_none) {
            let values: Vec<Option<&Kept>> = rows.iter().map(|(row, _)| Some(*row)).collect();
            columns = self.codec.decode(&values)?;
            if total != rows.len() {
                let repeated = rows.iter().enumerate().flat_map(|(position, (_, count))| {
                    std::iter::repeat_n(position as u32, *count as usize)
                });
                let positions = UInt32Array::from_iter_values(repeated);
                columns = columns
                    .iter()
                    .map(|column| compute::take(column, &positions, None))
                    .collect::<Result<_, _>>()?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        let no_columns =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        let mut kept = columns.into_iter();
        self.constants
            .iter()
            .map(|constant| match constant {
                Some(constant) => Ok(constant.evaluate(&no_columns)?.into_array(total)?),
                None => Ok(kept.next().expect("one column for each argument kept")),
            })
            .collect()
    }

    /// One result for each group of rows; NULL and a note where the function fails.
    pub(super) fn evaluate<'a>(
        &self,
        groups: impl Iterator<Item = Vec<(&'a Kept, i64)>>,
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let null = ScalarValue::try_from(&self.return_type)?;
        let mut results = Vec::new();
        for (position, rows) in groups.enumerate() {
            results.push(match self.of_rows(&rows) {
                Ok(result) => result,
                Err(StepError::DataFusion(error)) => {
                    out_of_range.push(OutOfRange {
                        position,
                        reason: crate::expression::reason(&error),
                    });
                    null.clone()
                }
                Err(error) => return Err(error),
            });
        }
        if results.is_empty() {
            return Ok(new_empty_array(&self.return_type));
        }
        let array = ScalarValue::iter_to_array(results)?;
        match array.data_type() == &self.return_type {
            true => Ok(array),
            false => Ok(compute::cast(&array, &self.return_type)?),
        }
    }
}

/// The multiset of argument rows of each slot.
pub(super) struct Recomputed {
    function: BatchFunction,
    rows: Multisets<Kept>,
}

impl Recomputed {
    pub(super) fn new(call: &Call, demands: Demands) -> Result<Self, StepError> {
        Ok(Self {
            function: BatchFunction::new(call)?,
            rows: Multisets::new(demands.durable),
        })
    }
}

impl Accumulators for Recomputed {
    fn resize(&mut self, slots: usize) {
        self.rows.resize(slots);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), StepError> {
        let rows = &mut self.rows;
        self.function.encode(input.args, |row, kept| {
            let weight = input.weights.map_or(1, |weights| weights[row]);
            rows.add(input.slots[row] as usize, kept, weight);
        })
    }

    fn finish(&mut self) -> Result<(), StepError> {
        match self.rows.is_consistent() {
            true => Ok(()),
            false => Err(StepError::NegativeCount),
        }
    }

    fn evaluate(
        &self,
        slots: &[u32],
        out_of_range: &mut Vec<OutOfRange>,
    ) -> Result<ArrayRef, StepError> {
        let groups = slots
            .iter()
            .map(|slot| self.rows.get(*slot).iter().collect());
        self.function.evaluate(groups, out_of_range)
    }

    fn reset(&mut self, slot: u32) {
        self.rows.reset(slot);
    }

    fn encode(&self, _slot: u32, _out: &mut Vec<u8>) {}

    fn decode(&mut self, _slot: u32, _bytes: &mut &[u8]) -> Result<(), Damaged> {
        Ok(())
    }

    fn drain_entries(&mut self, visit: &mut VisitEntry<'_>) {
        self.rows.drain(visit);
    }

    fn restore_entry(&mut self, slot: u32, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        self.rows.restore(slot, key, value)
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}

/// Bytes that a kept row takes.
pub(super) fn kept_bytes(row: &Kept) -> usize {
    row.heap_bytes()
}
