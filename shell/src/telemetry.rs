//! The process's log: to standard error, or to a file where standard error is the user's prompt. Panics are logged too.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::LogFormat;

/// Where log lines go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(&'a Path),
}

/// Starts logging. `filter` is a level or a list of directives.
pub fn start(filter: &str, format: LogFormat, destination: Destination<'_>) -> anyhow::Result<()> {
    let mut filter = EnvFilter::builder()
        .parse(filter)
        .with_context(|| format!("invalid log_level \"{filter}\""))?;
    // The shell's driver logs statements as they are, with passwords.
    for driver in ["tokio_postgres=warn", "postgres_protocol=warn"] {
        filter = filter.add_directive(driver.parse().context("a constant")?);
    }
    let (writer, colour) = match destination {
        Destination::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        Destination::File(path) => (BoxMakeWriter::new(open(path)?), false),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour);
    match format {
        LogFormat::Pretty => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    log_panics();
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create \"{}\"", directory.display()))?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open \"{}\"", path.display()))
}

/// A panic in one query is caught at its boundary; here it becomes a log line with its place and backtrace.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("panic without a message");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, thread, %backtrace, "panic: {message}");
    }));
}
