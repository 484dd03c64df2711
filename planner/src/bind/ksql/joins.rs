//! Joins: what ksqlDB asks of their conditions, and which expression is the key of their result.

use std::ops::ControlFlow;

use arrow_schema::DataType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, TableFactor, Value, VisitMut,
    VisitorMut,
};

use super::expressions::{canonical, coalesce, column_of, qualify, sources_of};
use super::select::KeyPart;
use super::sources::{Scope, Source};
use crate::bind::CollectLimits;
use crate::bind::prepare::constraint_mut;
use crate::error::{PlanError, PlanErrorKind, Result};
use crate::relations::Relations;
use crate::types::data_type_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

/// What the joins of a `FROM` come to.
pub(super) struct Joined {
    pub scope: Scope,
    /// The key of the result.
    pub key: Vec<KeyPart>,
    /// Whether the result is a table.
    pub is_table: bool,
}

/// Checks the `FROM` of a `SELECT` and gives the names in its conditions their sources.
pub(super) fn from(select: &mut Select, relations: &dyn Relations) -> Result<Joined> {
    let from = &mut select.from[0];
    let first = source(&from.relation, relations)?;
    let mut joined = Joined {
        is_table: first.is_table(),
        key: source_key(&first),
        scope: Scope {
            sources: vec![first],
            synthetic: None,
            collect_limits: CollectLimits::default(),
        },
    };
    let count = from.joins.len();
    // Later sources may be named before they are joined, so that the message is about the condition.
    let mut all = joined.scope.clone();
    for join in &from.joins {
        all.sources.push(source(&join.relation, relations)?);
    }
    refuse_twice(&all.sources)?;
    for (number, join) in from.joins.iter_mut().enumerate() {
        joined.add(join, &all, number, count)?;
    }
    Ok(joined)
}

fn source(factor: &TableFactor, relations: &dyn Relations) -> Result<Source> {
    Source::of(factor, relations)
        .ok_or_else(|| PlanError::internal("a source that was known is not any more"))
}

fn source_key(source: &Source) -> Vec<KeyPart> {
    source
        .def
        .record_key
        .iter()
        .map(|column| KeyPart::of_column(source.column(source.name_of(*column)), "key column"))
        .collect()
}

fn refuse_twice(sources: &[Source]) -> Result<()> {
    for (i, source) in sources.iter().enumerate() {
        if sources[..i]
            .iter()
            .any(|other| other.def.id == source.def.id)
        {
            let name = &source.def.name;
            return Err(PlanError::unsupported(match sources.len() {
                2 => format!("joining \"{name}\" to itself"),
                _ => format!("an n-way join in which \"{name}\" occurs more than once"),
            }));
        }
        if sources[..i].iter().any(|other| other.alias == source.alias) {
            return Err(PlanError::new(
                PlanErrorKind::DuplicateAlias,
                format!("table name \"{}\" specified more than once", source.alias),
            ));
        }
    }
    Ok(())
}

impl Joined {
    fn add(&mut self, join: &mut Join, all: &Scope, number: usize, count: usize) -> Result<()> {
        let kind = kind(join)?;
        let right = all.sources[number + 1].clone();
        self.check_kinds(&right, kind)?;
        let Some(JoinConstraint::On(condition)) = constraint_mut(join) else {
            return Err(PlanError::unsupported("a join without ON"));
        };
        let (left_side, right_side) = self.sides(condition, all, &right)?;
        check_types(all, &left_side, &right_side)?;
        let right_key = matches!(right.def.record_key.as_slice(), [key]
            if is_column(&right_side, &right, *key));
        let shown = || shown_condition(condition);
        if !right_key && right.is_table() {
            return Err(PlanError::new(
                PlanErrorKind::InvalidDefinition,
                match self.is_table {
                    true => format!(
                        "invalid join condition: table-table joins require to join on the primary key \
                         of the right input table; got {}",
                        shown()
                    ),
                    false => format!(
                        "invalid join condition: stream-table joins require to join on the table's \
                         primary key; got {}",
                        shown()
                    ),
                },
            ));
        }
        let left_is_key = self
            .key
            .first()
            .is_some_and(|part| self.key.len() == 1 && part.is(&left_side));
        if self.is_table && !left_is_key {
            return self.add_foreign(right, kind, number, count, &shown());
        }
        if left_is_key {
            self.check_partitions(&right)?;
        }
        // In the first join the left side may be any expression; what it is equal to is the key.
        let mut viable = match (left_is_key, self.key.first()) {
            (true, Some(part)) if number > 0 => part.viable.clone(),
            _ => column_of(&left_side)
                .map(|_| left_side.clone())
                .into_iter()
                .collect(),
        };
        if column_of(&right_side).is_some() {
            viable.push(right_side.clone());
        }
        let value = match kind {
            Kind::Inner | Kind::Left => match (left_is_key, self.key.first()) {
                (true, Some(part)) => part.value.clone(),
                _ => left_side.clone(),
            },
            Kind::Right => right_side.clone(),
            Kind::Full => {
                let left = match (left_is_key, self.key.first()) {
                    (true, Some(part)) => part.value.clone(),
                    _ => left_side.clone(),
                };
                coalesce(left, right_side.clone())
            }
        };
        self.scope.sources.push(right);
        self.scope.synthetic = None;
        if kind == Kind::Full || viable.is_empty() {
            let name = self.unused_rowkey();
            self.scope.synthetic = Some((name.clone(), value.clone()));
            self.key = vec![KeyPart::synthetic(name, value)];
        } else {
            self.key = vec![KeyPart::of_join(viable, value)];
        }
        Ok(())
    }

    fn check_kinds(&self, right: &Source, kind: Kind) -> Result<()> {
        let refuse =
            |message: String| Err(PlanError::new(PlanErrorKind::InvalidDefinition, message));
        match (self.is_table, right.is_table()) {
            (true, false) => refuse(
                "invalid join order: table-stream joins are not supported; only stream-table joins"
                    .into(),
            ),
            (false, false) => Err(PlanError::unsupported("a join between two streams")),
            (false, true) if matches!(kind, Kind::Right | Kind::Full) => refuse(
                "invalid join type: a stream is joined with a table by INNER or LEFT JOIN only"
                    .into(),
            ),
            _ => Ok(()),
        }
    }

    /// The sides of `a = b`, the one about what is on the left first.
    fn sides(&self, condition: &mut Expr, all: &Scope, right: &Source) -> Result<(Expr, Expr)> {
        qualify(condition, all)?;
        let text = shown_condition(condition);
        let mut equality = &mut *condition;
        while let Expr::Nested(inner) = equality {
            equality = inner;
        }
        let Expr::BinaryOp {
            left,
            op,
            right: other,
        } = equality
        else {
            return Err(not_an_equality(&text));
        };
        match op {
            BinaryOperator::Eq => {}
            BinaryOperator::And => {
                return Err(PlanError::unsupported(format!(
                    "a join on several conditions ({text})"
                )));
            }
            _ => return Err(not_an_equality(&text)),
        }
        let side = |expr: &Expr| -> Result<usize> {
            all.only_source(&sources_of(expr)).ok_or_else(|| {
                PlanError::new(
                    PlanErrorKind::InvalidDefinition,
                    format!(
                        "invalid comparison expression '{}' in join '({text})': each side of the join \
                         comparison must contain references from exactly one source",
                        shown(expr)
                    ),
                )
            })
        };
        let (a, b) = (side(left)?, side(other)?);
        let new = all
            .sources
            .iter()
            .position(|source| source.alias == right.alias)
            .expect("the right source is among all");
        let swap = match (a == new, b == new) {
            (false, true) => false,
            (true, false) => true,
            _ => {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidDefinition,
                    format!(
                        "invalid join condition: one side must be about \"{}\" and the other about what \
                         is joined to it; got {text}",
                        right.alias
                    ),
                ));
            }
        };
        if a.min(b) > new || (a.max(b) > new) {
            return Err(PlanError::new(
                PlanErrorKind::InvalidDefinition,
                format!("invalid join condition: {text} names a source that is joined later"),
            ));
        }
        Ok(match swap {
            false => (left.as_ref().clone(), other.as_ref().clone()),
            true => (other.as_ref().clone(), left.as_ref().clone()),
        })
    }

    /// A join on something else than the left table's key: many of its rows may meet one on the right.
    fn add_foreign(
        &mut self,
        right: Source,
        kind: Kind,
        number: usize,
        count: usize,
        shown: &str,
    ) -> Result<()> {
        if number > 0 {
            return Err(PlanError::unsupported(format!(
                "a foreign-key join of tables as a later part of an n-way join ({shown})"
            )));
        }
        if right.def.windowed || self.scope.sources[0].def.windowed {
            return Err(PlanError::new(
                PlanErrorKind::Unsupported,
                "foreign-key table-table joins are not supported on windowed tables",
            ));
        }
        if count > 1 && self.key.is_empty() {
            return Err(PlanError::unsupported(
                "a foreign-key join of a table without a key",
            ));
        }
        if !matches!(kind, Kind::Inner | Kind::Left) {
            return Err(PlanError::new(
                PlanErrorKind::InvalidDefinition,
                format!(
                    "invalid join type: foreign-key joins of tables are INNER or LEFT; got {shown}"
                ),
            ));
        }
        self.scope.sources.push(right);
        for part in &mut self.key {
            part.what = "primary key column of the left table";
        }
        Ok(())
    }

    /// Records of equal keys must be in partitions of equal numbers.
    fn check_partitions(&self, right: &Source) -> Result<()> {
        let left = &self.scope.sources[0];
        if left.def.partitions == right.def.partitions {
            return Ok(());
        }
        Err(PlanError::new(
            PlanErrorKind::InvalidDefinition,
            format!(
                "cannot join \"{}\" with \"{}\": they have {} and {} partitions",
                left.def.name, right.def.name, left.def.partitions, right.def.partitions
            ),
        )
        .with_hint("Repartition one of them so that the numbers match."))
    }

    fn unused_rowkey(&self) -> String {
        let taken = |name: &str| {
            self.scope
                .sources
                .iter()
                .any(|source| source.def.columns.column_with_name(name).is_some())
        };
        std::iter::once("ROWKEY".to_owned())
            .chain((1..).map(|n| format!("ROWKEY_{n}")))
            .find(|name| !taken(name))
            .expect("there are more numbers than columns")
    }
}

fn kind(join: &Join) -> Result<Kind> {
    match &join.join_operator {
        JoinOperator::Join(_) | JoinOperator::Inner(_) => Ok(Kind::Inner),
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Ok(Kind::Left),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Ok(Kind::Right),
        JoinOperator::FullOuter(_) => Ok(Kind::Full),
        _ => Err(PlanError::unsupported("this kind of join")),
    }
}

fn not_an_equality(text: &str) -> PlanError {
    PlanError::new(
        PlanErrorKind::InvalidDefinition,
        format!(
            "invalid join condition: only an equality of two expressions is supported; got {text}"
        ),
    )
}

fn is_column(expr: &Expr, source: &Source, column: usize) -> bool {
    canonical(expr) == canonical(&source.column(source.name_of(column)))
}

/// The type of an expression that is only a column.
fn column_type(all: &Scope, expr: &Expr) -> Option<DataType> {
    let Expr::CompoundIdentifier(names) = expr else {
        return match expr {
            Expr::Nested(inner) => column_type(all, inner),
            Expr::Cast { data_type, .. } => {
                let read = crate::bind::type_planner::read(data_type).ok()?;
                let field = crate::types::field("", &read, true).ok()?;
                Some(field.data_type().clone())
            }
            _ => None,
        };
    };
    let [alias, name] = names.as_slice() else {
        return None;
    };
    let source = all.source(&alias.value)?;
    let (_, field) = source.def.columns.column_with_name(&name.value)?;
    Some(field.data_type().clone())
}

fn check_types(all: &Scope, left: &Expr, right: &Expr) -> Result<()> {
    let (Some(left_type), Some(right_type)) = (column_type(all, left), column_type(all, right))
    else {
        return Ok(());
    };
    let is_map = |data_type: &DataType| contains_map(data_type);
    if is_map(&left_type) || is_map(&right_type) {
        return Err(PlanError::unsupported("a map as a key"));
    }
    if left_type == right_type || left_type.equals_datatype(&right_type) {
        return Ok(());
    }
    Err(PlanError::new(
        PlanErrorKind::DatatypeMismatch,
        format!(
            "invalid join condition: types don't match; got {} ({}) = {} ({})",
            shown(left),
            data_type_name(&left_type),
            shown(right),
            data_type_name(&right_type)
        ),
    ))
}

pub(super) fn contains_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(element) => contains_map(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| contains_map(field.data_type())),
        _ => false,
    }
}

fn shown_condition(condition: &Expr) -> String {
    shown(condition)
}

/// An expression as it was written: without the quotes of its names and the types of its constants.
pub(super) fn shown(expr: &Expr) -> String {
    struct Plain;
    impl VisitorMut for Plain {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { expr: inner, .. } = expr
                && let Expr::Value(value) = inner.as_ref()
                && let Value::SingleQuotedString(text) = &value.value
                && text.parse::<f64>().is_ok()
            {
                *expr = Expr::Value(Value::Number(text.clone(), false).into());
            }
            ControlFlow::Continue(())
        }
    }
    let mut plain = expr.clone();
    let _ = VisitMut::visit(&mut plain, &mut Plain);
    plain.to_string().replace('"', "")
}
