//! What `SET` changes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Result, StatementError, StatementErrorKind};
use crate::records::RecordFormat;
use crate::session::record_options::{DefaultFormats, format_of};

/// A setting that there is.
struct Setting {
    name: &'static str,
    default: &'static str,
    check: Check,
    /// Whether clients are told of its value.
    reported: bool,
    description: &'static str,
}

enum Check {
    Any,
    /// Cannot be changed.
    Fixed,
    OneOf(&'static [&'static str]),
    Boolean,
    /// A number with an optional unit; stored as milliseconds.
    Milliseconds,
    Integer,
    /// A number with an optional unit; stored as bytes.
    Bytes,
    TimeZone,
}

const SETTINGS: &[Setting] = &[
    setting(
        "application_name",
        "",
        Check::Any,
        true,
        "Name of the client.",
    ),
    setting(
        "auto.offset.reset",
        "earliest",
        Check::OneOf(&["earliest", "latest"]),
        false,
        "Where a new query begins: with what its inputs hold already, or with what comes.",
    ),
    setting(
        "cache.max.bytes.buffering",
        "0",
        Check::Integer,
        false,
        "In ksqlDB's dialect: 0 shows every change of a table in its changelog, more lets changes of one key within an epoch be one.",
    ),
    setting(
        "client_encoding",
        "UTF8",
        Check::OneOf(&["UTF8", "UTF-8", "utf8", "utf-8", "UNICODE", "SQL_ASCII"]),
        true,
        "Encoding of text; always UTF-8.",
    ),
    setting(
        "client_min_messages",
        "notice",
        Check::Any,
        false,
        "Which messages are sent; all are.",
    ),
    setting(
        "consistency",
        "strict",
        Check::OneOf(&["strict", "eventual"]),
        false,
        "Whether a read waits until everything written before it is visible.",
    ),
    setting(
        "DateStyle",
        "ISO, MDY",
        Check::Any,
        true,
        "How dates are shown; always ISO.",
    ),
    setting(
        "default_transaction_isolation",
        "serializable",
        Check::Any,
        false,
        "Isolation of transactions.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        Check::Boolean,
        false,
        "Whether transactions are read-only.",
    ),
    setting(
        "dialect",
        "postgres",
        Check::OneOf(&["postgres", "ksqldb"]),
        false,
        "Whose meaning of SQL is followed.",
    ),
    setting(
        "emit_changes_epoch",
        "off",
        Check::Boolean,
        false,
        "Whether EMIT CHANGES shows the epoch of each change.",
    ),
    setting(
        "emit_changes_op",
        "on",
        Check::Boolean,
        false,
        "Whether EMIT CHANGES of a result that can change shows + and - before each row.",
    ),
    setting(
        "emit_changes_tombstones",
        "on",
        Check::Boolean,
        false,
        "Whether EMIT CHANGES in ksqlDB's dialect shows a row that goes as its key and NULLs; a LIMIT counts it anyway.",
    ),
    setting(
        "extra_float_digits",
        "1",
        Check::Integer,
        false,
        "Digits of floating-point numbers; always as many as needed.",
    ),
    setting(
        "fetch_timeout",
        "0",
        Check::Milliseconds,
        false,
        "How long FETCH waits for rows of an endless query; 0 is for ever.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "600000",
        Check::Milliseconds,
        false,
        "How long a session may idle in a transaction.",
    ),
    setting(
        "idle_session_timeout",
        "0",
        Check::Milliseconds,
        false,
        "How long a session may idle.",
    ),
    setting(
        "integer_datetimes",
        "on",
        Check::Fixed,
        true,
        "Times are whole numbers.",
    ),
    setting(
        "IntervalStyle",
        "postgres",
        Check::Any,
        true,
        "How intervals are shown.",
    ),
    setting(
        "is_superuser",
        "on",
        Check::Fixed,
        true,
        "Whether the user may do everything.",
    ),
    setting(
        "ksql.output.topic.name.prefix",
        "",
        Check::Any,
        false,
        "In ksqlDB's dialect: begins the names of topics that CREATE … AS makes without being told a name.",
    ),
    setting(
        "ksql.persistence.default.format.key",
        "KAFKA",
        Check::OneOf(&["KAFKA", "JSON", "DELIMITED", "NONE"]),
        false,
        "In ksqlDB's dialect: format of keys where a statement names none.",
    ),
    setting(
        "ksql.persistence.default.format.value",
        "JSON",
        Check::OneOf(&["JSON", "DELIMITED", "KAFKA", "NONE"]),
        false,
        "In ksqlDB's dialect: format of values where a statement names none.",
    ),
    setting(
        "lock_timeout",
        "0",
        Check::Milliseconds,
        false,
        "Accepted and not used.",
    ),
    setting(
        "max_identifier_length",
        "63",
        Check::Fixed,
        false,
        "Length of names that is shown in full.",
    ),
    setting(
        "password_encryption",
        "scram-sha-256",
        Check::Fixed,
        false,
        "How passwords are kept.",
    ),
    setting(
        "search_path",
        "public",
        Check::Any,
        false,
        "Schemas that names are looked up in.",
    ),
    setting(
        "server_encoding",
        "UTF8",
        Check::Fixed,
        true,
        "Encoding of text; always UTF-8.",
    ),
    setting(
        "server_version",
        "16.0",
        Check::Fixed,
        true,
        "Version of PostgreSQL whose clients are served.",
    ),
    setting(
        "server_version_num",
        "160000",
        Check::Fixed,
        false,
        "The same as a number.",
    ),
    setting(
        "session_authorization",
        "millpond",
        Check::Fixed,
        true,
        "The user.",
    ),
    setting(
        "standard_conforming_strings",
        "on",
        Check::Fixed,
        true,
        "Backslashes in strings are plain.",
    ),
    setting(
        "state_limit",
        "0",
        Check::Bytes,
        false,
        "Bytes of state from which on a query that is created now is stopped; 0 is no limit.",
    ),
    setting(
        "statement_timeout",
        "0",
        Check::Milliseconds,
        false,
        "How long a statement may run; 0 is for ever.",
    ),
    setting(
        "TimeZone",
        "UTC",
        Check::TimeZone,
        true,
        "Time zone that times are shown in.",
    ),
    setting(
        "transaction_isolation",
        "serializable",
        Check::Any,
        false,
        "Isolation of the transaction.",
    ),
];

const fn setting(
    name: &'static str,
    default: &'static str,
    check: Check,
    reported: bool,
    description: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        check,
        reported,
        description,
    }
}

/// A session's settings: defaults, and what was set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By lower-case name.
    values: BTreeMap<String, String>,
    /// What this session has in place of a setting's default.
    fixed: Vec<(&'static str, String)>,
    /// To be told to the client.
    unreported: Vec<&'static str>,
    /// Values before `SET LOCAL`, to be put back at the end of the transaction.
    local: Vec<(String, Option<String>)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            fixed: Vec::new(),
            unreported: SETTINGS
                .iter()
                .filter(|s| s.reported)
                .map(|s| s.name)
                .collect(),
            local: Vec::new(),
        }
    }
}

impl Settings {
    /// Sets a value that a client gives when it connects; what is unknown is left alone.
    pub fn set_at_startup(&mut self, name: &str, value: &str) -> Result<()> {
        if name == "options" {
            // `-c name=value -c name=value`, as libpq sends it.
            for option in value.split("-c").skip(1) {
                if let Some((name, value)) = option.trim().split_once('=') {
                    self.set(name.trim(), value.trim())?;
                }
            }
            return Ok(());
        }
        match find(name) {
            Some(setting) if matches!(setting.check, Check::Fixed) => Ok(()),
            Some(_) => self.set(name, value),
            None => Ok(()),
        }
    }

    /// Gives a setting another default for this session.
    pub fn fix(&mut self, name: &'static str, value: &str) {
        self.fixed.push((name, value.to_owned()));
    }

    /// `SET`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(setting) = find(name) else {
            // Names with a dot belong to others: `ksql.…`, extensions.
            if name.contains('.') {
                self.values
                    .insert(name.to_ascii_lowercase(), value.to_owned());
                return Ok(());
            }
            return Err(unknown(name));
        };
        let value = setting.checked(value)?;
        self.values.insert(setting.name.to_ascii_lowercase(), value);
        if setting.reported && !self.unreported.contains(&setting.name) {
            self.unreported.push(setting.name);
        }
        Ok(())
    }

    /// `SET LOCAL`: until the end of the transaction.
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let before = self.values.get(&key).cloned();
        self.set(name, value)?;
        self.local.push((key, before));
        Ok(())
    }

    /// Puts back what `SET LOCAL` has changed.
    pub fn end_transaction(&mut self) {
        while let Some((name, before)) = self.local.pop() {
            match before {
                Some(value) => self.values.insert(name.clone(), value),
                None => self.values.remove(&name),
            };
            if let Some(setting) = find(&name).filter(|setting| setting.reported) {
                self.unreported.push(setting.name);
            }
        }
    }

    /// `RESET name`.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        match find(name) {
            Some(setting) => {
                self.values.remove(&key);
                if setting.reported {
                    self.unreported.push(setting.name);
                }
                Ok(())
            }
            None if name.contains('.') => {
                self.values.remove(&key);
                Ok(())
            }
            None => Err(unknown(name)),
        }
    }

    /// `RESET ALL`.
    pub fn reset_all(&mut self) {
        self.values.clear();
        self.unreported = SETTINGS
            .iter()
            .filter(|s| s.reported)
            .map(|s| s.name)
            .collect();
    }

    /// `SHOW name`: the name as it is spelled, and the value.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        let key = name.to_ascii_lowercase();
        match (find(name), self.values.get(&key)) {
            (Some(setting), value) => Ok((
                setting.name.to_owned(),
                value
                    .cloned()
                    .unwrap_or_else(|| self.get(setting.name).to_owned()),
            )),
            (None, Some(value)) => Ok((name.to_owned(), value.clone())),
            (None, None) => Err(unknown(name)),
        }
    }

    /// `SHOW ALL`: name, value, description.
    pub fn all(&self) -> Vec<(String, String, String)> {
        SETTINGS
            .iter()
            .map(|setting| {
                let value = self.get(setting.name).to_owned();
                (
                    setting.name.to_owned(),
                    value,
                    setting.description.to_owned(),
                )
            })
            .collect()
    }

    /// Values that the client has not been told of.
    pub fn take_reported(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.unreported)
            .into_iter()
            .map(|name| (name.to_owned(), self.get(name).to_owned()))
            .collect()
    }

    pub fn dialect(&self) -> sql::Dialect {
        match self.get("dialect") {
            "ksqldb" => sql::Dialect::Ksqldb,
            _ => sql::Dialect::Postgres,
        }
    }

    pub fn dialect_name(&self) -> &str {
        self.get("dialect")
    }

    pub fn time_zone(&self) -> &str {
        self.get("TimeZone")
    }

    /// Whether new queries begin with what there is already.
    pub fn begins_with_history(&self) -> bool {
        self.get("auto.offset.reset") == "earliest"
    }

    /// Whether a read waits for all that was written before.
    pub fn is_strict(&self) -> bool {
        self.get("consistency") == "strict"
    }

    /// Whether a new table's changelog shows each change that each input row makes.
    pub fn emits_every_change(&self) -> bool {
        self.dialect_name() == "ksqldb" && self.get("cache.max.bytes.buffering") == "0"
    }

    /// Formats of relations that neither name one nor inherit one.
    pub fn default_formats(&self) -> DefaultFormats {
        let default = RecordFormat::default();
        match self.dialect() {
            sql::Dialect::Postgres => DefaultFormats {
                key: default.key,
                value: default.value,
                is_strict: false,
            },
            sql::Dialect::Ksqldb => DefaultFormats {
                key: format_of(self.get("ksql.persistence.default.format.key"))
                    .unwrap_or(default.key),
                value: format_of(self.get("ksql.persistence.default.format.value"))
                    .unwrap_or(default.value),
                is_strict: true,
            },
        }
    }

    /// The topic of what `CREATE … AS` makes, unless the statement names one.
    pub fn topic_of_result(&self, name: &str) -> String {
        match self.dialect() {
            sql::Dialect::Postgres => name.to_owned(),
            sql::Dialect::Ksqldb => {
                format!("{}{name}", self.get("ksql.output.topic.name.prefix"))
            }
        }
    }

    /// Which scans pull queries in ksqlDB's dialect may make.
    pub fn pull_scans(&self) -> planner::bind::PullScans {
        let allowed = |name: &str| !self.get(name).eq_ignore_ascii_case("false");
        planner::bind::PullScans {
            tables: allowed("ksql.query.pull.table.scan.enabled"),
            ranges: allowed("ksql.query.pull.range.scan.enabled"),
        }
    }

    /// How many elements ksqlDB's aggregates that collect take.
    pub fn collect_limits(&self) -> planner::bind::CollectLimits {
        // ksqlDB's own limit is as good as none.
        let limit = |name: &str| {
            let limit: Option<u64> = self.get(name).parse().ok();
            limit.filter(|limit| (1..i32::MAX as u64).contains(limit))
        };
        planner::bind::CollectLimits {
            list: limit("ksql.functions.collect_list.limit"),
            set: limit("ksql.functions.collect_set.limit"),
        }
    }

    pub fn emits_epoch(&self) -> bool {
        self.get("emit_changes_epoch") == "on"
    }

    pub fn emits_op(&self) -> bool {
        self.get("emit_changes_op") == "on" && self.get("dialect") == "postgres"
    }

    /// Whether push queries of ksqlDB's dialect show rows that go.
    pub fn emits_tombstones(&self) -> bool {
        self.get("emit_changes_tombstones") == "on"
    }

    /// Bytes of state that a new query may have.
    pub fn state_limit(&self) -> Option<u64> {
        let bytes: u64 = self.get("state_limit").parse().unwrap_or(0);
        (bytes > 0).then_some(bytes)
    }

    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    pub fn fetch_timeout(&self) -> Option<Duration> {
        self.duration("fetch_timeout")
    }

    pub fn idle_timeout(&self) -> Option<Duration> {
        self.duration("idle_session_timeout")
    }

    pub fn idle_in_transaction_timeout(&self) -> Option<Duration> {
        self.duration("idle_in_transaction_session_timeout")
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        let millis: u64 = self.get(name).parse().unwrap_or(0);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    fn get(&self, name: &str) -> &str {
        match self.values.get(&name.to_ascii_lowercase()) {
            Some(value) => value,
            None => match self.fixed.iter().find(|(fixed, _)| *fixed == name) {
                Some((_, value)) => value,
                None => find(name).map_or("", |setting| setting.default),
            },
        }
    }
}

impl Setting {
    fn checked(&self, value: &str) -> Result<String> {
        let invalid = || {
            StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!("invalid value for parameter \"{}\": \"{value}\"", self.name),
            )
        };
        match &self.check {
            Check::Any => Ok(value.to_owned()),
            Check::Fixed => Err(StatementError::new(
                StatementErrorKind::ObjectNotInPrerequisiteState,
                format!("parameter \"{}\" cannot be changed", self.name),
            )
            .into()),
            Check::OneOf(values) => values
                .iter()
                .find(|allowed| allowed.eq_ignore_ascii_case(value))
                .map(|allowed| (*allowed).to_owned())
                .ok_or_else(|| {
                    invalid()
                        .with_hint(format!("Available values: {}.", values.join(", ")))
                        .into()
                }),
            Check::Boolean => match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" | "t" | "y" => Ok("on".into()),
                "off" | "false" | "no" | "0" | "f" | "n" => Ok("off".into()),
                _ => Err(invalid().into()),
            },
            Check::Milliseconds => {
                let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
                let unit: u64 = match value[digits.len()..].trim() {
                    "" | "ms" => 1,
                    "s" => 1_000,
                    "min" => 60_000,
                    "h" => 3_600_000,
                    "d" => 86_400_000,
                    _ => return Err(invalid().into()),
                };
                digits
                    .parse::<u64>()
                    .ok()
                    .and_then(|number| number.checked_mul(unit))
                    .filter(|millis| *millis <= i32::MAX as u64)
                    .map(|millis| millis.to_string())
                    .ok_or_else(|| invalid().into())
            }
            Check::Integer => match value.parse::<i32>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(invalid().into()),
            },
            Check::Bytes => match parse_bytes(value) {
                Some(bytes) => Ok(bytes.to_string()),
                None => Err(invalid().into()),
            },
            Check::TimeZone => {
                if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") {
                    return Ok("UTC".into());
                }
                let is_offset = value.parse::<chrono::FixedOffset>().is_ok();
                let is_name = chrono_tz::TZ_VARIANTS
                    .iter()
                    .find(|zone| zone.name().eq_ignore_ascii_case(value));
                match (is_name, is_offset) {
                    (Some(zone), _) => Ok(zone.name().to_owned()),
                    (None, true) => Ok(value.to_owned()),
                    (None, false) => Err(invalid().into()),
                }
            }
        }
    }
}

/// A number of bytes as in `1GB`, `64 MiB`, `4096`.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS
        .iter()
        .find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> crate::error::Error {
    let names: Vec<String> = SETTINGS
        .iter()
        .map(|setting| setting.name.to_ascii_lowercase())
        .collect();
    let error = StatementError::new(
        StatementErrorKind::UndefinedObject,
        format!("unrecognized configuration parameter \"{name}\""),
    );
    match crate::catalog::closest(&name.to_ascii_lowercase(), names.iter()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")).into(),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)], show: &str) -> String {
        let mut settings = Settings::default();
        for (name, value) in set {
            if let Err(error) = settings.set(name, value) {
                return format!("error: {error}");
            }
        }
        match settings.show(show) {
            Ok((name, value)) => format!("{name} = {value}"),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn values_are_checked_and_written_in_one_way() {
        assert_eq!(check(&[], "timezone"), "TimeZone = UTC");
        assert_eq!(
            check(&[("timezone", "europe/oslo")], "TimeZone"),
            "TimeZone = Europe/Oslo"
        );
        assert_eq!(
            check(&[("statement_timeout", "2s")], "statement_timeout"),
            "statement_timeout = 2000"
        );
        assert_eq!(
            check(&[("state_limit", "64 MB")], "state_limit"),
            "state_limit = 67108864"
        );
        assert_eq!(
            check(&[("Dialect", "KSQLDB")], "dialect"),
            "dialect = ksqldb"
        );
        assert_eq!(
            check(&[("consistency", "maybe")], "x"),
            "error: invalid value for parameter \"consistency\": \"maybe\""
        );
        assert_eq!(
            check(&[], "ksql.nothing"),
            "error: unrecognized configuration parameter \"ksql.nothing\""
        );
        assert_eq!(
            check(&[("ksql.suppress", "1")], "ksql.suppress"),
            "ksql.suppress = 1"
        );
    }

    #[test]
    fn local_values_end_with_the_transaction() {
        let mut settings = Settings::default();
        settings.set_local("dialect", "ksqldb").unwrap();
        assert_eq!(settings.dialect_name(), "ksqldb");
        settings.end_transaction();
        assert_eq!(settings.dialect_name(), "postgres");
    }
}
