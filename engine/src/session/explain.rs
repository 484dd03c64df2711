//! `EXPLAIN`.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use datafusion::physical_plan::displayable;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use planner::lower::OutputKind;
use sql::ast::{CreateQuery, DerivedKind, Explain, ExplainTarget, InsertSource, Query, Statement};

use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::response::{Response, Rows};
use crate::session::plan::is_continuous;
use crate::session::{Session, show};

impl Session {
    pub(super) async fn explain(
        &mut self,
        explain: &Explain,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let text = match &explain.target {
            ExplainTarget::RunningQuery(id) => self.explain_running(id)?,
            ExplainTarget::Statement(statement) => {
                self.explain_statement(statement, explain.analyze, parameters)
                    .await?
            }
        };
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let columns = show::text_columns(&["QUERY PLAN"]);
        let batch = RecordBatch::try_new(columns.clone(), vec![Arc::new(StringArray::from(lines))])
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Response::Rows(Rows {
            columns,
            batches: futures::stream::iter([Ok(batch)]).boxed(),
            endless: false,
            tag: "EXPLAIN",
        }))
    }

    fn explain_running(&self, id: &str) -> Result<String> {
        let catalog = self.engine.catalog();
        let query = catalog.expect_query(id)?;
        let mut text = format!("{}: {}\n", query.id, query.text);
        text.push_str(&planner::explain::explain(&query.plan));
        Ok(text)
    }

    async fn explain_statement(
        &mut self,
        statement: &Statement,
        analyze: bool,
        parameters: &[ScalarValue],
    ) -> Result<String> {
        let (query, output) = match statement {
            Statement::Query(query) if query.emit.is_some() => (query.as_ref(), OutputKind::Push),
            Statement::Query(query) => return self.explain_batch(query, analyze, parameters).await,
            Statement::CreateQuery(CreateQuery { kind, query, .. }) => {
                let output = match kind {
                    DerivedKind::Stream => OutputKind::Stream,
                    DerivedKind::Table | DerivedKind::MaterializedView | DerivedKind::View => {
                        OutputKind::Table
                    }
                };
                (query.as_ref(), output)
            }
            Statement::Insert(insert) => {
                let planned = self.plan_insert(insert, parameters).await?;
                match &insert.source {
                    InsertSource::Query(query)
                        if is_continuous(&insert.source, &planned.relations) =>
                    {
                        (query.as_ref(), OutputKind::Stream)
                    }
                    _ => return Ok(planned.plan.display_indent().to_string()),
                }
            }
            _ => {
                return Err(StatementError::new(
                    StatementErrorKind::Unsupported,
                    "EXPLAIN of this statement is not supported",
                )
                .into());
            }
        };
        let lowered = self.plan_continuous(query, output, parameters).await?;
        Ok(planner::explain::explain(&lowered.plan))
    }

    /// The plan of a pull query, as DataFusion will run it; with ANALYZE also how it ran.
    async fn explain_batch(
        &mut self,
        query: &Query,
        analyze: bool,
        parameters: &[ScalarValue],
    ) -> Result<String> {
        let planned = self.plan_query(query, parameters).await?;
        self.fill(&planned).await?;
        let state = self.engine.batch.state(self.settings.time_zone());
        let (physical, context) = self.engine.batch.physical(state, planned.plan).await?;
        if analyze {
            let mut rows = self.engine.batch.start(physical.clone(), context);
            while let Some(batch) = rows.next().await {
                batch?;
            }
            let plan = datafusion::physical_plan::display::DisplayableExecutionPlan::with_metrics(
                physical.as_ref(),
            );
            return Ok(plan.indent(true).to_string());
        }
        Ok(displayable(physical.as_ref()).indent(false).to_string())
    }
}
