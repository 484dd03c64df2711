//! Relations as DataFusion sees them in one statement.
//!
//! A statement is planned before it is known what it reads; so its tables are planned empty, and
//! filled from one consistent snapshot before the plan runs.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableSource,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use planner::relations::{RelationDef, Relations, ScanKind, scan_schema};

use crate::catalog::{Catalog, LOG_ROWTIME, Relation, RelationId, RelationKind};
use crate::error::Error;
use crate::mill::cursor::{LogRows, TopicCursor};
use crate::mill::relation::rowtime_column;
use crate::mill::{ConsistentSnapshot, RelationSnapshot};
use crate::pg_catalog::SystemTables;
use crate::state::Snapshot;

/// Rows that a scan of a stream reads at once from a partition, bytes.
const SCAN_BYTES: usize = 4 << 20;

/// The relations of one statement.
pub struct StatementRelations {
    catalog: Arc<Catalog>,
    system: Arc<SystemTables>,
    tables: Mutex<HashMap<(RelationId, ScanKind), Arc<RelationTable>>>,
}

impl StatementRelations {
    pub fn new(catalog: Arc<Catalog>, system: Arc<SystemTables>) -> Self {
        Self {
            catalog,
            system,
            tables: Mutex::default(),
        }
    }

    /// Numbers of the relations that were planned with.
    pub fn named(&self) -> Vec<RelationId> {
        let mut named: Vec<_> = self.tables.lock().keys().map(|(id, _)| *id).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Whether a stream is among them.
    pub fn name_a_stream(&self) -> bool {
        self.tables
            .lock()
            .values()
            .any(|table| table.relation.kind == RelationKind::Stream)
    }

    /// Fills all tables from a snapshot that holds them.
    pub fn fill(&self, snapshot: ConsistentSnapshot) -> Result<(), Error> {
        let ConsistentSnapshot { epoch, relations } = snapshot;
        let relations: HashMap<RelationId, Arc<RelationSnapshot>> = relations
            .into_iter()
            .map(|(id, relation)| (id, Arc::new(relation)))
            .collect();
        for table in self.tables.lock().values() {
            let contents = relations.get(&table.relation.id).ok_or_else(|| {
                Error::Internal(format!(
                    "\"{}\" is not in the snapshot",
                    table.relation.name
                ))
            })?;
            let _ = table.contents.set((epoch, contents.clone()));
        }
        Ok(())
    }
}

/// What the planner is told of a relation.
pub fn definition(relation: &Relation) -> RelationDef {
    RelationDef {
        id: relation.id,
        name: relation.name.clone(),
        kind: match relation.kind {
            RelationKind::Stream => planner::relations::RelationKind::Stream,
            RelationKind::Table => planner::relations::RelationKind::Table,
        },
        columns: relation.columns.clone(),
        key: relation.key.clone(),
        record_key: match relation.kind {
            RelationKind::Table => relation.key.clone(),
            RelationKind::Stream => relation.format.key_columns.clone(),
        },
        headers: relation
            .format
            .headers
            .iter()
            .map(|header| header.column)
            .collect(),
        partitions: relation.partitions,
        hidden_row_id: relation.has_row_id(),
        has_places: relation.kind == RelationKind::Stream || relation.keeps_places,
        windowed: relation.format.window.is_some(),
        // Such a table names a topic, and ksqlDB keeps rows of none but SOURCE tables; one of the other
        // dialect is a table to everybody.
        queryable: !relation.is_base_table() || relation.read_only || relation.dialect != "ksqldb",
    }
}

/// The schema that users' relations are in.
pub const PUBLIC: &str = "public";

impl Relations for StatementRelations {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Arc<RelationDef>> {
        if schema.is_some_and(|schema| !schema.eq_ignore_ascii_case(PUBLIC)) {
            return None;
        }
        let relation = self.catalog.relation_by_name(name)?;
        Some(Arc::new(definition(relation)))
    }

    fn source(&self, def: &RelationDef, kind: ScanKind) -> Arc<dyn TableSource> {
        let mut tables = self.tables.lock();
        let table = tables.entry((def.id, kind)).or_insert_with(|| {
            let relation = self
                .catalog
                .relation(def.id)
                .expect("the definition came from this catalog");
            Arc::new(RelationTable {
                relation: relation.clone(),
                schema: scan_schema(def, kind),
                contents: OnceLock::new(),
            })
        });
        provider_as_source(table.clone())
    }

    fn system_source(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn TableSource>> {
        Some(provider_as_source(self.system.source(schema, name)?))
    }

    fn names(&self) -> Vec<String> {
        self.catalog
            .relations()
            .map(|relation| relation.name.clone())
            .collect()
    }
}

/// A relation in a statement: its schema now, its rows once they are filled in.
#[derive(Debug)]
struct RelationTable {
    relation: Arc<Relation>,
    schema: SchemaRef,
    contents: OnceLock<(u64, Arc<RelationSnapshot>)>,
}

impl std::fmt::Debug for RelationSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RelationSnapshot::Table(_) => "Table",
            RelationSnapshot::Stream(_) => "Stream",
        })
    }
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // Equalities on key columns choose what is looked up; the filter stays in the plan.
        Ok(filters
            .iter()
            .map(|filter| match equality(filter) {
                Some((column, _)) if self.is_key_column(column) => {
                    TableProviderFilterPushDown::Inexact
                }
                _ => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (epoch, contents) = self.contents.get().ok_or_else(|| {
            DataFusionError::Internal(format!("\"{}\" was not filled", self.relation.name))
        })?;
        match contents.as_ref() {
            RelationSnapshot::Table(snapshot)
                if !snapshot.is_resident() && self.looked_up(snapshot, filters)?.is_none() =>
            {
                let rows = SnapshotPartition {
                    table: RelationTable {
                        relation: self.relation.clone(),
                        schema: self.schema.clone(),
                        contents: OnceLock::new(),
                    },
                    contents: contents.clone(),
                };
                Ok(Arc::new(StreamingTableExec::try_new(
                    self.schema.clone(),
                    vec![Arc::new(rows)],
                    projection,
                    [],
                    false,
                    limit,
                )?))
            }
            RelationSnapshot::Table(snapshot) => {
                let batches = match self.looked_up(snapshot, filters)? {
                    Some(found) => vec![found],
                    None => snapshot.batches_with_rowtime(LOG_ROWTIME)?,
                };
                let batches = batches
                    .iter()
                    .map(|rows| self.table_batch(rows))
                    .collect::<DataFusionResult<Vec<_>>>()?;
                let source = MemorySourceConfig::try_new_exec(
                    &[batches],
                    self.schema.clone(),
                    projection.cloned(),
                )?;
                Ok(source)
            }
            RelationSnapshot::Stream(topic) => {
                let partitions = (0..topic.partitions().len())
                    .map(|partition| {
                        Arc::new(StreamPartition {
                            relation: self.relation.clone(),
                            topic: topic.clone(),
                            partition,
                            epoch: *epoch,
                            schema: self.schema.clone(),
                        }) as Arc<dyn PartitionStream>
                    })
                    .collect();
                Ok(Arc::new(StreamingTableExec::try_new(
                    self.schema.clone(),
                    partitions,
                    projection,
                    [],
                    false,
                    limit,
                )?))
            }
        }
    }
}

impl RelationTable {
    fn is_key_column(&self, name: &str) -> bool {
        self.relation.kind == RelationKind::Table
            && self
                .relation
                .key
                .iter()
                .any(|column| self.relation.columns.field(*column).name() == name)
    }

    /// The rows of one key, if the filters name one.
    fn looked_up(
        &self,
        snapshot: &Snapshot,
        filters: &[Expr],
    ) -> DataFusionResult<Option<RecordBatch>> {
        if self.relation.key.is_empty() {
            return Ok(None);
        }
        let mut key: Vec<ArrayRef> = Vec::new();
        for column in &self.relation.key {
            let field = self.relation.columns.field(*column);
            let value = filters
                .iter()
                .filter_map(equality)
                .find(|(name, value)| name == field.name() && !value.is_null());
            let Some((_, value)) = value else {
                return Ok(None);
            };
            if value.data_type() != *field.data_type() {
                return Ok(None);
            }
            key.push(value.to_array()?);
        }
        let found = snapshot.lookup(&key)?;
        let mut columns = found.rows.columns().to_vec();
        columns.push(rowtime_column(&found.rowtimes));
        let mut fields: Vec<_> = found.rows.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(
            LOG_ROWTIME,
            planner::types::timestamptz(),
            true,
        )));
        Ok(Some(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?))
    }

    /// A table's rows, event time last, with the columns that a scan has.
    fn table_batch(&self, rows: &RecordBatch) -> DataFusionResult<RecordBatch> {
        let rowtimes = rows.column(rows.num_columns() - 1);
        let columns = self
            .schema
            .fields()
            .iter()
            .map(
                |field| match (field.name().as_str(), rows.column_by_name(field.name())) {
                    (_, Some(column)) => Ok(column.clone()),
                    (planner::relations::ROWTIME, None) => {
                        Ok(arrow::compute::cast(rowtimes, field.data_type())?)
                    }
                    (planner::relations::ROW_ID, None) => {
                        Ok(rows.column(rows.num_columns() - 2).clone())
                    }
                    (name, None) => Err(DataFusionError::Internal(format!(
                        "no column \"{name}\" in the snapshot"
                    ))),
                },
            )
            .collect::<DataFusionResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }
}

/// `column = constant`, either way round.
fn equality(filter: &Expr) -> Option<(&str, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = filter
    else {
        return None;
    };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _))
        | (Expr::Literal(value, _), Expr::Column(column)) => Some((&column.name, value)),
        _ => None,
    }
}

/// The rows of a table, part by part, because not all of them are in memory.
#[derive(Debug)]
struct SnapshotPartition {
    table: RelationTable,
    contents: Arc<RelationSnapshot>,
}

impl PartitionStream for SnapshotPartition {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let table = RelationTable {
            relation: self.table.relation.clone(),
            schema: self.table.schema.clone(),
            contents: OnceLock::new(),
        };
        let contents = self.contents.clone();
        let parts = match contents.as_ref() {
            RelationSnapshot::Table(snapshot) => snapshot.num_parts(),
            RelationSnapshot::Stream(_) => 0,
        };
        let batches = (0..parts).filter_map(move |part| {
            let RelationSnapshot::Table(snapshot) = contents.as_ref() else {
                return None;
            };
            let rows = snapshot.part_with_rowtime(part, LOG_ROWTIME).transpose()?;
            Some(
                rows.map_err(DataFusionError::from)
                    .and_then(|rows| table.table_batch(&rows)),
            )
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.table.schema.clone(),
            futures::stream::iter(batches),
        ))
    }
}

/// One partition of a stream, read from the log up to an epoch.
#[derive(Debug)]
struct StreamPartition {
    relation: Arc<Relation>,
    topic: log_store::Topic,
    partition: usize,
    epoch: u64,
    schema: SchemaRef,
}

impl PartitionStream for StreamPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let cursor = TopicCursor::of_partition(self.relation.clone(), &self.topic, self.partition);
        let cursor = match cursor {
            Ok(cursor) => cursor,
            Err(error) => {
                let failed = futures::stream::once(async { Err(external(error)) });
                return Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), failed));
            }
        };
        let reader = StreamReader {
            cursor,
            relation: self.relation.clone(),
            schema: self.schema.clone(),
            frontier: 0,
            epoch: self.epoch,
            waiting: Vec::new(),
        };
        let batches = futures::stream::unfold(reader, |mut reader| async move {
            let next = reader.next().transpose()?;
            Some((next, reader))
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

struct StreamReader {
    cursor: TopicCursor,
    relation: Arc<Relation>,
    schema: SchemaRef,
    frontier: u64,
    epoch: u64,
    /// Read but not yet given, last first.
    waiting: Vec<LogRows>,
}

impl StreamReader {
    fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        while self.waiting.is_empty() {
            if self.frontier >= self.epoch {
                return Ok(None);
            }
            let to = self
                .cursor
                .read_ahead(self.frontier, self.epoch, SCAN_BYTES)
                .map_err(external)?;
            self.waiting = self.cursor.take(to).map_err(external)?;
            self.waiting.reverse();
            self.frontier = to;
        }
        let Some(rows) = self.waiting.pop() else {
            return Ok(None);
        };
        // A record whose value is null is no row.
        let changes = rows.into_stream_changes(&self.relation).map_err(external)?;
        let changes = changes.without_marks()?;
        let width = self.relation.columns.fields().len();
        let columns = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| match field.name().as_str() {
                _ if index < width => changes.rows.column(index).clone(),
                planner::relations::ROWTIME => rowtime_column(&changes.rowtimes),
                planner::relations::ROWPARTITION => changes.rows.column(width).clone(),
                _ => changes.rows.column(width + 1).clone(),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(changes.num_rows()));
        Ok(Some(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?))
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
