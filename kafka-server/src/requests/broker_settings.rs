//! The settings of this node, by Kafka's names: what it was started with, and what holds for topics that do not say
//! otherwise. They are for reading; Kafka's settings that have no meaning here are not among them.

use engine::topics::{Setting, SettingKind, SettingSource, Topics};

use super::NODE_ID;
use crate::coordinator::Node;
use crate::server::{KafkaConfig, Shared};

/// A node's settings for what topics do not say: its name for one, and the topics'.
const OF_TOPICS: &[(&str, &str)] = &[
    ("compression.type", "compression.type"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    (
        "log.message.timestamp.after.max.ms",
        "message.timestamp.after.max.ms",
    ),
    (
        "log.message.timestamp.before.max.ms",
        "message.timestamp.before.max.ms",
    ),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.ms", "segment.ms"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
];

/// All of them by name.
pub fn all(shared: &Shared, node: &Node) -> Vec<Setting> {
    let protocol = match (
        shared.config.encryption.required,
        shared.engine.asks_for_passwords(),
    ) {
        (true, true) => "SASL_SSL",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (false, false) => "PLAINTEXT",
    };
    let mut settings = of_config(&shared.config, protocol, node);
    for of_topic in Topics::default_settings() {
        let name = OF_TOPICS.iter().find(|(_, topic)| *topic == of_topic.name);
        settings.extend(name.map(|&(name, _)| Setting { name, ..of_topic }));
    }
    settings.sort_by_key(|setting| setting.name);
    settings
}

fn of_config(config: &KafkaConfig, protocol: &str, node: &Node) -> Vec<Setting> {
    let (groups, transactions) = (&config.coordinator.groups, &config.coordinator.transactions);
    let host = match node.host.contains(':') {
        true => format!("[{}]", &*node.host),
        false => node.host.to_string(),
    };
    vec![
        string(
            "advertised.listeners",
            format!("{protocol}://{host}:{}", node.port),
        ),
        boolean("auto.create.topics.enable", config.auto_create_topics),
        int("broker.id", NODE_ID, "-1"),
        int("default.replication.factor", 1, "1"),
        boolean("delete.topic.enable", true),
        int(
            "group.initial.rebalance.delay.ms",
            groups.group.initial_rebalance_delay_ms,
            "3000",
        ),
        int(
            "group.max.session.timeout.ms",
            groups.group.session_timeout_max_ms,
            "1800000",
        ),
        int("group.max.size", groups.group.members_max, "2147483647"),
        int(
            "group.min.session.timeout.ms",
            groups.group.session_timeout_min_ms,
            "6000",
        ),
        int("max.connections", config.connections_max, "2147483647"),
        int("node.id", NODE_ID, "-1"),
        int("num.partitions", config.partitions_default, "1"),
        int(
            "offset.metadata.max.bytes",
            groups.offset_metadata_bytes_max,
            "4096",
        ),
        int(
            "offsets.retention.minutes",
            groups.offsets_retention_ms / 60_000,
            "10080",
        ),
        int("offsets.topic.num.partitions", 1, "50"),
        int("offsets.topic.replication.factor", 1, "3"),
        long("queued.max.request.bytes", config.requests_bytes_max, "-1"),
        int(
            "socket.request.max.bytes",
            config.request_bytes_max,
            "104857600",
        ),
        int(
            "transaction.max.timeout.ms",
            transactions.timeout_max_ms,
            "900000",
        ),
        int("transaction.state.log.num.partitions", 1, "50"),
        int("transaction.state.log.replication.factor", 1, "3"),
        int(
            "transactional.id.expiration.ms",
            transactions.id_retention_ms,
            "604800000",
        ),
    ]
}

fn setting(name: &'static str, value: String, default: &'static str, kind: SettingKind) -> Setting {
    let source = match value == default {
        true => SettingSource::Default,
        false => SettingSource::Set,
    };
    Setting {
        name,
        value,
        default,
        kind,
        source,
    }
}

fn boolean(name: &'static str, value: bool) -> Setting {
    setting(name, value.to_string(), "true", SettingKind::Boolean)
}

fn int(name: &'static str, value: impl ToString, default: &'static str) -> Setting {
    setting(name, value.to_string(), default, SettingKind::Int)
}

fn long(name: &'static str, value: impl ToString, default: &'static str) -> Setting {
    setting(name, value.to_string(), default, SettingKind::Long)
}

fn string(name: &'static str, value: String) -> Setting {
    setting(name, value, "", SettingKind::String)
}
