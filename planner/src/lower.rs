//! From a logical plan to a plan of incremental operators.
//!
//! ```text
//!  BoundQuery ─optimize─► logical plan ─Walk─► Vec<Step>, inputs before their users
//!              rules that    joins instead of
//!              hold for      subqueries
//!              changes
//! ```
//!
//! Every relational operator has an incremental form as long as it speaks of multisets of rows.
//! What speaks of their order, of the clock or of chance has none and is refused here, by name.

mod aggregate;
mod join;
mod optimize;
mod walk;

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, SkipType};

use crate::bind::BoundQuery;
use crate::error::{PlanError, Result};
use crate::relations::Relations;
use crate::stack::on_large_stack;
use crate::step_plan::{ChangelogMode, Operator, Step, StepPlan};

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// A stream: rows are only ever added.
    Stream,
    /// A table.
    Table,
    /// A client that sees every change.
    Push,
}

/// A continuous query.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    pub plan: StepPlan,
    pub notices: Vec<PlanNotice>,
    /// After how many rows a push query ends.
    pub limit: Option<usize>,
    /// The columns of the result with the names the user sees.
    pub columns: Vec<FieldRef>,
    /// How many columns, from the first on, are the key of its records; `None` where the dialect
    /// does not tell.
    pub key_columns: Option<usize>,
}

/// Something the user should know about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanNotice {
    pub message: String,
    pub hint: Option<String>,
}

/// Lowers a query.
///
/// # Errors
/// When a clause cannot be maintained incrementally, or the result cannot be what `output` asks.
pub fn lower(query: &BoundQuery, relations: &dyn Relations, output: OutputKind) -> Result<Lowered> {
    on_large_stack(|| {
        if output != OutputKind::Push {
            query.check_names_differ()?;
        }
        refuse_unordered(&query.plan)?;
        let (plan, limit) = peel_limit(&query.plan, output)?;
        let mut notices = Vec::new();
        let plan = optimize::optimize(plan, &mut notices)?;
        let mut walk = walk::Walk::new(relations, output, notices);
        let root = walk.plan(&plan)?;
        let root = walk.rename_root(root, &query.columns);
        if query.keeps_groups {
            keep_groups(&mut walk.steps);
        }
        debug_assert_eq!(root + 1, walk.steps.len(), "the root is the last step");
        let plan = StepPlan { steps: walk.steps };
        if output == OutputKind::Stream && plan.root().mode == ChangelogMode::Retract {
            return Err(retracting_stream(&plan));
        }
        Ok(Lowered {
            plan,
            notices: walk.notices,
            limit,
            columns: query.columns.clone(),
            key_columns: query.key_columns,
        })
    })
}

/// In ksqlDB's dialect a group of a table's rows stays when the last of them goes. A query has one
/// aggregation there, which stands behind all that is joined.
fn keep_groups(steps: &mut [Step]) {
    let Some(at) = steps
        .iter()
        .rposition(|step| matches!(step.operator, Operator::Aggregate { .. }))
    else {
        return;
    };
    let input = steps[at].inputs[0];
    let is_of_table = steps[input].mode == ChangelogMode::Retract;
    if let Operator::Aggregate {
        group_by,
        aggregates,
        keeps_groups,
    } = &mut steps[at].operator
    {
        *keeps_groups = is_of_table && !group_by.is_empty() && !aggregates.is_empty();
    }
}

/// Clauses that optimisation would turn into something else before they could be named.
fn refuse_unordered(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        refused = match node {
            LogicalPlan::Window(_) => Some("a window function"),
            LogicalPlan::RecursiveQuery(_) => Some("WITH RECURSIVE"),
            LogicalPlan::Distinct(datafusion::logical_expr::Distinct::On(_)) => Some("DISTINCT ON"),
            LogicalPlan::Limit(limit) if has_sort(&limit.input) => Some("ORDER BY with LIMIT"),
            LogicalPlan::Aggregate(aggregate)
                if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) =>
            {
                Some("GROUPING SETS")
            }
            _ => None,
        };
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr
                    && !gives_one_row(&subquery.subquery)
                {
                    refused = Some("a scalar subquery that may give several rows");
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    match refused {
        Some(clause) => Err(PlanError::not_incremental(clause)),
        None => Ok(()),
    }
}

fn has_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => has_sort(&projection.input),
        _ => false,
    }
}

/// Whether a plan is an aggregate without groups, whatever is computed from its row.
fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input),
        LogicalPlan::Filter(filter) => gives_one_row(&filter.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

/// Takes the outermost LIMIT of a push query, which says when it ends.
fn peel_limit(plan: &LogicalPlan, output: OutputKind) -> Result<(LogicalPlan, Option<usize>)> {
    match plan {
        LogicalPlan::Limit(limit) => {
            if !matches!(limit.get_skip_type()?, SkipType::Literal(0)) {
                return Err(PlanError::not_incremental("OFFSET"));
            }
            let FetchType::Literal(fetch) = limit.get_fetch_type()? else {
                return Err(PlanError::not_incremental("a LIMIT that is not a constant"));
            };
            if matches!(limit.input.as_ref(), LogicalPlan::Sort(_)) {
                return Err(PlanError::not_incremental("ORDER BY with LIMIT"));
            }
            match output {
                OutputKind::Push => Ok((limit.input.as_ref().clone(), fetch)),
                _ => Err(PlanError::not_incremental("LIMIT")),
            }
        }
        // Our own casts, and names, stand above it.
        LogicalPlan::Projection(projection) => {
            let (input, limit) = peel_limit(&projection.input, output)?;
            let plan = plan.with_new_exprs(projection.expr.clone(), vec![input])?;
            Ok((plan, limit))
        }
        other => Ok((other.clone(), None)),
    }
}

fn retracting_stream(plan: &StepPlan) -> PlanError {
    // The first step that changes what it has emitted is the reason.
    let culprit = plan
        .steps
        .iter()
        .find(|step| step.mode == ChangelogMode::Retract);
    let reason = match culprit.map(|step| &step.operator) {
        Some(Operator::Source(source)) => {
            format!(
                "Rows of table \"{}\" can be updated and deleted.",
                source.name
            )
        }
        Some(Operator::Aggregate { .. }) => {
            "An aggregate changes with each row that comes.".to_owned()
        }
        Some(Operator::Join { .. }) => {
            "An outer or anti join takes rows back when a match comes.".to_owned()
        }
        _ => "The query takes rows back.".to_owned(),
    };
    PlanError::new(
        crate::error::PlanErrorKind::InvalidDefinition,
        "a stream is append-only, but the result of this query changes",
    )
    .with_detail(reason)
    .with_hint("Use CREATE TABLE … AS or CREATE MATERIALIZED VIEW instead.")
}

/// The schema of a logical plan's result, names as they are.
fn schema_of(plan: &LogicalPlan) -> Arc<Schema> {
    plan.schema().inner().clone()
}
