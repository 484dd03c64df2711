//! The simple protocol: a text of statements, their answers one after the other.

use engine::response::Response;
use sql::ast::Statement;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::pump::{Cursor, send_copy};
use crate::value::{ResultFormats, describe};
use crate::wire::backend::{self, Bare};

impl Connection {
    /// Runs all statements of a text; the first that fails ends it.
    pub async fn simple_query(&mut self, text: &str) -> Result<(), Failure> {
        // The unnamed statement and portal end with the next simple query.
        self.prepared.remove("");
        self.portals.remove("");
        let statements = self.session.parse(text)?;
        if statements.is_empty() {
            backend::bare(&mut self.output.buffer, Bare::EmptyQueryResponse);
        }
        for statement in &statements {
            let guard = self.guard();
            if let Some(tag) = self.deallocate(statement) {
                backend::command_complete(&mut self.output.buffer, &tag);
                continue;
            }
            let response = guard
                .run(&mut self.input, self.session.execute(statement, &[]))
                .await??;
            self.send_notices();
            self.report_settings();
            let tag = match response {
                Response::Rows(rows) => {
                    let formats = ResultFormats::default();
                    describe(&mut self.output.buffer, &rows.columns, &formats);
                    let mut cursor = Cursor::new(rows, formats, self.zone);
                    let sent = cursor
                        .send(&mut self.input, &mut self.output, &guard, u64::MAX)
                        .await?;
                    cursor.complete_tag(sent.rows())
                }
                Response::Done { tag } => tag,
                Response::CopyIn(copy) => format!("COPY {}", self.copy_in(copy, &guard).await?),
                Response::CopyOut(copy) => {
                    let rows = send_copy(copy, &mut self.input, &mut self.output, &guard).await?;
                    format!("COPY {rows}")
                }
            };
            self.cancel.end();
            self.send_notices();
            backend::command_complete(&mut self.output.buffer, &tag);
        }
        Ok(())
    }

    /// `DEALLOCATE` of a statement that was prepared by a message; `DEALLOCATE ALL` and `DISCARD ALL` forget those too,
    /// and leave the rest to the session.
    pub fn deallocate(&mut self, statement: &Statement) -> Option<String> {
        match statement {
            Statement::Deallocate(Some(name)) if self.prepared.contains_key(&name.value) => {
                self.prepared.remove(&name.value);
                Some("DEALLOCATE".to_owned())
            }
            Statement::Deallocate(None) | Statement::Discard(sql::ast::Discard::All) => {
                self.prepared.clear();
                None
            }
            _ => None,
        }
    }
}
