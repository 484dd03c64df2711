//! Scalar expressions as data.
//!
//! A [`ScalarExpr`] is DataFusion's bound expression without its pointers: columns are positions
//! in the input, functions are names, literals are text with a type. It is what a catalog record
//! stores, so that a plan made by one version can be run by the next.
//!
//! ```text
//!  logical Expr ──from_logical──► ScalarExpr ──to_physical──► PhysicalExpr, evaluated on batches
//!                                   │    ▲
//!                                   ▼    │ serde: a flat list, whatever the depth
//! ```

mod display;
mod flat;
mod literal;
mod logical;
mod physical;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

pub use physical::PhysicalAggregate;

/// A bound, coerced scalar expression over the columns of one input.
///
/// Its `Display` shows columns as `#0`; [`ScalarExpr::sql`] shows their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "flat::Flat", into = "flat::Flat")]
pub enum ScalarExpr {
    /// The input's column at this position.
    Column(usize),
    /// A constant.
    Literal(Literal),
    /// `left op right`; `op` as DataFusion prints it (`+`, `=`, `AND`, `IS DISTINCT FROM`, …).
    Binary {
        op: String,
        left: Box<ScalarExpr>,
        right: Box<ScalarExpr>,
    },
    Not(Box<ScalarExpr>),
    Negative(Box<ScalarExpr>),
    IsNull(Box<ScalarExpr>),
    IsNotNull(Box<ScalarExpr>),
    IsTrue(Box<ScalarExpr>),
    IsFalse(Box<ScalarExpr>),
    IsUnknown(Box<ScalarExpr>),
    IsNotTrue(Box<ScalarExpr>),
    IsNotFalse(Box<ScalarExpr>),
    IsNotUnknown(Box<ScalarExpr>),
    Between {
        expr: Box<ScalarExpr>,
        negated: bool,
        low: Box<ScalarExpr>,
        high: Box<ScalarExpr>,
    },
    Like {
        expr: Box<ScalarExpr>,
        negated: bool,
        pattern: Box<ScalarExpr>,
        escape: Option<char>,
        case_insensitive: bool,
        /// `SIMILAR TO` rather than `LIKE`.
        similar: bool,
    },
    InList {
        expr: Box<ScalarExpr>,
        list: Vec<ScalarExpr>,
        negated: bool,
    },
    Case {
        operand: Option<Box<ScalarExpr>>,
        branches: Vec<(ScalarExpr, ScalarExpr)>,
        otherwise: Option<Box<ScalarExpr>>,
    },
    Cast {
        expr: Box<ScalarExpr>,
        to: DataType,
        /// `TRY_CAST`: NULL instead of an error.
        lenient: bool,
    },
    /// A scalar function of the registry, by its canonical name. Checked integer arithmetic is
    /// among them (`_add`, …) and is shown as its operator.
    Function {
        name: String,
        args: Vec<ScalarExpr>,
    },
}

/// A constant: its type and its value, NULL when absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Literal {
    pub data_type: DataType,
    /// Text for Booleans, numbers and strings; for other types hexadecimal Arrow IPC of one row.
    pub value: Option<String>,
}
