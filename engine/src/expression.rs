//! Evaluates scalar expressions over batches, and keeps going when rows fail.
//!
//! ```text
//! batch ──evaluate──► column                          nearly always
//!          │ error
//!          └─► halves ─► … ─► single rows: NULL, and a report to the error sink
//! ```
//!
//! Evaluation is vectorised. Only when a batch fails is it cut in half again and again until the
//! failing rows stand alone, so that k bad rows among n cost O(k log n) further evaluations.
//!
//! Whether a row fails depends on the row alone (and the epoch's recorded time), so a row that gave
//! NULL when it was inserted gives NULL when it is retracted. Only insertions are reported.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, internal_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use planner::scalar_expr::ScalarExpr;

use crate::change_batch::ChangeBatch;
use crate::operator::{RowError, StepContext, StepError};

/// A compiled scalar expression of one step.
#[derive(Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    /// Position of the column, if the expression is nothing else.
    column: Option<usize>,
    data_type: DataType,
    text: Arc<str>,
    step: Arc<str>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.text)
    }
}

impl Expression {
    /// Compiles an expression over `schema` for the step with this identity.
    pub fn compile(expr: &ScalarExpr, schema: &Schema, step: &str) -> Result<Self, StepError> {
        let physical = expr
            .to_physical(schema)
            .map_err(|error| StepError::Internal(error.to_string()))?;
        Ok(Self {
            text: expr.sql(schema).into(),
            ..Self::new(physical, schema, step)?
        })
    }

    /// Wraps a physical expression over `schema`.
    pub fn new(
        physical: Arc<dyn PhysicalExpr>,
        schema: &Schema,
        step: &str,
    ) -> Result<Self, StepError> {
        Ok(Self {
            column: physical
                .downcast_ref::<Column>()
                .map(|column| column.index()),
            data_type: physical.data_type(schema)?,
            text: physical.to_string().into(),
            physical,
            step: step.into(),
        })
    }

    /// The expression over only the columns at the positions `kept`, in ascending order.
    pub fn over_kept_columns(mut self, kept: &[usize]) -> Result<Self, StepError> {
        let moved = self.physical.transform(|node| {
            let Some(column) = node.downcast_ref::<Column>() else {
                return Ok(Transformed::no(node));
            };
            let index = kept
                .binary_search(&column.index())
                .map_err(|_| internal_datafusion_err!("{column} was not kept"))?;
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), index));
            Ok(Transformed::yes(column))
        })?;
        self.physical = moved.data;
        self.column = match self.column {
            None => None,
            Some(column) => kept.binary_search(&column).ok(),
        };
        Ok(self)
    }

    /// Positions of the columns that the expression uses.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        collect_columns(&self.physical)
            .into_iter()
            .map(|column| column.index())
    }

    /// Position of the input's column that the expression is, unless it computes something.
    pub fn as_column(&self) -> Option<usize> {
        self.column
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Whether it is a constant other than NULL.
    pub fn is_never_null(&self) -> bool {
        self.physical
            .downcast_ref::<Literal>()
            .is_some_and(|literal| !literal.value().is_null())
    }

    /// The expression underneath.
    pub fn physical(&self) -> &Arc<dyn PhysicalExpr> {
        &self.physical
    }

    /// One value for each row; NULL where the expression fails.
    pub fn evaluate(
        &self,
        batch: &ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<ArrayRef, StepError> {
        if let Some(index) = self.column {
            return Ok(Arc::clone(batch.column(index)));
        }
        match self.try_evaluate(&batch.rows) {
            Ok(array) => Ok(array),
            Err(error) => {
                let mut pieces = Vec::new();
                self.isolate(batch, error, context, &mut pieces)?;
                let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
                Ok(compute::concat(&pieces)?)
            }
        }
    }

    /// Whether each row satisfies the predicate; rows that fail do not.
    pub fn evaluate_predicate(
        &self,
        batch: &ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<BooleanArray, StepError> {
        let array = self.evaluate(batch, context)?;
        match array.as_any().downcast_ref::<BooleanArray>() {
            Some(mask) => Ok(mask.clone()),
            // An untyped NULL as predicate is true for no row.
            None if array.data_type() == &DataType::Null => Ok(BooleanArray::new_null(array.len())),
            None => Err(StepError::Internal(format!(
                "predicate \"{}\" has type {}",
                self.text,
                array.data_type()
            ))),
        }
    }

    /// Some functions overflow on what happens to lie under a NULL, or on values at the ends of their
    /// type; that is an error of the row like any other.
    fn try_evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        catch_unwind(AssertUnwindSafe(|| {
            self.physical.evaluate(rows)?.into_array(rows.num_rows())
        }))
        .unwrap_or_else(|_| Err(DataFusionError::Execution(format!("{} failed", self.text))))
    }

    /// Evaluates the halves of a batch that failed with `error`, in order.
    fn isolate(
        &self,
        batch: &ChangeBatch,
        error: DataFusionError,
        context: &StepContext<'_>,
        pieces: &mut Vec<ArrayRef>,
    ) -> Result<(), StepError> {
        let rows = batch.num_rows();
        if rows <= 1 {
            if rows == 1 && batch.weight(0) > 0 {
                self.report(batch, reason(&error), context);
            }
            pieces.push(new_null_array(&self.data_type, rows));
            return Ok(());
        }
        let middle = rows / 2;
        for half in [batch.slice(0, middle), batch.slice(middle, rows - middle)] {
            match self.try_evaluate(&half.rows) {
                Ok(array) => pieces.push(array),
                Err(error) => self.isolate(&half, error, context, pieces)?,
            }
        }
        Ok(())
    }

    fn report(&self, row: &ChangeBatch, reason: String, context: &StepContext<'_>) {
        context.errors.report(RowError {
            step: self.step.to_string(),
            expression: self.text.to_string(),
            reason,
            row: row_as_json(&row.rows),
            rowtime: row.rowtimes[0],
        });
    }
}

/// The message at the bottom of an error, without DataFusion's wrapping.
pub(crate) fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            arrow::error::ArrowError::DivideByZero => "division by zero".into(),
            arrow::error::ArrowError::ArithmeticOverflow(message)
            | arrow::error::ArrowError::CastError(message)
            | arrow::error::ArrowError::ComputeError(message)
            | arrow::error::ArrowError::ParseError(message)
            | arrow::error::ArrowError::InvalidArgumentError(message) => message.clone(),
            arrow::error::ArrowError::ExternalError(error) => error.to_string(),
            other => other.to_string(),
        },
        DataFusionError::Execution(message) => message.clone(),
        DataFusionError::External(error) => error.to_string(),
        other => other.strip_backtrace(),
    }
}

/// The first row of a batch as one JSON object.
pub(crate) fn row_as_json(rows: &RecordBatch) -> String {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    let written = writer
        .write(&rows.slice(0, 1))
        .and_then(|()| writer.finish());
    match written {
        Ok(()) => String::from_utf8_lossy(&writer.into_inner())
            .trim_end()
            .to_owned(),
        // Types without a JSON form; the report is worth more than its row.
        Err(error) => format!("{{\"unprintable\": {:?}}}", error.to_string()),
    }
}
