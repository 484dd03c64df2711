//! Push queries: `SELECT … EMIT CHANGES` and what becomes of its changes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
};
use arrow::compute;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use planner::lower::{Lowered, OutputKind};
use planner::step_plan::ChangelogMode;
use sql::ast::{Emit, Query};

use crate::change_batch::ChangeBatch;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::relation::changelog;
use crate::mill::subscription::{PushOptions, Pushed};
use crate::response::Rows;
use crate::session::Session;

/// How changes are shown as rows.
#[derive(Clone)]
struct Shape {
    columns: SchemaRef,
    epoch: bool,
    op: bool,
    /// Whether rows that go are shown; otherwise only what replaces them.
    retractions: bool,
    /// For ksqlDB's clients, who see of a row that goes its key and NULLs: the columns of the key.
    tombstones: Option<Vec<usize>>,
    /// Whether they do see it, and not only count it.
    shows_tombstones: bool,
}

/// Rows for a client.
struct Shown {
    rows: RecordBatch,
    /// Those that a LIMIT counts, but the client does not see.
    hidden: Option<BooleanArray>,
}

impl Shown {
    /// What is to be seen of the first rows.
    fn first(self, count: usize) -> Result<RecordBatch> {
        let count = count.min(self.rows.num_rows());
        let rows = self.rows.slice(0, count);
        match self.hidden {
            None => Ok(rows),
            Some(hidden) => {
                let seen = compute::not(&hidden.slice(0, count)).map_err(internal)?;
                compute::filter_record_batch(&rows, &seen).map_err(internal)
            }
        }
    }
}

impl Session {
    pub(super) async fn push(&mut self, query: &Query, parameters: &[ScalarValue]) -> Result<Rows> {
        let lowered = self.lower_push(query, parameters).await?;
        let shape = self.shape(&lowered);
        let columns = shape.columns.clone();
        let from_beginning = self.settings.begins_with_history();
        let every_change = self.settings.emits_every_change();
        if self.settings.is_strict() {
            let sealed = self.engine.log.sealed().0;
            self.engine.mill.wait_frontier(sealed).await?;
        }
        let mill = self.engine.mill.clone();
        let catalog = self.engine.catalog();
        let plan = lowered.plan.clone();
        let receiver = tokio::task::spawn_blocking(move || {
            let options = PushOptions {
                from_beginning,
                every_change,
            };
            mill.subscribe(&plan, &catalog, options)
        })
        .await
        .map_err(|error| Error::Internal(format!("a push query could not start: {error}")))??;
        let rows = futures::stream::unfold(receiver, |mut receiver| async move {
            let pushed = receiver.recv().await?;
            Some((pushed, receiver))
        })
        .flat_map(move |pushed| {
            let batches = match pushed {
                Ok(pushed) => shape.rows(pushed),
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(batches)
        });
        let batches = at_most(rows.boxed(), lowered.limit.unwrap_or(usize::MAX));
        if lowered.limit.is_none() {
            self.notice_with_hint(
                "this query does not end",
                "In psql see rows as they come with \\set FETCH_COUNT 1, or COPY (SELECT … EMIT CHANGES) TO STDOUT; Ctrl-C stops it.",
            );
        }
        Ok(Rows {
            columns,
            batches,
            endless: true,
            tag: "SELECT",
        })
    }

    /// Columns that a push query shows.
    pub(super) async fn push_columns(&mut self, query: &Query) -> Result<SchemaRef> {
        let lowered = self.lower_push(query, &[]).await?;
        self.notices.clear();
        Ok(self.shape(&lowered).columns)
    }

    async fn lower_push(&mut self, query: &Query, parameters: &[ScalarValue]) -> Result<Lowered> {
        if query.emit == Some(Emit::Final) {
            return Err(StatementError::new(
                StatementErrorKind::Unsupported,
                "EMIT FINAL is not supported",
            )
            .into());
        }
        self.plan_continuous(query, OutputKind::Push, parameters)
            .await
    }

    fn shape(&self, lowered: &Lowered) -> Shape {
        let retracts = lowered.plan.root().mode == ChangelogMode::Retract;
        let epoch = self.settings.emits_epoch();
        let op = retracts && self.settings.emits_op();
        let mut fields: Vec<Arc<Field>> = Vec::new();
        if epoch {
            fields.push(Arc::new(Field::new("epoch", DataType::Int64, false)));
        }
        if op {
            fields.push(Arc::new(Field::new("op", DataType::Utf8, false)));
        }
        fields.extend(lowered.columns.iter().cloned());
        let retractions = op || !retracts || epoch;
        let of_ksqldb = self.settings.dialect() == sql::Dialect::Ksqldb;
        let key = lowered.plan.root().key.clone().unwrap_or_default();
        Shape {
            columns: Arc::new(Schema::new(fields)),
            epoch,
            op,
            retractions,
            tombstones: (of_ksqldb && !retractions).then_some(key),
            shows_tombstones: self.settings.emits_tombstones(),
        }
    }
}

impl Shape {
    fn rows(&self, pushed: Pushed) -> Vec<Result<Shown>> {
        pushed
            .changes
            .iter()
            .map(|delta| match &self.tombstones {
                Some(key) if !delta.is_append_only() => {
                    let (delta, gone) = with_tombstones(delta, key)?;
                    Ok(Shown {
                        rows: self.batch(pushed.epoch, &delta)?,
                        hidden: (!self.shows_tombstones).then_some(gone),
                    })
                }
                _ => Ok(Shown {
                    rows: self.batch(pushed.epoch, delta)?,
                    hidden: None,
                }),
            })
            .filter(|shown| {
                shown
                    .as_ref()
                    .map_or(true, |shown| shown.rows.num_rows() > 0)
            })
            .collect()
    }

    /// One row for each time a row came or went.
    fn batch(&self, epoch: u64, delta: &ChangeBatch) -> Result<RecordBatch> {
        let mut positions: Vec<u32> = Vec::with_capacity(delta.num_rows());
        let mut ops: Vec<&str> = Vec::with_capacity(delta.num_rows());
        for row in 0..delta.num_rows() {
            let weight = delta.weight(row);
            if weight < 0 && !self.retractions {
                continue;
            }
            for _ in 0..weight.unsigned_abs() {
                positions.push(row as u32);
                ops.push(if weight < 0 { "-" } else { "+" });
            }
        }
        let count = positions.len();
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.epoch {
            columns.push(Arc::new(Int64Array::from_value(epoch as i64, count)));
        }
        if self.op {
            columns.push(Arc::new(StringArray::from(ops)));
        }
        let rows = if count == delta.num_rows() && delta.is_append_only() {
            delta.rows.clone()
        } else {
            compute::take_record_batch(&delta.rows, &UInt32Array::from(positions))
                .map_err(internal)?
        };
        columns.extend(rows.columns().iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(relaxed(&self.columns), columns, &options)
            .map_err(internal)
    }
}

/// Instead of each row that goes and that nothing replaces a row that comes, with its key and NULLs; and
/// which rows are such.
fn with_tombstones(delta: &ChangeBatch, key: &[usize]) -> Result<(ChangeBatch, BooleanArray)> {
    let delta = match key {
        // Nothing tells which row replaces which; but as many as come do.
        [] => delta.clone(),
        key => changelog(delta, key)?,
    };
    let weights = (0..delta.num_rows()).map(|row| delta.weight(row));
    let mut replaced: i64 = match key {
        [] => weights.clone().filter(|weight| *weight > 0).sum(),
        _ => 0,
    };
    let mut positions: Vec<u32> = Vec::with_capacity(delta.num_rows());
    let mut gone = Vec::with_capacity(delta.num_rows());
    for (row, weight) in weights.enumerate() {
        for _ in 0..weight.unsigned_abs() {
            if weight < 0 && replaced > 0 {
                replaced -= 1;
                continue;
            }
            positions.push(row as u32);
            gone.push(weight < 0);
        }
    }
    let told = delta
        .take(&UInt32Array::from(positions))
        .map_err(internal)?;
    let gone = BooleanArray::from(gone);
    let columns = told
        .rows
        .columns()
        .iter()
        .enumerate()
        .map(|(position, column)| match key.contains(&position) {
            true => Ok(column.clone()),
            false => compute::nullif(column, &gone),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()
        .map_err(internal)?;
    let options = RecordBatchOptions::new().with_row_count(Some(told.num_rows()));
    let rows = RecordBatch::try_new_with_options(relaxed(&told.rows.schema()), columns, &options)
        .map_err(internal)?;
    Ok((ChangeBatch::insertions(rows, told.rowtimes), gone))
}

/// The same columns, any of which may be NULL.
fn relaxed(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Ends a stream of rows after so many.
fn at_most(
    batches: futures::stream::BoxStream<'static, Result<Shown>>,
    limit: usize,
) -> futures::stream::BoxStream<'static, Result<RecordBatch>> {
    futures::stream::unfold((batches, limit), |(mut batches, left)| async move {
        if left == 0 {
            return None;
        }
        match batches.next().await? {
            Ok(shown) => {
                let rest = left.saturating_sub(shown.rows.num_rows());
                Some((shown.first(left), (batches, rest)))
            }
            Err(error) => Some((Err(error), (batches, 0))),
        }
    })
    .boxed()
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Internal(format!("changes cannot be shown: {error}"))
}
