//! `TIMESTAMP` of a stream that a query writes: a column tells the time of each row.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::catalog::Relation;
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::expression::row_as_json;
use crate::operator::{ErrorSink, RowError};
use crate::records::Pattern;

/// The rows with the times that `column` says; those for which it says none are reported and left out. A
/// row that stands for a null value keeps the time it has.
pub(super) fn timed(
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
    let times = times(values, pattern)?;
    let in_key = sink.format.key_columns.contains(&column);
    let null_values = delta.null_values().filter(|_| !in_key);
    let keeps = |row: usize| null_values.as_ref().is_some_and(|nulls| nulls.value(row));
    let name = sink.columns.field(column).name();
    let mut rowtimes = Vec::with_capacity(times.len());
    let mut good = Vec::with_capacity(times.len());
    for (row, time) in times.into_iter().enumerate() {
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

/// Microseconds since the epoch. Whole numbers are milliseconds, as in ksqlDB.
fn times(values: &ArrayRef, pattern: Option<&str>) -> Result<Vec<Option<i64>>> {
    if let Some(pattern) = pattern {
        let pattern = Pattern::parse(pattern)
            .map_err(|reason| Error::Internal(format!("timestamp format: {reason}")))?;
        let texts = compute::cast(values, &DataType::Utf8)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let texts = texts.as_string::<i32>();
        return Ok(texts.iter().map(|text| pattern.read(text?)).collect());
    }
    if values.data_type() == &DataType::Int64 {
        let millis = values.as_primitive::<Int64Type>();
        return Ok(millis.iter().map(|ms| ms?.checked_mul(1000)).collect());
    }
    let micros = compute::cast(
        values,
        &DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
    )
    .map_err(|error| Error::Internal(error.to_string()))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    Ok(micros.iter().collect())
}
