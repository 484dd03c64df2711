//! `FROM t, unnest(t.list) AS u(x)` without a join.
//!
//! ```text
//!  Join(t, u(x): Unnest(outer t.list))  ─►  Projection(t.*, x)
//!                                             Unnest(x)
//!                                               Projection(t.*, t.list AS x)
//! ```
//!
//! DataFusion makes the plan on the left of it, and cannot run that. The one on the right does
//! something to each row on its own, so that a continuous query needs no state for it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result, UnnestOptions};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Unnest};

/// Rewrites all such joins.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => Ok(match without_join(join)? {
            Some(plan) => Transformed::yes(plan),
            None => Transformed::no(node),
        }),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

fn without_join(join: &Join) -> Result<Option<LogicalPlan>> {
    if join.join_type != JoinType::Inner || !join.on.is_empty() {
        return Ok(None);
    }
    let Some((list, unnest)) = unnested(&join.right) else {
        return Ok(None);
    };
    let mut inside = true;
    let list = list.clone().transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => {
            inside &= join.left.schema().has_column(&column);
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    // Without a reference it is a relation like any other; one to a query around is not ours.
    if !list.transformed || !inside {
        return Ok(None);
    }
    let left: Vec<Expr> = join
        .left
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let (qualifier, field) = join.right.schema().qualified_field(0);
    // The column of lists, between the two projections.
    let list_name = format!("unnest({})", field.name());
    let output = Expr::Column(Column::new_unqualified(&list_name))
        .alias_qualified(qualifier.cloned(), field.name());
    let options = UnnestOptions {
        null_handling: unnest.options.null_handling,
        ..UnnestOptions::default()
    };
    let mut plan = LogicalPlanBuilder::from(join.left.clone())
        .project(
            left.iter()
                .cloned()
                .chain([list.data.unalias().alias(&list_name)]),
        )?
        .unnest_column_with_options(Column::new_unqualified(&list_name), options)?
        .project(left.into_iter().chain([output]))?;
    if let Some(filter) = &join.filter {
        plan = plan.filter(filter.clone())?;
    }
    plan.build().map(Some)
}

/// The list, if the plan is nothing but the elements of one under some name.
fn unnested(plan: &Arc<LogicalPlan>) -> Option<(&Expr, &Unnest)> {
    match plan.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => unnested(&alias.input),
        LogicalPlan::Subquery(lateral) => unnested(&lateral.subquery),
        LogicalPlan::Projection(projection) => match projection.expr.as_slice() {
            [expr] if matches!(expr.clone().unalias_nested().data, Expr::Column(_)) => {
                unnested(&projection.input)
            }
            _ => None,
        },
        LogicalPlan::Unnest(unnest) => {
            let [(0, list)] = unnest.list_type_columns.as_slice() else {
                return None;
            };
            let LogicalPlan::Projection(projection) = unnest.input.as_ref() else {
                return None;
            };
            match (projection.expr.as_slice(), projection.input.as_ref()) {
                ([expr], LogicalPlan::EmptyRelation(empty))
                    if list.depth == 1 && empty.produce_one_row =>
                {
                    Some((expr, unnest))
                }
                _ => None,
            }
        }
        _ => None,
    }
}
