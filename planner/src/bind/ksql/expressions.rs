//! Expressions, one by one: names become columns of sources, constants get ksqlDB's types.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart,
    OneOrManyWithParens, UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::sources::{Resolved, Scope};
use crate::bind::prepare::{call, named_struct};
use crate::error::{PlanError, PlanErrorKind, Result};
use crate::functions::{EMPTY_STRUCT, functions, is_unit, java_name, takes_unit};

/// Prepares an expression that names no column, such as a value in `VALUES`.
pub(in crate::bind) fn prepare_constant(expr: &mut Expr) -> Result<()> {
    qualify(expr, &Scope::default())
}

/// Gives every name its source, and every constant its type.
pub(super) fn qualify(expr: &mut Expr, scope: &Scope) -> Result<()> {
    let mut parameters = LambdaParameters(Vec::new());
    let _ = Visit::visit(expr, &mut parameters);
    let mut qualifier = Qualifier {
        scope,
        parameters: parameters.0,
    };
    match VisitMut::visit(expr, &mut qualifier) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// How an expression is told from others: equal texts are equal expressions.
pub(super) fn canonical(expr: &Expr) -> String {
    struct Bare;
    impl VisitorMut for Bare {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            while let Expr::Nested(inner) = expr {
                *expr = std::mem::replace(inner, Expr::Value(Value::Null.into()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = expr.clone();
    let _ = VisitMut::visit(&mut bare, &mut Bare);
    // Parentheses that tell the order of operators are lost in the text of a tree, so its shape goes in.
    format!("{bare} {}", shape(&bare))
}

fn shape(expr: &Expr) -> String {
    struct Shape(String);
    impl Visitor for Shape {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if matches!(expr, Expr::BinaryOp { .. } | Expr::UnaryOp { .. }) {
                self.0.push('(');
            }
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if matches!(expr, Expr::BinaryOp { .. } | Expr::UnaryOp { .. }) {
                self.0.push(')');
            } else {
                self.0.push('x');
            }
            ControlFlow::Continue(())
        }
    }
    let mut shape = Shape(String::new());
    let _ = Visit::visit(expr, &mut shape);
    shape.0
}

/// The aliases of the sources whose columns an expression names, once for each column.
pub(super) fn sources_of(expr: &Expr) -> Vec<String> {
    struct Aliases(Vec<String>);
    impl Visitor for Aliases {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(names) = expr
                && let Some(alias) = names.first()
            {
                self.0.push(alias.value.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut aliases = Aliases(Vec::new());
    let _ = Visit::visit(expr, &mut aliases);
    aliases.0
}

/// The aggregates that an expression calls.
pub(super) fn aggregates_of(expr: &Expr) -> Vec<String> {
    struct Calls(Vec<String>);
    impl Visitor for Calls {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && let Some(name) = name_of(function).filter(|name| is_aggregate(name))
            {
                self.0.push(name.to_owned());
            }
            ControlFlow::Continue(())
        }
    }
    let mut calls = Calls(Vec::new());
    let _ = Visit::visit(expr, &mut calls);
    calls.0
}

/// Whether an expression calls a function of this name.
pub(super) fn calls(expr: &Expr, name: &str) -> bool {
    struct Finder<'a>(&'a str);
    impl Visitor for Finder<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if name_of(function) == Some(self.0) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(expr, &mut Finder(name)).is_break()
}

/// Takes `AS_VALUE`, which only says that a column is not the key, out of an expression.
pub(super) fn strip_as_value(expr: &mut Expr) {
    struct Strip;
    impl VisitorMut for Strip {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            while let Expr::Function(function) = expr
                && name_of(function) == Some("as_value")
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))) =
                    arguments(function).first()
            {
                *expr = inner.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(expr, &mut Strip);
}

/// Whether an expression is nothing but a column of a source.
pub(super) fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.as_str()),
        Expr::Nested(inner) => column_of(inner),
        _ => None,
    }
}

pub(super) fn name_of(function: &Function) -> Option<&str> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(&name.value),
        _ => None,
    }
}

pub(super) fn is_aggregate(name: &str) -> bool {
    let functions = functions();
    functions.aggregate(name).is_some() && functions.scalar(name).is_none()
}

pub(super) fn arguments(function: &Function) -> &[FunctionArg] {
    match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

fn arguments_mut(function: &mut Function) -> Option<&mut Vec<FunctionArg>> {
    match &mut function.args {
        FunctionArguments::List(list) => Some(&mut list.args),
        _ => None,
    }
}

struct LambdaParameters(Vec<String>);

impl Visitor for LambdaParameters {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Lambda(lambda) = expr {
            match &lambda.params {
                OneOrManyWithParens::One(one) => self.0.push(one.name.value.clone()),
                OneOrManyWithParens::Many(many) => {
                    self.0.extend(many.iter().map(|one| one.name.value.clone()));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

struct Qualifier<'a> {
    scope: &'a Scope,
    /// Names that are parameters of lambdas somewhere in the expression, and no columns.
    parameters: Vec<String>,
}

type Flow = ControlFlow<Box<PlanError>>;

impl VisitorMut for Qualifier<'_> {
    type Break = Box<PlanError>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        match self.rewrite(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        let typed = match expr {
            Expr::Identifier(name) if self.parameters.contains(&name.value) => {
                return Flow::Continue(());
            }
            Expr::Identifier(name) => self.resolve(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(names) => self.resolve(names),
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => number(digits),
                _ => return Flow::Continue(()),
            },
            _ => return Flow::Continue(()),
        };
        match typed {
            Ok(typed) => {
                *expr = typed;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Qualifier<'_> {
    fn resolve(&self, names: &[Ident]) -> Result<Expr> {
        Ok(match self.scope.resolve(names)? {
            Resolved::Column(value) | Resolved::Synthetic(value) => value,
        })
    }

    /// What has to happen before the parts of an expression are looked at.
    fn rewrite(&self, expr: &mut Expr) -> Result<()> {
        // The sign belongs to the number: the smallest BIGINT has no positive counterpart.
        if let Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: operand,
        } = expr
            && let Expr::Value(value) = operand.as_mut()
            && let Value::Number(digits, _) = &mut value.value
            && !digits.starts_with('-')
        {
            let negative = format!("-{digits}");
            *expr = Expr::Value(Value::Number(negative, false).into());
            return Ok(());
        }
        if let Some(spelled) = spelled_out(expr) {
            *expr = spelled;
        }
        let Expr::Function(function) = expr else {
            return Ok(());
        };
        let Some(name) = name_of(function).map(str::to_owned) else {
            return Ok(());
        };
        let plain: Vec<Expr> = arguments(function)
            .iter()
            .filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => Some(arg.clone()),
                _ => None,
            })
            .collect();
        if let Some(spelled) =
            super::aggregates::spelled_out(&name, &plain, self.scope.collect_limits)?
        {
            *expr = spelled;
            return Ok(());
        }
        if let Some(java) = java_name(&name, plain.len()) {
            rename(function, java);
            return Ok(());
        }
        match name.as_str() {
            "struct" if arguments(function).is_empty() => {
                *expr = call(EMPTY_STRUCT, Vec::new());
            }
            "struct" => {
                let structure = named_struct(function)?;
                if let Expr::Function(function) = &structure {
                    refuse_equal_fields(function)?;
                }
                *expr = structure;
            }
            "map" if arguments(function).is_empty() => {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidDefinition,
                    "a map constructor cannot be empty",
                ));
            }
            "explode" => rename(function, "unnest"),
            name if takes_unit(name) => {
                if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) =
                    arguments_mut(function).and_then(|args| args.first_mut())
                    && let Expr::Identifier(word) = unit
                    && is_unit(&word.value)
                {
                    *unit = Expr::Value(Value::SingleQuotedString(word.value.clone()).into());
                }
            }
            "count" => {
                if let Some(args) = arguments_mut(function)
                    && args.is_empty()
                {
                    args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
                }
            }
            name if is_aggregate(name) => {
                if let Some(args) = arguments_mut(function)
                    && matches!(
                        args.as_slice(),
                        [] | [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]
                    )
                {
                    let rowtime = Expr::Identifier(Ident::with_quote('"', "ROWTIME"));
                    *args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(rowtime))];
                }
                if let Some(ours) = super::aggregates::ours(name) {
                    rename(function, ours);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What SQL has its own syntax for, and ksqlDB a function.
fn spelled_out(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Substring {
            expr,
            substring_from: Some(from),
            substring_for,
            ..
        } => {
            let length = substring_for.iter().map(|length| length.as_ref().clone());
            let args = [expr.as_ref().clone(), from.as_ref().clone()];
            Some(call("substring", args.into_iter().chain(length).collect()))
        }
        Expr::Floor {
            expr,
            field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
        } => Some(call("floor", vec![expr.as_ref().clone()])),
        // Java trims all that is not above the space.
        Expr::Trim {
            expr,
            trim_where: None,
            trim_what: None,
            trim_characters: None,
        } => {
            let blank: String = ('\u{1}'..=' ').collect();
            let blank = Expr::Value(Value::SingleQuotedString(blank).into());
            Some(call("btrim", vec![expr.as_ref().clone(), blank]))
        }
        _ => None,
    }
}

fn rename(function: &mut Function, name: &str) {
    if let Some(ObjectNamePart::Identifier(ident)) = function.name.0.first_mut() {
        name.clone_into(&mut ident.value);
    }
}

fn refuse_equal_fields(function: &Function) -> Result<()> {
    let names: Vec<String> = arguments(function)
        .iter()
        .step_by(2)
        .map(ToString::to_string)
        .collect();
    let twice = names
        .iter()
        .enumerate()
        .find(|(i, name)| names[..*i].contains(name));
    match twice {
        None => Ok(()),
        Some((_, name)) => Err(PlanError::new(
            PlanErrorKind::DuplicateColumn,
            format!("duplicate field name {name} in STRUCT"),
        )),
    }
}

/// A number with the type that ksqlDB gives it: INTEGER if it fits, else BIGINT; with an exponent
/// DOUBLE; with a point DECIMAL, which is what it is already.
fn number(digits: &str) -> Result<Expr> {
    if digits.contains(['e', 'E']) {
        let finite = digits.parse::<f64>().is_ok_and(f64::is_finite);
        if !finite {
            return Err(PlanError::new(
                PlanErrorKind::NumericOutOfRange,
                format!("number overflows DOUBLE: {digits}"),
            ));
        }
        let text = Expr::Value(Value::SingleQuotedString(digits.to_owned()).into());
        return Ok(cast(text, DataType::Double(ExactNumberInfo::None)));
    }
    if let Some((whole, fraction)) = digits.split_once('.') {
        // Java counts the digits of the unscaled value, at least as many as the scale.
        let significant = format!("{whole}{fraction}");
        let significant = significant
            .trim_start_matches(['-', '+'])
            .trim_start_matches('0');
        let scale = fraction.len() as u64;
        let precision = (significant.len() as u64).max(scale).max(1);
        if precision > 38 {
            return Ok(Expr::Value(Value::Number(digits.to_owned(), false).into()));
        }
        let text = Expr::Value(Value::SingleQuotedString(digits.to_owned()).into());
        let info = ExactNumberInfo::PrecisionAndScale(precision, scale as i64);
        return Ok(cast(text, DataType::Decimal(info)));
    }
    let text = Expr::Value(Value::SingleQuotedString(digits.to_owned()).into());
    if digits.parse::<i32>().is_ok() {
        return Ok(cast(text, DataType::Integer(None)));
    }
    match digits.parse::<i64>() {
        Ok(_) => Ok(cast(text, DataType::BigInt(None))),
        Err(_) => Err(PlanError::new(
            PlanErrorKind::NumericOutOfRange,
            format!("invalid numeric literal: {digits}"),
        )),
    }
}

pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// `a AND b AND …`.
pub(super) fn all(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(left))),
        op: BinaryOperator::And,
        right: Box::new(Expr::Nested(Box::new(right))),
    })
}

/// `coalesce(a, b)`.
pub(super) fn coalesce(a: Expr, b: Expr) -> Expr {
    call("coalesce", vec![a, b])
}
