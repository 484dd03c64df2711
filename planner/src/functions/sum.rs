//! `sum(bigint)` that fails where DataFusion's wraps.
//!
//! The total is kept as a `NUMERIC` of 38 digits, which no number of rows can overflow, and must be
//! a `bigint` only when it is read. So the answer does not depend on the order of the rows, and it
//! is the one that a continuous query gives. Sums of other types are DataFusion's own.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, Decimal128Type, Int64Type};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind};

const WIDE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(CheckedSum {
        inner: Sum::new(),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Sum,
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_bigint(&args.return_field) {
            true => Ok(Box::new(Total(self.inner.accumulator(wide(args))?))),
            false => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match is_bigint(&args.return_field) {
            true => self.inner.state_fields(StateFieldsArgs {
                return_field: wide_field(&args.return_field),
                ..args
            }),
            false => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match is_bigint(&args.return_field) {
            true => Ok(Box::new(Totals(
                self.inner.create_groups_accumulator(wide(args))?,
            ))),
            false => self.inner.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_bigint(&args.return_field) && !args.is_distinct {
            true => Ok(Box::new(Total(
                self.inner.create_sliding_accumulator(wide(args))?,
            ))),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn is_bigint(field: &Field) -> bool {
    *field.data_type() == DataType::Int64
}

fn wide_field(field: &Field) -> FieldRef {
    Arc::new(field.clone().with_data_type(WIDE))
}

fn wide(args: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    AccumulatorArgs {
        return_field: wide_field(&args.return_field),
        ..args
    }
}

/// The arguments as the inner accumulator wants them.
fn widen(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values
        .iter()
        .map(|array| {
            let wide: PrimitiveArray<Decimal128Type> =
                array.as_primitive::<Int64Type>().unary(i128::from);
            Ok(Arc::new(wide.with_data_type(WIDE)) as ArrayRef)
        })
        .collect()
}

fn narrow(total: i128) -> Result<i64> {
    i64::try_from(total).map_err(|_| {
        DataFusionError::from(PlanError::new(
            PlanErrorKind::NumericOutOfRange,
            "bigint out of range",
        ))
    })
}

#[derive(Debug)]
struct Total(Box<dyn Accumulator>);

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&widen(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.0.evaluate()? {
            ScalarValue::Decimal128(total, ..) => {
                Ok(ScalarValue::Int64(total.map(narrow).transpose()?))
            }
            other => internal_err!("a sum of type {}", other.data_type()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

struct Totals(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = widen(values)?;
        self.0
            .update_batch(&values, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = self.0.evaluate(emit_to)?;
        let totals = totals.as_primitive::<Decimal128Type>();
        let totals: PrimitiveArray<Int64Type> = totals.try_unary(narrow)?;
        Ok(Arc::new(totals))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(&widen(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }
}
