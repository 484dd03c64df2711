//! What a query means in ksqlDB's dialect, where that is not what it means in PostgreSQL's.
//!
//! ```text
//!  sql::Query ─rewrite─► a query whose names, columns and key are spelled out ─► the way of all queries
//!                             │ operators and constants, by their types ([`operators`], [`meaning`])
//! ```
//!
//! A record has a key and a value. Which columns of a result are its key follows from the clauses:
//! `PARTITION BY` and `GROUP BY` expressions, else the join's key, else that of the source. A
//! persistent query has to select each of them exactly once. The columns of a key come first.
//!
//! Only the plain shape that ksqlDB knows is treated here, a `SELECT` over relations and joins of
//! them; what it does not know (subqueries, `UNION`) keeps the meaning of the other dialect.

mod aggregates;
mod expressions;
mod joins;
mod lookups;
mod meaning;
mod operators;
mod select;
mod sources;

use datafusion::sql::sqlparser::ast as sqlast;
use sqlast::{SetExpr, TableFactor};

use super::BindOptions;
use crate::error::{PlanError, Result};
use crate::lower::OutputKind;
use crate::relations::Relations;

pub(super) use aggregates::results as aggregate_results;
pub(super) use expressions::prepare_constant;
pub(super) use meaning::{Meaning, Unknowns, fold_constants};
pub(super) use operators::expr_planners;

/// A query in which everything is spelled out.
pub(super) struct Rewritten {
    pub query: sqlast::Query,
    /// How many columns of the result, from the first on, are its key; `None` where nobody asked.
    pub key_columns: Option<usize>,
    /// Whether a group of a table's rows stays when the last of them goes.
    pub keeps_groups: bool,
}

/// Spells a query out.
pub(super) fn rewrite(
    query: &sql::Query,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<Rewritten> {
    // A push query is one also while it is only described.
    let output = match (options.output, query.emit) {
        (None, Some(_)) => Some(OutputKind::Push),
        (output, _) => output,
    };
    let persistent = matches!(output, Some(OutputKind::Stream | OutputKind::Table));
    if query.emit == Some(sql::ast::Emit::Final) && query.window.is_none() {
        return Err(PlanError::unsupported(
            "EMIT FINAL of anything but a windowed aggregation",
        ));
    }
    let mut body = (*query.body).clone();
    let plain = match body.body.as_ref() {
        SetExpr::Select(select) if body.with.is_none() => {
            !select.from.is_empty() && is_plain(&select.from, relations)
        }
        _ => false,
    };
    if !plain {
        if !query.partition_by.is_empty() {
            return Err(PlanError::unsupported(
                "PARTITION BY of a query that is not a plain SELECT from relations",
            ));
        }
        return Ok(Rewritten {
            query: body,
            key_columns: None,
            keeps_groups: false,
        });
    }
    let SetExpr::Select(select) = body.body.as_mut() else {
        unreachable!("only a SELECT is plain");
    };
    let key_columns = select::rewrite(select, query, relations, options, output)?;
    if output.is_none() && body.limit_clause.is_some() && body.order_by.is_none() {
        body.order_by = by_key(&select.from[0].relation, relations);
    }
    Ok(Rewritten {
        query: body,
        key_columns: persistent.then_some(key_columns),
        keeps_groups: true,
    })
}

/// The order in which ksqlDB's store has a table's rows: of which a LIMIT takes the first.
fn by_key(from: &TableFactor, relations: &dyn Relations) -> Option<sqlast::OrderBy> {
    let source = sources::Source::of(from, relations).filter(sources::Source::is_table)?;
    let key = source.def.record_key.iter();
    let exprs: Vec<sqlast::OrderByExpr> = key
        .map(|column| sqlast::OrderByExpr {
            expr: source.column(source.name_of(*column)),
            options: sqlast::OrderByOptions {
                asc: None,
                nulls_first: None,
            },
            with_fill: None,
        })
        .collect();
    (!exprs.is_empty()).then_some(sqlast::OrderBy {
        kind: sqlast::OrderByKind::Expressions(exprs),
        interpolate: None,
    })
}

/// Whether `FROM` is one relation, with others joined to it.
fn is_plain(from: &[sqlast::TableWithJoins], relations: &dyn Relations) -> bool {
    let known = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name, args: None, ..
        } => sources::relation_of(name, relations).is_some(),
        _ => false,
    };
    match from {
        [one] => known(&one.relation) && one.joins.iter().all(|join| known(&join.relation)),
        _ => false,
    }
}
