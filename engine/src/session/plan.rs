//! From a statement to a plan, with what the session knows.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use planner::bind::BindOptions;
use planner::lower::{Lowered, OutputKind};
use sql::ast::{Insert, InsertSource, Query, Statement};

use crate::catalog::{Catalog, RelationKind};
use crate::engine::Engine;
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::mill::ConsistentSnapshot;
use crate::response::Description;
use crate::session::{Session, relation_name, show};
use crate::tables::{StatementRelations, definition};

/// A plan and the relations it was planned with.
pub struct Planned {
    pub plan: LogicalPlan,
    /// Columns of the result, with the names that the user sees.
    pub columns: SchemaRef,
    pub relations: Arc<StatementRelations>,
    /// Whether a last column gives the event time of rows to be written.
    pub has_rowtime: bool,
}

impl Planned {
    pub fn modification(plan: planner::bind::DmlPlan, relations: Arc<StatementRelations>) -> Self {
        Self {
            columns: Arc::new(plan.plan.schema().as_arrow().clone()),
            plan: plan.plan,
            relations,
            has_rowtime: plan.has_rowtime,
        }
    }
}

impl Session {
    pub(super) fn bind_options(&self) -> BindOptions {
        BindOptions {
            dialect: self.settings.dialect(),
            time_zone: self.settings.time_zone().to_owned(),
            parameter_types: self.parameter_types.clone(),
            output: None,
            pull_scans: self.settings.pull_scans(),
            collect_limits: self.settings.collect_limits(),
        }
    }

    pub(super) fn relations(&self, catalog: Arc<Catalog>) -> Arc<StatementRelations> {
        let system = show::system_tables(self, &catalog);
        Arc::new(StatementRelations::new(catalog, Arc::new(system)))
    }

    /// Plans a query, on a thread with room for deep nesting.
    pub(super) async fn plan_query(
        &self,
        query: &Query,
        parameters: &[ScalarValue],
    ) -> Result<Planned> {
        let plan = self.query_planning(query, parameters);
        self.engine.batch.compute(plan).await
    }

    /// The planning of a query, to be run where there is room for deep nesting.
    pub(super) fn query_planning(
        &self,
        query: &Query,
        parameters: &[ScalarValue],
    ) -> impl FnOnce() -> Result<Planned> + Send + use<> {
        let relations = self.relations(self.engine.catalog());
        let options = self.bind_options();
        let query = query.clone();
        let parameters = parameters.to_vec();
        move || {
            let bound = planner::plan_query(&query, relations.as_ref(), &options)?;
            let columns = bound.schema();
            Ok(Planned {
                plan: with_parameters(bound.plan, parameters)?,
                columns,
                relations,
                has_rowtime: false,
            })
        }
    }

    /// Plans the rows of an INSERT: exactly the columns of its target, in order, and event time
    /// behind them if it is given.
    pub(super) async fn plan_insert(
        &self,
        insert: &Insert,
        parameters: &[ScalarValue],
    ) -> Result<Planned> {
        let plan = self.insert_planning(insert, parameters)?;
        self.engine.batch.compute(plan).await
    }

    /// The planning of an INSERT, to be run where there is room for deep nesting.
    pub(super) fn insert_planning(
        &self,
        insert: &Insert,
        parameters: &[ScalarValue],
    ) -> Result<impl FnOnce() -> Result<Planned> + Send + use<>> {
        let catalog = self.engine.catalog();
        let name = relation_name(&insert.relation)?;
        let target = definition(catalog.expect_relation(&name)?);
        let relations = self.relations(catalog);
        let options = self.bind_options();
        let insert = insert.clone();
        let parameters = parameters.to_vec();
        Ok(move || {
            let mut planned = planner::bind::plan_insert(
                &target,
                &insert.columns,
                &insert.source,
                relations.as_ref(),
                &options,
            )?;
            planned.plan = with_parameters(planned.plan, parameters)?;
            Ok(Planned::modification(planned, relations))
        })
    }

    /// Lowers a query to incremental operators.
    pub(super) async fn plan_continuous(
        &mut self,
        query: &Query,
        output: OutputKind,
        parameters: &[ScalarValue],
    ) -> Result<Lowered> {
        let relations = self.relations(self.engine.catalog());
        let options = BindOptions {
            output: Some(output),
            ..self.bind_options()
        };
        let query = query.clone();
        let parameters = parameters.to_vec();
        let lowered = self
            .engine
            .batch
            .compute(move || {
                let mut bound = planner::plan_query(&query, relations.as_ref(), &options)?;
                bound.plan = with_parameters(bound.plan, parameters)?;
                Ok(planner::lower(&bound, relations.as_ref(), output)?)
            })
            .await?;
        self.pass_on(&lowered);
        Ok(lowered)
    }

    /// Lowers the rows of an INSERT that goes on for ever: exactly the columns of its target.
    pub(super) async fn plan_continuous_insert(
        &mut self,
        planned: Planned,
        target: &crate::catalog::Relation,
    ) -> Result<Lowered> {
        if planned.has_rowtime {
            return Err(StatementError::new(
                StatementErrorKind::Unsupported,
                "rowtime as a column of INSERT INTO … SELECT from a stream is not supported",
            )
            .with_hint("Rows keep the event time they have.")
            .into());
        }
        let columns = target.columns.fields().iter().cloned().collect();
        let lowered = self
            .engine
            .batch
            .compute(move || {
                let bound = planner::BoundQuery {
                    plan: planned.plan,
                    columns,
                    emit: None,
                    key_columns: None,
                    keeps_groups: false,
                };
                Ok(planner::lower(
                    &bound,
                    planned.relations.as_ref(),
                    OutputKind::Stream,
                )?)
            })
            .await?;
        self.pass_on(&lowered);
        Ok(lowered)
    }

    fn pass_on(&mut self, lowered: &Lowered) {
        for notice in &lowered.notices {
            match &notice.hint {
                Some(hint) => self.notice_with_hint(&notice.message, hint),
                None => self.notice(&notice.message),
            }
        }
    }

    /// What the statement that comes next reads.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            engine: self.engine.clone(),
            // Even so a session reads what it wrote.
            at_least: (!self.settings.is_strict()).then_some(self.written),
        }
    }

    /// Takes what a plan reads at one epoch, and makes it the plan's.
    pub(super) async fn fill(&self, planned: &Planned) -> Result<()> {
        self.reading().fill(planned).await
    }

    pub(super) async fn describe_statement(
        &mut self,
        statement: &Statement,
        declared: &[Option<FieldRef>],
    ) -> Result<Description> {
        if let Statement::Query(query) = statement
            && let Some(planned) = self.plan_system(query).await?
        {
            return Ok(Description {
                parameters: planned.parameters()?,
                columns: Some(planned.columns()),
            });
        }
        let (plan, columns): (Option<LogicalPlan>, Option<SchemaRef>) = match statement {
            Statement::Query(query) if query.emit.is_some() => {
                let planned = self.plan_query(query, &[]).await?;
                let lowered_columns = self.push_columns(query).await.ok();
                let columns = lowered_columns.unwrap_or_else(|| planned.columns.clone());
                (Some(planned.plan), Some(columns))
            }
            Statement::Query(query) => {
                let planned = self.plan_query(query, &[]).await?;
                let columns = planned.columns.clone();
                (Some(planned.plan), Some(columns))
            }
            Statement::Insert(insert) => (Some(self.plan_insert(insert, &[]).await?.plan), None),
            Statement::Update(update) => (Some(self.plan_update(update).await?.plan), None),
            Statement::Delete(delete) => (Some(self.plan_delete(delete).await?.plan), None),
            Statement::Fetch(fetch) => (None, Some(self.cursor(&fetch.cursor)?.columns())),
            Statement::Print(_) => (None, Some(crate::session::print::print_columns())),
            Statement::List(list) => (None, Some(show::list_columns(list))),
            Statement::Describe(describe) => (None, Some(show::describe_columns(describe))),
            Statement::ShowVariable(target) => (None, Some(show::variable_columns(target))),
            Statement::Explain(_) => (None, Some(show::text_columns(&["QUERY PLAN"]))),
            Statement::Execute(execute) => {
                let prepared = self.prepared_statement(&execute.name)?;
                let inner = prepared.statement.clone();
                return Box::pin(self.describe_statement(&inner, &[])).await;
            }
            _ => (None, None),
        };
        let mut parameters = match &plan {
            Some(plan) => planner::bind::parameter_types(plan)?,
            None => Vec::new(),
        };
        let text = Arc::new(Field::new("", DataType::Utf8, true));
        parameters.resize(parameters.len().max(declared.len()), text);
        for (parameter, declared) in parameters.iter_mut().zip(declared) {
            if let Some(declared) = declared {
                parameter.clone_from(declared);
            }
        }
        Ok(Description {
            parameters,
            columns,
        })
    }
}

/// What a statement reads.
pub struct Reading {
    engine: Arc<Engine>,
    /// The epoch that it must have; everything that is sealed if none is given.
    at_least: Option<u64>,
}

impl Reading {
    /// Takes what a plan reads at one epoch, and makes it the plan's.
    pub async fn fill(&self, planned: &Planned) -> Result<()> {
        let named = planned.relations.named();
        if named.is_empty() {
            return Ok(());
        }
        let epoch = self.at_least.unwrap_or_else(|| self.engine.log.sealed().0);
        let snapshot: ConsistentSnapshot = self.engine.mill.snapshot(&named, epoch).await?;
        planned.relations.fill(snapshot)
    }
}

/// Puts values in the place of `$1`, `$2`, …; without values the plan is only to be described.
pub(super) fn with_parameters(
    plan: LogicalPlan,
    parameters: Vec<ScalarValue>,
) -> Result<LogicalPlan> {
    match parameters.is_empty() {
        true => Ok(plan),
        false => Ok(planner::bind::bind_parameters(plan, parameters)?),
    }
}

/// Refuses to write what only queries write.
pub fn check_writable(relation: &crate::catalog::Relation) -> Result<()> {
    if let Some(query) = &relation.written_by {
        return Err(StatementError::new(
            StatementErrorKind::WrongObjectType,
            format!(
                "cannot write to {} \"{}\"",
                relation.kind_name(),
                relation.name
            ),
        )
        .with_detail(format!("It is maintained by query {query}."))
        .into());
    }
    if relation.read_only {
        return Err(StatementError::new(
            StatementErrorKind::WrongObjectType,
            format!(
                "cannot write to read-only {} \"{}\"",
                relation.kind_name(),
                relation.name
            ),
        )
        .into());
    }
    Ok(())
}

/// As [`check_writable`], of rows that are only added: they may go into a stream that a query makes as well, which is
/// then shared ([`crate::session::Session::share`]).
pub fn check_insertable(relation: &crate::catalog::Relation) -> Result<()> {
    if relation.format.window.is_some() {
        return Err(StatementError::new(
            StatementErrorKind::Unsupported,
            format!(
                "cannot write to {} \"{}\", whose keys are windowed",
                relation.kind_name(),
                relation.name
            ),
        )
        .into());
    }
    match (relation.kind, &relation.written_by) {
        (RelationKind::Stream, Some(_)) => Ok(()),
        _ => check_writable(relation),
    }
}

/// Refuses what needs a table.
pub fn check_base_table(relation: &crate::catalog::Relation, verb: &str) -> Result<()> {
    if relation.kind == RelationKind::Stream {
        return Err(StatementError::new(
            StatementErrorKind::WrongObjectType,
            format!("cannot {verb} stream \"{}\"", relation.name),
        )
        .with_detail("A stream is append-only.")
        .into());
    }
    check_writable(relation)
}

/// Whether an INSERT's rows come for ever.
pub fn is_continuous(source: &InsertSource, relations: &StatementRelations) -> bool {
    match source {
        InsertSource::Values(_) | InsertSource::DefaultValues => false,
        InsertSource::Query(query) => query.emit.is_some() || relations.name_a_stream(),
    }
}
