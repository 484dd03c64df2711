//! The relations of a `FROM`, and what names mean among them.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, TableFactor};
use sql::ast::position;

use crate::bind::CollectLimits;
use crate::bind::prepare::{call, split};
use crate::error::{PlanError, PlanErrorKind, Result, closest};
use crate::functions::EPOCH_MS;
use crate::relations::{
    PSEUDO_COLUMNS, ROWOFFSET, ROWPARTITION, ROWTIME, RelationDef, RelationKind, Relations,
};

/// Names that no column of a user may have.
pub(super) const RESERVED: [&str; 5] = [
    "ROWTIME",
    "ROWPARTITION",
    "ROWOFFSET",
    "WINDOWSTART",
    "WINDOWEND",
];

/// The relation that a name in `FROM` means.
pub(super) fn relation_of(
    name: &ObjectName,
    relations: &dyn Relations,
) -> Option<Arc<RelationDef>> {
    let (schema, table) = split(name)?;
    relations.relation(schema.map(|schema| schema.value.as_str()), &table.value)
}

/// A relation in `FROM`.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// What its columns are qualified with.
    pub alias: String,
    pub def: Arc<RelationDef>,
}

impl Source {
    pub fn of(factor: &TableFactor, relations: &dyn Relations) -> Option<Self> {
        let TableFactor::Table { name, alias, .. } = factor else {
            return None;
        };
        let def = relation_of(name, relations)?;
        let alias = match alias {
            Some(alias) => alias.name.value.clone(),
            None => split(name)?.1.value.clone(),
        };
        Some(Self { alias, def })
    }

    /// Its columns, those of the key first.
    pub fn columns(&self) -> Vec<usize> {
        let key = &self.def.record_key;
        let others = (0..self.def.columns.fields().len()).filter(|column| !key.contains(column));
        key.iter().copied().chain(others).collect()
    }

    pub fn name_of(&self, column: usize) -> &str {
        self.def.columns.field(column).name()
    }

    pub fn is_table(&self) -> bool {
        self.def.kind == RelationKind::Table
    }

    fn has(&self, name: &str) -> bool {
        self.def.columns.column_with_name(name).is_some() || self.pseudo(name).is_some()
    }

    fn pseudo(&self, name: &str) -> Option<&'static str> {
        let known = match self.def.has_places {
            true => &PSEUDO_COLUMNS[..],
            false => &[ROWTIME],
        };
        known
            .iter()
            .copied()
            .find(|pseudo| name.eq_ignore_ascii_case(pseudo) && name == pseudo.to_uppercase())
    }

    /// A column of it as an expression.
    pub fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![
            Ident::with_quote('"', &self.alias),
            Ident::with_quote('"', name),
        ])
    }
}

/// What a name in an expression turned out to be.
pub(super) enum Resolved {
    /// A column of a source.
    Column(Expr),
    /// The key that a join makes where no column of a source is it.
    Synthetic(Expr),
}

/// All relations of a `FROM`.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub sources: Vec<Source>,
    /// Name and value of the key that a join makes.
    pub synthetic: Option<(String, Expr)>,
    pub collect_limits: CollectLimits,
}

impl Scope {
    pub fn source(&self, alias: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.alias == alias)
    }

    /// Whether more than one source has a column of this name.
    pub fn clashes(&self, name: &str) -> bool {
        self.sources
            .iter()
            .filter(|source| source.has(name))
            .count()
            > 1
    }

    /// What `a` or `s.a` means.
    ///
    /// # Errors
    /// When it means nothing, or more than one thing.
    pub fn resolve(&self, names: &[Ident]) -> Result<Resolved> {
        match names {
            [name] => {
                let having: Vec<&Source> = self
                    .sources
                    .iter()
                    .filter(|source| source.has(&name.value))
                    .collect();
                match having.as_slice() {
                    [source] => Ok(Resolved::Column(self.value_of(source, name))),
                    [] => match &self.synthetic {
                        Some((synthetic, value)) if *synthetic == name.value => {
                            Ok(Resolved::Synthetic(value.clone()))
                        }
                        _ => Err(self.unknown_column(name)),
                    },
                    several => {
                        let choices: Vec<String> = several
                            .iter()
                            .map(|source| format!("{}.{}", source.alias, name.value))
                            .collect();
                        Err(PlanError::new(
                            PlanErrorKind::AmbiguousColumn,
                            format!(
                                "column '{}' is ambiguous: could be {}",
                                name.value,
                                choices.join(" or ")
                            ),
                        )
                        .at(position(name.span)))
                    }
                }
            }
            [alias, name] => {
                let source = self.source(&alias.value).ok_or_else(|| {
                    PlanError::new(
                        PlanErrorKind::UndefinedRelation,
                        format!(
                            "'{}' is not a valid stream/table name or alias",
                            alias.value
                        ),
                    )
                    .at(position(alias.span))
                })?;
                if !source.has(&name.value) {
                    return Err(PlanError::new(
                        PlanErrorKind::UndefinedColumn,
                        format!("column '{}.{}' cannot be resolved", alias.value, name.value),
                    )
                    .at(position(alias.span)));
                }
                Ok(Resolved::Column(self.value_of(source, name)))
            }
            _ => Err(PlanError::new(
                PlanErrorKind::UndefinedColumn,
                format!(
                    "column '{}' cannot be resolved",
                    names
                        .iter()
                        .map(|name| name.value.as_str())
                        .collect::<Vec<_>>()
                        .join(".")
                ),
            )
            .with_hint("Fields of a struct are taken with ->.")),
        }
    }

    fn value_of(&self, source: &Source, name: &Ident) -> Expr {
        if source.def.columns.column_with_name(&name.value).is_some() {
            return source.column(&name.value);
        }
        match source.pseudo(&name.value) {
            // Event time is a number of milliseconds in this dialect.
            Some(ROWTIME) => call(EPOCH_MS, vec![source.column(ROWTIME)]),
            Some(ROWPARTITION) => source.column(ROWPARTITION),
            _ => source.column(ROWOFFSET),
        }
    }

    fn unknown_column(&self, name: &Ident) -> PlanError {
        let error = PlanError::new(
            PlanErrorKind::UndefinedColumn,
            format!("column '{}' cannot be resolved", name.value),
        )
        .at(position(name.span));
        let names = self
            .sources
            .iter()
            .flat_map(|source| source.def.columns.fields().iter())
            .map(|field| field.name().as_str());
        match closest(&name.value, names) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error,
        }
    }

    /// The source that an expression's columns are all of; `None` if they are of none or of several.
    pub fn only_source(&self, columns: &[String]) -> Option<usize> {
        let mut of = columns.iter().map(|alias| {
            self.sources
                .iter()
                .position(|source| source.alias == *alias)
        });
        let first = of.next()??;
        of.all(|source| source == Some(first)).then_some(first)
    }
}
