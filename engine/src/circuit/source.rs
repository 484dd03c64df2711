//! Where changes come into a circuit.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use planner::step_plan::SourceColumn;

use crate::change_batch::ChangeBatch;
use crate::operator::StepError;
use crate::operators::filter::rows_of;
use crate::operators::project::conform;

/// Gives the columns of a source, and makes the rowtime columns where they are not given.
pub(super) struct Source {
    columns: Vec<SourceColumn>,
    schema: SchemaRef,
    /// Whether marks of records go on.
    passes_marks: bool,
}

impl Source {
    pub(super) fn new(columns: Vec<SourceColumn>, schema: SchemaRef, passes_marks: bool) -> Self {
        Self {
            columns,
            schema,
            passes_marks,
        }
    }

    /// The batch with all columns of the source.
    pub(super) fn complete(&self, batch: ChangeBatch) -> Result<ChangeBatch, StepError> {
        let batch = match self.passes_marks {
            true => batch,
            false => batch.without_marks()?,
        };
        let given = batch.rows.columns();
        let is_rowtime = |column: &&SourceColumn| matches!(column, SourceColumn::Rowtime);
        let rowtimes = self.columns.iter().filter(is_rowtime).count();
        let all = self.columns.len();
        let columns: Vec<ArrayRef> = if given.len() == all {
            given.to_vec()
        } else if given.len() == all - rowtimes {
            let mut given = given.iter();
            self.columns
                .iter()
                .map(|column| match column {
                    SourceColumn::Rowtime => rowtime_column(&batch),
                    _ => Arc::clone(given.next().expect("counted above")),
                })
                .collect()
        } else {
            return Err(StepError::Internal(format!(
                "a source with {all} columns was given {}",
                given.len()
            )));
        };
        let columns = columns
            .into_iter()
            .zip(self.schema.fields())
            .map(|(column, field)| conform(column, field.data_type()))
            .collect::<Result<_, _>>()?;
        let rows = rows_of(self.schema.clone(), columns, batch.num_rows())?;
        Ok(batch.with_rows(rows))
    }
}

fn rowtime_column(batch: &ChangeBatch) -> ArrayRef {
    let rowtimes = TimestampMicrosecondArray::new(batch.rowtimes.clone(), None);
    Arc::new(rowtimes.with_timezone("+00:00"))
}
