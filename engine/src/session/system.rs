//! Queries over the system catalog.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use sql::ast::Query;

use crate::error::Result;
use crate::pg_catalog::{SessionFacts, SystemQuery, concerns};
use crate::response::Rows;
use crate::session::{Session, show};

impl Session {
    /// Plans a query if it is about the system catalog.
    pub(super) async fn plan_system(&self, query: &Query) -> Result<Option<SystemQuery>> {
        if !concerns(&query.body) {
            return Ok(None);
        }
        let facts = SessionFacts {
            user: self.parameters.user.clone(),
            database: self.parameters.database.clone(),
            backend_pid: self.parameters.process,
        };
        let tables = show::system_tables(self, &self.engine.catalog()).with_facts(facts);
        SystemQuery::plan(&Arc::new(tables), &query.body)
            .await
            .map(Some)
    }

    /// Runs a query if it is about the system catalog.
    pub(super) async fn read_system(
        &self,
        query: &Query,
        parameters: &[ScalarValue],
    ) -> Result<Option<Rows>> {
        let Some(planned) = self.plan_system(query).await? else {
            return Ok(None);
        };
        let (columns, batches) = planned.run(parameters).await?;
        Ok(Some(Rows {
            columns,
            batches,
            endless: false,
            tag: "SELECT",
        }))
    }
}
