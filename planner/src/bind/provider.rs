//! What DataFusion's SQL planner asks us about names.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::prepare::{MODIFY, WIDE};
use super::type_planner::ColumnTypes;
use crate::error::{PlanError, PlanErrorKind};
use crate::functions::{functions, undefined_function};
use crate::relations::{RelationDef, Relations, ScanKind, scan_schema};
use crate::session::plain_state;

/// A relation as names are bound: what columns it has, before anybody can read it.
///
/// At the end of binding it is replaced by the source of the catalog.
pub(super) struct BoundSource {
    pub def: Arc<RelationDef>,
    pub kind: ScanKind,
    /// Whether it has its pseudo-columns.
    pub wide: bool,
    schema: SchemaRef,
}

impl BoundSource {
    fn new(def: Arc<RelationDef>, kind: ScanKind, wide: bool) -> Self {
        let schema = match wide {
            true => scan_schema(&def, kind),
            false => def.columns.clone(),
        };
        Self {
            def,
            kind,
            wide,
            schema,
        }
    }
}

impl TableSource for BoundSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }
}

/// Answers from the catalog and the function registry.
pub(super) struct Names<'a> {
    pub relations: &'a dyn Relations,
    pub options: Arc<ConfigOptions>,
    pub dialect: sql::Dialect,
}

impl Names<'_> {
    fn source(&self, schema: Option<&str>, table: &str) -> Option<Arc<dyn TableSource>> {
        let relation = |schema: &str, kind| {
            let schema = Some(schema).filter(|schema| !schema.is_empty());
            let def = self.relations.relation(schema, table)?;
            Some(Arc::new(BoundSource::new(def, kind, true)) as Arc<dyn TableSource>)
        };
        if let Some(schema) = schema {
            if let Some(schema) = schema.strip_prefix(WIDE) {
                return relation(schema, ScanKind::Read);
            }
            if let Some(schema) = schema.strip_prefix(MODIFY) {
                return relation(schema, ScanKind::Modify);
            }
        }
        if let Some(def) = self.relations.relation(schema, table) {
            return Some(Arc::new(BoundSource::new(def, ScanKind::Read, false)));
        }
        self.relations.system_source(schema, table)
    }
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.source(name.schema(), name.table()).ok_or_else(|| {
            PlanError::new(
                PlanErrorKind::UndefinedRelation,
                format!("relation \"{name}\" does not exist"),
            )
            .into()
        })
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        let name = name.trim_matches('"');
        let function = functions().table(name).ok_or_else(|| {
            PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!("function {name} does not exist in FROM"),
            )
        })?;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::builder()
                .with_config_options(self.options.clone())
                .build(),
        );
        let empty = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.simplify(simplifier.coerce(arg, &empty)?))
            .collect::<Result<Vec<_>>>()?;
        let provider = function
            .create_table_provider_with_args(TableFunctionArgs::new(&args, plain_state()))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        let table = datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema);
        Ok(provider_as_source(Arc::new(table)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        match self.dialect {
            sql::Dialect::Postgres => functions().expr_planners(),
            sql::Dialect::Ksqldb => super::ksql::expr_planners(),
        }
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(ColumnTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let functions = functions();
        match functions.scalar(name) {
            Some(function) => Some(function),
            None if functions.contains(name)
                || matches!(name, "unnest" | "unnest_outer" | "grouping") =>
            {
                None
            }
            None => Some(undefined_function(name)),
        }
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        functions().higher_order(name)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        functions().aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        functions().window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        names(functions().scalars().iter().map(|function| function.name()))
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        names(
            functions()
                .higher_orders()
                .iter()
                .map(|function| function.name()),
        )
    }

    fn udaf_names(&self) -> Vec<String> {
        names(
            functions()
                .aggregates()
                .iter()
                .map(|function| function.name()),
        )
    }

    fn udwf_names(&self) -> Vec<String> {
        names(functions().windows().iter().map(|function| function.name()))
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.map(str::to_owned).collect()
}
