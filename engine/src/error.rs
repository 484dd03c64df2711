//! What can go wrong in the engine, by whose fault it is.

use datafusion::error::DataFusionError;

use crate::operator::StepError;

/// A result of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine. The servers give each its code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement's fault: it does not mean anything here.
    #[error("{0}")]
    Statement(Box<StatementError>),
    /// A value does not fit its type or format.
    #[error("{0}")]
    Data(Box<DataError>),
    /// A batch query failed while it ran.
    #[error("{}", execution_message(.0))]
    Execution(Box<DataFusionError>),
    /// A step of a continuous query failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The statement was cancelled.
    #[error("{0}")]
    Cancelled(CancelReason),
    /// The disk is full; reads go on.
    #[error("could not write to the log: no space left on device")]
    DiskFull,
    /// The log refuses or has failed.
    #[error("log: {0}")]
    Log(String),
    /// The log or the state is damaged.
    #[error("{0}")]
    Corruption(String),
    /// The state store failed.
    #[error("state store: {0}")]
    Store(String),
    /// The file system failed.
    #[error("could not access \"{path}\": {source}")]
    Io {
        path: String,
        source: std::io::Error,
    },
    /// The server is shutting down.
    #[error("terminating connection due to administrator command")]
    ShuttingDown,
    /// Our own fault.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a running statement was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelReason {
    #[error("canceling statement due to user request")]
    User,
    #[error("canceling statement due to statement timeout")]
    StatementTimeout,
    #[error("terminating connection due to idle-in-transaction timeout")]
    IdleInTransaction,
}

/// An error in a statement, as Postgres reports it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StatementError {
    pub kind: StatementErrorKind,
    pub message: String,
    /// 1-based character in the statement's text.
    pub position: Option<usize>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// Kinds of error in a statement; each has one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementErrorKind {
    Syntax,
    TooComplex,
    ProgramLimit,
    Unsupported,
    UndefinedRelation,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedObject,
    UndefinedParameter,
    UndefinedCursor,
    UndefinedPreparedStatement,
    AmbiguousColumn,
    DuplicateRelation,
    DuplicateColumn,
    DuplicateObject,
    DuplicateCursor,
    DuplicatePreparedStatement,
    WrongObjectType,
    DatatypeMismatch,
    Grouping,
    InvalidParameterValue,
    InvalidDefinition,
    DependentObjects,
    NotNullViolation,
    ReadOnly,
    Deadlock,
    InFailedTransaction,
    NoActiveTransaction,
    ActiveTransaction,
    ObjectNotInPrerequisiteState,
    OutOfMemory,
    TooManyConnections,
    TooManyObjects,
    CardinalityViolation,
    DuplicateAlias,
    IndeterminateDatatype,
    CannotCoerce,
    Windowing,
    InvalidColumnReference,
    InvalidLimit,
    InvalidOffset,
    TooManyColumns,
    InsufficientPrivilege,
    ReservedName,
}

/// A value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    pub kind: DataErrorKind,
    pub message: String,
    /// Where, e.g. `COPY flights, line 7, column dep_delay: "x"`.
    pub context: Option<String>,
}

/// Kinds of misfit; each has one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataErrorKind {
    InvalidText,
    InvalidDatetime,
    DatetimeOverflow,
    NumericOutOfRange,
    DivisionByZero,
    BadCopyFormat,
    InvalidJson,
    InvalidByteSequence,
    StringTooLong,
}

impl StatementError {
    pub fn new(kind: StatementErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            position: None,
            detail: None,
            hint: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn at(mut self, position: Option<usize>) -> Self {
        self.position = position;
        self
    }
}

impl From<StatementError> for Error {
    fn from(error: StatementError) -> Self {
        Error::Statement(Box::new(error))
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        Error::Data(Box::new(error))
    }
}

impl DataError {
    pub fn new(kind: DataErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            context: None,
        }
    }
}

impl From<log_store::LogError> for Error {
    fn from(error: log_store::LogError) -> Self {
        use log_store::LogError;
        match error {
            LogError::DiskFull => Error::DiskFull,
            LogError::Closed => Error::ShuttingDown,
            LogError::Corruption(corruption) => Error::Corruption(corruption.to_string()),
            LogError::EpochIncomplete { .. } | LogError::FormatVersion { .. } => {
                Error::Corruption(error.to_string())
            }
            other => Error::Log(other.to_string()),
        }
    }
}

impl From<sql::ParseError> for Error {
    fn from(error: sql::ParseError) -> Self {
        use sql::ParseErrorKind;
        let kind = match error.kind {
            ParseErrorKind::Syntax => StatementErrorKind::Syntax,
            ParseErrorKind::Unsupported => StatementErrorKind::Unsupported,
            ParseErrorKind::TooComplex => StatementErrorKind::TooComplex,
            ParseErrorKind::InvalidValue => StatementErrorKind::InvalidParameterValue,
            ParseErrorKind::TooManyColumns => StatementErrorKind::TooManyColumns,
            ParseErrorKind::UndefinedType => StatementErrorKind::UndefinedObject,
            ParseErrorKind::InvalidDefinition => StatementErrorKind::InvalidDefinition,
            ParseErrorKind::LimitExceeded => StatementErrorKind::ProgramLimit,
        };
        let mut converted = StatementError::new(kind, error.message).at(error.position);
        converted.detail = error.detail;
        converted.hint = error.hint;
        converted.into()
    }
}

impl From<planner::PlanError> for Error {
    fn from(error: planner::PlanError) -> Self {
        use StatementErrorKind as To;
        use planner::PlanErrorKind as Kind;
        let data = |kind| {
            Error::from(DataError {
                kind,
                message: error.message.clone(),
                context: None,
            })
        };
        let kind = match error.kind {
            Kind::Syntax => To::Syntax,
            Kind::TooComplex => To::TooComplex,
            Kind::Unsupported => To::Unsupported,
            Kind::UndefinedRelation => To::UndefinedRelation,
            Kind::UndefinedColumn => To::UndefinedColumn,
            Kind::UndefinedFunction => To::UndefinedFunction,
            Kind::UndefinedObject => To::UndefinedObject,
            Kind::UndefinedParameter => To::UndefinedParameter,
            Kind::AmbiguousColumn => To::AmbiguousColumn,
            Kind::DuplicateColumn => To::DuplicateColumn,
            Kind::DuplicateAlias => To::DuplicateAlias,
            Kind::WrongObjectType => To::WrongObjectType,
            Kind::DatatypeMismatch => To::DatatypeMismatch,
            Kind::IndeterminateDatatype => To::IndeterminateDatatype,
            Kind::CannotCoerce => To::CannotCoerce,
            Kind::Grouping => To::Grouping,
            Kind::Windowing => To::Windowing,
            Kind::InvalidParameterValue => To::InvalidParameterValue,
            Kind::InvalidDefinition => To::InvalidDefinition,
            Kind::InvalidColumnReference => To::InvalidColumnReference,
            Kind::InvalidLimit => To::InvalidLimit,
            Kind::InvalidOffset => To::InvalidOffset,
            Kind::CardinalityViolation => To::CardinalityViolation,
            Kind::InvalidText => return data(DataErrorKind::InvalidText),
            Kind::InvalidDatetime => return data(DataErrorKind::InvalidDatetime),
            Kind::NumericOutOfRange => return data(DataErrorKind::NumericOutOfRange),
            Kind::DivisionByZero => return data(DataErrorKind::DivisionByZero),
            Kind::Internal => return Error::Internal(error.message),
        };
        Error::from(StatementError {
            kind,
            message: error.message,
            position: error.position,
            detail: error.detail,
            hint: error.hint,
        })
    }
}

impl From<DataFusionError> for Error {
    /// An error of a plan that runs: ours if it passed through, a misfit of data, or DataFusion's own.
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => {
                StatementError::new(StatementErrorKind::OutOfMemory, "out of memory")
                    .with_detail(message.clone())
                    .into()
            }
            DataFusionError::External(_)
            | DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_) => planner::PlanError::from(error).into(),
            _ => Error::Execution(Box::new(error)),
        }
    }
}

/// DataFusion's message without the wrapping that only its developers care about.
fn execution_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    match root {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            arrow::error::ArrowError::DivideByZero => "division by zero".into(),
            other => strip_prefix(&other.to_string()),
        },
        other => strip_prefix(&other.strip_backtrace()),
    }
}

fn strip_prefix(message: &str) -> String {
    const PREFIXES: [&str; 12] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Cast error: ",
        "Compute error: ",
        "Parser error: ",
        "Arithmetic overflow: ",
        "Invalid argument error: ",
        "Schema error: ",
        "Resources exhausted: ",
        "This feature is not implemented: ",
        "Internal error: ",
    ];
    let mut rest = message;
    while let Some(stripped) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = stripped;
    }
    rest.trim_end().to_owned()
}
