//! Refuses what sqlparser reads for other databases' sake and nobody behind us would honour.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, JoinOperator, LimitClause, Query, Select, SelectFlavor, SelectItem, SetExpr,
    TableFactor, Visit, Visitor,
};

use crate::{
    ast::position,
    config::Limits,
    error::{ParseError, ParseErrorKind},
};

/// Checks a query or an expression.
pub(crate) fn check<T: Visit>(tree: &T, limits: &Limits) -> Result<(), ParseError> {
    match tree.visit(&mut Audit { limits, lambdas: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Audit<'a> {
    limits: &'a Limits,
    /// Lambdas that are arguments of functions seen and have not been visited yet.
    lambdas: usize,
}

fn refuse(what: &str) -> ControlFlow<ParseError> {
    ControlFlow::Break(ParseError::unsupported(what))
}

impl Visitor for Audit<'_> {
    type Break = ParseError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<ParseError> {
        if !query.locks.is_empty() {
            return refuse("FOR UPDATE or FOR SHARE");
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties {
                return refuse("FETCH … WITH TIES");
            }
            if fetch.percent {
                return refuse("FETCH … PERCENT");
            }
        }
        if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause
            && !limit_by.is_empty()
        {
            return refuse("LIMIT … BY");
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return refuse("this clause");
        }
        if !query.pipe_operators.is_empty() {
            return refuse("|>");
        }
        let mut bodies = vec![&*query.body];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
                SetExpr::Table(table) => {
                    if table.table_name.is_none() {
                        return refuse("TABLE without a name");
                    }
                }
                SetExpr::SetOperation { left, right, .. } => bodies.extend([&**left, &**right]),
                SetExpr::Insert(_)
                | SetExpr::Update(_)
                | SetExpr::Delete(_)
                | SetExpr::Merge(_) => {
                    return refuse("changing data inside WITH");
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<ParseError> {
        let at = |what: &str| {
            let mut error = ParseError::unsupported(what);
            error.position = position(select.select_token.0.span);
            ControlFlow::Break(error)
        };
        if select.into.is_some() {
            return ControlFlow::Break(
                ParseError::unsupported("SELECT INTO").hint("use CREATE TABLE … AS SELECT …"),
            );
        }
        if select.top.is_some() {
            return at("TOP");
        }
        if !select.lateral_views.is_empty() {
            return at("LATERAL VIEW");
        }
        if select.prewhere.is_some() {
            return at("PREWHERE");
        }
        if !select.connect_by.is_empty() {
            return at("CONNECT BY");
        }
        if !(select.cluster_by.is_empty()
            && select.distribute_by.is_empty()
            && select.sort_by.is_empty())
        {
            return at("CLUSTER BY, DISTRIBUTE BY or SORT BY");
        }
        if select.value_table_mode.is_some()
            || select.select_modifiers.is_some()
            || select.exclude.is_some()
            || !select.optimizer_hints.is_empty()
            || select.flavor != SelectFlavor::Standard
        {
            return at("this form of SELECT");
        }
        if let GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) =
            &select.group_by
            && !modifiers.is_empty()
        {
            return at("GROUP BY … WITH");
        }
        if select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::ExprWithAliases { .. }))
        {
            return at("several names for one column");
        }
        let relations = select
            .from
            .iter()
            .map(|from| 1 + from.joins.len())
            .sum::<usize>();
        if relations > self.limits.depth_max {
            return ControlFlow::Break(
                ParseError::new(ParseErrorKind::TooComplex, "too many relations in FROM")
                    .detail(format!("at most {} are allowed", self.limits.depth_max)),
            );
        }
        if select.projection.len() > self.limits.columns_max {
            return ControlFlow::Break(ParseError::new(
                ParseErrorKind::TooManyColumns,
                format!(
                    "target lists can have at most {} entries",
                    self.limits.columns_max
                ),
            ));
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            match &join.join_operator {
                JoinOperator::CrossApply | JoinOperator::OuterApply => return at("APPLY"),
                JoinOperator::AsOf { .. } => return at("ASOF JOIN"),
                JoinOperator::StraightJoin(_) => return at("STRAIGHT_JOIN"),
                JoinOperator::ArrayJoin
                | JoinOperator::LeftArrayJoin
                | JoinOperator::InnerArrayJoin => {
                    return at("ARRAY JOIN");
                }
                _ if join.global => return at("GLOBAL JOIN"),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<ParseError> {
        match table {
            TableFactor::Table {
                with_hints,
                version,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                if sample.is_some() {
                    return refuse("TABLESAMPLE");
                }
                if !with_hints.is_empty()
                    || version.is_some()
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || !index_hints.is_empty()
                {
                    return refuse("this form of FROM");
                }
            }
            TableFactor::Derived {
                sample: Some(_), ..
            } => return refuse("TABLESAMPLE"),
            TableFactor::Derived { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::Function { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::NestedJoin { .. } => {}
            TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
                return refuse("JSON_TABLE");
            }
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => return refuse("PIVOT"),
            TableFactor::MatchRecognize { .. } => return refuse("MATCH_RECOGNIZE"),
            TableFactor::XmlTable { .. } => return refuse("XMLTABLE"),
            TableFactor::SemanticView { .. } => return refuse("SEMANTIC_VIEW"),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<ParseError> {
        if let Expr::Function(function) = expr
            && let FunctionArguments::List(list) = &function.args
        {
            let is_lambda = |argument: &&FunctionArg| {
                matches!(
                    argument,
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(_)))
                )
            };
            self.lambdas += list.args.iter().filter(is_lambda).count();
        }
        if let Expr::Lambda(lambda) = expr {
            let Some(left) = self.lambdas.checked_sub(1) else {
                let message = "a lambda can only be an argument of a function";
                let mut error = ParseError::new(ParseErrorKind::Syntax, message);
                error.position = lambda
                    .params
                    .first()
                    .and_then(|parameter| position(parameter.name.span));
                return ControlFlow::Break(error);
            };
            self.lambdas = left;
        }
        match expr {
            Expr::Function(function)
                if function.uses_odbc_syntax || function.parameters != FunctionArguments::None =>
            {
                refuse("this form of a function call")
            }
            Expr::Wildcard(star) | Expr::QualifiedWildcard(_, star) => {
                let message = "* can only stand for columns as a whole item or argument";
                let mut error = ParseError::new(ParseErrorKind::Syntax, message);
                error.position = position(star.0.span);
                ControlFlow::Break(error)
            }
            Expr::Extract {
                field: DateTimeField::Custom(field),
                ..
            } if !field.value.starts_with(|c: char| c.is_ascii_alphabetic())
                || !field
                    .value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                let message = format!("unit \"{}\" not recognized", field.value);
                let mut error = ParseError::new(ParseErrorKind::InvalidValue, message);
                error.position = position(field.span);
                ControlFlow::Break(error)
            }
            Expr::BinaryOp {
                op: BinaryOperator::PGCustomBinaryOperator(parts),
                ..
            } if !matches!(parts.as_slice(), [_] | [_, _])
                || (parts.len() == 2 && parts[0] != "pg_catalog") =>
            {
                refuse("OPERATOR of a schema other than pg_catalog")
            }
            Expr::OuterJoin(_) => refuse("(+)"),
            Expr::MatchAgainst { .. } => refuse("MATCH … AGAINST"),
            Expr::Prefixed { .. } => refuse("a character set before a string"),
            Expr::JsonAccess { .. } => refuse("the operator :"),
            Expr::Convert { .. } => refuse("CONVERT"),
            _ => ControlFlow::Continue(()),
        }
    }
}
