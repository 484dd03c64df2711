//! What `WITH (…)` says of a relation's topic and of how its rows look as records.

use arrow_schema::{DataType, SchemaRef};
use log_store::Cleanup;
use sql::ast::{Options, WithOption};

use crate::catalog::{Relation, RelationKind};
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::records::{Format, HeaderColumn, KeyWindow, Pattern, RecordFormat};
use crate::session::settings::parse_bytes;

/// How long tombstones stay in a compacted topic.
const TOMBSTONE_RETENTION_MS: u64 = 24 * 3600 * 1000;

/// What `WITH (…)` says.
#[derive(Debug, Default)]
pub struct TopicOptions {
    pub topic: Option<String>,
    pub partitions: Option<u32>,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    cleanup_policy: Option<String>,
    /// Bytes of state that the query may hold.
    pub state_limit: Option<u64>,
    /// Name of the column that is the event time.
    pub timestamp: Option<String>,
    key_format: Option<Format>,
    value_format: Option<Format>,
    wrap_single_value: Option<bool>,
    key_delimiter: Option<char>,
    value_delimiter: Option<char>,
    timestamp_format: Option<String>,
    window_type: Option<String>,
    window_size_ms: Option<i64>,
}

/// Formats of what is neither given one nor inherits one.
#[derive(Debug, Clone, Copy)]
pub struct DefaultFormats {
    pub key: Format,
    pub value: Format,
    /// Whether a key that the default format cannot hold is an error (ksqlDB), instead of being
    /// written as JSON.
    pub is_strict: bool,
}

impl TopicOptions {
    /// Reads the options of a `CREATE`.
    ///
    /// # Errors
    /// When a name is not known, a value is not one for it, or two contradict each other.
    pub fn parse(options: &Options) -> Result<Self> {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option)?;
        }
        let has_format = options.get("format").is_some();
        for name in ["key_format", "value_format"] {
            if has_format && options.get(name).is_some() {
                return Err(StatementError::new(
                    StatementErrorKind::InvalidParameterValue,
                    format!("option \"{name}\" contradicts option \"format\", which sets both"),
                )
                .into());
            }
        }
        match (parsed.window_type.as_deref(), parsed.window_size_ms) {
            (Some("TUMBLING" | "HOPPING"), None) => Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                "option \"window_type\" needs option \"window_size\"",
            )
            .with_hint("Such as WINDOW_SIZE = '10 SECONDS'.")
            .into()),
            (Some("SESSION") | None, Some(_)) => Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                "option \"window_size\" is for tumbling and hopping windows only",
            )
            .into()),
            _ => Ok(parsed),
        }
    }

    /// The topic's name: what is said, or one made of the relation's, in which Kafka's rule for names forbids some
    /// characters.
    pub fn topic_or(&self, relation: &str) -> String {
        match &self.topic {
            Some(topic) => topic.clone(),
            None if is_topic_name(relation) => relation.to_owned(),
            None => {
                // Names that differ only in what is forbidden must not meet.
                let hash = crc32c::crc32c(relation.as_bytes());
                let legal = relation.chars().filter(|c| is_topic_character(*c));
                let legal: String = legal.take(TOPIC_NAME_CHARACTERS_MAX - 9).collect();
                format!("{legal}-{hash:08x}")
            }
        }
    }

    pub fn has_timestamp_format(&self) -> bool {
        self.timestamp_format.is_some()
    }

    /// Refuses windowed keys where they could only be read wrongly: rows do not have their window yet.
    ///
    /// # Errors
    /// When `window_type` is given for anything but a stream over a topic that is there.
    pub fn check_window(&self, kind: RelationKind, topic_is_there: bool) -> Result<()> {
        let problem = match (&self.window_type, kind) {
            (None, _) => return Ok(()),
            (Some(_), RelationKind::Table) => {
                "a table with windowed keys is not supported: its rows would lack their window"
            }
            (Some(_), RelationKind::Stream) if !topic_is_there => {
                "a stream with windowed keys can only read a topic that is there"
            }
            (Some(_), RelationKind::Stream) => return Ok(()),
        };
        Err(StatementError::new(StatementErrorKind::Unsupported, problem).into())
    }

    /// How a topic that is made keeps a relation's rows: a table is what it says last of each key, a stream all that was said.
    ///
    /// # Errors
    /// When `cleanup_policy` is another.
    pub fn cleanup(&self, relation: &Relation) -> Result<Cleanup> {
        let (cleanup, policy) = match relation.kind {
            RelationKind::Table if !relation.key.is_empty() => {
                let tombstone_retention_ms = TOMBSTONE_RETENTION_MS;
                let cleanup = Cleanup::Compact {
                    tombstone_retention_ms,
                };
                (cleanup, "compact")
            }
            _ => (Cleanup::Delete, "delete"),
        };
        match &self.cleanup_policy {
            Some(asked) if asked != policy => Err(StatementError::new(
                StatementErrorKind::Unsupported,
                format!(
                    "cleanup_policy \"{asked}\" is not supported: that of a {}'s topic is \"{policy}\"",
                    relation.kind_name()
                ),
            )
            .into()),
            _ => Ok(cleanup),
        }
    }

    /// Refuses `window_type` of what a query makes, which says itself what its windows are.
    pub fn check_no_window(&self) -> Result<()> {
        match self.window_type {
            None => Ok(()),
            Some(_) => Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                "option \"window_type\" is for streams and tables over a topic, not for the result of a query",
            )
            .into()),
        }
    }

    fn take(&mut self, option: &WithOption) -> Result<()> {
        let text = option.value.as_str();
        let invalid = || {
            StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!("invalid value for option \"{}\": \"{text}\"", option.name),
            )
            .at(Some(option.position))
        };
        let number = || {
            option
                .value
                .as_i64()
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(invalid)
        };
        // -1 is Kafka's word for no bound.
        let bound = || match option.value.as_i64() {
            Some(-1) => Ok(None),
            _ => number().map(Some),
        };
        let format = || -> Result<Format> {
            format_of(text).ok_or_else(|| {
                StatementError::new(
                    StatementErrorKind::Unsupported,
                    format!("format {} is not supported", text.to_ascii_uppercase()),
                )
                .at(Some(option.position))
                .with_hint("Formats are JSON, DELIMITED, KAFKA and NONE.")
                .into()
            })
        };
        match option.name.as_str() {
            "kafka_topic" | "topic" => {
                if !is_topic_name(text) {
                    return Err(invalid()
                        .with_detail("A topic's name has 1 to 249 ASCII letters, digits, \".\", \"_\" and \"-\", and is not \".\" or \"..\".")
                        .into());
                }
                self.topic = Some(text.to_owned());
            }
            "partitions" => {
                let partitions = number()?;
                if !(1..=1024).contains(&partitions) {
                    return Err(invalid().into());
                }
                self.partitions = Some(partitions as u32);
            }
            "replicas" => {
                // One node keeps one copy, whatever is asked for.
                number()?;
            }
            "retention_ms" => self.retention_ms = bound()?,
            "retention_bytes" => self.retention_bytes = bound()?,
            "cleanup_policy" => {
                let policy = text.to_ascii_lowercase();
                let mut words = policy.split(',').map(str::trim);
                if !words.all(|word| matches!(word, "compact" | "delete")) {
                    return Err(invalid().into());
                }
                self.cleanup_policy = Some(policy);
            }
            "state_limit" => {
                let bytes = parse_bytes(text).ok_or_else(invalid)?;
                self.state_limit = Some(bytes).filter(|bytes| *bytes > 0);
            }
            "timestamp" => self.timestamp = Some(text.to_owned()),
            "timestamp_format" => {
                let understood = match text.is_empty() {
                    true => Err("it is empty".to_owned()),
                    false => Pattern::parse(text),
                };
                understood.map_err(|reason| invalid().with_detail(reason))?;
                self.timestamp_format = Some(text.to_owned());
            }
            "format" => {
                self.key_format = Some(format()?);
                self.value_format = Some(format()?);
            }
            "key_format" => self.key_format = Some(format()?),
            "value_format" => self.value_format = Some(format()?),
            "wrap_single_value" => {
                self.wrap_single_value = Some(option.value.as_bool().ok_or_else(invalid)?);
            }
            "key_delimiter" => self.key_delimiter = Some(delimiter(text).ok_or_else(invalid)?),
            "value_delimiter" => self.value_delimiter = Some(delimiter(text).ok_or_else(invalid)?),
            "window_type" => match text.to_ascii_uppercase().as_str() {
                known @ ("TUMBLING" | "HOPPING" | "SESSION") => {
                    self.window_type = Some(known.to_owned());
                }
                _ => return Err(invalid().into()),
            },
            "window_size" => self.window_size_ms = Some(duration_ms(text).ok_or_else(invalid)?),
            other => {
                return Err(StatementError::new(
                    StatementErrorKind::InvalidParameterValue,
                    format!("unrecognized option \"{other}\""),
                )
                .at(Some(option.position))
                .with_hint(
                    "Options are kafka_topic, partitions, retention_ms, retention_bytes, cleanup_policy, state_limit, timestamp, \
                     timestamp_format, format, key_format, value_format, key_delimiter, \
                     value_delimiter, wrap_single_value, window_type, window_size.",
                )
                .into());
            }
        }
        Ok(())
    }

    /// How the rows look as records. What is not said is as in `inherited` (the format of the relation
    /// that a query reads), else as the session's `defaults` say.
    ///
    /// # Errors
    /// When a format cannot hold the columns that it would have to.
    pub fn record_format(
        &self,
        columns: &SchemaRef,
        kind: RelationKind,
        key_columns: Vec<usize>,
        headers: Vec<HeaderColumn>,
        inherited: Option<&RecordFormat>,
        defaults: DefaultFormats,
    ) -> Result<RecordFormat> {
        let default = RecordFormat {
            key: defaults.key,
            value: defaults.value,
            ..RecordFormat::default()
        };
        let base = inherited.unwrap_or(&default);
        let value_width = columns.fields().len() - key_columns.len() - headers.len();
        let key_default = match base.key {
            // What has no key hands no format for one on.
            Format::None if inherited.is_some() && !key_columns.is_empty() => default.key,
            // Kafka's own serializers take one column of a simple type.
            Format::Kafka if !defaults.is_strict && !kafka_takes(columns, &key_columns) => {
                Format::Json
            }
            key => key,
        };
        let format = RecordFormat {
            key: self.key_format.unwrap_or(key_default),
            value: self.value_format.unwrap_or(base.value),
            wrap_single_value: self.wrap_single_value.unwrap_or(true),
            key_delimiter: self.key_delimiter.unwrap_or(base.key_delimiter),
            value_delimiter: self.value_delimiter.unwrap_or(base.value_delimiter),
            timestamp_format: self.timestamp_format.clone(),
            window: match (self.window_type.as_deref(), self.window_size_ms) {
                (Some("SESSION"), _) => Some(KeyWindow::Session),
                (Some(_), Some(size_ms)) => Some(KeyWindow::Time { size_ms }),
                _ => None,
            },
            key_columns,
            headers,
            key_is_computed: base.key_is_computed,
        };
        let refuse = |message: String| -> Result<RecordFormat> {
            Err(StatementError::new(StatementErrorKind::InvalidDefinition, message).into())
        };
        if let Some(column) = format
            .key_columns
            .iter()
            .find(|column| contains_map(columns.field(**column).data_type(), &|_| true))
        {
            return refuse(format!(
                "column \"{}\" of the key contains a map, whose entries have no order",
                columns.field(*column).name()
            ));
        }
        if self.key_format.is_some_and(|key| key != Format::None)
            && format.key_columns.is_empty()
            && inherited.is_some()
        {
            return refuse("a key format is given, but there are no key columns".into());
        }
        if let Some(wrap) = self.wrap_single_value {
            if value_width != 1 {
                return refuse(
                    "option \"wrap_single_value\" is for relations with one value column".into(),
                );
            }
            // The other formats know no wrapping.
            if wrap && format.value != Format::Json {
                return refuse(
                    "option \"wrap_single_value\" = true is for format JSON only".into(),
                );
            }
        }
        if self.value_delimiter.is_some() && format.value != Format::Delimited
            || self.key_delimiter.is_some() && format.key != Format::Delimited
        {
            return refuse("a delimiter is for format DELIMITED only".into());
        }
        if format.key == Format::Kafka && !kafka_takes(columns, &format.key_columns) {
            return Err(StatementError::new(
                StatementErrorKind::InvalidDefinition,
                "format KAFKA takes a key of one column of type INT, BIGINT, DOUBLE, VARCHAR or BYTES",
            )
            .with_hint("KEY_FORMAT = 'JSON' takes any key.")
            .into());
        }
        let values: Vec<usize> = (0..columns.fields().len())
            .filter(|column| {
                !format.key_columns.contains(column)
                    && !format.headers.iter().any(|header| header.column == *column)
            })
            .collect();
        if format.value == Format::Kafka && !kafka_takes(columns, &values) {
            return refuse(
                "format KAFKA takes a value of one column of type INT, BIGINT, DOUBLE, VARCHAR or BYTES"
                    .into(),
            );
        }
        for (format, of, what) in [
            (format.value, &values, "value"),
            (format.key, &format.key_columns, "key"),
        ] {
            if format == Format::Delimited
                && let Some(column) = of.iter().find(|column| is_nested(columns, **column))
            {
                return refuse(format!(
                    "format DELIMITED cannot hold column \"{}\" of the {what}, which is nested",
                    columns.field(*column).name()
                ));
            }
            if format == Format::Json
                && let Some(column) = of.iter().find(|column| {
                    contains_map(columns.field(**column).data_type(), &|key| {
                        !matches!(key, DataType::Utf8)
                    })
                })
            {
                return refuse(format!(
                    "format JSON cannot hold column \"{}\" of the {what}: keys of maps must be text",
                    columns.field(*column).name()
                ));
            }
            if format == Format::None && !of.is_empty() {
                return refuse(format!(
                    "format NONE holds no {what}, but there are {what} columns"
                ));
            }
        }
        if kind == RelationKind::Table && format.key == Format::None {
            return refuse("a table needs a key, so its key format cannot be NONE".into());
        }
        Ok(format)
    }
}

/// As Kafka has it.
const TOPIC_NAME_CHARACTERS_MAX: usize = 249;

fn is_topic_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Kafka's rule for the names of topics.
fn is_topic_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= TOPIC_NAME_CHARACTERS_MAX
        && name.chars().all(is_topic_character)
}

/// The format of this name, in letters of any case.
pub fn format_of(name: &str) -> Option<Format> {
    Some(match name.to_ascii_uppercase().as_str() {
        "JSON" => Format::Json,
        "DELIMITED" => Format::Delimited,
        "KAFKA" => Format::Kafka,
        "NONE" => Format::None,
        _ => return None,
    })
}

/// Columns that Kafka's own serializers take: none, or one of a simple type.
fn kafka_takes(columns: &SchemaRef, chosen: &[usize]) -> bool {
    match chosen {
        [] => true,
        [column] => matches!(
            columns.field(*column).data_type(),
            DataType::Int32
                | DataType::Int64
                | DataType::Float64
                | DataType::Utf8
                | DataType::Utf8View
                | DataType::LargeUtf8
                | DataType::Binary
                | DataType::BinaryView
        ),
        _ => false,
    }
}

/// Whether there is a map in a type whose keys are as asked.
fn contains_map(data_type: &DataType, wanted: &dyn Fn(&DataType) -> bool) -> bool {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                wanted(pair[0].data_type()) || contains_map(pair[1].data_type(), wanted)
            }
            _ => false,
        },
        DataType::List(element) => contains_map(element.data_type(), wanted),
        DataType::Struct(fields) => fields
            .iter()
            .any(|field| contains_map(field.data_type(), wanted)),
        _ => false,
    }
}

fn is_nested(columns: &SchemaRef, column: usize) -> bool {
    columns.field(column).data_type().is_nested()
}

/// One character, or ksqlDB's words for two that are hard to write.
fn delimiter(text: &str) -> Option<char> {
    match text.to_ascii_uppercase().as_str() {
        "TAB" => return Some('\t'),
        "SPACE" => return Some(' '),
        _ => {}
    }
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Some(character),
        _ => None,
    }
}

/// Such as `10 SECONDS`, in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok().filter(|number| *number > 0)?;
    let unit = words.next()?.to_ascii_uppercase();
    let unit_ms = match unit.strip_suffix('S').unwrap_or(&unit) {
        "MILLISECOND" => 1,
        "SECOND" => 1_000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        "DAY" => 86_400_000,
        _ => return None,
    };
    words.next().is_none().then_some(())?;
    number.checked_mul(unit_ms)
}

/// Where the columns of a source's record key stand among a query's columns; none if one is missing.
pub fn inherited_key(source: &Relation, columns: &SchemaRef) -> Vec<usize> {
    let positions: Option<Vec<usize>> = source
        .format
        .key_columns
        .iter()
        .map(|column| columns.index_of(source.columns.field(*column).name()).ok())
        .collect();
    positions.unwrap_or_default()
}
