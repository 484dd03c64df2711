//! What can be set of a topic, by Kafka's names and with Kafka's defaults.
//!
//! What clients commonly set is taken, checked and told back. Of these, clean-up, retention, sizes
//! and ages of segments, sizes of messages and the rules about timestamps have an effect; the others
//! are about replicas and files that are not here, or fine-tune compaction.

use std::collections::BTreeMap;

use log_store::{Cleanup, TopicConfig};

use super::TopicError;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    Boolean,
    Int,
    Long,
    Double,
    String,
    List,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingSource {
    /// Somebody has set it.
    Set,
    Default,
}

/// A setting of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    pub default: &'static str,
    pub kind: SettingKind,
    pub source: SettingSource,
}

/// What a topic's settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub message_bytes_max: usize,
    pub append_time: bool,
    /// Replicas that must be in sync where a producer asks for all of them.
    pub replicas_min: u32,
    /// How far behind now a record's time may be, milliseconds.
    pub behind_ms_max: i64,
    /// How far ahead of now.
    pub ahead_ms_max: i64,
}

pub(super) struct Known {
    name: &'static str,
    pub(super) default: &'static str,
    kind: SettingKind,
    check: Check,
}

enum Check {
    Boolean,
    /// A whole number in a range.
    Number(i64, i64),
    /// A fraction of one.
    Ratio,
    OneOf(&'static [&'static str]),
    /// A list of some of these.
    SomeOf(&'static [&'static str]),
    Any,
}

const fn number(name: &'static str, default: &'static str, least: i64) -> Known {
    Known {
        name,
        default,
        kind: SettingKind::Long,
        check: Check::Number(least, i64::MAX),
    }
}

const fn int(name: &'static str, default: &'static str, least: i64) -> Known {
    Known {
        name,
        default,
        kind: SettingKind::Int,
        check: Check::Number(least, i32::MAX as i64),
    }
}

const fn boolean(name: &'static str, default: &'static str) -> Known {
    Known {
        name,
        default,
        kind: SettingKind::Boolean,
        check: Check::Boolean,
    }
}

const fn other(
    name: &'static str,
    default: &'static str,
    kind: SettingKind,
    check: Check,
) -> Known {
    Known {
        name,
        default,
        kind,
        check,
    }
}

const KNOWN: &[Known] = &[
    other(
        "cleanup.policy",
        "delete",
        SettingKind::List,
        Check::SomeOf(&["delete", "compact"]),
    ),
    other(
        "compression.type",
        "producer",
        SettingKind::String,
        Check::OneOf(&[
            "producer",
            "uncompressed",
            "none",
            "gzip",
            "snappy",
            "lz4",
            "zstd",
        ]),
    ),
    number("delete.retention.ms", "86400000", 0),
    number("file.delete.delay.ms", "60000", 0),
    number("flush.messages", "9223372036854775807", 1),
    number("flush.ms", "9223372036854775807", 0),
    other(
        "follower.replication.throttled.replicas",
        "",
        SettingKind::List,
        Check::Any,
    ),
    int("index.interval.bytes", "4096", 0),
    other(
        "leader.replication.throttled.replicas",
        "",
        SettingKind::List,
        Check::Any,
    ),
    number("max.compaction.lag.ms", "9223372036854775807", 1),
    int("max.message.bytes", "1048588", 0),
    number("message.timestamp.after.max.ms", "3600000", 0),
    number("message.timestamp.before.max.ms", "9223372036854775807", 0),
    other(
        "message.timestamp.type",
        "CreateTime",
        SettingKind::String,
        Check::OneOf(&["CreateTime", "LogAppendTime"]),
    ),
    other(
        "min.cleanable.dirty.ratio",
        "0.5",
        SettingKind::Double,
        Check::Ratio,
    ),
    number("min.compaction.lag.ms", "0", 0),
    int("min.insync.replicas", "1", 1),
    boolean("preallocate", "false"),
    number("retention.bytes", "-1", -1),
    number("retention.ms", "604800000", -1),
    int("segment.bytes", "1073741824", 1024),
    int("segment.index.bytes", "10485760", 4),
    number("segment.jitter.ms", "0", 0),
    number("segment.ms", "604800000", 1),
    boolean("unclean.leader.election.enable", "false"),
];

pub(super) fn known(name: &str) -> Result<&'static Known, TopicError> {
    KNOWN
        .iter()
        .find(|known| known.name == name)
        .ok_or_else(|| TopicError::InvalidConfig(format!("Unknown topic config name: {name}")))
}

/// Checks a setting; gives the value as it is kept.
pub(super) fn check(name: &str, value: &str) -> Result<String, TopicError> {
    let known = known(name)?;
    let value = value.trim();
    let fits = match known.check {
        Check::Boolean => matches!(value, "true" | "false"),
        Check::Number(least, most) => value
            .parse::<i64>()
            .is_ok_and(|number| (least..=most).contains(&number)),
        Check::Ratio => value
            .parse::<f64>()
            .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
        Check::OneOf(choices) => choices.contains(&value),
        Check::SomeOf(choices) => {
            !value.is_empty() && list(value).all(|item| choices.contains(&item))
        }
        Check::Any => true,
    };
    if fits {
        return Ok(value.to_owned());
    }
    Err(TopicError::InvalidConfig(format!(
        "Invalid value {value} for configuration {name}"
    )))
}

/// Whether a setting is a list that can be added to.
pub(super) fn is_list(name: &str) -> Result<bool, TopicError> {
    Ok(known(name)?.kind == SettingKind::List)
}

/// The items of a list.
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// All settings of a topic, those that were set and the defaults of the others.
pub(super) fn all(set: &BTreeMap<String, String>) -> Vec<Setting> {
    KNOWN
        .iter()
        .map(|known| {
            let value = set.get(known.name);
            Setting {
                name: known.name,
                value: value.map_or_else(|| known.default.to_owned(), Clone::clone),
                default: known.default,
                kind: known.kind,
                source: match value {
                    Some(_) => SettingSource::Set,
                    None => SettingSource::Default,
                },
            }
        })
        .collect()
}

fn number_of(set: &BTreeMap<String, String>, name: &str) -> i64 {
    let default = KNOWN
        .iter()
        .find(|known| known.name == name)
        .map_or("0", |known| known.default);
    let value = set.get(name).map_or(default, String::as_str);
    // Values were checked when they were set.
    value.parse().unwrap_or(i64::MAX)
}

fn word_of<'a>(set: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    set.get(name).map_or("", String::as_str)
}

/// What the log must know of a topic's settings.
pub(super) fn apply(set: &BTreeMap<String, String>, config: &mut TopicConfig) {
    let bound = |name| u64::try_from(number_of(set, name)).ok();
    // Whoever asks for both keeps the last row of each key: that keeps more.
    let compacted = list(word_of(set, "cleanup.policy")).any(|item| item == "compact");
    if compacted {
        config.cleanup = Cleanup::Compact {
            tombstone_retention_ms: number_of(set, "delete.retention.ms").unsigned_abs(),
        };
        (config.retention_ms, config.retention_bytes) = (None, None);
    } else {
        config.cleanup = Cleanup::Delete;
        config.retention_ms = bound("retention.ms");
        config.retention_bytes = bound("retention.bytes");
    }
    config.segment_bytes = set
        .contains_key("segment.bytes")
        .then(|| number_of(set, "segment.bytes").unsigned_abs());
    // Only closed segments are compacted.
    let age_max = match compacted {
        true => number_of(set, "max.compaction.lag.ms"),
        false => i64::MAX,
    };
    config.segment_ms = Some(number_of(set, "segment.ms").min(age_max).unsigned_abs());
}

/// The settings that a topic made by SQL has, from what the log knows.
pub(super) fn of_config(config: &TopicConfig) -> BTreeMap<String, String> {
    let mut set = BTreeMap::new();
    let mut put = |name: &str, value: String| set.insert(name.to_owned(), value);
    match config.cleanup {
        Cleanup::Compact {
            tombstone_retention_ms,
        } => {
            put("cleanup.policy", "compact".into());
            put("delete.retention.ms", tombstone_retention_ms.to_string());
        }
        Cleanup::Delete => {}
    }
    let bound = |bound: Option<u64>| bound.map_or_else(|| "-1".into(), |bound| bound.to_string());
    put("retention.ms", bound(config.retention_ms));
    put("retention.bytes", bound(config.retention_bytes));
    if let Some(bytes) = config.segment_bytes {
        put("segment.bytes", bytes.to_string());
    }
    if let Some(age) = config.segment_ms {
        put("segment.ms", age.to_string());
    }
    set
}

/// Whether records get the time at which they are appended.
pub(crate) fn has_append_time(set: &BTreeMap<String, String>) -> bool {
    word_of(set, "message.timestamp.type") == "LogAppendTime"
}

/// What the settings say of records.
pub(super) fn rules(set: &BTreeMap<String, String>) -> Rules {
    Rules {
        message_bytes_max: usize::try_from(number_of(set, "max.message.bytes")).unwrap_or(0),
        append_time: has_append_time(set),
        replicas_min: u32::try_from(number_of(set, "min.insync.replicas")).unwrap_or(1),
        behind_ms_max: number_of(set, "message.timestamp.before.max.ms"),
        ahead_ms_max: number_of(set, "message.timestamp.after.max.ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_unknown_names_refused() {
        assert_eq!(check("retention.ms", " -1 "), Ok("-1".into()));
        assert_eq!(
            check("cleanup.policy", "compact,delete").as_deref(),
            Ok("compact,delete")
        );
        for (name, value) in [
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("cleanup.policy", "burn"),
            ("cleanup.policy", ""),
            ("min.cleanable.dirty.ratio", "2"),
            ("retention", "1"),
            ("preallocate", "yes"),
        ] {
            assert!(
                matches!(check(name, value), Err(TopicError::InvalidConfig(_))),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn defaults_are_valid_and_are_kafkas() {
        for known in KNOWN {
            assert!(check(known.name, known.default).is_ok(), "{}", known.name);
        }
        let settings = all(&BTreeMap::new());
        let retention = settings.iter().find(|s| s.name == "retention.ms");
        assert_eq!(retention.map(|s| s.value.as_str()), Some("604800000"));
    }

    #[test]
    fn the_log_is_told() {
        let mut set: BTreeMap<String, String> =
            [("cleanup.policy", "compact"), ("segment.bytes", "2048")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let mut config = TopicConfig::ingested("t", 1);
        apply(&set, &mut config);
        assert_eq!(config.retention_ms, None);
        assert_eq!(config.segment_bytes, Some(2048));
        assert_eq!(config.segment_ms, Some(604_800_000));
        assert!(matches!(
            config.cleanup,
            Cleanup::Compact {
                tombstone_retention_ms: 86_400_000
            }
        ));
        set.insert("max.compaction.lag.ms".into(), "1000".into());
        apply(&set, &mut config);
        assert_eq!(config.segment_ms, Some(1000));
        set.insert("cleanup.policy".into(), "delete".into());
        apply(&set, &mut config);
        assert_eq!(config.segment_ms, Some(604_800_000));
        apply(&BTreeMap::new(), &mut config);
        assert_eq!(config.retention_ms, Some(604_800_000));
    }
}
