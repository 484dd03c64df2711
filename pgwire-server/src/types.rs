//! Arrow's types and Postgres' object identifiers for them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use engine::formats::{LOGICAL_TYPE, logical_type, text_length};

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const CHAR: u32 = 18;
pub const NAME: u32 = 19;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const OID: u32 = 26;
pub const JSON: u32 = 114;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const UNKNOWN: u32 = 705;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIME: u32 = 1083;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const INTERVAL: u32 = 1186;
pub const NUMERIC: u32 = 1700;
pub const UUID: u32 = 2950;
pub const JSONB: u32 = 3802;

/// Types and their arrays.
const ARRAYS: [(u32, u32); 22] = [
    (BOOL, 1000),
    (BYTEA, 1001),
    (NAME, 1003),
    (INT2, 1005),
    (INT4, 1007),
    (TEXT, 1009),
    (OID, 1028),
    (BPCHAR, 1014),
    (VARCHAR, 1015),
    (INT8, 1016),
    (FLOAT4, 1021),
    (FLOAT8, 1022),
    (TIMESTAMP, 1115),
    (DATE, 1182),
    (TIME, 1183),
    (TIMESTAMPTZ, 1185),
    (INTERVAL, 1187),
    (NUMERIC, 1231),
    (JSON, 199),
    (UUID, 2951),
    (JSONB, 3807),
    (UNKNOWN, 1009),
];

/// A type as RowDescription tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireType {
    pub oid: u32,
    /// Bytes of a value, -1 if they vary.
    pub size: i16,
    /// Precision and scale of a numeric; else -1.
    pub modifier: i32,
}

/// The type of a column.
pub fn wire_type(field: &Field) -> WireType {
    let modifier = match field.data_type() {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
        }
        _ => text_length(field).map_or(-1, |(_, length)| length as i32 + 4),
    };
    let oid = oid(field);
    let size = match oid {
        BOOL | CHAR => 1,
        INT2 => 2,
        INT4 | FLOAT4 | DATE | OID => 4,
        INT8 | FLOAT8 | TIME | TIMESTAMP | TIMESTAMPTZ => 8,
        INTERVAL | UUID => 16,
        NAME => 64,
        _ => -1,
    };
    WireType {
        oid,
        size,
        modifier,
    }
}

/// The identifier of a column's type.
pub fn oid(field: &Field) -> u32 {
    match logical_type(field) {
        Some("uuid") => return UUID,
        Some("json") => return JSON,
        Some("jsonb") => return JSONB,
        // Columns of the system catalog say what they are beyond their Arrow type.
        Some("pg.oid") => return OID,
        Some("pg.name") => return NAME,
        Some("pg.char") => return CHAR,
        _ => {}
    }
    if let Some((name, _)) = text_length(field) {
        return if name == "character" { BPCHAR } else { VARCHAR };
    }
    match field.data_type() {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => INT2,
        DataType::UInt16 | DataType::Int32 => INT4,
        DataType::UInt32 | DataType::Int64 => INT8,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::FixedSizeBinary(16) => UUID,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => array_of(oid(item)),
        DataType::Dictionary(_, value) => {
            oid(&field.clone().with_data_type(value.as_ref().clone()))
        }
        DataType::RunEndEncoded(_, value) => oid(value),
        DataType::Struct(_) | DataType::Map(..) => JSON,
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Union(..) => TEXT,
    }
}

/// The array of a type; an array of arrays is of the same type as its elements.
fn array_of(element: u32) -> u32 {
    ARRAYS
        .iter()
        .find(|(of, array)| *of == element || *array == element)
        .map_or(1009, |(_, array)| *array)
}

/// The element of an array type.
pub fn element_of(array: u32) -> Option<u32> {
    ARRAYS
        .iter()
        .find(|(_, of)| *of == array)
        .map(|(element, _)| *element)
}

/// The type of a parameter that the client declared; `None` where it leaves the choice to us. A text may stand for
/// anything.
pub fn declared_type(oid: u32) -> Option<FieldRef> {
    let logical = |name: &str| {
        let metadata = HashMap::from([(LOGICAL_TYPE.to_owned(), name.to_owned())]);
        Some(Arc::new(
            Field::new("", DataType::Utf8, true).with_metadata(metadata),
        ))
    };
    let data_type = match oid {
        BOOL => DataType::Boolean,
        INT2 => DataType::Int16,
        INT4 => DataType::Int32,
        INT8 | OID => DataType::Int64,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        NUMERIC => DataType::Decimal128(38, 10),
        BYTEA => DataType::Binary,
        UUID => return logical("uuid"),
        JSON => return logical("json"),
        JSONB => return logical("jsonb"),
        DATE => DataType::Date32,
        TIME => DataType::Time64(TimeUnit::Microsecond),
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        TEXT | VARCHAR | BPCHAR | NAME | CHAR => return None,
        array => {
            let element = element_of(array)?;
            let item = match declared_type(element) {
                Some(field) => field.as_ref().clone().with_name("item"),
                None => Field::new_list_field(DataType::Utf8, true),
            };
            DataType::List(Arc::new(item))
        }
    };
    Some(Arc::new(Field::new("", data_type, true)))
}
