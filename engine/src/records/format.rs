//! How rows of a relation look as records.

use arrow_schema::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};

/// How columns become the bytes of a key or of a value, by ksqlDB's names and rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object, or a bare value where there is a single column that is not wrapped.
    #[default]
    Json,
    /// Comma-separated text.
    Delimited,
    /// Kafka's own serializers: one column, big-endian numbers or UTF-8.
    Kafka,
    /// No bytes at all.
    None,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Delimited => "DELIMITED",
            Self::Kafka => "KAFKA",
            Self::None => "NONE",
        })
    }
}

/// A column that is filled from a record's headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderColumn {
    /// Position among the relation's columns.
    pub column: usize,
    /// `HEADER('name')`: the last header of that name, as bytes. `None`: all of them, as an array of
    /// structs of key and value.
    pub name: Option<String>,
}

/// The window that stands behind the key's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyWindow {
    /// Eight bytes: the start. The end follows from the size.
    Time {
        /// Length of a window, milliseconds.
        size_ms: i64,
    },
    /// Sixteen bytes: the end, then the start.
    Session,
}

/// How the rows of a relation look as records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFormat {
    pub key: Format,
    pub value: Format,
    /// Positions of the columns in the key, in order. All others, but for `headers`, are the value.
    pub key_columns: Vec<usize>,
    pub headers: Vec<HeaderColumn>,
    /// `WRAP_SINGLE_VALUE`: whether a value of one column is an object (JSON) or bare.
    pub wrap_single_value: bool,
    /// `KEY_DELIMITER`.
    pub key_delimiter: char,
    /// `VALUE_DELIMITER`.
    pub value_delimiter: char,
    /// `TIMESTAMP_FORMAT` of the relation's timestamp column, in Java's pattern letters.
    pub timestamp_format: Option<String>,
    /// Of keys in topics that a windowed aggregation wrote.
    pub window: Option<KeyWindow>,
    /// Whether every record has a key because a query computes it (`PARTITION BY`): several columns that
    /// are all NULL are a key then. Otherwise they are none.
    #[serde(default)]
    pub key_is_computed: bool,
}

impl Default for RecordFormat {
    fn default() -> Self {
        Self {
            key: Format::Kafka,
            value: Format::Json,
            key_columns: Vec::new(),
            headers: Vec::new(),
            wrap_single_value: true,
            key_delimiter: ',',
            value_delimiter: ',',
            timestamp_format: None,
            window: None,
            key_is_computed: false,
        }
    }
}

impl RecordFormat {
    /// Positions of the columns in the value, of a relation with this schema in the log.
    pub fn value_columns(&self, log_schema: &SchemaRef) -> Vec<usize> {
        (0..super::decode::rowtime_position(log_schema))
            .filter(|column| {
                !self.key_columns.contains(column)
                    && !self.headers.iter().any(|header| header.column == *column)
            })
            .collect()
    }
}

impl Format {
    /// Whether a column of this type can stand in a key or a value of the format.
    pub fn supports(self, data_type: &DataType) -> bool {
        match self {
            Format::Json => match data_type {
                DataType::List(item) => self.supports(item.data_type()),
                DataType::Struct(fields) => {
                    fields.iter().all(|field| self.supports(field.data_type()))
                }
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(pair) if pair.len() == 2 => {
                        pair[0].data_type() == &DataType::Utf8 && self.supports(pair[1].data_type())
                    }
                    _ => false,
                },
                _ => true,
            },
            Format::Delimited => !data_type.is_nested(),
            Format::Kafka => matches!(
                data_type,
                DataType::Int16
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Float32
                    | DataType::Float64
                    | DataType::Utf8
                    | DataType::Binary
            ),
            Format::None => false,
        }
    }
}
