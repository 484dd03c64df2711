//! Expressions that can be evaluated on batches.

use std::sync::{Arc, LazyLock};

use arrow_schema::Schema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, Sort};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{AggregateUDF, Expr, lit};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, create_physical_expr};

use super::ScalarExpr;
use super::logical::positional_schema;
use crate::error::{PlanError, Result};
use crate::functions::functions;
use crate::session::config_options;
use crate::step_plan::AggregateCall;

fn execution_props() -> &'static ExecutionProps {
    static PROPS: LazyLock<ExecutionProps> = LazyLock::new(|| ExecutionProps {
        config_options: Some(config_options("UTC")),
        ..ExecutionProps::new()
    });
    &PROPS
}

impl ScalarExpr {
    /// The expression over batches of this schema.
    ///
    /// # Errors
    /// When it does not fit the schema, or the registry lacks one of its functions.
    pub fn to_physical(&self, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        crate::on_large_stack(|| {
            Ok(create_physical_expr(
                &self.to_logical()?,
                &positional_schema(schema)?,
                execution_props(),
                &PhysicalPlanningContext::default(),
            )?)
        })
    }
}

/// An aggregate that can be evaluated, with the parts that its caller must apply.
#[derive(Debug, Clone)]
pub struct PhysicalAggregate {
    /// Makes accumulators; knows its arguments.
    pub function: Arc<AggregateFunctionExpr>,
    /// Only rows for which this is true count.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The order in which rows must come.
    pub order_by: Vec<PhysicalSortExpr>,
}

impl AggregateCall {
    /// The function of the registry.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn udf(&self) -> Result<Arc<AggregateUDF>> {
        functions().aggregate(&self.function).ok_or_else(|| {
            PlanError::internal(format!("aggregate {} is not registered", self.function))
        })
    }

    /// The call over batches of this schema.
    ///
    /// # Errors
    /// When it does not fit the schema, or the registry lacks the function.
    pub fn to_physical(&self, schema: &Schema) -> Result<PhysicalAggregate> {
        let mut args = self
            .args
            .iter()
            .map(ScalarExpr::to_logical)
            .collect::<Result<Vec<_>>>()?;
        if args.is_empty() {
            args.push(lit(1_i64));
        }
        let order_by = self
            .order_by
            .iter()
            .map(|order| {
                Ok(Sort::new(
                    order.expr.to_logical()?,
                    !order.descending,
                    order.nulls_first,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let filter = self
            .filter
            .as_ref()
            .map(|filter| filter.to_logical().map(Box::new))
            .transpose()?;
        let expr = Expr::AggregateFunction(AggregateFunction::new_udf(
            self.udf()?,
            args,
            self.distinct,
            filter,
            order_by,
            self.ignore_nulls.then_some(NullTreatment::IgnoreNulls),
        ));
        let positional = positional_schema(schema)?;
        let lowered = LoweredAggregateBuilder::new(
            &expr,
            &positional,
            positional.as_arrow(),
            execution_props(),
            &PhysicalPlanningContext::default(),
        )
        .build()?;
        Ok(PhysicalAggregate {
            function: lowered.aggregate,
            filter: lowered.filter,
            order_by: lowered.order_bys,
        })
    }
}
