//! Pull queries: one consistent snapshot, the whole of SQL, and an end.

use datafusion::scalar::ScalarValue;
use sql::ast::Query;

use crate::error::Result;
use crate::response::Rows;
use crate::session::Session;

impl Session {
    pub(super) async fn read(&mut self, query: &Query, parameters: &[ScalarValue]) -> Result<Rows> {
        if let Some(rows) = self.read_system(query, parameters).await? {
            return Ok(rows);
        }
        let planned = self.plan_query(query, parameters).await?;
        self.fill(&planned).await?;
        let columns = planned.columns.clone();
        let state = self.engine.batch.state(self.settings.time_zone());
        let (_, batches) = self.engine.batch.run(state, planned.plan).await?;
        Ok(Rows {
            columns,
            batches,
            endless: false,
            tag: "SELECT",
        })
    }
}
