//! What Arrow types are called in SQL, and which are more than they seem.

use arrow_schema::{DataType, Field, IntervalUnit};

/// Key of a field's metadata that names its logical type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// The logical type of JSON texts.
pub const JSON_EXTENSION: &str = "arrow.json";

/// Whether the field's texts are JSON.
pub fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(EXTENSION_NAME)
        .is_some_and(|name| name == JSON_EXTENSION)
}

/// The type's name in messages.
pub fn type_name(field: &Field) -> String {
    if is_json(field) {
        return "json".to_owned();
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
