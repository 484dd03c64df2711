//! From the syntax tree to a logical plan with every name and type decided.
//!
//! ```text
//!  sql::Query ─prepare─► sqlparser's tree ─SqlToRel─► plan ─analyze─► typed plan ─attach─► BoundQuery
//!              relations,                  DataFusion        coercion,            sources of
//!              rowtime, names                                our operators        the catalog
//! ```
//!
//! The plan of a batch query and that of a continuous query are the same here; what tells them
//! apart begins with [`crate::lower`].

mod analyze;
mod dml;
mod ksql;
mod lateral_unnest;
mod names;
mod parameters;
mod prepare;
mod provider;
mod type_planner;

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast as sqlast;

use crate::error::{PlanError, PlanErrorKind, Result};
use crate::lower::OutputKind;
use crate::relations::Relations;
use crate::session::config_options;
use crate::stack::on_large_stack;
use crate::types::{LOGICAL_TYPE, stored_type};

pub use dml::{DmlPlan, plan_delete, plan_insert, plan_update};
pub use parameters::{bind_parameters, parameter_types};
use provider::{BoundSource, Names};

/// What binding depends on beside the statement and the catalog.
#[derive(Debug, Clone)]
pub struct BindOptions {
    pub dialect: sql::Dialect,
    /// An IANA name or an offset; times without a zone are read in it.
    pub time_zone: String,
    /// Types of the first parameters, where the client has given them.
    pub parameter_types: Vec<Option<FieldRef>>,
    /// What becomes of the result of a query that does not end; `None` of one that does.
    pub output: Option<OutputKind>,
    /// In ksqlDB's dialect: what a pull query may read beside rows that it looks up.
    pub pull_scans: PullScans,
    /// In ksqlDB's dialect: how many elements `COLLECT_LIST` and `COLLECT_SET` take.
    pub collect_limits: CollectLimits,
}

/// How many elements aggregates that collect take, the first that come; `None` if all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectLimits {
    pub list: Option<u64>,
    pub set: Option<u64>,
}

/// Which scans pull queries may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullScans {
    /// Of whole tables.
    pub tables: bool,
    /// Of a range of a key.
    pub ranges: bool,
}

impl Default for PullScans {
    fn default() -> Self {
        Self {
            tables: true,
            ranges: true,
        }
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            dialect: sql::Dialect::Postgres,
            time_zone: "UTC".into(),
            parameter_types: Vec::new(),
            output: None,
            pull_scans: PullScans::default(),
            collect_limits: CollectLimits::default(),
        }
    }
}

impl BindOptions {
    fn zone(&self) -> chrono_tz::Tz {
        self.time_zone.parse().unwrap_or(chrono_tz::UTC)
    }
}

/// A query that can be run as a batch or lowered to a continuous one.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// Its columns have the types of [`stored_type`], and names that differ from each other.
    pub plan: LogicalPlan,
    /// The columns of the result with the names the user sees, which may be equal.
    pub columns: Vec<FieldRef>,
    /// What the query sends: `EMIT CHANGES`, or nothing for a batch query.
    pub emit: Option<sql::ast::Emit>,
    /// How many columns, from the first on, are the key of its records; `None` where the dialect
    /// does not tell.
    pub key_columns: Option<usize>,
    /// Whether a group of a table's rows stays when the last of them goes.
    pub keeps_groups: bool,
}

impl BoundQuery {
    /// The columns as a schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.clone()))
    }

    /// Refuses two columns of the same name, as a relation cannot have them.
    ///
    /// # Errors
    /// When there are two.
    pub fn check_names_differ(&self) -> Result<()> {
        for (i, column) in self.columns.iter().enumerate() {
            if self.columns[..i]
                .iter()
                .any(|other| other.name() == column.name())
            {
                return Err(PlanError::new(
                    PlanErrorKind::DuplicateColumn,
                    format!("column \"{}\" specified more than once", column.name()),
                ));
            }
        }
        Ok(())
    }
}

/// Plans a query.
///
/// # Errors
/// When the query means nothing over these relations, or asks for what we do not offer.
pub fn plan_query(
    query: &sql::Query,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<BoundQuery> {
    on_large_stack(|| {
        refuse_streaming_clauses(query, options.dialect)?;
        let binder = Binder::new(relations, options);
        let (plan, key_columns, keeps_groups) = match options.dialect {
            sql::Dialect::Postgres => (binder.query((*query.body).clone())?, None, false),
            sql::Dialect::Ksqldb => {
                let rewritten = ksql::rewrite(query, relations, options)?;
                let plan = binder.query(rewritten.query)?;
                (plan, rewritten.key_columns, rewritten.keeps_groups)
            }
        };
        let (plan, mut columns) = finish(plan)?;
        let is_shown = matches!(options.output, None | Some(OutputKind::Push));
        if options.dialect == sql::Dialect::Ksqldb && is_shown {
            columns.iter_mut().for_each(show_as_json);
        }
        Ok(BoundQuery {
            plan,
            columns,
            emit: query.emit,
            key_columns,
            keeps_groups,
        })
    })
}

/// The clauses that the syntax tree has and plans do not have yet.
pub(crate) fn refuse_streaming_clauses(query: &sql::Query, dialect: sql::Dialect) -> Result<()> {
    use sql::ast::{Emit, WindowKind};
    if let Some(window) = &query.window {
        return Err(PlanError::unsupported(match window.kind {
            WindowKind::Tumbling { .. } => "WINDOW TUMBLING",
            WindowKind::Hopping { .. } => "WINDOW HOPPING",
            WindowKind::Session { .. } => "WINDOW SESSION",
        })
        .with_hint("Group by date_bin or date_trunc of rowtime instead."));
    }
    if !query.withins.is_empty() {
        return Err(PlanError::unsupported("WITHIN"));
    }
    if !query.partition_by.is_empty() && dialect == sql::Dialect::Postgres {
        return Err(PlanError::unsupported("PARTITION BY of a query"));
    }
    if query.emit == Some(Emit::Final) {
        return Err(PlanError::unsupported("EMIT FINAL"));
    }
    Ok(())
}

/// Binds trees of sqlparser's against one catalog.
struct Binder<'a> {
    names: Names<'a>,
    options: &'a BindOptions,
}

impl<'a> Binder<'a> {
    fn new(relations: &'a dyn Relations, options: &'a BindOptions) -> Self {
        Self {
            names: Names {
                relations,
                options: config_options(&options.time_zone),
                dialect: options.dialect,
            },
            options,
        }
    }

    fn planner(&self) -> SqlToRel<'_, Names<'a>> {
        let options = ParserOptions::from(&self.names.options.sql_parser);
        SqlToRel::new_with_options(&self.names, options)
    }

    fn context(&self) -> PlannerContext {
        PlannerContext::new().with_prepare_param_data_types(self.options.parameter_types.clone())
    }

    /// Plans, types, and attaches the catalog's sources.
    fn query(&self, mut query: sqlast::Query) -> Result<LogicalPlan> {
        prepare::prepare(&mut query, self.names.relations)?;
        self.prepared(query)
    }

    fn prepared(&self, query: sqlast::Query) -> Result<LogicalPlan> {
        let statement = sqlast::Statement::Query(Box::new(query));
        let planner = self.planner();
        let plan = planner.sql_statement_to_plan_with_context(statement, &mut self.context())?;
        self.complete(plan)
    }

    fn complete(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = lateral_unnest::rewrite(plan)?;
        let dialect = self.options.dialect;
        let plan = analyze::analyze(plan, &self.names.options, self.options.zone(), dialect)?;
        let plan = match dialect {
            sql::Dialect::Postgres => plan,
            sql::Dialect::Ksqldb => ksql::aggregate_results(plan)?,
        };
        let plan = parameters::infer(plan)?;
        self.attach(plan)
    }

    /// Puts the catalog's sources in place of ours.
    fn attach(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(mut scan) = node else {
                return Ok(Transformed::no(node));
            };
            let Some(bound) = as_bound(&scan.source) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            if !bound.wide {
                scan.projection = Some((0..bound.def.columns.fields().len()).collect());
            }
            scan.table_name = scan_name(&scan.table_name);
            scan.source = self.names.relations.source(&bound.def, bound.kind);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })?;
        Ok(plan.data)
    }
}

fn as_bound(source: &Arc<dyn TableSource>) -> Option<&BoundSource> {
    let source: &dyn std::any::Any = source.as_ref();
    source.downcast_ref()
}

/// The name of a scan without the mark that told what to scan. The qualifier of its columns is
/// left: only the alias above it, which is always there, sees it.
fn scan_name(name: &datafusion::common::TableReference) -> datafusion::common::TableReference {
    use datafusion::common::TableReference;
    match name.schema() {
        Some(schema) if schema.starts_with([prepare::WIDE, prepare::MODIFY]) => {
            match &schema[1..] {
                "" => TableReference::bare(name.table().to_owned()),
                schema => TableReference::partial(schema.to_owned(), name.table().to_owned()),
            }
        }
        _ => name.clone(),
    }
}

/// ksqlDB's clients see arrays as they see maps and structs, with bytes in them as JSON has them.
fn show_as_json(column: &mut FieldRef) {
    if column.data_type().is_nested() {
        let mut metadata = column.metadata().clone();
        metadata.insert(LOGICAL_TYPE.to_owned(), "json".to_owned());
        *column = Arc::new(column.as_ref().clone().with_metadata(metadata));
    }
}

/// Gives the result columns of a plan the types that are stored, and tells their names.
fn finish(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<FieldRef>)> {
    let schema = plan.schema().clone();
    let changed = schema
        .fields()
        .iter()
        .any(|field| stored_type(field.data_type()) != *field.data_type());
    let plan = match changed {
        false => plan,
        true => {
            let exprs: Vec<Expr> = schema
                .iter()
                .map(|(qualifier, field)| {
                    let column = Expr::from((qualifier, field));
                    let target = stored_type(field.data_type());
                    if target == *field.data_type() {
                        return column;
                    }
                    let target = Arc::new(Field::new(field.name(), target, true));
                    Expr::Cast(Cast::new_from_field(Box::new(column), target))
                        .alias_qualified(qualifier.cloned(), field.name())
                })
                .collect();
            LogicalPlanBuilder::from(plan).project(exprs)?.build()?
        }
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let name = match field.name() {
                name if name.starts_with("UNNEST(") && name.ends_with(')') => "unnest",
                name => name.split(prepare::AGAIN).next().unwrap_or_default(),
            };
            Arc::new(
                field
                    .as_ref()
                    .clone()
                    .with_name(name)
                    .with_data_type(stored_type(field.data_type())),
            )
        })
        .collect();
    Ok((plan, columns))
}
