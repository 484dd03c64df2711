//! Expressions as SQL text.

use std::fmt;

use arrow_schema::{DataType, Schema};

use super::{Literal, ScalarExpr};
use crate::functions::arithmetic;
use crate::step_plan::AggregateCall;
use crate::types::data_type_name;

impl ScalarExpr {
    /// The expression as SQL over the columns of `schema`.
    pub fn sql(&self, schema: &Schema) -> String {
        Sql {
            expr: self,
            schema: Some(schema),
        }
        .to_string()
    }
}

impl fmt::Display for ScalarExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sql = Sql {
            expr: self,
            schema: None,
        };
        crate::on_large_stack(|| sql.write(f, 0))
    }
}

impl AggregateCall {
    /// The call as SQL over the columns of `schema`.
    pub fn sql(&self, schema: &Schema) -> String {
        let args: Vec<String> = self.args.iter().map(|arg| arg.sql(schema)).collect();
        let mut text = format!("{}(", self.function);
        if self.distinct {
            text.push_str("DISTINCT ");
        }
        match args.is_empty() {
            true => text.push('*'),
            false => text.push_str(&args.join(", ")),
        }
        if !self.order_by.is_empty() {
            let keys: Vec<String> = self
                .order_by
                .iter()
                .map(|order| {
                    let direction = if order.descending { " DESC" } else { "" };
                    format!("{}{direction}", order.expr.sql(schema))
                })
                .collect();
            text.push_str(&format!(" ORDER BY {}", keys.join(", ")));
        }
        text.push(')');
        if self.ignore_nulls {
            text.push_str(" IGNORE NULLS");
        }
        if let Some(filter) = &self.filter {
            text.push_str(&format!(" FILTER (WHERE {})", filter.sql(schema)));
        }
        text
    }
}

struct Sql<'a> {
    expr: &'a ScalarExpr,
    schema: Option<&'a Schema>,
}

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::on_large_stack(|| self.write(f, 0))
    }
}

/// How tightly an operator binds.
fn precedence(op: &str) -> u8 {
    match op {
        "OR" => 1,
        "AND" => 2,
        "=" | "!=" | "<" | "<=" | ">" | ">=" | "IS DISTINCT FROM" | "IS NOT DISTINCT FROM" => 4,
        "+" | "-" => 7,
        "*" | "/" | "%" => 8,
        _ => 6,
    }
}

const NOT: u8 = 3;
const TEST: u8 = 4;
const HIGHEST: u8 = 10;

impl<'a> Sql<'a> {
    fn of(&self, expr: &'a ScalarExpr) -> Sql<'a> {
        Sql {
            expr,
            schema: self.schema,
        }
    }

    fn list(&self, f: &mut fmt::Formatter<'_>, exprs: &'a [ScalarExpr]) -> fmt::Result {
        for (i, expr) in exprs.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            self.of(expr).write(f, 0)?;
        }
        Ok(())
    }

    fn binary(
        &self,
        f: &mut fmt::Formatter<'_>,
        op: &str,
        left: &'a ScalarExpr,
        right: &'a ScalarExpr,
        outer: u8,
    ) -> fmt::Result {
        let own = precedence(op);
        let open = own < outer;
        if open {
            f.write_str("(")?;
        }
        self.of(left).write(f, own)?;
        write!(f, " {op} ")?;
        self.of(right).write(f, own + 1)?;
        if open {
            f.write_str(")")?;
        }
        Ok(())
    }

    fn test(
        &self,
        f: &mut fmt::Formatter<'_>,
        expr: &'a ScalarExpr,
        test: &str,
        outer: u8,
    ) -> fmt::Result {
        self.parenthesised(f, TEST < outer, |f| {
            self.of(expr).write(f, TEST + 1)?;
            write!(f, " {test}")
        })
    }

    fn parenthesised(
        &self,
        f: &mut fmt::Formatter<'_>,
        open: bool,
        inner: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if open {
            f.write_str("(")?;
        }
        inner(f)?;
        if open {
            f.write_str(")")?;
        }
        Ok(())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, outer: u8) -> fmt::Result {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self.expr {
            ScalarExpr::Column(column) => {
                let field = self.schema.and_then(|schema| schema.fields().get(*column));
                match field {
                    Some(field) => f.write_str(&name(field.name())),
                    None => write!(f, "#{column}"),
                }
            }
            ScalarExpr::Literal(literal) => write!(f, "{literal}"),
            ScalarExpr::Binary { op, left, right } => self.binary(f, op, left, right, outer),
            ScalarExpr::Not(expr) => self.parenthesised(f, NOT < outer, |f| {
                f.write_str("NOT ")?;
                self.of(expr).write(f, NOT)
            }),
            ScalarExpr::Negative(expr) => {
                f.write_str("-")?;
                self.of(expr).write(f, HIGHEST)
            }
            ScalarExpr::IsNull(expr) => self.test(f, expr, "IS NULL", outer),
            ScalarExpr::IsNotNull(expr) => self.test(f, expr, "IS NOT NULL", outer),
            ScalarExpr::IsTrue(expr) => self.test(f, expr, "IS TRUE", outer),
            ScalarExpr::IsFalse(expr) => self.test(f, expr, "IS FALSE", outer),
            ScalarExpr::IsUnknown(expr) => self.test(f, expr, "IS UNKNOWN", outer),
            ScalarExpr::IsNotTrue(expr) => self.test(f, expr, "IS NOT TRUE", outer),
            ScalarExpr::IsNotFalse(expr) => self.test(f, expr, "IS NOT FALSE", outer),
            ScalarExpr::IsNotUnknown(expr) => self.test(f, expr, "IS NOT UNKNOWN", outer),
            ScalarExpr::Between {
                expr,
                negated,
                low,
                high,
            } => self.parenthesised(f, TEST < outer, |f| {
                self.of(expr).write(f, TEST + 1)?;
                write!(f, " {}BETWEEN ", not(negated))?;
                self.of(low).write(f, TEST + 1)?;
                f.write_str(" AND ")?;
                self.of(high).write(f, TEST + 1)
            }),
            ScalarExpr::Like {
                expr,
                negated,
                pattern,
                escape,
                case_insensitive,
                similar,
            } => self.parenthesised(f, TEST < outer, |f| {
                self.of(expr).write(f, TEST + 1)?;
                let word = match (similar, case_insensitive) {
                    (true, _) => "SIMILAR TO",
                    (false, true) => "ILIKE",
                    (false, false) => "LIKE",
                };
                write!(f, " {}{word} ", not(negated))?;
                self.of(pattern).write(f, TEST + 1)?;
                match escape {
                    Some(escape) => write!(f, " ESCAPE '{escape}'"),
                    None => Ok(()),
                }
            }),
            ScalarExpr::InList {
                expr,
                list,
                negated,
            } => self.parenthesised(f, TEST < outer, |f| {
                self.of(expr).write(f, TEST + 1)?;
                write!(f, " {}IN (", not(negated))?;
                self.list(f, list)?;
                f.write_str(")")
            }),
            ScalarExpr::Case {
                operand,
                branches,
                otherwise,
            } => {
                f.write_str("CASE")?;
                if let Some(operand) = operand {
                    f.write_str(" ")?;
                    self.of(operand).write(f, 0)?;
                }
                for (when, then) in branches {
                    f.write_str(" WHEN ")?;
                    self.of(when).write(f, 0)?;
                    f.write_str(" THEN ")?;
                    self.of(then).write(f, 0)?;
                }
                if let Some(otherwise) = otherwise {
                    f.write_str(" ELSE ")?;
                    self.of(otherwise).write(f, 0)?;
                }
                f.write_str(" END")
            }
            ScalarExpr::Cast { expr, to, lenient } => {
                f.write_str(if *lenient { "TRY_CAST(" } else { "CAST(" })?;
                self.of(expr).write(f, 0)?;
                write!(f, " AS {})", data_type_name(to))
            }
            ScalarExpr::Function { name, args } => {
                if let (Some(operator), [left, right]) = (arithmetic::operator(name), &args[..]) {
                    return self.binary(f, &operator.to_string(), left, right, outer);
                }
                write!(f, "{}(", name.trim_start_matches('_'))?;
                self.list(f, args)?;
                f.write_str(")")
            }
        }
    }
}

/// A column's name; in double quotes where SQL needs them.
fn name(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    match plain && !name.is_empty() {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = &self.value else {
            return f.write_str("NULL");
        };
        match self.data_type {
            DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64 => f.write_str(value),
            DataType::Utf8 => write!(f, "'{}'", value.replace('\'', "''")),
            _ => match self.to_scalar() {
                Ok(scalar) => write!(f, "{} '{scalar}'", data_type_name(&self.data_type)),
                Err(_) => f.write_str("?"),
            },
        }
    }
}
