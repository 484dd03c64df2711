//! Types as they are written.

use serde::{Deserialize, Serialize};

/// A type. Synonyms have been resolved: `STRING`, `VARCHAR` and `TEXT` are all [`DataType::Text`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    /// `BOOLEAN`, `BOOL`.
    Boolean,
    /// `SMALLINT`, `INT2`: 16 bits.
    SmallInt,
    /// `INTEGER`, `INT`, `INT4`: 32 bits.
    Integer,
    /// `BIGINT`, `INT8`: 64 bits.
    BigInt,
    /// `REAL`, `FLOAT4`: 32 bits.
    Real,
    /// `DOUBLE [PRECISION]`, `FLOAT`, `FLOAT8`: 64 bits.
    Double,
    /// `DECIMAL`, `NUMERIC`, `DEC`, with precision and scale if they were given (a precision alone means scale 0).
    Decimal(Option<(u8, i8)>),
    /// `TEXT`, `VARCHAR`, `STRING`, `CHARACTER VARYING`; with a length if one was given, as in `VARCHAR(10)`.
    Text(Option<u32>),
    /// `CHAR(n)`, `CHARACTER(n)`; `CHAR` alone is one character.
    Char(u32),
    /// `BYTEA`, `BYTES`.
    Bytea,
    /// `DATE`.
    Date,
    /// `TIME [WITHOUT TIME ZONE]`.
    Time,
    /// `TIMESTAMP [WITHOUT TIME ZONE]`, in microseconds.
    Timestamp,
    /// `TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE`, in microseconds.
    TimestampTz,
    /// `INTERVAL`.
    Interval,
    /// `UUID`.
    Uuid,
    /// `JSON`.
    Json,
    /// `JSONB`.
    Jsonb,
    /// `ARRAY<T>`, `T[]`, `T ARRAY`.
    Array(Box<DataType>),
    /// `MAP<K, V>`.
    Map(Box<DataType>, Box<DataType>),
    /// `STRUCT<field T, …>`.
    Struct(Vec<StructField>),
}

/// A field of a `STRUCT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StructField {
    /// Its name, folded.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}
