//! The settings in force: flags over `MILLPOND_*` variables over the configuration file over defaults.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::ProjectDirs;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cli::{Auth, Durability, LogFormat, Settings};

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A value of the wrong type, an unknown key, or a file that is not TOML.
    #[error("{0}")]
    Layers(#[from] Box<figment::Error>),
    /// A file named by the user does not exist.
    #[error("configuration file \"{}\" does not exist", .0.display())]
    NoFile(PathBuf),
    /// A value that reads as the right type and means nothing.
    #[error("invalid value for {key}: \"{value}\" ({expected})")]
    Value {
        key: &'static str,
        value: String,
        expected: &'static str,
    },
    /// A setting without the one that it needs.
    #[error("{0} needs {1}")]
    Together(&'static str, &'static str),
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Address to listen on.
    pub listen: IpAddr,
    /// Port for PostgreSQL clients.
    pub pg_port: u16,
    /// Whether the port was chosen by the user, so that no other may be taken instead.
    pub pg_port_chosen: bool,
    /// Port for Kafka clients.
    pub kafka_port: u16,
    /// Whether that port was chosen by the user.
    pub kafka_port_chosen: bool,
    /// Where Kafka clients are told to connect.
    pub kafka_advertised: Option<(String, Option<u16>)>,
    /// Whether topics that Kafka clients name are made.
    pub kafka_auto_create_topics: bool,
    /// Partitions of topics of which nobody says how many.
    pub kafka_partitions: u32,
    /// Whether clients are asked for a password.
    pub auth: Auth,
    /// Files with the certificate and its private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether connections must be encrypted.
    pub tls_required: bool,
    /// Whether other machines may connect though passwords or encryption are missing.
    pub insecure: bool,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Threads that maintain views; `None` leaves it to the engine.
    pub workers: Option<usize>,
    /// Bytes for pull queries.
    pub query_memory_bytes: usize,
    /// Bytes for the state of continuous queries; `None` is without a bound.
    pub state_memory_bytes: Option<usize>,
    /// Connections at a time.
    pub max_connections: usize,
    /// Longest time of a statement.
    pub statement_timeout: Option<Duration>,
    /// Longest time a session may stand idle.
    pub idle_timeout: Option<Duration>,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// What to log.
    pub log_level: String,
    /// How to log.
    pub log_format: LogFormat,
}

/// The layers merged, with every value still as it was written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layers {
    data_dir: Option<PathBuf>,
    listen: String,
    pg_port: Option<u16>,
    kafka_port: Option<u16>,
    kafka_advertised: Option<String>,
    kafka_auto_create_topics: bool,
    kafka_partitions: u32,
    auth: Auth,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_required: bool,
    insecure: bool,
    durability: Durability,
    workers: Option<usize>,
    query_memory: String,
    state_memory: String,
    max_connections: usize,
    statement_timeout: String,
    idle_timeout: String,
    checkpoint_interval: String,
    log_level: String,
    log_format: LogFormat,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            data_dir: None,
            listen: "127.0.0.1".to_owned(),
            pg_port: None,
            kafka_port: None,
            kafka_advertised: None,
            kafka_auto_create_topics: true,
            kafka_partitions: 1,
            auth: Auth::Auto,
            tls_cert: None,
            tls_key: None,
            tls_required: false,
            insecure: false,
            durability: Durability::Sync,
            workers: None,
            query_memory: "1GiB".to_owned(),
            state_memory: "auto".to_owned(),
            max_connections: 200,
            statement_timeout: "0".to_owned(),
            idle_timeout: "0".to_owned(),
            checkpoint_interval: "10s".to_owned(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Pretty,
        }
    }
}

const PG_PORT: u16 = 5432;
const KAFKA_PORT: u16 = 9092;

impl Config {
    /// Layers `settings` (flags and environment) over the configuration file and the defaults.
    pub fn load(settings: &Settings) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Layers::default()));
        if let Some(file) = config_file(settings.config.as_deref())? {
            figment = figment.merge(Toml::file_exact(file));
        }
        let layers: Layers = figment
            .merge(Serialized::defaults(settings))
            .extract()
            .map_err(Box::new)?;
        Self::check(layers)
    }

    fn check(layers: Layers) -> Result<Self, ConfigError> {
        let listen = match layers.listen.as_str() {
            "localhost" => "127.0.0.1",
            other => other,
        };
        let listen = listen.parse().map_err(|_| ConfigError::Value {
            key: "listen",
            value: layers.listen.clone(),
            expected: "expected an IP address such as 127.0.0.1 or 0.0.0.0",
        })?;
        let least_one = [
            ("workers", layers.workers == Some(0)),
            ("max_connections", layers.max_connections == 0),
            ("kafka_partitions", layers.kafka_partitions == 0),
        ];
        if let Some((key, _)) = least_one.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::Value {
                key,
                value: "0".to_owned(),
                expected: "expected at least 1",
            });
        }
        let tls = match (layers.tls_cert, layers.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) if layers.tls_required => {
                return Err(ConfigError::Together("tls_required", "tls_cert"));
            }
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Together("tls_cert", "tls_key")),
            (None, Some(_)) => return Err(ConfigError::Together("tls_key", "tls_cert")),
        };
        let checkpoint_interval = parse_time("checkpoint_interval", &layers.checkpoint_interval)?;
        Ok(Self {
            data_dir: layers.data_dir.unwrap_or_else(default_data_dir),
            listen,
            pg_port: layers.pg_port.unwrap_or(PG_PORT),
            pg_port_chosen: layers.pg_port.is_some(),
            // Who takes any port for PostgreSQL's clients runs more than one server here.
            kafka_port: match (layers.kafka_port, layers.pg_port) {
                (Some(port), _) => port,
                (None, Some(0)) => 0,
                (None, _) => KAFKA_PORT,
            },
            kafka_port_chosen: layers.kafka_port.is_some(),
            kafka_advertised: match &layers.kafka_advertised {
                None => None,
                Some(address) => Some(parse_host(address)?),
            },
            kafka_auto_create_topics: layers.kafka_auto_create_topics,
            kafka_partitions: layers.kafka_partitions,
            auth: layers.auth,
            tls,
            tls_required: layers.tls_required,
            insecure: layers.insecure,
            durability: layers.durability,
            workers: layers.workers,
            query_memory_bytes: parse_size("query_memory", &layers.query_memory)?,
            state_memory_bytes: match layers.state_memory.as_str() {
                "none" => None,
                "auto" => physical_memory().map(|bytes| bytes / 5 * 2),
                size => Some(parse_size("state_memory", size)?),
            },
            max_connections: layers.max_connections,
            statement_timeout: parse_time("statement_timeout", &layers.statement_timeout)?,
            idle_timeout: parse_time("idle_timeout", &layers.idle_timeout)?,
            checkpoint_interval: checkpoint_interval.ok_or(ConfigError::Value {
                key: "checkpoint_interval",
                value: layers.checkpoint_interval,
                expected: "expected a time above zero",
            })?,
            log_level: layers.log_level,
            log_format: layers.log_format,
        })
    }
}

/// `host`, `host:port`, or an IPv6 address in brackets with or without a port.
fn parse_host(address: &str) -> Result<(String, Option<u16>), ConfigError> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    };
    let port = port.map(str::parse).transpose();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port {
        Ok(port) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(ConfigError::Value {
            key: "kafka_advertised",
            value: address.to_owned(),
            expected: "expected a host, or a host and a port, such as kafka.example.com:9092",
        }),
    }
}

/// Bytes that this process may use: what the machine has, or what a control group allows.
fn physical_memory() -> Option<usize> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<usize>().ok()?.checked_mul(1024)
    })?;
    let allowed = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
    .min();
    Some(allowed.map_or(total, |allowed: usize| allowed.min(total)))
}

fn directories() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "millpond")
}

/// The file the user named (which must exist), or the usual one if it exists.
fn config_file(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    match named {
        Some(path) if path.is_file() => Ok(Some(path.to_owned())),
        Some(path) => Err(ConfigError::NoFile(path.to_owned())),
        None => Ok(directories()
            .map(|dirs| dirs.config_dir().join("millpond.toml"))
            .filter(|path| path.is_file())),
    }
}

fn default_data_dir() -> PathBuf {
    directories().map_or_else(
        || PathBuf::from("millpond-data"),
        |dirs| dirs.data_local_dir().to_owned(),
    )
}

/// Where the shell keeps what was typed.
pub fn history_file() -> Option<PathBuf> {
    let dirs = directories()?;
    Some(
        dirs.state_dir()
            .unwrap_or(dirs.data_local_dir())
            .join("history"),
    )
}

/// Splits `12ms` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((
        text[..digits].parse().ok()?,
        text[digits..].trim().to_ascii_lowercase(),
    ))
}

fn parse_time(key: &'static str, text: &str) -> Result<Option<Duration>, ConfigError> {
    let millis = number_and_unit(text).and_then(|(number, unit)| {
        let factor = match unit.as_str() {
            "ms" => 1,
            "s" => 1_000,
            "min" | "m" => 60_000,
            "h" => 3_600_000,
            "" if number == 0 => 1,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    let expected = "expected a number and a unit: ms, s, min or h";
    let millis = millis.ok_or_else(|| ConfigError::Value {
        key,
        value: text.to_owned(),
        expected,
    })?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

fn parse_size(key: &'static str, text: &str) -> Result<usize, ConfigError> {
    let bytes = number_and_unit(text).and_then(|(number, unit)| {
        let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
            "" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            "t" => 40,
            _ => return None,
        };
        usize::try_from(number.checked_mul(1 << shift)?).ok()
    });
    let expected = "expected a number of bytes with KiB, MiB or GiB";
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| ConfigError::Value {
            key,
            value: text.to_owned(),
            expected,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, settings: Settings) -> Result<Config, String> {
        let layers = Figment::from(Serialized::defaults(Layers::default()))
            .merge(Toml::string(toml))
            .merge(Serialized::defaults(&settings))
            .extract::<Layers>()
            .map_err(|error| error.to_string())?;
        Config::check(layers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let settings = Settings {
            pg_port: Some(7000),
            ..Settings::default()
        };
        let config = load(
            "pg_port = 6000\ndurability = \"os\"\ncheckpoint_interval = \"2min\"",
            settings,
        )
        .expect("valid");
        assert_eq!((config.pg_port, config.pg_port_chosen), (7000, true));
        assert_eq!(config.durability, Durability::Os);
        assert_eq!(config.checkpoint_interval, Duration::from_secs(120));
        assert_eq!(config.max_connections, 200);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |toml| load(toml, Settings::default()).expect_err("a mistake");
        assert!(
            error("pgport = 1").contains("unknown field: found `pgport`"),
            "{}",
            error("pgport = 1")
        );
        assert!(error("kafka_partitions = 0").contains("at least 1"));
        assert!(error("kafka_advertised = \":9092\"").contains("expected a host"));
        assert_eq!(
            error("query_memory = \"lots\""),
            "invalid value for query_memory: \"lots\" (expected a number of bytes with KiB, MiB or GiB)"
        );
        assert!(error("checkpoint_interval = \"5\"").contains("expected a number and a unit"));
        assert_eq!(error("tls_cert = \"a\""), "tls_cert needs tls_key");
        assert_eq!(error("tls_key = \"a\""), "tls_key needs tls_cert");
        assert_eq!(error("tls_required = true"), "tls_required needs tls_cert");
        assert!(error("auth = \"md5\"").contains("md5"));
        assert!(error("workers = 0").contains("at least 1"));
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(parse_size("x", "2GiB").ok(), Some(2 << 30));
        assert_eq!(parse_size("x", "512 MB").ok(), Some(512 << 20));
        assert_eq!(
            parse_time("x", "250ms").ok(),
            Some(Some(Duration::from_millis(250)))
        );
        assert_eq!(parse_time("x", "0").ok(), Some(None));
    }

    #[test]
    fn kafka_clients_are_told_an_address() {
        let parsed = |address| parse_host(address).ok();
        assert_eq!(parsed("kafka.local"), Some(("kafka.local".into(), None)));
        assert_eq!(parsed("h:9093"), Some(("h".into(), Some(9093))));
        assert_eq!(parsed("[::1]:9093"), Some(("::1".into(), Some(9093))));
        assert_eq!(parsed("[::1]"), Some(("::1".into(), None)));
        assert_eq!(parsed("h:port"), None);
    }

    #[test]
    fn any_port_for_one_protocol_is_any_port_for_the_other() {
        let config = load("pg_port = 0", Settings::default()).expect("valid");
        assert_eq!((config.kafka_port, config.kafka_port_chosen), (0, false));
        let config = load("", Settings::default()).expect("valid");
        assert_eq!((config.kafka_port, config.kafka_port_chosen), (9092, false));
    }
}
