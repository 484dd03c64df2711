//! Types made explicit: DataFusion's coercion, and before and after it what PostgreSQL does
//! otherwise.
//!
//! Before coercion a string constant that meets a value of another type takes that type, and text
//! that is no constant meets no number: `text = bigint` is an error, not a cast of every row.
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
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::scalar::ScalarValue;

use super::ksql;
use crate::error::{PlanError, PlanErrorKind};
use crate::functions::arithmetic;
use crate::literal;
use crate::types::{data_type_name, is_text};

type Rule = Arc<dyn AnalyzerRule + Send + Sync>;

/// Runs the analyzer.
pub(super) fn analyze(
    plan: LogicalPlan,
    options: &ConfigOptions,
    time_zone: chrono_tz::Tz,
    dialect: sql::Dialect,
) -> Result<LogicalPlan> {
    let (unknowns, meaning): (Rule, Rule) = match dialect {
        sql::Dialect::Postgres => (
            Arc::new(Unknowns { time_zone }),
            Arc::new(Meaning { time_zone }),
        ),
        sql::Dialect::Ksqldb => (Arc::new(ksql::Unknowns), Arc::new(ksql::Meaning)),
    };
    let rules: Vec<Rule> = vec![
        Arc::new(ResolveGroupingFunction::new()),
        unknowns,
        Arc::new(TypeCoercion::new()),
        meaning,
    ];
    Analyzer::with_rules(rules).execute_and_check(plan, options, |_, _| {})
}

/// String constants, which have no type until they meet one.
#[derive(Debug)]
struct Unknowns {
    time_zone: chrono_tz::Tz,
}

impl AnalyzerRule for Unknowns {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_all(plan, &|expr, schema| self.rewrite(expr, schema))
    }

    fn name(&self) -> &str {
        "unknowns"
    }
}

impl Unknowns {
    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(mut binary)
                if is_comparison(binary.op) || is_arithmetic(binary.op) =>
            {
                let changed = match (is_unknown(&binary.left), is_unknown(&binary.right)) {
                    (true, false) => self.take_type(&mut binary.left, &binary.right, schema)?,
                    (false, true) => self.take_type(&mut binary.right, &binary.left, schema)?,
                    _ => false,
                };
                if is_comparison(binary.op) {
                    refuse_text_with_number(&binary, schema)?;
                }
                let expr = Expr::BinaryExpr(binary);
                Ok(if changed {
                    Transformed::yes(expr)
                } else {
                    Transformed::no(expr)
                })
            }
            Expr::Between(mut between) => {
                let mut changed = false;
                for bound in [&mut between.low, &mut between.high] {
                    if is_unknown(bound) {
                        changed |= self.take_type(bound, &between.expr, schema)?;
                    }
                }
                let expr = Expr::Between(between);
                Ok(if changed {
                    Transformed::yes(expr)
                } else {
                    Transformed::no(expr)
                })
            }
            Expr::InList(mut list) => {
                let mut changed = false;
                for item in &mut list.list {
                    if is_unknown(item) {
                        changed |= self.take_type(item, &list.expr, schema)?;
                    }
                }
                let expr = Expr::InList(list);
                Ok(if changed {
                    Transformed::yes(expr)
                } else {
                    Transformed::no(expr)
                })
            }
            other => Ok(Transformed::no(other)),
        }
    }

    /// Reads the constant as the type of the other operand, where text has a meaning as that.
    fn take_type(&self, unknown: &mut Expr, other: &Expr, schema: &DFSchema) -> Result<bool> {
        let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &*unknown else {
            return Ok(false);
        };
        let Ok(data_type) = other.get_type(schema) else {
            return Ok(false);
        };
        if is_text(&data_type) || data_type.is_null() || matches!(data_type, DataType::Interval(_))
        {
            return Ok(false);
        }
        // `time + '1 hour'` adds an interval.
        match literal::read(text, &data_type, self.time_zone)? {
            Some(value) => {
                *unknown = Expr::Literal(value, None);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

fn is_unknown(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _))
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Arithmetic whose operands have one type; dates and intervals are left to coercion.
fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Multiply | Operator::Divide | Operator::Modulo)
}

fn refuse_text_with_number(binary: &BinaryExpr, schema: &DFSchema) -> Result<()> {
    let (Ok(left), Ok(right)) = (binary.left.get_type(schema), binary.right.get_type(schema))
    else {
        return Ok(());
    };
    let clash = |a: &DataType, b: &DataType| {
        is_text(a) && (b.is_numeric() || matches!(b, DataType::Boolean))
    };
    if !clash(&left, &right) && !clash(&right, &left) {
        return Ok(());
    }
    Err(PlanError::new(
        PlanErrorKind::UndefinedFunction,
        format!(
            "operator does not exist: {} {} {}",
            data_type_name(&left),
            binary.op,
            data_type_name(&right)
        ),
    )
    .at(expr_position(&binary.left))
    .with_hint(
        "No operator matches the given name and argument types. You might need to add explicit \
         type casts.",
    )
    .into())
}

fn expr_position(expr: &Expr) -> Option<usize> {
    let span = expr.spans()?.first()?;
    (span.start.line != 0).then_some(span.start.column as usize)
}

/// Rewrites every expression of a plan bottom-up; columns keep their names.
pub(super) fn rewrite_all(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let schema = match &plan {
            LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
            other => merge_schema(&other.inputs()),
        };
        let preserver = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = preserver.save(&expr);
            let expr = expr.transform_up(|expr| rewrite(expr, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?
        // A call may have another type now, here or in an input.
        .map_data(LogicalPlan::recompute_schema)
    })
    .map(|transformed| transformed.data)
}

/// PostgreSQL's meaning of operators and constants.
#[derive(Debug)]
struct Meaning {
    time_zone: chrono_tz::Tz,
}

impl AnalyzerRule for Meaning {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_all(plan, &|expr, schema| self.rewrite(expr, schema))
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
                        operand_type(&left, schema).is_some_and(|left_type| left_type.is_numeric())
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
                Ok(whole_number(&expr, field.data_type()).map_or_else(
                    || Transformed::no(Expr::Cast(Cast { expr, field })),
                    Transformed::yes,
                ))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// The constant that a cast between integers makes of a constant. The type of some calls depends on
/// a constant argument (`round(n, 2)`), which they do not see behind the cast that coercion put
/// around it: the optimiser would find another type than the one that the relation was given.
pub(in crate::bind) fn whole_number(expr: &Expr, to: &DataType) -> Option<Expr> {
    match expr {
        Expr::Literal(value, _)
            if value.data_type().is_integer() && to.is_integer() && !value.is_null() =>
        {
            // What is out of range is an error where the cast is worked out.
            Some(Expr::Literal(value.cast_to(to).ok()?, None))
        }
        _ => None,
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
