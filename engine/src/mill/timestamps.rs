//! `TIMESTAMP` of a stream that a query writes: a column tells the time of each row.

use arrow::array::BooleanArray;

use crate::catalog::{Query, Relation};
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::expression::row_as_json;
use crate::ingest;
use crate::mill::Mill;
use crate::operator::{ErrorSink, RowError};
use crate::processing_log::Collector;

impl Mill {
    /// Gives the rows of a stream the times that its `TIMESTAMP` column says. One without such a time is no
    /// row of it, and goes to the processing log.
    pub(super) fn timed(
        &self,
        query: &Query,
        sink: &Relation,
        output: Vec<ChangeBatch>,
    ) -> Result<Vec<ChangeBatch>> {
        let Some(column) = query.timed_by.filter(|_| !output.is_empty()) else {
            return Ok(output);
        };
        let errors = Collector::of_relation(sink);
        let timed = output
            .into_iter()
            .map(|delta| timed(delta, sink, column, &errors))
            .collect::<Result<_>>()?;
        self.processing_log.write(errors)?;
        Ok(timed)
    }
}

/// The rows with the times that `column` says; those for which it says none are reported and left out. A
/// row that stands for a null value keeps the time it has.
fn timed(
    mut delta: ChangeBatch,
    sink: &Relation,
    column: usize,
    errors: &dyn ErrorSink,
) -> Result<ChangeBatch> {
    let values =
        delta.rows.columns().get(column).ok_or_else(|| {
            Error::Internal(format!("the rows of \"{}\" lack their time", sink.name))
        })?;
    let pattern = sink.format.timestamp_format.as_deref();
    let times =
        ingest::event_times(values, pattern).map_err(|error| Error::Internal(error.to_string()))?;
    let in_key = sink.format.key_columns.contains(&column);
    let null_values = delta.null_values().filter(|_| !in_key);
    let keeps = |row: usize| null_values.as_ref().is_some_and(|nulls| nulls.value(row));
    let name = sink.columns.field(column).name();
    let mut rowtimes = Vec::with_capacity(times.len());
    let mut good = Vec::with_capacity(times.len());
    for (row, time) in times.iter().enumerate() {
        let time = match keeps(row) {
            true => Some(delta.rowtimes[row]),
            false => time.filter(|time| *time >= 0),
        };
        good.push(time.is_some());
        rowtimes.push(time.unwrap_or_default());
        if time.is_none() {
            errors.report(RowError {
                step: "timestamp".into(),
                expression: format!("\"{name}\""),
                reason: "the column holds no time, or one before 1970".into(),
                row: row_as_json(&delta.rows.slice(row, 1)),
                rowtime: delta.rowtimes[row],
            });
        }
    }
    let all = good.iter().all(|good| *good);
    delta.rowtimes = rowtimes.into();
    match all {
        true => Ok(delta),
        false => (delta.filter(&BooleanArray::from(good)))
            .map_err(|error| Error::Internal(error.to_string())),
    }
}
