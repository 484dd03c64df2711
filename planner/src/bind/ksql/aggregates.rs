//! Aggregates that ksqlDB has and others spell otherwise.
//!
//! `SUM` has the type of its argument and is 0 over nothing, `AVG` likewise. From binding to the end
//! of analysis they are functions of their own, so that the expressions around them get the right
//! types; then they become the sum or average of all dialects and a projection over it.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{AggregateFunction, Cast, ScalarFunction};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::bind::CollectLimits;
use crate::bind::prepare::call;
use crate::error::{PlanError, PlanErrorKind, Result};
use crate::functions::{ARRAY_DISTINCT, KSQL_AVG, KSQL_SUM, functions};

/// The name under which a function of ksqlDB's is known here, if it is another.
pub(super) fn ours(name: &str) -> Option<&'static str> {
    match name {
        "sum" => Some(KSQL_SUM),
        "avg" => Some(KSQL_AVG),
        _ => None,
    }
}

/// Puts the aggregates of all dialects in the place of ksqlDB's.
pub(in crate::bind) fn results(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(is_ours) => {
            Ok(Transformed::yes(replace(&aggregate)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(plan.data)
}

fn call_of(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

fn is_ours(expr: &Expr) -> bool {
    call_of(expr).is_some_and(|call| matches!(call.func.name(), KSQL_SUM | KSQL_AVG))
}

fn replace(aggregate: &Aggregate) -> Result<LogicalPlan> {
    let input_schema = aggregate.input.schema();
    let width = aggregate.group_expr.len();
    let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
    for (number, expr) in aggregate.aggr_expr.iter().enumerate() {
        let Some(call) = call_of(expr).filter(|_| is_ours(expr)) else {
            calls.push(expr.clone());
            continue;
        };
        let name = match call.func.name() {
            KSQL_SUM => "sum",
            _ => "avg",
        };
        let func = functions()
            .aggregate(name)
            .ok_or_else(|| PlanError::internal(format!("there is no aggregate {name}")))?;
        let mut params = call.params.clone();
        for arg in &mut params.args {
            let wide = match (name, arg.get_type(input_schema)?) {
                ("avg", DataType::Int32 | DataType::Int64) => DataType::Float64,
                ("sum", DataType::Int32) => DataType::Int64,
                _ => continue,
            };
            *arg = cast(arg.clone(), wide);
        }
        let call = Expr::AggregateFunction(AggregateFunction { func, params });
        calls.push(call.alias(format!("{name} {number}")));
    }
    let inner = Aggregate::try_new(aggregate.input.clone(), aggregate.group_expr.clone(), calls)?;
    let outer = aggregate
        .schema
        .iter()
        .zip(inner.schema.iter())
        .enumerate()
        .map(|(i, (old, new))| {
            let (qualifier, field) = old;
            let column = Expr::from(new);
            let replaced = i
                .checked_sub(width)
                .is_some_and(|call| is_ours(&aggregate.aggr_expr[call]));
            if !replaced {
                return Ok(column);
            }
            let narrow = match new.1.data_type() == field.data_type() {
                true => column,
                false => cast(column, field.data_type().clone()),
            };
            let zero = ScalarValue::new_zero(field.data_type())?;
            let coalesce = functions()
                .scalar("coalesce")
                .ok_or_else(|| PlanError::internal("there is no coalesce"))?;
            let value = Expr::ScalarFunction(ScalarFunction::new_udf(
                coalesce,
                vec![narrow, Expr::Literal(zero, None)],
            ));
            Ok(value.alias_qualified(qualifier.cloned(), field.name()))
        })
        .collect::<Result<Vec<_>>>()?;
    let inner = LogicalPlan::Aggregate(inner);
    Ok(LogicalPlan::Projection(Projection::try_new(
        outer,
        Arc::new(inner),
    )?))
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new_from_field(
        Box::new(expr),
        Arc::new(Field::new("", to, true)),
    ))
}

/// A call of ksqlDB's that is made of several functions here; `None` for any other.
///
/// # Errors
/// When its arguments are not what it takes.
pub(super) fn spelled_out(
    name: &str,
    args: &[ast::Expr],
    limits: CollectLimits,
) -> Result<Option<ast::Expr>> {
    let first = |all: ast::Expr, limit: Option<u64>| match limit {
        None => all,
        Some(limit) => call("array_slice", vec![all, number(1), number(limit)]),
    };
    let spelled = match (name, args) {
        ("collect_list", [value]) => first(call("array_agg", vec![value.clone()]), limits.list),
        ("collect_set", [value]) => first(
            call(ARRAY_DISTINCT, vec![call("array_agg", vec![value.clone()])]),
            limits.set,
        ),
        ("count_distinct", [value]) => {
            let mut count = call("count", vec![value.clone()]);
            make_distinct(&mut count);
            count
        }
        // The name promises a deviation, and ksqlDB gives the variance.
        ("stddev_samp", [value]) => or_zero(call("var_samp", vec![value.clone()])),
        ("stddev_sample", [value]) => or_zero(call("stddev", vec![value.clone()])),
        ("earliest_by_offset" | "latest_by_offset", [value, rest @ ..]) => {
            let first = name == "earliest_by_offset";
            let (count, ignore_nulls) = match rest {
                [] => (None, true),
                [one] => match (whole_number(one), truth(one)) {
                    (Some(count), _) => (Some(count), true),
                    (None, Some(ignore)) => (None, ignore),
                    (None, None) => return Err(not_accepted(name)),
                },
                [count, ignore] => match (whole_number(count), truth(ignore)) {
                    (Some(count), Some(ignore)) => (Some(count), ignore),
                    _ => return Err(not_accepted(name)),
                },
                _ => return Err(not_accepted(name)),
            };
            match count {
                None => one_end(value, first, ignore_nulls),
                Some(count) if count >= 1 => some_of_an_end(value, first, ignore_nulls, count),
                Some(_) => return Err(not_accepted(name)),
            }
        }
        ("topk" | "topkdistinct", [value, count]) => {
            let Some(count) = whole_number(count).filter(|count| *count >= 1) else {
                return Err(not_accepted(name));
            };
            let mut all = call("array_agg", vec![value.clone()]);
            if name == "topkdistinct" {
                all = call(ARRAY_DISTINCT, vec![all]);
            }
            let sorted = call(
                "array_sort",
                vec![
                    call("array_compact", vec![all]),
                    text("DESC"),
                    text("NULLS LAST"),
                ],
            );
            call("array_slice", vec![sorted, number(1), number(count)])
        }
        ("regexp_replace", [of, pattern, replacement]) => call(
            "regexp_replace",
            vec![of.clone(), pattern.clone(), replacement.clone(), text("g")],
        ),
        ("array_sort", [array]) => call(
            "array_sort",
            vec![array.clone(), text("ASC"), text("NULLS LAST")],
        ),
        _ => return Ok(None),
    };
    Ok(Some(spelled))
}

fn not_accepted(name: &str) -> PlanError {
    PlanError::new(
        PlanErrorKind::UndefinedFunction,
        format!("function {name} does not accept these parameters"),
    )
}

fn or_zero(value: ast::Expr) -> ast::Expr {
    let zero = ast::Expr::Value(ast::Value::Number("0e0".into(), false).into());
    call("coalesce", vec![value, zero])
}

fn one_end(value: &ast::Expr, first: bool, ignore_nulls: bool) -> ast::Expr {
    let name = if first { "first_value" } else { "last_value" };
    let mut end = call(name, vec![value.clone()]);
    if ignore_nulls && let ast::Expr::Function(function) = &mut end {
        function.null_treatment = Some(ast::NullTreatment::IgnoreNulls);
    }
    end
}

fn some_of_an_end(value: &ast::Expr, first: bool, ignore_nulls: bool, count: u64) -> ast::Expr {
    let mut all = call("array_agg", vec![value.clone()]);
    if ignore_nulls {
        all = call("array_compact", vec![all]);
    }
    let reversed = |array| call("array_reverse", vec![array]);
    match first {
        true => call("array_slice", vec![all, number(1), number(count)]),
        false => reversed(call(
            "array_slice",
            vec![reversed(all), number(1), number(count)],
        )),
    }
}

fn make_distinct(call: &mut ast::Expr) {
    if let ast::Expr::Function(function) = call
        && let ast::FunctionArguments::List(list) = &mut function.args
    {
        list.duplicate_treatment = Some(ast::DuplicateTreatment::Distinct);
    }
}

fn number(number: u64) -> ast::Expr {
    ast::Expr::Value(ast::Value::Number(number.to_string(), false).into())
}

fn text(text: &str) -> ast::Expr {
    ast::Expr::Value(ast::Value::SingleQuotedString(text.into()).into())
}

fn whole_number(expr: &ast::Expr) -> Option<u64> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn truth(expr: &ast::Expr) -> Option<bool> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Boolean(truth) => Some(*truth),
            _ => None,
        },
        _ => None,
    }
}
