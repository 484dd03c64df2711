//! Names of result columns, as PostgreSQL gives them.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, ObjectNamePart, SelectItem, SetExpr, Subscript, Value,
};

/// The name of each item of a `SELECT` list; `None` for a wildcard, which brings its own.
pub(super) fn select_names(items: &[SelectItem]) -> Vec<Option<String>> {
    items
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) => {
                Some(guess(expr).unwrap_or_else(|| "?column?".to_owned()))
            }
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        })
        .collect()
}

/// The name of an expression that is nothing but a column.
pub(super) fn column_name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.as_str()),
        Expr::Nested(inner) => column_name_of(inner),
        _ => None,
    }
}

fn guess(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            column_name_of(expr).map(str::to_owned)
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => guess(inner),
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } => guess(inner).or_else(|| {
            let name = super::type_planner::read(data_type).ok()?;
            fixed(short_type_name(&name))
        }),
        Expr::TypedString(typed) => {
            let name = super::type_planner::read(&typed.data_type).ok()?;
            fixed(short_type_name(&name))
        }
        Expr::Function(function) => function_name(function).map(str::to_owned),
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(guess)
            .or_else(|| fixed("case")),
        Expr::Extract { .. } => fixed("extract"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Position { .. } => fixed("position"),
        Expr::Trim { .. } => fixed("btrim"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Interval(_) => fixed("interval"),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => fixed("bool"),
        Expr::Tuple(_) => fixed("row"),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => select_names(&select.projection).into_iter().next()?,
            _ => None,
        },
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last()? {
            AccessExpr::Subscript(Subscript::Index {
                index: Expr::Value(value),
            }) => match &value.value {
                Value::SingleQuotedString(field) => Some(field.clone()),
                _ => guess(root),
            },
            AccessExpr::Dot(field) => guess(field),
            _ => guess(root),
        },
        _ => None,
    }
}

fn function_name(function: &Function) -> Option<&str> {
    match function.name.0.last()? {
        ObjectNamePart::Identifier(name) => Some(&name.value),
        ObjectNamePart::Function(_) => None,
    }
}

/// The name of a type as a column of a cast without another name is called.
fn short_type_name(data_type: &sql::DataType) -> &'static str {
    use sql::DataType as Sql;
    match data_type {
        Sql::Boolean => "bool",
        Sql::SmallInt => "int2",
        Sql::Integer => "int4",
        Sql::BigInt => "int8",
        Sql::Real => "float4",
        Sql::Double => "float8",
        Sql::Decimal(_) => "numeric",
        Sql::Text(None) => "text",
        Sql::Text(Some(_)) => "varchar",
        Sql::Char(_) => "bpchar",
        Sql::Bytea => "bytea",
        Sql::Date => "date",
        Sql::Time => "time",
        Sql::Timestamp => "timestamp",
        Sql::TimestampTz => "timestamptz",
        Sql::Interval => "interval",
        Sql::Uuid => "uuid",
        Sql::Json => "json",
        Sql::Jsonb => "jsonb",
        Sql::Array(_) => "array",
        Sql::Map(..) => "map",
        Sql::Struct(_) => "row",
    }
}

/// The names of a query's columns, as far as its text tells.
pub(super) fn select_names_of(body: &SetExpr) -> Option<Vec<Option<String>>> {
    match body {
        SetExpr::Select(select) => Some(select_names(&select.projection)),
        SetExpr::Query(query) => select_names_of(&query.body),
        SetExpr::SetOperation { left, .. } => select_names_of(left),
        _ => None,
    }
}
