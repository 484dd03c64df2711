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
