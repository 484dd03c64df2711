//! Steps in, changes out.

use arrow::datatypes::DataType;
use expect_test::{Expect, expect};
use planner::scalar_expr::ScalarExpr;
use planner::step_plan::{ChangelogMode, OrderBy, StepPlan};

use super::support::*;
use crate::circuit::{Circuit, CircuitOptions};

/// Draws what each step gives for changes of the first source.
fn check(plan: StepPlan, steps: &[&[&str]], expected: Expect) {
    let mut circuit = Circuit::build(&plan, &CircuitOptions::default()).expect("the plan is good");
    let reports = Reports::default();
    let mut text = String::new();
    for (index, lines) in steps.iter().enumerate() {
        let input = changes(&plan.steps[0].schema, lines, 10 * (index as i64 + 1));
        text += &format!("step {}\n", index + 1);
        match step(&mut circuit, 0, vec![input], &reports) {
            Ok(output) => {
                for line in draw(&output).lines() {
                    text += &format!("  {line}\n");
                }
            }
            Err(error) => text += &format!("  error: {error}\n"),
        }
        for error in std::mem::take(&mut *reports.0.lock().expect("nobody panics here")) {
            text += &format!("  ! {}: {} {}\n", error.expression, error.reason, error.row);
        }
    }
    expected.assert_eq(&text);
}

const TEXT: DataType = DataType::Utf8;
const BIGINT: DataType = DataType::Int64;

fn by_city(aggregates: Vec<planner::step_plan::AggregateCall>) -> StepPlan {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("city", TEXT), ("x", BIGINT)]);
    plan.aggregate(source, &[0], aggregates);
    plan.build()
}

#[test]
fn an_update_retracts_the_old_row() {
    let plan = by_city(vec![
        call("count", vec![], BIGINT),
        call("sum", vec![column(1)], BIGINT),
        call("max", vec![column(1)], BIGINT),
    ]);
    check(
        plan,
        &[
            &["+ oslo 5", "+ rome 1"],
            &["+ oslo 7", "+ NULL 2"],
            &["- oslo 7", "- rome 1"],
            &["+ oslo NULL", "- oslo 5"],
        ],
        expect![[r#"
            step 1
              + oslo 1 5 5
              + rome 1 1 1
            step 2
              - oslo 1 5 5
              + oslo 2 12 7
              + NULL 1 2 2
            step 3
              - oslo 2 12 7
              + oslo 1 5 5
              - rome 1 1 1
            step 4
              - oslo 1 5 5
              + oslo 1 NULL NULL
        "#]],
    );
}

#[test]
fn nothing_is_emitted_where_nothing_changed() {
    check(
        by_city(vec![call("max", vec![column(1)], BIGINT)]),
        &[
            &["+ oslo 5"],
            &["+ oslo 3"],
            &["- oslo 3"],
            &["- oslo 5", "+ oslo 5"],
        ],
        expect![[r#"
            step 1
              + oslo 5
            step 2
            step 3
            step 4
        "#]],
    );
}

#[test]
fn distinct_emits_a_row_once() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("city", TEXT), ("x", BIGINT)]);
    plan.aggregate(source, &[0, 1], vec![]);
    check(
        plan.build(),
        &[
            &["+ oslo 5", "+ oslo 5", "+ NULL NULL"],
            &["- oslo 5", "+ NULL NULL"],
            &["- oslo 5", "-2 NULL NULL"],
        ],
        expect![[r#"
            step 1
              + oslo 5
              + NULL NULL
            step 2
            step 3
              - oslo 5
              - NULL NULL
        "#]],
    );
}

#[test]
fn an_aggregate_over_everything_always_has_its_row() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("x", BIGINT)]);
    plan.aggregate(
        source,
        &[],
        vec![
            call("count", vec![], BIGINT),
            call("sum", vec![column(0)], BIGINT),
        ],
    );
    check(
        plan.build(),
        &[&[], &[], &["+ 5", "+ 6"], &["- 5", "- 6"]],
        expect![[r#"
            step 1
              + 0 NULL
            step 2
            step 3
              - 0 NULL
              + 2 11
            step 4
              - 2 11
              + 0 NULL
        "#]],
    );
}

#[test]
fn retracting_what_is_not_there_is_an_error() {
    check(
        by_city(vec![call("count", vec![], BIGINT)]),
        &[&["+ oslo 5"], &["-2 oslo 5"], &["+ oslo 5"]],
        expect![[r#"
            step 1
              + oslo 1
            step 2
              error: a row was retracted that is not there
            step 3
              error: internal error: the circuit has failed before and must be rebuilt
        "#]],
    );
}

#[test]
fn a_sum_out_of_range_is_null_until_it_is_back() {
    check(
        by_city(vec![call("sum", vec![column(1)], BIGINT)]),
        &[
            &["+ oslo 9223372036854775807"],
            &["+ oslo 1"],
            &["- oslo 1"],
        ],
        expect![[r#"
            step 1
              + oslo 9223372036854775807
            step 2
              - oslo 9223372036854775807
              + oslo NULL
              ! sum(x): bigint out of range {"city":"oslo"}
            step 3
              - oslo NULL
              + oslo 9223372036854775807
        "#]],
    );
}

#[test]
fn lists_keep_the_order_of_arrival_or_their_own() {
    let list = DataType::new_list(BIGINT, true);
    let mut ordered = call("array_agg", vec![column(1)], list.clone());
    ordered.order_by = vec![OrderBy {
        expr: column(1),
        descending: true,
        nulls_first: false,
    }];
    check(
        by_city(vec![call("array_agg", vec![column(1)], list), ordered]),
        &[
            &["+ oslo 5", "+ oslo 7", "+ oslo NULL", "+ oslo 5"],
            &["- oslo 5", "+ oslo 6"],
        ],
        expect![[r#"
            step 1
              + oslo [5, 7, NULL, 5] [7, 5, 5, NULL]
            step 2
              - oslo [5, 7, NULL, 5] [7, 5, 5, NULL]
              + oslo [7, NULL, 5, 6] [7, 6, 5, NULL]
        "#]],
    );
}

fn checked_add(left: ScalarExpr, right: ScalarExpr) -> ScalarExpr {
    ScalarExpr::Function {
        name: "_add".into(),
        args: vec![left, right],
    }
}

#[test]
fn a_row_that_fails_gives_null_and_a_report() {
    let mut plan = PlanBuilder::new(ChangelogMode::Retract);
    let source = plan.source(&[("x", BIGINT), ("y", BIGINT)]);
    let kept = plan.filter(source, binary(column(0), ">", int(0)));
    plan.project(
        kept,
        vec![
            (column(1), "y", BIGINT),
            (binary(column(0), "/", column(1)), "q", BIGINT),
            (checked_add(column(0), int(i64::MAX - 6)), "s", BIGINT),
        ],
    );
    check(
        plan.build(),
        &[
            &["+ 6 3", "+ 7 0", "+ -1 0", "+ NULL 1"],
            // A retraction fails alike, without another report.
            &["- 7 0"],
        ],
        expect![[r#"
            step 1
              + 3 2 9223372036854775807
              + 0 NULL NULL
              ! x / y: division by zero {"x":7,"y":0}
              ! x + 9223372036854775801: bigint out of range {"x":7,"y":0}
            step 2
              - 0 NULL NULL
        "#]],
    );
}
