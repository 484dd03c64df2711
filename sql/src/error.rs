//! What is wrong with a text.

use thiserror::Error;

/// Why a text is not a statement of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ParseError {
    /// What kind of fault it is.
    pub kind: ParseErrorKind,
    /// As PostgreSQL words it: `syntax error at or near "foo"`.
    pub message: String,
    /// Which character of the text it is about, from 1.
    pub position: Option<usize>,
    /// More about it, such as what was expected.
    pub detail: Option<String>,
    /// What may have been meant.
    pub hint: Option<String>,
}

/// The kinds of fault, each with one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// It follows the grammar, but we do not offer it.
    Unsupported,
    /// It is nested too deeply, or its chains of operators or lists are too long.
    TooComplex,
    /// The text is too long.
    LimitExceeded,
    /// It has more columns than a relation may have.
    TooManyColumns,
    /// It names a type that there is not.
    UndefinedType,
    /// A definition contradicts itself.
    InvalidDefinition,
    /// The value of an option or a literal is out of its range.
    InvalidValue,
}

impl ParseErrorKind {
    /// The SQLSTATE.
    pub fn sqlstate(self) -> &'static str {
        match self {
            ParseErrorKind::Syntax => "42601",            // syntax_error
            ParseErrorKind::Unsupported => "0A000",       // feature_not_supported
            ParseErrorKind::TooComplex => "54001",        // statement_too_complex
            ParseErrorKind::LimitExceeded => "54000",     // program_limit_exceeded
            ParseErrorKind::TooManyColumns => "54011",    // too_many_columns
            ParseErrorKind::UndefinedType => "42704",     // undefined_object
            ParseErrorKind::InvalidDefinition => "42P16", // invalid_table_definition
            ParseErrorKind::InvalidValue => "22023",      // invalid_parameter_value
        }
    }
}

impl ParseError {
    pub(crate) fn new(kind: ParseErrorKind, message: impl Into<String>) -> Self {
        ParseError {
            kind,
            message: message.into(),
            position: None,
            detail: None,
            hint: None,
        }
    }

    pub(crate) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(
            ParseErrorKind::Unsupported,
            format!("{what} is not supported"),
        )
    }

    pub(crate) fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
