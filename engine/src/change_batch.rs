//! What flows between operators: rows with weights.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, UInt32Array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, Schema};

use crate::records::Mark;

/// Changes to a relation: each row is inserted `weight` times, or retracted if it is negative.
///
/// An update is −1 of the old row immediately followed by +1 of the new one.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    /// The rows themselves.
    pub rows: RecordBatch,
    /// One weight a row, never 0; absent when all are +1.
    pub weights: Option<ScalarBuffer<i64>>,
    /// Event time of each row, microseconds since the epoch UTC.
    pub rowtimes: ScalarBuffer<i64>,
    /// Event time of the one record that all of it comes from, where that is known: a row that goes has
    /// the time at which it came, and a tombstone tells of when it went.
    pub caused_at: Option<i64>,
    /// What the records that the rows come from are beside their columns ([`crate::records::Mark`]), where
    /// that goes on to the result; absent where no record has any.
    pub marks: Option<BinaryArray>,
}

impl ChangeBatch {
    /// Insertions of `rows`.
    pub fn insertions(rows: RecordBatch, rowtimes: ScalarBuffer<i64>) -> Self {
        debug_assert_eq!(rows.num_rows(), rowtimes.len());
        Self {
            rows,
            weights: None,
            rowtimes,
            caused_at: None,
            marks: None,
        }
    }

    /// Rows with a weight each.
    pub fn new(rows: RecordBatch, weights: ScalarBuffer<i64>, rowtimes: ScalarBuffer<i64>) -> Self {
        debug_assert_eq!(rows.num_rows(), rowtimes.len());
        debug_assert_eq!(rows.num_rows(), weights.len());
        let weights = weights.iter().any(|weight| *weight != 1).then_some(weights);
        Self {
            rows,
            weights,
            rowtimes,
            caused_at: None,
            marks: None,
        }
    }

    /// The same changes, with the event time of the record that they come from.
    pub fn caused_at(mut self, time: Option<i64>) -> Self {
        self.caused_at = time;
        self
    }

    /// The same changes as what comes of one record: no row that comes is older than it.
    pub fn caused_by(mut self, time: Option<i64>) -> Self {
        if let Some(time) = time
            && (0..self.num_rows()).any(|row| self.weight(row) > 0 && self.rowtimes[row] < time)
        {
            self.rowtimes = (0..self.num_rows())
                .map(|row| match self.weight(row) > 0 {
                    true => self.rowtimes[row].max(time),
                    false => self.rowtimes[row],
                })
                .collect();
        }
        self.caused_at(time)
    }

    /// The same changes with the marks of their records.
    pub fn with_marks(mut self, marks: Option<BinaryArray>) -> Self {
        self.marks = marks.filter(|marks| marks.null_count() < marks.len());
        self
    }

    /// The marks of the rows at these positions.
    pub fn taken_marks(&self, positions: &UInt32Array) -> Result<Option<BinaryArray>, ArrowError> {
        match &self.marks {
            None => Ok(None),
            Some(marks) => {
                let taken = compute::take(marks, positions, None)?;
                Ok(Some(taken.as_binary::<i32>().clone()))
            }
        }
    }

    /// Which rows stand for records whose value is null, if any does.
    pub fn null_values(&self) -> Option<BooleanArray> {
        let marks = self.marks.as_ref()?;
        let null = |mark: Option<&[u8]>| Some(mark.is_some_and(Mark::says_null));
        let null_values: BooleanArray = marks.iter().map(null).collect();
        (null_values.true_count() > 0).then_some(null_values)
    }

    /// Without the rows that stand for records whose value is null.
    pub fn without_null_values(self) -> Result<Self, ArrowError> {
        match self.null_values() {
            None => Ok(self),
            Some(null_values) => self.filter(&compute::not(&null_values)?),
        }
    }

    /// Rows alone: no marks, and no row that stands for a record whose value is null.
    pub fn without_marks(self) -> Result<Self, ArrowError> {
        if self.marks.is_none() {
            return Ok(self);
        }
        Ok(self.without_null_values()?.with_marks(None))
    }

    /// The changes that undo these.
    pub fn negated(&self) -> Self {
        let weights: Vec<i64> = (0..self.num_rows()).map(|row| -self.weight(row)).collect();
        Self::new(self.rows.clone(), weights.into(), self.rowtimes.clone())
    }

    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The weight of a row.
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[row])
    }

    /// Whether all rows are insertions of one.
    pub fn is_append_only(&self) -> bool {
        self.weights.is_none()
    }

    /// The rows from `offset`, `length` of them, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            rows: self.rows.slice(offset, length),
            weights: self.weights.as_ref().map(|w| w.slice(offset, length)),
            rowtimes: self.rowtimes.slice(offset, length),
            caused_at: self.caused_at,
            marks: self.marks.as_ref().map(|marks| marks.slice(offset, length)),
        }
    }

    /// The same rows with other columns (as many rows as before).
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        debug_assert_eq!(rows.num_rows(), self.num_rows());
        Self {
            rows,
            weights: self.weights.clone(),
            rowtimes: self.rowtimes.clone(),
            caused_at: self.caused_at,
            marks: self.marks.clone(),
        }
    }

    /// The rows at these positions, in this order.
    pub fn take(&self, positions: &UInt32Array) -> Result<Self, ArrowError> {
        let gather = |values: &ScalarBuffer<i64>| -> ScalarBuffer<i64> {
            positions
                .values()
                .iter()
                .map(|p| values[*p as usize])
                .collect()
        };
        Ok(Self {
            rows: compute::take_record_batch(&self.rows, positions)?,
            weights: self.weights.as_ref().map(gather),
            rowtimes: gather(&self.rowtimes),
            caused_at: self.caused_at,
            marks: self.taken_marks(positions)?,
        })
    }

    /// The rows for which `keep` is true; NULL is not.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let kept = |values: &ScalarBuffer<i64>| -> ScalarBuffer<i64> {
            (0..keep.len())
                .filter(|row| keep.is_valid_and_true(*row))
                .map(|row| values[row])
                .collect()
        };
        Ok(Self {
            rows: compute::filter_record_batch(&self.rows, keep)?,
            weights: self.weights.as_ref().map(kept),
            rowtimes: kept(&self.rowtimes),
            caused_at: self.caused_at,
            marks: match &self.marks {
                None => None,
                Some(marks) => Some(compute::filter(marks, keep)?.as_binary::<i32>().clone()),
            },
        })
    }

    /// The rows with two columns more: weight and event time.
    pub fn to_batch(&self) -> RecordBatch {
        let mut fields: Vec<Arc<Field>> = self.rows.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("__weight", DataType::Int64, false)));
        fields.push(Arc::new(Field::new("__rowtime", DataType::Int64, false)));
        let weights: Int64Array = match &self.weights {
            Some(weights) => Int64Array::new(weights.clone(), None),
            None => Int64Array::from_value(1, self.num_rows()),
        };
        let mut columns = self.rows.columns().to_vec();
        columns.push(Arc::new(weights));
        columns.push(Arc::new(Int64Array::new(self.rowtimes.clone(), None)));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .expect("columns are as long as the batch and fit their fields")
    }

    /// What [`ChangeBatch::to_batch`] has made.
    pub fn from_batch(batch: RecordBatch) -> Self {
        let own = batch.num_columns() - 2;
        let numbers = |column: usize| -> ScalarBuffer<i64> {
            batch
                .column(column)
                .as_primitive::<Int64Type>()
                .values()
                .clone()
        };
        let (weights, rowtimes) = (numbers(own), numbers(own + 1));
        let positions: Vec<usize> = (0..own).collect();
        let rows = batch
            .project(&positions)
            .expect("the batch has these columns");
        Self::new(rows, weights, rowtimes)
    }

    /// A column of the rows.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.rows.column(index)
    }
}

/// What `BooleanArray` lacks: NULL counts as false.
trait ValidAndTrue {
    fn is_valid_and_true(&self, row: usize) -> bool;
}

impl ValidAndTrue for BooleanArray {
    fn is_valid_and_true(&self, row: usize) -> bool {
        self.is_valid(row) && self.value(row)
    }
}
