//! The extended protocol: Parse, Bind, Describe, Execute, Close.
//!
//! A statement is parsed and bound to types once, then run with values as often as the client likes. A portal is one
//! such run; its result may be taken in parts.

use std::sync::Arc;

use engine::formats::ScalarValue;
use engine::response::{Description, Response};
use sql::Spanned;
use sql::ast::{Fetch, FetchCount, Ident, Statement};

use crate::connection::Connection;
use crate::failure::{Failure, Report};
use crate::pump::{Cursor, Progress, send_copy};
use crate::sqlstate;
use crate::types;
use crate::value::{ResultFormats, decode_parameter, describe};
use crate::wire::backend::{self, Bare};
use crate::wire::frontend::{Bind, Message, Target};

/// A prepared statement.
pub struct Prepared {
    /// `None` for an empty text.
    statement: Option<Spanned<Statement>>,
    /// Types of the parameters, as the client is told and as it sends them.
    parameter_oids: Vec<u32>,
    description: Description,
    text_bytes: usize,
}

/// A prepared statement with values.
pub struct Portal {
    prepared: Arc<Prepared>,
    parameters: Vec<ScalarValue>,
    formats: ResultFormats,
    state: PortalState,
    /// Of the values, as they were sent.
    bytes: usize,
}

enum PortalState {
    /// It has not run yet.
    Ready,
    /// Rows are left.
    Suspended(Cursor),
    /// All rows have been sent; asked again, it has none.
    Exhausted(String),
    /// It was not a query and cannot run twice.
    Done,
}

impl Connection {
    /// Handles a message of the extended protocol.
    pub async fn extended(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Parse {
                name,
                text,
                parameter_types,
            } => self.parse(name, &text, parameter_types).await,
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(Target::Statement, name) => self.describe_statement(&name),
            Message::Describe(Target::Portal, name) => self.describe_portal(&name).await,
            Message::Execute { portal, rows_max } => self.execute(portal, rows_max).await,
            Message::Close(target, name) => {
                // Closing what does not exist is no error.
                match target {
                    Target::Statement => drop(self.prepared.remove(&name)),
                    Target::Portal => drop(self.portals.remove(&name)),
                }
                backend::bare(&mut self.output.buffer, Bare::CloseComplete);
                Ok(())
            }
            _ => Connection::refuse(sqlstate::PROTOCOL_VIOLATION, "unexpected message"),
        }
    }

    async fn parse(&mut self, name: String, text: &str, mut oids: Vec<u32>) -> Result<(), Failure> {
        if !name.is_empty() && self.prepared.contains_key(&name) {
            return Connection::refuse(
                sqlstate::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            );
        }
        // The unnamed one makes room for the next.
        self.prepared.remove(&name);
        let text_bytes: usize = self.prepared.values().map(|one| one.text_bytes).sum();
        let config = &self.server.config;
        if self.prepared.len() >= config.prepared_statements_max
            || text_bytes + text.len() > config.prepared_text_bytes_max
        {
            return Err(Report::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                "too many prepared statements",
            )
            .with_hint("Close the ones you no longer need.")
            .into());
        }
        let mut statements = self.session.parse(text)?;
        if statements.len() > 1 {
            return Connection::refuse(
                sqlstate::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            );
        }
        let statement = statements.pop();
        let description = match &statement {
            None => Description {
                parameters: Vec::new(),
                columns: None,
            },
            Some(statement) => {
                let declared: Vec<_> = oids.iter().map(|oid| types::declared_type(*oid)).collect();
                let guard = self.guard();
                guard
                    .run(&mut self.input, self.session.describe(statement, &declared))
                    .await??
            }
        };
        self.cancel.end();
        self.send_notices();
        // What the client left open is ours to say.
        oids.resize(description.parameters.len(), 0);
        for (oid, field) in oids.iter_mut().zip(&description.parameters) {
            if matches!(*oid, 0 | types::UNKNOWN) {
                *oid = types::oid(field);
            }
        }
        let prepared = Prepared {
            statement,
            parameter_oids: oids,
            description,
            text_bytes: text.len(),
        };
        self.prepared.insert(name, Arc::new(prepared));
        backend::bare(&mut self.output.buffer, Bare::ParseComplete);
        Ok(())
    }

    fn prepared(&self, name: &str) -> Result<Arc<Prepared>, Failure> {
        self.prepared.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            Failure::statement(sqlstate::INVALID_STATEMENT_NAME, message)
        })
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let prepared = self.prepared(&bind.statement)?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Connection::refuse(
                sqlstate::DUPLICATE_CURSOR,
                format!("cursor \"{}\" already exists", bind.portal),
            );
        }
        // The unnamed one makes room for the next.
        self.portals.remove(&bind.portal);
        let bytes: usize = bind
            .parameters
            .iter()
            .flatten()
            .map(bytes::Bytes::len)
            .sum();
        let held: usize = self.portals.values().map(|portal| portal.bytes).sum();
        let config = &self.server.config;
        if self.portals.len() >= config.portals_max || held + bytes > config.portal_bytes_max {
            return Err(
                Report::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "too many portals")
                    .with_hint("Close the ones you no longer need.")
                    .into(),
            );
        }
        let wanted = &prepared.description.parameters;
        if bind.parameters.len() != wanted.len() {
            return Connection::refuse(
                sqlstate::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                    bind.parameters.len(),
                    bind.statement,
                    wanted.len()
                ),
            );
        }
        let codes = &bind.parameter_formats;
        if codes.len() > 1 && codes.len() != wanted.len() {
            return Connection::refuse(
                sqlstate::PROTOCOL_VIOLATION,
                format!(
                    "bind message has {} parameter formats but {} parameters",
                    codes.len(),
                    wanted.len()
                ),
            );
        }
        let parameters_binary = ResultFormats::new(bind.parameter_formats);
        let mut parameters = Vec::with_capacity(wanted.len());
        for (n, (bytes, data_type)) in bind.parameters.iter().zip(wanted).enumerate() {
            let oid = prepared.parameter_oids[n];
            let binary = parameters_binary.is_binary(n);
            parameters.push(decode_parameter(
                bytes.as_ref(),
                binary,
                oid,
                data_type,
                &self.zone,
                n + 1,
            )?);
        }
        let formats = ResultFormats::new(bind.result_formats);
        if let Some(columns) = &prepared.description.columns
            && !formats.fits(columns.fields().len())
        {
            return Connection::refuse(
                sqlstate::PROTOCOL_VIOLATION,
                format!(
                    "bind message does not have a result format for each of {} columns",
                    columns.fields().len()
                ),
            );
        }
        let portal = Portal {
            prepared,
            parameters,
            formats,
            state: PortalState::Ready,
            bytes,
        };
        self.portals.insert(bind.portal, portal);
        backend::bare(&mut self.output.buffer, Bare::BindComplete);
        Ok(())
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), Failure> {
        let prepared = self.prepared(name)?;
        let out = &mut self.output.buffer;
        backend::parameter_description(out, &prepared.parameter_oids);
        match &prepared.description.columns {
            Some(columns) => describe(out, columns, &ResultFormats::default()),
            None => backend::bare(out, Bare::NoData),
        }
        Ok(())
    }

    /// A cursor that SQL declared is a portal too.
    async fn describe_portal(&mut self, name: &str) -> Result<(), Failure> {
        let (columns, formats) = match self.portals.get(name) {
            Some(portal) => {
                let columns = portal.prepared.description.columns.clone();
                (columns, portal.formats.clone())
            }
            None => {
                let fetch = Statement::Fetch(Fetch {
                    count: FetchCount::All,
                    cursor: Ident::with_quote('"', name),
                });
                let described = self.session.describe(&fetch, &[]).await;
                let columns = described.map_err(|_| no_portal(name))?.columns;
                (columns, ResultFormats::default())
            }
        };
        let out = &mut self.output.buffer;
        match &columns {
            Some(columns) => describe(out, columns, &formats),
            None => backend::bare(out, Bare::NoData),
        }
        Ok(())
    }

    async fn execute(&mut self, name: String, rows_max: i32) -> Result<(), Failure> {
        // Zero means all rows, and Postgres takes negative numbers for that too. Nothing is reserved for the number.
        let rows_max = u64::try_from(rows_max)
            .ok()
            .filter(|rows| *rows > 0)
            .unwrap_or(u64::MAX);
        // While it runs the portal is ours: should it fail, it is gone.
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let Some(statement) = &portal.prepared.statement else {
            backend::bare(&mut self.output.buffer, Bare::EmptyQueryResponse);
            self.portals.insert(name, portal);
            return Ok(());
        };
        let guard = self.guard();
        let state = match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Suspended(cursor) => self.send_rows(cursor, rows_max, &guard).await?,
            PortalState::Exhausted(tag) => {
                backend::command_complete(&mut self.output.buffer, &tag);
                PortalState::Exhausted(tag)
            }
            PortalState::Done => {
                return Connection::refuse(
                    sqlstate::NOT_IN_PREREQUISITE_STATE,
                    format!("portal \"{name}\" cannot be run"),
                );
            }
            PortalState::Ready => {
                if let Some(tag) = self.deallocate(statement) {
                    backend::command_complete(&mut self.output.buffer, &tag);
                    PortalState::Done
                } else {
                    let running = self.session.execute(statement, &portal.parameters);
                    let response = guard.run(&mut self.input, running).await??;
                    self.send_notices();
                    match response {
                        Response::Rows(rows) => {
                            check_columns(&portal.prepared, &rows.columns)?;
                            let cursor = Cursor::new(rows, portal.formats.clone(), self.zone);
                            self.send_rows(cursor, rows_max, &guard).await?
                        }
                        Response::Done { tag } => {
                            backend::command_complete(&mut self.output.buffer, &tag);
                            PortalState::Done
                        }
                        Response::CopyIn(copy) => {
                            let rows = self.copy_in(copy, &guard).await?;
                            backend::command_complete(
                                &mut self.output.buffer,
                                &format!("COPY {rows}"),
                            );
                            PortalState::Done
                        }
                        Response::CopyOut(copy) => {
                            let rows =
                                send_copy(copy, &mut self.input, &mut self.output, &guard).await?;
                            backend::command_complete(
                                &mut self.output.buffer,
                                &format!("COPY {rows}"),
                            );
                            PortalState::Done
                        }
                    }
                }
            }
        };
        self.cancel.end();
        portal.state = state;
        self.portals.insert(name, portal);
        Ok(())
    }

    async fn send_rows(
        &mut self,
        mut cursor: Cursor,
        rows_max: u64,
        guard: &crate::guard::Guard,
    ) -> Result<PortalState, Failure> {
        let progress = cursor
            .send(&mut self.input, &mut self.output, guard, rows_max)
            .await?;
        self.send_notices();
        Ok(match progress {
            Progress::Suspended(_) => {
                backend::bare(&mut self.output.buffer, Bare::PortalSuspended);
                PortalState::Suspended(cursor)
            }
            Progress::Finished(rows) => {
                backend::command_complete(&mut self.output.buffer, &cursor.complete_tag(rows));
                PortalState::Exhausted(cursor.complete_tag(0))
            }
        })
    }
}

fn no_portal(name: &str) -> Failure {
    Failure::statement(
        sqlstate::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}

/// The client reads rows by what it was told when the statement was prepared.
fn check_columns(
    prepared: &Prepared,
    columns: &arrow::datatypes::SchemaRef,
) -> Result<(), Failure> {
    let oids = |columns: &arrow::datatypes::SchemaRef| -> Vec<u32> {
        columns
            .fields()
            .iter()
            .map(|field| types::oid(field))
            .collect()
    };
    match &prepared.description.columns {
        Some(described) if oids(described) == oids(columns) => Ok(()),
        _ => Connection::refuse(
            sqlstate::FEATURE_NOT_SUPPORTED,
            "cached plan must not change result type",
        ),
    }
}
