//! From Postgres' SQL to what DataFusion plans, for queries over the system catalog only.
//!
//! Half of it is spelling (`OPERATOR(pg_catalog.~)`, `COLLATE`, `E''`, schemas of functions, `::regclass`). The other
//! half uses what is known of the tables: a `SELECT` from one that is always empty has no rows whatever else it says, and
//! a correlated subquery for one value, which DataFusion wants to be an aggregate, may as well be the largest of one.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, JoinOperator,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    UnaryOperator, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use super::SystemTables;
use super::definitions::{is_always_empty, is_known};
use super::functions::{SESSION_FUNCTIONS, class_oid, namespace_oid};
use super::types::type_oid;

/// Whether a query is about the system catalog: it reads one of its tables, or reads nothing and calls a function about
/// the session.
pub fn concerns(query: &Query) -> bool {
    #[derive(Default)]
    struct Found {
        system: bool,
        other: bool,
        session: bool,
    }
    impl Visitor for Found {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name, args: None, ..
            } = factor
            {
                match parts(name).as_slice() {
                    ["pg_catalog" | "information_schema", _] => self.system = true,
                    [name] if is_known(name) => self.system = true,
                    _ => self.other = true,
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                match parts(&function.name).as_slice() {
                    ["pg_catalog", name] | [name] if SESSION_FUNCTIONS.contains(name) => {
                        self.session = true
                    }
                    [name] if name.starts_with("pg_") || name.starts_with("has_") => {
                        self.session = true
                    }
                    ["pg_catalog", name] if name.starts_with("pg_") => self.session = true,
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Found::default();
    let _ = query.visit(&mut found);
    found.system || (found.session && !found.other)
}

/// The identifiers of a name.
fn parts(name: &ObjectName) -> Vec<&str> {
    name.0
        .iter()
        .filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(ident.value.as_str()),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

/// How many parameters a query names; some may be in parts that are left out.
pub fn parameter_count(query: &Query) -> usize {
    struct Highest(usize);
    impl Visitor for Highest {
        type Break = ();

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            if let Value::Placeholder(name) = &value.value
                && let Ok(number) = name.trim_start_matches('$').parse()
            {
                self.0 = self.0.max(number);
            }
            ControlFlow::Continue(())
        }
    }
    let mut highest = Highest(0);
    let _ = query.visit(&mut highest);
    // The protocol cannot bind more.
    highest.0.min(usize::from(u16::MAX))
}

/// Rewrites a query in place.
pub fn rewrite(query: &mut Query, tables: &Arc<SystemTables>) {
    let mut rewriter = Rewriter { tables };
    let _ = VisitMut::visit(query, &mut rewriter);
}

struct Rewriter<'a> {
    tables: &'a SystemTables,
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Locks mean nothing here.
        query.locks.clear();
        if empty_selects(&mut query.body) && matches!(query.body.as_ref(), SetExpr::Select(_)) {
            // There is nothing to sort, and what it was sorted by may be gone.
            query.order_by = None;
        }
        name_columns(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) => match scalar_subquery(query) {
                Scalar::Nothing => *expr = null(),
                Scalar::Keep => {}
            },
            Expr::Function(function) if parts(&function.name).last() == Some(&"array") => {
                if let FunctionArguments::Subquery(query) = &mut function.args {
                    *expr = array_of(query);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.expr(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, .. } = factor
            && parts(name).first() == Some(&"pg_catalog")
        {
            name.0.remove(0);
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    fn expr(&self, expr: &mut Expr) {
        match expr {
            Expr::Collate { expr: inner, .. } | Expr::Nested(inner)
                if matches!(inner.as_ref(), Expr::Value(_)) =>
            {
                *expr = std::mem::replace(inner, null());
            }
            Expr::Collate { expr: inner, .. } => *expr = std::mem::replace(inner, null()),
            Expr::Value(value) => {
                if let Value::EscapedStringLiteral(text) | Value::NationalStringLiteral(text) =
                    &value.value
                {
                    value.value = Value::SingleQuotedString(text.clone());
                }
            }
            Expr::BinaryOp { left, op, right } => {
                plain_operator(op);
                if is_comparison(op) {
                    number_beside(left, right);
                    number_beside(right, left);
                }
                if matches!(
                    op,
                    BinaryOperator::PGRegexMatch
                        | BinaryOperator::PGRegexNotMatch
                        | BinaryOperator::PGRegexIMatch
                        | BinaryOperator::PGRegexNotIMatch
                ) {
                    // Postgres' (?: ) and ours are the same for the patterns that psql makes.
                    if let Expr::Nested(inner) = right.as_mut() {
                        **right = std::mem::replace(inner, null());
                    }
                }
            }
            // DataFusion knows the backslash only.
            Expr::Like {
                pattern,
                escape_char,
                ..
            } => {
                if let Some(escape) = escape_char.take() {
                    let escape = escape.to_string();
                    let escape = escape.trim_matches('\'');
                    if escape != "\\" && !escape.is_empty() {
                        let text = std::mem::replace(pattern.as_mut(), null());
                        **pattern = call("replace", vec![text, string(escape), string("\\")]);
                    }
                }
            }
            Expr::InList {
                expr: left, list, ..
            } => {
                for item in list {
                    number_beside(left, item);
                }
            }
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => {
                let array = std::mem::replace(right.as_mut(), null());
                let needle = std::mem::replace(left.as_mut(), null());
                *expr = call("array_has", vec![array_literal(array), needle]);
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(replacement) = self.cast(inner, data_type) {
                    *expr = replacement;
                }
            }
            Expr::Function(function) => {
                if parts(&function.name).first() == Some(&"pg_catalog")
                    && function.name.0.len() == 2
                {
                    function.name.0.remove(0);
                }
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        name.quote_style = None;
                    }
                }
                if matches!(function.args, FunctionArguments::None) {
                    function.args = arguments(Vec::new());
                }
                if parts(&function.name).last() == Some(&"generate_subscripts")
                    && let Some(array) = first_argument(function)
                {
                    // One number for each element.
                    let length = Expr::Cast {
                        kind: CastKind::Cast,
                        expr: Box::new(call("array_length", vec![array])),
                        data_type: DataType::BigInt(None),
                        array: false,
                        format: None,
                    };
                    let series = call("generate_series", vec![number("1"), length]);
                    *expr = call("unnest", vec![series]);
                }
            }
            Expr::Identifier(name)
                if name.quote_style.is_none()
                    && SESSION_FUNCTIONS.contains(&name.value.to_lowercase().as_str()) =>
            {
                *expr = call(&name.value.to_lowercase(), Vec::new());
            }
            _ => {}
        }
    }

    /// Casts between names and identifiers.
    fn cast(&self, inner: &mut Expr, data_type: &mut DataType) -> Option<Expr> {
        let name = data_type.to_string().to_lowercase().replace('"', "");
        let name = name.trim_start_matches("pg_catalog.");
        let literal = match &*inner {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        };
        let take = |inner: &mut Expr| std::mem::replace(inner, null());
        let known = |oid: Option<i64>| Some(oid.map_or_else(null, |oid| number(&oid.to_string())));
        match (name, literal) {
            ("regclass", Some(text)) => known(class_oid(self.tables, &text)),
            ("regtype", Some(text)) => known(type_oid(&text).map(i64::from)),
            ("regnamespace", Some(text)) => known(namespace_oid(&text)),
            ("regproc" | "regprocedure" | "regrole" | "regoper", Some(text)) => {
                known(text.parse().ok())
            }
            ("regclass", None) => Some(call("regclass_name", vec![take(inner)])),
            ("regtype", None) => Some(call("regtype_name", vec![take(inner)])),
            ("regnamespace", None) => Some(call("regnamespace_name", vec![take(inner)])),
            ("regproc" | "regprocedure", None) => Some(call("regproc_name", vec![take(inner)])),
            ("regrole", None) => Some(call("regrole_name", vec![take(inner)])),
            ("oid" | "xid" | "cid", _) => {
                *data_type = DataType::BigInt(None);
                None
            }
            (
                "name"
                | "char"
                | "text"
                | "cstring"
                | "unknown"
                | "information_schema.sql_identifier",
                _,
            ) => {
                *data_type = DataType::Text;
                None
            }
            (array, Some(text)) if array.ends_with("[]") && text.starts_with('{') => {
                Some(array_literal(string(&text)))
            }
            ("oid[]" | "name[]" | "char[]", _) => {
                let element = match name {
                    "oid[]" => DataType::BigInt(None),
                    _ => DataType::Text,
                };
                let element = Box::new(element);
                *data_type = DataType::Array(ArrayElemTypeDef::SquareBracket(element, None));
                None
            }
            (vector, _) if vector.ends_with("vector") => Some(take(inner)),
            _ => None,
        }
    }
}

/// What becomes of a subquery for one value.
enum Scalar {
    /// It never has one.
    Nothing,
    Keep,
}

/// DataFusion finds a correlated subquery for one value only if it is an aggregate.
fn scalar_subquery(query: &mut Query) -> Scalar {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Scalar::Keep;
    };
    if reads_nothing(select) && !aggregates(select) {
        return Scalar::Nothing;
    }
    if select.from.is_empty() || aggregates(select) {
        return Scalar::Keep;
    }
    if let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    {
        let value = std::mem::replace(item, null());
        *item = call("max", vec![value]);
        query.order_by = None;
        query.limit_clause = None;
        select.distinct = None;
    }
    Scalar::Keep
}

/// `ARRAY(SELECT …)`: empty where nothing is read, else the rows gathered.
fn array_of(query: &mut Query) -> Expr {
    let mut query = query.clone();
    if let SetExpr::Select(select) = query.body.as_mut() {
        if reads_nothing(select) {
            return string("{}");
        }
        if let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
            select.projection.as_mut_slice()
        {
            let value = std::mem::replace(item, null());
            *item = call("array_agg", vec![value]);
            query.order_by = None;
        }
    }
    Expr::Subquery(Box::new(query))
}

/// Empties every `SELECT` that reads a table without rows; whether any was.
fn empty_selects(body: &mut SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => {
            let empty = reads_nothing(select) && !aggregates(select);
            if empty {
                empty_select(select);
            }
            empty
        }
        SetExpr::SetOperation { left, right, .. } => {
            let left = empty_selects(left);
            empty_selects(right) || left
        }
        _ => false,
    }
}

/// Between a column's name and its number, where several have the same name.
pub const AGAIN: char = '\u{1}';

/// Gives columns without a name the one that Postgres gives them.
fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        SetExpr::Select(select) => {
            let mut taken: Vec<String> = Vec::new();
            for item in &mut select.projection {
                let alias = match &*item {
                    SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names
                        .last()
                        .map(|name| name.value.clone())
                        .unwrap_or_default(),
                    SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                    SelectItem::UnnamedExpr(expr) => column_name(expr),
                    _ => continue,
                };
                let again = taken.iter().filter(|name| **name == alias).count();
                let unique = if again == 0 {
                    alias.clone()
                } else {
                    format!("{alias}{AGAIN}{again}")
                };
                taken.push(alias);
                match item {
                    SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {}
                    SelectItem::UnnamedExpr(expr) => {
                        let expr = std::mem::replace(expr, null());
                        *item = SelectItem::ExprWithAlias {
                            expr,
                            alias: Ident::with_quote('"', unique),
                        };
                    }
                    SelectItem::ExprWithAlias { alias, .. } if again > 0 => {
                        *alias = Ident::with_quote('"', unique);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Leaves the names of the columns, and no rows.
fn empty_select(select: &mut Select) {
    if select.projection.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    }) {
        return;
    }
    for item in &mut select.projection {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::UnnamedExpr(expr) => Ident::with_quote('"', column_name(expr)),
            _ => continue,
        };
        let expr = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(null()),
            data_type: DataType::Text,
            array: false,
            format: None,
        };
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
    select.from.clear();
    select.selection = Some(Expr::value(Value::Boolean(false)));
    select.distinct = None;
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.having = None;
}

/// What Postgres calls a column without a name.
fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(names) => names
            .last()
            .map(|name| name.value.clone())
            .unwrap_or_default(),
        Expr::Function(function) => parts(&function.name)
            .last()
            .copied()
            .unwrap_or_default()
            .to_owned(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => column_name(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}

/// Whether a table without rows takes part in a way that leaves no rows.
fn reads_nothing(select: &Select) -> bool {
    select.from.iter().any(|item| {
        let preserved = |table: &TableWithJoins| {
            // On the other side of an outer join it does no harm.
            !table.joins.iter().any(|join| {
                matches!(
                    join.join_operator,
                    JoinOperator::Right(_)
                        | JoinOperator::RightOuter(_)
                        | JoinOperator::FullOuter(_)
                )
            })
        };
        (is_empty_table(&item.relation) && preserved(item))
            || item.joins.iter().any(|join| {
                is_empty_table(&join.relation)
                    && matches!(
                        join.join_operator,
                        JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
                    )
            })
    })
}

fn is_empty_table(factor: &TableFactor) -> bool {
    match factor {
        // What psql unnests are options, of which there are none.
        TableFactor::Table {
            name,
            args: Some(_),
            ..
        } => parts(name).last() == Some(&"unnest"),
        TableFactor::UNNEST { .. } => true,
        TableFactor::Function { name, .. } => parts(name).last() == Some(&"unnest"),
        TableFactor::Table {
            name, args: None, ..
        } => match parts(name).as_slice() {
            ["pg_catalog", name] | [name] => is_always_empty(name),
            _ => false,
        },
        _ => false,
    }
}

/// Whether the `SELECT` has a row even where nothing is read.
fn aggregates(select: &Select) -> bool {
    const AGGREGATES: [&str; 9] = [
        "count",
        "max",
        "min",
        "sum",
        "avg",
        "array_agg",
        "string_agg",
        "bool_or",
        "bool_and",
    ];
    if let GroupByExpr::Expressions(keys, _) = &select.group_by
        && !keys.is_empty()
    {
        return true;
    }
    struct Aggregates(bool);
    impl Visitor for Aggregates {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                // Those of a subquery are its own.
                Expr::Subquery(_) | Expr::Exists { .. } => ControlFlow::Break(()),
                Expr::Function(function) => {
                    let name = parts(&function.name).last().copied().unwrap_or_default();
                    self.0 |= AGGREGATES.contains(&name) && function.over.is_none();
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    select.projection.iter().any(|item| {
        let mut found = Aggregates(false);
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = expr.visit(&mut found);
        }
        found.0
    })
}

/// `OPERATOR(pg_catalog.~)` and its like as the operator itself.
fn plain_operator(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else {
        return;
    };
    let plain = match parts.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        Some("<") => BinaryOperator::Lt,
        Some(">") => BinaryOperator::Gt,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *op = plain;
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// `c.oid = '16384'`: a text of digits beside a column that is not a name is a number.
fn number_beside(column: &Expr, literal: &mut Expr) {
    let name = match column {
        Expr::Identifier(name) => &name.value,
        Expr::CompoundIdentifier(names) => match names.last() {
            Some(name) => &name.value,
            None => return,
        },
        _ => return,
    };
    if name.ends_with("name") || name == "setting" {
        return;
    }
    if let Expr::Value(value) = &*literal
        && let Value::SingleQuotedString(text) = &value.value
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        *literal = number(&text.clone());
    }
}

/// `'{a,b}'` as an array.
fn array_literal(expr: Expr) -> Expr {
    let Expr::Value(value) = &expr else {
        return expr;
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return expr;
    };
    let Some(inner) = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return expr;
    };
    let items = inner.split(',').filter(|item| !item.is_empty());
    call(
        "make_array",
        items.map(|item| string(item.trim_matches('"'))).collect(),
    )
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

fn string(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn number(digits: &str) -> Expr {
    match digits.strip_prefix('-') {
        Some(digits) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(number(digits)),
        },
        None => Expr::value(Value::Number(digits.to_owned(), false)),
    }
}

fn first_argument(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

fn arguments(args: Vec<Expr>) -> FunctionArguments {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args,
        clauses: Vec::new(),
    })
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: arguments(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
