//! The `SELECT` list and the key of its result.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, GroupByExpr, Ident, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Subscript, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::expressions::{
    aggregates_of, all, calls, canonical, column_of, is_aggregate, name_of, qualify, sources_of,
    strip_as_value,
};
use super::joins::{self, Joined, shown};
use super::lookups;
use super::sources::{RESERVED, Scope, Source};
use crate::bind::BindOptions;
use crate::bind::prepare::field_access;
use crate::error::{PlanError, PlanErrorKind, Result};
use crate::lower::OutputKind;
use crate::relations::{PSEUDO_COLUMNS, ROWOFFSET, ROWPARTITION, Relations};

/// A part of a result's key.
#[derive(Debug, Clone)]
pub(super) struct KeyPart {
    /// The expressions that stand for it in a `SELECT` list, the best first.
    pub viable: Vec<Expr>,
    /// What it is: where a join found no partner, not what the selected column is.
    pub value: Expr,
    /// What it is called where it is not selected as such, as by `*`.
    name: Option<String>,
    /// What it is, for messages.
    pub what: &'static str,
}

impl KeyPart {
    pub fn of_column(column: Expr, what: &'static str) -> Self {
        Self {
            viable: vec![column.clone()],
            value: column,
            name: None,
            what,
        }
    }

    pub fn of_join(viable: Vec<Expr>, value: Expr) -> Self {
        Self {
            viable,
            value,
            name: None,
            what: "join expression",
        }
    }

    pub fn synthetic(name: String, value: Expr) -> Self {
        Self {
            viable: vec![value.clone()],
            value,
            name: Some(name),
            what: "join expression",
        }
    }

    /// Whether an expression is this part.
    pub fn is(&self, expr: &Expr) -> bool {
        let text = canonical(expr);
        self.viable.iter().any(|viable| canonical(viable) == text)
    }

    fn shown(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => {
                let viable: Vec<String> = self.viable.iter().map(shown).collect();
                viable.join(" or ")
            }
        }
    }
}

/// A column of the result.
struct Item {
    expr: Expr,
    name: String,
}

/// Spells a `SELECT` out; gives the number of columns of the key, which come first.
pub(super) fn rewrite(
    select: &mut Select,
    query: &sql::Query,
    relations: &dyn Relations,
    options: &BindOptions,
    output: Option<OutputKind>,
) -> Result<usize> {
    let persistent = matches!(output, Some(OutputKind::Stream | OutputKind::Table));
    if select.distinct.is_some() {
        return Err(PlanError::unsupported("DISTINCT in ksqlDB's dialect"));
    }
    if output.is_none() {
        refuse_of_pull(select, query)?;
    }
    let mut joined = joins::from(select, relations)?;
    joined.scope.collect_limits = options.collect_limits;
    let scope = &joined.scope;
    match output {
        None => refuse_unqueryable(&scope.sources[0])?,
        Some(OutputKind::Push) => {}
        Some(OutputKind::Stream | OutputKind::Table) => refuse_windowed(scope)?,
    }
    if let Some(selection) = &mut select.selection {
        qualify(selection, scope)?;
        if let Some(name) = aggregates_of(selection).first() {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                format!("aggregate functions are not allowed in WHERE: {name}"),
            ));
        }
    }
    if output.is_none() {
        if let Some(selection) = &select.selection {
            refuse_places(selection, scope, "WHERE")?;
        }
        lookups::check(
            &scope.sources[0],
            select.selection.as_ref(),
            options.pull_scans,
        )?;
    }
    let groups = groups(select, scope)?;
    let mut partition_by = query.partition_by.clone();
    for expr in &mut partition_by {
        flatten(expr);
        qualify(expr, scope)?;
    }
    if let Some(having) = &mut select.having {
        qualify(having, scope)?;
    }
    let mut namer = Namer::of(scope);
    let starred = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_)));
    let mut key = match (groups.is_empty(), partition_by.as_slice()) {
        (false, []) => parts(&groups, "grouping expression", starred, &mut namer),
        (true, [Expr::Value(value)]) if value.value == Value::Null => Vec::new(),
        (true, [_, ..]) if joined.is_table => {
            return Err(PlanError::unsupported("PARTITION BY of a table"));
        }
        (true, [_, ..]) => parts(
            &partition_by,
            "partitioning expression",
            starred,
            &mut namer,
        ),
        (false, [_, ..]) => {
            return Err(PlanError::unsupported(
                "PARTITION BY together with GROUP BY",
            ));
        }
        (true, []) => joined.key.clone(),
    };
    let expanding = Expanding {
        joined: &joined,
        moved_key: !partition_by.is_empty(),
        key: &key,
    };
    let mut items = expanding.items(select, &mut namer, persistent)?;
    if output.is_none() {
        for item in &items {
            refuse_places(&item.expr, scope, "SELECT")?;
        }
    }
    if joined.is_table && items.iter().any(|item| calls(&item.expr, "unnest")) {
        return Err(PlanError::unsupported(
            "a table function over a table, in ksqlDB's dialect,",
        ));
    }
    if check_grouping(select, &items, &groups, output)? {
        // One group of all rows, which is there from the first of them on.
        let always = Expr::Value(Value::Boolean(true).into());
        select.group_by = GroupByExpr::Expressions(vec![always], Vec::new());
    }
    if !groups.is_empty() {
        // A row of which any grouping expression is NULL is in no group.
        let present = groups
            .iter()
            .map(|group| Expr::IsNotNull(Box::new(group.clone())));
        let selection = select.selection.take();
        select.selection = all(selection.into_iter().chain(present));
    }
    check_kind(&joined, !groups.is_empty(), output)?;
    let width = match persistent {
        true => take_key(&mut items, &mut key, output)?,
        false => 0,
    };
    check_names(&items, output)?;
    for group in select.group_by_exprs() {
        strip_as_value(group);
    }
    if let Some(having) = &mut select.having {
        strip_as_value(having);
    }
    select.projection = items
        .into_iter()
        .map(|mut item| {
            strip_as_value(&mut item.expr);
            SelectItem::ExprWithAlias {
                expr: item.expr,
                alias: Ident::with_quote('"', item.name),
            }
        })
        .collect();
    Ok(width)
}

/// The expressions of a `GROUP BY`.
trait GroupBy {
    fn group_by_exprs(&mut self) -> std::slice::IterMut<'_, Expr>;
}

impl GroupBy for Select {
    fn group_by_exprs(&mut self) -> std::slice::IterMut<'_, Expr> {
        match &mut self.group_by {
            GroupByExpr::Expressions(exprs, _) => exprs.iter_mut(),
            GroupByExpr::All(_) => [].iter_mut(),
        }
    }
}

/// `(a)` is `a`.
fn flatten(expr: &mut Expr) {
    loop {
        match expr {
            Expr::Nested(inner) => {
                *expr = std::mem::replace(inner, Expr::Value(Value::Null.into()));
            }
            Expr::Tuple(members) if members.len() == 1 => {
                if let Some(only) = members.pop() {
                    *expr = only;
                }
            }
            _ => return,
        }
    }
}

fn groups(select: &mut Select, scope: &Scope) -> Result<Vec<Expr>> {
    let GroupByExpr::Expressions(exprs, modifiers) = &mut select.group_by else {
        return Err(PlanError::unsupported("GROUP BY ALL"));
    };
    if !modifiers.is_empty() {
        return Err(PlanError::unsupported("GROUP BY with a modifier"));
    }
    // `GROUP BY (a, b)` is `GROUP BY a, b`.
    if let [Expr::Tuple(members)] = exprs.as_mut_slice() {
        *exprs = std::mem::take(members);
    }
    let mut seen: Vec<String> = Vec::new();
    for expr in exprs.iter_mut() {
        flatten(expr);
        if matches!(expr, Expr::Tuple(_)) {
            return Err(PlanError::new(
                PlanErrorKind::Syntax,
                "a list in parentheses cannot be one of several grouping expressions",
            ));
        }
        qualify(expr, scope)?;
        if let Some(name) = aggregates_of(expr).first() {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                format!(
                    "GROUP BY does not support aggregate functions: {} is one",
                    name.trim_start_matches("_ksql_")
                ),
            ));
        }
        let text = canonical(expr);
        if seen.contains(&text) {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                format!("duplicate GROUP BY expression: {}", shown(expr)),
            ));
        }
        seen.push(text);
    }
    Ok(exprs.clone())
}

/// Parts of a key that are expressions; each with the name that it gets where `*` stands for it.
fn parts(exprs: &[Expr], what: &'static str, starred: bool, namer: &mut Namer) -> Vec<KeyPart> {
    exprs
        .iter()
        .map(|expr| KeyPart {
            viable: vec![expr.clone()],
            value: expr.clone(),
            // `*` stands for the columns of the sources, but not for what every row has beside them.
            name: match column_of(expr).filter(|name| !PSEUDO_COLUMNS.contains(name)) {
                None if starred => Some(namer.of_key(expr)),
                _ => None,
            },
            what,
        })
        .collect()
}

/// Names for columns that have none.
struct Namer {
    scope: Scope,
    taken: Vec<String>,
    generated: usize,
    /// Names already given to expressions of the key.
    of_keys: Vec<(String, String)>,
}

impl Namer {
    fn of(scope: &Scope) -> Self {
        let taken = scope
            .sources
            .iter()
            .flat_map(|source| source.def.columns.fields().iter())
            .map(|field| field.name().clone())
            .collect();
        Self {
            scope: scope.clone(),
            taken,
            generated: 0,
            of_keys: Vec::new(),
        }
    }

    fn generate(&mut self) -> String {
        loop {
            let name = format!("KSQL_COL_{}", self.generated);
            self.generated += 1;
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }

    /// The name of a part of the key, under which the same expression is known in the list too.
    fn of_key(&mut self, expr: &Expr) -> String {
        let name = match field_of(expr) {
            Some(field) => self.field(field),
            None => self.generate(),
        };
        self.of_keys.push((canonical(expr), name.clone()));
        name
    }

    fn field(&mut self, field: &str) -> String {
        let name = std::iter::once(field.to_owned())
            .chain((1..).map(|n| format!("{field}_{n}")))
            .find(|name| !self.taken.contains(name))
            .expect("there are more numbers than names");
        self.taken.push(name.clone());
        name
    }

    /// The name of a column that was given none. `written` is the expression before its names were
    /// qualified.
    fn name(&mut self, written: &Expr, expr: &Expr) -> String {
        let last = match written {
            Expr::Identifier(name) => Some((None, name.value.clone())),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [alias, name] => Some((Some(alias.value.clone()), name.value.clone())),
                _ => None,
            },
            _ => None,
        };
        if let Some((alias, name)) = last {
            return match alias {
                Some(alias) if self.scope.clashes(&name) => format!("{alias}_{name}"),
                _ => name,
            };
        }
        let text = canonical(expr);
        if let Some(known) = self.of_keys.iter().position(|(key, _)| *key == text) {
            return self.of_keys[known].1.clone();
        }
        match field_of(written) {
            Some(field) => self.field(field),
            None => self.generate(),
        }
    }
}

/// The field that `a->b->c` takes last.
fn field_of(expr: &Expr) -> Option<&str> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else {
        return None;
    };
    match access_chain.last()? {
        AccessExpr::Subscript(Subscript::Index {
            index: Expr::Value(value),
        }) => match &value.value {
            // `m['k']` looks the same as `s->k`; both are named by what is in the brackets only where
            // it was a name.
            Value::SingleQuotedString(field)
                if value.span.start.column != 0 && value.span.start == value.span.end =>
            {
                Some(field)
            }
            _ => None,
        },
        _ => None,
    }
}

/// What `*` and the other items of a list stand for.
struct Expanding<'a> {
    joined: &'a Joined,
    /// Whether `PARTITION BY` makes another key.
    moved_key: bool,
    key: &'a [KeyPart],
}

impl Expanding<'_> {
    fn items(&self, select: &Select, namer: &mut Namer, persistent: bool) -> Result<Vec<Item>> {
        let scope = &self.joined.scope;
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => self.all(&mut items),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(path),
                    _,
                ) => self.all_of(path, namer, &mut items)?,
                SelectItem::UnnamedExpr(written) => {
                    let mut expr = written.clone();
                    qualify(&mut expr, scope)?;
                    let name = namer.name(written, &expr);
                    if persistent && RESERVED.contains(&name.as_str()) {
                        return Err(PlanError::new(
                            PlanErrorKind::InvalidDefinition,
                            format!(
                                "reserved column name in select: {name}; remove or alias the column"
                            ),
                        ));
                    }
                    items.push(Item { expr, name });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    if RESERVED.contains(&alias.value.as_str()) {
                        return Err(PlanError::new(
                            PlanErrorKind::InvalidDefinition,
                            format!(
                                "{} is a reserved column name and cannot be an alias",
                                alias.value
                            ),
                        ));
                    }
                    let mut expr = expr.clone();
                    qualify(&mut expr, scope)?;
                    items.push(Item {
                        expr,
                        name: alias.value.clone(),
                    });
                }
                other => {
                    return Err(PlanError::unsupported(format!("{other} in a SELECT list")));
                }
            }
        }
        Ok(items)
    }

    fn is_join(&self) -> bool {
        self.joined.scope.sources.len() > 1
    }

    fn all(&self, items: &mut Vec<Item>) {
        // A key that is no column of a source comes with the others.
        for part in self.key {
            if let Some(name) = &part.name
                && (self.moved_key || self.joined.scope.synthetic.is_some())
            {
                items.push(Item {
                    expr: part.value.clone(),
                    name: name.clone(),
                });
            }
        }
        for source in &self.joined.scope.sources {
            self.source(source, items);
        }
    }

    fn source(&self, source: &Source, items: &mut Vec<Item>) {
        let mut columns = source.columns();
        if self.moved_key {
            // The old key goes behind the value.
            columns.rotate_left(source.def.record_key.len());
        }
        for column in columns {
            let name = source.name_of(column);
            items.push(Item {
                expr: source.column(name),
                name: match self.is_join() {
                    true => format!("{}_{name}", source.alias),
                    false => name.to_owned(),
                },
            });
        }
    }

    /// `alias.*`, `struct->*`.
    fn all_of(&self, path: &ObjectName, namer: &mut Namer, items: &mut Vec<Item>) -> Result<()> {
        let names: Vec<Ident> = path
            .0
            .iter()
            .filter_map(|part| part.as_ident().cloned())
            .collect();
        let scope = &self.joined.scope;
        if let [alias] = names.as_slice() {
            if let Some(source) = scope.source(&alias.value) {
                self.source(source, items);
                return Ok(());
            }
            let is_column = scope
                .sources
                .iter()
                .any(|source| source.def.columns.column_with_name(&alias.value).is_some());
            if !is_column {
                return Err(PlanError::new(
                    PlanErrorKind::UndefinedRelation,
                    format!(
                        "'{}' is not a valid stream/table name or alias",
                        alias.value
                    ),
                ));
            }
        }
        let (column, fields) = match names.as_slice() {
            [alias, column, fields @ ..] if scope.source(&alias.value).is_some() => {
                (vec![alias.clone(), column.clone()], fields)
            }
            [column, fields @ ..] => (vec![column.clone()], fields),
            [] => return Err(PlanError::internal("an empty path before .*")),
        };
        let mut expr = match column.len() {
            1 => Expr::Identifier(column[0].clone()),
            _ => Expr::CompoundIdentifier(column),
        };
        qualify(&mut expr, scope)?;
        let members = members_of(scope, &expr, fields)?;
        for member in members {
            let chain = fields
                .iter()
                .map(|field| field.value.clone())
                .chain([member.clone()])
                .map(|field| field_access(Ident::with_quote('"', field)))
                .collect();
            items.push(Item {
                expr: Expr::CompoundFieldAccess {
                    root: Box::new(expr.clone()),
                    access_chain: chain,
                },
                name: namer.field(&member),
            });
        }
        Ok(())
    }
}

/// The fields of a struct column, or of a struct in it.
fn members_of(scope: &Scope, column: &Expr, fields: &[Ident]) -> Result<Vec<String>> {
    use arrow_schema::DataType;
    let refuse = || {
        PlanError::new(
            PlanErrorKind::DatatypeMismatch,
            format!("->* of {}, which is not a struct", shown(column)),
        )
    };
    let Expr::CompoundIdentifier(names) = column else {
        return Err(refuse());
    };
    let (Some(alias), Some(name)) = (names.first(), names.last()) else {
        return Err(refuse());
    };
    let source = scope.source(&alias.value).ok_or_else(refuse)?;
    let (_, field) = source
        .def
        .columns
        .column_with_name(&name.value)
        .ok_or_else(refuse)?;
    let mut data_type = field.data_type();
    for field in fields {
        let DataType::Struct(members) = data_type else {
            return Err(refuse());
        };
        data_type = members
            .find(&field.value)
            .map(|(_, member)| member.data_type())
            .ok_or_else(refuse)?;
    }
    match data_type {
        DataType::Struct(members) => {
            Ok(members.iter().map(|member| member.name().clone()).collect())
        }
        _ => Err(refuse()),
    }
}

/// What is neither grouped by nor aggregated has no value in a group. True for aggregates over all rows,
/// which only push queries have.
fn check_grouping(
    select: &Select,
    items: &[Item],
    groups: &[Expr],
    output: Option<OutputKind>,
) -> Result<bool> {
    let aggregated = items
        .iter()
        .any(|item| !aggregates_of(&item.expr).is_empty())
        || select
            .having
            .as_ref()
            .is_some_and(|having| !aggregates_of(having).is_empty());
    let of_all_rows = groups.is_empty() && aggregated && output == Some(OutputKind::Push);
    if groups.is_empty() && !of_all_rows {
        if aggregated {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                "aggregate functions require a GROUP BY clause",
            ));
        }
        if select.having.is_some() {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                "HAVING requires a GROUP BY clause",
            ));
        }
        return Ok(false);
    }
    if !aggregated {
        return Err(PlanError::new(
            PlanErrorKind::Grouping,
            "GROUP BY requires aggregate functions in either the SELECT or HAVING clause",
        ));
    }
    let texts: Vec<String> = groups.iter().map(canonical).collect();
    for item in items {
        if let Some(column) = ungrouped(&item.expr, &texts) {
            return Err(PlanError::new(
                PlanErrorKind::Grouping,
                format!("non-aggregate SELECT expression not part of GROUP BY: {column}"),
            )
            .with_hint("Add it to the GROUP BY or remove it from the SELECT."));
        }
    }
    if let Some(having) = &select.having
        && let Some(column) = ungrouped(having, &texts)
    {
        return Err(PlanError::new(
            PlanErrorKind::Grouping,
            format!("non-aggregate HAVING expression not part of GROUP BY: {column}"),
        ));
    }
    Ok(of_all_rows)
}

/// A column in an expression that is neither in a grouping expression nor in an aggregate.
fn ungrouped(expr: &Expr, groups: &[String]) -> Option<String> {
    struct Blank<'a>(&'a [String]);
    impl VisitorMut for Blank<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let aggregate = match &*expr {
                Expr::Function(function) => name_of(function).is_some_and(is_aggregate),
                _ => false,
            };
            if aggregate || self.0.contains(&canonical(expr)) {
                *expr = Expr::Value(Value::Null.into());
            }
            ControlFlow::Continue(())
        }
    }
    let mut rest = expr.clone();
    strip_as_value(&mut rest);
    let _ = VisitMut::visit(&mut rest, &mut Blank(groups));
    (!sources_of(&rest).is_empty()).then(|| shown(&rest))
}

/// A table comes of tables and of groups, a stream of the rest.
fn check_kind(joined: &Joined, grouped: bool, output: Option<OutputKind>) -> Result<()> {
    let is_table = joined.is_table || grouped;
    match (output, is_table) {
        (Some(OutputKind::Stream), true) => Err(PlanError::new(
            PlanErrorKind::WrongObjectType,
            "the result of this query is a table",
        )
        .with_hint("Use CREATE TABLE … AS.")),
        (Some(OutputKind::Table), false) => Err(PlanError::new(
            PlanErrorKind::WrongObjectType,
            "the result of this query is a stream",
        )
        .with_hint("Use CREATE STREAM … AS.")),
        _ => Ok(()),
    }
}

/// Moves the columns of the key to the front.
fn take_key(
    items: &mut Vec<Item>,
    key: &mut [KeyPart],
    output: Option<OutputKind>,
) -> Result<usize> {
    let mut taken: Vec<Item> = Vec::with_capacity(key.len());
    for part in key.iter() {
        let found = part.viable.iter().find_map(|viable| {
            let text = canonical(viable);
            let at: Vec<usize> = (0..items.len())
                .filter(|item| canonical(&items[*item].expr) == text)
                .collect();
            (!at.is_empty()).then_some(at)
        });
        let at = match found.as_deref() {
            Some([at]) => *at,
            Some(several) => {
                let names: Vec<&str> = several.iter().map(|at| items[*at].name.as_str()).collect();
                return Err(PlanError::new(
                    PlanErrorKind::InvalidDefinition,
                    format!(
                        "the projection contains a key column ({}) more than once, aliased as: {}",
                        part.shown(),
                        names.join(" and ")
                    ),
                )
                .with_hint("Use AS_VALUE to have it in the value too."));
            }
            None => {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidDefinition,
                    format!(
                        "key missing from projection: the query must include the {} {} in its projection",
                        part.what,
                        part.shown()
                    ),
                ));
            }
        };
        let mut item = items.remove(at);
        item.expr = part.value.clone();
        taken.push(item);
    }
    if output == Some(OutputKind::Table) && key.is_empty() {
        return Err(PlanError::new(
            PlanErrorKind::InvalidDefinition,
            "the result of this query has no key, so it is no table",
        ));
    }
    if items.is_empty() {
        return Err(PlanError::new(
            PlanErrorKind::InvalidDefinition,
            "the projection contains no value columns",
        ));
    }
    let width = taken.len();
    taken.append(items);
    *items = taken;
    Ok(width)
}

fn check_names(items: &[Item], output: Option<OutputKind>) -> Result<()> {
    if output == Some(OutputKind::Push) {
        return Ok(());
    }
    for (i, item) in items.iter().enumerate() {
        if items[..i].iter().any(|other| other.name == item.name) {
            return Err(PlanError::new(
                PlanErrorKind::DuplicateColumn,
                format!("column \"{}\" specified more than once", item.name),
            ));
        }
    }
    Ok(())
}

/// What ksqlDB's pull queries cannot do.
fn refuse_of_pull(select: &Select, query: &sql::Query) -> Result<()> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let what = if query.window.is_some() {
        "WINDOW"
    } else if grouped {
        "GROUP BY"
    } else if select.from.iter().any(|from| !from.joins.is_empty()) {
        "JOIN"
    } else if !query.partition_by.is_empty() {
        "PARTITION BY"
    } else if select.having.is_some() {
        "HAVING"
    } else {
        return Ok(());
    };
    Err(
        PlanError::unsupported(format!("{what} of a pull query, in ksqlDB's dialect,")).with_hint(
            "Add EMIT CHANGES if you intended to issue a push query, or SET dialect = 'postgres'.",
        ),
    )
}

/// A table that was only declared is what a topic says; ksqlDB keeps its rows nowhere.
fn refuse_unqueryable(source: &Source) -> Result<()> {
    let name = &source.def.name;
    match source.def.queryable {
        true => Ok(()),
        false => Err(PlanError::new(
            PlanErrorKind::Unsupported,
            format!("the `{name}` table isn't queryable"),
        )
        .with_hint(format!(
            "To derive a queryable table, you can do 'CREATE TABLE QUERYABLE_{name} AS SELECT * FROM {name}'. \
             In dialect postgres every table can be queried."
        ))),
    }
}

fn refuse_windowed(scope: &Scope) -> Result<()> {
    let windowed = |source: &Source| source.is_table() && source.def.windowed;
    match scope.sources.iter().any(windowed) {
        false => Ok(()),
        true => Err(PlanError::new(
            PlanErrorKind::Unsupported,
            "persistent queries on windowed tables are not supported",
        )),
    }
}

/// Where a record lay in its topic is told to continuous queries only.
fn refuse_places(expr: &Expr, scope: &Scope, clause: &str) -> Result<()> {
    struct Places<'a>(&'a Scope);
    impl Visitor for Places<'_> {
        type Break = &'static str;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<&'static str> {
            let place = match expr {
                Expr::CompoundIdentifier(names) => match names.as_slice() {
                    [alias, name] => [ROWPARTITION, ROWOFFSET]
                        .into_iter()
                        .find(|place| name.value == *place)
                        .filter(|place| {
                            self.0.source(&alias.value).is_some_and(|source| {
                                source.def.columns.column_with_name(place).is_none()
                            })
                        }),
                    _ => None,
                },
                _ => None,
            };
            match place {
                Some(place) => ControlFlow::Break(place),
                None => ControlFlow::Continue(()),
            }
        }
    }
    match Visit::visit(expr, &mut Places(scope)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(place) => Err(PlanError::new(
            PlanErrorKind::Unsupported,
            format!(
                "pull queries don't support the following columns in {clause} clauses: `{}`",
                place.to_uppercase()
            ),
        )),
    }
}
