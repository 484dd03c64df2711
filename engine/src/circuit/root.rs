//! Reads the result of a circuit whose root is an aggregate out of the aggregate's own state.

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::operators::aggregate::Aggregate;

/// For each column of the result the aggregate's column that it is, and the result's schema.
pub(super) type Columns<'a> = (&'a [usize], &'a arrow::datatypes::SchemaRef);

pub(super) fn snapshot(
    aggregate: &Aggregate,
    columns: Option<Columns<'_>>,
) -> Result<Vec<ChangeBatch>, StepError> {
    rearranged(aggregate.snapshot()?, columns)
}

pub(super) fn key(aggregate: &Aggregate, columns: Option<Columns<'_>>) -> Option<Vec<usize>> {
    (0..aggregate.key_columns())
        .map(|column| match columns {
            None => Some(column),
            Some((columns, _)) => columns.iter().position(|from| *from == column),
        })
        .collect()
}

pub(super) fn lookup(
    aggregate: &Aggregate,
    columns: Option<Columns<'_>>,
    keys: &[ArrayRef],
) -> Result<Vec<ChangeBatch>, StepError> {
    rearranged(aggregate.lookup(keys)?, columns)
}

fn rearranged(
    batches: Vec<ChangeBatch>,
    columns: Option<Columns<'_>>,
) -> Result<Vec<ChangeBatch>, StepError> {
    let Some((columns, schema)) = columns else {
        return Ok(batches);
    };
    batches
        .into_iter()
        .map(|batch| {
            let rearranged = columns
                .iter()
                .zip(schema.fields())
                .map(|(column, field)| {
                    let column = Arc::clone(batch.column(*column));
                    crate::operators::project::conform(column, field.data_type())
                })
                .collect::<Result<_, _>>()?;
            let rows = crate::operators::filter::rows_of(
                Arc::clone(schema),
                rearranged,
                batch.num_rows(),
            )?;
            Ok(batch.with_rows(rows))
        })
        .collect()
}
