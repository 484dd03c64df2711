//! `TIMESTAMP` of a relation that a query writes: a column tells the time of each row.
//!
//! A row of a stream whose column holds no time is no row of it. A table is what its query says, so
//! such a row stays in it with the time of what it comes from; but it is not told in the changelog,
//! as ksqlDB does not.

use arrow::array::{ArrayRef, BooleanArray};

use crate::catalog::{Query, Relation, RelationKind};
use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result};
use crate::expression::row_as_json;
use crate::ingest;
use crate::mill::Mill;
use crate::mill::relation::changelog;
use crate::operator::{ErrorSink, RowError};
use crate::processing_log::Collector;

impl Mill {
    /// Gives rows the times that their `TIMESTAMP` column says. One without such a time goes to the
    /// processing log.
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

/// What goes to the changelog of a table that a query maintains: upserts and tombstones, without rows
/// that have no time. A tombstone has no column to tell its time, so it has that of what caused it.
pub(super) fn changelog_of(relation: &Relation, delta: &ChangeBatch) -> Result<ChangeBatch> {
    let mut upserts = changelog(delta, &relation.key)?;
    let Some(column) = relation.timestamp else {
        return Ok(upserts);
    };
    if let Some(cause) = upserts.caused_at {
        upserts.rowtimes = (0..upserts.num_rows())
            .map(|row| match upserts.weight(row) < 0 {
                true => cause,
                false => upserts.rowtimes[row],
            })
            .collect();
    }
    let times = times(column_of(&upserts, relation, column)?, relation)?;
    let told = times.iter().enumerate();
    let told: BooleanArray = told
        .map(|(row, time)| Some(time.is_some() || upserts.weight(row) < 0))
        .collect();
    (upserts.filter(&told)).map_err(|error| Error::Internal(error.to_string()))
}

/// The rows with the times that `column` says. Those for which it says none are reported; a stream does
/// not get them. A row that stands for a null value keeps the time it has.
fn timed(
    mut delta: ChangeBatch,
    sink: &Relation,
    column: usize,
    errors: &dyn ErrorSink,
) -> Result<ChangeBatch> {
    let times = times(column_of(&delta, sink, column)?, sink)?;
    let is_table = sink.kind == RelationKind::Table;
    let in_key = sink.format.key_columns.contains(&column);
    let null_values = delta.null_values().filter(|_| !in_key);
    let keeps = |row: usize| null_values.as_ref().is_some_and(|nulls| nulls.value(row));
    let name = sink.columns.field(column).name();
    let mut rowtimes = Vec::with_capacity(times.len());
    let mut good = Vec::with_capacity(times.len());
    for (row, time) in times.into_iter().enumerate() {
        let time = match keeps(row) {
            true => Some(delta.rowtimes[row]),
            false => time,
        };
        good.push(time.is_some() || is_table);
        rowtimes.push(time.unwrap_or(delta.rowtimes[row]));
        // Of a row that goes it was reported when it came.
        if time.is_none() && delta.weight(row) > 0 {
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

fn column_of<'a>(delta: &'a ChangeBatch, sink: &Relation, column: usize) -> Result<&'a ArrayRef> {
    (delta.rows.columns().get(column))
        .ok_or_else(|| Error::Internal(format!("the rows of \"{}\" lack their time", sink.name)))
}

/// Microseconds since the epoch; of none before it, as Kafka's records have none.
fn times(values: &ArrayRef, sink: &Relation) -> Result<Vec<Option<i64>>> {
    let pattern = sink.format.timestamp_format.as_deref();
    let micros =
        ingest::event_times(values, pattern).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(micros
        .iter()
        .map(|time| time.filter(|time| *time >= 0))
        .collect())
}
