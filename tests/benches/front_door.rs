//! How fast is the way through the front door?
//!
//! | question | to reach |
//! |---|---|
//! | start on an empty directory | ≤ 0.3 s |
//! | idle memory | ≤ 120 MiB |
//! | INSERT of one row to visible in a view, p50 | ≤ 2 × one fdatasync + 1 ms |
//! | COPY of 336,776 flights as csv | ≥ 0.5 × arrow-csv's parse speed on one thread |
//! | 1 M groups: memory above the empty server, program code not counted | ≤ 150 bytes a group |
//! | 1 M groups: start to first answer | ≤ 2 s |
//!
//! `cargo bench -p tests --bench front_door`; `MILLPOND_FLIGHTS` names the whole `flights.csv`, otherwise the slice in
//! `examples/flights/data` is repeated until it is as long.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use tests::Server;

const FLIGHTS: usize = 336_776;
const GROUPS: usize = 1_000_000;
const COPIES: usize = 5;

#[tokio::main]
async fn main() {
    let begun = Instant::now();
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("SELECT 1").await;
    let started = begun.elapsed();
    let idle = Memory::of(server.id()).resident;
    println!("start on an empty directory to first answer: {started:.0?} (to reach: 300 ms)");
    println!("idle memory: {} MiB (to reach: 120 MiB)", idle >> 20);
    drop((db, server));
    insert_to_visible().await;
    copy_csv().await;
    million_groups().await;
}

/// Inserts a row, then asks the view for its group until the row is in it: the first answer is the one that counts,
/// since a read waits for what was written before.
async fn insert_to_visible() {
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM events (k BIGINT, v BIGINT)").await;
    db.run("CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS s FROM events GROUP BY k").await;
    let insert = db
        .client
        .prepare("INSERT INTO events VALUES ($1, $2)")
        .await
        .expect("it can be prepared");
    let select = db
        .client
        .prepare("SELECT n FROM totals WHERE k = $1")
        .await
        .expect("it can be prepared");
    let mut acknowledged = Vec::new();
    let mut visible = Vec::new();
    for i in 0..500_i64 {
        let begun = Instant::now();
        db.client
            .execute(&insert, &[&i, &1_i64])
            .await
            .expect("it is inserted");
        acknowledged.push(begun.elapsed());
        let row = db
            .client
            .query_one(&select, &[&i])
            .await
            .expect("it is visible");
        visible.push(begun.elapsed());
        assert_eq!(row.get::<_, i64>(0), 1);
    }
    let sync = fdatasync_median();
    let limit = 2 * sync + Duration::from_millis(1);
    let (acknowledged, visible) = (median(acknowledged), median(visible));
    println!(
        "INSERT of one row, p50: acknowledged {acknowledged:.1?}, visible in a view {visible:.1?} (to reach: 2 × fdatasync of {sync:.0?} + 1 ms = {limit:.1?})"
    );
}

/// A 512-byte write and its sync, on the disk that temporary directories are on.
fn fdatasync_median() -> Duration {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut file = File::create(directory.path().join("probe")).expect("a file");
    let times = (0..200)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[7; 512])
                .and_then(|()| file.sync_data())
                .expect("it is written");
            begun.elapsed()
        })
        .collect();
    median(times)
}

async fn copy_csv() {
    let csv = flights();
    // Arrow takes empty for NULL, so that numbers are numbers to it too.
    let plain = String::from_utf8_lossy(&csv)
        .replace(",NA", ",")
        .into_bytes();
    let format = Format::default().with_header(true);
    let (schema, _) = format
        .infer_schema(plain.as_slice(), Some(10_000))
        .expect("a schema");
    let schema = Arc::new(schema);
    let parse = || {
        let begun = Instant::now();
        let reader = ReaderBuilder::new(schema.clone())
            .with_header(true)
            .build(plain.as_slice())
            .expect("a reader");
        let rows: usize = reader
            .map(|batch| batch.map_or(0, |batch| batch.num_rows()))
            .sum();
        assert!(rows >= FLIGHTS);
        begun.elapsed()
    };
    let server = Server::start().await;
    let db = server.connect().await;
    db.run(
        "CREATE STREAM flights (year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT,
         sched_arr_time INT, arr_delay INT, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT, air_time INT,
         distance INT, hour INT, minute INT, time_hour TIMESTAMPTZ) WITH (timestamp = 'time_hour')",
    )
    .await;
    let (mut parsed, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..COPIES {
        parsed.push(parse());
        let copy = csv.clone();
        let begun = Instant::now();
        let rows = db
            .copy_in(
                "COPY flights FROM STDIN WITH (FORMAT csv, HEADER, NULL 'NA')",
                copy,
            )
            .await
            .expect("flights are loaded");
        assert_eq!(rows as usize, FLIGHTS);
        loaded.push(begun.elapsed());
    }
    let (first, parsed, loaded) = (loaded[0], median(parsed), median(loaded));
    println!(
        "COPY of {FLIGHTS} flights ({} MiB), p50 of {COPIES}: {loaded:.0?} (the first one {first:.0?}); arrow-csv parses them in {parsed:.0?}: {:.2} × its speed (to reach: 0.5)",
        csv.len() >> 20,
        parsed.as_secs_f64() / loaded.as_secs_f64()
    );
}

fn flights() -> Vec<u8> {
    if let Some(path) = std::env::var_os("MILLPOND_FLIGHTS") {
        return fs::read(path).expect("MILLPOND_FLIGHTS can be read");
    }
    let slice =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/flights/data/flights.csv");
    let slice = fs::read_to_string(slice).expect("the slice can be read");
    let (header, rows) = slice.split_once('\n').expect("a header");
    let mut csv = format!("{header}\n");
    for row in rows.lines().cycle().take(FLIGHTS) {
        csv.push_str(row);
        csv.push('\n');
    }
    csv.into_bytes()
}

async fn million_groups() {
    let mut server = Server::start_with(&["--checkpoint-interval", "1s"]).await;
    let db = server.connect().await;
    db.run("CREATE STREAM events (k BIGINT, v BIGINT)").await;
    let before = settled(server.id()).await;
    db.run(
        "CREATE MATERIALIZED VIEW groups AS SELECT k, count(*) AS n, sum(v) AS s, min(v) AS least, max(v) AS most
         FROM events GROUP BY k",
    )
    .await;
    let mut csv = String::new();
    for i in 0..GROUPS {
        // Keys in no order, each once.
        let key = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        writeln!(csv, "{key},{i}").expect("a string takes all");
    }
    db.copy_in("COPY events FROM STDIN WITH (FORMAT csv)", csv)
        .await
        .expect("events are loaded");
    assert_eq!(
        db.number("SELECT count(*) FROM groups").await,
        GROUPS as i64
    );
    let after = settled(server.id()).await;
    println!(
        "1 M groups of COUNT, SUM, MIN, MAX: {} above the empty server, the log's tail in memory included (to reach: 150)",
        after.a_group_above(before)
    );
    drop(db);
    server.stop().await;
    let begun = Instant::now();
    server.start_again().await;
    let db = server.connect().await;
    assert_eq!(
        db.number("SELECT count(*) FROM groups").await,
        GROUPS as i64
    );
    println!(
        "start with 1 M groups to first answer: {:.0?} (to reach: 2 s)",
        begun.elapsed()
    );
    println!(
        "memory after the restart: {} above the empty server",
        settled(server.id()).await.a_group_above(before)
    );
}

/// Memory of a process, bytes.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    /// Of that, what is not program code or another file, which the system drops when it needs room.
    anonymous: u64,
}

impl Memory {
    /// As Linux tells.
    fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let bytes = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
                .map_or(0, |kib| kib << 10)
        };
        Memory {
            resident: bytes("VmRSS:"),
            anonymous: bytes("RssAnon:"),
        }
    }

    fn a_group_above(self, before: Memory) -> String {
        let each = |now: u64, before: u64| now.saturating_sub(before) / GROUPS as u64;
        format!(
            "{} bytes a group ({} with program code)",
            each(self.anonymous, before.anonymous),
            each(self.resident, before.resident)
        )
    }
}

/// Memory of a process, once it has not changed for longer than the server keeps what is free.
async fn settled(process: u32) -> Memory {
    let mut last = Memory::of(process);
    let mut unchanged = 0;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = Memory::of(process);
        unchanged = match now.resident.abs_diff(last.resident) < 1 << 20 {
            true => unchanged + 1,
            false => 0,
        };
        if unchanged > 14 {
            return now;
        }
        last = now;
    }
    last
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
