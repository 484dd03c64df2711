//! From expressions as data to DataFusion's physical expressions.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{AggregateUDF, Operator};
use datafusion::physical_expr::expressions::{
    self, BinaryExpr, Column, Literal as PhysicalLiteral,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use planner::scalar_expr::{Literal, ScalarExpr};

type Physical = Arc<dyn PhysicalExpr>;

/// The expression over columns of `schema`. Integer arithmetic is checked.
pub(crate) fn scalar(expr: &ScalarExpr, schema: &Schema) -> Result<Physical, DataFusionError> {
    let of = |expr: &ScalarExpr| scalar(expr, schema);
    Ok(match expr {
        ScalarExpr::Column(index) => {
            let field = schema.fields().get(*index).ok_or_else(|| {
                DataFusionError::Internal(format!("no column at position {index}"))
            })?;
            Arc::new(Column::new(field.name(), *index))
        }
        ScalarExpr::Literal(literal) => constant(literal)?,
        ScalarExpr::Binary { op, left, right } => binary(of(left)?, operator(op)?, of(right)?),
        ScalarExpr::Not(expr) => expressions::not(of(expr)?)?,
        ScalarExpr::Negative(expr) => expressions::negative(of(expr)?, schema)?,
        ScalarExpr::IsNull(expr) | ScalarExpr::IsUnknown(expr) => expressions::is_null(of(expr)?)?,
        ScalarExpr::IsNotNull(expr) | ScalarExpr::IsNotUnknown(expr) => {
            expressions::is_not_null(of(expr)?)?
        }
        ScalarExpr::IsTrue(expr) => same(of(expr)?, true),
        ScalarExpr::IsFalse(expr) => same(of(expr)?, false),
        ScalarExpr::IsNotTrue(expr) => different(of(expr)?, true),
        ScalarExpr::IsNotFalse(expr) => different(of(expr)?, false),
        ScalarExpr::Between {
            expr,
            negated,
            low,
            high,
        } => {
            let (expr, low, high) = (of(expr)?, of(low)?, of(high)?);
            match negated {
                false => binary(
                    binary(Arc::clone(&expr), Operator::GtEq, low),
                    Operator::And,
                    binary(expr, Operator::LtEq, high),
                ),
                true => binary(
                    binary(Arc::clone(&expr), Operator::Lt, low),
                    Operator::Or,
                    binary(expr, Operator::Gt, high),
                ),
            }
        }
        ScalarExpr::Like {
            expr,
            negated,
            pattern,
            case_insensitive,
            similar,
            ..
        } => {
            let (expr, pattern) = (of(expr)?, of(pattern)?);
            match similar {
                true => expressions::similar_to(*negated, *case_insensitive, expr, pattern)?,
                false => expressions::like(*negated, *case_insensitive, expr, pattern, schema)?,
            }
        }
        ScalarExpr::InList {
            expr,
            list,
            negated,
        } => {
            let list = list.iter().map(of).collect::<Result<_, _>>()?;
            expressions::in_list(of(expr)?, list, negated, schema)?
        }
        ScalarExpr::Case {
            operand,
            branches,
            otherwise,
        } => {
            let branches = branches
                .iter()
                .map(|(when, then)| Ok((of(when)?, of(then)?)))
                .collect::<Result<Vec<_>, DataFusionError>>()?;
            let operand = operand.as_deref().map(of).transpose()?;
            let otherwise = otherwise.as_deref().map(of).transpose()?;
            expressions::case(operand, branches, otherwise)?
        }
        ScalarExpr::Cast { expr, to, lenient } => match lenient {
            true => expressions::try_cast(of(expr)?, schema, to.clone())?,
            false => expressions::cast(of(expr)?, schema, to.clone())?,
        },
        ScalarExpr::Function { name, args } => {
            let function = datafusion::functions::all_default_functions()
                .into_iter()
                .chain(datafusion::functions_nested::all_default_nested_functions())
                .find(|function| function.name() == name)
                .ok_or_else(|| unknown("function", name))?;
            let args = args.iter().map(of).collect::<Result<_, _>>()?;
            let config = Arc::new(ConfigOptions::default());
            Arc::new(ScalarFunctionExpr::try_new(function, args, schema, config)?)
        }
    })
}

/// The aggregate function of this name.
pub(crate) fn aggregate(name: &str) -> Result<Arc<AggregateUDF>, DataFusionError> {
    datafusion::functions_aggregate::all_default_aggregate_functions()
        .into_iter()
        .find(|function| {
            function.name().eq_ignore_ascii_case(name)
                || function.aliases().iter().any(|alias| alias == name)
        })
        .ok_or_else(|| unknown("aggregate function", name))
}

fn unknown(kind: &str, name: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{kind} \"{name}\" does not exist"))
}

fn binary(left: Physical, op: Operator, right: Physical) -> Physical {
    Arc::new(BinaryExpr::new(left, op, right).with_fail_on_overflow(true))
}

fn same(expr: Physical, value: bool) -> Physical {
    binary(expr, Operator::IsNotDistinctFrom, expressions::lit(value))
}

fn different(expr: Physical, value: bool) -> Physical {
    binary(expr, Operator::IsDistinctFrom, expressions::lit(value))
}

fn constant(literal: &Literal) -> Result<Physical, DataFusionError> {
    let value = match &literal.value {
        None => ScalarValue::try_from(&literal.data_type)?,
        Some(text) => ScalarValue::Utf8(Some(text.clone())).cast_to(&literal.data_type)?,
    };
    Ok(Arc::new(PhysicalLiteral::new(value)))
}

fn operator(text: &str) -> Result<Operator, DataFusionError> {
    use Operator::*;
    const ALL: [Operator; 27] = [
        Eq,
        NotEq,
        Lt,
        LtEq,
        Gt,
        GtEq,
        Plus,
        Minus,
        Multiply,
        Divide,
        Modulo,
        And,
        Or,
        RegexMatch,
        RegexIMatch,
        RegexNotMatch,
        RegexNotIMatch,
        IsDistinctFrom,
        IsNotDistinctFrom,
        BitwiseAnd,
        BitwiseOr,
        BitwiseXor,
        BitwiseShiftRight,
        BitwiseShiftLeft,
        StringConcat,
        AtArrow,
        ArrowAt,
    ];
    ALL.into_iter()
        .find(|operator| operator.to_string() == text)
        .ok_or_else(|| unknown("operator", text))
}
