//! Operators by the types of their operands, while a query is bound.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, TimeUnit};
use datafusion::common::{DFSchema, Result as DataFusionResult};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::error::{PlanError, PlanErrorKind, Result};
use crate::functions::{DECIMAL_DIVIDE, EPOCH_MS, functions};
use crate::literal;
use crate::types::{data_type_name, is_text};

/// What plans operators and constructors in this dialect.
pub(in crate::bind) fn expr_planners() -> &'static [Arc<dyn ExprPlanner>] {
    static PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Operators)];
        planners.extend(functions().expr_planners().iter().cloned());
        planners
    });
    &PLANNERS
}

#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> DataFusionResult<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let operands = Operands {
            left: expr.left.clone(),
            left_type: left,
            right: expr.right.clone(),
            right_type: right,
        };
        let planned = match arithmetic_operator(&expr.op) {
            Some(op) => operands.arithmetic(op)?,
            None => match comparison_operator(&expr.op) {
                Some(op) => operands.comparison(op)?,
                None => return Ok(PlannerResult::Original(expr)),
            },
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        schema: &DFSchema,
    ) -> DataFusionResult<PlannerResult<Vec<Expr>>> {
        if exprs.is_empty() {
            return Err(PlanError::new(
                PlanErrorKind::InvalidDefinition,
                "an array constructor cannot be empty",
            )
            .into());
        }
        match unify(&exprs, schema)? {
            Some((_, exprs)) => Ok(PlannerResult::Original(exprs)),
            None => Err(PlanError::new(
                PlanErrorKind::IndeterminateDatatype,
                "cannot construct an array of which all elements are NULL",
            )
            .with_hint("Cast a NULL to the type you want.")
            .into()),
        }
    }
}

fn arithmetic_operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        BinaryOperator::Modulo => Operator::Modulo,
        _ => return None,
    })
}

fn comparison_operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

struct Operands {
    left: Expr,
    left_type: DataType,
    right: Expr,
    right_type: DataType,
}

impl Operands {
    fn arithmetic(self, op: Operator) -> Result<Expr> {
        let (left, right) = (&self.left_type, &self.right_type);
        if is_text(left) && is_text(right) && op == Operator::Plus {
            return Ok(binary(self.left, Operator::StringConcat, self.right));
        }
        if !left.is_numeric() || !right.is_numeric() {
            return Err(PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "arithmetic on types {} and {} is not supported: {} {op} {}",
                    shown_type(left),
                    shown_type(right),
                    self.left,
                    self.right
                ),
            ));
        }
        if left.is_floating() || right.is_floating() {
            return Ok(binary(
                cast(self.left, left, &DataType::Float64),
                op,
                cast(self.right, right, &DataType::Float64),
            ));
        }
        match (as_decimal(left), as_decimal(right)) {
            (Some(to_left), Some(to_right)) if is_decimal(left) || is_decimal(right) => {
                let left = cast(self.left, left, &to_left);
                let right = cast(self.right, right, &to_right);
                if op == Operator::Divide {
                    let divide = functions()
                        .scalar(DECIMAL_DIVIDE)
                        .ok_or_else(|| PlanError::internal("there is no division of decimals"))?;
                    return Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
                        divide,
                        vec![left, right],
                    )));
                }
                Ok(binary(left, op, right))
            }
            _ => {
                let wide = match (left, right) {
                    (DataType::Int64, _) | (_, DataType::Int64) => DataType::Int64,
                    _ => DataType::Int32,
                };
                Ok(binary(
                    cast(self.left, left, &wide),
                    op,
                    cast(self.right, right, &wide),
                ))
            }
        }
    }

    fn comparison(mut self, op: Operator) -> Result<Expr> {
        if self.left_type.is_null() || self.right_type.is_null() {
            return Err(PlanError::new(
                PlanErrorKind::InvalidDefinition,
                format!(
                    "comparison with NULL is not supported: {} {op} {}",
                    self.left, self.right
                ),
            )
            .with_hint("Use IS NULL or IS NOT NULL."));
        }
        self.read_times()?;
        let (left, right) = (&self.left_type, &self.right_type);
        let equality = matches!(op, Operator::Eq | Operator::NotEq);
        let comparable = match (kind(left), kind(right)) {
            (Kind::Nested, Kind::Nested) => equality && same_shape(left, right),
            (a, b) => a == b,
        };
        if !comparable {
            return Err(PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "cannot compare {} ({}) to {} ({}) with {op}",
                    self.left,
                    shown_type(left),
                    self.right,
                    shown_type(right)
                ),
            ));
        }
        let floats = left.is_floating() || right.is_floating();
        if floats && left != right {
            return Ok(binary(
                cast(self.left, left, &DataType::Float64),
                op,
                cast(self.right, right, &DataType::Float64),
            ));
        }
        Ok(binary(self.left, op, self.right))
    }

    /// A text that is compared with a time is one.
    fn read_times(&mut self) -> Result<()> {
        let read =
            |text: &mut Expr, other: &Expr, other_type: &DataType| -> Result<Option<DataType>> {
                if is_event_time(other) {
                    return Ok(event_time(text)?.then_some(DataType::Int64));
                }
                let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &*text else {
                    return Ok(None);
                };
                if kind(other_type) != Kind::Time && !matches!(other_type, DataType::Time64(_)) {
                    return Ok(None);
                }
                *text = Expr::Literal(read_time(literal, other_type)?, None);
                Ok(Some(other_type.clone()))
            };
        if let Some(data_type) = read(&mut self.left, &self.right, &self.right_type)? {
            self.left_type = data_type;
        }
        if let Some(data_type) = read(&mut self.right, &self.left, &self.left_type)? {
            self.right_type = data_type;
        }
        Ok(())
    }
}

/// Makes of a text that is compared with event time the number that it means.
pub(super) fn event_time(text: &mut Expr) -> Result<bool> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &*text else {
        return Ok(false);
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let ScalarValue::TimestampMicrosecond(Some(micros), _) = read_time(literal, &micros)? else {
        return Ok(false);
    };
    *text = Expr::Literal(ScalarValue::Int64(Some(micros.div_euclid(1_000))), None);
    Ok(true)
}

/// Whether an expression is the event time, which may be compared with a text.
pub(super) fn is_event_time(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == EPOCH_MS)
}

/// A time of which the last parts may be missing: `2020`, `2020-05`, `2020-05-01T10`.
fn read_time(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let trimmed = text.trim();
    let padded = match (data_type, trimmed.len()) {
        (DataType::Time64(_), _) => trimmed.to_owned(),
        (_, 4) => format!("{trimmed}-01-01"),
        (_, 7) => format!("{trimmed}-01"),
        (_, 13) => format!("{trimmed}:00"),
        _ => trimmed.to_owned(),
    };
    let zoned = match data_type {
        DataType::Timestamp(unit, None) => DataType::Timestamp(*unit, Some("+00:00".into())),
        other => other.clone(),
    };
    let value = literal::read(&padded, &zoned, chrono_tz::UTC)?.ok_or_else(|| {
        PlanError::new(
            PlanErrorKind::InvalidDatetime,
            format!("invalid time: \"{text}\""),
        )
    })?;
    match value {
        ScalarValue::TimestampMicrosecond(micros, _) => {
            Ok(ScalarValue::TimestampMicrosecond(micros, None))
        }
        other => Ok(other),
    }
}

/// What types can be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Boolean,
    Bytes,
    Time,
    TimeOfDay,
    Nested,
    Other,
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        number if number.is_numeric() => Kind::Number,
        text if is_text(text) => Kind::Text,
        DataType::Boolean => Kind::Boolean,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Bytes,
        DataType::Timestamp(..) | DataType::Date32 => Kind::Time,
        DataType::Time64(_) => Kind::TimeOfDay,
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => Kind::Nested,
        _ => Kind::Other,
    }
}

fn same_shape(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(left), DataType::List(right)) => {
            let (left, right) = (left.data_type(), right.data_type());
            kind(left) == kind(right) || left.is_null() || right.is_null()
        }
        (DataType::Map(left, _), DataType::Map(right, _)) => {
            same_shape(left.data_type(), right.data_type())
        }
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| kind(left.data_type()) == kind(right.data_type()))
        }
        _ => false,
    }
}

fn shown_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".into(),
        other => data_type_name(other),
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn cast(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to {
        return expr;
    }
    if let Expr::Literal(value, _) = &expr
        && let Ok(value) = value.cast_to(to)
    {
        return Expr::Literal(value, None);
    }
    Expr::Cast(Cast::new_from_field(
        Box::new(expr),
        Arc::new(Field::new("", to.clone(), true)),
    ))
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// The decimal that holds all values of a number that is not floating.
fn as_decimal(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int16 | DataType::Int32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 => Some(DataType::Decimal128(19, 0)),
        DataType::Decimal128(..) => Some(data_type.clone()),
        _ => None,
    }
}

/// Brings expressions to one type, that of the first which is not NULL, wide enough for all; `None`
/// when all are NULL. A constant becomes what the others are, if it can be read as that.
pub(super) fn unify(exprs: &[Expr], schema: &DFSchema) -> Result<Option<(DataType, Vec<Expr>)>> {
    let types = exprs
        .iter()
        .map(|expr| expr.get_type(schema))
        .collect::<DataFusionResult<Vec<_>>>()?;
    let Some(mut common) = types.iter().find(|data_type| !data_type.is_null()).cloned() else {
        return Ok(None);
    };
    for (expr, data_type) in exprs.iter().zip(&types) {
        if let Some(wider) = wider(&common, data_type) {
            common = wider;
        } else if !data_type.is_null() && !is_literal(expr) && !is_constructed(expr) {
            return Err(PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "operator does not exist: {} = {} ({expr})",
                    shown_type(&common),
                    shown_type(data_type)
                ),
            )
            .with_hint("You might need to add explicit type casts."));
        }
    }
    let unified = exprs
        .iter()
        .zip(&types)
        .map(|(expr, data_type)| become_type(expr, data_type, &common))
        .collect::<Result<_>>()?;
    Ok(Some((common, unified)))
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => is_literal(&cast.expr),
        Expr::Negative(inner) => is_literal(inner),
        _ => false,
    }
}

/// Whether an expression is made of others on the spot, so that constants in it can be read anew.
fn is_constructed(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call)
        if matches!(call.func.name(), "make_array" | "map" | "named_struct")
            && call.args.iter().all(|arg| is_literal(arg) || is_constructed(arg)))
}

/// The type that holds the values of both; `None` if there is none.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b || b.is_null() {
        return Some(a.clone());
    }
    if a.is_null() {
        return Some(b.clone());
    }
    if a.is_numeric() && b.is_numeric() {
        if a.is_floating() || b.is_floating() {
            return Some(DataType::Float64);
        }
        if is_decimal(a) || is_decimal(b) {
            let (Some(DataType::Decimal128(p1, s1)), Some(DataType::Decimal128(p2, s2))) =
                (as_decimal(a), as_decimal(b))
            else {
                return None;
            };
            let scale = s1.max(s2);
            let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
            return Some(DataType::Decimal128(
                (whole + scale).clamp(1, 38) as u8,
                scale,
            ));
        }
        return Some(DataType::Int64);
    }
    match (a, b) {
        (DataType::List(left), DataType::List(right)) => {
            let element = wider(left.data_type(), right.data_type())?;
            Some(DataType::List(Arc::new(
                left.as_ref()
                    .clone()
                    .with_data_type(element)
                    .with_nullable(true),
            )))
        }
        // The fields of both; one that a value does not have is NULL.
        (DataType::Struct(left), DataType::Struct(right)) => {
            let mut fields = left
                .iter()
                .map(|field| {
                    let member = match right.find(field.name()) {
                        Some((_, other)) => wider(field.data_type(), other.data_type())?,
                        None => field.data_type().clone(),
                    };
                    Some(Field::new(field.name(), member, true))
                })
                .collect::<Option<Vec<Field>>>()?;
            fields.extend(
                right
                    .iter()
                    .filter(|field| left.find(field.name()).is_none())
                    .map(|field| field.as_ref().clone().with_nullable(true)),
            );
            Some(DataType::Struct(fields.into()))
        }
        (DataType::Map(left, sorted), DataType::Map(right, _)) => {
            let (DataType::Struct(of_left), DataType::Struct(of_right)) =
                (left.data_type(), right.data_type())
            else {
                return None;
            };
            let pair = of_left
                .iter()
                .zip(of_right)
                .map(|(left, right)| {
                    let member = wider(left.data_type(), right.data_type())?;
                    Some(left.as_ref().clone().with_data_type(member))
                })
                .collect::<Option<Vec<Field>>>()?;
            let entries = DataType::Struct(pair.into());
            Some(DataType::Map(
                Arc::new(left.as_ref().clone().with_data_type(entries)),
                *sorted,
            ))
        }
        (left, right) if is_text(left) && is_text(right) => Some(DataType::Utf8),
        _ => None,
    }
}

fn become_type(expr: &Expr, from: &DataType, to: &DataType) -> Result<Expr> {
    if from == to || from.is_null() {
        return Ok(expr.clone());
    }
    if kind(to) == Kind::Nested
        && is_constructed(expr)
        && let Expr::ScalarFunction(call) = expr
    {
        return construct(call, to, || cast(expr.clone(), from, to));
    }
    let literal = match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    };
    let clash = |from: &DataType| {
        PlanError::new(
            PlanErrorKind::UndefinedFunction,
            format!(
                "operator does not exist: {} = {} ({expr})",
                shown_type(to),
                shown_type(from)
            ),
        )
    };
    match (kind(from), kind(to)) {
        (Kind::Text, Kind::Text) => Ok(cast(expr.clone(), from, to)),
        (Kind::Text, _) => match literal {
            Some(ScalarValue::Utf8(Some(text))) => match kind(to) {
                Kind::Time | Kind::TimeOfDay => Ok(Expr::Literal(read_time(text, to)?, None)),
                // `2e1` is a whole number too.
                _ if to.is_integer() && text.trim().parse::<i64>().is_err() => {
                    match text.trim().parse::<f64>() {
                        Ok(number) if number.fract() == 0.0 => {
                            let number = ScalarValue::Float64(Some(number)).cast_to(to)?;
                            Ok(Expr::Literal(number, None))
                        }
                        _ => Err(PlanError::new(
                            PlanErrorKind::InvalidText,
                            format!(
                                "invalid input syntax for type {}: \"{text}\"",
                                shown_type(to)
                            ),
                        )),
                    }
                }
                _ => literal::read(text, to, chrono_tz::UTC)?
                    .map(|value| Expr::Literal(value, None))
                    .ok_or_else(|| clash(from)),
            },
            _ => Err(clash(from)),
        },
        (_, Kind::Text) if is_literal(expr) => Ok(cast(expr.clone(), from, to)),
        (a, b) if a == b => Ok(cast(expr.clone(), from, to)),
        _ => Err(clash(from)),
    }
}

/// What is made of constants on the spot is made of such as the type wants: a text in it may be read as
/// a number, say. `otherwise` is for what has another shape than the type.
fn construct(
    call: &ScalarFunction,
    to: &DataType,
    otherwise: impl FnOnce() -> Expr,
) -> Result<Expr> {
    let none = DFSchema::empty();
    let member = |expr: &Expr, to: &DataType| -> Result<Expr> {
        become_type(expr, &expr.get_type(&none)?, to)
    };
    let args = match (call.func.name(), to) {
        ("make_array", DataType::List(element)) => call
            .args
            .iter()
            .map(|arg| member(arg, element.data_type()))
            .collect::<Result<Vec<_>>>()?,
        ("map", DataType::Map(entries, _)) => {
            let (DataType::Struct(pair), [keys, values]) =
                (entries.data_type(), call.args.as_slice())
            else {
                return Ok(otherwise());
            };
            let list = |of: usize| DataType::List(pair[of].clone());
            vec![member(keys, &list(0))?, member(values, &list(1))?]
        }
        ("named_struct", DataType::Struct(fields)) => {
            let mut args = Vec::with_capacity(call.args.len());
            for pair in call.args.chunks(2) {
                let [name, value] = pair else {
                    return Ok(otherwise());
                };
                let field = match name {
                    Expr::Literal(ScalarValue::Utf8(Some(name)), _) => fields.find(name),
                    _ => None,
                };
                args.push(name.clone());
                args.push(match field {
                    Some((_, field)) => member(value, field.data_type())?,
                    None => value.clone(),
                });
            }
            args
        }
        _ => return Ok(otherwise()),
    };
    let made = Expr::ScalarFunction(ScalarFunction::new_udf(call.func.clone(), args));
    let from = made.get_type(&none)?;
    Ok(cast(made, &from, to))
}
