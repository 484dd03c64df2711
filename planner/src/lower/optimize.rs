//! DataFusion's rules that hold for changes as they do for whole relations.
//!
//! A rule is sound here if it turns one expression of relational algebra over multisets into an
//! equal one. Left out are rules that speak of order or of the first rows (`PushDownLimit`,
//! `EliminateLimit`), that undo what our operators do better (`SingleDistinctToGroupBy`), or that
//! have an eye on how files are read (`ExtractLeafExpressions`).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_join::EliminateJoin;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::filter_null_join_keys::FilterNullJoinKeys;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use super::PlanNotice;
use crate::error::{PlanError, Result};
use crate::session::config_options;

/// Optimises a bound plan for incremental evaluation.
pub(super) fn optimize(plan: LogicalPlan, notices: &mut Vec<PlanNotice>) -> Result<LogicalPlan> {
    let plan = drop_sorts(plan, notices)?;
    let mut options: ConfigOptions = config_options("UTC").as_ref().clone();
    // Subqueries are joins to us, and nothing else.
    options
        .optimizer
        .enable_physical_uncorrelated_scalar_subquery = false;
    // Without a start time `now()` is not folded, so that it is seen and refused.
    let context = OptimizerContext::new_with_config_options(Arc::new(options))
        .without_query_execution_start_time();
    Ok(Optimizer::with_rules(rules()).optimize(plan, &context, |_, _| {})?)
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateJoin::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(FilterNullJoinKeys::default()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

/// A relation has no order: `ORDER BY` without `LIMIT` says nothing about it.
fn drop_sorts(plan: LogicalPlan, notices: &mut Vec<PlanNotice>) -> Result<LogicalPlan> {
    let mut dropped = false;
    let mut limited = false;
    let plan = plan
        .transform_up_with_subqueries(|node| match node {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                dropped = true;
                Ok(Transformed::yes(Arc::unwrap_or_clone(sort.input)))
            }
            LogicalPlan::Limit(limit) => {
                limited = true;
                Ok(Transformed::no(LogicalPlan::Limit(limit)))
            }
            other => Ok(Transformed::no(other)),
        })?
        .data;
    if limited {
        return Err(PlanError::not_incremental(match dropped {
            true => "ORDER BY with LIMIT",
            false => "LIMIT in a subquery",
        }));
    }
    if dropped {
        notices.push(PlanNotice {
            message: "ORDER BY is ignored: the rows of a continuous query have no order".into(),
            hint: None,
        });
    }
    Ok(plan)
}
