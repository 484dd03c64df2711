//! The plan of a continuous query: incremental operators, as data.
//!
//! A [`StepPlan`] is a graph in topological order; its last step is the root. Each step takes the
//! changes of its inputs between two epochs and gives the changes of its own result. The plan holds
//! no pointer and no state: the engine builds a circuit from it, and stores it in the catalog.

use arrow_schema::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::scalar_expr::{Literal, ScalarExpr};

/// A continuous query's operators in topological order, the root last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    pub steps: Vec<Step>,
}

impl StepPlan {
    /// The step whose changes are the query's result.
    pub fn root(&self) -> &Step {
        self.steps.last().expect("a plan has at least one step")
    }

    /// Whether each row of the result comes of one row of an input, whatever came before.
    pub fn is_stateless(&self) -> bool {
        self.steps.iter().all(|step| match step.operator {
            Operator::Source(_)
            | Operator::Filter { .. }
            | Operator::Project { .. }
            | Operator::Unnest { .. }
            | Operator::Union => true,
            Operator::Constant { .. } | Operator::Aggregate { .. } | Operator::Join { .. } => false,
        })
    }
}

/// One operator of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Stable identity within the query; state is kept under it.
    pub id: String,
    /// Positions in [`StepPlan::steps`] of the steps whose changes come in.
    pub inputs: Vec<usize>,
    pub operator: Operator,
    /// Columns of the result.
    pub schema: SchemaRef,
    /// Positions of columns that identify a row of the result; `None` when rows may repeat.
    pub key: Option<Vec<usize>>,
    pub mode: ChangelogMode,
    pub state: StateBound,
}

/// What kinds of change a step may emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangelogMode {
    /// Insertions only.
    AppendOnly,
    /// Insertions and retractions.
    Retract,
}

/// How much state a step may come to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateBound {
    /// None at all.
    Stateless,
    /// One entry for each distinct key.
    PerKey,
    /// As many rows as the relation that is kept has.
    Rows,
    /// Grows with all the input that ever came.
    Unbounded,
}

/// The incremental operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operator {
    /// Changes of a stream or a table. A table's are retractions and insertions of whole rows.
    Source(Source),
    /// Rows that are there from the beginning and never change: `VALUES`, `SELECT` without `FROM`,
    /// or none at all. They are emitted once, in the query's first step.
    Constant { rows: Vec<Vec<Literal>> },
    /// Keeps the rows for which the predicate is true.
    Filter { predicate: ScalarExpr },
    /// Computes one column for each expression.
    Project { exprs: Vec<ScalarExpr> },
    /// One row for each element of the list columns (several are zipped, the shorter padded with
    /// NULL); other columns repeat.
    Unnest {
        /// Positions of the list columns of the input, each replaced in place by its element.
        lists: Vec<usize>,
        /// Whether a row whose list is empty or NULL gives one row with NULL.
        preserve_nulls: bool,
    },
    /// `UNION ALL`: the inputs' changes, one after the other.
    Union,
    /// `GROUP BY`; with no aggregates it is `DISTINCT`, with no groups there is always exactly one
    /// row. The result has the group columns, then the aggregates.
    Aggregate {
        group_by: Vec<ScalarExpr>,
        aggregates: Vec<AggregateCall>,
        /// Whether a group that has lost its last row keeps its own, aggregated over nothing (ksqlDB,
        /// over tables).
        #[serde(default)]
        keeps_groups: bool,
    },
    /// Joins its two inputs. The result has the left columns, then the right (semi and anti: the
    /// left only; the planner turns right semi and anti round).
    Join {
        kind: JoinKind,
        /// Pairs of equal expressions, over the left and over the right input; empty is a cross
        /// join.
        on: Vec<(ScalarExpr, ScalarExpr)>,
        /// Further condition over left columns followed by right columns.
        filter: Option<ScalarExpr>,
        /// Whether NULL equals NULL in `on` (`INTERSECT`, `EXCEPT`).
        null_equals_null: bool,
        /// Only rows of the left input look up the right one as it is at that moment; changes on
        /// the right emit nothing. The left input is append-only.
        lookup: bool,
    },
}

/// Reads a relation of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The catalog's number of the relation; names may change, this does not.
    pub relation: u32,
    pub name: String,
    pub columns: Vec<SourceColumn>,
}

/// A column that a source gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceColumn {
    /// The relation's own column at this position.
    Value(usize),
    /// Event time: `Timestamp(Microsecond, "+00:00")`.
    Rowtime,
    /// Number of the partition that the row came from: `Int32`. Streams only.
    Partition,
    /// Offset of the row in its partition: `Int64`. Streams only.
    Offset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    LeftSemi,
    LeftAnti,
}

/// One aggregate of a `GROUP BY`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Canonical lower-case name, e.g. `count`, `sum`, `array_agg`.
    pub function: String,
    /// Arguments over the input; empty for `COUNT(*)`.
    pub args: Vec<ScalarExpr>,
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<ScalarExpr>,
    /// `ORDER BY` inside the call.
    pub order_by: Vec<OrderBy>,
    pub ignore_nulls: bool,
    /// Type of the result, as DataFusion derives it.
    pub return_type: DataType,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderBy {
    pub expr: ScalarExpr,
    pub descending: bool,
    pub nulls_first: bool,
}
