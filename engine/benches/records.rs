//! How fast do JSON records become columns?
//!
//! Decode + filter (`price > x`) + count over 10 M bids as JSON in Kafka's record batches, against the
//! same bytes, without Kafka's framing, through (a) a loop over `serde_json::Value` and (b) arrow-json's
//! decoder with the same filter. Twice: all seven columns are wanted, or only the one that the query
//! needs. Expected: ≥ 5 × (a), ≥ 0.8 × (b).

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::kernels::cmp::gt;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use engine::catalog::{LOG_ROWTIME, RelationKind};
use engine::records::{BatchBuilder, Codec, Format, KafkaBatch, RecordDecoder, RecordFormat};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bids that are in memory; they are read over and over.
const BIDS: usize = 250_000;
const ROUNDS: usize = 40;
/// Rows of a batch of Arrow, for all.
const BATCH_ROWS: usize = 8_192;
/// Records of a batch of Kafka.
const BATCH_RECORDS: usize = 500;
const PRICE: i64 = 50_000_000;
const BYTES_MAX: usize = 64 << 20;

fn main() {
    let (lines, batches) = input();
    let bytes = lines.len() / BIDS;
    println!("{} bids of {bytes} bytes", BIDS * ROUNDS);
    let values = best(|| with_values(&lines));
    for (what, wanted) in [("all columns", None), ("needed column", Some(2))] {
        let ours = best(|| with_engine(&batches, wanted));
        let arrow = best(|| with_arrow(&lines, wanted));
        assert_eq!(ours.1, values.1, "as many bids");
        assert_eq!(ours.1, arrow.1, "as many bids");
        let rate = |duration: Duration| (BIDS * ROUNDS) as f64 / duration.as_secs_f64() / 1e6;
        println!(
            "{what}: {:.2} M rows/s, serde_json::Value {:.2}, arrow-json {:.2}: {:.2} × and {:.2} ×",
            rate(ours.0),
            rate(values.0),
            rate(arrow.0),
            values.0.as_secs_f64() / ours.0.as_secs_f64(),
            arrow.0.as_secs_f64() / ours.0.as_secs_f64(),
        );
    }
}

/// The time of all rounds, taken from the best one, so that a busy machine disturbs all alike.
fn best(mut round: impl FnMut() -> usize) -> (Duration, usize) {
    let mut best = Duration::MAX;
    let mut count = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        count = black_box(round());
        best = best.min(start.elapsed());
    }
    (best * ROUNDS as u32, count)
}

/// The bids as lines, and as batches of records.
fn input() -> (Vec<u8>, Vec<KafkaBatch>) {
    let mut random = StdRng::seed_from_u64(7);
    let channels = ["Google", "Facebook", "Baidu", "Apple"];
    let mut lines = Vec::new();
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(Codec::None);
    for at in 0..BIDS {
        let channel = channels[random.random_range(0..4)];
        let price = 10f64.powf(random.random::<f64>() * 6.0) * 100.0;
        let extra: String = (0..random.random_range(20..60))
            .map(|_| random.random_range('a'..='z'))
            .collect();
        let bid = format!(
            "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"{channel}\",\
             \"url\":\"https://www.nexmark.com/{}/item.htm?query=1\",\"dateTime\":{},\"extra\":\"{extra}\"}}",
            1000 + random.random_range(0..100_000),
            1000 + random.random_range(0..100_000),
            price as i64,
            &extra[..12],
            1_436_918_400_000i64 + at as i64,
        );
        builder.append(at as i64, None, Some(bid.as_bytes()));
        if builder.len() == BATCH_RECORDS || at + 1 == BIDS {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None));
            let first = at + 1 - full.len();
            batches.push(KafkaBatch::new(full.build(first as i64)).expect("it was just built"));
        }
        lines.extend(bid.as_bytes());
        lines.push(b'\n');
    }
    (lines, batches)
}

fn columns() -> Vec<Field> {
    [
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("dateTime", DataType::Int64),
        ("extra", DataType::Utf8),
    ]
    .into_iter()
    .map(|(name, data_type)| Field::new(name, data_type, true))
    .collect()
}

fn matches(batch: &RecordBatch, price: usize) -> usize {
    let prices = batch.column(price).as_primitive::<Int64Type>();
    let found = gt(prices, &Int64Array::new_scalar(PRICE)).expect("both are bigint");
    found.true_count()
}

fn with_engine(batches: &[KafkaBatch], wanted: Option<usize>) -> usize {
    let mut fields = columns();
    fields.push(Field::new(LOG_ROWTIME, DataType::Int64, true));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let format = RecordFormat {
        key: Format::None,
        ..RecordFormat::default()
    };
    let needed = wanted.map(|column| [column]);
    let needed = needed.as_ref().map(|needed| needed.as_slice());
    let mut decoder =
        RecordDecoder::with_needed(&format, schema, RelationKind::Stream, None, needed)
            .expect("records have such columns");
    let mut count = 0;
    for (at, batch) in batches.iter().enumerate() {
        decoder.push_batch(batch, BYTES_MAX).expect("it is whole");
        if decoder.len() >= BATCH_ROWS || at + 1 == batches.len() {
            let decoded = decoder.finish().expect("columns fit");
            assert!(decoded.errors.is_empty());
            count += matches(&decoded.rows, 2);
        }
    }
    count
}

fn with_arrow(lines: &[u8], wanted: Option<usize>) -> usize {
    let schema = Schema::new(columns());
    let schema = match wanted {
        Some(column) => schema.project(&[column]).expect("there is one"),
        None => schema,
    };
    let price = schema.index_of("price").expect("it is there");
    let mut decoder = ReaderBuilder::new(Arc::new(schema))
        .with_batch_size(BATCH_ROWS)
        .build_decoder()
        .expect("it reads such columns");
    let mut count = 0;
    let mut at = 0;
    loop {
        at += decoder.decode(&lines[at..]).expect("it is JSON");
        match decoder.flush().expect("it is JSON") {
            Some(batch) => count += matches(&batch, price),
            None => return count,
        }
    }
}

fn with_values(lines: &[u8]) -> usize {
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter(|line| {
            let bid: serde_json::Value = serde_json::from_slice(line).expect("it is JSON");
            bid["price"].as_i64().is_some_and(|price| price > PRICE)
        })
        .count()
}
