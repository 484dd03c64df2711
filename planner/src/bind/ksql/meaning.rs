//! What lists, choices, casts and comparisons mean, once a whole plan is there.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Between, Case, Cast, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::operators::{event_time, is_event_time, unify};
use crate::bind::analyze::{rewrite_all, whole_number};
use crate::error::{PlanError, PlanErrorKind};
use crate::functions::{
    COMPARABLE, JAVA_CAST, LIKE_PATTERN, arithmetic, casts_as_java, functions, has_map,
};
use crate::literal;
use crate::types::{data_type_name, is_text};

/// Before coercion: constants take the type of what they meet, and what does not fit is refused.
#[derive(Debug)]
pub(in crate::bind) struct Unknowns;

impl AnalyzerRule for Unknowns {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite_all(plan, &|expr, schema| {
            let expr = read_constant(expr)?;
            Ok(Transformed::yes(typed(expr, schema)?))
        })?;
        refuse_untyped(&plan)?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "ksqldb unknowns"
    }
}

/// Numbers, which are casts of their text until they are looked at, become constants.
pub(in crate::bind) fn fold_constants(expr: Expr) -> Result<Expr> {
    expr.transform_up(|expr| Ok(Transformed::yes(read_constant(expr)?)))
        .map(|transformed| transformed.data)
}

/// `CAST('5' AS INTEGER)`, as numbers are written by now, is the number.
fn read_constant(expr: Expr) -> Result<Expr> {
    if let Expr::Cast(Cast { expr: inner, field }) = &expr
        && let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = inner.as_ref()
        && field.data_type().is_numeric()
        && let Some(value) = literal::read(text, field.data_type(), chrono_tz::UTC)?
    {
        return Ok(Expr::Literal(value, None));
    }
    Ok(expr)
}

fn typed(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let mut all = vec![*expr];
            all.extend(list);
            let all = match unify(&all, schema)? {
                // The order of a map's entries says nothing.
                Some((common, all)) if has_map(&common) => {
                    all.into_iter().map(comparable).collect::<Result<_>>()?
                }
                Some((_, all)) => all,
                None => all,
            };
            let mut all = all.into_iter();
            let expr = all
                .next()
                .ok_or_else(|| PlanError::internal("an IN without a left side"))?;
            Ok(Expr::InList(InList {
                expr: Box::new(expr),
                list: all.collect(),
                negated,
            }))
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => {
            let mut all = [*expr, *low, *high];
            if is_event_time(&all[0]) {
                for bound in &mut all[1..] {
                    event_time(bound)?;
                }
            }
            refuse_text_with_number(&all, schema)?;
            let all = match unify(&all, schema)? {
                Some((_, all)) => all,
                None => all.to_vec(),
            };
            let [expr, low, high] = <[Expr; 3]>::try_from(all)
                .map_err(|_| PlanError::internal("a BETWEEN has three operands"))?
                .map(Box::new);
            Ok(Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }))
        }
        Expr::Case(case) => choices(case, schema),
        Expr::Like(mut like) => {
            for operand in [&like.expr, &like.pattern] {
                let data_type = operand.get_type(schema)?;
                if !is_text(&data_type) && !data_type.is_null() {
                    return Err(PlanError::new(
                        PlanErrorKind::DatatypeMismatch,
                        format!("LIKE is of texts, not of {}", data_type_name(&data_type)),
                    )
                    .into());
                }
            }
            if let Some(escape) = like.escape_char.take_if(|escape| *escape != '\\') {
                let escape = Expr::Literal(ScalarValue::from(escape.to_string()), None);
                like.pattern = Box::new(call_of(LIKE_PATTERN, vec![*like.pattern, escape])?);
            }
            Ok(Expr::Like(like))
        }
        Expr::ScalarFunction(mut call) => {
            if call.func.name() == "map" {
                name_null_keys(&mut call, schema)?;
            }
            check_call(&call, schema)?;
            Ok(Expr::ScalarFunction(call))
        }
        Expr::Cast(cast) => {
            check_cast(&cast, schema)?;
            Ok(Expr::Cast(cast))
        }
        other => Ok(other),
    }
}

fn comparable(expr: Expr) -> Result<Expr> {
    call_of(COMPARABLE, vec![expr])
}

fn call_of(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let function = functions()
        .scalar(name)
        .ok_or_else(|| PlanError::internal(format!("there is no function {name}")))?;
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function, args,
    )))
}

/// A key that is NULL is the text `null` in a map that is made on the spot.
fn name_null_keys(call: &mut ScalarFunction, schema: &DFSchema) -> Result<()> {
    let Some(Expr::ScalarFunction(keys)) = call.args.first_mut() else {
        return Ok(());
    };
    let null = || Expr::Literal(ScalarValue::from("null"), None);
    for key in &mut keys.args {
        let data_type = key.get_type(schema)?;
        if data_type.is_null() {
            *key = null();
        } else if is_text(&data_type) && key.nullable(schema)? {
            let named = std::mem::replace(key, null());
            *key = call_of("coalesce", vec![named, null()])?;
        }
    }
    Ok(())
}

/// A number that a text is compared with is not taken for one.
fn refuse_text_with_number(operands: &[Expr], schema: &DFSchema) -> Result<()> {
    let first = operands[0].get_type(schema)?;
    for operand in &operands[1..] {
        let other = operand.get_type(schema)?;
        if is_text(&first) && other.is_numeric() || first.is_numeric() && is_text(&other) {
            return Err(PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "cannot compare {} ({}) to {operand} ({})",
                    operands[0],
                    data_type_name(&first),
                    data_type_name(&other)
                ),
            )
            .into());
        }
    }
    Ok(())
}

fn choices(case: Case, schema: &DFSchema) -> Result<Expr> {
    let results: Vec<Expr> = case
        .when_then_expr
        .iter()
        .map(|(_, then)| then.as_ref().clone())
        .chain(case.else_expr.iter().map(|other| other.as_ref().clone()))
        .collect();
    let Some((_, unified)) = unify(&results, schema)? else {
        return Err(PlanError::new(
            PlanErrorKind::IndeterminateDatatype,
            "all branches of a CASE are NULL",
        )
        .into());
    };
    let mut unified = unified.into_iter().map(Box::new);
    let when_then_expr = case
        .when_then_expr
        .into_iter()
        .zip(unified.by_ref())
        .map(|((when, _), then)| (when, then))
        .collect();
    Ok(Expr::Case(Case {
        expr: case.expr,
        when_then_expr,
        else_expr: unified.next(),
    }))
}

/// Functions that take arguments of one type take them as they are.
fn check_call(call: &ScalarFunction, schema: &DFSchema) -> Result<()> {
    let types =
        || -> Result<Vec<DataType>> { call.args.iter().map(|arg| arg.get_type(schema)).collect() };
    let refuse = |types: &[DataType], reason: &str| {
        let types: Vec<String> = types.iter().map(data_type_name).collect();
        Err(PlanError::new(
            PlanErrorKind::UndefinedFunction,
            format!(
                "function {} does not accept parameters ({}){reason}",
                call.func.name(),
                types.join(", ")
            ),
        )
        .into())
    };
    match call.func.name() {
        "greatest" | "least" => {
            let types = types()?;
            let mut known: Vec<&DataType> = types
                .iter()
                .filter(|data_type| !data_type.is_null())
                .collect();
            known.dedup();
            match known.as_slice() {
                [] => refuse(&types, ""),
                [_] => Ok(()),
                several => {
                    // INT and BIGINT alone leave it open which of the two is meant.
                    let whole = several.contains(&&DataType::Int32)
                        && several.contains(&&DataType::Int64)
                        && !several.contains(&&DataType::Float64);
                    let numbers = several.iter().all(|data_type| data_type.is_numeric());
                    let texts = several.iter().all(|data_type| !data_type.is_numeric());
                    match (numbers && !whole) || texts {
                        true => Ok(()),
                        false => refuse(&types, ", which are of several types"),
                    }
                }
            }
        }
        "map" => {
            // The values are the second of two arrays.
            let values = match call.args.get(1) {
                Some(Expr::ScalarFunction(values)) => &values.args,
                _ => return Ok(()),
            };
            if values.is_empty() {
                return Ok(());
            }
            match unify(values, schema)? {
                Some(_) => Ok(()),
                None => Err(PlanError::new(
                    PlanErrorKind::IndeterminateDatatype,
                    "cannot construct a map of which all values are NULL",
                )
                .into()),
            }
        }
        _ => Ok(()),
    }
}

fn check_cast(cast: &Cast, schema: &DFSchema) -> Result<()> {
    let from = cast.expr.get_type(schema)?;
    let to = cast.field.data_type();
    let fits = match (&from, to) {
        (DataType::Null, _) => true,
        (DataType::Map(..), DataType::Map(..)) => true,
        (_, DataType::Map(..)) => false,
        (DataType::Struct(_), DataType::Struct(_)) => true,
        (_, DataType::Struct(_)) => false,
        (DataType::List(_), DataType::List(_)) => true,
        (_, DataType::List(_)) => false,
        (nested, to) => !nested.is_nested() || is_text(to),
    };
    if fits {
        return Ok(());
    }
    Err(PlanError::new(
        PlanErrorKind::CannotCoerce,
        format!(
            "cannot cast type {} to {}",
            data_type_name(&from),
            data_type_name(to)
        ),
    )
    .into())
}

/// A column that is nothing but NULL has no type.
fn refuse_untyped(plan: &LogicalPlan) -> Result<()> {
    if let LogicalPlan::Projection(projection) = plan {
        for expr in &projection.expr {
            let mut inner = expr;
            while let Expr::Alias(alias) = inner {
                inner = &alias.expr;
            }
            if matches!(inner, Expr::Literal(value, _) if value.data_type().is_null()) {
                return Err(PlanError::new(
                    PlanErrorKind::IndeterminateDatatype,
                    "cannot infer a type of NULL",
                )
                .with_hint("Cast it to the type you want, as in CAST(NULL AS VARCHAR).")
                .into());
            }
        }
    }
    Ok(())
}

/// After coercion: arithmetic that does not wrap, casts by Java's rules, and comparisons with NULL,
/// which are false.
#[derive(Debug)]
pub(in crate::bind) struct Meaning;

impl AnalyzerRule for Meaning {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite_all(plan, &rewrite)?;
        plan.transform_up_with_subqueries(|node| {
            // A condition is no more fulfilled by NULL than by false, and joins and look-ups
            // recognise a plain comparison.
            if let LogicalPlan::Filter(filter) = node {
                let predicate = below_conjunctions(filter.predicate, &|expr| never_null(expr))?;
                return Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(
                    predicate,
                    filter.input,
                )?)));
            }
            if matches!(node, LogicalPlan::Join(_)) {
                return Ok(Transformed::no(node));
            }
            let preserver = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = preserver.save(&expr);
                let expr = never_null(expr)?;
                Ok(Transformed::yes(name.restore(expr)))
            })
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "ksqldb meaning"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply) =>
        {
            let whole = |expr: &Expr| expr.get_type(schema).ok().filter(DataType::is_integer);
            let call = match (whole(&left), whole(&right)) {
                (Some(_), Some(data_type)) => {
                    arithmetic::function_name(op, &data_type).and_then(|name| {
                        arithmetic::checked(name, left.as_ref().clone(), right.as_ref().clone())
                    })
                }
                _ => None,
            };
            Ok(match call {
                Some(call) => Transformed::yes(call),
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            })
        }
        Expr::Cast(Cast { expr, field }) => {
            let from = expr.get_type(schema)?;
            let to = field.data_type();
            if let Some(constant) = whole_number(&expr, to) {
                return Ok(Transformed::yes(constant));
            }
            if !casts_as_java(&from, to) {
                return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
            }
            let cast = functions()
                .scalar(JAVA_CAST)
                .ok_or_else(|| PlanError::internal("there is no cast as Java's"))?;
            let target = Expr::Literal(ScalarValue::try_from(to)?, None);
            Ok(Transformed::yes(Expr::ScalarFunction(
                ScalarFunction::new_udf(cast, vec![*expr, target]),
            )))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Applies something to what AND and OR connect, from the top.
fn below_conjunctions(expr: Expr, apply: &dyn Fn(Expr) -> Result<Expr>) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) => Ok(Expr::BinaryExpr(BinaryExpr {
            left: Box::new(below_conjunctions(*left, apply)?),
            op,
            right: Box::new(below_conjunctions(*right, apply)?),
        })),
        // The comparison itself may be NULL here; not what is inside.
        comparison if is_comparison(&comparison) => comparison
            .map_children(|child| Ok(Transformed::yes(apply(child)?)))
            .map(|transformed| transformed.data),
        other => apply(other),
    }
}

fn is_comparison(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => matches!(
            binary.op,
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
        ),
        Expr::InList(_) | Expr::Between(_) => true,
        _ => false,
    }
}

/// Comparisons in an expression give false where they would give NULL.
fn never_null(expr: Expr) -> Result<Expr> {
    let coalesce = functions()
        .scalar("coalesce")
        .ok_or_else(|| PlanError::internal("there is no coalesce"))?;
    expr.transform_up(|expr| {
        if !is_comparison(&expr) {
            return Ok(Transformed::no(expr));
        }
        let no = Expr::Literal(ScalarValue::Boolean(Some(false)), None);
        Ok(Transformed::yes(Expr::ScalarFunction(
            ScalarFunction::new_udf(Arc::clone(&coalesce), vec![expr, no]),
        )))
    })
    .map(|transformed| transformed.data)
}
