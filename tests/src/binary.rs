//! Finds the `millpond` binary, which another package builds.
//!
//! `cargo test --workspace` builds it before any test runs. Where only this package is tested it may be absent or older
//! than its sources; then it is built here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the binary; `MILLPOND_BIN` overrides it.
pub fn millpond() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("MILLPOND_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let binary = beside_this_test();
            if !is_fresh(&binary) {
                build(&binary);
            }
            binary
        }
    })
}

/// Tests lie in `target/PROFILE/deps`, binaries one directory up.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps");
    profile.join(format!("millpond{}", std::env::consts::EXE_SUFFIX))
}

/// Cargo writes the sources of a binary into a `.d` file beside it.
fn is_fresh(binary: &Path) -> bool {
    let changed = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    let (Some(built), Ok(sources)) = (
        changed(binary),
        fs::read_to_string(binary.with_extension("d")),
    ) else {
        return false;
    };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    sources
        .split_whitespace()
        .all(|source| changed(Path::new(source)).is_some_and(|time| time <= built))
}

fn build(binary: &Path) {
    let profile = binary
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    let target = binary
        .parent()
        .and_then(Path::parent)
        .expect("the binary lies in target/PROFILE");
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    // The whole workspace, so that dependencies are built with the features they already have.
    cargo
        .args(["build", "--workspace", "--bin", "millpond", "--target-dir"])
        .arg(target);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile == Some("release") {
        cargo.arg("--release");
    }
    eprintln!("building the server: {cargo:?}");
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the server does not build");
}
