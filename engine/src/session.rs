//! A client's session: parses, plans and runs its statements.
//!
//! `session.rs` holds what lasts from one statement to the next and says which file runs which
//! statement; each kind of statement has a file of its own.

mod copy;
mod cursor;
mod ddl;
mod dml;
mod existing_topics;
mod explain;
mod plan;
mod prepared;
mod print;
mod push;
mod queries;
mod read;
mod record_options;
mod settings;
mod show;
mod system;
mod topics;
mod transaction;
mod types;
mod users;
mod variables;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Field, FieldRef};
use datafusion::scalar::ScalarValue;
use parking_lot::Mutex;
use sql::Spanned;
use sql::ast::Statement;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{CancelReason, Error, Result, StatementError, StatementErrorKind};
use crate::response::{Description, Notice, Response, Severity, TransactionStatus};
use cursor::Cursor;
use settings::Settings;
use transaction::Transaction;
use variables::Variables;

/// Who connects, as the start-up message tells.
#[derive(Debug, Clone, Default)]
pub struct SessionParameters {
    pub user: String,
    pub database: String,
    /// The process that the client takes the session for.
    pub process: i32,
    /// Whether the client has proved that it is the user. If not, it was let in without being asked, and may do
    /// everything.
    pub authenticated: bool,
    /// Settings given at start-up, such as `application_name` and `options`.
    pub settings: Vec<(String, String)>,
}

/// One client's conversation with the engine.
pub struct Session {
    engine: Arc<Engine>,
    parameters: SessionParameters,
    settings: Settings,
    variables: Variables,
    notices: Vec<Notice>,
    transaction: Option<Transaction>,
    cursors: HashMap<String, Cursor>,
    prepared: HashMap<String, Arc<sql::ast::Prepare>>,
    cancel: Arc<Mutex<CancellationToken>>,
    /// Types of the parameters of the statement at hand, where the client has given them.
    parameter_types: Vec<Option<FieldRef>>,
    /// The newest epoch that the session wrote; its reads see at least that.
    written: u64,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, parameters: SessionParameters) -> Self {
        let superuser = !parameters.authenticated || engine.is_superuser(&parameters.user);
        let mut settings = Settings::default();
        settings.fix("is_superuser", if superuser { "on" } else { "off" });
        if !parameters.user.is_empty() {
            settings.fix("session_authorization", &parameters.user);
        }
        let mut notices = Vec::new();
        let defaults = engine.config.session_defaults.iter();
        for (name, value) in defaults.chain(&parameters.settings) {
            if let Err(error) = settings.set_at_startup(name, value) {
                notices.push(Notice {
                    severity: Severity::Warning,
                    message: error.to_string(),
                    detail: None,
                    hint: None,
                });
            }
        }
        Self {
            engine,
            parameters,
            settings,
            variables: Variables::default(),
            notices,
            transaction: None,
            cursors: HashMap::new(),
            prepared: HashMap::new(),
            cancel: Arc::default(),
            parameter_types: Vec::new(),
            written: 0,
        }
    }

    /// Parses a text of several statements with the session's dialect.
    pub fn parse(&self, text: &str) -> Result<Vec<Spanned<Statement>>> {
        let options = sql::ParseOptions {
            dialect: self.settings.dialect(),
            ..Default::default()
        };
        let text = self.variables.substitute(text, &options)?;
        let catalog = self.engine.catalog();
        Ok(sql::parse_with_types(&text, &options, catalog.types())?)
    }

    /// Types of parameters and columns of a statement, without running it. `declared` are the
    /// parameter types that the client gave; `None` where it left the choice to us.
    pub async fn describe(
        &mut self,
        statement: &Statement,
        declared: &[Option<FieldRef>],
    ) -> Result<Description> {
        self.parameter_types = declared.to_vec();
        self.describe_statement(statement, declared).await
    }

    /// Runs a statement. Dropping the future or the response's stream stops it.
    pub async fn execute(
        &mut self,
        statement: &Spanned<Statement>,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        if self.transaction.as_ref().is_some_and(|t| t.failed)
            && !matches!(
                &**statement,
                Statement::Commit { .. } | Statement::Rollback { .. }
            )
        {
            return Err(StatementError::new(
                StatementErrorKind::InFailedTransaction,
                "current transaction is aborted, commands ignored until end of transaction block",
            )
            .into());
        }
        self.parameter_types = parameters
            .iter()
            .map(|value| Some(Arc::new(Field::new("", value.data_type(), true))))
            .collect();
        let token = self.begin_statement();
        let result = tokio::select! {
            biased;
            () = token.cancelled() => Err(Error::Cancelled(CancelReason::User)),
            result = self.run(statement, parameters) => result,
        };
        if result.is_err() {
            self.fail_transaction();
        }
        result
    }

    async fn run(&mut self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Response> {
        match statement {
            Statement::Query(query) if query.emit.is_some() => {
                self.push(query, parameters).await.map(Response::Rows)
            }
            Statement::Query(query) => self.read(query, parameters).await.map(Response::Rows),
            Statement::CreateSource(create) => self.create_source(create, statement).await,
            Statement::CreateQuery(create) => {
                self.create_query(create, statement, parameters).await
            }
            Statement::Drop(drop) => self.drop_relations(drop).await,
            Statement::CreateUser(create) => self.create_user(create).await,
            Statement::AlterUser(alter) => self.alter_user(alter).await,
            Statement::DropUsers(drop) => self.drop_users(drop).await,
            Statement::CreateType(create) => self.create_type(create).await,
            Statement::DropType { name, if_exists } => self.drop_type(name, *if_exists).await,
            Statement::Insert(insert) => self.insert(insert, statement, parameters).await,
            Statement::Update(update) => self.update(update, parameters).await,
            Statement::Delete(delete) => self.delete(delete, parameters).await,
            Statement::Truncate(truncate) => self.truncate(truncate).await,
            Statement::Copy(copy) => self.copy(copy).await,
            Statement::Terminate(target) => self.terminate(target).await,
            Statement::Pause(target) => self.pause(target).await,
            Statement::Resume(target) => self.resume(target).await,
            Statement::Flush => {
                self.engine.mill.flush().await?;
                Ok(done("FLUSH"))
            }
            Statement::List(list) => self.list(list),
            Statement::Describe(describe) => self.describe_object(describe),
            Statement::Explain(explain) => self.explain(explain, parameters).await,
            Statement::Print(print) => self.print(print).await.map(Response::Rows),
            Statement::AssertTopic(assert) => self.assert_topic(assert).await,
            Statement::Define { name, value } => {
                self.variables.define(name, value);
                Ok(done("DEFINE"))
            }
            Statement::Undefine(name) => self.undefine(name),
            Statement::Set(set) => self.set(set),
            Statement::Reset(target) => self.reset(target),
            Statement::ShowVariable(target) => self.show_variable(target),
            Statement::Discard(what) => self.discard(*what),
            Statement::Begin(modes) => self.begin(modes),
            Statement::Commit { chain } => self.commit(*chain).await,
            Statement::Rollback { chain } => Ok(self.rollback(*chain)),
            Statement::SetTransaction(_) | Statement::SetTransactionDefaults(_) => Ok(done("SET")),
            Statement::Declare(declare) => self.declare(declare, parameters).await,
            Statement::Fetch(fetch) => self.fetch(fetch),
            Statement::Close(target) => self.close(target),
            Statement::Prepare(prepare) => self.prepare(prepare),
            Statement::Execute(execute) => Box::pin(self.execute_prepared(execute)).await,
            Statement::Deallocate(name) => self.deallocate(name.as_ref()),
            Statement::Unsupported { what } => Err(unsupported(what)),
        }
    }

    /// Messages that came up since the last call; to be sent before the answer's rows.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Settings that the client must be told of (`TimeZone`, `client_encoding`, …): at start-up all,
    /// later those that changed since the last call.
    pub fn take_reported_settings(&mut self) -> Vec<(String, String)> {
        self.settings.take_reported()
    }

    /// The time zone that `TIMESTAMPTZ` values are shown in.
    pub fn time_zone(&self) -> &str {
        self.settings.time_zone()
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.transaction {
            None => TransactionStatus::Idle,
            Some(transaction) if transaction.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InTransaction,
        }
    }

    /// Tells the session that the statement's answer failed after `execute` had returned, so that
    /// an open transaction is marked failed.
    pub fn fail_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.fail();
        }
    }

    /// Cancels whatever the session runs; a token of its own for each statement.
    pub fn cancel_token(&self) -> CancellationToken {
        self.cancel.lock().clone()
    }

    /// A handle that cancels the statement which runs when it is used.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    /// `statement_timeout`, if any.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.settings.statement_timeout()
    }

    /// `idle_in_transaction_session_timeout` or `idle_session_timeout`, whichever applies now.
    pub fn idle_timeout(&self) -> Option<Duration> {
        match self.transaction {
            Some(_) => self.settings.idle_in_transaction_timeout(),
            None => self.settings.idle_timeout(),
        }
    }

    fn begin_statement(&mut self) -> CancellationToken {
        let mut cancel = self.cancel.lock();
        if cancel.is_cancelled() {
            *cancel = CancellationToken::new();
        }
        cancel.clone()
    }

    fn notice(&mut self, message: impl Into<String>) {
        self.notices.push(Notice {
            severity: Severity::Notice,
            message: message.into(),
            detail: None,
            hint: None,
        });
    }

    fn notice_with_hint(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.notices.push(Notice {
            severity: Severity::Notice,
            message: message.into(),
            detail: None,
            hint: Some(hint.into()),
        });
    }
}

/// Cancels what a session runs, from outside.
#[derive(Clone)]
pub struct Canceller(Arc<Mutex<CancellationToken>>);

impl Canceller {
    pub fn cancel(&self) {
        self.0.lock().cancel();
    }
}

fn done(tag: impl Into<String>) -> Response {
    Response::Done { tag: tag.into() }
}

fn unsupported(what: &str) -> Error {
    StatementError::new(
        StatementErrorKind::Unsupported,
        format!("{what} is not supported"),
    )
    .into()
}

/// The last part of a relation's name; relations live in one schema.
fn relation_name(name: &sql::ast::ObjectName) -> Result<String> {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    match parts.as_slice() {
        [relation] => Ok((*relation).to_owned()),
        [schema, relation] if schema.eq_ignore_ascii_case(crate::tables::PUBLIC) => {
            Ok((*relation).to_owned())
        }
        _ => Err(StatementError::new(
            StatementErrorKind::UndefinedRelation,
            format!("relation \"{}\" does not exist", parts.join(".")),
        )
        .with_hint("All relations are in the schema \"public\".")
        .into()),
    }
}
