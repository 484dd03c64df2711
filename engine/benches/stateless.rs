//! How fast are filter and projection beside a batch engine?
//!
//! `SELECT a, b + c, d * 2, e FROM t WHERE f < 500 AND g > 100` over 10 M rows × 8 columns on the same
//! batches in memory, one partition, one worker. Expected: ≥ 0.7 × DataFusion.

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
use planner::scalar_expr::{Literal, ScalarExpr};
use planner::step_plan::{
    ChangelogMode, Operator, Source, SourceColumn, StateBound, Step, StepPlan,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROWS: usize = 10_000_000;
const BATCH_ROWS: usize = 8_192;
const COLUMNS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

struct NoErrors;

impl ErrorSink for NoErrors {
    fn report(&self, error: RowError) {
        panic!("no row fails: {error:?}");
    }
}

fn schema(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn input() -> Vec<RecordBatch> {
    let mut random = StdRng::seed_from_u64(7);
    (0..ROWS.div_ceil(BATCH_ROWS))
        .map(|_| {
            let columns = COLUMNS
                .iter()
                .map(|_| -> ArrayRef {
                    let values = (0..BATCH_ROWS).map(|_| random.random_range(0..1_000));
                    Arc::new(Int64Array::from_iter_values(values))
                })
                .collect();
            RecordBatch::try_new(schema(&COLUMNS), columns).expect("columns fit")
        })
        .collect()
}

fn plan() -> StepPlan {
    let column = |index| Box::new(ScalarExpr::Column(index));
    let int = |value: i64| {
        Box::new(ScalarExpr::Literal(Literal {
            data_type: DataType::Int64,
            value: Some(value.to_string()),
        }))
    };
    let binary = |left, op: &str, right| ScalarExpr::Binary {
        op: op.into(),
        left,
        right,
    };
    let predicate = binary(
        Box::new(binary(column(5), "<", int(500))),
        "AND",
        Box::new(binary(column(6), ">", int(100))),
    );
    let exprs = vec![
        ScalarExpr::Column(0),
        binary(column(1), "+", column(2)),
        binary(column(3), "*", int(2)),
        ScalarExpr::Column(4),
    ];
    let step = |id: &str, inputs, operator, schema| Step {
        id: id.into(),
        inputs,
        operator,
        schema,
        key: None,
        mode: ChangelogMode::AppendOnly,
        state: StateBound::Stateless,
    };
    let source = Operator::Source(Source {
        relation: 1,
        name: "t".into(),
        columns: (0..8).map(SourceColumn::Value).collect(),
    });
    StepPlan {
        steps: vec![
            step("source", vec![], source, schema(&COLUMNS)),
            step(
                "filter",
                vec![0],
                Operator::Filter { predicate },
                schema(&COLUMNS),
            ),
            step(
                "project",
                vec![1],
                Operator::Project { exprs },
                schema(&["a", "bc", "d2", "e"]),
            ),
        ],
    }
}

fn ours(input: &[RecordBatch]) -> (f64, usize) {
    let mut circuit =
        Circuit::build(&plan(), &CircuitOptions::default()).expect("the plan is good");
    let context = StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: &NoErrors,
        workers: None,
    };
    let start = Instant::now();
    let mut rows = 0;
    for batches in input.chunks(128) {
        let changes = batches
            .iter()
            .map(|rows| ChangeBatch::insertions(rows.clone(), vec![0; rows.num_rows()].into()))
            .collect();
        let output = circuit.step(HashMap::from([(0, changes)]), &context);
        let output = output.expect("the step succeeds");
        rows += output.iter().map(ChangeBatch::num_rows).sum::<usize>();
    }
    (start.elapsed().as_secs_f64(), rows)
}

fn datafusion(input: &[RecordBatch]) -> (f64, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config(config);
        let table = MemTable::try_new(schema(&COLUMNS), vec![input.to_vec()]).expect("rows fit");
        context
            .register_table("t", Arc::new(table))
            .expect("t is new");
        let sql = "SELECT a, b + c, d * 2, e FROM t WHERE f < 500 AND g > 100";
        let start = Instant::now();
        let frame = context.sql(sql).await.expect("the query can be planned");
        let output = frame.collect().await.expect("the query can be run");
        let rows = output.iter().map(RecordBatch::num_rows).sum();
        (start.elapsed().as_secs_f64(), rows)
    })
}

fn main() {
    let input = input();
    let best = |run: fn(&[RecordBatch]) -> (f64, usize)| {
        let runs = [run(&input), run(&input), run(&input)];
        runs.into_iter()
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .expect("there were three")
    };
    let (batch, batch_rows) = best(datafusion);
    let (incremental, rows) = best(ours);
    assert_eq!(rows, batch_rows);
    let rate = |seconds: f64| ROWS as f64 / seconds / 1e6;
    println!("DataFusion, batch             {:6.1} M rows/s", rate(batch));
    println!(
        "filter and projection         {:6.1} M rows/s  {:.2} × DataFusion (expected ≥ 0.7)",
        rate(incremental),
        batch / incremental
    );
}
