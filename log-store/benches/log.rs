//! How near the log comes to the disk and the memory beneath it.
//!
//! | question | expected |
//! |---|---|
//! | append of 8,192-row batches (92 bytes a row), acknowledged on disk, to raw write + fdatasync of the same bytes | ≥ 0.7 |
//! | scan from the page cache | ≥ 2 GB/s, or the memory's limit |
//! | one row per append: 64 clients to one | ≥ 20 |
//! | bytes beside the body for each such row | ≤ 120, ≤ 24 after the segment has closed |
//! | what a producer's stamp adds to an append that waits for no disk (1,000 producers in turn) | ≤ 0.3 of it |
//!
//! `cargo bench -p log-store`; the directory is made under `MILLPOND_BENCH_DIR`, or where temporary files are kept.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use log_store::{
    Body, BodyCodec, BodyKind, Compression, Durability, Epoch, Log, LogConfig, NewBatch, NewBody,
    Offset, Partition, PartitionId, ProducerStamp, RealDisk, RowKeys, SystemClock, Topic,
    TopicConfig,
};

const ROWS: u32 = 8192;
const ROW_BYTES: usize = 92;
const BATCHES: usize = 200;
const CLIENTS: usize = 64;

/// Bodies are concatenations of rows.
struct Concatenate;

impl BodyCodec for Concatenate {
    fn merge(&self, bodies: &[Body]) -> Result<Option<NewBody>, String> {
        Ok(Some(NewBody {
            kind: BodyKind::ROWS,
            schema_id: 1,
            bytes: bodies
                .iter()
                .flat_map(|body| body.bytes.to_vec())
                .collect::<Vec<_>>()
                .into(),
        }))
    }

    fn keys(&self, _body: &Body) -> Result<RowKeys, String> {
        Err("no keys".into())
    }

    fn retain(&self, _body: &Body, _keep: &[bool]) -> Result<NewBody, String> {
        Err("no rows".into())
    }
}

fn main() {
    let root =
        std::env::var_os("MILLPOND_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(root).expect("a directory to work in");
    big_batches(dir.path());
    single_rows(dir.path());
    stamped(dir.path());
}

fn open(dir: &Path) -> Log {
    open_with(dir, Durability::Sync)
}

fn open_with(dir: &Path, durability: Durability) -> Log {
    let config = LogConfig {
        durability,
        background: false,
        // Measures files, not memory.
        tail_bytes_max: 0,
        rewrite_compression: Compression::None,
        ..LogConfig::new(dir)
    };
    let disk = Arc::new(RealDisk);
    Log::open(config, disk, Arc::new(SystemClock), Arc::new(Concatenate))
        .expect("an empty directory")
        .0
}

fn batch(topic: &Topic, rows: u32, kind: BodyKind, body: Bytes) -> NewBatch {
    NewBatch {
        topic: topic.id(),
        partition: PartitionId(0),
        rows,
        rowtime_min: 0,
        rowtime_max: 0,
        schema_id: 1,
        kind,
        compression: Compression::None,
        body,
        decoded: None,
        producer: None,
    }
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn big_batches(dir: &Path) {
    let bodies: Vec<Bytes> = (0..16)
        .map(|seed| noise(ROWS as usize * ROW_BYTES, seed))
        .collect();
    let total = (BATCHES * bodies[0].len()) as f64;
    let log = open(&dir.join("big"));
    let topic = log
        .create_topic(TopicConfig::ingested("big", 1))
        .expect("a new topic");
    // In turns, so that both see the same disk.
    let (mut raw, mut ours) = (Duration::ZERO, Duration::ZERO);
    let mut position = 0;
    let file = File::create(dir.join("raw")).expect("a new file");
    for round in bodies
        .iter()
        .cycle()
        .take(BATCHES)
        .collect::<Vec<_>>()
        .chunks(10)
    {
        let start = Instant::now();
        for body in round {
            file.write_all_at(body, position).expect("room on the disk");
            file.sync_data().expect("a disk that works");
            position += body.len() as u64;
        }
        raw += start.elapsed();
        let start = Instant::now();
        for body in round {
            let batch = batch(&topic, ROWS, BodyKind::ARROW, (*body).clone());
            log.append(vec![batch]).wait().expect("a disk that works");
        }
        ours += start.elapsed();
    }
    println!(
        "append of {ROWS} rows, acknowledged on disk: {:.1} ms; raw write + fdatasync: {:.1} ms; ratio {:.2}",
        ours.as_secs_f64() * 1e3 / BATCHES as f64,
        raw.as_secs_f64() * 1e3 / BATCHES as f64,
        raw.as_secs_f64() / ours.as_secs_f64(),
    );

    let partition = topic.partition(PartitionId(0)).expect("it has one");
    let mut best = 0f64;
    for _ in 0..5 {
        let start = Instant::now();
        let bytes = scan(&partition);
        assert_eq!(bytes as f64, total);
        best = best.max(total / start.elapsed().as_secs_f64());
    }
    let data: Vec<u8> = bodies.iter().flat_map(|body| body.to_vec()).collect();
    let (mut crc, mut copy) = (0f64, 0f64);
    let mut target = vec![0u8; data.len()];
    for _ in 0..10 {
        let start = Instant::now();
        std::hint::black_box(crc32c::crc32c(&data));
        crc = crc.max(data.len() as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        target.copy_from_slice(&data);
        std::hint::black_box(&target);
        copy = copy.max(data.len() as f64 / start.elapsed().as_secs_f64());
    }
    println!(
        "scan, checksums verified: {:.2} GB/s; crc32c alone {:.2} GB/s; memcpy {:.2} GB/s; ratio to crc32c {:.2}",
        best / 1e9,
        crc / 1e9,
        copy / 1e9,
        best / crc,
    );
}

fn scan(partition: &Partition) -> usize {
    let mut from = Offset::ZERO;
    let mut bytes = 0;
    loop {
        let batches = partition
            .read(from, 8 << 20, Epoch::MAX)
            .expect("what was appended");
        let Some(last) = batches.last() else {
            return bytes;
        };
        from = last.last_offset.plus(1);
        bytes += batches.iter().map(|batch| batch.body.len()).sum::<usize>();
    }
}

fn single_rows(dir: &Path) {
    let log = open(&dir.join("single"));
    let body = noise(ROW_BYTES, 7);
    let rate = |clients: usize, seconds: f64| {
        let name = format!("clients{clients}");
        let topic = log
            .create_topic(TopicConfig::ingested(name, 1))
            .expect("a new topic");
        let appended = AtomicU64::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while start.elapsed().as_secs_f64() < seconds {
                        let batch = batch(&topic, 1, BodyKind::ROWS, body.clone());
                        log.append(vec![batch]).wait().expect("a disk that works");
                        appended.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let rows = appended.into_inner();
        (rows as f64 / start.elapsed().as_secs_f64(), rows, topic)
    };
    let (one, ..) = rate(1, 3.0);
    let (many, rows, topic) = rate(CLIENTS, 5.0);
    println!(
        "one row per append: {one:.0}/s from one client, {many:.0}/s from {CLIENTS}; ratio {:.1}",
        many / one
    );
    let partition = topic.partition(PartitionId(0)).expect("it has one");
    let beside = |bytes: u64| bytes as f64 / rows as f64 - ROW_BYTES as f64;
    let before = beside(partition.size_bytes());
    // Closes the segment: the next append does not fit.
    let mut config = topic.config();
    config.segment_bytes = Some(1024);
    log.alter_topic(topic.id(), config)
        .expect("a valid configuration");
    log.append(vec![batch(&topic, 1, BodyKind::ROWS, body.clone())])
        .wait()
        .expect("a disk that works");
    let start = Instant::now();
    let report = log.run_maintenance_once().expect("a disk that works");
    println!(
        "bytes beside the body for each row: {before:.1}, {:.1} after the segment closed ({:.0} MB/s)",
        report.bytes_after as f64 / rows as f64 - ROW_BYTES as f64,
        report.bytes_before as f64 / start.elapsed().as_secs_f64() / 1e6,
    );
}

/// Small batches of many producers, with and without their stamps.
fn stamped(dir: &Path) {
    const APPENDS: usize = 20_000;
    const PRODUCERS: usize = 1000;
    let log = open_with(&dir.join("stamped"), Durability::Os);
    let topic = log
        .create_topic(TopicConfig::ingested("stamped", 1))
        .expect("a new topic");
    let body = noise(ROW_BYTES * 10, 7);
    let mut sent = 0;
    let mut round = |stamps: bool| {
        let start = Instant::now();
        for _ in 0..APPENDS / 500 {
            let append = |n: usize| {
                let mut batch = batch(&topic, 10, BodyKind::ROWS, body.clone());
                batch.producer = stamps.then_some(ProducerStamp {
                    id: (n % PRODUCERS) as i64,
                    epoch: 0,
                    sequence: (n / PRODUCERS * 10) as i32,
                });
                log.append(vec![batch])
            };
            let handles: Vec<_> = (sent..sent + 500).map(append).collect();
            for handle in handles {
                handle.wait().expect("a disk that works");
            }
            sent += if stamps { 500 } else { 0 };
        }
        start.elapsed().as_secs_f64() * 1e9 / APPENDS as f64
    };
    let (mut plain, mut with) = (f64::MAX, f64::MAX);
    for _ in 0..8 {
        plain = plain.min(round(false));
        with = with.min(round(true));
    }
    println!(
        "append of 10 rows, not waiting for the disk: {plain:.0} ns; with a producer's stamp: {with:.0} ns; ratio {:.2}",
        with / plain
    );
}
