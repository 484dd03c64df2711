//! From DataFusion's bound expression to ours and back.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{
    Between, BinaryExpr, Case, Cast, InList, Like, ScalarFunction, TryCast,
};
use datafusion::logical_expr::{Expr, Operator, Volatility};

use super::{Literal, ScalarExpr};
use crate::error::{PlanError, Result};
use crate::functions::functions;

/// Every operator that has a text of its own.
const OPERATORS: [Operator; 32] = [
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
    Operator::Plus,
    Operator::Minus,
    Operator::Multiply,
    Operator::Divide,
    Operator::Modulo,
    Operator::And,
    Operator::Or,
    Operator::IsDistinctFrom,
    Operator::IsNotDistinctFrom,
    Operator::RegexMatch,
    Operator::RegexIMatch,
    Operator::RegexNotMatch,
    Operator::RegexNotIMatch,
    Operator::LikeMatch,
    Operator::ILikeMatch,
    Operator::NotLikeMatch,
    Operator::NotILikeMatch,
    Operator::BitwiseAnd,
    Operator::BitwiseOr,
    Operator::BitwiseXor,
    Operator::BitwiseShiftRight,
    Operator::BitwiseShiftLeft,
    Operator::StringConcat,
    Operator::AtArrow,
    Operator::ArrowAt,
    Operator::IntegerDivide,
];

fn operator(text: &str) -> Option<Operator> {
    OPERATORS
        .into_iter()
        .find(|operator| operator.to_string() == text)
}

impl ScalarExpr {
    /// A bound and coerced expression over the columns of `schema`.
    ///
    /// # Errors
    /// When it cannot be evaluated in a continuous query: it is not a function of the row alone,
    /// or holds a subquery.
    pub fn from_logical(expr: &Expr, schema: &DFSchema) -> Result<Self> {
        let boxed = |expr: &Expr| Self::from_logical(expr, schema).map(Box::new);
        Ok(match expr {
            Expr::Alias(alias) => return Self::from_logical(&alias.expr, schema),
            Expr::Column(column) => ScalarExpr::Column(schema.index_of_column(column)?),
            Expr::Literal(value, _) => ScalarExpr::Literal(Literal::from_scalar(value)?),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => ScalarExpr::Binary {
                op: op.to_string(),
                left: boxed(left)?,
                right: boxed(right)?,
            },
            Expr::Not(expr) => ScalarExpr::Not(boxed(expr)?),
            Expr::Negative(expr) => ScalarExpr::Negative(boxed(expr)?),
            Expr::IsNull(expr) => ScalarExpr::IsNull(boxed(expr)?),
            Expr::IsNotNull(expr) => ScalarExpr::IsNotNull(boxed(expr)?),
            Expr::IsTrue(expr) => ScalarExpr::IsTrue(boxed(expr)?),
            Expr::IsFalse(expr) => ScalarExpr::IsFalse(boxed(expr)?),
            Expr::IsUnknown(expr) => ScalarExpr::IsUnknown(boxed(expr)?),
            Expr::IsNotTrue(expr) => ScalarExpr::IsNotTrue(boxed(expr)?),
            Expr::IsNotFalse(expr) => ScalarExpr::IsNotFalse(boxed(expr)?),
            Expr::IsNotUnknown(expr) => ScalarExpr::IsNotUnknown(boxed(expr)?),
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => ScalarExpr::Between {
                expr: boxed(expr)?,
                negated: *negated,
                low: boxed(low)?,
                high: boxed(high)?,
            },
            Expr::Like(like) | Expr::SimilarTo(like) => ScalarExpr::Like {
                expr: boxed(&like.expr)?,
                negated: like.negated,
                pattern: boxed(&like.pattern)?,
                escape: like.escape_char,
                case_insensitive: like.case_insensitive,
                similar: matches!(expr, Expr::SimilarTo(_)),
            },
            Expr::InList(InList {
                expr,
                list,
                negated,
            }) => ScalarExpr::InList {
                expr: boxed(expr)?,
                list: Self::all_from_logical(list, schema)?,
                negated: *negated,
            },
            Expr::Case(Case {
                expr,
                when_then_expr,
                else_expr,
            }) => ScalarExpr::Case {
                operand: expr.as_deref().map(boxed).transpose()?,
                branches: when_then_expr
                    .iter()
                    .map(|(when, then)| Ok((*boxed(when)?, *boxed(then)?)))
                    .collect::<Result<_>>()?,
                otherwise: else_expr.as_deref().map(boxed).transpose()?,
            },
            Expr::Cast(Cast { expr, field }) => ScalarExpr::Cast {
                expr: boxed(expr)?,
                to: field.data_type().clone(),
                lenient: false,
            },
            Expr::TryCast(TryCast { expr, field }) => ScalarExpr::Cast {
                expr: boxed(expr)?,
                to: field.data_type().clone(),
                lenient: true,
            },
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                if func.signature().volatility != Volatility::Immutable {
                    let error = PlanError::not_incremental(format!("function {}()", func.name()));
                    return Err(match func.name() {
                        "now" | "current_date" | "current_time" => {
                            error.with_hint("Use rowtime, the event time of a row.")
                        }
                        _ => error.with_detail(
                            "Its value would not be the same when the query is replayed.",
                        ),
                    });
                }
                ScalarExpr::Function {
                    name: func.name().to_owned(),
                    args: Self::all_from_logical(args, schema)?,
                }
            }
            Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..) => {
                return Err(PlanError::not_incremental("this subquery")
                    .with_detail("It could not be turned into a join."));
            }
            Expr::Placeholder(placeholder) => {
                return Err(PlanError::not_incremental(format!(
                    "parameter {}",
                    placeholder.id
                )));
            }
            Expr::WindowFunction(_) => {
                return Err(PlanError::not_incremental("a window function"));
            }
            Expr::AggregateFunction(_) => {
                return Err(PlanError::internal("an aggregate outside of GROUP BY"));
            }
            Expr::GroupingSet(_) => return Err(PlanError::not_incremental("GROUPING SETS")),
            Expr::HigherOrderFunction(call) => {
                return Err(PlanError::not_incremental(format!(
                    "function {}() with a lambda",
                    call.func.name()
                )));
            }
            Expr::Lambda(_) | Expr::LambdaVariable(_) => {
                return Err(PlanError::not_incremental("a lambda"));
            }
            Expr::Unnest(_) => return Err(PlanError::not_incremental("unnest() here")),
            Expr::ScalarVariable(..) => return Err(PlanError::not_incremental("a variable")),
            #[expect(deprecated)]
            Expr::Wildcard { .. } => return Err(PlanError::internal("a wildcard in a plan")),
        })
    }

    /// Several expressions over one schema.
    ///
    /// # Errors
    /// As [`ScalarExpr::from_logical`].
    pub fn all_from_logical<'a>(
        exprs: impl IntoIterator<Item = &'a Expr>,
        schema: &DFSchema,
    ) -> Result<Vec<Self>> {
        exprs
            .into_iter()
            .map(|expr| Self::from_logical(expr, schema))
            .collect()
    }

    /// The expression as DataFusion's, over [`positional_schema`].
    ///
    /// # Errors
    /// When the registry does not have one of its functions.
    pub fn to_logical(&self) -> Result<Expr> {
        let boxed = |expr: &ScalarExpr| expr.to_logical().map(Box::new);
        Ok(match self {
            ScalarExpr::Column(column) => Expr::Column(Column::new_unqualified(column.to_string())),
            ScalarExpr::Literal(literal) => Expr::Literal(literal.to_scalar()?, None),
            ScalarExpr::Binary { op, left, right } => {
                let operator = operator(op)
                    .ok_or_else(|| PlanError::internal(format!("unknown operator {op}")))?;
                Expr::BinaryExpr(BinaryExpr::new(boxed(left)?, operator, boxed(right)?))
            }
            ScalarExpr::Not(expr) => Expr::Not(boxed(expr)?),
            ScalarExpr::Negative(expr) => Expr::Negative(boxed(expr)?),
            ScalarExpr::IsNull(expr) => Expr::IsNull(boxed(expr)?),
            ScalarExpr::IsNotNull(expr) => Expr::IsNotNull(boxed(expr)?),
            ScalarExpr::IsTrue(expr) => Expr::IsTrue(boxed(expr)?),
            ScalarExpr::IsFalse(expr) => Expr::IsFalse(boxed(expr)?),
            ScalarExpr::IsUnknown(expr) => Expr::IsUnknown(boxed(expr)?),
            ScalarExpr::IsNotTrue(expr) => Expr::IsNotTrue(boxed(expr)?),
            ScalarExpr::IsNotFalse(expr) => Expr::IsNotFalse(boxed(expr)?),
            ScalarExpr::IsNotUnknown(expr) => Expr::IsNotUnknown(boxed(expr)?),
            ScalarExpr::Between {
                expr,
                negated,
                low,
                high,
            } => Expr::Between(Between::new(
                boxed(expr)?,
                *negated,
                boxed(low)?,
                boxed(high)?,
            )),
            ScalarExpr::Like {
                expr,
                negated,
                pattern,
                escape,
                case_insensitive,
                similar,
            } => {
                let like = Like::new(
                    *negated,
                    boxed(expr)?,
                    boxed(pattern)?,
                    *escape,
                    *case_insensitive,
                );
                match similar {
                    true => Expr::SimilarTo(like),
                    false => Expr::Like(like),
                }
            }
            ScalarExpr::InList {
                expr,
                list,
                negated,
            } => Expr::InList(InList::new(
                boxed(expr)?,
                list.iter().map(Self::to_logical).collect::<Result<_>>()?,
                *negated,
            )),
            ScalarExpr::Case {
                operand,
                branches,
                otherwise,
            } => Expr::Case(Case::new(
                operand.as_deref().map(boxed).transpose()?,
                branches
                    .iter()
                    .map(|(when, then)| Ok((boxed(when)?, boxed(then)?)))
                    .collect::<Result<_>>()?,
                otherwise.as_deref().map(boxed).transpose()?,
            )),
            ScalarExpr::Cast { expr, to, lenient } => {
                let field = Arc::new(Field::new("", to.clone(), true));
                match lenient {
                    true => Expr::TryCast(TryCast::new_from_field(boxed(expr)?, field)),
                    false => Expr::Cast(Cast::new_from_field(boxed(expr)?, field)),
                }
            }
            ScalarExpr::Function { name, args } => {
                let function = functions().scalar(name).ok_or_else(|| {
                    PlanError::internal(format!("function {name} is not registered"))
                })?;
                let args = args.iter().map(Self::to_logical).collect::<Result<_>>()?;
                Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
            }
        })
    }
}

/// The columns of a schema under their positions as names, since names may repeat.
///
/// # Errors
/// Never in practice: positions differ.
pub(super) fn positional_schema(schema: &Schema) -> Result<DFSchema> {
    let fields = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| Arc::new(field.as_ref().clone().with_name(i.to_string())))
        .collect();
    Ok(DFSchema::from_unqualified_fields(
        fields,
        Default::default(),
    )?)
}
