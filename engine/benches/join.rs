//! How much slower is an incremental join than DataFusion's hash join of the same batches?
//!
//! Question: joining a stream of 10 M rows with a table of 100 k rows, on one thread, at least 0.4
//! times as fast as the batch join. And of the arrangement underneath: a row of five numbers in at
//! most 100 bytes, a million of them restored from a checkpoint well within a second. Run with
//! `cargo bench -p engine --bench join`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::physical_expr::expressions::Column;
use engine::change_batch::ChangeBatch;
use engine::expression::Expression;
use engine::operator::{
    ErrorSink, Operator, RowError, StateReader, StateWriter, StepContext, StepError,
};
use engine::operators::join::{Join, JoinOptions};
use engine::state::{Arrangement, Key};
use futures::StreamExt;
use planner::step_plan::JoinKind;

const TABLE_ROWS: i64 = 100_000;
const BATCH_ROWS: i64 = 8_192;
const RUNS: usize = 3;

struct NoErrors;

impl ErrorSink for NoErrors {
    fn report(&self, error: RowError) {
        panic!("{error:?}");
    }
}

fn schema<const N: usize>(names: [&str; N]) -> SchemaRef {
    let fields = names.map(|name| Field::new(name, DataType::Int64, false));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Rows `start..end`: a key, and numbers.
fn rows(schema: &SchemaRef, start: i64, end: i64, key: impl Fn(i64) -> i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = (0..schema.fields().len() as i64)
        .map(|column| {
            let values = (start..end).map(|row| match column {
                0 => key(row),
                other => row.wrapping_mul(other) & 0xffff,
            });
            Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns).expect("columns of numbers")
}

fn batches(schema: &SchemaRef, count: i64, key: impl Fn(i64) -> i64 + Copy) -> Vec<RecordBatch> {
    (0..count)
        .step_by(BATCH_ROWS as usize)
        .map(|start| rows(schema, start, (start + BATCH_ROWS).min(count), key))
        .collect()
}

fn insertions(batch: &RecordBatch) -> ChangeBatch {
    let rowtimes: Vec<i64> = (0..batch.num_rows() as i64).collect();
    ChangeBatch::insertions(batch.clone(), rowtimes.into())
}

fn incremental(
    lookup: bool,
    stream: &[RecordBatch],
    table: &[RecordBatch],
) -> (Duration, usize, usize) {
    let (left, right) = (stream[0].schema(), table[0].schema());
    let mut fields = left.fields().to_vec();
    fields.extend(right.fields().iter().cloned());
    let key = |name: &str, schema: &SchemaRef| {
        Expression::new(Arc::new(Column::new(name, 0)), schema, "join").expect("a column")
    };
    let mut join = Join::new(
        JoinKind::Inner,
        vec![(key("k", &left), key("id", &right))],
        None,
        &left,
        &right,
        Arc::new(Schema::new(fields)),
        JoinOptions {
            null_equals_null: false,
            lookup,
            slices: 1,
        },
    )
    .expect("a valid join");
    let context = StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: &NoErrors,
        workers: None,
    };
    let stream: Vec<ChangeBatch> = stream.iter().map(insertions).collect();
    let table: Vec<ChangeBatch> = table.iter().map(insertions).collect();
    let start = Instant::now();
    join.step(vec![vec![], table], &context).expect("steps");
    let mut joined = 0;
    for delta in stream {
        let output = join
            .step(vec![vec![delta], vec![]], &context)
            .expect("steps");
        joined += output.iter().map(ChangeBatch::num_rows).sum::<usize>();
    }
    (start.elapsed(), joined, join.state_bytes())
}

async fn batch(stream: &[RecordBatch], table: &[RecordBatch]) -> (Duration, usize) {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    for (name, batches) in [("stream", stream), ("tab", table)] {
        let table = MemTable::try_new(batches[0].schema(), vec![batches.to_vec()]);
        let table = Arc::new(table.expect("batches of one schema"));
        context.register_table(name, table).expect("a new name");
    }
    let start = Instant::now();
    let frame = context
        .sql("SELECT * FROM tab JOIN stream ON tab.id = stream.k")
        .await
        .expect("plans");
    let mut output = frame.execute_stream().await.expect("executes");
    let mut joined = 0;
    while let Some(batch) = output.next().await {
        joined += batch.expect("joins").num_rows();
    }
    (start.elapsed(), joined)
}

#[derive(Default)]
struct MemoryStore(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateWriter for MemoryStore {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl StateReader for MemoryStore {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        let entries = self.0.range(prefix.to_vec()..);
        entries
            .take_while(|(key, _)| key.starts_with(prefix))
            .for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        Ok(self.0.get(key).cloned())
    }
}

fn arrangement(name: &str, key: Key) {
    const ROWS: i64 = 1_000_000;
    let schema = schema(["id", "x", "y", "z", "w"]);
    let table = batches(&schema, ROWS, |row| row);
    let mut arrangement = Arrangement::new(schema.clone(), key.clone());
    let start = Instant::now();
    for batch in &table {
        arrangement.apply(&insertions(batch)).expect("inserts");
    }
    let inserted = start.elapsed();
    let mut store = MemoryStore::default();
    let start = Instant::now();
    arrangement.checkpoint(b"", &mut store).expect("writes");
    let saved = start.elapsed();
    let start = Instant::now();
    let mut restored = Arrangement::new(schema, key);
    restored.restore(b"", &store).expect("reads");
    let loaded = start.elapsed();
    assert_eq!(restored.num_rows(), ROWS as usize);
    println!(
        "arrangement by {name} of {ROWS} rows: {} bytes/row, insert {inserted:.0?}, checkpoint \
         {saved:.0?}, restore {loaded:.0?}",
        arrangement.bytes() / ROWS as usize,
    );
}

/// Upserts into a table of a million rows, with a reader's snapshot held or not.
fn upserts(batch_rows: i64, snapshot_held: bool) {
    const ROWS: i64 = 1_000_000;
    const STEPS: i64 = 300;
    let schema = schema(["id", "x", "y", "z", "w"]);
    let mut arrangement = Arrangement::new(schema.clone(), Key::Primary(vec![0]));
    for batch in batches(&schema, ROWS, |row| row) {
        arrangement.apply(&insertions(&batch)).expect("inserts");
    }
    let steps: Vec<RecordBatch> = (0..STEPS)
        .map(|step| {
            let start = 1 + step * batch_rows;
            rows(&schema, start, start + batch_rows, |row| row * 7_919 % ROWS)
        })
        .collect();
    let rowtimes: Vec<i64> = vec![0; batch_rows as usize];
    let tombstones = vec![false; batch_rows as usize];
    let start = Instant::now();
    let mut held = None;
    for step in &steps {
        if snapshot_held {
            held = Some(arrangement.snapshot());
        }
        arrangement
            .upsert(step, &rowtimes.clone().into(), &tombstones)
            .expect("upserts");
    }
    println!(
        "upsert of {batch_rows} rows into {ROWS}{}: {:.1?} each step",
        held.map_or("", |_| " under a snapshot"),
        start.elapsed() / STEPS as u32,
    );
}

fn main() {
    for batch_rows in [1, 1_000] {
        upserts(batch_rows, false);
        upserts(batch_rows, true);
    }
    arrangement("primary key", Key::Primary(vec![0]));
    arrangement("secondary key", Key::Secondary(vec![0]));
    arrangement("whole row", Key::Row);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    // Dense keys let DataFusion index an array; spread ones are what identifiers often are.
    let dense = |row: i64| row;
    let spread = |row: i64| row.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 8;
    compare(&runtime, "dense", dense);
    compare(&runtime, "spread", spread);
}

fn compare(runtime: &tokio::runtime::Runtime, keys: &str, key: impl Fn(i64) -> i64 + Copy) {
    let table = batches(&schema(["id", "x", "y", "z"]), TABLE_ROWS, key);
    let random = move |row: i64| {
        let mixed = (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        key((mixed % TABLE_ROWS as u64) as i64)
    };
    for (name, lookup, count) in [("lookup", true, 10_000_000), ("full", false, 3_000_000)] {
        let stream = batches(&schema(["k", "a", "b", "c"]), count, random);
        let mut best = (Duration::MAX, Duration::MAX);
        let mut bytes = 0;
        for _ in 0..RUNS {
            let (ours, joined, held) = incremental(lookup, &stream, &table);
            let (theirs, expected) = runtime.block_on(batch(&stream, &table));
            assert_eq!(joined, expected);
            best = (best.0.min(ours), best.1.min(theirs));
            bytes = held;
        }
        let rate = |time: Duration| count as f64 / time.as_secs_f64() / 1e6;
        println!(
            "{name} join of {count} rows with {TABLE_ROWS} by {keys} keys: {:.1} M rows/s, DataFusion {:.1} M \
             rows/s, ratio {:.2}; state {} MiB",
            rate(best.0),
            rate(best.1),
            best.1.as_secs_f64() / best.0.as_secs_f64(),
            bytes >> 20,
        );
    }
}
