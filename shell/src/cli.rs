//! The command line. Every setting of the server has a flag, an environment variable (`MILLPOND_…`) and a key in the
//! configuration file, all of one name; [`crate::config`] layers them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "millpond",
    version,
    about = "A SQL streaming database in one binary: streams, tables and views that are always exact.",
    long_about = "A SQL streaming database in one binary: streams, tables and views that are always exact.\n\n\
        Without a command, opens an interactive shell over a server inside the same process; psql and every other \
        PostgreSQL client can connect to it at the same time.",
    after_long_help = AFTER_HELP,
    subcommand_negates_reqs = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do instead of opening the shell.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to talk to the user.
    #[command(flatten)]
    pub shell: ShellOptions,

    /// How to run the server.
    #[command(flatten)]
    pub settings: Settings,
}

const AFTER_HELP: &str = "\
Examples:
  millpond                                        an interactive shell, with everything in one process
  millpond -c \"SELECT * FROM delays LIMIT 5\"      one statement, then exit
  millpond -f load.sql --output csv               a script
  echo 'SHOW STREAMS' | millpond                  a script from standard input
  millpond server --pg-port 0 --data-dir ./data   a server on a free port, without a shell
  millpond --connect 127.0.0.1:5432               a shell over a running server
  psql -h 127.0.0.1                               psql works just as well

Settings are taken from flags, then from MILLPOND_* variables, then from the configuration file, then from defaults.
The configuration file is TOML, with the names of the long flags (dashes as underscores):
  data_dir = \"/var/lib/millpond\"
  pg_port = 5432
  durability = \"os\"

Exit codes: 0 success, 1 a statement failed, 2 wrong usage or settings, 3 the server could not be reached or started.";

/// Commands besides the shell.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server without a shell, until SIGINT or SIGTERM.
    ///
    /// When it accepts connections it prints one line on standard output, for example
    ///
    /// millpond ready: postgres=127.0.0.1:5432 kafka=127.0.0.1:9092 data=/var/lib/millpond
    ///
    /// The log goes to standard error.
    Server,
}

/// Options of the shell, interactive or not.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Shell")]
pub struct ShellOptions {
    /// Connect to a running server instead of starting one: HOST, HOST:PORT or a postgres:// URL. The password is taken
    /// from the URL or PGPASSWORD, or asked for; PGSSLMODE and PGSSLROOTCERT mean what they mean to psql.
    #[arg(long, value_name = "HOST:PORT", env = "MILLPOND_CONNECT")]
    pub connect: Option<String>,

    /// Run these statements and exit; may be given several times.
    #[arg(short = 'c', long = "execute", value_name = "SQL")]
    pub execute: Vec<String>,

    /// Run this script and exit; `-` is standard input; may be given several times.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: Vec<PathBuf>,

    /// How results are written.
    #[arg(short = 'o', long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,

    /// Print results only: no notices, command tags or row counts.
    #[arg(short = 'q', long)]
    pub quiet: bool,

    /// Go on with a script after an error; the exit code is still 1.
    #[arg(long)]
    pub keep_going: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One line per column, for wide rows.
    Expanded,
    /// Comma-separated values with a header; NULL is an empty field.
    Csv,
    /// Tab-separated values with a header, in PostgreSQL's text format (NULL is \N).
    Tsv,
    /// One JSON object per row and line.
    Json,
    /// A Markdown table.
    Markdown,
}

/// Settings of the server. A flag that is not given leaves the layer below untouched.
#[derive(Clone, Debug, Default, Args, Serialize)]
#[command(next_help_heading = "Server")]
pub struct Settings {
    /// Configuration file (TOML). Without it, `millpond/millpond.toml` in the user's configuration directory is read
    /// if it exists.
    #[arg(long, global = true, value_name = "FILE", env = "MILLPOND_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Where everything is stored [default: `millpond` in the user's data directory].
    #[arg(long, global = true, value_name = "DIR", env = "MILLPOND_DATA_DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,

    /// Address to listen on. One that other machines can reach needs users with passwords and a certificate, or
    /// --insecure [default: 127.0.0.1].
    #[arg(long, global = true, value_name = "ADDRESS", env = "MILLPOND_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,

    /// Port for PostgreSQL clients; 0 takes a free one [default: 5432].
    #[arg(long, global = true, value_name = "PORT", env = "MILLPOND_PG_PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_port: Option<u16>,

    /// Port for Kafka clients; 0 takes a free one [default: 9092, or a free one if that is taken].
    #[arg(long, global = true, value_name = "PORT", env = "MILLPOND_KAFKA_PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_port: Option<u16>,

    /// Where Kafka clients are told to connect, if not to the address that they came by.
    #[arg(
        long,
        global = true,
        value_name = "HOST[:PORT]",
        env = "MILLPOND_KAFKA_ADVERTISED"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_advertised: Option<String>,

    /// Whether topics that Kafka clients name are made if they are not there [default: true].
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        env = "MILLPOND_KAFKA_AUTO_CREATE_TOPICS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_auto_create_topics: Option<bool>,

    /// Partitions of topics for which a Kafka client does not say how many [default: 1].
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "MILLPOND_KAFKA_PARTITIONS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_partitions: Option<u32>,

    /// Whether clients are asked for a password: `auto`, as soon as a user has one (CREATE USER); `trust`, never;
    /// `password`, always [default: auto].
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "MODE",
        env = "MILLPOND_AUTH"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,

    /// Certificate for encrypted connections, with those that lead to its authority (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "MILLPOND_TLS_CERT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "MILLPOND_TLS_KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,

    /// Refuse connections that are not encrypted.
    #[arg(long, global = true, env = "MILLPOND_TLS_REQUIRED")]
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,

    /// Listen on an address that other machines can reach although passwords or encryption are missing.
    #[arg(long, global = true, env = "MILLPOND_INSECURE")]
    #[serde(skip_serializing_if = "is_false")]
    pub insecure: bool,

    /// When a write is acknowledged: `sync`, on disk; `os`, handed to the operating system (faster; survives a crash of
    /// Millpond, not of the machine) [default: sync].
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        env = "MILLPOND_DURABILITY"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,

    /// Threads that maintain views [default: one per CPU].
    #[arg(long, global = true, value_name = "N", env = "MILLPOND_WORKERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,

    /// Memory that all pull queries together may take [default: 1GiB].
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "MILLPOND_QUERY_MEMORY"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_memory: Option<String>,

    /// Memory for tables and for the state of continuous queries; rows that are on disk leave it when there are more,
    /// and a query is stopped with SQLSTATE 53200 when what cannot leave is half as much again; `none` is without a
    /// bound [default: auto, two fifths of the machine's].
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "MILLPOND_STATE_MEMORY"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_memory: Option<String>,

    /// Connections at a time; one more is refused with SQLSTATE 53300. A tenth of them, at most 3, is kept for
    /// superusers [default: 200].
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "MILLPOND_MAX_CONNECTIONS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,

    /// Longest time a statement may take, for example `30s`; 0 is without limit. A session may change its own with SET
    /// statement_timeout [default: 0].
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "MILLPOND_STATEMENT_TIMEOUT"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_timeout: Option<String>,

    /// Longest time a session may stand idle; 0 is without limit. A session may change its own with SET
    /// idle_session_timeout [default: 0].
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "MILLPOND_IDLE_TIMEOUT"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,

    /// Time between checkpoints of view state: a longer one means less writing, and more replay after a crash
    /// [default: 10s].
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "MILLPOND_CHECKPOINT_INTERVAL"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval: Option<String>,

    /// What to log: a level (error, warn, info, debug, trace) or directives such as `info,engine=debug` [default: info].
    #[arg(long, global = true, value_name = "FILTER", env = "MILLPOND_LOG_LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,

    /// How to log [default: pretty].
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "MILLPOND_LOG_FORMAT"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Whether clients are asked for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// As soon as a user has one.
    Auto,
    /// Never.
    Trust,
    /// Always.
    Password,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk.
    Sync,
    /// Handed to the operating system.
    Os,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_stand_on_both_sides_of_the_command() {
        for line in [
            ["millpond", "--pg-port", "0", "server"],
            ["millpond", "server", "--pg-port", "0"],
        ] {
            let cli = Cli::try_parse_from(line).expect("valid");
            assert_eq!(cli.settings.pg_port, Some(0));
            assert!(matches!(cli.command, Some(Command::Server)));
        }
    }
}
