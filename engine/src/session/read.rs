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
        let plan = self.query_planning(query, parameters);
        let reading = self.reading();
        let prepare = async move {
            let planned = plan()?;
            reading.fill(&planned).await?;
            Ok((planned.plan, planned.columns))
        };
        let state = self.engine.batch.state(self.settings.time_zone());
        let (columns, batches) = self.engine.batch.run(state, prepare).await?;
        Ok(Rows {
            columns,
            batches,
            endless: false,
            tag: "SELECT",
        })
    }
}
