//! psql itself, where it is installed.

use std::process::Output;

use tests::Server;

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const SETUP: &str = "CREATE STREAM readings (room TEXT, celsius DOUBLE);
    CREATE TABLE rooms (room TEXT PRIMARY KEY, floor INT);
    CREATE MATERIALIZED VIEW warmth AS SELECT room, COUNT(*) AS n, AVG(celsius) AS mean FROM readings GROUP BY room;
    INSERT INTO readings VALUES ('attic', 17.5), ('attic', 18.5), ('cellar', 9.0);
    INSERT INTO rooms VALUES ('attic', 3), ('cellar', -1);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_minute() {
    let server = Server::start().await;
    let Some(output) = server
        .psql(
            &["-At"],
            &format!("{SETUP} SELECT * FROM warmth ORDER BY room;"),
        )
        .await
    else {
        return;
    };
    let expected = "CREATE STREAM\nCREATE TABLE\nCREATE MATERIALIZED VIEW\nINSERT 0 3\nINSERT 0 2\nattic|2|18\ncellar|1|9\n";
    assert_eq!(text(&output), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backslash_commands_answer() {
    let server = Server::start().await;
    let Some(output) = server.psql(&[], SETUP).await else {
        return;
    };
    text(&output);
    for (command, expected) in [
        ("\\d", &["readings", "rooms", "warmth"][..]),
        ("\\dt", &["rooms"]),
        ("\\d readings", &["room", "celsius", "double precision"]),
        ("\\d rooms", &["floor", "integer"]),
        ("\\l", &["millpond"]),
        ("\\df", &["upper"]),
        ("\\dn", &["public"]),
    ] {
        let output = server.psql(&[], command).await.expect("psql is there");
        let shown = text(&output);
        for word in expected {
            assert!(
                shown.contains(word),
                "{command} does not show {word}:\n{shown}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_in_and_out() {
    let server = Server::start().await;
    let script = "CREATE TABLE t (id INT PRIMARY KEY, body TEXT);\n\
        COPY t FROM STDIN;\n1\tone\n2\t\\N\n3\ttab\\there\n\\.\n\
        COPY t FROM STDIN WITH (FORMAT csv, HEADER);\nid,body\n4,\"a,\"\"b\"\"\"\n5,\n\\.\n\
        COPY t FROM STDIN WITH (FORMAT json);\n{\"id\": 6, \"body\": \"six\"}\n\\.\n\
        COPY (SELECT * FROM t ORDER BY id) TO STDOUT;\n\
        COPY (SELECT * FROM t WHERE id > 3 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER);\n";
    let Some(output) = server.psql(&["-q"], script).await else {
        return;
    };
    let expected = "1\tone\n2\t\\N\n3\ttab\\there\n4\ta,\"b\"\n5\t\\N\n6\tsix\nid,body\n4,\"a,\"\"b\"\"\"\n5,\n6,six\n";
    assert_eq!(text(&output), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_point_at_their_place() {
    let server = Server::start().await;
    let Some(output) = server
        .psql(&[], "\\set VERBOSITY verbose\nSELECT rom FROM nothing;")
        .await
    else {
        return;
    };
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        shown.contains("42P01") && shown.contains("LINE 1: SELECT rom FROM nothing;"),
        "{shown}"
    );
}

/// psql collects the rows of a plain endless SELECT; with FETCH_COUNT it shows them as they come, through a cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_queries_through_fetch_count() {
    let server = Server::start().await;
    let script = format!(
        "{SETUP}\n\\set FETCH_COUNT 1\nSELECT room, celsius FROM readings EMIT CHANGES LIMIT 3;"
    );
    let Some(output) = server.psql(&["-Atq"], &script).await else {
        return;
    };
    let mut lines: Vec<String> = text(&output).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["attic|17.5", "attic|18.5", "cellar|9"]);
}
