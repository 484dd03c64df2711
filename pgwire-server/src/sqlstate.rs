//! The SQLSTATE of every error, given once, here.

use engine::Error;
use engine::error::{CancelReason, DataErrorKind, StatementErrorKind};
use engine::operator::StepError;

/// protocol_violation.
pub const PROTOCOL_VIOLATION: &str = "08P01";
/// too_many_connections.
pub const TOO_MANY_CONNECTIONS: &str = "53300";
/// admin_shutdown.
pub const ADMIN_SHUTDOWN: &str = "57P01";
/// idle_session_timeout.
pub const IDLE_SESSION_TIMEOUT: &str = "57P05";
/// idle_in_transaction_session_timeout.
pub const IDLE_IN_TRANSACTION_TIMEOUT: &str = "25P03";
/// query_canceled.
pub const QUERY_CANCELED: &str = "57014";
/// internal_error.
pub const INTERNAL_ERROR: &str = "XX000";
/// syntax_error.
pub const SYNTAX_ERROR: &str = "42601";
/// feature_not_supported.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// invalid_sql_statement_name.
pub const INVALID_STATEMENT_NAME: &str = "26000";
/// invalid_cursor_name.
pub const INVALID_CURSOR_NAME: &str = "34000";
/// duplicate_prepared_statement.
pub const DUPLICATE_PREPARED_STATEMENT: &str = "42P05";
/// duplicate_cursor.
pub const DUPLICATE_CURSOR: &str = "42P03";
/// program_limit_exceeded.
pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
/// object_not_in_prerequisite_state.
pub const NOT_IN_PREREQUISITE_STATE: &str = "55000";
/// invalid_binary_representation.
pub const INVALID_BINARY_REPRESENTATION: &str = "22P03";
/// invalid_password.
pub const INVALID_PASSWORD: &str = "28P01";
/// invalid_authorization_specification.
pub const INVALID_AUTHORIZATION: &str = "28000";
/// invalid_parameter_value.
pub const INVALID_PARAMETER_VALUE: &str = "22023";
/// character_not_in_repertoire.
pub const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";

/// The code of an error.
pub fn of(error: &Error) -> &'static str {
    match error {
        Error::Statement(error) => of_statement(error.kind),
        Error::Data(error) => of_data(error.kind),
        Error::Execution(error) => of_execution(error),
        Error::Step(error) => of_step(error),
        Error::Cancelled(reason) => match reason {
            CancelReason::User | CancelReason::StatementTimeout => QUERY_CANCELED,
            CancelReason::IdleInTransaction => IDLE_IN_TRANSACTION_TIMEOUT,
        },
        Error::DiskFull => "53100",      // disk_full
        Error::Log(_) => "58000",        // system_error
        Error::Corruption(_) => "XX001", // data_corrupted
        Error::Store(_) => "58000",      // system_error
        Error::Io { .. } => "58030",     // io_error
        Error::ShuttingDown => ADMIN_SHUTDOWN,
        Error::Internal(_) => INTERNAL_ERROR,
    }
}

fn of_statement(kind: StatementErrorKind) -> &'static str {
    use StatementErrorKind as Kind;
    match kind {
        Kind::Syntax => SYNTAX_ERROR,
        Kind::TooComplex => "54001", // statement_too_complex
        Kind::ProgramLimit => PROGRAM_LIMIT_EXCEEDED,
        Kind::Unsupported => FEATURE_NOT_SUPPORTED,
        Kind::UndefinedRelation => "42P01",  // undefined_table
        Kind::UndefinedColumn => "42703",    // undefined_column
        Kind::UndefinedFunction => "42883",  // undefined_function
        Kind::UndefinedObject => "42704",    // undefined_object
        Kind::UndefinedParameter => "42P02", // undefined_parameter
        Kind::UndefinedCursor => INVALID_CURSOR_NAME,
        Kind::UndefinedPreparedStatement => INVALID_STATEMENT_NAME,
        Kind::AmbiguousColumn => "42702",   // ambiguous_column
        Kind::DuplicateRelation => "42P07", // duplicate_table
        Kind::DuplicateColumn => "42701",   // duplicate_column
        Kind::DuplicateObject => "42710",   // duplicate_object
        Kind::DuplicateCursor => DUPLICATE_CURSOR,
        Kind::DuplicatePreparedStatement => DUPLICATE_PREPARED_STATEMENT,
        Kind::WrongObjectType => "42809",  // wrong_object_type
        Kind::DatatypeMismatch => "42804", // datatype_mismatch
        Kind::Grouping => "42803",         // grouping_error
        Kind::InvalidParameterValue => INVALID_PARAMETER_VALUE,
        Kind::InvalidDefinition => "42P16", // invalid_table_definition
        Kind::DependentObjects => "2BP01",  // dependent_objects_still_exist
        Kind::NotNullViolation => "23502",  // not_null_violation
        Kind::Deadlock => "40P01",          // deadlock_detected
        Kind::ReadOnly => "25006",          // read_only_sql_transaction
        Kind::InFailedTransaction => "25P02", // in_failed_sql_transaction
        Kind::NoActiveTransaction => "25P01", // no_active_sql_transaction
        Kind::ActiveTransaction => "25001", // active_sql_transaction
        Kind::ObjectNotInPrerequisiteState => NOT_IN_PREREQUISITE_STATE,
        Kind::OutOfMemory => "53200", // out_of_memory
        Kind::TooManyConnections => TOO_MANY_CONNECTIONS,
        Kind::TooManyObjects => "53400", // configuration_limit_exceeded
        Kind::CardinalityViolation => "21000", // cardinality_violation
        Kind::DuplicateAlias => "42712", // duplicate_alias
        Kind::IndeterminateDatatype => "42P18", // indeterminate_datatype
        Kind::CannotCoerce => "42846",   // cannot_coerce
        Kind::Windowing => "42P20",      // windowing_error
        Kind::InvalidColumnReference => "42P10", // invalid_column_reference
        Kind::InvalidLimit => "2201W",   // invalid_row_count_in_limit_clause
        Kind::InvalidOffset => "2201X",  // invalid_row_count_in_result_offset_clause
        Kind::TooManyColumns => "54011", // too_many_columns
        Kind::InsufficientPrivilege => "42501", // insufficient_privilege
        Kind::ReservedName => "42939",   // reserved_name
    }
}

fn of_data(kind: DataErrorKind) -> &'static str {
    match kind {
        DataErrorKind::InvalidText => "22P02", // invalid_text_representation
        DataErrorKind::InvalidDatetime => "22007", // invalid_datetime_format
        DataErrorKind::DatetimeOverflow => "22008", // datetime_field_overflow
        DataErrorKind::NumericOutOfRange => "22003", // numeric_value_out_of_range
        DataErrorKind::DivisionByZero => "22012", // division_by_zero
        DataErrorKind::BadCopyFormat => "22P04", // bad_copy_file_format
        DataErrorKind::InvalidJson => "22P02", // invalid_text_representation
        DataErrorKind::InvalidByteSequence => CHARACTER_NOT_IN_REPERTOIRE,
        DataErrorKind::StringTooLong => "22001", // string_data_right_truncation
    }
}

fn of_step(error: &StepError) -> &'static str {
    match error {
        StepError::OutOfRange(_) => "22003", // numeric_value_out_of_range
        StepError::DamagedState { .. } => "XX001", // data_corrupted
        StepError::Store(_) => "58000",      // system_error
        StepError::StateLimit { .. } | StepError::StateMemory { .. } => "53200", // out_of_memory
        StepError::NegativeCount
        | StepError::Arrow(_)
        | StepError::DataFusion(_)
        | StepError::Internal(_) => INTERNAL_ERROR,
    }
}

/// A batch query's error while it ran. DataFusion knows no codes; what it says is all there is to go by.
fn of_execution(error: &dyn std::error::Error) -> &'static str {
    let text = error.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["divide by zero", "division by zero"]) {
        "22012" // division_by_zero
    } else if says(&["overflow", "out of range", "too large to store"]) {
        "22003" // numeric_value_out_of_range
    } else if says(&["resources exhausted"]) {
        "53200" // out_of_memory
    } else if says(&[
        "cannot cast",
        "can't cast",
        "parser error",
        "cannot parse",
        "error parsing",
    ]) {
        "22P02" // invalid_text_representation
    } else if says(&["more than one row"]) {
        "21000" // cardinality_violation
    } else if says(&["not implemented"]) {
        FEATURE_NOT_SUPPORTED
    } else {
        INTERNAL_ERROR
    }
}
