//! A client's session: parses, plans and runs its statements.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use sql::ast::Statement;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::response::{Description, Notice, Response, TransactionStatus};

/// Who connects, as the start-up message tells.
#[derive(Debug, Clone, Default)]
pub struct SessionParameters {
    pub user: String,
    pub database: String,
    /// Settings given at start-up, such as `application_name` and `options`.
    pub settings: Vec<(String, String)>,
}

/// One client's conversation with the engine.
pub struct Session {
    engine: Arc<Engine>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, _parameters: SessionParameters) -> Self {
        Self { engine }
    }

    /// Parses a text of several statements with the session's dialect.
    pub fn parse(&self, _text: &str) -> Result<Vec<sql::Spanned<Statement>>> {
        let _ = &self.engine;
        Err(Error::Internal("not there yet".into()))
    }

    /// Types of parameters and columns of a statement, without running it. `declared` are the
    /// parameter types that the client gave; `None` where it left the choice to us.
    pub async fn describe(
        &mut self,
        _statement: &Statement,
        _declared: &[Option<arrow_schema::DataType>],
    ) -> Result<Description> {
        Err(Error::Internal("not there yet".into()))
    }

    /// Runs a statement. Dropping the future or the response's stream stops it.
    pub async fn execute(
        &mut self,
        _statement: &sql::Spanned<Statement>,
        _parameters: &[ScalarValue],
    ) -> Result<Response> {
        Err(Error::Internal("not there yet".into()))
    }

    /// Messages that came up since the last call; to be sent before the answer's rows.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Settings that the client must be told of (`TimeZone`, `client_encoding`, …): at start-up all,
    /// later those that changed since the last call.
    pub fn take_reported_settings(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// Tells the session that the statement's answer failed after `execute` had returned, so that
    /// an open transaction is marked failed.
    pub fn fail_transaction(&mut self) {}

    /// Cancels whatever the session runs; a token of its own for each statement.
    pub fn cancel_token(&self) -> CancellationToken {
        CancellationToken::new()
    }

    /// `statement_timeout`, if any.
    pub fn statement_timeout(&self) -> Option<std::time::Duration> {
        None
    }

    /// `idle_in_transaction_session_timeout` or `idle_session_timeout`, whichever applies now.
    pub fn idle_timeout(&self) -> Option<std::time::Duration> {
        None
    }
}
