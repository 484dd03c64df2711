//! Rows that are there from the beginning: emitted in the query's first step, and never again.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use crate::change_batch::ChangeBatch;
use crate::operator::{Operator, StateReader, StateWriter, StepContext, StepError};
use crate::operators::filter::rows_of;

/// Key of the one entry, which is there once the rows have been emitted.
const EMITTED: &[u8] = b"emitted";

/// Emits its rows once.
pub struct Constant {
    columns: Vec<ArrayRef>,
    rows: usize,
    schema: SchemaRef,
    emitted: bool,
    saved: bool,
}

impl Constant {
    /// `rows` fit `schema`.
    pub fn new(rows: &[Vec<ScalarValue>], schema: SchemaRef) -> Result<Self, StepError> {
        let columns = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                if rows.is_empty() {
                    return Ok(arrow::array::new_empty_array(field.data_type()));
                }
                let cells = rows.iter().map(|row| row[index].clone());
                let column = ScalarValue::iter_to_array(cells)?;
                Ok(super::project::conform(column, field.data_type())?)
            })
            .collect::<Result<_, StepError>>()?;
        Ok(Self {
            columns,
            rows: rows.len(),
            schema,
            emitted: false,
            saved: false,
        })
    }

    /// Whether the rows are still to be emitted.
    pub fn has_initial_rows(&self) -> bool {
        !self.emitted && self.rows > 0
    }
}

impl Operator for Constant {
    fn step(
        &mut self,
        _inputs: Vec<Vec<ChangeBatch>>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        if !self.has_initial_rows() {
            return Ok(Vec::new());
        }
        self.emitted = true;
        let rows = rows_of(self.schema.clone(), self.columns.clone(), self.rows)?;
        let rowtimes = vec![context.epoch_time; self.rows].into();
        Ok(vec![ChangeBatch::insertions(rows, rowtimes)])
    }

    fn checkpoint(&mut self, writer: &mut dyn StateWriter) -> Result<(), StepError> {
        if self.emitted && !self.saved {
            writer.put(EMITTED, &[]);
            self.saved = true;
        }
        Ok(())
    }

    fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StepError> {
        self.emitted = reader.get(EMITTED)?.is_some();
        self.saved = self.emitted;
        Ok(())
    }
}
