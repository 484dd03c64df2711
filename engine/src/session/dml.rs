//! `INSERT`, `UPDATE`, `DELETE`, `TRUNCATE`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute;
use arrow::datatypes::Int64Type;
use datafusion::scalar::ScalarValue;
use log_store::NewBatch;
use sql::ast::{Delete, Insert, InsertSource, Statement, Truncate, Update};

use crate::batch;
use crate::catalog::{Relation, RelationKind};
use crate::engine::Engine;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::ingest::{self, Write};
use crate::response::Response;
use crate::session::plan::{Planned, check_base_table, check_insertable, is_continuous};
use crate::session::{Session, done, relation_name};

impl Session {
    pub(super) async fn insert(
        &mut self,
        insert: &Insert,
        statement: &Statement,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let name = relation_name(&insert.relation)?;
        let mut relation = self.engine.catalog().expect_relation(&name)?.clone();
        check_insertable(&relation)?;
        let is_query = matches!(insert.source, InsertSource::Query(_));
        let plan = self.insert_planning(insert, parameters)?;
        let state = self.engine.batch.state(self.settings.time_zone());
        let evaluate = async move {
            let planned = plan()?;
            // Values that read nothing need not wait for anybody.
            match is_query || !planned.relations.named().is_empty() {
                true => Ok((Some(planned), Vec::new())),
                false => Ok((None, batch::collect(state, planned.plan).await?)),
            }
        };
        let (planned, mut batches) = self.engine.batch.perform(evaluate).await?;
        if let Some(planned) = &planned
            && relation.kind == RelationKind::Stream
            && is_continuous(&insert.source, &planned.relations)
        {
            return self
                .insert_continuously(insert, &relation, statement, parameters)
                .await;
        }
        if relation.written_by.is_some() {
            relation = self.share(&relation).await?;
        }
        // A table's rows may depend on the table itself; what is read is taken before writing.
        let guard = self.lock_for_write(relation.id, false).await?;
        if let Some(planned) = planned {
            self.fill(&planned).await?;
            let state = self.engine.batch.state(self.settings.time_zone());
            batches = self.engine.batch.collect(state, planned.plan).await?;
        }
        let mut rows = 0;
        let mut writes = Vec::new();
        for batch in batches {
            rows += batch.num_rows();
            writes.extend(encode_insert(&self.engine, &relation, &batch)?);
        }
        self.write(writes, guard).await?;
        Ok(done(format!("INSERT 0 {rows}")))
    }

    pub(super) async fn plan_update(&self, update: &Update) -> Result<Planned> {
        let catalog = self.engine.catalog();
        let relations = self.relations(catalog);
        let options = self.bind_options();
        let update = update.clone();
        let planning = relations.clone();
        let plan = self
            .engine
            .batch
            .compute(move || {
                Ok(planner::bind::plan_update(
                    &update,
                    planning.as_ref(),
                    &options,
                )?)
            })
            .await?;
        Ok(Planned::modification(plan, relations))
    }

    pub(super) async fn plan_delete(&self, delete: &Delete) -> Result<Planned> {
        let catalog = self.engine.catalog();
        let relations = self.relations(catalog);
        let options = self.bind_options();
        let delete = delete.clone();
        let planning = relations.clone();
        let plan = self
            .engine
            .batch
            .compute(move || {
                Ok(planner::bind::plan_delete(
                    &delete,
                    planning.as_ref(),
                    &options,
                )?)
            })
            .await?;
        Ok(Planned::modification(plan, relations))
    }

    pub(super) async fn update(
        &mut self,
        update: &Update,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let name = relation_name(&update.relation)?;
        let relation = self.engine.catalog().expect_relation(&name)?.clone();
        check_base_table(&relation, "update")?;
        let planned = self.plan_update(update).await?;
        let (guard, batches) = self
            .run_modification(&relation, planned, parameters)
            .await?;
        let now = self.engine.now();
        let topic = self.engine.topic(&relation)?;
        let identity = identity_width(&relation);
        let mut count = 0;
        // All rows go before any comes: the key that one leaves may be the one that another takes.
        let mut gone = Vec::new();
        let mut writes = Vec::new();
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            count += batch.num_rows();
            let rows = own_columns(&relation, &batch.columns()[identity..])?;
            check_not_null(&relation, &rows)?;
            let rowtimes = ingest::rowtimes(&relation, &rows, None, now)?;
            if relation.has_row_id() {
                let ids = batch.column(0).as_primitive::<Int64Type>();
                writes.extend(ingest::encode_writes(
                    &relation,
                    &topic,
                    &rows,
                    &rowtimes,
                    Write::Upsert,
                    Some(ids),
                )?);
                continue;
            }
            // A row whose key changes goes under the old one and comes under the new one.
            let old_keys = &batch.columns()[..identity];
            let moved = moved_rows(&relation, old_keys, &rows)?;
            if let Some(moved) = moved {
                let old: Vec<ArrayRef> = old_keys
                    .iter()
                    .map(|column| compute::filter(column, &moved).map_err(internal))
                    .collect::<Result<_>>()?;
                gone.extend(tombstones(&relation, &topic, &old, None, now)?);
            }
            writes.extend(ingest::encode_rows(&relation, &topic, &rows, &rowtimes)?);
        }
        gone.extend(writes);
        self.write(gone, guard).await?;
        Ok(done(format!("UPDATE {count}")))
    }

    pub(super) async fn delete(
        &mut self,
        delete: &Delete,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let name = relation_name(&delete.relation)?;
        let relation = self.engine.catalog().expect_relation(&name)?.clone();
        check_base_table(&relation, "delete from")?;
        let planned = self.plan_delete(delete).await?;
        let (guard, batches) = self
            .run_modification(&relation, planned, parameters)
            .await?;
        let count = self.write_tombstones(&relation, &batches, guard).await?;
        Ok(done(format!("DELETE {count}")))
    }

    pub(super) async fn truncate(&mut self, truncate: &Truncate) -> Result<Response> {
        for name in &truncate.relations {
            let relation = self
                .engine
                .catalog()
                .expect_relation(&relation_name(name)?)?
                .clone();
            check_base_table(&relation, "truncate")?;
            let all = Delete {
                relation: name.clone(),
                alias: None,
                selection: None,
            };
            let planned = self.plan_delete(&all).await?;
            let (guard, batches) = self.run_modification(&relation, planned, &[]).await?;
            self.write_tombstones(&relation, &batches, guard).await?;
        }
        Ok(done("TRUNCATE TABLE"))
    }

    /// Finds the rows to change while nobody else writes the table.
    async fn run_modification(
        &mut self,
        relation: &Relation,
        mut planned: Planned,
        parameters: &[ScalarValue],
    ) -> Result<(Option<crate::write_locks::WriteGuard>, Vec<RecordBatch>)> {
        planned.plan = crate::session::plan::with_parameters(planned.plan, parameters.to_vec())?;
        let guard = self.lock_for_write(relation.id, true).await?;
        // Whatever the session's consistency: what is overwritten must be what is there.
        let named = planned.relations.named();
        let sealed = self.engine.log.sealed().0;
        let snapshot = self.engine.mill.snapshot(&named, sealed).await?;
        planned.relations.fill(snapshot)?;
        let state = self.engine.batch.state(self.settings.time_zone());
        let batches = self.engine.batch.collect(state, planned.plan).await?;
        Ok((guard, batches))
    }

    async fn write_tombstones(
        &mut self,
        relation: &Relation,
        batches: &[RecordBatch],
        guard: Option<crate::write_locks::WriteGuard>,
    ) -> Result<usize> {
        let topic = self.engine.topic(relation)?;
        let now = self.engine.now();
        let identity = identity_width(relation);
        let mut count = 0;
        let mut writes = Vec::new();
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            count += batch.num_rows();
            let (keys, ids) = if relation.has_row_id() {
                (&[][..], Some(batch.column(0).as_primitive::<Int64Type>()))
            } else {
                (&batch.columns()[..identity], None)
            };
            writes.extend(tombstones(relation, &topic, keys, ids, now)?);
        }
        self.write(writes, guard).await?;
        Ok(count)
    }
}

/// Encodes rows with exactly the relation's columns, and event time behind them if it is given.
pub fn encode_insert(
    engine: &Engine,
    relation: &Relation,
    batch: &RecordBatch,
) -> Result<Vec<NewBatch>> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let width = relation.columns.fields().len();
    let given = (batch.num_columns() > width).then(|| batch.column(width));
    let rows = own_columns(relation, &batch.columns()[..width])?;
    check_not_null(relation, &rows)?;
    let rowtimes = ingest::rowtimes(relation, &rows, given, engine.now())?;
    let topic = engine.topic(relation)?;
    ingest::encode_rows(relation, &topic, &rows, &rowtimes)
}

/// How many columns of a modification's plan say which row is meant.
fn identity_width(relation: &Relation) -> usize {
    if relation.has_row_id() {
        1
    } else {
        relation.key.len()
    }
}

/// Tombstones of rows by their keys or row ids.
fn tombstones(
    relation: &Relation,
    topic: &log_store::Topic,
    keys: &[ArrayRef],
    ids: Option<&Int64Array>,
    now: i64,
) -> Result<Vec<NewBatch>> {
    let count = ids.map_or_else(|| keys.first().map_or(0, |key| key.len()), |ids| ids.len());
    if count == 0 {
        return Ok(Vec::new());
    }
    let columns: Vec<ArrayRef> = relation
        .columns
        .fields()
        .iter()
        .enumerate()
        .map(
            |(index, field)| match relation.key.iter().position(|key| *key == index) {
                Some(position) if ids.is_none() => keys[position].clone(),
                _ => arrow::array::new_null_array(field.data_type(), count),
            },
        )
        .collect();
    let rows = own_columns(relation, &columns)?;
    let rowtimes = vec![now; count].into();
    ingest::encode_writes(relation, topic, &rows, &rowtimes, Write::Tombstone, ids)
}

/// Which rows have another key than before; `None` if none has.
fn moved_rows(
    relation: &Relation,
    old_keys: &[ArrayRef],
    rows: &RecordBatch,
) -> Result<Option<arrow::array::BooleanArray>> {
    let mut moved: Option<arrow::array::BooleanArray> = None;
    for (old, column) in old_keys.iter().zip(&relation.key) {
        let new = rows.column(*column);
        let differs = compute::kernels::cmp::distinct(old, new).map_err(internal)?;
        moved = Some(match moved {
            None => differs,
            Some(before) => compute::or(&before, &differs).map_err(internal)?,
        });
    }
    Ok(moved.filter(|moved| moved.true_count() > 0))
}

/// A batch in the relation's own columns.
pub fn own_columns(relation: &Relation, columns: &[ArrayRef]) -> Result<RecordBatch> {
    let fields: Vec<_> = relation
        .columns
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let columns = columns
        .iter()
        .zip(&fields)
        .map(
            |(column, field)| match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => compute::cast(column, field.data_type()).map_err(internal),
            },
        )
        .collect::<Result<Vec<_>>>()?;
    let schema = arrow_schema::Schema::new(fields);
    RecordBatch::try_new(Arc::new(schema), columns).map_err(internal)
}

/// Refuses NULL in a primary key or in a column that was declared so.
fn check_not_null(relation: &Relation, rows: &RecordBatch) -> Result<()> {
    for (index, field) in relation.columns.fields().iter().enumerate() {
        let required = !field.is_nullable()
            || (relation.kind == RelationKind::Table && relation.key.contains(&index));
        if required && rows.column(index).null_count() > 0 {
            return Err(StatementError::new(
                StatementErrorKind::NotNullViolation,
                format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    field.name(),
                    relation.name
                ),
            )
            .into());
        }
    }
    Ok(())
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::Internal(format!("rows cannot be written: {error}"))
}
