//! The SQL in the documents is run as it stands there.

use std::path::Path;

use tests::Server;

/// The ```sql blocks of a document.
fn blocks(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(document);
    let text = std::fs::read_to_string(path).expect("the document is there");
    let blocks = text.split("```sql\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

async fn run_all(documents: &[&str]) {
    let server = Server::start().await;
    let db = server.connect().await;
    for document in documents {
        for statement in blocks(document).iter().flat_map(|block| block.split(";\n")) {
            if let Err(error) = db.try_run(statement).await {
                panic!("{document}: {statement}\n{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_minute() {
    run_all(&["README.md"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language() {
    run_all(&["docs/sql.md"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flights() {
    let server = Server::start().await;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = tokio::process::Command::new(tests::millpond())
        .args([
            "--connect",
            &server.address().to_string(),
            "-f",
            "examples/flights/load.sql",
        ])
        .current_dir(project)
        .output()
        .await
        .expect("the shell runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let db = server.connect().await;
    for statement in blocks("examples/flights/README.md")
        .iter()
        .flat_map(|block| block.split(";\n"))
    {
        db.run(statement).await;
    }
}
