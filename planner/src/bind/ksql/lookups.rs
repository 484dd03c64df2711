//! Pull queries where scans of whole tables are switched off: the key has to be given.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use super::expressions::{canonical, sources_of};
use super::sources::Source;
use crate::bind::PullScans;
use crate::error::{PlanError, PlanErrorKind, Result};
use crate::types::{is_text, type_name};

/// Refuses a query that does not look its rows up where it has to, or looks for keys that cannot be.
pub(super) fn check(source: &Source, condition: Option<&Expr>, scans: PullScans) -> Result<()> {
    if let Some(condition) = condition.filter(|_| source.is_table()) {
        check_keys(source, condition)?;
    }
    if scans.tables || !source.is_table() || source.def.record_key.is_empty() {
        return Ok(());
    }
    let Some(condition) = condition else {
        return Err(refused("there is no WHERE"));
    };
    let mut alternatives = Vec::new();
    split(condition, &BinaryOperator::Or, &mut alternatives);
    let keys: Vec<String> = source
        .def
        .record_key
        .iter()
        .map(|column| canonical(&source.column(source.name_of(*column))))
        .collect();
    let may_range = scans.ranges
        && alternatives.len() == 1
        && matches!(source.def.record_key.as_slice(), [key]
            if is_text(source.def.columns.field(*key).data_type()));
    for alternative in &alternatives {
        let mut comparisons = Vec::new();
        split(alternative, &BinaryOperator::And, &mut comparisons);
        for key in &keys {
            let about: Vec<Bound> = comparisons
                .iter()
                .filter_map(|comparison| bound(comparison, key))
                .collect();
            match about.as_slice() {
                [] => return Err(refused("a column of the key is missing in the WHERE")),
                [Bound::Equal] => {}
                [Bound::OneOf] if keys.len() == 1 => {}
                [Bound::Range] if may_range => {}
                [Bound::OneOf | Bound::Range | Bound::Other] => {
                    return Err(refused("a column of the key is not compared by ="));
                }
                _ => return Err(refused("a column of the key is compared more than once")),
            }
        }
    }
    Ok(())
}

/// The members of a list that a key is looked up in are of its type, and not NULL.
fn check_keys(source: &Source, condition: &Expr) -> Result<()> {
    let (list, of) = match condition {
        Expr::Nested(inner) => return check_keys(source, inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And | BinaryOperator::Or,
            right,
        } => {
            check_keys(source, left)?;
            return check_keys(source, right);
        }
        Expr::InList { expr, list, .. } => (list, canonical(expr)),
        _ => return Ok(()),
    };
    let key = source
        .def
        .record_key
        .iter()
        .map(|column| source.def.columns.field(*column))
        .find(|field| canonical(&source.column(field.name())) == of);
    let Some(key) = key else {
        return Ok(());
    };
    for member in list {
        let Expr::Value(value) = member else {
            continue;
        };
        match &value.value {
            Value::Null => {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidParameterValue,
                    format!(
                        "primary key columns can not be NULL: ({} = null)",
                        key.name()
                    ),
                ));
            }
            Value::SingleQuotedString(text) if key.data_type().is_numeric() => {
                return Err(PlanError::new(
                    PlanErrorKind::DatatypeMismatch,
                    format!(
                        "'{text}' can not be converted to the type of the key column: {} {} KEY",
                        key.name(),
                        type_name(key).to_uppercase()
                    ),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(why: &str) -> PlanError {
    PlanError::unsupported("a pull query that scans a table, which is switched off,")
        .with_detail(format!("The rows cannot be looked up: {why}."))
        .with_hint("SET 'ksql.query.pull.table.scan.enabled' = 'true' to allow it.")
}

enum Bound {
    Equal,
    OneOf,
    Range,
    Other,
}

/// How a comparison bounds a column; `None` if it does not name it.
fn bound(comparison: &Expr, key: &str) -> Option<Bound> {
    let is_key = |expr: &Expr| canonical(expr) == key;
    let constant = |expr: &Expr| sources_of(expr).is_empty();
    match comparison {
        Expr::Nested(inner) => bound(inner, key),
        Expr::BinaryOp { left, op, right } => {
            let other = match (is_key(left), is_key(right)) {
                (true, _) => right,
                (_, true) => left,
                _ => return names(comparison, key).then_some(Bound::Other),
            };
            Some(match op {
                _ if !constant(other) => Bound::Other,
                BinaryOperator::Eq => Bound::Equal,
                BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq => Bound::Range,
                _ => Bound::Other,
            })
        }
        Expr::InList {
            expr,
            list,
            negated: false,
        } if is_key(expr) => Some(match list.iter().all(constant) {
            true => Bound::OneOf,
            false => Bound::Other,
        }),
        other => names(other, key).then_some(Bound::Other),
    }
}

fn names(expr: &Expr, key: &str) -> bool {
    use datafusion::sql::sqlparser::ast::{Visit, Visitor};
    use std::ops::ControlFlow;
    struct Finder<'a>(&'a str);
    impl Visitor for Finder<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match canonical(expr) == self.0 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(expr, &mut Finder(key)).is_break()
}

fn split<'e>(expr: &'e Expr, by: &BinaryOperator, parts: &mut Vec<&'e Expr>) {
    match expr {
        Expr::Nested(inner) => split(inner, by, parts),
        Expr::BinaryOp { left, op, right } if op == by => {
            split(left, by, parts);
            split(right, by, parts);
        }
        other => parts.push(other),
    }
}
