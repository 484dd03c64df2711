//! `examples/flights`: every view must equal the answer of a batch query over the same files, however the data came in.
//!
//! The batch answers are DataFusion's, over the CSV files read into memory; the queries are taken from `views.sql`.
//! `MILLPOND_FLIGHTS` may name a directory with the full files.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tests::{Db, Server};

const RELATIONS: &[&str] = &["airlines", "airports", "planes", "flights"];

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flights")
}

fn script(name: &str) -> String {
    let text = std::fs::read_to_string(example().join(name)).expect("the example is there");
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The views: name and defining query.
fn views() -> Vec<(String, String)> {
    let text = script("views.sql");
    let statements = text
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty());
    let view = |statement: &str| {
        let (head, query) = statement
            .split_once(" AS\n")
            .expect("CREATE MATERIALIZED VIEW … AS");
        let name = head.rsplit(' ').next().expect("a name");
        (name.to_owned(), query.to_owned())
    };
    statements.map(view).collect()
}

/// The columns of a relation with their types, from `schema.sql`.
fn columns(relation: &str) -> Vec<(String, String)> {
    let text = script("schema.sql");
    let (_, rest) = text
        .split_once(&format!(" {relation} ("))
        .expect("the schema has it");
    let (inside, _) = rest.split_once(')').expect("the list ends");
    let column = |text: &str| {
        let mut words = text.split_whitespace();
        (
            words.next().expect("a name").to_owned(),
            words.next().expect("a type").to_owned(),
        )
    };
    inside.split(',').map(column).collect()
}

/// The text of a data file.
fn data(relation: &str) -> String {
    let directory =
        std::env::var_os("MILLPOND_FLIGHTS").map_or_else(|| example().join("data"), PathBuf::from);
    let path = directory.join(format!("{relation}.csv"));
    if let Ok(text) = std::fs::read_to_string(&path) {
        return text;
    }
    let zipped = directory.join(format!("{relation}.csv.zip"));
    let output = Command::new("unzip")
        .arg("-p")
        .arg(&zipped)
        .output()
        .expect("unzip runs");
    assert!(
        output.status.success(),
        "neither {} nor {}",
        path.display(),
        zipped.display()
    );
    String::from_utf8(output.stdout).expect("the files are UTF-8")
}

/// DataFusion over the same files.
struct Batch(SessionContext);

impl Batch {
    async fn read() -> Self {
        let context =
            SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        for relation in RELATIONS {
            let columns = columns(relation);
            let fields: Vec<_> = columns
                .iter()
                .map(|(name, _)| Field::new(name, DataType::Utf8, true))
                .collect();
            let schema = Arc::new(Schema::new(fields));
            let text = data(relation);
            let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema))
                .with_header(true)
                .build(Cursor::new(text));
            let batches: Result<Vec<_>, _> = reader.expect("a CSV file").collect();
            let table =
                MemTable::try_new(schema, vec![batches.expect("a CSV file")]).expect("a table");
            context
                .register_table(format!("{relation}_text"), Arc::new(table))
                .expect("a new name");
            let typed = columns.iter().map(|(name, kind)| {
                let kind = match kind.as_str() {
                    "INT" => "INT",
                    "DOUBLE" => "DOUBLE",
                    _ => "VARCHAR",
                };
                format!("CAST(NULLIF({name}, 'NA') AS {kind}) AS {name}")
            });
            let typed: Vec<_> = typed.collect();
            let batch = Self(context.clone());
            batch
                .replace(
                    relation,
                    &format!("SELECT {} FROM {relation}_text", typed.join(", ")),
                )
                .await;
        }
        Self(context)
    }

    /// Makes `relation` what the query answers now.
    async fn replace(&self, relation: &str, sql: &str) {
        let frame = self
            .0
            .sql(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let planned = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame
            .collect()
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        // Parts of a UNION differ in what may be NULL, and plans and answers in how text is represented.
        let found = batches.first().map_or(planned, RecordBatch::schema);
        let fields = found
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let nullable = |batch: &RecordBatch| {
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())
        };
        let batches = batches
            .iter()
            .map(nullable)
            .collect::<Result<_, _>>()
            .expect("the same types");
        let table = MemTable::try_new(schema, vec![batches]).expect("a table");
        self.0.deregister_table(relation).expect("a name");
        self.0
            .register_table(relation, Arc::new(table))
            .expect("a free name");
    }

    /// The answers of all views.
    async fn answers(&self) -> BTreeMap<String, Vec<String>> {
        let mut answers = BTreeMap::new();
        for (name, query) in views() {
            let frame = self
                .0
                .sql(&query)
                .await
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            let batches = frame
                .collect()
                .await
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            let mut lines = Vec::new();
            for batch in &batches {
                for row in 0..batch.num_rows() {
                    let cells = batch.columns().iter().map(|column| {
                        let text = (!column.is_null(row))
                            .then(|| array_value_to_string(column, row).expect("text"));
                        normal(text.as_deref())
                    });
                    lines.push(cells.collect::<Vec<_>>().join("|"));
                }
            }
            lines.sort();
            answers.insert(name, lines);
        }
        answers
    }
}

/// A value as it is compared: numbers to nine digits, so that the order of additions does not matter.
fn normal(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if text.contains(['.', 'e']) => format!("{number:.8e}")
                .parse::<f64>()
                .map_or_else(|_| text.to_owned(), |n| n.to_string()),
            Ok(number) => number.to_string(),
            Err(_) => text.to_owned(),
        },
    }
}

/// Every view is what the batch query answers.
async fn check(db: &Db, batch: &Batch, when: &str) {
    for (name, expected) in batch.answers().await {
        let rows = db.rows(&format!("SELECT * FROM {name}")).await;
        let line = |row: &tests::Row| {
            row.iter()
                .map(|cell| normal(cell.as_deref()))
                .collect::<Vec<_>>()
                .join("|")
        };
        let mut found: Vec<String> = rows.iter().map(line).collect();
        found.sort();
        if found != expected {
            let only = |a: &[String], b: &[String]| {
                a.iter()
                    .filter(|line| !b.contains(line))
                    .take(5)
                    .cloned()
                    .collect::<Vec<_>>()
            };
            panic!(
                "{when}: {name} has {} rows, expected {}\nwrong: {:#?}\nmissing: {:#?}",
                found.len(),
                expected.len(),
                only(&found, &expected),
                only(&expected, &found)
            );
        }
    }
}

async fn create(db: &Db, scripts: &[&str]) {
    for name in scripts {
        for statement in script(name)
            .split(';')
            .filter(|statement| !statement.trim().is_empty())
        {
            db.run(statement).await;
        }
    }
}

const OPTIONS: &str = "WITH (FORMAT csv, NULL 'NA')";

async fn copy(db: &Db, relation: &str, text: String) -> Result<u64, tokio_postgres::Error> {
    db.copy_in(&format!("COPY {relation} FROM STDIN {OPTIONS}"), text)
        .await
}

async fn load(db: &Db, relation: &str) {
    let text = data(relation);
    let sql = format!("COPY {relation} FROM STDIN WITH (FORMAT csv, HEADER, NULL 'NA')");
    let rows = text.lines().count() as u64 - 1;
    assert_eq!(
        db.copy_in(&sql, text)
            .await
            .unwrap_or_else(|error| panic!("{relation}: {error:?}")),
        rows
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_load() {
    let server = Server::start().await;
    let (db, batch) = (server.connect().await, Batch::read().await);
    create(&db, &["schema.sql", "views.sql"]).await;
    for relation in RELATIONS {
        load(&db, relation).await;
    }
    check(&db, &batch, "views first").await;
    // A view made over data that is already there.
    for (name, query) in views() {
        db.run(&format!(
            "DROP MATERIALIZED VIEW {name}; CREATE MATERIALIZED VIEW {name} AS {query}"
        ))
        .await;
    }
    check(&db, &batch, "views last").await;
}

/// The lines of the flights, cut at random places.
fn pieces(count: usize, rng: &mut StdRng) -> Vec<String> {
    let text = data("flights");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let mut cuts: Vec<usize> = (1..count)
        .map(|_| rng.random_range(0..=lines.len()))
        .collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    let mut pieces: Vec<String> = cuts
        .windows(2)
        .map(|cut| {
            lines[cut[0]..cut[1]]
                .iter()
                .map(|line| format!("{line}\n"))
                .collect()
        })
        .collect();
    pieces.retain(|piece| !piece.is_empty());
    pieces.shuffle(rng);
    pieces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_pieces_with_restarts_between() {
    let mut rng = StdRng::seed_from_u64(tests::seed());
    let mut server = Server::start().await;
    let batch = Batch::read().await;
    let mut db = server.connect().await;
    create(&db, &["schema.sql", "views.sql"]).await;
    let mut tables = vec!["airlines", "airports", "planes"];
    for piece in pieces(100, &mut rng) {
        copy(&db, "flights", piece)
            .await
            .expect("a piece is copied");
        if rng.random_bool(0.05)
            && let Some(relation) = tables.pop()
        {
            load(&db, relation).await;
        }
        if rng.random_bool(0.08) {
            server.restart().await;
            db = server.connect().await;
        }
    }
    for relation in tables {
        load(&db, relation).await;
    }
    check(&db, &batch, "all pieces").await;
}

/// Changes to the tables, and what the table is afterwards, as a query over what it was before.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "UPDATE planes SET manufacturer = 'AIRBUS' WHERE manufacturer = 'AIRBUS INDUSTRIE'",
        "planes",
        "SELECT tailnum, year, type, CASE WHEN manufacturer = 'AIRBUS INDUSTRIE' THEN 'AIRBUS' ELSE manufacturer END AS manufacturer, \
         model, engines, seats, speed, engine FROM planes",
    ),
    (
        "DELETE FROM planes WHERE year < 1995",
        "planes",
        "SELECT * FROM planes WHERE year >= 1995 OR year IS NULL",
    ),
    (
        "UPDATE airports SET name = upper(name) WHERE faa < 'M'",
        "airports",
        "SELECT faa, CASE WHEN faa < 'M' THEN upper(name) ELSE name END AS name, lat, lon, alt, tz, dst, tzone FROM airports",
    ),
    (
        "DELETE FROM airports WHERE faa IN ('ATL', 'BOS', 'LAX')",
        "airports",
        "SELECT * FROM airports WHERE faa NOT IN ('ATL', 'BOS', 'LAX')",
    ),
    (
        "INSERT INTO airports (faa, name) VALUES ('BOS', 'Boston'), ('ORD', 'Chicago')",
        "airports",
        "SELECT * FROM airports WHERE faa NOT IN ('BOS', 'ORD') UNION ALL \
         SELECT column1, column2, NULL, NULL, NULL, NULL, NULL, NULL FROM (VALUES ('BOS', 'Boston'), ('ORD', 'Chicago'))",
    ),
    (
        "UPDATE airlines SET name = 'Delta or United' WHERE carrier IN ('DL', 'UA')",
        "airlines",
        "SELECT carrier, CASE WHEN carrier IN ('DL', 'UA') THEN 'Delta or United' ELSE name END AS name FROM airlines",
    ),
    (
        "DELETE FROM airlines WHERE carrier = 'AA'",
        "airlines",
        "SELECT * FROM airlines WHERE carrier <> 'AA'",
    ),
    (
        "DELETE FROM planes",
        "planes",
        "SELECT * FROM planes WHERE false",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_and_deletes_in_the_tables() {
    let mut server = Server::start().await;
    let batch = Batch::read().await;
    let mut db = server.connect().await;
    create(&db, &["schema.sql", "views.sql"]).await;
    for relation in RELATIONS {
        load(&db, relation).await;
    }
    for (number, (change, relation, afterwards)) in CHANGES.iter().enumerate() {
        db.run(change).await;
        batch.replace(relation, afterwards).await;
        check(&db, &batch, change).await;
        if number % 3 == 2 {
            server.restart().await;
            db = server.connect().await;
            check(&db, &batch, &format!("{change}, after a restart")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments() {
    let mut rng = StdRng::seed_from_u64(tests::seed());
    let mut server = Server::start_with(&["--checkpoint-interval", "200ms"]).await;
    let batch = Batch::read().await;
    let mut db = server.connect().await;
    create(&db, &["schema.sql", "views.sql"]).await;
    for relation in ["airlines", "airports", "planes"] {
        load(&db, relation).await;
    }
    let mut waiting = pieces(40, &mut rng);
    let (mut stored, mut kills) = (0, 0);
    while let Some(piece) = waiting.pop() {
        let rows = piece.lines().count() as i64;
        if !rng.random_bool(0.3) {
            copy(&db, "flights", piece)
                .await
                .expect("a piece is copied");
            stored += rows;
            continue;
        }
        kills += 1;
        let moment = Duration::from_micros(rng.random_range(0..20_000));
        let copying = tokio::spawn({
            let (piece, db) = (piece.clone(), db);
            async move { copy(&db, "flights", piece).await.is_ok() }
        });
        // Not a wait for something: the moment of the kill is what the test varies.
        tokio::time::sleep(moment).await;
        server.crash().await;
        let acknowledged = copying.await.expect("the client does not panic");
        db = server.connect().await;
        let found = db.number("SELECT COUNT(*) FROM flights").await;
        // A COPY is there as a whole or not at all; one that was acknowledged is there.
        assert!(
            found == stored + rows || (found == stored && !acknowledged),
            "{found} rows after {stored} and a piece of {rows}, acknowledged: {acknowledged}"
        );
        if found == stored {
            waiting.push(piece);
        }
        stored = found;
    }
    println!("{kills} kills");
    check(&db, &batch, "all pieces").await;
    server.crash().await;
    check(&server.connect().await, &batch, "after one more kill").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_load_it() {
    let server = Server::start().await;
    let batch = Batch::read().await;
    let project = example().join("../..");
    let output = tokio::process::Command::new(tests::millpond())
        .args([
            "--connect",
            &server.address().to_string(),
            "-f",
            "examples/flights/load.sql",
        ])
        .current_dir(&project)
        .output()
        .await
        .expect("the shell runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    if std::env::var_os("MILLPOND_FLIGHTS").is_none() {
        check(&server.connect().await, &batch, "load.sql").await;
    }
    let other = Server::start().await;
    let output = tokio::process::Command::new("bash")
        .arg("examples/flights/load.sh")
        .current_dir(&project)
        .env("PGPORT", other.address().port().to_string())
        .env("PGHOST", "127.0.0.1")
        .env("MILLPOND", tests::millpond())
        .output()
        .await
        .expect("bash runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    if std::env::var_os("MILLPOND_FLIGHTS").is_none() {
        check(&other.connect().await, &batch, "load.sh").await;
    }
}

/// The oracle itself: the views' queries have answers over the kept slice.
#[tokio::test]
async fn the_batch_answers_are_not_empty() {
    for (name, answer) in Batch::read().await.answers().await {
        assert!(answer.len() > 5, "{name}: {answer:?}");
    }
}
