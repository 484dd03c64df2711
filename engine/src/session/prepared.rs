//! `PREPARE`, `EXECUTE`, `DEALLOCATE`, `DISCARD`.

use std::sync::Arc;

use arrow_schema::Field;
use datafusion::scalar::ScalarValue;
use sql::ast::{Discard, Execute, Expr, Ident, Prepare};

use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};

/// Statements that a session may have prepared.
const PREPARED_MAX: usize = 10_000;

impl Session {
    pub(super) fn prepare(&mut self, prepare: &Prepare) -> Result<Response> {
        let name = prepare.name.value.clone();
        if self.prepared.contains_key(&name) {
            return Err(StatementError::new(
                StatementErrorKind::DuplicatePreparedStatement,
                format!("prepared statement \"{name}\" already exists"),
            )
            .into());
        }
        if self.prepared.len() >= PREPARED_MAX {
            return Err(StatementError::new(
                StatementErrorKind::TooManyObjects,
                "too many statements are prepared",
            )
            .into());
        }
        self.prepared.insert(name, Arc::new(prepare.clone()));
        Ok(done("PREPARE"))
    }

    pub(super) async fn execute_prepared(&mut self, execute: &Execute) -> Result<Response> {
        let prepared = self.prepared_statement(&execute.name)?;
        let mut parameters = Vec::with_capacity(execute.parameters.len());
        for expr in &execute.parameters {
            parameters.push(self.constant(expr).await?);
        }
        self.parameter_types = parameters
            .iter()
            .map(|value| Some(Arc::new(Field::new("", value.data_type(), true))))
            .collect();
        self.run(&prepared.statement, &parameters).await
    }

    /// The value of an expression that names nothing.
    async fn constant(&self, expr: &Expr) -> Result<ScalarValue> {
        let not_constant = || {
            StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!("parameter {expr} of EXECUTE is not a constant"),
            )
        };
        let text = format!("SELECT {expr}");
        let parsed = self.parse(&text)?.pop().map(|statement| statement.node);
        let Some(sql::ast::Statement::Query(query)) = parsed else {
            return Err(not_constant().into());
        };
        let planned = self.plan_query(&query, &[]).await?;
        self.fill(&planned).await?;
        let state = self.engine.batch.state(self.settings.time_zone());
        let batches = self.engine.batch.collect(state, planned.plan).await?;
        let row = batches
            .iter()
            .find(|batch| batch.num_rows() > 0)
            .ok_or_else(not_constant)?;
        Ok(ScalarValue::try_from_array(row.column(0), 0)?)
    }

    pub(super) fn prepared_statement(&self, name: &Ident) -> Result<Arc<Prepare>> {
        self.prepared.get(&name.value).cloned().ok_or_else(|| {
            StatementError::new(
                StatementErrorKind::UndefinedPreparedStatement,
                format!("prepared statement \"{}\" does not exist", name.value),
            )
            .into()
        })
    }

    pub(super) fn deallocate(&mut self, name: Option<&Ident>) -> Result<Response> {
        match name {
            None => {
                self.prepared.clear();
                Ok(done("DEALLOCATE ALL"))
            }
            Some(name) => {
                self.prepared_statement(name)?;
                self.prepared.remove(&name.value);
                Ok(done("DEALLOCATE"))
            }
        }
    }

    pub(super) fn discard(&mut self, what: Discard) -> Result<Response> {
        if what == Discard::All {
            if self.transaction.is_some() {
                return Err(StatementError::new(
                    StatementErrorKind::ActiveTransaction,
                    "DISCARD ALL cannot run inside a transaction block",
                )
                .into());
            }
            self.cursors.clear();
            self.prepared.clear();
            self.settings.reset_all();
        }
        Ok(done(match what {
            Discard::All => "DISCARD ALL",
            Discard::Plans => "DISCARD PLANS",
            Discard::Sequences => "DISCARD SEQUENCES",
            Discard::Temp => "DISCARD TEMP",
        }))
    }
}
