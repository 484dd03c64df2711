//! The types that clients may meet, with Postgres' identifiers for them.

use arrow_schema::{DataType, Field};

use crate::formats::{logical_type, text_length};

/// A type: identifier, name, size, identifier of its array, category, name in SQL.
pub struct PgType {
    pub oid: u32,
    pub name: &'static str,
    pub size: i16,
    pub array: u32,
    pub category: &'static str,
    pub sql_name: &'static str,
}

const fn pg_type(
    oid: u32,
    name: &'static str,
    size: i16,
    array: u32,
    category: &'static str,
    sql_name: &'static str,
) -> PgType {
    PgType {
        oid,
        name,
        size,
        array,
        category,
        sql_name,
    }
}

/// All of them, without their arrays.
pub const TYPES: [PgType; 28] = [
    pg_type(16, "bool", 1, 1000, "B", "boolean"),
    pg_type(17, "bytea", -1, 1001, "U", "bytea"),
    pg_type(18, "char", 1, 1002, "Z", "\"char\""),
    pg_type(19, "name", 64, 1003, "S", "name"),
    pg_type(20, "int8", 8, 1016, "N", "bigint"),
    pg_type(21, "int2", 2, 1005, "N", "smallint"),
    pg_type(22, "int2vector", -1, 1006, "A", "int2vector"),
    pg_type(23, "int4", 4, 1007, "N", "integer"),
    pg_type(24, "regproc", 4, 1008, "N", "regproc"),
    pg_type(25, "text", -1, 1009, "S", "text"),
    pg_type(26, "oid", 4, 1028, "N", "oid"),
    pg_type(114, "json", -1, 199, "U", "json"),
    pg_type(700, "float4", 4, 1021, "N", "real"),
    pg_type(701, "float8", 8, 1022, "N", "double precision"),
    pg_type(705, "unknown", -2, 0, "X", "unknown"),
    pg_type(1042, "bpchar", -1, 1014, "S", "character"),
    pg_type(1043, "varchar", -1, 1015, "S", "character varying"),
    pg_type(1082, "date", 4, 1182, "D", "date"),
    pg_type(1083, "time", 8, 1183, "D", "time without time zone"),
    pg_type(
        1114,
        "timestamp",
        8,
        1115,
        "D",
        "timestamp without time zone",
    ),
    pg_type(
        1184,
        "timestamptz",
        8,
        1185,
        "D",
        "timestamp with time zone",
    ),
    pg_type(1186, "interval", 16, 1187, "T", "interval"),
    pg_type(1700, "numeric", -1, 1231, "N", "numeric"),
    pg_type(2205, "regclass", 4, 2210, "N", "regclass"),
    pg_type(2206, "regtype", 4, 2211, "N", "regtype"),
    pg_type(2249, "record", -1, 2287, "P", "record"),
    pg_type(2950, "uuid", 16, 2951, "U", "uuid"),
    pg_type(3802, "jsonb", -1, 3807, "U", "jsonb"),
];

/// The identifier and modifier of a column's type.
pub fn column_type(field: &Field) -> (u32, i32) {
    match logical_type(field) {
        Some("uuid") => return (2950, -1),
        Some("json") => return (114, -1),
        Some("jsonb") => return (3802, -1),
        _ => {}
    }
    if let Some((name, length)) = text_length(field) {
        let oid = if name == "character" { 1042 } else { 1043 };
        return (oid, length as i32 + 4);
    }
    let oid = match field.data_type() {
        DataType::Boolean => 16,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => 21,
        DataType::UInt16 | DataType::Int32 => 23,
        DataType::UInt32 | DataType::Int64 => 20,
        DataType::Float16 | DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return (
                1700,
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4,
            );
        }
        DataType::UInt64 | DataType::Decimal32(..) | DataType::Decimal64(..) => 1700,
        DataType::FixedSizeBinary(16) => 2950,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => 17,
        DataType::Date32 | DataType::Date64 => 1082,
        DataType::Time32(_) | DataType::Time64(_) => 1083,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(_, Some(_)) => 1184,
        DataType::Interval(_) | DataType::Duration(_) => 1186,
        DataType::Struct(_) | DataType::Map(..) => 114,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let (element, modifier) = column_type(item);
            let array = TYPES
                .iter()
                .find(|known| known.oid == element || known.array == element);
            return (array.map_or(1009, |known| known.array), modifier);
        }
        _ => 25,
    };
    (oid, -1)
}

/// `format_type`: the type's name in SQL.
pub fn format_type(oid: i64, modifier: Option<i64>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    for known in &TYPES {
        let array = i64::from(known.array) == oid && known.array != 0;
        if i64::from(known.oid) != oid && !array {
            continue;
        }
        let mut name = known.sql_name.to_owned();
        if let Some(modifier) = modifier.filter(|modifier| *modifier >= 4) {
            match known.oid {
                1700 => {
                    let packed = modifier - 4;
                    name.push_str(&format!("({},{})", packed >> 16, packed & 0x7ff));
                }
                1042 | 1043 => name.push_str(&format!("({})", modifier - 4)),
                _ => {}
            }
        }
        if array {
            name.push_str("[]");
        }
        return name;
    }
    "???".to_owned()
}

/// The identifier of a type by either of its names, `0` if there is none.
pub fn type_oid(name: &str) -> Option<u32> {
    let name = name.trim().trim_start_matches("pg_catalog.");
    let (base, array) = match name.strip_suffix("[]") {
        Some(base) => (base, true),
        None => (name, false),
    };
    let synonym = match base {
        "int" => "int4",
        "decimal" => "numeric",
        "timestamp with time zone" => "timestamptz",
        other => other,
    };
    TYPES.iter().find_map(|known| {
        if known.name == synonym || known.sql_name == synonym {
            Some(if array { known.array } else { known.oid })
        } else if name.strip_prefix('_') == Some(known.name) {
            Some(known.array)
        } else {
            None
        }
    })
}
