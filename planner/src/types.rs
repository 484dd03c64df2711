//! SQL types and Arrow types.
//!
//! A value of a column is stored as plain Arrow. Where one Arrow type stands for several SQL types
//! (`TEXT`, `VARCHAR(n)`, `UUID`, `JSON` are all `Utf8`), the field's metadata names the SQL type
//! under [`LOGICAL_TYPE`]; without metadata it is the plainest of them.
//!
//! Text is `Utf8` and times are microseconds everywhere in log and state: [`stored_type`] says
//! what any other Arrow type becomes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use sql::ast;

use crate::error::{PlanError, PlanErrorKind, Result};

/// Key of a field's metadata under which the SQL type is named, where Arrow's type is not enough.
pub const LOGICAL_TYPE: &str = "millpond.type";

/// The time zone of every `TIMESTAMPTZ`.
pub const UTC: &str = "+00:00";

/// `NUMERIC` without precision and scale.
pub const DEFAULT_DECIMAL: (u8, i8) = (38, 10);

/// `TIMESTAMPTZ`.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The field of a column that was declared with this type.
///
/// # Errors
/// When a precision or scale is out of range, or a map's key cannot be one.
pub fn field(name: &str, data_type: &ast::DataType, nullable: bool) -> Result<Field> {
    let (arrow, logical) = arrow_type(data_type)?;
    let field = Field::new(name, arrow, nullable);
    Ok(match logical {
        Some(logical) => field.with_metadata(HashMap::from([(LOGICAL_TYPE.to_owned(), logical)])),
        None => field,
    })
}

/// Arrow's type and the name of the logical type, if there is one.
fn arrow_type(data_type: &ast::DataType) -> Result<(DataType, Option<String>)> {
    use ast::DataType as Sql;
    let arrow = match data_type {
        Sql::Boolean => DataType::Boolean,
        Sql::SmallInt => DataType::Int16,
        Sql::Integer => DataType::Int32,
        Sql::BigInt => DataType::Int64,
        Sql::Real => DataType::Float32,
        Sql::Double => DataType::Float64,
        Sql::Decimal(limits) => {
            let (precision, scale) = limits.unwrap_or(DEFAULT_DECIMAL);
            if !(1..=38).contains(&precision) {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidParameterValue,
                    format!("NUMERIC precision {precision} must be between 1 and 38"),
                ));
            }
            if !(0..=precision as i8).contains(&scale) {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidParameterValue,
                    format!("NUMERIC scale {scale} must be between 0 and precision {precision}"),
                ));
            }
            DataType::Decimal128(precision, scale)
        }
        Sql::Text(None) => DataType::Utf8,
        Sql::Text(Some(length)) => return Ok((DataType::Utf8, Some(format!("varchar({length})")))),
        Sql::Char(length) => return Ok((DataType::Utf8, Some(format!("char({length})")))),
        Sql::Bytea => DataType::Binary,
        Sql::Date => DataType::Date32,
        Sql::Time => DataType::Time64(TimeUnit::Microsecond),
        Sql::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Sql::TimestampTz => timestamptz(),
        Sql::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        Sql::Uuid => return Ok((DataType::Utf8, Some("uuid".into()))),
        Sql::Json => return Ok((DataType::Utf8, Some("json".into()))),
        Sql::Jsonb => return Ok((DataType::Utf8, Some("jsonb".into()))),
        Sql::Array(element) => DataType::List(Arc::new(field(
            Field::LIST_FIELD_DEFAULT_NAME,
            element,
            true,
        )?)),
        Sql::Map(key, value) => map_type(field("key", key, false)?, field("value", value, true)?),
        Sql::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|member| field(&member.name, &member.data_type, true).map(Arc::new))
                .collect::<Result<Fields>>()?,
        ),
    };
    Ok((arrow, None))
}

fn map_type(key: Field, value: Field) -> DataType {
    let entries = Field::new(
        "entries",
        DataType::Struct(Fields::from(vec![key, value])),
        false,
    );
    DataType::Map(Arc::new(entries), false)
}

/// The SQL type of a field; `None` if Arrow's type is none that a column can have.
pub fn sql_type(field: &Field) -> Option<ast::DataType> {
    use ast::DataType as Sql;
    Some(match field.data_type() {
        DataType::Boolean => Sql::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Sql::SmallInt,
        DataType::Int32 | DataType::UInt16 => Sql::Integer,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Sql::BigInt,
        DataType::Float16 | DataType::Float32 => Sql::Real,
        DataType::Float64 => Sql::Double,
        DataType::Decimal128(precision, scale)
        | DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale) => Sql::Decimal(Some((*precision, *scale))),
        DataType::Decimal256(..) => Sql::Decimal(None),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match logical_type(field) {
            Some("uuid") => Sql::Uuid,
            Some("json") => Sql::Json,
            Some("jsonb") => Sql::Jsonb,
            Some(other) => match length(other) {
                Some(("varchar", length)) => Sql::Text(Some(length)),
                Some(("char", length)) => Sql::Char(length),
                _ => Sql::Text(None),
            },
            None => Sql::Text(None),
        },
        DataType::Null => Sql::Text(None),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Sql::Bytea,
        DataType::Date32 | DataType::Date64 => Sql::Date,
        DataType::Time32(_) | DataType::Time64(_) => Sql::Time,
        DataType::Timestamp(_, None) => Sql::Timestamp,
        DataType::Timestamp(_, Some(_)) => Sql::TimestampTz,
        DataType::Interval(_) | DataType::Duration(_) => Sql::Interval,
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => Sql::Array(Box::new(sql_type(element)?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                Sql::Map(Box::new(sql_type(&pair[0])?), Box::new(sql_type(&pair[1])?))
            }
            _ => return None,
        },
        DataType::Struct(fields) => Sql::Struct(
            fields
                .iter()
                .map(|member| {
                    Some(ast::StructField {
                        name: member.name().clone(),
                        data_type: sql_type(member)?,
                    })
                })
                .collect::<Option<_>>()?,
        ),
        DataType::Dictionary(_, value) => sql_type(&Field::new("", value.as_ref().clone(), true))?,
        _ => return None,
    })
}

/// The logical type named in a field's metadata.
pub fn logical_type(field: &Field) -> Option<&str> {
    field.metadata().get(LOGICAL_TYPE).map(String::as_str)
}

/// `varchar(10)` as its parts.
pub(crate) fn length(logical: &str) -> Option<(&str, u32)> {
    let (name, rest) = logical.split_once('(')?;
    Some((name, rest.strip_suffix(')')?.parse().ok()?))
}

/// The type's name as Postgres spells it in messages and in `DESCRIBE`.
pub fn type_name(field: &Field) -> String {
    match sql_type(field) {
        Some(data_type) => sql_type_name(&data_type),
        None => field.data_type().to_string(),
    }
}

/// The name of an Arrow type on its own.
pub fn data_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "unknown".into(),
        other => type_name(&Field::new("", other.clone(), true)),
    }
}

/// The name of a SQL type as Postgres spells it.
pub fn sql_type_name(data_type: &ast::DataType) -> String {
    use ast::DataType as Sql;
    match data_type {
        Sql::Boolean => "boolean".into(),
        Sql::SmallInt => "smallint".into(),
        Sql::Integer => "integer".into(),
        Sql::BigInt => "bigint".into(),
        Sql::Real => "real".into(),
        Sql::Double => "double precision".into(),
        Sql::Decimal(None) => "numeric".into(),
        Sql::Decimal(Some((precision, scale))) => format!("numeric({precision},{scale})"),
        Sql::Text(None) => "text".into(),
        Sql::Text(Some(length)) => format!("character varying({length})"),
        Sql::Char(length) => format!("character({length})"),
        Sql::Bytea => "bytea".into(),
        Sql::Date => "date".into(),
        Sql::Time => "time without time zone".into(),
        Sql::Timestamp => "timestamp without time zone".into(),
        Sql::TimestampTz => "timestamp with time zone".into(),
        Sql::Interval => "interval".into(),
        Sql::Uuid => "uuid".into(),
        Sql::Json => "json".into(),
        Sql::Jsonb => "jsonb".into(),
        Sql::Array(element) => format!("{}[]", sql_type_name(element)),
        Sql::Map(key, value) => {
            format!("map<{}, {}>", sql_type_name(key), sql_type_name(value))
        }
        Sql::Struct(fields) => {
            let members: Vec<String> = fields
                .iter()
                .map(|member| format!("{} {}", member.name, sql_type_name(&member.data_type)))
                .collect();
            format!("struct<{}>", members.join(", "))
        }
    }
}

/// The type in which values of an Arrow type are stored and sent: one for each SQL type.
pub fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal128(38, (*scale).clamp(0, 38)),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Interval(_) | DataType::Duration(_) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => DataType::List(Arc::new(
            stored_field(element)
                .with_name(Field::LIST_FIELD_DEFAULT_NAME)
                .with_nullable(true),
        )),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => map_type(
                stored_field(&pair[0]).with_name("key").with_nullable(false),
                stored_field(&pair[1])
                    .with_name("value")
                    .with_nullable(true),
            ),
            _ => data_type.clone(),
        },
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|member| Arc::new(stored_field(member).with_nullable(true)))
                .collect(),
        ),
        DataType::Dictionary(_, value) => stored_type(value),
        DataType::RunEndEncoded(_, values) => stored_type(values.data_type()),
        other => other.clone(),
    }
}

fn stored_field(field: &FieldRef) -> Field {
    field
        .as_ref()
        .clone()
        .with_data_type(stored_type(field.data_type()))
}

/// Whether a value of one type may be written to a column of another, as Postgres' assignment casts.
///
/// A string constant (`is_constant`) has no type of its own yet and may become anything.
pub fn is_assignable(from: &Field, to: &Field, is_constant: bool) -> bool {
    let (source, target) = (from.data_type(), to.data_type());
    if source == target || source.is_null() {
        return true;
    }
    if is_text(source) {
        return is_text(target) || is_constant;
    }
    if is_text(target) {
        return matches!(logical_type(to), None | Some(""))
            || length(logical_type(to).unwrap_or_default()).is_some();
    }
    let both = |test: fn(&DataType) -> bool| test(source) && test(target);
    both(DataType::is_numeric) && can_cast_types(source, target)
        || both(is_datetime) && can_cast_types(source, target)
        || both(|t| stored_type(t) == DataType::Binary)
        || both(|t| matches!(t, DataType::Interval(_) | DataType::Duration(_)))
        || both(|t| matches!(stored_type(t), DataType::Time64(_)))
        || both(DataType::is_nested) && can_cast_types(source, target)
}

/// Whether it is one of Arrow's string types.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_datetime(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    )
}
