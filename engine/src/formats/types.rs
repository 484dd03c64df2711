//! What Arrow types are called in SQL, and which are more than they seem.

use arrow_schema::{DataType, Field, IntervalUnit};

/// Key of a field's metadata that names its SQL type, where Arrow's does not tell.
pub use planner::types::LOGICAL_TYPE;

/// The SQL type that a field's metadata names, such as `uuid`, `jsonb` or `varchar(10)`.
pub fn logical_type(field: &Field) -> Option<&str> {
    field.metadata().get(LOGICAL_TYPE).map(String::as_str)
}

/// Whether the field's texts are JSON.
pub fn is_json(field: &Field) -> bool {
    matches!(logical_type(field), Some("json" | "jsonb"))
}

/// Of `varchar(10)` and `char(10)` the name in SQL and the length.
pub fn text_length(field: &Field) -> Option<(&'static str, usize)> {
    let (name, rest) = logical_type(field)?.split_once('(')?;
    let length = rest.strip_suffix(')')?.parse().ok()?;
    match name {
        "varchar" => Some(("character varying", length)),
        "char" => Some(("character", length)),
        _ => None,
    }
}

/// The type's name in messages.
pub fn type_name(field: &Field) -> String {
    if let Some(name @ ("uuid" | "json" | "jsonb")) = logical_type(field) {
        return name.to_owned();
    }
    if let Some((name, length)) = text_length(field) {
        return format!("{name}({length})");
    }
    let name = match field.data_type() {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "numeric",
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::FixedSizeBinary(16) => "uuid",
        DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(
            IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano,
        )
        | DataType::Duration(_) => "interval",
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => return format!("{}[]", type_name(item)),
        DataType::Dictionary(_, value) => {
            return type_name(&field.clone().with_data_type(value.as_ref().clone()));
        }
        DataType::RunEndEncoded(_, value) => return type_name(value),
        DataType::Struct(_) => "struct",
        DataType::Map(..) => "map",
        DataType::Union(..) => "union",
    };
    name.to_owned()
}
