//! The arrows between crates point down only. A new one is a decision: it changes ARCHITECTURE.md and this file together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

use serde_json::Value;

/// Which of our crates a crate may use. `shell` wires everybody together; `tests` sees a running server only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sql", &[]),
    ("log-store", &[]),
    ("planner", &["sql"]),
    ("engine", &["sql", "planner", "log-store"]),
    ("pgwire-server", &["engine", "sql"]),
    ("kafka-server", &["engine"]),
    (
        "shell",
        &[
            "sql",
            "planner",
            "log-store",
            "engine",
            "pgwire-server",
            "kafka-server",
        ],
    ),
    ("tests", &[]),
];

/// What a crate must not reach, however indirectly: the crate, and how the names begin.
const NEVER: &[(&str, &[&str])] = &[
    ("sql", &["datafusion", "arrow", "tokio", "rocksdb"]),
    (
        "log-store",
        &["datafusion", "arrow", "sqlparser", "pgwire", "rocksdb"],
    ),
    ("planner", &["rocksdb", "pgwire", "log-store"]),
    ("engine", &["pgwire", "rustyline", "clap"]),
];

/// The workspace's crates and everything they are built from, without what only tests use.
struct Graph {
    members: BTreeSet<String>,
    uses: BTreeMap<String, BTreeSet<String>>,
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("the toolchain that built this test is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the toolchain writes UTF-8")
}

impl Graph {
    fn read() -> Self {
        // Crates of other platforms need not have been downloaded.
        let version = run(Command::new("rustc").arg("-vV"));
        let platform = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .expect("rustc knows its host");
        let metadata = run(Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", platform])
            .current_dir(env!("CARGO_MANIFEST_DIR")));
        let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name_of: BTreeMap<String, String> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let members = list(&metadata["workspace_members"])
            .iter()
            .map(|id| name_of[&text(id)].clone())
            .collect();
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let used = uses.entry(name_of[&text(&node["id"])].clone()).or_default();
            for dependency in list(&node["deps"]) {
                // Kinds are null (normal), "dev" and "build".
                if list(&dependency["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
                {
                    used.insert(name_of[&text(&dependency["pkg"])].clone());
                }
            }
        }
        Self { members, uses }
    }

    /// Everything `name` is built from, each with a way from `name` to it.
    fn reachable(&self, name: &str) -> BTreeMap<String, String> {
        let mut ways = BTreeMap::from([(name.to_owned(), name.to_owned())]);
        let mut waiting = VecDeque::from([name.to_owned()]);
        while let Some(next) = waiting.pop_front() {
            for used in self.uses.get(&next).into_iter().flatten() {
                if !ways.contains_key(used) {
                    ways.insert(used.clone(), format!("{} -> {used}", ways[&next]));
                    waiting.push_back(used.clone());
                }
            }
        }
        ways.remove(name);
        ways
    }
}

#[test]
fn arrows_point_down_only() {
    let graph = Graph::read();
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        graph.members, listed,
        "a crate is missing here or in the workspace"
    );
    for (name, allowed) in ALLOWED {
        let ours = graph.uses[*name]
            .iter()
            .filter(|used| graph.members.contains(*used));
        let wrong: Vec<_> = ours
            .filter(|used| !allowed.contains(&used.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn crates_stay_free_of_what_they_must_not_know() {
    let graph = Graph::read();
    for (name, never) in NEVER {
        for (used, way) in graph.reachable(name) {
            let forbidden = never.iter().any(|prefix| used.starts_with(prefix));
            assert!(!forbidden, "{name} must not be built from {used}: {way}");
        }
    }
}

/// Two versions of one of these compile side by side, and then their types do not match.
#[test]
fn arrow_datafusion_and_sqlparser_have_one_version() {
    let lock = include_str!("../../../Cargo.lock");
    let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("name = ") {
            let version = lines.next().unwrap_or_default();
            seen.entry(name.trim_matches('"'))
                .or_default()
                .push(version);
        }
    }
    let pinned = |name: &str| {
        ["arrow", "datafusion", "sqlparser", "zstd"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let twice: Vec<_> = seen
        .iter()
        .filter(|(name, versions)| pinned(name) && versions.len() > 1)
        .collect();
    assert!(twice.is_empty(), "more than one version: {twice:?}");
}
