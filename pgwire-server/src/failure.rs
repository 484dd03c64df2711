//! How a statement or a connection ends badly, and how the client is told.

use engine::Error;
use engine::response::{Notice, Severity};

use crate::sqlstate;
use crate::wire::backend;
use crate::wire::frontend::ProtocolError;

/// Why something was given up.
#[derive(Debug)]
pub enum Failure {
    /// The statement failed; the session goes on.
    Statement(Box<Report>),
    /// The session is over, and the client is told.
    Session(Box<Report>),
    /// The client is gone, or does not read: nobody is left to tell.
    Disconnected,
}

/// An error as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub code: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// 1-based character in the text of the query.
    pub position: Option<usize>,
    pub context: Option<String>,
}

impl Report {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Report {
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes the report as an error of this severity.
    pub fn write(&self, out: &mut Vec<u8>, severity: &str) {
        let position = self.position.map(|position| position.to_string());
        let mut fields = vec![
            (b'S', severity),
            (b'V', severity),
            (b'C', self.code),
            (b'M', self.message.as_str()),
        ];
        let optional = [
            (b'D', self.detail.as_deref()),
            (b'H', self.hint.as_deref()),
            (b'P', position.as_deref()),
            (b'W', self.context.as_deref()),
        ];
        fields.extend(
            optional
                .into_iter()
                .filter_map(|(letter, text)| text.map(|text| (letter, text))),
        );
        backend::report(out, b'E', &fields);
    }
}

impl Failure {
    pub fn statement(code: &'static str, message: impl Into<String>) -> Self {
        Failure::Statement(Box::new(Report::new(code, message)))
    }

    pub fn session(code: &'static str, message: impl Into<String>) -> Self {
        Failure::Session(Box::new(Report::new(code, message)))
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Failure::Statement(Box::new(report))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut report = Report::new(sqlstate::of(&error), error.to_string());
        match &error {
            Error::Statement(error) => {
                report.position = error.position;
                report.detail.clone_from(&error.detail);
                report.hint.clone_from(&error.hint);
            }
            Error::Data(error) => report.context.clone_from(&error.context),
            Error::ShuttingDown => return Failure::Session(Box::new(report)),
            Error::Internal(message) => tracing::error!(%message, "internal error"),
            _ => {}
        }
        report.into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Failure::Disconnected
    }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        let code = match error {
            ProtocolError::InvalidText => sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
            ProtocolError::TooLong { .. } => sqlstate::PROGRAM_LIMIT_EXCEEDED,
            ProtocolError::UnsupportedVersion { .. } => sqlstate::FEATURE_NOT_SUPPORTED,
            _ => sqlstate::PROTOCOL_VIOLATION,
        };
        match error {
            ProtocolError::InvalidText | ProtocolError::InvalidBody => {
                Failure::statement(code, error.to_string())
            }
            _ => Failure::session(code, error.to_string()),
        }
    }
}

/// Writes a notice.
pub fn write_notice(out: &mut Vec<u8>, notice: &Notice) {
    let (severity, code) = match notice.severity {
        Severity::Notice => ("NOTICE", "00000"),
        Severity::Warning => ("WARNING", "01000"),
    };
    let mut fields = vec![
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', notice.message.as_str()),
    ];
    if let Some(detail) = &notice.detail {
        fields.push((b'D', detail));
    }
    if let Some(hint) = &notice.hint {
        fields.push((b'H', hint));
    }
    backend::report(out, b'N', &fields);
}
