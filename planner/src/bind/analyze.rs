//! Types made explicit: DataFusion's coercion, then what PostgreSQL does otherwise.
//!
//! After coercion, integer `+ - *` and floating-point `/ %` become functions that fail where
//! DataFusion would wrap or give infinity ([`crate::functions::arithmetic`]), and a string constant
//! that is cast becomes a constant of the other type, so that a bad one is an error of the
//! statement.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::scalar::ScalarValue;

use super::literal;
use crate::functions::arithmetic;

/// Runs the analyzer.
pub(super) fn analyze(
    plan: LogicalPlan,
    options: &ConfigOptions,
    time_zone: chrono_tz::Tz,
) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(ResolveGroupingFunction::new()),
        Arc::new(TypeCoercion::new()),
        Arc::new(Meaning { time_zone }),
    ];
    Analyzer::with_rules(rules).execute_and_check(plan, options, |_, _| {})
}

/// PostgreSQL's meaning of operators and constants.
#[derive(Debug)]
struct Meaning {
    time_zone: chrono_tz::Tz,
}

impl AnalyzerRule for Meaning {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = match &plan {
                LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
                other => merge_schema(&other.inputs()),
            };
            let preserver = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = preserver.save(&expr);
                let expr = expr.transform_up(|expr| self.rewrite(expr, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "meaning"
    }
}

impl Meaning {
    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                // Interval and date arithmetic has operands of two types and is not ours.
                let name = operand_type(&right, schema)
                    .and_then(|right_type| arithmetic::function_name(op, &right_type))
                    .filter(|_| {
                        operand_type(&left, schema)
                            .is_some_and(|left_type| left_type.is_numeric())
                    });
                let call = name.and_then(|name| {
                    arithmetic::checked(name, left.as_ref().clone(), right.as_ref().clone())
                });
                Ok(match call {
                    Some(call) => Transformed::yes(call),
                    None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                })
            }
            Expr::Cast(Cast { expr, field }) => {
                if let Expr::Literal(
                    ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
                    _,
                ) = expr.as_ref()
                    && let Some(value) = literal::read(text, field.data_type(), self.time_zone)?
                {
                    return Ok(Transformed::yes(Expr::Literal(value, None)));
                }
                Ok(Transformed::no(Expr::Cast(Cast { expr, field })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The type of an operand. A call of ours has the type of its right operand, which for `a + b + …`
/// is found without walking down the chain again.
fn operand_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        Expr::ScalarFunction(call) if arithmetic::operator(call.func.name()).is_some() => {
            operand_type(call.args.get(1)?, schema)
        }
        other => other.get_type(schema).ok(),
    }
}
