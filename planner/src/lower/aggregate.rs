//! `GROUP BY` and `DISTINCT`.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Volatility};

use super::walk::{NewStep, Walk};
use crate::error::{PlanError, Result};
use crate::scalar_expr::ScalarExpr;
use crate::step_plan::{AggregateCall, ChangelogMode, Operator, OrderBy, StateBound};

impl Walk<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<usize> {
        if aggregate
            .group_expr
            .iter()
            .any(|expr| matches!(expr, Expr::GroupingSet(_)))
        {
            return Err(PlanError::not_incremental("GROUPING SETS"));
        }
        let input = self.plan(&aggregate.input)?;
        let schema = aggregate.input.schema();
        let group_by = ScalarExpr::all_from_logical(&aggregate.group_expr, schema)?;
        let aggregates = aggregate
            .aggr_expr
            .iter()
            .map(|expr| call(expr, schema))
            .collect::<Result<Vec<_>>>()?;
        let input_mode = self.steps[input].mode;
        let fields: Vec<FieldRef> = aggregate
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, field)| match i.checked_sub(group_by.len()) {
                Some(call) => {
                    let name = aggregates[call].sql(&self.steps[input].schema);
                    Arc::new(field.as_ref().clone().with_name(name))
                }
                None => field.clone(),
            })
            .collect();
        let distinct = aggregates.is_empty() && !group_by.is_empty();
        let step = NewStep {
            inputs: vec![input],
            // A constant tells no rows apart.
            key: Some(
                (0..group_by.len())
                    .filter(|group| !matches!(group_by[*group], ScalarExpr::Literal(_)))
                    .collect(),
            ),
            mode: match distinct {
                true => input_mode,
                false => ChangelogMode::Retract,
            },
            state: bound(&aggregates, input_mode),
            operator: Operator::Aggregate {
                group_by,
                aggregates,
                keeps_groups: false,
            },
            schema: Arc::new(Schema::new(fields)),
        };
        Ok(self.push(if distinct { "distinct" } else { "aggregate" }, step))
    }

    pub(super) fn distinct(&mut self, input: &Arc<LogicalPlan>) -> Result<usize> {
        let input = self.plan(input)?;
        let schema = self.steps[input].schema.clone();
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let step = NewStep {
            inputs: vec![input],
            operator: Operator::Aggregate {
                group_by: columns.iter().copied().map(ScalarExpr::Column).collect(),
                aggregates: Vec::new(),
                keeps_groups: false,
            },
            schema,
            key: Some(columns),
            mode: self.steps[input].mode,
            state: StateBound::PerKey,
        };
        Ok(self.push("distinct", step))
    }
}

fn call(expr: &Expr, schema: &DFSchema) -> Result<AggregateCall> {
    let (_, field) = expr.to_field(schema)?;
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else {
        return Err(PlanError::internal(format!("{expr} is not an aggregate")));
    };
    if func.signature().volatility == Volatility::Volatile {
        return Err(PlanError::not_incremental(format!(
            "aggregate {}()",
            func.name()
        )));
    }
    let mut args = ScalarExpr::all_from_logical(&params.args, schema)?;
    let counts_rows = func.name() == "count"
        && !params.distinct
        && matches!(args.as_slice(), [ScalarExpr::Literal(literal)] if literal.value.is_some());
    if counts_rows {
        args.clear();
    }
    Ok(AggregateCall {
        function: func.name().to_owned(),
        args,
        distinct: params.distinct,
        filter: params
            .filter
            .as_ref()
            .map(|filter| ScalarExpr::from_logical(filter, schema))
            .transpose()?,
        order_by: params
            .order_by
            .iter()
            .map(|sort| {
                Ok(OrderBy {
                    expr: ScalarExpr::from_logical(&sort.expr, schema)?,
                    descending: !sort.asc,
                    nulls_first: sort.nulls_first,
                })
            })
            .collect::<Result<_>>()?,
        ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        return_type: field.data_type().clone(),
    })
}

/// What a group has to remember beside one total for each aggregate.
fn bound(aggregates: &[AggregateCall], input: ChangelogMode) -> StateBound {
    let mut bound = StateBound::PerKey;
    for call in aggregates {
        let total_is_enough = !call.distinct
            && match call.function.as_str() {
                "count" | "sum" | "avg" | "stddev" | "stddev_pop" | "var" | "var_pop"
                | "covar_samp" | "covar_pop" | "corr" | "bit_xor" | "bool_and" | "bool_or"
                | "regr_slope" | "regr_intercept" | "regr_count" | "regr_r2" | "regr_avgx"
                | "regr_avgy" | "regr_sxx" | "regr_syy" | "regr_sxy" => true,
                // A minimum that is taken back needs the one behind it.
                "min" | "max" | "bit_and" | "bit_or" | "first_value" | "last_value" => {
                    input == ChangelogMode::AppendOnly
                }
                _ => false,
            };
        if !total_is_enough {
            bound = match input {
                ChangelogMode::Retract => StateBound::Rows,
                ChangelogMode::AppendOnly => return StateBound::Unbounded,
            };
        }
    }
    bound
}
