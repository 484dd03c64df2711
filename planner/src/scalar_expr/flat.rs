//! How an expression is written down: a list of nodes, operands before their operator.
//!
//! A chain of a thousand terms is a thousand levels deep. JSON of that depth is refused by its
//! readers; a list is not.

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use super::{Literal, ScalarExpr};

/// Nodes in postfix order; the last one is the root, and each refers to earlier ones only.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Flat(Vec<Node>);

/// One node; operands are positions in the list.
#[derive(Serialize, Deserialize)]
enum Node {
    Column(usize),
    Literal(Literal),
    Binary(String, usize, usize),
    Not(usize),
    Negative(usize),
    IsNull(usize),
    IsNotNull(usize),
    IsTrue(usize),
    IsFalse(usize),
    IsUnknown(usize),
    IsNotTrue(usize),
    IsNotFalse(usize),
    IsNotUnknown(usize),
    Between {
        expr: usize,
        negated: bool,
        low: usize,
        high: usize,
    },
    Like {
        expr: usize,
        negated: bool,
        pattern: usize,
        escape: Option<char>,
        case_insensitive: bool,
        similar: bool,
    },
    InList {
        expr: usize,
        list: Vec<usize>,
        negated: bool,
    },
    Case {
        operand: Option<usize>,
        branches: Vec<(usize, usize)>,
        otherwise: Option<usize>,
    },
    Cast {
        expr: usize,
        to: DataType,
        lenient: bool,
    },
    Function {
        name: String,
        args: Vec<usize>,
    },
}

impl From<ScalarExpr> for Flat {
    fn from(expr: ScalarExpr) -> Self {
        let mut flat = Flat(Vec::new());
        crate::on_large_stack(|| flat.push(expr));
        flat
    }
}

impl Flat {
    fn push(&mut self, expr: ScalarExpr) -> usize {
        let node = match expr {
            ScalarExpr::Column(column) => Node::Column(column),
            ScalarExpr::Literal(literal) => Node::Literal(literal),
            ScalarExpr::Binary { op, left, right } => {
                let left = self.push(*left);
                let right = self.push(*right);
                Node::Binary(op, left, right)
            }
            ScalarExpr::Not(expr) => Node::Not(self.push(*expr)),
            ScalarExpr::Negative(expr) => Node::Negative(self.push(*expr)),
            ScalarExpr::IsNull(expr) => Node::IsNull(self.push(*expr)),
            ScalarExpr::IsNotNull(expr) => Node::IsNotNull(self.push(*expr)),
            ScalarExpr::IsTrue(expr) => Node::IsTrue(self.push(*expr)),
            ScalarExpr::IsFalse(expr) => Node::IsFalse(self.push(*expr)),
            ScalarExpr::IsUnknown(expr) => Node::IsUnknown(self.push(*expr)),
            ScalarExpr::IsNotTrue(expr) => Node::IsNotTrue(self.push(*expr)),
            ScalarExpr::IsNotFalse(expr) => Node::IsNotFalse(self.push(*expr)),
            ScalarExpr::IsNotUnknown(expr) => Node::IsNotUnknown(self.push(*expr)),
            ScalarExpr::Between {
                expr,
                negated,
                low,
                high,
            } => Node::Between {
                expr: self.push(*expr),
                negated,
                low: self.push(*low),
                high: self.push(*high),
            },
            ScalarExpr::Like {
                expr,
                negated,
                pattern,
                escape,
                case_insensitive,
                similar,
            } => Node::Like {
                expr: self.push(*expr),
                negated,
                pattern: self.push(*pattern),
                escape,
                case_insensitive,
                similar,
            },
            ScalarExpr::InList {
                expr,
                list,
                negated,
            } => Node::InList {
                expr: self.push(*expr),
                list: self.push_all(list),
                negated,
            },
            ScalarExpr::Case {
                operand,
                branches,
                otherwise,
            } => Node::Case {
                operand: operand.map(|operand| self.push(*operand)),
                branches: branches
                    .into_iter()
                    .map(|(when, then)| (self.push(when), self.push(then)))
                    .collect(),
                otherwise: otherwise.map(|otherwise| self.push(*otherwise)),
            },
            ScalarExpr::Cast { expr, to, lenient } => Node::Cast {
                expr: self.push(*expr),
                to,
                lenient,
            },
            ScalarExpr::Function { name, args } => Node::Function {
                args: self.push_all(args),
                name,
            },
        };
        self.0.push(node);
        self.0.len() - 1
    }

    fn push_all(&mut self, exprs: Vec<ScalarExpr>) -> Vec<usize> {
        exprs.into_iter().map(|expr| self.push(expr)).collect()
    }
}

impl TryFrom<Flat> for ScalarExpr {
    type Error = &'static str;

    fn try_from(flat: Flat) -> Result<Self, Self::Error> {
        let mut built = Built(Vec::with_capacity(flat.0.len()));
        for node in flat.0 {
            let expr = built.expr(node)?;
            built.0.push(Some(expr));
        }
        let root = built
            .0
            .pop()
            .flatten()
            .ok_or("an expression without nodes")?;
        match built.0.iter().all(Option::is_none) {
            true => Ok(root),
            false => Err("an expression with nodes that are not used"),
        }
    }
}

/// What was built so far and is not used yet.
struct Built(Vec<Option<ScalarExpr>>);

impl Built {
    fn expr(&mut self, node: Node) -> Result<ScalarExpr, &'static str> {
        Ok(match node {
            Node::Column(column) => ScalarExpr::Column(column),
            Node::Literal(literal) => ScalarExpr::Literal(literal),
            Node::Binary(op, left, right) => ScalarExpr::Binary {
                op,
                left: self.take(left)?,
                right: self.take(right)?,
            },
            Node::Not(expr) => ScalarExpr::Not(self.take(expr)?),
            Node::Negative(expr) => ScalarExpr::Negative(self.take(expr)?),
            Node::IsNull(expr) => ScalarExpr::IsNull(self.take(expr)?),
            Node::IsNotNull(expr) => ScalarExpr::IsNotNull(self.take(expr)?),
            Node::IsTrue(expr) => ScalarExpr::IsTrue(self.take(expr)?),
            Node::IsFalse(expr) => ScalarExpr::IsFalse(self.take(expr)?),
            Node::IsUnknown(expr) => ScalarExpr::IsUnknown(self.take(expr)?),
            Node::IsNotTrue(expr) => ScalarExpr::IsNotTrue(self.take(expr)?),
            Node::IsNotFalse(expr) => ScalarExpr::IsNotFalse(self.take(expr)?),
            Node::IsNotUnknown(expr) => ScalarExpr::IsNotUnknown(self.take(expr)?),
            Node::Between {
                expr,
                negated,
                low,
                high,
            } => ScalarExpr::Between {
                expr: self.take(expr)?,
                negated,
                low: self.take(low)?,
                high: self.take(high)?,
            },
            Node::Like {
                expr,
                negated,
                pattern,
                escape,
                case_insensitive,
                similar,
            } => ScalarExpr::Like {
                expr: self.take(expr)?,
                negated,
                pattern: self.take(pattern)?,
                escape,
                case_insensitive,
                similar,
            },
            Node::InList {
                expr,
                list,
                negated,
            } => ScalarExpr::InList {
                expr: self.take(expr)?,
                list: self.take_all(list)?,
                negated,
            },
            Node::Case {
                operand,
                branches,
                otherwise,
            } => ScalarExpr::Case {
                operand: operand.map(|operand| self.take(operand)).transpose()?,
                branches: branches
                    .into_iter()
                    .map(|(when, then)| Ok((*self.take(when)?, *self.take(then)?)))
                    .collect::<Result<_, &'static str>>()?,
                otherwise: otherwise.map(|expr| self.take(expr)).transpose()?,
            },
            Node::Cast { expr, to, lenient } => ScalarExpr::Cast {
                expr: self.take(expr)?,
                to,
                lenient,
            },
            Node::Function { name, args } => ScalarExpr::Function {
                name,
                args: self.take_all(args)?,
            },
        })
    }

    fn take(&mut self, at: usize) -> Result<Box<ScalarExpr>, &'static str> {
        self.0
            .get_mut(at)
            .and_then(Option::take)
            .map(Box::new)
            .ok_or("an expression whose operand is missing")
    }

    fn take_all(&mut self, at: Vec<usize>) -> Result<Vec<ScalarExpr>, &'static str> {
        at.into_iter()
            .map(|at| self.take(at).map(|expr| *expr))
            .collect()
    }
}
