//! Integer arithmetic that does not wrap, and division that does not give infinity.
//!
//! DataFusion's `+`, `-` and `*` wrap on overflow, and floating-point division by zero gives
//! infinity or NaN. PostgreSQL raises an error for both. After type coercion every such operator
//! becomes one of the functions here ([`checked`]); a plan shows it as the operator again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum};
use arrow::compute::cast;
use arrow::compute::kernels::numeric;
use arrow::datatypes::Float64Type;
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind};
use crate::types::data_type_name;

/// Names of the functions and the operators they stand for.
const OPERATORS: [(&str, Operator); 5] = [
    ("_add", Operator::Plus),
    ("_subtract", Operator::Minus),
    ("_multiply", Operator::Multiply),
    ("_divide", Operator::Divide),
    ("_remainder", Operator::Modulo),
];

/// The operator that a function of this name stands for.
pub fn operator(name: &str) -> Option<Operator> {
    OPERATORS
        .iter()
        .find(|(candidate, _)| *candidate == name)
        .map(|(_, operator)| *operator)
}

/// The name of the function that stands for an operator over operands of this type, if the
/// operator needs one.
pub fn function_name(operator: Operator, operand: &DataType) -> Option<&'static str> {
    let needs = match operator {
        Operator::Plus | Operator::Minus | Operator::Multiply => operand.is_integer(),
        Operator::Divide | Operator::Modulo => operand.is_floating(),
        _ => false,
    };
    OPERATORS
        .iter()
        .find(|(_, candidate)| needs && *candidate == operator)
        .map(|(name, _)| *name)
}

/// `left operator right` as a call of its function.
pub fn checked(name: &str, left: Expr, right: Expr) -> Option<Expr> {
    let function = super::functions().scalar(name)?;
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![left, right],
    )))
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    OPERATORS
        .iter()
        .map(|(name, operator)| {
            Arc::new(ScalarUDF::new_from_impl(Checked {
                name,
                operator: *operator,
                signature: Signature::new(TypeSignature::Any(2), Volatility::Immutable),
            }))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

impl Checked {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!(
                "{} {} {}",
                left.schema_name(),
                self.operator,
                right.schema_name()
            )),
            _ => exec_err!("{} takes two arguments", self.name),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        // Both operands have the same type after coercion.
        match arg_types {
            [left, _] => Ok(left.clone()),
            _ => exec_err!("{} takes two arguments", self.name),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [left, right] => Ok(Arc::new(Field::new(
                self.name,
                left.data_type().clone(),
                left.is_nullable() || right.is_nullable(),
            ))),
            _ => exec_err!("{} takes two arguments", self.name),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return exec_err!("{} takes two arguments", self.name);
        };
        let data_type = left.data_type();
        if data_type.is_floating()
            && matches!(self.operator, Operator::Divide | Operator::Modulo)
            && divides_by_zero(left, right)?
        {
            return Err(error(
                PlanErrorKind::DivisionByZero,
                "division by zero".into(),
            ));
        }
        let result = match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => self.compute(left, right),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                self.compute(left, &right.to_scalar()?)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                self.compute(&left.to_scalar()?, right)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result = self
                    .compute(&left.to_scalar()?, &right.to_scalar()?)
                    .map_err(|e| explain(e, &data_type))?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &result, 0,
                )?));
            }
        };
        result
            .map(ColumnarValue::Array)
            .map_err(|e| explain(e, &data_type))
    }
}

fn explain(failure: ArrowError, data_type: &DataType) -> DataFusionError {
    match failure {
        ArrowError::ArithmeticOverflow(_) => error(
            PlanErrorKind::NumericOutOfRange,
            format!("{} out of range", data_type_name(data_type)),
        ),
        ArrowError::DivideByZero => error(PlanErrorKind::DivisionByZero, "division by zero".into()),
        other => other.into(),
    }
}

fn error(kind: PlanErrorKind, message: String) -> DataFusionError {
    PlanError::new(kind, message).into()
}

/// Whether anything but NULL is divided by zero.
fn divides_by_zero(dividend: &ColumnarValue, divisor: &ColumnarValue) -> Result<bool> {
    let has_zero = match divisor {
        ColumnarValue::Scalar(ScalarValue::Float64(value)) => *value == Some(0.0),
        ColumnarValue::Scalar(ScalarValue::Float32(value)) => *value == Some(0.0),
        ColumnarValue::Scalar(_) => true,
        ColumnarValue::Array(_) => true,
    };
    if !has_zero {
        return Ok(false);
    }
    let rows = match (dividend, divisor) {
        (ColumnarValue::Array(array), _) | (_, ColumnarValue::Array(array)) => array.len(),
        _ => 1,
    };
    let zeros = cast(&divisor.to_array(rows)?, &DataType::Float64)?;
    let zeros = zeros.as_primitive::<Float64Type>();
    let dividend = dividend.to_array(rows)?;
    Ok((0..rows)
        .any(|row| zeros.is_valid(row) && zeros.value(row) == 0.0 && dividend.is_valid(row)))
}
