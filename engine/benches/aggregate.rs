//! How fast is an incremental GROUP BY beside a batch one, and what does a group cost?
//!
//! `SELECT k, count(*), sum(v), min(v), max(v) FROM t GROUP BY k` over 10 M rows in 1 M groups, k and v
//! bigint, on the same batches in memory, one partition.
//!
//! | figure                                       | expected               |
//! |----------------------------------------------|------------------------|
//! | catch-up in steps of 2.5 M rows, one worker  | ≥ 0.5 × DataFusion     |
//! | the same, two workers                        | ≥ 1.6 × one worker     |
//! | live steps of 1,000 rows, one worker         | ≥ 1 M rows/s           |
//! | state                                        | ≤ 100 bytes per group  |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use engine::change_batch::ChangeBatch;
use engine::circuit::{Circuit, CircuitOptions};
use engine::operator::{ErrorSink, RowError, StepContext};
use planner::scalar_expr::ScalarExpr;
use planner::step_plan::{
    AggregateCall, ChangelogMode, Operator, Source, SourceColumn, StateBound, Step, StepPlan,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROWS: usize = 10_000_000;
const GROUPS: i64 = 1_000_000;
const BATCH_ROWS: usize = 8_192;
/// What a query that catches up reads at a time: 64 MiB of the log.
const STEP_ROWS: usize = 2_500_000;
const LIVE_STEPS: usize = 1_000;

struct NoErrors;

impl ErrorSink for NoErrors {
    fn report(&self, error: RowError) {
        panic!("no row fails: {error:?}");
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("v", DataType::Int64, false),
    ]))
}

fn batches(rows: usize, batch_rows: usize, random: &mut StdRng) -> Vec<RecordBatch> {
    (0..rows.div_ceil(batch_rows))
        .map(|_| {
            let mut column = |bound: i64| -> ArrayRef {
                let values = (0..batch_rows).map(|_| random.random_range(0..bound));
                Arc::new(Int64Array::from_iter_values(values))
            };
            let columns = vec![column(GROUPS), column(1 << 40)];
            RecordBatch::try_new(schema(), columns).expect("columns fit")
        })
        .collect()
}

fn plan() -> StepPlan {
    let call = |function: &str, args: Vec<ScalarExpr>| AggregateCall {
        function: function.into(),
        args,
        distinct: false,
        filter: None,
        order_by: vec![],
        ignore_nulls: false,
        return_type: DataType::Int64,
    };
    let value = || vec![ScalarExpr::Column(1)];
    let names = ["k", "count", "sum", "min", "max"];
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    let step = |id: &str, inputs, operator, schema, mode| Step {
        id: id.into(),
        inputs,
        operator,
        schema,
        key: None,
        mode,
        state: StateBound::PerKey,
    };
    let source = Operator::Source(Source {
        relation: 1,
        name: "t".into(),
        columns: vec![SourceColumn::Value(0), SourceColumn::Value(1)],
    });
    let aggregate = Operator::Aggregate {
        group_by: vec![ScalarExpr::Column(0)],
        aggregates: vec![
            call("count", vec![]),
            call("sum", value()),
            call("min", value()),
            call("max", value()),
        ],
        keeps_groups: false,
    };
    let result = Arc::new(Schema::new(fields));
    StepPlan {
        steps: vec![
            step(
                "source",
                vec![],
                source,
                schema(),
                ChangelogMode::AppendOnly,
            ),
            step(
                "aggregate",
                vec![0],
                aggregate,
                result,
                ChangelogMode::Retract,
            ),
        ],
    }
}

fn step(circuit: &mut Circuit, rows: &[RecordBatch], workers: Option<&rayon::ThreadPool>) -> usize {
    let input = rows
        .iter()
        .map(|rows| {
            let rowtimes = vec![0; rows.num_rows()].into();
            ChangeBatch::insertions(rows.clone(), rowtimes)
        })
        .collect();
    let context = StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: &NoErrors,
        workers,
    };
    let output = circuit.step(HashMap::from([(0, input)]), &context);
    let output = output.expect("the step succeeds");
    output.iter().map(ChangeBatch::num_rows).sum()
}

fn catch_up(input: &[RecordBatch], workers: usize) -> (f64, Circuit) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .build()
        .expect("threads can be started");
    let options = CircuitOptions {
        slices: workers,
        durable: true,
        passes_marks: false,
    };
    let mut circuit = Circuit::build(&plan(), &options).expect("the plan is good");
    let start = Instant::now();
    for rows in input.chunks(STEP_ROWS / BATCH_ROWS) {
        step(&mut circuit, rows, (workers > 1).then_some(&pool));
    }
    (start.elapsed().as_secs_f64(), circuit)
}

fn datafusion(input: &[RecordBatch]) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config(config);
        let table = MemTable::try_new(schema(), vec![input.to_vec()]).expect("rows fit");
        context
            .register_table("t", Arc::new(table))
            .expect("t is new");
        let sql = "SELECT k, count(*), sum(v), min(v), max(v) FROM t GROUP BY k";
        let start = Instant::now();
        let frame = context.sql(sql).await.expect("the query can be planned");
        frame.collect().await.expect("the query can be run");
        start.elapsed().as_secs_f64()
    })
}

fn main() {
    let mut random = StdRng::seed_from_u64(7);
    let input = batches(ROWS, BATCH_ROWS, &mut random);
    let rate = |seconds: f64| ROWS as f64 / seconds / 1e6;

    let batch = datafusion(&input).min(datafusion(&input));
    println!("DataFusion, batch             {:6.2} M rows/s", rate(batch));
    let (one, mut circuit) = catch_up(&input, 1);
    println!(
        "catch-up, one worker          {:6.2} M rows/s  {:.2} × DataFusion (expected ≥ 0.5)",
        rate(one),
        batch / one
    );
    println!(
        "state                         {:6.1} bytes per group (expected ≤ 100)",
        circuit.state_bytes() as f64 / GROUPS as f64
    );
    let live = batches(LIVE_STEPS * 1_000, 1_000, &mut random);
    let start = Instant::now();
    let changes: usize = live
        .iter()
        .map(|rows| step(&mut circuit, std::slice::from_ref(rows), None))
        .sum();
    println!(
        "live, steps of 1,000 rows     {:6.2} M rows/s  ({changes} changes; expected ≥ 1)",
        (LIVE_STEPS * 1_000) as f64 / start.elapsed().as_secs_f64() / 1e6
    );
    drop(circuit);
    let (two, _) = catch_up(&input, 2);
    println!(
        "catch-up, two workers         {:6.2} M rows/s  {:.2} × one worker (expected ≥ 1.6)",
        rate(two),
        one / two
    );
}
