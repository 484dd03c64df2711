//! Trees to text that parses to the same tree again.
//!
//! Names are always quoted, so that the text means the same in either dialect. sqlparser prints the inside of queries,
//! but it cannot know whether a quote in a name or a string has been doubled already and guesses; so each name and
//! each string is replaced by its finished spelling before sqlparser sees it.

mod statement;
mod user;

use std::fmt;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident,
    JoinConstraint, ObjectName, OneOrManyWithParens, Select, SelectItem, SetExpr, UnaryOperator,
    Value, ValueWithSpan, VisitMut,
};

use crate::{
    ast::{Duration, Emit, Query, TimeUnit, WindowClause, WindowKind, Within},
    blank,
    idents::{self, Rewrite, Role, constraint_mut},
};

/// Replaces names and strings by what shall be printed, and lambdas by arguments printed with `=>`.
struct Spell;

impl Rewrite for Spell {
    fn ident(&mut self, ident: &mut Ident, role: Role) {
        if role == Role::Name || ident.quote_style.is_some() {
            ident.value = quoted(&ident.value, '"');
            ident.quote_style = None;
        }
    }

    fn value(&mut self, value: &mut ValueWithSpan) {
        if let Value::SingleQuotedString(text) = &value.value {
            value.value = verbatim(quoted(text, '\''));
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        if let Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: operand,
        } = expr
            && matches!(
                **operand,
                Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    ..
                }
            )
        {
            // `- -1` needs its space: two hyphens begin a comment. An empty prefix prints as one.
            let value = Box::new(std::mem::replace(
                &mut **operand,
                Expr::Identifier(Ident::new("")),
            ));
            **operand = Expr::Prefixed {
                prefix: Ident::new(""),
                value,
            };
            return;
        }
        let Expr::Function(function) = expr else {
            return;
        };
        let FunctionArguments::List(list) = &mut function.args else {
            return;
        };
        for argument in &mut list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(lambda))) = argument else {
                continue;
            };
            let parameter = |parameter: &sqlparser::ast::LambdaFunctionParameter| {
                Expr::Identifier(parameter.name.clone())
            };
            let name = match &lambda.params {
                OneOrManyWithParens::One(one) => parameter(one),
                OneOrManyWithParens::Many(many) => match many.as_slice() {
                    [one] => Expr::Nested(Box::new(parameter(one))),
                    many => Expr::Tuple(many.iter().map(parameter).collect()),
                },
            };
            *argument = FunctionArg::ExprNamed {
                name,
                arg: FunctionArgExpr::Expr((*lambda.body).clone()),
                operator: FunctionArgOperator::RightArrow,
            };
        }
    }
}

/// A "number" is printed as it is.
fn verbatim(text: String) -> Value {
    Value::Number(text, false)
}

fn verbatim_expr(text: String) -> Expr {
    Expr::Value(verbatim(text).with_empty_span())
}

fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        if c == quote {
            quoted.push(quote);
        }
        quoted.push(c);
    }
    quoted.push(quote);
    quoted
}

fn spelled<T: VisitMut + Clone>(tree: &T) -> T {
    let mut tree = tree.clone();
    idents::rewrite(&mut tree, &mut Spell);
    tree
}

/// Text of an expression.
pub(crate) struct Sql<'a, T>(pub(crate) &'a T);

impl fmt::Display for Sql<'_, Expr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", spelled(self.0))
    }
}

impl fmt::Display for Sql<'_, Ident> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.0.value, '"'))
    }
}

impl fmt::Display for Sql<'_, ObjectName> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match part.as_ident() {
                Some(ident) => Sql(ident).fmt(f)?,
                None => part.fmt(f)?,
            }
        }
        Ok(())
    }
}

/// A string in quotes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.0, '\''))
    }
}

/// Things with commas between them.
struct List<'a, T>(&'a [T]);

impl<'a, T> fmt::Display for List<'a, T>
where
    Sql<'a, T>: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            Sql(item).fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = spelled(&*self.body);
        let streaming =
            self.window.is_some() || !self.withins.is_empty() || !self.partition_by.is_empty();
        if streaming && let SetExpr::Select(select) = &*body.body {
            let text = self.select(select);
            *body.body = SetExpr::Select(Box::new(only_item(text)));
        }
        write!(f, "{body}")?;
        match self.emit {
            Some(Emit::Changes) => f.write_str(" EMIT CHANGES"),
            Some(Emit::Final) => f.write_str(" EMIT FINAL"),
            None => Ok(()),
        }
    }
}

impl Query {
    /// What follows the word SELECT, with the streaming clauses in their places.
    fn select(&self, select: &Select) -> String {
        let mut head = blank::select();
        head.distinct.clone_from(&select.distinct);
        head.projection.clone_from(&select.projection);
        let mut text = after_select(&head);

        for (item, from) in select.from.iter().enumerate() {
            text += if item == 0 { " FROM " } else { ", " };
            text += &from.relation.to_string();
            for (number, join) in from.joins.iter().enumerate() {
                let within = self
                    .withins
                    .iter()
                    .find(|within| (within.from_item, within.join) == (item, number));
                let mut join = join.clone();
                let Some(within) = within else {
                    text += &format!(" {join}");
                    continue;
                };
                let constraint = constraint_mut(&mut join.join_operator)
                    .map_or(JoinConstraint::None, |constraint| {
                        std::mem::replace(constraint, JoinConstraint::None)
                    });
                text += &format!(" {join} {within}");
                match constraint {
                    JoinConstraint::On(condition) => text += &format!(" ON {condition}"),
                    JoinConstraint::Using(columns) => {
                        let columns: Vec<String> =
                            columns.iter().map(ToString::to_string).collect();
                        text += &format!(" USING({})", columns.join(", "));
                    }
                    JoinConstraint::Natural | JoinConstraint::None => {}
                }
            }
        }
        if let Some(window) = &self.window {
            text += &format!(" {window}");
        }

        let mut middle = blank::select();
        middle.selection.clone_from(&select.selection);
        middle.group_by.clone_from(&select.group_by);
        text += &after_select(&middle);
        if !self.partition_by.is_empty() {
            text += &format!(" PARTITION BY {}", List(&self.partition_by));
        }

        let mut tail = blank::select();
        tail.having.clone_from(&select.having);
        tail.named_window.clone_from(&select.named_window);
        tail.qualify.clone_from(&select.qualify);
        tail.window_before_qualify = select.window_before_qualify;
        text + &after_select(&tail)
    }
}

/// A SELECT that prints as the word SELECT and this text.
fn only_item(text: String) -> Select {
    let text = text.trim_start().to_owned();
    Select {
        projection: vec![SelectItem::UnnamedExpr(verbatim_expr(text))],
        ..blank::select()
    }
}

fn after_select(select: &Select) -> String {
    let text = select.to_string();
    text.strip_prefix("SELECT").unwrap_or(&text).to_owned()
}

impl fmt::Display for WindowClause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WindowKind::Tumbling { size } => write!(f, "WINDOW TUMBLING (SIZE {size}")?,
            WindowKind::Hopping { size, advance } => {
                write!(f, "WINDOW HOPPING (SIZE {size}, ADVANCE BY {advance}")?
            }
            WindowKind::Session { gap } => write!(f, "WINDOW SESSION ({gap}")?,
        }
        if let Some(retention) = self.retention {
            write!(f, ", RETENTION {retention}")?;
        }
        if let Some(grace) = self.grace {
            write!(f, ", GRACE PERIOD {grace}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WITHIN ({}, {})", self.before, self.after)?;
        match self.grace {
            Some(grace) => write!(f, " GRACE PERIOD {grace}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            TimeUnit::Microsecond => "MICROSECONDS",
            TimeUnit::Millisecond => "MILLISECONDS",
            TimeUnit::Second => "SECONDS",
            TimeUnit::Minute => "MINUTES",
            TimeUnit::Hour => "HOURS",
            TimeUnit::Day => "DAYS",
            TimeUnit::Week => "WEEKS",
        };
        write!(f, "{} {unit}", self.amount)
    }
}
