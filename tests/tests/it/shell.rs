//! The shell as a user's script sees it, against a real server.

use std::process::Output;

use tests::{Server, millpond};
use tokio::process::Command;

fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const SCRIPT: &str = "CREATE TABLE t (id INT PRIMARY KEY, body TEXT, x DOUBLE);
    INSERT INTO t VALUES (1, 'one; two', 1.5), (2, NULL, NULL);
    COPY t FROM STDIN;
3\tdrei\t-2
\\.
    SELECT * FROM t ORDER BY id;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_from_standard_input() {
    let server = Server::start().await;
    let (code, out, error) = parts(&server.shell(&[], SCRIPT).await);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let expected = "CREATE TABLE\nINSERT 0 2\nCOPY 1\n id | body     | x    \n----+----------+------\n  1 | one; two |  1.5 \n  \
         2 | NULL     | NULL \n  3 | drei     |   -2 \n(3 rows)\n";
    assert_eq!(out, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_for_programs() {
    let server = Server::start().await;
    server.shell(&[], SCRIPT).await;
    let query = "SELECT id, body, x FROM t WHERE id < 3 ORDER BY id";
    let (_, csv, _) = parts(&server.shell(&["--output", "csv", "-c", query], "").await);
    assert_eq!(csv, "id,body,x\n1,one; two,1.5\n2,,\n");
    let (_, json, _) = parts(&server.shell(&["--output", "json", "-c", query], "").await);
    assert_eq!(
        json,
        "{\"id\":1,\"body\":\"one; two\",\"x\":1.5}\n{\"id\":2,\"body\":null,\"x\":null}\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_and_errors() {
    let server = Server::start().await;
    let (code, out, error) = parts(
        &server
            .shell(
                &[
                    "-c",
                    "SELECT 1 AS x",
                    "-c",
                    "SELECT\n  nope",
                    "-c",
                    "SELECT 2",
                ],
                "",
            )
            .await,
    );
    assert_eq!((code, out.as_str()), (Some(1), " x \n---\n 1 \n(1 row)\n"));
    assert!(
        error.contains("[42703]") && error.contains("LINE 2:   nope\n          ^\n"),
        "{error}"
    );
    let (code, out, _) = parts(
        &server
            .shell(
                &["--keep-going", "-q", "-o", "tsv"],
                "SELECT nope;\nSELECT 2 AS y;",
            )
            .await,
    );
    assert_eq!((code, out.as_str()), (Some(1), "y\n2\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backslash_commands() {
    let server = Server::start().await;
    server.shell(&[], SCRIPT).await;
    let file = server.scratch().join("t.csv");
    let script = format!(
        "\\copy (SELECT * FROM t ORDER BY id) to '{0}'\nDELETE FROM t;\n\\copy t from '{0}'\n\
         \\x\nSELECT * FROM t WHERE id = 1;\n\\d t\n\\d\n\\l\n",
        file.display()
    );
    let (code, out, error) = parts(&server.shell(&[], &script).await);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    let expected = "4 lines written\nDELETE 3\nCOPY 3\n-[ row 1 ]-\nid   | 1\nbody | one; two\nx    | 1.5\n(1 row)\n";
    assert!(out.starts_with(expected), "{out}");
    assert!(out.contains("millpond"), "{out}");
}

/// Without --connect the shell brings its own server; what one run writes the next one reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_the_same_process() {
    let home = tempfile::tempdir().expect("a directory");
    let run = async |sql: &str| {
        let mut command = Command::new(millpond());
        command
            .env_clear()
            .env("HOME", home.path())
            .arg("--data-dir")
            .arg(home.path().join("data"));
        parts(&command.args(["-c", sql]).output().await.expect("it runs"))
    };
    let created = run("CREATE STREAM s (x INT); INSERT INTO s VALUES (1), (2); CREATE MATERIALIZED VIEW v AS SELECT SUM(x) AS total FROM s").await;
    assert_eq!(
        created,
        (
            Some(0),
            "CREATE STREAM\nINSERT 0 2\nCREATE MATERIALIZED VIEW\n".to_owned(),
            String::new()
        )
    );
    let inserted = run("INSERT INTO s VALUES (3); SELECT total FROM v").await;
    assert_eq!(
        inserted,
        (
            Some(0),
            "INSERT 0 1\n total \n-------\n     6 \n(1 row)\n".to_owned(),
            String::new()
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_has_one_owner() {
    let server = Server::start().await;
    let mut command = Command::new(millpond());
    command
        .env_clear()
        .env("HOME", server.scratch())
        .arg("--data-dir")
        .arg(server.data_dir());
    let (code, _, error) = parts(
        &command
            .args(["-c", "SELECT 1"])
            .output()
            .await
            .expect("it runs"),
    );
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("in use"), "{error}");
    assert_eq!(server.connect().await.value("SELECT 1").await, "1");
}
