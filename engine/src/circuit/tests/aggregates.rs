//! However changes are cut into steps and slices, with checkpoints and restarts in between, what came
//! out adds up to DataFusion's batch answer over what went in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use planner::scalar_expr::{Literal, ScalarExpr};
use planner::step_plan::{AggregateCall, ChangelogMode, OrderBy, StepPlan};
use proptest::prelude::*;

use super::support::*;
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions};
use crate::operator::StepContext;

/// The columns of `t`.
fn columns() -> Vec<(&'static str, DataType)> {
    vec![
        ("k", DataType::Int64),
        ("s", DataType::Utf8),
        ("i", DataType::Int64),
        ("f", DataType::Float64),
        ("d", DataType::Decimal128(10, 2)),
        ("b", DataType::Boolean),
        ("u", DataType::UInt64),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ]
}

/// A row of `t`: for each column NULL or a small number that the cell is made from.
type Cells = Vec<Option<u8>>;

fn line(cells: &[Option<u8>]) -> String {
    let text = cells
        .iter()
        .enumerate()
        .map(|(column, cell)| match (column, cell) {
            (_, None) => "NULL".to_owned(),
            (0, Some(n)) => (i64::from(*n) - 2).to_string(),
            (1, Some(n)) => {
                ["a", "bb", "a-longer-text-than-twelve", "ä"][usize::from(*n % 4)].into()
            }
            (2, Some(n)) => (i64::from(*n) * 7 - 20).to_string(),
            (3, Some(n)) => ["0.25", "-1.5", "0", "-0", "1e3", "2.75"][usize::from(*n % 6)].into(),
            (4, Some(n)) => format!("{}.{:02}", i64::from(*n) - 3, *n),
            (5, Some(n)) => (n % 2 == 0).to_string(),
            (6, Some(n)) => (u64::from(*n) * 3).to_string(),
            (_, Some(n)) => format!("2024-01-0{}T00:00:00", n % 9 + 1),
        });
    text.collect::<Vec<_>>().join(" ")
}

/// A change: insert a row some times, or retract one of those inserted before.
#[derive(Debug, Clone)]
enum Change {
    Insert(Cells, i64),
    Retract(prop::sample::Index),
}

/// What happens between two changes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    None,
    Batch,
    Step,
    Restart(usize),
}

fn any_cells() -> impl Strategy<Value = Cells> {
    prop::collection::vec(prop::option::weighted(0.85, 0u8..6), columns().len())
}

fn any_script(retracting: bool) -> impl Strategy<Value = Vec<(Change, Cut)>> {
    let insert = (any_cells(), 1i64..3).prop_map(|(cells, weight)| Change::Insert(cells, weight));
    let change = match retracting {
        true => prop_oneof![
            3 => insert,
            2 => any::<prop::sample::Index>().prop_map(Change::Retract),
        ]
        .boxed(),
        false => insert.boxed(),
    };
    let cut = prop_oneof![
        6 => Just(Cut::None),
        1 => Just(Cut::Batch),
        2 => Just(Cut::Step),
        1 => (1usize..4).prop_map(Cut::Restart),
    ];
    prop::collection::vec((change, cut), 0..60)
}

/// A circuit under test, what goes into it next, and what came out of it.
struct Run<'a> {
    plan: &'a StepPlan,
    options: CircuitOptions,
    circuit: Circuit,
    store: Store,
    lines: Vec<String>,
    batches: Vec<ChangeBatch>,
    result: BTreeMap<String, i64>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a StepPlan, options: CircuitOptions) -> Self {
        Self {
            plan,
            circuit: Circuit::build(plan, &options).expect("the plan is good"),
            options,
            store: Store::default(),
            lines: Vec::new(),
            batches: Vec::new(),
            result: BTreeMap::new(),
        }
    }

    fn end_batch(&mut self) {
        if !self.lines.is_empty() {
            let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
            self.batches
                .push(changes(&self.plan.steps[0].schema, &lines, 0));
            self.lines.clear();
        }
    }

    fn end_step(&mut self) {
        self.end_batch();
        let input = std::mem::take(&mut self.batches);
        let output = step(&mut self.circuit, 0, input, &Reports::default());
        accumulate(&mut self.result, &output.expect("the step succeeds"));
    }

    fn restart(&mut self, slices: usize) {
        self.end_step();
        if self.options.durable {
            self.store.checkpoint(&mut self.circuit);
            self.options.slices = slices;
            self.circuit = self.store.restored(self.plan, &self.options);
        }
    }
}

/// What the engine gives for a script, and the rows that are left at its end.
fn run(
    plan: &StepPlan,
    script: &[(Change, Cut)],
    options: CircuitOptions,
) -> (BTreeMap<String, i64>, Vec<String>) {
    let mut run = Run::new(plan, options);
    let mut present: Vec<String> = Vec::new();
    for (change, cut) in script {
        match change {
            Change::Insert(cells, weight) => {
                let row = line(cells);
                run.lines.push(format!("{weight} {row}"));
                present.extend(std::iter::repeat_n(row, *weight as usize));
            }
            Change::Retract(index) if !present.is_empty() => {
                let row = present.remove(index.index(present.len()));
                run.lines.push(format!("- {row}"));
            }
            Change::Retract(_) => {}
        }
        match cut {
            Cut::None => {}
            Cut::Batch => run.end_batch(),
            Cut::Step => run.end_step(),
            Cut::Restart(slices) => run.restart(*slices),
        }
    }
    run.end_step();
    let mut held = BTreeMap::new();
    let snapshot = run
        .circuit
        .root_snapshot()
        .expect("the root is an aggregate");
    accumulate(&mut held, &snapshot.expect("it can be read"));
    assert_eq!(held, run.result, "the state holds what was emitted");
    (run.result, present)
}

/// An aggregate call in both worlds.
struct Case {
    sql: String,
    call: AggregateCall,
}

fn text(value: &str) -> ScalarExpr {
    ScalarExpr::Literal(Literal {
        data_type: DataType::Utf8,
        value: Some(value.into()),
    })
}

fn float(value: f64) -> ScalarExpr {
    ScalarExpr::Literal(Literal {
        data_type: DataType::Float64,
        value: Some(value.to_string()),
    })
}

const K: usize = 0;
const S: usize = 1;
const I: usize = 2;
const F: usize = 3;
const D: usize = 4;
const B: usize = 5;
const U: usize = 6;
const AT: usize = 7;

/// A call of `function` over columns and constants. The type of the result is DataFusion's.
fn case(sql: &str, function: &str, args: Vec<ScalarExpr>) -> Case {
    Case {
        sql: sql.into(),
        call: call(function, args, DataType::Null),
    }
}

impl Case {
    fn distinct(mut self) -> Self {
        self.call.distinct = true;
        self
    }

    fn filtered(mut self) -> Self {
        self.sql += " FILTER (WHERE i > 0)";
        self.call.filter = Some(binary(column(I), ">", int(0)));
        self
    }

    fn ordered(mut self, by: usize, descending: bool, nulls_first: bool) -> Self {
        self.call.order_by = vec![OrderBy {
            expr: column(by),
            descending,
            nulls_first,
        }];
        self
    }

    fn ignoring_nulls(mut self) -> Self {
        self.call.ignore_nulls = true;
        self
    }
}

/// Groups of calls, checked together.
fn linear() -> Vec<Case> {
    vec![
        case("count(*)", "count", vec![]),
        case("count(i)", "count", vec![column(I)]),
        case("count(*)", "count", vec![]).filtered(),
        case("sum(i)", "sum", vec![column(I)]),
        case("sum(i)", "sum", vec![column(I)]).filtered(),
        case("sum(u)", "sum", vec![column(U)]),
        case("sum(f)", "sum", vec![column(F)]),
        case("sum(d)", "sum", vec![column(D)]),
        case("avg(f)", "avg", vec![column(F)]),
        case("avg(d)", "avg", vec![column(D)]),
    ]
}

fn extrema() -> Vec<Case> {
    let mut cases = vec![case("bit_and(i)", "bit_and", vec![column(I)])];
    for name in ["min", "max"] {
        for (column_name, index) in [("i", I), ("s", S), ("f", F), ("d", D), ("b", B), ("at", AT)] {
            cases.push(case(
                &format!("{name}({column_name})"),
                name,
                vec![column(index)],
            ));
        }
    }
    cases.push(case("min(i)", "min", vec![column(I)]).filtered());
    cases.push(case("max(DISTINCT s)", "max", vec![column(S)]).distinct());
    cases.push(case("bit_or(i)", "bit_or", vec![column(I)]));
    cases.push(case("bit_xor(i)", "bit_xor", vec![column(I)]));
    cases.push(case("bit_or(u)", "bit_or", vec![column(U)]));
    cases.push(case("bool_and(b)", "bool_and", vec![column(B)]));
    cases.push(case("bool_or(b)", "bool_or", vec![column(B)]));
    cases
}

fn spread() -> Vec<Case> {
    let names = ["var", "var_pop", "stddev", "stddev_pop", "median"];
    let mut cases: Vec<Case> = names
        .iter()
        .map(|name| case(&format!("{name}(f)"), name, vec![column(F)]))
        .collect();
    let as_float = |index| ScalarExpr::Cast {
        expr: Box::new(column(index)),
        to: DataType::Float64,
        lenient: false,
    };
    cases.push(case("corr(f, i)", "corr", vec![column(F), as_float(I)]));
    cases.push(case(
        "covar_pop(f, i)",
        "covar_pop",
        vec![column(F), as_float(I)],
    ));
    cases.push(case(
        "percentile_cont(f, 0.5)",
        "percentile_cont",
        vec![column(F), float(0.5)],
    ));
    cases.push(case(
        "approx_distinct(i)",
        "approx_distinct",
        vec![column(I)],
    ));
    cases
}

fn distinct() -> Vec<Case> {
    vec![
        case("count(DISTINCT i)", "count", vec![column(I)]).distinct(),
        case("count(DISTINCT s)", "count", vec![column(S)]).distinct(),
        case("count(DISTINCT d)", "count", vec![column(D)]).distinct(),
        case("sum(DISTINCT i)", "sum", vec![column(I)]).distinct(),
        case("sum(DISTINCT i)", "sum", vec![column(I)])
            .distinct()
            .filtered(),
        case("avg(DISTINCT d)", "avg", vec![column(D)]).distinct(),
        case(
            "array_agg(DISTINCT i ORDER BY i DESC NULLS LAST)",
            "array_agg",
            vec![column(I)],
        )
        .distinct()
        .ordered(I, true, false),
    ]
}

fn ordered() -> Vec<Case> {
    vec![
        case("array_agg(i ORDER BY i)", "array_agg", vec![column(I)]).ordered(I, false, false),
        case("array_agg(s ORDER BY s DESC)", "array_agg", vec![column(S)]).ordered(S, true, true),
        case(
            "string_agg(s, '; ' ORDER BY s)",
            "string_agg",
            vec![column(S), text("; ")],
        )
        .ordered(S, false, false),
        case(
            "first_value(i ORDER BY i DESC NULLS LAST)",
            "first_value",
            vec![column(I)],
        )
        .ordered(I, true, false),
        case(
            "last_value(i ORDER BY i NULLS FIRST)",
            "last_value",
            vec![column(I)],
        )
        .ordered(I, false, true),
        case(
            "first_value(s ORDER BY s) IGNORE NULLS",
            "first_value",
            vec![column(S)],
        )
        .ordered(S, false, false)
        .ignoring_nulls(),
        case(
            "nth_value(s, 2 ORDER BY s)",
            "nth_value",
            vec![column(S), int(2)],
        )
        .ordered(S, false, false),
        case("array_agg(i ORDER BY i)", "array_agg", vec![column(I)])
            .ordered(I, false, false)
            .filtered(),
    ]
}

/// The relation of some rows, as text.
fn table(lines: &[String]) -> RecordBatch {
    let fields: Vec<Field> = columns()
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type, true))
        .collect();
    let lines: Vec<String> = lines.iter().map(|line| format!("+ {line}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    changes(&Schema::new(fields), &lines, 0).rows
}

fn check(
    mut cases: Vec<Case>,
    group_by: &[usize],
    retracting: bool,
    script: &[(Change, Cut)],
    options: CircuitOptions,
) {
    let names: Vec<&str> = group_by.iter().map(|column| columns()[*column].0).collect();
    let mut selected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    selected.extend(
        cases
            .iter()
            .enumerate()
            .map(|(i, case)| format!("{} AS a{i}", case.sql)),
    );
    let mut sql = format!("SELECT {} FROM t", selected.join(", "));
    if !names.is_empty() {
        sql += &format!(" GROUP BY {}", names.join(", "));
    }
    let types = batch_answer(table(&["1 a 1 1 1 true 1 2024-01-01".into()]), &sql);
    for (index, case) in cases.iter_mut().enumerate() {
        let column = types[0].column(group_by.len() + index);
        case.call.return_type = column.data_type().clone();
    }
    let mut plan = PlanBuilder::new(match retracting {
        true => ChangelogMode::Retract,
        false => ChangelogMode::AppendOnly,
    });
    let source = plan.source(&columns());
    plan.aggregate(
        source,
        group_by,
        cases.into_iter().map(|case| case.call).collect(),
    );
    let (result, present) = run(&plan.build(), script, options);
    assert_eq!(
        result,
        relation(&batch_answer(table(&present), &sql)),
        "{sql}"
    );
}

/// A property for each group of calls, with and without retractions.
macro_rules! incremental_equals_batch {
    ($($name:ident: $cases:ident by $keys:expr;)*) => {$(
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(48))]

                #[test]
                fn retracting(script in any_script(true), slices in 1usize..4, durable: bool) {
                    let options = CircuitOptions {
                        slices,
                        durable,
                        passes_marks: false,
                    };
                    check($cases(), &$keys, true, &script, options);
                }

                #[test]
                fn append_only(script in any_script(false), slices in 1usize..4, durable: bool) {
                    let options = CircuitOptions {
                        slices,
                        durable,
                        passes_marks: false,
                    };
                    check($cases(), &$keys, false, &script, options);
                }
            }
        }
    )*};
}

incremental_equals_batch! {
    linear_by_integer: linear by [K];
    linear_over_everything: linear by [];
    linear_by_text_and_float: linear by [S, F];
    extrema_by_integer: extrema by [K];
    extrema_by_boolean: extrema by [B];
    spread_by_float: spread by [F];
    spread_over_everything: spread by [];
    distinct_by_integer: distinct by [K];
    distinct_over_everything: distinct by [];
    ordered_by_integer: ordered by [K];
    ordered_over_everything: ordered by [];
    groups_alone: no_calls by [S, K];
}

fn no_calls() -> Vec<Case> {
    vec![]
}

/// Lists without an order of their own are in order of arrival; DataFusion's answer is over rows in
/// that order too, as long as nothing is retracted.
#[test]
fn lists_are_in_order_of_arrival_across_restarts() {
    let list = DataType::new_list(DataType::Int64, true);
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("k", DataType::Int64), ("i", DataType::Int64)]);
    plan.aggregate(source, &[0], vec![call("array_agg", vec![column(1)], list)]);
    let plan = plan.build();
    let mut run = Run::new(&plan, CircuitOptions::default());
    for (index, line) in ["+ 1 5", "+ 1 3", "+ 1 5", "+ 1 4", "- 1 5", "+ 1 1"]
        .iter()
        .enumerate()
    {
        run.lines.push((*line).to_owned());
        run.restart(1 + index % 3);
    }
    assert_eq!(
        run.result,
        BTreeMap::from([("1 [3, 5, 4, 1]".to_owned(), 1)])
    );
}

/// Large inputs take the parallel way; it must give the same.
#[test]
fn slices_on_threads_give_the_same() {
    let mut plan = PlanBuilder::new(ChangelogMode::AppendOnly);
    let source = plan.source(&[("k", DataType::Int64), ("i", DataType::Int64)]);
    let kept = plan.filter(source, binary(column(1), ">", int(10)));
    plan.aggregate(
        kept,
        &[0],
        vec![
            call("count", vec![], DataType::Int64),
            call("sum", vec![column(1)], DataType::Int64),
            call("min", vec![column(1)], DataType::Int64),
        ],
    );
    let plan = plan.build();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .expect("threads can be started");
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..100_000).map(|i| i * i % 977),
    ));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..100_000).map(|i| i % 1_000),
    ));
    let schema = plan.steps[0].schema.clone();
    let rows = RecordBatch::try_new(schema, vec![keys, values]).expect("columns fit");
    let answer = |options: CircuitOptions, workers: Option<&rayon::ThreadPool>| {
        let mut circuit = Circuit::build(&plan, &options).expect("the plan is good");
        let reports = Reports::default();
        let context = StepContext {
            epoch: 1,
            epoch_time: 0,
            errors: &reports,
            workers,
        };
        let mut result = BTreeMap::new();
        for start in [0, 50_000] {
            let rowtimes = (0..50_000).collect();
            let input = ChangeBatch::insertions(rows.slice(start, 50_000), rowtimes);
            let output = circuit.step(HashMap::from([(0, vec![input])]), &context);
            accumulate(&mut result, &output.expect("the step succeeds"));
        }
        result
    };
    let inline = answer(CircuitOptions::default(), None);
    assert_eq!(inline.len(), 489);
    assert_eq!(answer(CircuitOptions::for_pool(&pool), Some(&pool)), inline);
}

/// DataFusion counts −0 and 0 apart here, though it groups them together; PostgreSQL does neither.
#[test]
fn minus_zero_is_not_distinct_from_zero() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("f", DataType::Float64)]);
    let mut count = call("count", vec![column(0)], DataType::Int64);
    count.distinct = true;
    plan.aggregate(source, &[0], vec![count]);
    let plan = plan.build();
    let mut run = Run::new(&plan, CircuitOptions::default());
    run.lines = vec!["+ 0".into(), "+ -0".into()];
    run.end_step();
    assert_eq!(run.result, BTreeMap::from([("0.000000 1".to_owned(), 1)]));
}
