//! Makes of a parsed query one that DataFusion plans as we mean it.
//!
//! In one walk over the tree:
//! - Names of relations are looked up, so that an unknown one is reported with its position, and
//!   views are put in place of their names.
//! - Where a `SELECT` names a pseudo-column (`rowtime`), the relations it can come from are marked
//!   to be scanned with their pseudo-columns ([`WIDE`]), and `*` is spelled out per relation
//!   without them. Elsewhere no scan has them, so that neither `*` nor `NATURAL JOIN` sees them.
//! - Columns of a `SELECT` without a name get the one PostgreSQL would give.
//! - `a.b` where `a` is a relation of a query around gets a schema, so that it cannot be taken for
//!   the field `b` of a column `a` ([`Preparer::qualify_outer`]).
//! - Casts to types of which Arrow knows nothing become calls, and so do `MAP(k := v)` and
//!   `STRUCT(f := e)`.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DuplicateTreatment, ExcludeSelectItem, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Join,
    JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Subscript,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, Values, Visit, VisitMut,
    Visitor, VisitorMut, WildcardAdditionalOptions,
};
use sql::ast::{DataType, position};

use super::names::{column_name_of, select_names, select_names_of};
use super::type_planner;
use crate::error::{PlanError, PlanErrorKind, Result, closest};
use crate::functions::{TO_JSON, TO_JSONB, TO_UUID};
use crate::relations::{PSEUDO_COLUMNS, RelationDef, Relations, pseudo_columns};

/// First character of the schema of a relation that is to be scanned with its pseudo-columns.
pub(super) const WIDE: char = '\u{1}';
/// The same of a relation that is to be modified.
pub(super) const MODIFY: char = '\u{2}';

/// Between a result column's name and its number, where several have the same name.
pub(super) const AGAIN: char = '\u{1}';

/// The schema given to a relation of a query around that was named without one.
const OUTER: char = '\u{3}';
/// The name of a subquery that `ANY` or `ALL` compares with.
const COMPARED: &str = "\u{1}compared";

/// Prepares a query for DataFusion.
pub(super) fn prepare(query: &mut Query, relations: &dyn Relations) -> Result<()> {
    let mut preparer = Preparer::new(relations);
    match VisitMut::visit(query, &mut preparer) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// Prepares an expression that stands on its own, such as a value in `VALUES`.
pub(super) fn prepare_expr(expr: &mut Expr, relations: &dyn Relations) -> Result<()> {
    let mut preparer = Preparer::new(relations);
    match VisitMut::visit(expr, &mut preparer) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// Views inside views are followed only so far.
const VIEW_DEPTH_MAX: usize = 32;

struct Preparer<'a> {
    relations: &'a dyn Relations,
    /// Names of the common table expressions of each query around.
    scopes: Vec<HashSet<String>>,
    /// Relations in the `FROM` of each `SELECT` around, as they are called and with their schema.
    visible: Vec<Vec<(String, Option<String>)>>,
    /// Those that a subquery in that `FROM` does not see.
    hidden: Vec<Vec<(String, Option<String>)>>,
    views: usize,
}

type Flow = ControlFlow<Box<PlanError>>;

fn flow(result: Result<()>) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

impl VisitorMut for Preparer<'_> {
    type Break = Box<PlanError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        self.scopes
            .push(names.map(|cte| cte.alias.name.value.clone()).collect());
        let order: Vec<Expr> = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(exprs)) => {
                exprs.iter().map(|order| order.expr.clone()).collect()
            }
            _ => Vec::new(),
        };
        self.prepare_selects(&mut query.body, &order)
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> Flow {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        let mut names = Vec::new();
        each_factor(&select.from, &mut |factor| names.extend(shown_name(factor)));
        self.visible.push(names);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> Flow {
        self.visible.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        flow(self.resolve(factor))?;
        if hides_siblings(factor)
            && let Some(siblings) = self.visible.last_mut()
        {
            self.hidden.push(std::mem::take(siblings));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        if hides_siblings(factor)
            && let Some(siblings) = self.visible.last_mut()
            && let Some(hidden) = self.hidden.pop()
        {
            *siblings = hidden;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        self.qualify_outer(expr);
        flow(rewrite_expr(expr))
    }
}

/// What a relation in `FROM` is called, and its schema if that is part of its name.
fn shown_name(factor: &TableFactor) -> Option<(String, Option<String>)> {
    match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        }
        | TableFactor::Function {
            alias: Some(alias), ..
        }
        | TableFactor::UNNEST {
            alias: Some(alias), ..
        } => Some((alias.name.value.clone(), None)),
        TableFactor::Table { name, .. } => {
            let (schema, table) = split(name)?;
            let schema = schema.map(|schema| schema.value.clone());
            Some((table.value.clone(), schema))
        }
        _ => None,
    }
}

fn hides_siblings(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Derived { lateral: false, .. })
}

impl<'a> Preparer<'a> {
    fn new(relations: &'a dyn Relations) -> Self {
        Preparer {
            relations,
            scopes: Vec::new(),
            visible: Vec::new(),
            hidden: Vec::new(),
            views: 0,
        }
    }
}

impl Preparer<'_> {
    /// Gives `a.b` a schema where only a query around has a relation `a`.
    ///
    /// DataFusion would look for a column `a` with a field `b` in the innermost query first.
    fn qualify_outer(&self, expr: &mut Expr) {
        let Expr::CompoundIdentifier(names) = expr else {
            return;
        };
        let ([first, _, ..], [outer @ .., inner]) = (names.as_slice(), self.visible.as_slice())
        else {
            return;
        };
        let is_first = |(name, _): &&(String, Option<String>)| *name == first.value;
        if inner.iter().any(|relation| is_first(&relation)) {
            return;
        }
        let Some((_, schema)) = outer.iter().rev().flatten().find(is_first) else {
            return;
        };
        let schema = schema.clone().unwrap_or_else(|| OUTER.to_string());
        let fields = names.split_off(2);
        names.insert(0, Ident::with_quote('"', schema));
        if !fields.is_empty() {
            *expr = Expr::CompoundFieldAccess {
                root: Box::new(expr.clone()),
                access_chain: fields.into_iter().map(field_access).collect(),
            };
        }
    }

    fn prepare_selects(&mut self, body: &mut SetExpr, order: &[Expr]) -> Flow {
        match body {
            SetExpr::Select(select) => flow(self.prepare_select(select, order)),
            SetExpr::SetOperation {
                op: op @ (SetOperator::Intersect | SetOperator::Except),
                set_quantifier: SetQuantifier::All,
                ..
            } => flow(Err(PlanError::unsupported(format!("{op} ALL")))),
            SetExpr::SetOperation { left, right, .. } => {
                self.prepare_selects(left, &[])?;
                self.prepare_selects(right, &[])
            }
            // `TABLE name` reads all columns of a relation.
            SetExpr::Table(table) => {
                let name: Vec<Ident> = [&table.schema_name, &table.table_name]
                    .into_iter()
                    .flatten()
                    .map(|name| Ident::with_quote('"', name))
                    .collect();
                let select = select_all_from(ObjectName::from(name));
                *body = SetExpr::Select(Box::new(select));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn prepare_select(&mut self, select: &mut Select, order: &[Expr]) -> Result<()> {
        if let Some(into) = &select.into {
            return Err(PlanError::unsupported("SELECT INTO")
                .at(name_position(&into.name))
                .with_hint("Use CREATE TABLE … AS."));
        }
        let having = mentioned_names(select.having.as_ref());
        let names = select_names(&select.projection);
        let mut used = HashMap::new();
        for name in names.iter().flatten() {
            *used.entry(name.clone()).or_insert(0usize) += 1;
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (item, name) in select.projection.iter_mut().zip(names) {
            let (expr, Some(mut name)) = (
                match &*item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
                    _ => continue,
                },
                name,
            ) else {
                continue;
            };
            if is_set_returning_row(expr) {
                continue;
            }
            let mut again = false;
            if used.get(&name).copied().unwrap_or(0) > 1 {
                // DataFusion wants names to differ; the outermost ones are put right at the end.
                let count = seen.entry(name.clone()).or_insert(0);
                *count += 1;
                if *count > 1 {
                    name = format!("{name}{AGAIN}{count}");
                    again = true;
                }
            }
            let keep = matches!(item, SelectItem::ExprWithAlias { .. })
                || column_name_of(expr).is_some()
                || having.contains(&name);
            if again || !keep {
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident::with_quote('"', name),
                };
            }
        }
        self.widen(select, order)
    }

    /// Marks the relations whose pseudo-columns the `SELECT` names.
    fn widen(&self, select: &mut Select, order: &[Expr]) -> Result<()> {
        let mentions = Mentions::of(select, order);
        if mentions.is_empty() {
            return Ok(());
        }
        // A column of that name from a subquery goes before a pseudo-column.
        let mut bare = mentions.bare.clone();
        each_factor(&select.from, &mut |factor| {
            if let TableFactor::Derived { subquery, .. } = factor {
                bare.retain(|name| !exposes(&subquery.body, name));
            }
        });
        let mut wide = false;
        let mut factors = Vec::new();
        for from in &mut select.from {
            self.widen_joins(from, &bare, &mentions.qualified, &mut wide, &mut factors)?;
        }
        if wide {
            spell_out_wildcards(select, &factors)?;
        }
        Ok(())
    }

    fn widen_joins(
        &self,
        from: &mut TableWithJoins,
        bare: &HashSet<String>,
        qualified: &HashSet<(String, String)>,
        wide: &mut bool,
        factors: &mut Vec<Factor>,
    ) -> Result<()> {
        let first = factors.len();
        self.widen_factor(&mut from.relation, bare, qualified, wide, factors)?;
        for join in &mut from.joins {
            let right = factors.len();
            self.widen_factor(&mut join.relation, bare, qualified, wide, factors)?;
            let Some(constraint) = constraint_mut(join) else {
                continue;
            };
            if matches!(constraint, JoinConstraint::Natural)
                && factors[first..]
                    .iter()
                    .any(|factor| !factor.pseudo.is_empty())
            {
                let (left, right) = factors[first..].split_at(right - first);
                *constraint = natural_as_using(left, right)?;
            }
            if let JoinConstraint::Using(columns) = constraint {
                for factor in &mut factors[right..] {
                    factor.merged.extend(columns.iter().filter_map(last_ident));
                }
            }
        }
        Ok(())
    }

    fn widen_factor(
        &self,
        factor: &mut TableFactor,
        bare: &HashSet<String>,
        qualified: &HashSet<(String, String)>,
        wide: &mut bool,
        factors: &mut Vec<Factor>,
    ) -> Result<()> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.widen_joins(table_with_joins, bare, qualified, wide, factors),
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let Some(last) = last_ident(name) else {
                    return Ok(());
                };
                let shown = alias
                    .as_ref()
                    .map_or_else(|| last.value.clone(), |alias| alias.name.value.clone());
                let def = self.relation_of(name);
                let Some(def) = def else {
                    factors.push(Factor::opaque(shown));
                    return Ok(());
                };
                let pseudo: Vec<String> = pseudo_columns(&def)
                    .iter()
                    .map(|field| field.name().clone())
                    .collect();
                let mentioned = pseudo.iter().any(|column| {
                    bare.contains(column) || qualified.contains(&(shown.clone(), column.clone()))
                });
                let mut entry = Factor {
                    name: shown.clone(),
                    columns: Some(column_names(&def)),
                    pseudo: Vec::new(),
                    merged: Vec::new(),
                };
                if mentioned {
                    mark(name, WIDE);
                    let alias = alias.get_or_insert_with(|| TableAlias {
                        explicit: true,
                        name: Ident::with_quote('"', shown),
                        columns: Vec::new(),
                        at: None,
                    });
                    if !alias.columns.is_empty() {
                        complete(alias, &def);
                        alias
                            .columns
                            .extend(pseudo.iter().map(|name| alias_column(name)));
                    }
                    entry.pseudo = pseudo;
                    *wide = true;
                }
                factors.push(entry);
                Ok(())
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::Table { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => {
                if let Some(alias) = alias {
                    factors.push(Factor::opaque(alias.name.value.clone()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The relation of the catalog that a name means here.
    fn relation_of(&self, name: &ObjectName) -> Option<std::sync::Arc<RelationDef>> {
        let (schema, table) = split(name)?;
        if schema.is_none() && self.is_cte(&table.value) {
            return None;
        }
        self.relations
            .relation(schema.map(|schema| schema.value.as_str()), &table.value)
    }

    fn is_cte(&self, name: &str) -> bool {
        self.scopes.iter().any(|names| names.contains(name))
    }

    /// Checks that a relation exists, and puts a view in place of its name.
    fn resolve(&mut self, factor: &mut TableFactor) -> Result<()> {
        // `unnest(list) AS x` names the column, too.
        if let TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs,
            ..
        } = factor
            && let ([_], true) = (array_exprs.as_slice(), alias.columns.is_empty())
        {
            alias.columns.push(alias_column(&alias.name.value));
        }
        let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        else {
            return Ok(());
        };
        let Some((schema, table)) = split(name) else {
            return Err(cross_database(name));
        };
        let schema = schema.map(|schema| schema.value.as_str());
        if schema.is_some_and(|schema| schema.starts_with([WIDE, MODIFY]))
            || schema.is_none() && self.is_cte(&table.value)
        {
            return Ok(());
        }
        if let Some(def) = self.relations.relation(schema, &table.value) {
            if let Some(alias) = alias
                && !alias.columns.is_empty()
            {
                complete(alias, &def);
            }
            return Ok(());
        }
        if let Some(view) = self.relations.view(schema, &table.value) {
            self.views += 1;
            if self.views > VIEW_DEPTH_MAX {
                return Err(PlanError::new(
                    PlanErrorKind::TooComplex,
                    format!("views are nested more than {VIEW_DEPTH_MAX} deep"),
                ));
            }
            super::refuse_streaming_clauses(&view.query, sql::Dialect::Postgres)?;
            let mut alias = alias.take().unwrap_or_else(|| TableAlias {
                explicit: true,
                name: Ident::with_quote('"', view.name.clone()),
                columns: Vec::new(),
                at: None,
            });
            // New names are given to the first columns only; DataFusion wants all.
            let own = select_names_of(&view.query.body.body);
            for names in [
                view.columns.iter().cloned().map(Some).collect(),
                own.unwrap_or_default(),
            ] as [Vec<Option<String>>; 2]
            {
                if !alias.columns.is_empty() || !view.columns.is_empty() {
                    let known = names
                        .into_iter()
                        .skip(alias.columns.len())
                        .map_while(|name| name);
                    let rest: Vec<_> = known.map(|name| alias_column(&name)).collect();
                    alias.columns.extend(rest);
                }
            }
            // The names of the query around mean nothing inside the view.
            let outer = std::mem::take(&mut self.scopes);
            let visible = std::mem::take(&mut self.visible);
            let mut body = view.query.body.clone();
            let walked = VisitMut::visit(&mut *body, self);
            self.scopes = outer;
            self.visible = visible;
            if let ControlFlow::Break(error) = walked {
                return Err(*error);
            }
            self.views -= 1;
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: body,
                alias: Some(alias),
                sample: None,
            };
            return Ok(());
        }
        if self.relations.system_source(schema, &table.value).is_some() {
            return Ok(());
        }
        Err(undefined_relation(name, self.relations))
    }
}

/// `relation "x" does not exist`, with what may have been meant.
pub(super) fn undefined_relation(name: &ObjectName, relations: &dyn Relations) -> PlanError {
    let shown: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    let error = PlanError::new(
        PlanErrorKind::UndefinedRelation,
        format!("relation \"{}\" does not exist", shown.join(".")),
    )
    .at(name_position(name));
    let names = relations.names();
    let last = shown.last().copied().unwrap_or_default();
    match closest(last, names.iter().map(String::as_str)) {
        Some(name) => error.with_hint(format!(
            "Perhaps you meant to reference the relation \"{name}\"."
        )),
        None => error,
    }
}

fn cross_database(name: &ObjectName) -> PlanError {
    PlanError::unsupported(format!("cross-database reference {name}")).at(name_position(name))
}

pub(super) fn name_position(name: &ObjectName) -> Option<usize> {
    name.0
        .first()
        .and_then(|part| part.as_ident())
        .and_then(|ident| position(ident.span))
}

/// Schema and name; `None` when there are more parts.
pub(super) fn split(name: &ObjectName) -> Option<(Option<&Ident>, &Ident)> {
    match name.0.as_slice() {
        [table] => Some((None, table.as_ident()?)),
        [schema, table] => Some((Some(schema.as_ident()?), table.as_ident()?)),
        _ => None,
    }
}

/// Hides a mark in the schema of a name.
pub(super) fn mark(name: &mut ObjectName, mark: char) {
    let (schema, table) = match split(name) {
        Some((schema, table)) => (schema.map_or("", |schema| schema.value.as_str()), table),
        None => return,
    };
    *name = ObjectName::from(vec![
        Ident::with_quote('"', format!("{mark}{schema}")),
        table.clone(),
    ]);
}

fn last_ident(name: &ObjectName) -> Option<Ident> {
    name.0.last().and_then(|part| part.as_ident()).cloned()
}

/// An item of `FROM`, as wildcards see it.
struct Factor {
    name: String,
    /// Its columns; `None` if only planning can tell.
    columns: Option<Vec<String>>,
    /// The pseudo-columns it is scanned with.
    pseudo: Vec<String>,
    /// Columns that `USING` takes from the left side.
    merged: Vec<Ident>,
}

impl Factor {
    fn opaque(name: String) -> Self {
        Factor {
            name,
            columns: None,
            pseudo: Vec::new(),
            merged: Vec::new(),
        }
    }
}

fn column_names(def: &RelationDef) -> Vec<String> {
    let fields = def.columns.fields().iter();
    fields.map(|field| field.name().clone()).collect()
}

/// `FROM t AS x(a)` names the first columns only; DataFusion wants all.
fn complete(alias: &mut TableAlias, def: &RelationDef) {
    let rest = column_names(def).into_iter().skip(alias.columns.len());
    alias.columns.extend(rest.map(|name| alias_column(&name)));
}

fn alias_column(name: &str) -> TableAliasColumnDef {
    TableAliasColumnDef {
        name: Ident::with_quote('"', name),
        data_type: None,
    }
}

pub(super) fn constraint_mut(join: &mut Join) -> Option<&mut JoinConstraint> {
    match &mut join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

fn natural_as_using(left: &[Factor], right: &[Factor]) -> Result<JoinConstraint> {
    let columns = |factors: &[Factor]| -> Option<Vec<String>> {
        let mut all = Vec::new();
        for factor in factors {
            all.extend(factor.columns.clone()?);
        }
        Some(all)
    };
    let (Some(left), Some(right)) = (columns(left), columns(right)) else {
        return Err(PlanError::unsupported(
            "NATURAL JOIN of a subquery together with a pseudo-column",
        )
        .with_hint("Name the columns with USING."));
    };
    let shared: Vec<ObjectName> = right
        .iter()
        .filter(|column| left.contains(column))
        .map(|column| ObjectName::from(vec![Ident::with_quote('"', column)]))
        .collect();
    Ok(match shared.is_empty() {
        true => JoinConstraint::None,
        false => JoinConstraint::Using(shared),
    })
}

/// `*` and `t.*` of a `SELECT` that names pseudo-columns, without them.
fn spell_out_wildcards(select: &mut Select, factors: &[Factor]) -> Result<()> {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => {
                if factors.len() > 1 && has_exclusions(&options) {
                    return Err(PlanError::unsupported(
                        "* EXCLUDE of several relations together with a pseudo-column",
                    ));
                }
                for factor in factors {
                    let name = ObjectName::from(vec![Ident::with_quote('"', &factor.name)]);
                    let mut options = options.clone();
                    exclude(&mut options, factor, true);
                    items.push(SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::ObjectName(name),
                        options,
                    ));
                }
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                mut options,
            ) => {
                let factor = factors.iter().find(|factor| {
                    last_ident(&name).is_some_and(|ident| ident.value == factor.name)
                });
                if let Some(factor) = factor {
                    exclude(&mut options, factor, false);
                }
                items.push(SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ));
            }
            other => items.push(other),
        }
    }
    select.projection = items;
    Ok(())
}

fn has_exclusions(options: &WildcardAdditionalOptions) -> bool {
    options.opt_exclude.is_some() || options.opt_except.is_some() || options.opt_replace.is_some()
}

fn exclude(options: &mut WildcardAdditionalOptions, factor: &Factor, merged: bool) {
    let mut names: Vec<ObjectName> = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
        None => Vec::new(),
    };
    let pseudo = factor
        .pseudo
        .iter()
        .map(|name| Ident::with_quote('"', name));
    let merged = factor.merged.iter().filter(|_| merged).cloned();
    for name in pseudo.chain(merged) {
        let known = names
            .iter()
            .filter_map(last_ident)
            .any(|known| known.value == name.value);
        if !known {
            names.push(ObjectName::from(vec![name]));
        }
    }
    if !names.is_empty() {
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
}

fn each_factor(from: &[TableWithJoins], visit: &mut dyn FnMut(&TableFactor)) {
    for item in from {
        let joined = item.joins.iter().map(|join| &join.relation);
        for factor in std::iter::once(&item.relation).chain(joined) {
            match factor {
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => each_factor(std::slice::from_ref(table_with_joins), visit),
                other => visit(other),
            }
        }
    }
}

/// Whether a subquery has a column of this name, as far as its text tells.
fn exposes(body: &SetExpr, name: &str) -> bool {
    match body {
        SetExpr::Select(select) => select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(expr) => {
                column_name_of(expr).is_some_and(|column| column.eq_ignore_ascii_case(name))
            }
            SelectItem::ExprWithAlias { alias, .. } => alias.value.eq_ignore_ascii_case(name),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                let mut found = false;
                each_factor(&select.from, &mut |factor| {
                    if let TableFactor::Derived { subquery, .. } = factor {
                        found |= exposes(&subquery.body, name);
                    }
                });
                found
            }
            _ => false,
        }),
        SetExpr::Query(query) => exposes(&query.body, name),
        SetExpr::SetOperation { left, .. } => exposes(left, name),
        _ => false,
    }
}

/// The pseudo-columns that a `SELECT` names in its own clauses or in subqueries of these.
#[derive(Default)]
struct Mentions {
    bare: HashSet<String>,
    qualified: HashSet<(String, String)>,
}

impl Mentions {
    fn of(select: &Select, order: &[Expr]) -> Self {
        let mut mentions = Mentions::default();
        let mut shallow = select.clone();
        // Subqueries in FROM have scopes of their own.
        for from in &mut shallow.from {
            let joined = from.joins.iter_mut().map(|join| &mut join.relation);
            for factor in std::iter::once(&mut from.relation).chain(joined) {
                if let TableFactor::Derived {
                    lateral: false,
                    subquery,
                    ..
                } = factor
                {
                    *subquery.body = SetExpr::Values(Values {
                        explicit_row: false,
                        value_keyword: false,
                        rows: Vec::new(),
                    });
                    subquery.with = None;
                    subquery.order_by = None;
                }
            }
        }
        let _ = Visit::visit(&shallow, &mut mentions);
        for expr in order {
            let _ = Visit::visit(expr, &mut mentions);
        }
        mentions
    }

    fn is_empty(&self) -> bool {
        self.bare.is_empty() && self.qualified.is_empty()
    }
}

fn pseudo_column(name: &str) -> Option<&'static str> {
    PSEUDO_COLUMNS
        .into_iter()
        .find(|column| name.eq_ignore_ascii_case(column))
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => {
                if let Some(column) = pseudo_column(&name.value) {
                    self.bare.insert(column.to_owned());
                }
            }
            Expr::CompoundIdentifier(names) => {
                for pair in names.windows(2) {
                    if let Some(column) = pseudo_column(&pair[1].value) {
                        self.qualified
                            .insert((pair[0].value.clone(), column.to_owned()));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// All bare names in an expression.
fn mentioned_names(expr: Option<&Expr>) -> HashSet<String> {
    struct Names(HashSet<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Identifier(name) = expr {
                self.0.insert(name.value.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(HashSet::new());
    if let Some(expr) = expr {
        let _ = Visit::visit(expr, &mut names);
    }
    names.0
}

/// Whether the expression may become several columns, which cannot have one name.
fn is_set_returning_row(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function_name(function) == Some("unnest"))
}

fn function_name(function: &Function) -> Option<&str> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(&name.value),
        _ => None,
    }
}

fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    match expr {
        // In the ksqlDB dialect names are in upper case.
        Expr::Identifier(name) => lower_pseudo_column(name),
        Expr::CompoundIdentifier(names) => {
            if let Some(name) = names.last_mut() {
                lower_pseudo_column(name);
            }
        }
        Expr::Cast {
            kind,
            expr: inner,
            data_type,
            ..
        } => {
            let target = type_planner::read(data_type)?;
            if let Some(call) = conversion(kind, inner, &target)? {
                *expr = call;
            }
        }
        Expr::TypedString(typed) => {
            let target = type_planner::read(&typed.data_type)?;
            let mut text = Expr::Value(typed.value.clone());
            if let Some(call) = conversion(&CastKind::Cast, &mut text, &target)? {
                *expr = call;
            }
        }
        Expr::Function(function) => {
            // `pg_catalog.f` is `f`.
            if let [ObjectNamePart::Identifier(schema), _] = function.name.0.as_slice()
                && schema.value.eq_ignore_ascii_case("pg_catalog")
            {
                function.name.0.remove(0);
            }
            match function_name(function) {
                Some("struct") => *expr = named_struct(function)?,
                Some("map") => spread_assignments(function),
                Some("mod") => {
                    if let [dividend, divisor] = arguments(function).collect::<Vec<_>>()[..] {
                        *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                            left: Box::new(Expr::Nested(Box::new(dividend.clone()))),
                            op: BinaryOperator::Modulo,
                            right: Box::new(Expr::Nested(Box::new(divisor.clone()))),
                        }));
                    }
                }
                _ => {}
            }
        }
        // `(s).f` is `s->f`.
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                if let AccessExpr::Dot(Expr::Identifier(field)) = access {
                    *access = field_access(field.clone());
                }
            }
        }
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            if let Expr::Subquery(query) = right.as_mut() {
                rename(query);
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn field_access(field: Ident) -> AccessExpr {
    let index = Expr::Value(Value::SingleQuotedString(field.value).with_span(field.span));
    AccessExpr::Subscript(Subscript::Index { index })
}

/// Makes of a subquery one whose column has a qualifier that nothing else has. DataFusion puts the
/// comparison with it inside, where a column of the query around could have the same name.
fn rename(query: &mut Query) {
    let mut select = select_all_from(ObjectName::from(Vec::new()));
    for from in &mut select.from {
        from.relation = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query.clone()),
            alias: Some(TableAlias {
                explicit: true,
                name: Ident::with_quote('"', COMPARED),
                columns: Vec::new(),
                at: None,
            }),
            sample: None,
        };
    }
    *query = Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
}

fn lower_pseudo_column(name: &mut Ident) {
    if let Some(column) = pseudo_column(&name.value)
        && name.value.bytes().all(|byte| byte.is_ascii_uppercase())
    {
        name.value = column.to_owned();
    }
}

/// A cast for which there is a function.
fn conversion(kind: &CastKind, inner: &mut Expr, target: &DataType) -> Result<Option<Expr>> {
    let name = match target {
        DataType::Uuid => TO_UUID,
        DataType::Json => TO_JSON,
        DataType::Jsonb => TO_JSONB,
        // An explicit cast cuts off what is too long.
        DataType::Text(Some(length)) | DataType::Char(length) => {
            let text = cast_to_text(inner);
            let length = Expr::Value(Value::Number(length.to_string(), false).into());
            return Ok(Some(call("left", vec![text, length])));
        }
        _ => return Ok(None),
    };
    if matches!(kind, CastKind::TryCast | CastKind::SafeCast) {
        return Err(PlanError::unsupported(format!(
            "TRY_CAST to {}",
            crate::types::sql_type_name(target)
        )));
    }
    Ok(Some(call(name, vec![cast_to_text(inner)])))
}

fn cast_to_text(inner: &mut Expr) -> Expr {
    let inner = std::mem::replace(inner, Expr::Value(Value::Null.into()));
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(inner),
        data_type: datafusion::sql::sqlparser::ast::DataType::Text,
        array: false,
        format: None,
    }
}

/// A call of a function by its plain name.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None::<DuplicateTreatment>,
            args: args
                .into_iter()
                .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
                .collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `STRUCT(f := e, …)` as `named_struct('f', e, …)`.
pub(super) fn named_struct(function: &Function) -> Result<Expr> {
    let mut args = Vec::new();
    for (i, arg) in arguments(function).enumerate() {
        let (name, value) = match arg {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Assignment,
                right,
            } => match left.as_ref() {
                Expr::Identifier(name) => (name.value.clone(), right.as_ref().clone()),
                other => {
                    return Err(PlanError::new(
                        PlanErrorKind::Syntax,
                        format!("name of a field expected in STRUCT, not {other}"),
                    ));
                }
            },
            other => (format!("f{}", i + 1), other.clone()),
        };
        args.push(Expr::Value(Value::SingleQuotedString(name).into()));
        args.push(value);
    }
    Ok(call("named_struct", args))
}

/// `MAP(k := v, …)` as `make_map(k, v, …)`.
fn spread_assignments(function: &mut Function) {
    let mut assigned = false;
    let mut args = Vec::new();
    for arg in arguments(function) {
        match arg {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Assignment,
                right,
            } => {
                assigned = true;
                args.push(left.as_ref().clone());
                args.push(right.as_ref().clone());
            }
            other => args.push(other.clone()),
        }
    }
    if assigned && let Expr::Function(spread) = call("make_map", args) {
        *function = spread;
    }
}

fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let args = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// `SELECT * FROM name`.
pub(super) fn select_all_from(name: ObjectName) -> Select {
    use datafusion::sql::sqlparser::ast::{GroupByExpr, SelectFlavor};
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins {
            relation: TableFactor::Table {
                name,
                alias: None,
                args: None,
                with_hints: Vec::new(),
                version: None,
                with_ordinality: false,
                partitions: Vec::new(),
                json_path: None,
                sample: None,
                index_hints: Vec::new(),
            },
            joins: Vec::new(),
        }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
