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

use crate::error::{PlanError, Result};
use crate::functions::{KSQL_AVG, KSQL_SUM, functions};

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
