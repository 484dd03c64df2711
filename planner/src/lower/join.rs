//! Joins.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join};

use super::walk::{NewStep, Walk};
use super::{OutputKind, PlanNotice};
use crate::error::Result;
use crate::scalar_expr::{Literal, ScalarExpr};
use crate::step_plan::{ChangelogMode, JoinKind, Operator, StateBound};

/// A join whose sides may have been exchanged.
struct Sides {
    left: usize,
    right: usize,
    on: Vec<(ScalarExpr, ScalarExpr)>,
    filter: Option<ScalarExpr>,
}

impl Walk<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<usize> {
        let left = self.plan(&join.left)?;
        let right = self.plan(&join.right)?;
        let on = join
            .on
            .iter()
            .map(|(l, r)| {
                Ok((
                    ScalarExpr::from_logical(l, join.left.schema())?,
                    ScalarExpr::from_logical(r, join.right.schema())?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        // A side of which only the number of rows matters has one column here and none there.
        let widths = (
            join.left.schema().fields().len(),
            join.right.schema().fields().len(),
        );
        let offset = self.width(left);
        let both = join.left.schema().join(join.right.schema())?;
        let filter = join
            .filter
            .as_ref()
            .map(|filter: &Expr| ScalarExpr::from_logical(filter, &both))
            .transpose()?
            .map(|filter| {
                filter.shifted(&|column| match column < widths.0 {
                    true => column,
                    false => column - widths.0 + offset,
                })
            });
        let mut sides = Sides {
            left,
            right,
            on,
            filter,
        };
        let null_equals_null = join.null_equality == NullEquality::NullEqualsNull;
        if join.null_aware {
            self.make_null_aware(&mut sides);
        }
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::LeftSemi,
            JoinType::LeftAnti => JoinKind::LeftAnti,
            JoinType::RightSemi => {
                self.exchange(&mut sides);
                JoinKind::LeftSemi
            }
            JoinType::RightAnti => {
                self.exchange(&mut sides);
                JoinKind::LeftAnti
            }
            JoinType::LeftMark => return Ok(self.mark(&sides, null_equals_null, join)),
            JoinType::RightMark => {
                self.exchange(&mut sides);
                return Ok(self.mark(&sides, null_equals_null, join));
            }
        };
        let step = match self.lookup(&mut sides, kind, null_equals_null) {
            Some(step) => step,
            None => {
                let schema = self.joined_schema(&sides, kind);
                self.push_join(sides, kind, null_equals_null, false, schema)
            }
        };
        let semi = matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti);
        let wanted = join.schema.fields().len();
        if semi || wanted == 0 || self.width(step) == wanted {
            return Ok(step);
        }
        // The columns that nobody looks at are dropped again.
        let exprs: Vec<ScalarExpr> = (0..widths.0)
            .chain(offset..offset + widths.1)
            .map(ScalarExpr::Column)
            .collect();
        let fields: Vec<FieldRef> = exprs
            .iter()
            .filter_map(|expr| match expr {
                ScalarExpr::Column(column) => {
                    Some(self.steps[step].schema.fields()[*column].clone())
                }
                _ => None,
            })
            .collect();
        Ok(self.project(step, exprs, Arc::new(Schema::new(fields))))
    }

    /// A mark join: each left row once, with whether it has a match. It is the rows that have one,
    /// marked true, and the rows that have none, marked false.
    fn mark(&mut self, sides: &Sides, null_equals_null: bool, join: &Join) -> usize {
        let schema = join.schema.inner().clone();
        let width = self.width(sides.left);
        let halves = [(JoinKind::LeftSemi, true), (JoinKind::LeftAnti, false)];
        let inputs: Vec<usize> = halves
            .into_iter()
            .map(|(kind, matched)| {
                let half = Sides {
                    left: sides.left,
                    right: sides.right,
                    on: sides.on.clone(),
                    filter: sides.filter.clone(),
                };
                let joined = self.joined_schema(&half, kind);
                let step = self.push_join(half, kind, null_equals_null, false, joined);
                let exprs = (0..width)
                    .map(ScalarExpr::Column)
                    .chain([super::walk::truth(matched)])
                    .collect();
                self.project(step, exprs, schema.clone())
            })
            .collect();
        let key = self.steps[sides.left].key.clone();
        self.push(
            "union",
            NewStep {
                inputs,
                operator: Operator::Union,
                schema,
                key,
                mode: ChangelogMode::Retract,
                state: StateBound::Stateless,
            },
        )
    }

    /// `NOT IN`: a row is kept if no comparison is true *or unknown*.
    ///
    /// The equalities become one condition that holds unless one of them is false.
    fn make_null_aware(&mut self, sides: &mut Sides) {
        let width = self.width(sides.left);
        let unknown_or_equal = std::mem::take(&mut sides.on).into_iter().map(|(l, r)| {
            ScalarExpr::IsNotFalse(Box::new(ScalarExpr::Binary {
                op: "=".into(),
                left: Box::new(l),
                right: Box::new(r.shifted(&|column| column + width)),
            }))
        });
        sides.filter = unknown_or_equal
            .chain(sides.filter.take())
            .reduce(|left, right| ScalarExpr::Binary {
                op: "AND".into(),
                left: Box::new(left),
                right: Box::new(right),
            });
        self.notices.push(PlanNotice {
            message: "NOT IN compares each row with every row of the subquery".into(),
            hint: Some("Use NOT EXISTS, or exclude NULLs on both sides.".into()),
        });
    }

    fn width(&self, step: usize) -> usize {
        self.steps[step].schema.fields().len()
    }

    /// Turns a join round.
    fn exchange(&mut self, sides: &mut Sides) {
        let (left, right) = (self.width(sides.left), self.width(sides.right));
        std::mem::swap(&mut sides.left, &mut sides.right);
        for (l, r) in &mut sides.on {
            std::mem::swap(l, r);
        }
        sides.filter = sides.filter.take().map(|filter| {
            filter.shifted(&|column| match column < left {
                true => column + right,
                false => column - left,
            })
        });
    }

    /// A join of a stream with a table whose result is to be a stream: each row of the stream
    /// meets the table as it is at that moment.
    fn lookup(
        &mut self,
        sides: &mut Sides,
        kind: JoinKind,
        null_equals_null: bool,
    ) -> Option<usize> {
        use ChangelogMode::{AppendOnly, Retract};
        if self.output != OutputKind::Stream || sides.on.is_empty() {
            return None;
        }
        let modes = (self.steps[sides.left].mode, self.steps[sides.right].mode);
        match (kind, modes) {
            (
                JoinKind::Inner | JoinKind::Left | JoinKind::LeftSemi | JoinKind::LeftAnti,
                (AppendOnly, Retract),
            ) => {
                let schema = self.joined_schema(sides, kind);
                let sides = Sides {
                    left: sides.left,
                    right: sides.right,
                    on: std::mem::take(&mut sides.on),
                    filter: sides.filter.take(),
                };
                Some(self.push_join(sides, kind, null_equals_null, true, schema))
            }
            (JoinKind::Inner | JoinKind::Right, (Retract, AppendOnly)) => {
                let (first, second) = (self.width(sides.left), self.width(sides.right));
                let schema = self.joined_schema(sides, kind);
                self.exchange(sides);
                let kind = match kind {
                    JoinKind::Inner => JoinKind::Inner,
                    _ => JoinKind::Left,
                };
                let exchanged = self.joined_schema(sides, kind);
                let sides = Sides {
                    left: sides.left,
                    right: sides.right,
                    on: std::mem::take(&mut sides.on),
                    filter: sides.filter.take(),
                };
                let step = self.push_join(sides, kind, null_equals_null, true, exchanged);
                // The columns back in the order in which they were.
                let exprs = (second..second + first)
                    .chain(0..second)
                    .map(ScalarExpr::Column)
                    .collect();
                Some(self.project(step, exprs, schema))
            }
            _ => None,
        }
    }

    fn joined_schema(&self, sides: &Sides, kind: JoinKind) -> SchemaRef {
        let left = &self.steps[sides.left].schema;
        let right = &self.steps[sides.right].schema;
        let nullable = |schema: &Schema, nullable: bool| -> Vec<FieldRef> {
            schema
                .fields()
                .iter()
                .map(|field| match nullable && !field.is_nullable() {
                    true => Arc::new(field.as_ref().clone().with_nullable(true)),
                    false => field.clone(),
                })
                .collect()
        };
        let mut fields = nullable(left, matches!(kind, JoinKind::Right | JoinKind::Full));
        if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
            fields.extend(nullable(
                right,
                matches!(kind, JoinKind::Left | JoinKind::Full),
            ));
        }
        Arc::new(Schema::new(fields))
    }

    fn push_join(
        &mut self,
        sides: Sides,
        kind: JoinKind,
        null_equals_null: bool,
        lookup: bool,
        schema: SchemaRef,
    ) -> usize {
        use ChangelogMode::{AppendOnly, Retract};
        let inputs = vec![sides.left, sides.right];
        let (left, right) = (&self.steps[sides.left], &self.steps[sides.right]);
        let mode = match (lookup, kind) {
            (true, _) => AppendOnly,
            (false, JoinKind::Inner | JoinKind::LeftSemi) => self.mode_of(&inputs),
            (false, _) => Retract,
        };
        let key = self.join_key(&sides, kind);
        let constant = |step: usize| matches!(self.steps[step].operator, Operator::Constant { .. });
        // One side that never changes lets the other pass without being kept.
        let grows = |own: usize, other: usize| {
            self.steps[own].mode == AppendOnly && !constant(own) && !constant(other)
        };
        let state = match lookup {
            true => StateBound::Rows,
            false if grows(sides.left, sides.right) || grows(sides.right, sides.left) => {
                StateBound::Unbounded
            }
            false => StateBound::Rows,
        };
        if state == StateBound::Unbounded {
            let names: Vec<String> = [sides.left, sides.right]
                .into_iter()
                .filter(|step| self.steps[*step].mode == AppendOnly)
                .map(|step| format!("\"{}\"", self.origin(step)))
                .collect();
            self.notices.push(PlanNotice {
                message: format!(
                    "this join keeps every row of {} for ever",
                    names.join(" and ")
                ),
                hint: match (left.mode, right.mode, kind) {
                    (AppendOnly, AppendOnly, _) => {
                        Some("Aggregate the streams before they are joined.".into())
                    }
                    (_, _, JoinKind::Inner | JoinKind::Left | JoinKind::Right) => Some(
                        "Use CREATE STREAM … AS to join each row with the table as it is when \
                         the row arrives."
                            .into(),
                    ),
                    _ => None,
                },
            });
        }
        if sides.on.is_empty()
            && sides.filter.is_none()
            && !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti)
        {
            let one_row = |step: usize| self.steps[step].key.as_ref().is_some_and(Vec::is_empty);
            if !one_row(sides.left) && !one_row(sides.right) {
                self.notices.push(PlanNotice {
                    message: "this join has no condition: every row meets every row".into(),
                    hint: None,
                });
            }
        }
        self.push(
            "join",
            NewStep {
                inputs,
                operator: Operator::Join {
                    kind,
                    on: sides.on,
                    filter: sides.filter,
                    null_equals_null,
                    lookup,
                },
                schema,
                key,
                mode,
                state,
            },
        )
    }

    /// The keys of both sides together; the key of one side where the other has at most one row
    /// for each of its rows.
    fn join_key(&self, sides: &Sides, kind: JoinKind) -> Option<Vec<usize>> {
        let left = self.steps[sides.left].key.clone();
        if matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
            return left;
        }
        let right = self.steps[sides.right].key.clone();
        let width = self.width(sides.left);
        let meets = |key: &[usize], side: fn(&(ScalarExpr, ScalarExpr)) -> &ScalarExpr| {
            key.iter().all(|column| {
                sides
                    .on
                    .iter()
                    .any(|pair| *side(pair) == ScalarExpr::Column(*column))
            })
        };
        let right_is_unique = right.as_ref().is_some_and(|key| meets(key, |pair| &pair.1));
        if right_is_unique && matches!(kind, JoinKind::Inner | JoinKind::Left) && left.is_some() {
            return left;
        }
        let left_is_unique = left.as_ref().is_some_and(|key| meets(key, |pair| &pair.0));
        if left_is_unique && matches!(kind, JoinKind::Inner | JoinKind::Right) && right.is_some() {
            return right.map(|key| key.into_iter().map(|column| column + width).collect());
        }
        let mut key = left?;
        key.extend(right?.into_iter().map(|column| column + width));
        Some(key)
    }

    /// The relation behind a step, for messages.
    fn origin(&self, step: usize) -> &str {
        let step = &self.steps[step];
        match (&step.operator, step.inputs.first()) {
            (Operator::Source(source), _) => &source.name,
            (_, Some(input)) => self.origin(*input),
            (_, None) => &step.id,
        }
    }
}

impl ScalarExpr {
    /// The expression over another input, in which columns have other positions.
    pub fn shifted(&self, place: &dyn Fn(usize) -> usize) -> ScalarExpr {
        let boxed = |expr: &ScalarExpr| Box::new(expr.shifted(place));
        let all = |exprs: &[ScalarExpr]| exprs.iter().map(|expr| expr.shifted(place)).collect();
        match self {
            ScalarExpr::Column(column) => ScalarExpr::Column(place(*column)),
            ScalarExpr::Literal(Literal { data_type, value }) => ScalarExpr::Literal(Literal {
                data_type: data_type.clone(),
                value: value.clone(),
            }),
            ScalarExpr::Binary { op, left, right } => ScalarExpr::Binary {
                op: op.clone(),
                left: boxed(left),
                right: boxed(right),
            },
            ScalarExpr::Not(expr) => ScalarExpr::Not(boxed(expr)),
            ScalarExpr::Negative(expr) => ScalarExpr::Negative(boxed(expr)),
            ScalarExpr::IsNull(expr) => ScalarExpr::IsNull(boxed(expr)),
            ScalarExpr::IsNotNull(expr) => ScalarExpr::IsNotNull(boxed(expr)),
            ScalarExpr::IsTrue(expr) => ScalarExpr::IsTrue(boxed(expr)),
            ScalarExpr::IsFalse(expr) => ScalarExpr::IsFalse(boxed(expr)),
            ScalarExpr::IsUnknown(expr) => ScalarExpr::IsUnknown(boxed(expr)),
            ScalarExpr::IsNotTrue(expr) => ScalarExpr::IsNotTrue(boxed(expr)),
            ScalarExpr::IsNotFalse(expr) => ScalarExpr::IsNotFalse(boxed(expr)),
            ScalarExpr::IsNotUnknown(expr) => ScalarExpr::IsNotUnknown(boxed(expr)),
            ScalarExpr::Between {
                expr,
                negated,
                low,
                high,
            } => ScalarExpr::Between {
                expr: boxed(expr),
                negated: *negated,
                low: boxed(low),
                high: boxed(high),
            },
            ScalarExpr::Like {
                expr,
                negated,
                pattern,
                escape,
                case_insensitive,
                similar,
            } => ScalarExpr::Like {
                expr: boxed(expr),
                negated: *negated,
                pattern: boxed(pattern),
                escape: *escape,
                case_insensitive: *case_insensitive,
                similar: *similar,
            },
            ScalarExpr::InList {
                expr,
                list,
                negated,
            } => ScalarExpr::InList {
                expr: boxed(expr),
                list: all(list),
                negated: *negated,
            },
            ScalarExpr::Case {
                operand,
                branches,
                otherwise,
            } => ScalarExpr::Case {
                operand: operand.as_deref().map(boxed),
                branches: branches
                    .iter()
                    .map(|(when, then)| (when.shifted(place), then.shifted(place)))
                    .collect(),
                otherwise: otherwise.as_deref().map(boxed),
            },
            ScalarExpr::Cast { expr, to, lenient } => ScalarExpr::Cast {
                expr: boxed(expr),
                to: to.clone(),
                lenient: *lenient,
            },
            ScalarExpr::Function { name, args } => ScalarExpr::Function {
                name: name.clone(),
                args: all(args),
            },
        }
    }
}
