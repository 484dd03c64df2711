//! `SELECT` list: computes one column for each expression, row by row.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::change_batch::ChangeBatch;
use crate::expression::Expression;
use crate::operator::{StepContext, StepError};
use crate::operators::filter::rows_of;
use crate::operators::stateless::Stateless;

/// Computes the columns of `schema`.
pub struct Project {
    exprs: Vec<Expression>,
    schema: SchemaRef,
}

impl Project {
    pub fn new(exprs: Vec<Expression>, schema: SchemaRef) -> Self {
        debug_assert_eq!(exprs.len(), schema.fields().len());
        Self { exprs, schema }
    }
}

impl Stateless for Project {
    fn apply(
        &self,
        batch: ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<ChangeBatch, StepError> {
        let null_values = batch.null_values();
        let columns = self
            .exprs
            .iter()
            .zip(self.schema.fields())
            .map(|(expr, field)| {
                let array = expr.evaluate(&batch, context)?;
                let array = match &null_values {
                    None => array,
                    Some(null_values) => without_value(array, expr, &batch, null_values)?,
                };
                Ok(conform(array, field.data_type())?)
            })
            .collect::<Result<Vec<ArrayRef>, StepError>>()?;
        let rows = rows_of(self.schema.clone(), columns, batch.num_rows())?;
        Ok(batch.with_rows(rows))
    }
}

/// The column of an expression where records have no value: NULL where it looks at a column that is
/// NULL, whatever it makes of that. `col IS NULL` is neither true nor false of a value that is not there.
fn without_value(
    array: ArrayRef,
    expr: &Expression,
    batch: &ChangeBatch,
    null_values: &BooleanArray,
) -> Result<ArrayRef, ArrowError> {
    if expr.as_column().is_some() {
        return Ok(array);
    }
    let mut lacking = BooleanArray::from(vec![false; batch.num_rows()]);
    for column in expr.columns() {
        lacking = compute::or(&lacking, &compute::is_null(batch.column(column))?)?;
    }
    compute::nullif(&array, &compute::and(&lacking, null_values)?)
}

/// The array as the plan's type; differs only in names of nested fields, dictionaries and the like.
pub(crate) fn conform(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        Ok(array)
    } else {
        compute::cast(&array, data_type)
    }
}
