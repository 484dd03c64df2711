//! Users and passwords, as those who run a server meet them.

use std::path::{Path, PathBuf};
use std::process::Output;

use tests::{Certificates, Server, millpond};
use tokio::process::Command;
use tokio_postgres::NoTls;

const SECRET: &str = "planted-8c1f";

/// Runs the binary with a data directory and nothing of the user's settings.
async fn run(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(millpond());
    command
        .env_clear()
        .env("HOME", data)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .arg("--data-dir")
        .arg(data.join("data"))
        .args(arguments)
        .stdin(std::process::Stdio::null());
    command.output().await.expect("the binary is there")
}

fn text(output: &Output) -> String {
    let bytes = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_written_nowhere() {
    let home = tempfile::tempdir().expect("a directory");
    let level = ["--log-level", "trace"];
    // A shell with its own server logs on both sides of the connection.
    let script = [
        format!("CREATE USER admin PASSWORD '{SECRET}'"),
        format!("ALTER USER admin PASSWORD '{SECRET}'"),
        format!("EXPLAIN CREATE USER other PASSWORD '{SECRET}'"),
        format!("ALTER USER nobody PASSWORD '{SECRET}'"),
        "SELECT nope".to_owned(),
    ];
    let mut arguments = vec!["--keep-going"];
    arguments.extend(level);
    for statement in &script {
        arguments.extend(["-c", statement]);
    }
    let said = text(&run(home.path(), &arguments).await);
    assert!(said.contains("first user with a password"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    // The process that has the data directory need not be asked; and nothing that it can show holds the password.
    let mut arguments = level.to_vec();
    for statement in [
        "SHOW USERS",
        "SHOW ALL",
        "SHOW QUERIES",
        "SHOW ALL TOPICS",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_roles",
        "SELECT * FROM pg_user",
        "SELECT * FROM pg_settings",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM processing_log",
    ] {
        arguments.extend(["-c", statement]);
    }
    let output = run(home.path(), &arguments).await;
    let shown = text(&output);
    assert!(
        output.status.success() && shown.contains("admin"),
        "{shown}"
    );
    // Verifiers are secrets, too: with one and the messages of a login a password can be searched for.
    assert!(
        !shown.contains(SECRET) && !shown.contains("SCRAM-SHA-256$"),
        "{shown}"
    );
    for file in files(home.path()) {
        let bytes = std::fs::read(&file).expect("a file");
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} holds the password", file.display());
    }
    let log = std::fs::read_to_string(home.path().join("data/millpond.log")).expect("a log");
    assert!(!log.contains("SCRAM-SHA-256$"), "the log holds a verifier");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_outlive_a_crash() {
    let mut server = Server::start().await;
    let db = server.connect().await;
    db.run(&format!(
        "CREATE USER admin PASSWORD '{SECRET}'; CREATE USER app PASSWORD 'old'"
    ))
    .await;
    db.run("ALTER USER app PASSWORD 'new'").await;
    server.crash().await;
    let log_in = async |user: &str, password: &str| {
        let address = server.address();
        let parameters = format!(
            "host={} port={} user={user} password={password} dbname=millpond",
            address.ip(),
            address.port()
        );
        match tokio_postgres::connect(&parameters, NoTls).await {
            Ok(_) => String::new(),
            Err(error) => error
                .code()
                .map_or_else(|| error.to_string(), |code| code.code().to_owned()),
        }
    };
    assert_eq!(log_in("admin", SECRET).await, "");
    assert_eq!(log_in("app", "new").await, "");
    assert_eq!(log_in("app", "old").await, "28P01");
    assert_eq!(log_in("nobody", "new").await, "28P01");
    let log = server.log();
    assert!(
        log.contains("could not log in") && !log.contains(SECRET),
        "{log}"
    );

    // The shell takes the password from where psql does.
    let shell = async |password: &str, target: String| {
        let mut command = Command::new(millpond());
        command
            .env("PGUSER", "app")
            .env("HOME", server.scratch())
            .args(["-c", "SHOW is_superuser", "--connect", &target])
            .stdin(std::process::Stdio::null());
        match password {
            "" => command.env_remove("PGPASSWORD"),
            password => command.env("PGPASSWORD", password),
        };
        text(&command.output().await.expect("the binary is there"))
    };
    let address = server.address();
    let good = shell("new", address.to_string()).await;
    assert!(good.contains("off"), "{good}");
    let good = shell("", format!("postgres://app:new@{address}/millpond")).await;
    assert!(good.contains("off"), "{good}");
    let bad = shell("old", address.to_string()).await;
    assert!(bad.contains("password authentication failed"), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_machines_need_passwords_and_encryption() {
    let home = tempfile::tempdir().expect("a directory");
    let open = ["server", "--pg-port", "0", "--listen", "0.0.0.0"];
    let refused = async |more: &[&str]| {
        let output = run(home.path(), &[&open, more].concat()).await;
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        text(&output)
    };
    let error = refused(&[]).await;
    assert!(error.contains("no user has a password"), "{error}");
    let error = refused(&["--auth", "trust"]).await;
    assert!(error.contains("auth = trust"), "{error}");
    let error = refused(&["--tls-cert", "none.pem", "--tls-key", "none.pem"]).await;
    assert!(error.contains("cannot read \"none.pem\""), "{error}");
    let output = run(home.path(), &["-c", "CREATE USER admin PASSWORD 'x'"]).await;
    assert!(output.status.success(), "{}", text(&output));
    let error = refused(&[]).await;
    assert!(error.contains("--tls-cert"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes() {
    let home = tempfile::tempdir().expect("a directory");
    let always = ["server", "--pg-port", "0", "--auth", "password"];
    let output = run(home.path(), &always).await;
    assert!(
        text(&output).contains("nobody could log in"),
        "{}",
        text(&output)
    );
    // The process itself can, and can help out.
    let create = "CREATE USER admin PASSWORD 'x'; SHOW is_superuser";
    let output = run(home.path(), &["--auth", "password", "-c", create]).await;
    assert!(text(&output).contains("on"), "{}", text(&output));

    let server = Server::start_with(&["--auth", "trust"]).await;
    let db = server.connect().await;
    db.run("CREATE USER admin PASSWORD 'x'").await;
    server.connect().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_encrypts() {
    let certificates = Certificates::make();
    let mut arguments = certificates.arguments();
    arguments.push("--tls-required".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    // A shell with a server of its own has to, too, with users and without.
    let home = tempfile::tempdir().expect("a directory");
    for statement in ["CREATE USER admin PASSWORD 'x'", "SHOW USERS"] {
        let output = run(home.path(), &[&arguments, &["-c", statement][..]].concat()).await;
        assert!(output.status.success(), "{}", text(&output));
    }

    let server = Server::start_with(&arguments).await;
    let shell = async |settings: &[(&str, &Path)]| {
        let mut command = Command::new(millpond());
        command
            .env("HOME", home.path())
            .envs(settings.iter().copied())
            .args(["-o", "csv", "-c", "SELECT repeat('x', 100000) AS long"])
            .arg("--connect")
            .arg(server.address().to_string())
            .stdin(std::process::Stdio::null());
        text(&command.output().await.expect("the binary is there"))
    };
    let long = "x".repeat(100_000);
    let said = shell(&[]).await;
    assert!(said.contains(&long), "{said:.300}");
    let root = certificates.root();
    assert!(shell(&[("PGSSLROOTCERT", &root)]).await.contains(&long));
    let said = shell(&[("PGSSLMODE", Path::new("disable"))]).await;
    assert!(said.contains("encrypted connections only"), "{said}");
    let others = Certificates::make();
    let said = shell(&[("PGSSLROOTCERT", &others.root())]).await;
    assert!(said.contains("certificate"), "{said}");
    let said = shell(&[("PGSSLMODE", Path::new("verify-full"))]).await;
    assert!(said.contains("needs PGSSLROOTCERT"), "{said}");
}
