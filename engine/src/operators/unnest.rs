//! `UNNEST`: one row for each element of the list columns.
//!
//! ```text
//!  (a, [1, 2], [x])  ──►  (a, 1, x)
//!                         (a, 2, NULL)
//! ```
//!
//! Several lists are walked in step, the shorter padded with NULL. The other columns, the weight
//! and the rowtime repeat, so a retraction unnests into the retraction of each of its rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, UInt64Array};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};

use crate::change_batch::ChangeBatch;
use crate::operator::{StepContext, StepError};
use crate::operators::filter::rows_of;
use crate::operators::project::conform;
use crate::operators::stateless::Stateless;

/// Replaces list columns by their elements.
pub struct Unnest {
    lists: Vec<usize>,
    preserve_nulls: bool,
    schema: SchemaRef,
}

impl Unnest {
    pub fn new(lists: Vec<usize>, preserve_nulls: bool, schema: SchemaRef) -> Self {
        Self {
            lists,
            preserve_nulls,
            schema,
        }
    }
}

/// A list column as its elements and the range of them that each row has.
struct Elements {
    values: ArrayRef,
    ranges: Vec<(usize, usize)>,
}

impl Elements {
    fn of(array: &ArrayRef) -> Result<Self, StepError> {
        let range = |row: usize, start: usize, end: usize| {
            if array.is_valid(row) {
                (start, end - start)
            } else {
                (0, 0)
            }
        };
        Ok(match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let ranges = list.offsets().windows(2).enumerate();
                Self {
                    values: Arc::clone(list.values()),
                    ranges: ranges
                        .map(|(row, w)| range(row, w[0] as usize, w[1] as usize))
                        .collect(),
                }
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let ranges = list.offsets().windows(2).enumerate();
                Self {
                    values: Arc::clone(list.values()),
                    ranges: ranges
                        .map(|(row, w)| range(row, w[0] as usize, w[1] as usize))
                        .collect(),
                }
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = *size as usize;
                Self {
                    values: Arc::clone(list.values()),
                    ranges: (0..list.len())
                        .map(|row| range(row, row * size, (row + 1) * size))
                        .collect(),
                }
            }
            DataType::Null => Self {
                values: Arc::clone(array),
                ranges: vec![(0, 0); array.len()],
            },
            other => {
                return Err(StepError::Internal(format!("unnest of type {other}")));
            }
        })
    }
}

impl Stateless for Unnest {
    fn apply(
        &self,
        batch: ChangeBatch,
        _context: &StepContext<'_>,
    ) -> Result<ChangeBatch, StepError> {
        let batch = batch.without_null_values()?;
        let lists = self
            .lists
            .iter()
            .map(|index| Elements::of(batch.column(*index)))
            .collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = (0..batch.num_rows())
            .map(|row| {
                let longest = lists.iter().map(|list| list.ranges[row].1).max();
                longest.unwrap_or(0).max(usize::from(self.preserve_nulls))
            })
            .collect();
        let total = lengths.iter().sum();

        let mut positions = Vec::with_capacity(total);
        for (row, length) in lengths.iter().enumerate() {
            positions.extend(std::iter::repeat_n(row as u32, *length));
        }
        let positions = UInt32Array::from(positions);

        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (index, field) in self.schema.fields().iter().enumerate() {
            let column = match self.lists.iter().position(|list| *list == index) {
                None => compute::take(batch.column(index), &positions, None)?,
                Some(list) => {
                    let list = &lists[list];
                    let mut elements = Vec::with_capacity(total);
                    for (length, (start, own)) in lengths.iter().zip(&list.ranges) {
                        elements
                            .extend((0..*length).map(|i| (i < *own).then_some((start + i) as u64)));
                    }
                    compute::take(&list.values, &UInt64Array::from(elements), None)?
                }
            };
            columns.push(conform(column, field.data_type())?);
        }
        let gather = |values: &[i64]| {
            positions
                .values()
                .iter()
                .map(|p| values[*p as usize])
                .collect()
        };
        Ok(ChangeBatch {
            rows: rows_of(self.schema.clone(), columns, total)?,
            weights: batch.weights.as_ref().map(|weights| gather(weights)),
            rowtimes: gather(&batch.rowtimes),
            caused_at: batch.caused_at,
            marks: batch.taken_marks(&positions)?,
        })
    }
}
