//! The system catalog: what psql's `\d` and drivers ask about relations, types and settings.
//!
//! ```text
//!  query that names pg_catalog or information_schema
//!     │ rewrite: what DataFusion cannot plan, by means of what is known of these tables
//!     ▼
//!  a DataFusion session of its own ── tables made on demand from the catalog's snapshot
//!                                  └─ functions: format_type, pg_table_is_visible, …
//! ```
//!
//! Such queries have nothing in common with queries over streams: object identifiers, regular expression operators with
//! schemas, subqueries as arrays. So they do not pass through the planner, and nothing else passes through here.

mod definitions;
mod functions;
mod rewrite;
mod types;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::sqlparser::ast as sqlast;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::auth::User;
use crate::error::{Error, Result, StatementError, StatementErrorKind};

pub use rewrite::concerns;

/// Identifiers of users' relations begin here, as in Postgres.
pub const FIRST_OID: u32 = 16384;
/// An index has the identifier of its table and this.
const INDEX_OID: u32 = 1 << 30;

/// What a relation is called in the system catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    Stream,
    Table,
    /// A table that a query maintains.
    View,
}

/// A relation as the system catalog shows it.
#[derive(Debug, Clone)]
pub struct RelationInfo {
    pub oid: u32,
    pub name: String,
    pub kind: RelationKind,
    pub columns: SchemaRef,
    /// Positions of the primary key.
    pub key: Vec<usize>,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub struct SessionFacts {
    pub user: String,
    pub database: String,
    pub backend_pid: i32,
}

/// The tables of `pg_catalog` and `information_schema` over one snapshot of the catalog.
#[derive(Debug)]
pub struct SystemTables {
    relations: Vec<RelationInfo>,
    /// Name, value and description of each setting.
    settings: Vec<(String, String, String)>,
    users: Vec<Arc<User>>,
    facts: SessionFacts,
}

impl SystemTables {
    pub fn new(relations: Vec<RelationInfo>, settings: Vec<(String, String, String)>) -> Self {
        Self {
            relations,
            settings,
            users: Vec::new(),
            facts: SessionFacts {
                user: "millpond".into(),
                database: "millpond".into(),
                backend_pid: 0,
            },
        }
    }

    /// The same for this session.
    pub fn with_facts(mut self, facts: SessionFacts) -> Self {
        self.facts = facts;
        self
    }

    /// The same with these users, beside the one who asks.
    pub fn with_users(mut self, users: Vec<Arc<User>>) -> Self {
        self.users = users;
        self
    }

    /// A table; without a schema one of `pg_catalog`.
    pub fn source(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn TableProvider>> {
        let table = match schema {
            None | Some("pg_catalog") => definitions::pg_table(self, name)?,
            Some("information_schema") => definitions::information_table(self, name)?,
            Some(_) => return None,
        };
        let batch = table.finish();
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])
            .expect("a batch has its own schema");
        Some(Arc::new(table))
    }

    fn by_oid(&self, oid: i64) -> Option<&RelationInfo> {
        self.relations
            .iter()
            .find(|relation| i64::from(relation.oid) == oid)
    }

    fn by_name(&self, name: &str) -> Option<&RelationInfo> {
        self.relations.iter().find(|relation| relation.name == name)
    }
}

/// A query over the system catalog, ready to run.
pub struct SystemQuery {
    context: SessionContext,
    plan: LogicalPlan,
    parameter_count: usize,
}

impl SystemQuery {
    /// Plans a query for which [`concerns`] is true.
    ///
    /// # Errors
    /// When it names what is not there, or says what we cannot plan.
    pub async fn plan(tables: &Arc<SystemTables>, query: &sqlast::Query) -> Result<Self> {
        let mut query = query.clone();
        let parameter_count = rewrite::parameter_count(&query);
        rewrite::rewrite(&mut query, tables);
        let context = context(tables);
        let statement =
            ParsedStatement::Statement(Box::new(sqlast::Statement::Query(Box::new(query))));
        let plan = context
            .state()
            .statement_to_plan(statement)
            .await
            .map_err(plan_error)?;
        Ok(Self {
            context,
            plan,
            parameter_count,
        })
    }

    /// Types of the parameters, in order.
    ///
    /// # Errors
    /// When one has no type.
    pub fn parameters(&self) -> Result<Vec<FieldRef>> {
        let types = self.plan.get_parameter_types().map_err(plan_error)?;
        let mut known = vec![DataType::Utf8; self.parameter_count];
        for (name, data_type) in types {
            if let Some(data_type) = data_type
                && let Ok(number) = name.trim_start_matches('$').parse::<usize>()
                && let Some(slot) = number.checked_sub(1).and_then(|n| known.get_mut(n))
            {
                *slot = data_type;
            }
        }
        Ok(known
            .into_iter()
            .map(|data_type| Arc::new(Field::new("", data_type, true)))
            .collect())
    }

    /// The columns of the result.
    pub fn columns(&self) -> SchemaRef {
        let fields = self.plan.schema().fields().iter().map(|field| {
            let name = field
                .name()
                .split(rewrite::AGAIN)
                .next()
                .unwrap_or_default();
            let field = field.as_ref().clone().with_name(name);
            match field.data_type() {
                // The catalog has no arrays of numbers so large but those of identifiers.
                DataType::List(item) if *item.data_type() == DataType::Int64 => {
                    let item = definitions::identifiers(item);
                    field.with_data_type(DataType::List(Arc::new(item)))
                }
                _ => field,
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Runs it.
    ///
    /// # Errors
    /// When the values do not fit the parameters.
    pub async fn run(
        self,
        parameters: &[ScalarValue],
    ) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
        let columns = self.columns();
        let plan = if parameters.is_empty() {
            self.plan
        } else {
            self.plan
                .with_param_values(parameters.to_vec())
                .map_err(plan_error)?
        };
        let frame = self
            .context
            .execute_logical_plan(plan)
            .await
            .map_err(plan_error)?;
        let stream = frame.execute_stream().await.map_err(plan_error)?;
        let batches = stream.map(|batch| batch.map_err(|error| Error::Execution(Box::new(error))));
        Ok((columns, batches.boxed()))
    }
}

/// A session that knows the system catalog and nothing else.
fn context(tables: &Arc<SystemTables>) -> SessionContext {
    const CATALOG: &str = "millpond";
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, "pg_catalog")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(1);
    let parser = &mut config.options_mut().sql_parser;
    parser.enable_ident_normalization = false;
    parser.map_string_types_to_utf8view = false;
    parser.default_null_ordering = "nulls_max".into();
    let context = SessionContext::new_with_config(config);
    let catalog = MemoryCatalogProvider::new();
    for schema in ["pg_catalog", "information_schema"] {
        let provider = Provider {
            schema,
            tables: tables.clone(),
        };
        catalog
            .register_schema(schema, Arc::new(provider))
            .expect("schemas can be registered in memory");
    }
    context.register_catalog(CATALOG, Arc::new(catalog));
    for function in functions::all(tables) {
        context.register_udf(function);
    }
    context
}

/// One schema of the system catalog.
#[derive(Debug)]
struct Provider {
    schema: &'static str,
    tables: Arc<SystemTables>,
}

#[async_trait]
impl SchemaProvider for Provider {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.tables.source(Some(self.schema), name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.source(Some(self.schema), name).is_some()
    }
}

fn plan_error(error: DataFusionError) -> Error {
    let text = Error::Execution(Box::new(error)).to_string();
    let kind = if text.contains("table '") && text.contains("not found") {
        StatementErrorKind::UndefinedRelation
    } else if text.contains("Invalid function") {
        StatementErrorKind::UndefinedFunction
    } else if text.contains("No field named") {
        StatementErrorKind::UndefinedColumn
    } else {
        StatementErrorKind::Unsupported
    };
    StatementError::new(kind, text.lines().next().unwrap_or_default()).into()
}
