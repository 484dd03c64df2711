//! Parameters of prepared statements: `$1`, `$2`, ….

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind, Result};
use crate::types::{data_type_name, stored_type};

/// The types of a plan's parameters, `$1` first. A parameter that nothing says anything about is
/// text.
///
/// # Errors
/// When a parameter has no number.
pub fn parameter_types(plan: &LogicalPlan) -> Result<Vec<FieldRef>> {
    let mut found: BTreeMap<usize, Option<FieldRef>> = BTreeMap::new();
    for (name, field) in plan.get_parameter_fields()? {
        found.insert(number(&name)?, field);
    }
    let count = found.keys().next_back().copied().unwrap_or(0);
    Ok((1..=count)
        .map(|i| match found.get(&i) {
            Some(Some(field)) => field.clone(),
            _ => text(),
        })
        .collect())
}

fn text() -> FieldRef {
    Arc::new(Field::new("", DataType::Utf8, true))
}

fn number(name: &str) -> Result<usize> {
    name.strip_prefix('$')
        .and_then(|number| number.parse().ok())
        .filter(|number| (1..=65_535).contains(number))
        .ok_or_else(|| {
            PlanError::new(
                PlanErrorKind::UndefinedParameter,
                format!("there is no parameter {name}"),
            )
        })
}

/// Puts values in place of parameters; a value of another type is cast.
///
/// # Errors
/// When there are too few values, or one cannot be cast.
pub fn bind_parameters(plan: LogicalPlan, values: Vec<ScalarValue>) -> Result<LogicalPlan> {
    let fields = parameter_types(&plan)?;
    if values.len() < fields.len() {
        return Err(PlanError::new(
            PlanErrorKind::UndefinedParameter,
            format!("there is no parameter ${}", values.len() + 1),
        ));
    }
    let values = values
        .into_iter()
        .zip(&fields)
        .map(|(value, field)| {
            if value.data_type() == *field.data_type() {
                return Ok(value);
            }
            value.cast_to(field.data_type()).map_err(|_| {
                PlanError::new(
                    PlanErrorKind::CannotCoerce,
                    format!(
                        "cannot cast type {} to {}",
                        data_type_name(&value.data_type()),
                        data_type_name(field.data_type())
                    ),
                )
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(plan.replace_params_with_values(&ParamValues::from(values))?)
}

/// Gives parameters without a type the one to which they are cast, or text.
pub(super) fn infer(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut any = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            any |= expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))?;
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
    })?;
    if !any {
        return Ok(plan);
    }
    let plan = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_down(|expr| match expr {
                Expr::Cast(Cast { expr, field }) => match *expr {
                    Expr::Placeholder(Placeholder { id, field: None }) => {
                        let stored = Field::new("", stored_type(field.data_type()), true);
                        let typed = Expr::Placeholder(Placeholder::new_with_field(
                            id,
                            Some(Arc::new(stored)),
                        ));
                        Ok(Transformed::yes(Expr::Cast(Cast {
                            expr: Box::new(typed),
                            field,
                        })))
                    }
                    other => Ok(Transformed::no(Expr::Cast(Cast {
                        expr: Box::new(other),
                        field,
                    }))),
                },
                Expr::Placeholder(Placeholder { id, field: None }) => Ok(Transformed::yes(
                    Expr::Placeholder(Placeholder::new_with_field(id, Some(text()))),
                )),
                other => Ok(Transformed::no(other)),
            })
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}
