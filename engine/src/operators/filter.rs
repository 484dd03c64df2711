//! `WHERE`: keeps the rows for which a predicate is true.
//!
//! A retraction satisfies the predicate exactly if the insertion did, so filtering changes is the
//! same as changing the filtered relation. Columns that nothing after the filter needs are dropped
//! together with the rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{self, FilterBuilder};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::change_batch::ChangeBatch;
use crate::expression::Expression;
use crate::operator::{StepContext, StepError};
use crate::operators::stateless::Stateless;

/// Keeps rows, and of them the columns in `keep`.
pub struct Filter {
    predicate: Expression,
    keep: Vec<usize>,
    schema: SchemaRef,
}

impl Filter {
    /// `schema` is that of the kept columns.
    pub fn new(predicate: Expression, keep: Vec<usize>, schema: SchemaRef) -> Self {
        debug_assert_eq!(keep.len(), schema.fields().len());
        Self {
            predicate,
            keep,
            schema,
        }
    }
}

impl Stateless for Filter {
    fn apply(
        &self,
        batch: ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<ChangeBatch, StepError> {
        let mut mask = self.predicate.evaluate_predicate(&batch, context)?;
        // What has no value satisfies nothing.
        if let Some(null_values) = batch.null_values() {
            mask = compute::and(&mask, &compute::not(&null_values)?)?;
        }
        let columns = self
            .keep
            .iter()
            .map(|index| Arc::clone(batch.column(*index)))
            .collect();
        let pruned = batch.with_rows(rows_of(
            Arc::clone(&self.schema),
            columns,
            batch.num_rows(),
        )?);
        if mask.null_count() == 0 && mask.values().count_set_bits() == mask.len() {
            return Ok(pruned);
        }
        Ok(filter_changes(&pruned, &mask)?)
    }
}

/// A batch with this many rows, also when it has no columns.
pub(crate) fn rows_of(
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    num_rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

/// The changes for which the mask is true, weights and rowtimes by the same kernel as the columns.
pub(crate) fn filter_changes(
    batch: &ChangeBatch,
    mask: &BooleanArray,
) -> Result<ChangeBatch, ArrowError> {
    let filter = FilterBuilder::new(mask).optimize().build();
    let values = |buffer: &ScalarBuffer<i64>| -> Result<ScalarBuffer<i64>, ArrowError> {
        let kept = filter.filter(&Int64Array::new(buffer.clone(), None))?;
        Ok(ScalarBuffer::new(
            kept.to_data().buffers()[0].clone(),
            kept.offset(),
            kept.len(),
        ))
    };
    let columns = batch
        .rows
        .columns()
        .iter()
        .map(|column| filter.filter(column))
        .collect::<Result<_, _>>()?;
    Ok(ChangeBatch {
        rows: rows_of(batch.rows.schema(), columns, filter.count())?,
        weights: batch.weights.as_ref().map(values).transpose()?,
        rowtimes: values(&batch.rowtimes)?,
        caused_at: batch.caused_at,
        marks: match &batch.marks {
            None => None,
            Some(marks) => Some(filter.filter(marks)?.as_binary::<i32>().clone()),
        },
    })
}
