use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::Operator as Compare;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::operator::ChunkSource;
use crate::operator::{ErrorSink, RowError};
use crate::state::testing::{SharedStore, accumulate, draw};

/// Key, second key, value.
type Row = (Option<i64>, Option<&'static str>, i64);

struct NoErrors;

impl ErrorSink for NoErrors {
    fn report(&self, error: RowError) {
        panic!("{error:?}");
    }
}

fn context(workers: Option<&rayon::ThreadPool>) -> StepContext<'_> {
    StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: &NoErrors,
        workers,
    }
}

fn input_schema(side: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(format!("{side}k"), DataType::Int64, true),
        Field::new(format!("{side}t"), DataType::Utf8, true),
        Field::new(format!("{side}v"), DataType::Int64, true),
    ]))
}

fn output_schema(kind: JoinKind) -> SchemaRef {
    let mut fields = input_schema("l").fields().to_vec();
    if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
        fields.extend(input_schema("r").fields().iter().cloned());
    }
    Arc::new(Schema::new(fields))
}

fn changes(schema: &SchemaRef, weighted: &[(i64, Row)]) -> ChangeBatch {
    let keys: Int64Array = weighted.iter().map(|(_, row)| row.0).collect();
    let texts: StringArray = weighted.iter().map(|(_, row)| row.1).collect();
    let values: Int64Array = weighted.iter().map(|(_, row)| Some(row.2)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(texts), Arc::new(values)];
    ChangeBatch::new(
        RecordBatch::try_new(schema.clone(), columns).expect("columns as in the schema"),
        weighted.iter().map(|(weight, _)| *weight).collect(),
        weighted.iter().map(|(_, row)| row.2 * 10).collect(),
    )
}

/// What is on both sides of `=`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum On {
    Nothing,
    Key,
    KeyAndText,
    /// `lk + 1 = rk`.
    Computed,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    kind: JoinKind,
    on: On,
    /// `lv < rv`.
    filtered: bool,
    null_equals_null: bool,
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

fn join(case: Case, lookup: bool, slices: usize) -> Join {
    let (left, right) = (input_schema("l"), input_schema("r"));
    let pair = |l: Arc<dyn PhysicalExpr>, r: Arc<dyn PhysicalExpr>| {
        (
            Expression::new(l, &left, "join").expect("typed"),
            Expression::new(r, &right, "join").expect("typed"),
        )
    };
    let key = || pair(column("lk", 0), column("rk", 0));
    let on = match case.on {
        On::Nothing => vec![],
        On::Key => vec![key()],
        On::KeyAndText => vec![key(), pair(column("lt", 1), column("rt", 1))],
        On::Computed => {
            let next = BinaryExpr::new(column("lk", 0), Compare::Plus, lit(1i64));
            vec![pair(Arc::new(next), column("rk", 0))]
        }
    };
    let filter = case.filtered.then(|| {
        let less = BinaryExpr::new(column("lv", 2), Compare::Lt, column("rv", 5));
        let both = output_schema(JoinKind::Inner);
        Expression::new(Arc::new(less), &both, "join").expect("typed")
    });
    let options = JoinOptions {
        null_equals_null: case.null_equals_null,
        lookup,
        slices,
    };
    let output = output_schema(case.kind);
    Join::new(case.kind, on, filter, &left, &right, output, options).expect("a valid join")
}

/// The join by definition.
fn batch_join(case: Case, left: &[(i64, Row)], right: &[(i64, Row)]) -> BTreeMap<String, i64> {
    let matches = |l: &Row, r: &Row| {
        let keys: Vec<(Option<String>, Option<String>)> = match case.on {
            On::Nothing => vec![],
            On::Key => vec![(text(&l.0), text(&r.0))],
            On::KeyAndText => vec![(text(&l.0), text(&r.0)), (text(&l.1), text(&r.1))],
            On::Computed => vec![(text(&l.0.map(|k| k + 1)), text(&r.0))],
        };
        let equal = keys
            .iter()
            .all(|(l, r)| l == r && (case.null_equals_null || l.is_some()));
        equal && (!case.filtered || l.2 < r.2)
    };
    let show = |row: &Row| {
        let key = text(&row.0).unwrap_or_else(|| "-".into());
        format!("{key} {} {}", row.1.unwrap_or("-"), row.2)
    };
    let nulls = "- - -".to_owned();
    let mut result: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |row: String, weight: i64| *result.entry(row).or_default() += weight;
    for (lw, l) in left {
        let matched: Vec<&(i64, Row)> = right.iter().filter(|(_, r)| matches(l, r)).collect();
        match case.kind {
            JoinKind::LeftSemi if !matched.is_empty() => add(show(l), *lw),
            JoinKind::LeftAnti if matched.is_empty() => add(show(l), *lw),
            JoinKind::LeftSemi | JoinKind::LeftAnti => {}
            _ => {
                for (rw, r) in &matched {
                    add(format!("{} {}", show(l), show(r)), lw * rw);
                }
                if matched.is_empty() && matches!(case.kind, JoinKind::Left | JoinKind::Full) {
                    add(format!("{} {nulls}", show(l)), *lw);
                }
            }
        }
    }
    if matches!(case.kind, JoinKind::Right | JoinKind::Full) {
        for (rw, r) in right {
            if !left.iter().any(|(_, l)| matches(l, r)) {
                add(format!("{nulls} {}", show(r)), *rw);
            }
        }
    }
    result
}

fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        prop::option::weighted(0.8, 0i64..4),
        prop::option::of(prop::sample::select(vec!["a", "b"])),
        0i64..4,
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    use JoinKind::*;
    (
        prop::sample::select(vec![Inner, Left, Right, Full, LeftSemi, LeftAnti]),
        prop::sample::select(vec![On::Nothing, On::Key, On::KeyAndText, On::Computed]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, on, filtered, null_equals_null)| Case {
            kind,
            on,
            filtered,
            null_equals_null,
        })
}

#[derive(Debug, Clone)]
struct Edit {
    right: bool,
    insert: bool,
    pick: usize,
    row: Row,
    weight: i64,
    /// Whether a new batch begins here.
    cut: bool,
}

fn any_edit() -> impl Strategy<Value = Edit> {
    (
        any::<bool>(),
        prop::bool::weighted(0.6),
        any::<usize>(),
        any_row(),
        1i64..3,
        any::<bool>(),
    )
        .prop_map(|(right, insert, pick, row, weight, cut)| Edit {
            right,
            insert,
            pick,
            row,
            weight,
            cut,
        })
}

/// Makes an edit, and gives the change that it is.
fn edit(model: &mut Vec<(i64, Row)>, edit: &Edit) -> (i64, Row) {
    if edit.insert || model.is_empty() {
        model.push((edit.weight, edit.row));
        return (edit.weight, edit.row);
    }
    let picked = edit.pick % model.len();
    let row = model[picked].1;
    model[picked].0 -= 1;
    if model[picked].0 == 0 {
        model.swap_remove(picked);
    }
    (-1, row)
}

/// Cuts changes of one step into batches.
fn batches(schema: &SchemaRef, step: &[(i64, Row, bool)]) -> Vec<ChangeBatch> {
    let mut batches: Vec<Vec<(i64, Row)>> = Vec::new();
    for (weight, row, cut) in step {
        match batches.last_mut() {
            Some(last) if !cut => last.push((*weight, *row)),
            _ => batches.push(vec![(*weight, *row)]),
        }
    }
    batches.iter().map(|batch| changes(schema, batch)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// However the changes are cut into steps, batches and slices, and wherever it restarts or gives
    /// up what is on disk, the output adds up to the join of what the inputs add up to.
    #[test]
    fn the_output_adds_up_to_the_batch_join(
        case in any_case(),
        steps in prop::collection::vec(
            (prop::collection::vec(any_edit(), 0..10), prop::option::weighted(0.4, 0usize..4)),
            1..14,
        ),
    ) {
        let (left_schema, right_schema) = (input_schema("l"), input_schema("r"));
        let mut join_now = join(case, false, 2);
        let mut store = SharedStore::default();
        let source: Arc<dyn ChunkSource> = Arc::new(store.clone());
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut accumulated = BTreeMap::new();
        for (edits, restart) in &steps {
            let (mut left_step, mut right_step) = (Vec::new(), Vec::new());
            for one in edits {
                let (model, step) = match one.right {
                    true => (&mut right, &mut right_step),
                    false => (&mut left, &mut left_step),
                };
                let (weight, row) = edit(model, one);
                step.push((weight, row, one.cut));
            }
            let inputs = vec![batches(&left_schema, &left_step), batches(&right_schema, &right_step)];
            let output = join_now.step(inputs, &context(None)).expect("steps");
            let mut signs: BTreeMap<String, i64> = BTreeMap::new();
            for changes in &output {
                accumulate(&mut accumulated, changes);
                for line in draw(changes).lines() {
                    let (weight, row) = line.split_once(' ').expect("weight and row");
                    let sign = weight.parse::<i64>().expect("a number").signum();
                    prop_assert_eq!(*signs.entry(row.to_owned()).or_insert(sign), sign);
                }
            }
            prop_assert_eq!(&accumulated, &batch_join(case, &left, &right));
            if let Some(slices) = restart {
                join_now.checkpoint(&mut store).expect("writes");
                join_now.saved();
                match slices {
                    0 => drop(join_now.evict(usize::MAX, &source)),
                    _ => {
                        join_now = join(case, false, *slices);
                        join_now.restore(&store).expect("reads");
                    }
                }
                prop_assert_eq!(join_now.evictable_bytes(), 0);
            }
        }
    }

    /// Each left row is joined once, with the right side as it was after the same step.
    #[test]
    fn a_lookup_sees_the_right_side_of_its_step(
        kind in prop::sample::select(vec![
            JoinKind::Inner, JoinKind::Left, JoinKind::LeftSemi, JoinKind::LeftAnti,
        ]),
        on in prop::sample::select(vec![On::Key, On::KeyAndText, On::Computed]),
        filtered in any::<bool>(),
        steps in prop::collection::vec(prop::collection::vec(any_edit(), 0..10), 1..10),
    ) {
        let case = Case { kind, on, filtered, null_equals_null: false };
        let (left_schema, right_schema) = (input_schema("l"), input_schema("r"));
        let mut join_now = join(case, true, 2);
        let mut store = SharedStore::default();
        let mut right = Vec::new();
        for edits in &steps {
            let (mut left_step, mut right_step) = (Vec::new(), Vec::new());
            for one in edits {
                match one.right {
                    true => {
                        let (weight, row) = edit(&mut right, one);
                        right_step.push((weight, row, one.cut));
                    }
                    false => left_step.push((1, one.row, one.cut)),
                }
            }
            let inputs = vec![batches(&left_schema, &left_step), batches(&right_schema, &right_step)];
            let output = join_now.step(inputs, &context(None)).expect("steps");
            let mut accumulated = BTreeMap::new();
            output.iter().for_each(|changes| accumulate(&mut accumulated, changes));
            let left: Vec<(i64, Row)> = left_step.iter().map(|(w, row, _)| (*w, *row)).collect();
            prop_assert_eq!(accumulated, batch_join(case, &left, &right));
            join_now.checkpoint(&mut store).expect("writes");
            join_now = join(case, true, 1);
            join_now.restore(&store).expect("reads");
        }
    }
}

/// Changes of the left and of the right input.
type Step<'a> = (&'a [(i64, Row)], &'a [(i64, Row)]);

fn check(case: Case, steps: &[Step<'_>], expected: Expect) {
    let mut join = join(case, false, 1);
    let mut drawing = String::new();
    for (number, (left, right)) in steps.iter().enumerate() {
        let inputs = vec![
            vec![changes(&input_schema("l"), left)],
            vec![changes(&input_schema("r"), right)],
        ];
        let output = join.step(inputs, &context(None)).expect("steps");
        drawing += &format!("step {}\n", number + 1);
        for changes in output {
            for (row, line) in draw(&changes).lines().enumerate() {
                drawing += &format!("  {line} @{}\n", changes.rowtimes[row]);
            }
        }
    }
    expected.assert_eq(&drawing);
}

fn row(key: i64, value: i64) -> Row {
    (Some(key), None, value)
}

fn keyed(kind: JoinKind) -> Case {
    Case {
        kind,
        on: On::Key,
        filtered: false,
        null_equals_null: false,
    }
}

#[test]
fn an_update_on_both_sides_is_one_retraction_and_one_insertion() {
    check(
        keyed(JoinKind::Inner),
        &[
            (&[(1, row(1, 1))], &[(1, row(1, 2))]),
            (
                &[(-1, row(1, 1)), (1, row(1, 3))],
                &[(-1, row(1, 2)), (1, row(1, 4))],
            ),
        ],
        expect![[r#"
            step 1
              +1 1 - 1 1 - 2 @20
            step 2
              -1 1 - 1 1 - 2 @20
              +1 1 - 3 1 - 4 @40
        "#]],
    );
}

#[test]
fn an_outer_row_meets_its_match_and_loses_it() {
    check(
        keyed(JoinKind::Full),
        &[
            (&[(1, row(1, 1)), (1, row(2, 1))], &[(1, row(2, 2))]),
            (&[], &[(1, row(1, 5)), (1, row(1, 6))]),
            (&[], &[(-1, row(1, 5))]),
            (&[], &[(-1, row(1, 6)), (-1, row(2, 2))]),
            (&[(-1, row(1, 1))], &[(1, row(3, 3))]),
        ],
        expect![[r#"
            step 1
              +1 1 - 1 - - - @10
              +1 2 - 1 2 - 2 @20
            step 2
              -1 1 - 1 - - - @50
              +1 1 - 1 1 - 5 @50
              +1 1 - 1 1 - 6 @60
            step 3
              -1 1 - 1 1 - 5 @50
            step 4
              -1 1 - 1 1 - 6 @60
              -1 2 - 1 2 - 2 @20
              +1 1 - 1 - - - @60
              +1 2 - 1 - - - @20
            step 5
              -1 1 - 1 - - - @10
              +1 - - - 3 - 3 @30
        "#]],
    );
}

#[test]
fn a_semi_join_repeats_nothing() {
    check(
        keyed(JoinKind::LeftSemi),
        &[
            (
                &[(1, row(1, 1)), (2, row(1, 2))],
                &[(1, row(1, 1)), (1, row(1, 2))],
            ),
            (&[], &[(-1, row(1, 1))]),
            (&[], &[(-1, row(1, 2))]),
        ],
        expect![[r#"
            step 1
              +2 1 - 2 @20
              +1 1 - 1 @10
            step 2
            step 3
              -2 1 - 2 @20
              -1 1 - 1 @20
        "#]],
    );
}

#[test]
fn an_anti_join_counts_only_matches_that_pass() {
    check(
        Case {
            filtered: true,
            ..keyed(JoinKind::LeftAnti)
        },
        &[
            (&[(1, row(1, 5))], &[(1, row(1, 4))]),
            (&[], &[(1, row(1, 6)), (1, row(1, 7))]),
            (&[], &[(-1, row(1, 6))]),
            (&[], &[(-1, row(1, 7))]),
        ],
        expect![[r#"
            step 1
              +1 1 - 5 @50
            step 2
              -1 1 - 5 @70
            step 3
            step 4
              +1 1 - 5 @70
        "#]],
    );
}

#[test]
fn a_large_step_on_several_threads_gives_what_one_thread_gives() {
    let workers = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("threads start");
    let left: Vec<(i64, Row)> = (0..20_000)
        .map(|n| (1, (Some(n % 3_000), None, n)))
        .collect();
    let right: Vec<(i64, Row)> = (0..5_000).map(|n| (1, (Some(n), None, n % 7))).collect();
    for lookup in [false, true] {
        let case = keyed(JoinKind::Left);
        let run = |slices: usize, workers: Option<&rayon::ThreadPool>| {
            let inputs = vec![
                vec![changes(&input_schema("l"), &left)],
                vec![changes(&input_schema("r"), &right)],
            ];
            let mut join = join(case, lookup, slices);
            let output = join.step(inputs, &context(workers)).expect("steps");
            let mut accumulated = BTreeMap::new();
            output
                .iter()
                .for_each(|changes| accumulate(&mut accumulated, changes));
            accumulated
        };
        let inline = run(1, None);
        assert_eq!(inline.len(), 20_000);
        assert!(inline == run(4, Some(&workers)));
    }
}

#[test]
fn a_retraction_of_what_never_came_is_an_error() {
    let mut join = join(keyed(JoinKind::Inner), false, 1);
    let inputs = vec![
        vec![changes(&input_schema("l"), &[(-1, row(1, 1))])],
        vec![],
    ];
    let output = join.step(inputs, &context(None));
    assert!(matches!(output, Err(StepError::NegativeCount)));
}
