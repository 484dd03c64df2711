//! The names that completion offers, fetched from the server.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use crate::client::Client;
use crate::lexer;

/// The prompt does not wait longer for names than this; without them only keywords are completed.
const FETCH_TIME_MAX: Duration = Duration::from_millis(500);

/// Relations with their columns, each as it must be written.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Columns by relation.
    pub relations: BTreeMap<String, Vec<String>>,
}

/// Asks the server. An answer that does not come, or comes as an error, gives no names.
pub async fn fetch(client: &Client) -> Names {
    let sql = "SELECT table_name, column_name FROM information_schema.columns \
               WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY table_name, ordinal_position";
    let answer = tokio::time::timeout(FETCH_TIME_MAX, client.session().simple_query(sql)).await;
    let mut names = Names::default();
    match answer {
        Ok(Ok(messages)) => {
            for message in messages {
                if let SimpleQueryMessage::Row(row) = message
                    && let (Some(relation), Some(column)) = (row.get(0), row.get(1))
                {
                    let columns = names
                        .relations
                        .entry(lexer::quote_name(relation))
                        .or_default();
                    columns.push(lexer::quote_name(column));
                }
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "no names for completion"),
        Err(_) => {
            client.cancel();
            tracing::debug!("names for completion took too long");
        }
    }
    names
}
