//! `COPY … FROM STDIN` and `COPY … TO STDOUT`.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use log_store::NewBatch;
use sql::ast::{Copy, CopyOptions, CopySource, Ident, ObjectName, Query};

use crate::catalog::Relation;
use crate::engine::Engine;
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::formats::{RowDecoder, RowEncoder, Zone};
use crate::response::{CopyData, CopyIn, CopyOut, Response, Rows};
use crate::session::plan::check_insertable;
use crate::session::{Session, dml, relation_name};

/// A COPY is one append, and so all or nothing, up to this many bytes; beyond it is several.
const COPY_BYTES_MAX: usize = 256 << 20;

impl Session {
    pub(super) async fn copy(&mut self, copy: &Copy) -> Result<Response> {
        match copy {
            Copy::From {
                relation,
                columns,
                options,
            } => self.copy_from(relation, columns, options).await,
            Copy::To { source, options } => {
                let rows = match source {
                    CopySource::Print(print) => self.print(print).await?,
                    CopySource::Query(query) if query.emit.is_some() => {
                        self.push(query, &[]).await?
                    }
                    CopySource::Query(query) => self.read(query, &[]).await?,
                    CopySource::Relation { name, columns } => {
                        let query = select_of(name, columns, self)?;
                        self.read(&query, &[]).await?
                    }
                };
                Ok(Response::CopyOut(self.encode_rows(rows, options)))
            }
        }
    }

    async fn copy_from(
        &mut self,
        name: &ObjectName,
        columns: &[Ident],
        options: &CopyOptions,
    ) -> Result<Response> {
        if self.transaction.is_some() {
            return Err(StatementError::new(
                StatementErrorKind::Unsupported,
                "COPY FROM inside a transaction is not supported",
            )
            .with_hint("A COPY is atomic by itself.")
            .into());
        }
        let mut relation = self
            .engine
            .catalog()
            .expect_relation(&relation_name(name)?)?
            .clone();
        check_insertable(&relation)?;
        let positions = copied_columns(&relation, columns)?;
        if relation.written_by.is_some() {
            relation = self.share(&relation).await?;
        }
        let schema = crate::formats::project(&relation.columns, &positions);
        let zone = Zone::parse(self.settings.time_zone()).unwrap_or(Zone::UTC);
        Ok(Response::CopyIn(Box::new(Loading {
            decoder: RowDecoder::new(relation.name.clone(), schema, options, zone),
            engine: self.engine.clone(),
            relation,
            positions,
            batches: Vec::new(),
            bytes: 0,
            rows: 0,
        })))
    }

    fn encode_rows(&self, rows: Rows, options: &CopyOptions) -> CopyOut {
        let zone = Zone::parse(self.settings.time_zone()).unwrap_or(Zone::UTC);
        let mut encoder = RowEncoder::new(rows.columns.clone(), options, zone);
        let waiting: VecDeque<CopyData> = encoder.header().into_iter().collect();
        let state = Unloading {
            encoder,
            waiting,
            batches: rows.batches,
        };
        let data = futures::stream::unfold(state, |mut state| async move {
            let next = state.next().await?;
            Some((next, state))
        });
        CopyOut {
            columns: rows.columns,
            data: data.boxed(),
            endless: rows.endless,
        }
    }
}

struct Unloading {
    encoder: RowEncoder,
    waiting: VecDeque<CopyData>,
    batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Unloading {
    async fn next(&mut self) -> Option<Result<CopyData>> {
        if let Some(data) = self.waiting.pop_front() {
            return Some(Ok(data));
        }
        match self.batches.next().await? {
            Ok(batch) => Some(self.encoder.encode(&batch)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A COPY FROM in progress.
struct Loading {
    decoder: RowDecoder,
    engine: Arc<Engine>,
    relation: Arc<Relation>,
    /// Which of the relation's columns come, in which order.
    positions: Vec<usize>,
    batches: Vec<NewBatch>,
    bytes: usize,
    rows: u64,
}

#[async_trait::async_trait]
impl CopyIn for Loading {
    fn columns(&self) -> SchemaRef {
        self.decoder.schema().clone()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        for batch in self.decoder.decode(&bytes)? {
            self.take(&batch)?;
        }
        if self.bytes > COPY_BYTES_MAX {
            self.append().await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        for batch in self.decoder.finish()? {
            self.take(&batch)?;
        }
        self.append().await?;
        Ok(self.rows)
    }
}

impl Loading {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let count = batch.num_rows();
        let columns: Vec<_> = self
            .relation
            .columns
            .fields()
            .iter()
            .enumerate()
            .map(
                |(index, field)| match self.positions.iter().position(|p| *p == index) {
                    Some(position) => batch.column(position).clone(),
                    None => arrow::array::new_null_array(field.data_type(), count),
                },
            )
            .collect();
        let whole = dml::own_columns(&self.relation, &columns)?;
        let batches = dml::encode_insert(&self.engine, &self.relation, &whole)?;
        self.bytes += batches.iter().map(|batch| batch.body.len()).sum::<usize>();
        self.rows += count as u64;
        self.batches.extend(batches);
        Ok(())
    }

    async fn append(&mut self) -> Result<()> {
        if !self.batches.is_empty() {
            self.bytes = 0;
            let batches = std::mem::take(&mut self.batches);
            // Only now: a client that is slow to send must not keep others from writing.
            let _guard = self.engine.writes.shared(self.relation.id).await;
            self.engine.log.append(batches).await?;
        }
        Ok(())
    }
}

fn copied_columns(relation: &Relation, columns: &[Ident]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..relation.columns.fields().len()).collect());
    }
    let mut positions = Vec::with_capacity(columns.len());
    for column in columns {
        let position = relation.columns.index_of(&column.value).map_err(|_| {
            StatementError::new(
                StatementErrorKind::UndefinedColumn,
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    column.value, relation.name
                ),
            )
        })?;
        if positions.contains(&position) {
            return Err(StatementError::new(
                StatementErrorKind::DuplicateColumn,
                format!("column \"{}\" specified more than once", column.value),
            )
            .into());
        }
        positions.push(position);
    }
    Ok(positions)
}

/// `SELECT columns FROM relation`.
fn select_of(name: &ObjectName, columns: &[Ident], session: &Session) -> Result<Query> {
    let columns = match columns {
        [] => "*".to_owned(),
        columns => columns
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let text = format!("SELECT {columns} FROM {name}");
    let statement = session.parse(&text)?.pop().map(|statement| statement.node);
    match statement {
        Some(sql::ast::Statement::Query(query)) => Ok(*query),
        _ => Err(StatementError::new(StatementErrorKind::Syntax, "COPY names no relation").into()),
    }
}
