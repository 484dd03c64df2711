//! What can be wrong with a statement, in PostgreSQL's words.
//!
//! DataFusion's errors are recognised by their variant where they have one, and only then by their
//! text; what the text alone tells is in [`of_message`], one line for each message.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

/// A result of the planner.
pub type Result<T, E = PlanError> = std::result::Result<T, E>;

/// An error in a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    pub kind: PlanErrorKind,
    /// Lower case, no full stop, names in double quotes.
    pub message: String,
    /// 1-based character in the statement's text.
    pub position: Option<usize>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// Kinds of error; each has one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanErrorKind {
    Syntax,
    TooComplex,
    Unsupported,
    UndefinedRelation,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedObject,
    UndefinedParameter,
    AmbiguousColumn,
    DuplicateColumn,
    DuplicateAlias,
    WrongObjectType,
    DatatypeMismatch,
    IndeterminateDatatype,
    CannotCoerce,
    Grouping,
    Windowing,
    InvalidParameterValue,
    InvalidDefinition,
    InvalidColumnReference,
    /// A negative `LIMIT`.
    InvalidLimit,
    /// A negative `OFFSET`.
    InvalidOffset,
    CardinalityViolation,
    InvalidText,
    InvalidDatetime,
    NumericOutOfRange,
    DivisionByZero,
    /// Our own fault.
    Internal,
}

impl PlanError {
    pub fn new(kind: PlanErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            position: None,
            detail: None,
            hint: None,
        }
    }

    /// `{what} is not supported`.
    pub fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::new(
            PlanErrorKind::Unsupported,
            format!("{what} is not supported"),
        )
    }

    /// What a continuous query cannot do.
    pub fn not_incremental(what: impl std::fmt::Display) -> Self {
        Self::new(
            PlanErrorKind::Unsupported,
            format!("{what} is not supported in a continuous query"),
        )
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(PlanErrorKind::Internal, message)
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says where, unless that is known already.
    pub fn at(mut self, position: Option<usize>) -> Self {
        self.position = self.position.or(position);
        self
    }
}

/// So that our own errors pass through DataFusion's planner unchanged.
impl From<PlanError> for DataFusionError {
    fn from(error: PlanError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for PlanError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(source) => match source.downcast::<PlanError>() {
                Ok(own) => *own,
                Err(other) => match other.downcast::<DataFusionError>() {
                    Ok(inner) => (*inner).into(),
                    Err(other) => PlanError::internal(other.to_string()),
                },
            },
            DataFusionError::Context(_, inner) => (*inner).into(),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let position = diagnostic
                    .span
                    .and_then(|span| (span.start.line != 0).then_some(span.start.column as usize));
                PlanError::from(*inner).at(position)
            }
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(first) => first.into(),
                None => PlanError::internal("an error without a cause"),
            },
            DataFusionError::Shared(shared) => match shared.as_ref() {
                DataFusionError::SchemaError(error, _) => of_schema_error(error),
                other => of_message(&other.strip_backtrace()),
            },
            DataFusionError::SchemaError(error, _) => of_schema_error(&error),
            DataFusionError::NotImplemented(message) => {
                reword(&clean(&message)).unwrap_or_else(|| {
                    PlanError::new(PlanErrorKind::Unsupported, not_implemented(&message))
                })
            }
            DataFusionError::ArrowError(error, _) => of_arrow(&error),
            DataFusionError::ResourcesExhausted(message) => {
                PlanError::new(PlanErrorKind::TooComplex, message)
            }
            DataFusionError::Plan(message)
            | DataFusionError::Execution(message)
            | DataFusionError::Configuration(message) => of_message(&message),
            DataFusionError::Internal(message) => PlanError::internal(strip_bug_report(&message)),
            other => of_message(&other.strip_backtrace()),
        }
    }
}

/// How a name is shown in a message: in double quotes, or with its qualifier and bare.
pub(crate) fn column_name(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => format!("\"{}\"", column.name),
    }
}

fn of_schema_error(error: &SchemaError) -> PlanError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let position = column_position(field);
            if let Some(relation) = &field.relation
                && !valid_fields.iter().any(|valid| {
                    valid
                        .relation
                        .as_ref()
                        .is_some_and(|r| r.table() == relation.table())
                })
            {
                return PlanError::new(
                    PlanErrorKind::UndefinedRelation,
                    format!(
                        "missing FROM-clause entry for table \"{}\"",
                        relation.table()
                    ),
                )
                .at(position);
            }
            let error = PlanError::new(
                PlanErrorKind::UndefinedColumn,
                format!("column {} does not exist", column_name(field)),
            )
            .at(position);
            let names = valid_fields
                .iter()
                .filter(|valid| field.relation.is_none() || valid.relation == field.relation)
                .map(|valid| valid.name.as_str());
            match closest(&field.name, names) {
                Some(name) => error.with_hint(format!(
                    "Perhaps you meant to reference the column \"{name}\"."
                )),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => PlanError::new(
            PlanErrorKind::AmbiguousColumn,
            format!("column reference {} is ambiguous", column_name(field)),
        )
        .at(column_position(field)),
        SchemaError::DuplicateQualifiedField { qualifier, .. } => PlanError::new(
            PlanErrorKind::DuplicateAlias,
            format!(
                "table name \"{}\" specified more than once",
                qualifier.table()
            ),
        ),
        SchemaError::DuplicateUnqualifiedField { name } => PlanError::new(
            PlanErrorKind::DuplicateColumn,
            format!("column \"{name}\" specified more than once"),
        ),
    }
}

fn column_position(column: &Column) -> Option<usize> {
    column
        .spans()
        .first()
        .and_then(|span| (span.start.line != 0).then_some(span.start.column as usize))
}

fn of_arrow(error: &arrow::error::ArrowError) -> PlanError {
    use arrow::error::ArrowError;
    match error {
        ArrowError::DivideByZero => {
            PlanError::new(PlanErrorKind::DivisionByZero, "division by zero")
        }
        ArrowError::ArithmeticOverflow(message) => {
            PlanError::new(PlanErrorKind::NumericOutOfRange, lower_first(message))
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => of_cast(message),
        ArrowError::ExternalError(source) => match source.downcast_ref::<PlanError>() {
            Some(own) => own.clone(),
            None => PlanError::internal(source.to_string()),
        },
        other => PlanError::internal(other.to_string()),
    }
}

/// `Can't cast value 70000 to type Int16`, `Cannot cast string 'x' to value of Int32 type`.
fn of_cast(message: &str) -> PlanError {
    if let Some((_, name)) = message
        .strip_prefix("Can't cast value ")
        .and_then(|rest| rest.split_once(" to type "))
    {
        return PlanError::new(
            PlanErrorKind::NumericOutOfRange,
            format!("{} out of range", arrow_type_name(name)),
        );
    }
    if let Some((text, name)) = message
        .strip_prefix("Cannot cast string '")
        .and_then(|rest| rest.split_once("' to value of "))
    {
        let name = arrow_type_name(name.trim_end_matches(" type"));
        return PlanError::new(
            PlanErrorKind::InvalidText,
            format!("invalid input syntax for type {name}: \"{text}\""),
        );
    }
    if message.contains("out of range")
        || message.contains("too large to store")
        || message.contains("exceeds")
    {
        return PlanError::new(PlanErrorKind::NumericOutOfRange, lower_first(message));
    }
    PlanError::new(PlanErrorKind::InvalidText, lower_first(message))
}

/// PostgreSQL's name of a type that Arrow has printed.
fn arrow_type_name(name: &str) -> String {
    let name = name.trim();
    let plain = match name {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Binary" | "BinaryView" => "bytea",
        "Date32" | "Date64" => "date",
        "Null" => "unknown",
        _ if name.starts_with("Decimal") => "numeric",
        _ if name.starts_with("Timestamp") && name.contains('"') => "timestamp with time zone",
        _ if name.starts_with("Timestamp") => "timestamp without time zone",
        _ if name.starts_with("Time") => "time without time zone",
        _ if name.starts_with("Interval") || name.starts_with("Duration") => "interval",
        other => other,
    };
    plain.to_owned()
}

/// Messages that can be said again in PostgreSQL's words.
fn reword(message: &str) -> Option<PlanError> {
    use PlanErrorKind as Kind;
    const CASTS: &str = "You might need to add explicit type casts.";
    if let Some((_, name)) = message
        .strip_prefix("Cannot create filter with non-boolean predicate")
        .and_then(|rest| rest.rsplit_once(" returning "))
    {
        return Some(PlanError::new(
            Kind::DatatypeMismatch,
            format!(
                "argument of WHERE must be type boolean, not type {}",
                arrow_type_name(name)
            ),
        ));
    }
    if let Some(operands) = message
        .strip_prefix("Cannot coerce arithmetic expression ")
        .and_then(|rest| rest.strip_suffix(" to valid types"))
    {
        let words: Vec<&str> = operands.split(' ').collect();
        if let [left, operator, right] = words[..] {
            return Some(
                PlanError::new(
                    Kind::UndefinedFunction,
                    format!(
                        "operator does not exist: {} {operator} {}",
                        arrow_type_name(left),
                        arrow_type_name(right)
                    ),
                )
                .with_hint(format!(
                    "No operator matches the given name and argument types. {CASTS}"
                )),
            );
        }
    }
    if let Some((_, rest)) = message.split_once("given name and argument types '")
        && let Some((call, _)) = rest.split_once("'. You")
        && let Some((name, arguments)) = call.split_once('(')
    {
        let arguments: Vec<String> = arguments
            .trim_end_matches(')')
            .split(", ")
            .filter(|argument| !argument.is_empty())
            .map(arrow_type_name)
            .collect();
        return Some(
            PlanError::new(
                Kind::UndefinedFunction,
                format!("function {name}({}) does not exist", arguments.join(", ")),
            )
            .with_hint(format!(
                "No function matches the given name and argument types. {CASTS}"
            )),
        );
    }
    if message.starts_with("Physical plan does not support logical expression") {
        return Some(PlanError::new(
            Kind::Unsupported,
            "a subquery in this place is not supported",
        ));
    }
    if message.starts_with("LIMIT must be >=") {
        return Some(PlanError::new(
            Kind::InvalidLimit,
            "LIMIT must not be negative",
        ));
    }
    if message.starts_with("OFFSET must be >=") {
        return Some(PlanError::new(
            Kind::InvalidOffset,
            "OFFSET must not be negative",
        ));
    }
    if message
        .to_lowercase()
        .starts_with("too many columns! the subquery")
    {
        return Some(PlanError::new(
            Kind::Syntax,
            "subquery has too many columns",
        ));
    }
    if message.contains("queries have different number of columns") {
        let word = message.split(' ').next().unwrap_or("UNION");
        return Some(PlanError::new(
            Kind::Syntax,
            format!("each {word} query must have the same number of columns"),
        ));
    }
    None
}

/// Errors that DataFusion tells apart by their text alone.
fn of_message(message: &str) -> PlanError {
    use PlanErrorKind as Kind;
    let message = clean(message);
    if let Some(error) = reword(&message) {
        return error;
    }
    let has = |part: &str| message.contains(part);
    let kind = if has("must appear in the GROUP BY clause")
        || has("must appear in GROUP BY")
        || has("Column in SELECT must be in GROUP BY")
        || has("must be in the GROUP BY")
        || has("could not be resolved from available columns")
        || has("Column in HAVING")
    {
        let mut parts = message.split('"');
        if let (Some(_), Some(name)) = (parts.next(), parts.next()) {
            let name = name.rsplit('.').next().unwrap_or(name);
            return PlanError::new(
                Kind::Grouping,
                format!(
                    "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
                ),
            );
        }
        Kind::Grouping
    } else if has("Aggregate functions are not allowed in the WHERE clause") {
        return PlanError::new(
            Kind::Grouping,
            "aggregate functions are not allowed in WHERE",
        );
    } else if has("HAVING clause references") {
        Kind::Grouping
    } else if has("Projections require unique expression names") {
        return duplicate_name(&message);
    } else if has("already exists") && has("table") {
        Kind::DuplicateAlias
    } else if has("No function matches")
        || has("Invalid function")
        || has("does not support") && has("type")
    {
        Kind::UndefinedFunction
    } else if has("Cannot infer common")
        || has("Cannot coerce")
        || has("coerce")
        || has("Incompatible types")
        || has("type must be")
        || has("is not comparable")
        || has("must be boolean")
        || has("non-boolean")
        || has("should return Boolean")
        || has("must return a boolean")
    {
        Kind::DatatypeMismatch
    } else if has("Unsupported CAST") || has("Cannot cast") {
        Kind::CannotCoerce
    } else if has("UNION queries have different number of columns")
        || has("have different number of columns")
        || has("requires exactly one argument")
        || has("names given as column alias")
        || has("SELECT * with no tables")
        || has("Inconsistent data length")
    {
        Kind::Syntax
    } else if has("table") && has("not found") {
        Kind::UndefinedRelation
    } else if has("laceholder") {
        Kind::UndefinedParameter
    } else if has("not supported") || has("Unsupported") || has("not implemented") {
        Kind::Unsupported
    } else {
        Kind::InvalidDefinition
    };
    PlanError::new(kind, lower_first(&message))
}

/// `Projections require unique expression names but the expression "a AS x" at position 0 and …`
fn duplicate_name(message: &str) -> PlanError {
    let name = message
        .split('"')
        .nth(1)
        .map(|expr| expr.rsplit(" AS ").next().unwrap_or(expr))
        .map(|expr| expr.rsplit('.').next().unwrap_or(expr))
        .unwrap_or_default();
    PlanError::new(
        PlanErrorKind::DuplicateColumn,
        format!("column \"{name}\" specified more than once"),
    )
}

fn clean(message: &str) -> String {
    const PREFIXES: [&str; 8] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
        "Schema error: ",
        "Optimizer rule ",
        "type_coercion",
        "caused by",
    ];
    let mut rest = message.trim();
    while let Some(stripped) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = stripped.trim_start();
    }
    rest.trim_end_matches('.').to_owned()
}

fn strip_bug_report(message: &str) -> String {
    message
        .split("\nThis issue was likely caused by")
        .next()
        .unwrap_or(message)
        .trim_end_matches('.')
        .to_owned()
}

fn not_implemented(message: &str) -> String {
    let message = clean(message);
    // sqlparser's debug output helps nobody.
    let message = match message.split_once("Unsupported ast node") {
        Some(_) => return "this expression is not supported".into(),
        None => lower_first(&message),
    };
    if message.contains("support") || message.contains("implement") {
        message
    } else {
        format!("{message} is not supported")
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An acronym such as `UNION` stays as it is.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The name that was probably meant, if one is near enough.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + name.len().max(candidate.len()) / 4 && *distance < name.len()
        })
        .min()
        .map(|(_, candidate)| candidate)
}
