//! The command line as a script sees it: what is printed where, and the exit codes. None of this needs a server.

use std::process::{Command, Output};

/// Runs the binary in an environment of its own.
fn millpond(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().expect("a directory");
    Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

fn check(arguments: &[&str], environment: &[(&str, &str)], code: i32, message: &str) {
    let output = millpond(arguments, environment);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(message), "expected {message:?} in:\n{text}");
}

#[test]
fn help_needs_no_manual() {
    check(&["--help"], &[], 0, "MILLPOND_DATA_DIR");
    check(
        &["--help"],
        &[],
        0,
        "Exit codes: 0 success, 1 a statement failed",
    );
    check(&["server", "--help"], &[], 0, "millpond ready: postgres=");
    check(&["--version"], &[], 0, env!("CARGO_PKG_VERSION"));
}

#[test]
fn wrong_usage_is_2() {
    check(&["--no-such-flag"], &[], 2, "--no-such-flag");
    check(&["server", "--pg-port", "many"], &[], 2, "--pg-port");
    check(
        &["server", "--config", "/nowhere.toml"],
        &[],
        2,
        "\"/nowhere.toml\" does not exist",
    );
    check(
        &["server"],
        &[("MILLPOND_LISTEN", "everywhere")],
        2,
        "invalid value for listen",
    );
    check(
        &["server"],
        &[("MILLPOND_LOG_LEVEL", "engine=loud")],
        2,
        "invalid log_level",
    );
    check(
        &["--connect", "host:port", "-c", "SELECT 1"],
        &[],
        2,
        "invalid address",
    );
}

#[test]
fn an_unreachable_server_is_3() {
    // Port 1 is reserved and nobody listens there.
    check(
        &["--connect", "127.0.0.1:1", "-c", "SELECT 1"],
        &[],
        3,
        "cannot connect to 127.0.0.1:1",
    );
}
