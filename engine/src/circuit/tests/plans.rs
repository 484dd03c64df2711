//! Plans of several operators.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use expect_test::expect;
use planner::step_plan::{ChangelogMode, StepPlan};

use super::support::*;
use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions, consolidate};
use crate::operator::{ErrorSink, RowError, StepContext};

const TEXT: DataType = DataType::Utf8;
const BIGINT: DataType = DataType::Int64;

/// How many cities have how many rows: an aggregate over an aggregate, both shared by a union.
fn counts_of_counts() -> StepPlan {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("city", TEXT), ("x", BIGINT)]);
    let positive = plan.filter(source, binary(column(1), ">", int(0)));
    let by_city = plan.aggregate(positive, &[0], vec![call("count", vec![], BIGINT)]);
    let by_count = plan.aggregate(by_city, &[1], vec![call("count", vec![], BIGINT)]);
    let sizes = plan.project(
        by_city,
        vec![(column(1), "a", BIGINT), (int(0), "b", BIGINT)],
    );
    plan.union(&[by_count, sizes]);
    plan.build()
}

#[test]
fn a_shared_result_reaches_all_its_readers() {
    let plan = counts_of_counts();
    let mut circuit = Circuit::build(&plan, &CircuitOptions::default()).expect("the plan is good");
    let reports = Reports::default();
    let mut text = String::new();
    for lines in [
        &["+ oslo 1", "+ rome 1", "+ rome 2", "+ bonn -1"][..],
        &["- rome 1"],
        &["+ bonn -5"],
    ] {
        let input = changes(&plan.steps[0].schema, lines, 10);
        let output = step(&mut circuit, 0, vec![input], &reports).expect("the step succeeds");
        text += &draw(&output);
        text += "--\n";
    }
    for step in circuit.statistics() {
        text += &format!("{} {} -> {}\n", step.step, step.rows_in, step.rows_out);
    }
    expect![[r#"
        + 1 1
        + 2 1
        + 1 0
        + 2 0
        --
        - 2 1
        - 1 1
        + 1 2
        - 2 0
        + 1 0
        --
        --
        s0 6 -> 6
        s1 6 -> 4
        s2 4 -> 4
        s3 4 -> 5
        s4 4 -> 4
        s5 9 -> 9
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_restored_circuit_goes_on_where_it_was() {
    let plan = counts_of_counts();
    let options = CircuitOptions::default();
    let mut circuit = Circuit::build(&plan, &options).expect("the plan is good");
    let (store, reports) = (Store::default(), Reports::default());
    let schema = &plan.steps[0].schema;
    let first = changes(schema, &["+ oslo 1", "+ rome 1", "+ rome 2"], 10);
    step(&mut circuit, 0, vec![first], &reports).expect("the step succeeds");
    store.checkpoint(&mut circuit);
    let second = changes(schema, &["- oslo 1", "+ rome 3"], 20);
    let expected = step(&mut circuit, 0, vec![second.clone()], &reports).expect("it succeeds");
    let mut restored = store.restored(&plan, &options);
    let output = step(&mut restored, 0, vec![second], &reports).expect("it succeeds");
    assert_eq!(draw(&output), draw(&expected));
    store.checkpoint(&mut restored);
    // One city is left, of one count.
    assert_eq!(store.len(), 2);
}

#[test]
fn unnest_repeats_the_other_columns() {
    let list = DataType::new_list(BIGINT, true);
    for preserve_nulls in [false, true] {
        let mut plan = PlanBuilder::new(ChangelogMode::Retract);
        let source = plan.source(&[("k", BIGINT), ("xs", list.clone())]);
        plan.unnest(source, 1, preserve_nulls);
        let plan = plan.build();
        let mut circuit = Circuit::build(&plan, &CircuitOptions::default()).expect("it is good");
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(10), None]),
            None,
            Some(vec![]),
        ]));
        let rows = RecordBatch::try_new(plan.steps[0].schema.clone(), vec![keys, lists])
            .expect("columns fit");
        let input = ChangeBatch::new(rows, vec![1, 1, -1].into(), vec![7, 8, 9].into());
        let output =
            step(&mut circuit, 0, vec![input], &Reports::default()).expect("the step succeeds");
        let expected = match preserve_nulls {
            false => expect![[r#"
                  + 1 10
                  + 1 NULL
            "#]],
            true => expect![[r#"
                  + 1 10
                  + 1 NULL
                  + 2 NULL
                  - 3 NULL
            "#]],
        };
        expected.assert_eq(&draw(&output));
    }
}

#[test]
fn the_rowtime_column_is_made_from_rowtimes() {
    let mut plan = PlanBuilder::new(ChangelogMode::AppendOnly);
    plan.source_with_rowtime(&[("x", BIGINT)]);
    let plan = plan.build();
    let mut circuit = Circuit::build(&plan, &CircuitOptions::default()).expect("the plan is good");
    let schema = plan.steps[0].schema.project(&[0]).expect("there is one");
    let input = changes(&schema, &["+ 1", "+ 2"], 1_000_000);
    let output = step(&mut circuit, 0, vec![input], &Reports::default()).expect("it succeeds");
    expect![[r#"
          + 1 1970-01-01T00:00:01Z
          + 2 1970-01-01T00:00:01.000001Z
    "#]]
    .assert_eq(&draw(&output));
}

#[test]
fn the_result_of_an_aggregate_can_be_read_from_its_state() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("city", TEXT), ("x", BIGINT)]);
    let sums = plan.aggregate(source, &[0], vec![call("sum", vec![column(1)], BIGINT)]);
    plan.project(
        sums,
        vec![(column(1), "total", BIGINT), (column(0), "city", TEXT)],
    );
    let plan = plan.build();
    let mut circuit = Circuit::build(
        &plan,
        &CircuitOptions {
            slices: 2,
            ..Default::default()
        },
    )
    .expect("the plan is good");
    let input = changes(
        &plan.steps[0].schema,
        &["+ oslo 1", "+ rome 2", "+ rome 3"],
        10,
    );
    step(&mut circuit, 0, vec![input], &Reports::default()).expect("the step succeeds");

    let mut all = std::collections::BTreeMap::new();
    let snapshot = circuit.root_snapshot().expect("the root is an aggregate");
    accumulate(&mut all, &snapshot.expect("it can be read"));
    assert_eq!(all.into_keys().collect::<Vec<_>>(), ["1 oslo", "5 rome"]);

    assert_eq!(circuit.root_key(), Some(vec![1]));
    let keys: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["rome", "bonn"]));
    let found = circuit
        .root_lookup(&[keys])
        .expect("the root is an aggregate");
    assert_eq!(draw(&found.expect("it can be read")), "+ 5 rome\n");
}

#[test]
fn a_panic_becomes_an_error_and_ends_the_circuit() {
    struct Panics;
    impl ErrorSink for Panics {
        fn report(&self, error: RowError) {
            panic!("no room for {}", error.reason);
        }
    }
    let mut plan = PlanBuilder::new(ChangelogMode::AppendOnly);
    let source = plan.source(&[("x", BIGINT)]);
    plan.project(source, vec![(binary(int(1), "/", column(0)), "q", BIGINT)]);
    let plan = plan.build();
    let mut circuit = Circuit::build(&plan, &CircuitOptions::default()).expect("the plan is good");
    let context = StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: &Panics,
        workers: None,
    };
    let mut run = |line: &str| {
        let input = changes(&plan.steps[0].schema, &[line], 0);
        let error = circuit.step(HashMap::from([(0, vec![input])]), &context);
        error.expect_err("the step fails").to_string()
    };
    assert_eq!(
        run("+ 0"),
        "internal error: an operator panicked: no room for division by zero"
    );
    assert!(run("+ 1").contains("must be rebuilt"));
}

#[test]
fn consolidation_sums_weights_and_pairs_updates() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("city", TEXT), ("x", BIGINT)]);
    let schema = plan.schema(source).clone();
    let lines = [
        "+ oslo 2", "- rome 1", "- oslo 1", "+ bonn 1", "- bonn 1", "+ rome 1", "+ rome 1",
        "+ oslo 3", "- oslo 2",
    ];
    let input = vec![
        changes(&schema, &lines[..4], 0),
        changes(&schema, &lines[4..], 4),
    ];
    let plain = consolidate(input.clone(), &[]).expect("rows can be compared");
    let keyed = consolidate(input, &[0]).expect("rows can be compared");
    expect![[r#"
        + rome 1
        - oslo 1
        + oslo 3
        --
        + rome 1
        - oslo 1
        + oslo 3
    "#]]
    .assert_eq(&format!("{}--\n{}", draw(&plain), draw(&keyed)));
}
