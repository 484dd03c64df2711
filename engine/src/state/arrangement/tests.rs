use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, Int64Array};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::state::snapshot::Matches;
use crate::state::testing::{
    MemoryStore, Row, SharedStore, accumulate, changes, draw, row_text, rows, schema,
};

fn contents(snapshot: &Snapshot) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    for changes in snapshot.changes() {
        accumulate(&mut all, &changes.expect("gathers"));
    }
    all
}

fn text(all: &BTreeMap<String, i64>) -> String {
    all.iter()
        .map(|(row, weight)| format!("{weight} × {row}\n"))
        .collect()
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        prop::option::weighted(0.9, 0i64..6),
        prop::option::of(prop::sample::select(vec![
            "a",
            "b",
            "a longer text than that",
        ])),
        prop::option::of(prop::sample::select(vec![0.0, -0.0, f64::NAN, 1.5])),
    )
}

/// Saves, and loads what was saved into a new arrangement.
fn restart(arrangement: &mut Arrangement, store: &mut MemoryStore) {
    arrangement.checkpoint(b"x", store).expect("writes");
    let mut fresh = Arrangement::new(arrangement.schema().clone(), arrangement.key.clone());
    fresh.restore(b"x", store).expect("reads");
    *arrangement = fresh;
}

/// As [`restart`], but rows come when they are looked at.
fn restart_lazily(arrangement: &mut Arrangement, store: &mut SharedStore) {
    arrangement.checkpoint(b"x", store).expect("writes");
    let mut fresh = Arrangement::new(arrangement.schema().clone(), arrangement.key.clone());
    fresh.restore(b"x", store).expect("reads");
    assert_eq!(fresh.evictable_bytes(), 0);
    *arrangement = fresh;
}

/// Gives up all that may be given up.
fn evict(arrangement: &mut Arrangement, store: &mut SharedStore) {
    arrangement.checkpoint(b"x", store).expect("writes");
    arrangement.saved();
    let source: Arc<dyn crate::operator::ChunkSource> = Arc::new(store.clone());
    arrangement.evict(usize::MAX, &source, b"x");
    assert_eq!(arrangement.evictable_bytes(), 0);
}

/// Every row can be found by its key, and nothing else can.
fn assert_indexed(arrangement: &Arrangement) {
    let mut snapshot = arrangement.snapshot();
    snapshot.fetch_all().expect("reads");
    let snapshot = &snapshot;
    for changes in snapshot.changes() {
        let changes = changes.expect("gathers");
        let key: Vec<_> = snapshot
            .key
            .iter()
            .map(|c| changes.column(*c).clone())
            .collect();
        let keys = Keys::new(&key, changes.num_rows(), true);
        let mut matches = Matches::default();
        snapshot
            .probe(&keys)
            .next(snapshot, usize::MAX, &mut matches);
        let found = snapshot
            .gather_changes(&matches.stored, |row| snapshot.weight(row))
            .expect("gathers");
        for row in 0..changes.num_rows() {
            let expected = row_text(&changes.rows, row);
            let hits = (0..matches.probe.len())
                .filter(|m| matches.probe[*m] == row as u32)
                .filter(|m| row_text(&found.rows, *m) == expected)
                .count();
            assert!(hits >= 1, "{expected} is not indexed");
        }
    }
    let mut rows = 0;
    for chunk in snapshot.live_chunks() {
        rows += chunk.weights.live_rows();
        assert!(chunk.weights.live_rows() >= chunk.weights.dead_rows());
    }
    assert_eq!(rows, snapshot.num_rows());
    if !arrangement.has_chains() {
        assert_eq!(rows, snapshot.index.len());
    }
}

#[derive(Debug, Clone)]
enum Action {
    Apply(Vec<(bool, usize, Row, i64)>),
    Restart,
    Evict,
    Snapshot,
}

fn any_action() -> impl Strategy<Value = Action> {
    let change = (any::<bool>(), any::<usize>(), any_row(), 1i64..3);
    prop_oneof![
        8 => prop::collection::vec(change, 1..8).prop_map(Action::Apply),
        1 => Just(Action::Restart),
        2 => Just(Action::Evict),
        1 => Just(Action::Snapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A multiset under any index holds what a map from rows to counts holds, and a snapshot what
    /// the map held when it was taken.
    #[test]
    fn an_arrangement_is_a_multiset(
        key in prop::sample::select(vec![
            Key::Row, Key::Secondary(vec![0]), Key::Secondary(vec![1, 0]), Key::Secondary(vec![]),
        ]),
        actions in prop::collection::vec(any_action(), 1..60),
        by_row in any::<bool>(),
    ) {
        let mut arrangement = Arrangement::new(schema(), key.clone());
        let mut store = SharedStore::default();
        let mut model: Vec<Row> = Vec::new();
        let mut snapshots = Vec::new();
        for action in actions {
            match action {
                Action::Apply(edits) => {
                    let mut batch = Vec::new();
                    for (insert, pick, row, weight) in edits {
                        if insert || model.is_empty() {
                            model.extend(std::iter::repeat_n(row, weight as usize));
                            batch.push((weight, row));
                        } else {
                            let row = model.swap_remove(pick % model.len());
                            // A retraction may even come before its insertion.
                            batch.insert(pick % (batch.len() + 1), (-1, row));
                        }
                    }
                    arrangement.apply(&changes(&batch)).expect("the rows are there");
                    if by_row && key != Key::Row {
                        arrangement.index_rows().expect("reads");
                        arrangement.compact().expect("merges");
                    }
                }
                Action::Restart => restart_lazily(&mut arrangement, &mut store),
                Action::Evict => evict(&mut arrangement, &mut store),
                Action::Snapshot => {
                    let mut expected = BTreeMap::new();
                    for row in &model {
                        accumulate(&mut expected, &changes(&[(1, *row)]));
                    }
                    snapshots.push((arrangement.snapshot(), expected));
                }
            }
            assert_indexed(&arrangement);
        }
        let mut expected = BTreeMap::new();
        for row in &model {
            accumulate(&mut expected, &changes(&[(1, *row)]));
        }
        snapshots.push((arrangement.snapshot(), expected));
        for (snapshot, expected) in snapshots {
            prop_assert_eq!(text(&contents(&snapshot)), text(&expected));
            let repeated: usize = snapshot.batches().expect("gathers").iter().map(RecordBatch::num_rows).sum();
            prop_assert_eq!(repeated as i64, expected.values().sum::<i64>());
        }
    }

    /// Upserts do to a keyed arrangement what they do to a map, and the changes say exactly that.
    #[test]
    fn upserts_are_a_map(
        steps in prop::collection::vec(
            (prop::collection::vec((any_row(), prop::bool::weighted(0.3)), 0..12), 0..3),
            1..30,
        ),
    ) {
        let mut arrangement = Arrangement::new(schema(), Key::Primary(vec![0]));
        let mut store = SharedStore::default();
        let mut model: BTreeMap<Option<i64>, String> = BTreeMap::new();
        let mut accumulated = BTreeMap::new();
        for (upserts, event) in steps {
            let batch: Vec<Row> = upserts.iter().map(|(row, _)| *row).collect();
            let tombstones: Vec<bool> = upserts.iter().map(|(_, tombstone)| *tombstone).collect();
            let batch = rows(&batch);
            let rowtimes = (0..batch.num_rows() as i64).collect();
            let changed = arrangement.upsert(&batch, &rowtimes, &tombstones).expect("upserts");
            for (position, (row, tombstone)) in upserts.iter().enumerate() {
                match tombstone {
                    true => model.remove(&row.0),
                    false => model.insert(row.0, row_text(&batch, position)),
                };
            }
            let mut keys: Vec<(String, i64)> = (0..changed.num_rows())
                .map(|row| (format!("{:?}", changed.column(0).slice(row, 1)), changed.weight(row)))
                .collect();
            keys.sort();
            prop_assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "one of each per key");
            accumulate(&mut accumulated, &changed);
            prop_assert!(accumulated.values().all(|weight| *weight == 1));
            match event {
                0 => restart_lazily(&mut arrangement, &mut store),
                1 => evict(&mut arrangement, &mut store),
                _ => {}
            }
            assert_indexed(&arrangement);
        }
        let mut expected: Vec<&String> = model.values().collect();
        expected.sort();
        prop_assert_eq!(accumulated.keys().collect::<Vec<_>>(), expected);
        prop_assert_eq!(contents(&arrangement.snapshot()), accumulated);
    }
}

fn check_upserts(steps: &[&[(Row, bool)]], expected: Expect) {
    let mut arrangement = Arrangement::new(schema(), Key::Primary(vec![0]));
    let mut drawing = String::new();
    for (number, step) in steps.iter().enumerate() {
        let batch: Vec<Row> = step.iter().map(|(row, _)| *row).collect();
        let tombstones: Vec<bool> = step.iter().map(|(_, tombstone)| *tombstone).collect();
        let rowtimes = (0..batch.len() as i64).collect();
        let changed = arrangement
            .upsert(&rows(&batch), &rowtimes, &tombstones)
            .expect("upserts");
        drawing += &format!("step {}\n{}", number + 1, draw(&changed));
    }
    expected.assert_eq(&drawing);
}

#[test]
fn an_upsert_retracts_what_it_replaces() {
    let row = |key, text| (Some(key), Some(text), Some(1.0));
    check_upserts(
        &[
            &[
                (row(1, "a"), false),
                (row(2, "b"), false),
                (row(1, "c"), false),
            ],
            &[
                (row(1, "c"), false),
                (row(2, "d"), false),
                (row(3, "x"), true),
            ],
            &[
                (row(2, "e"), false),
                (row(2, "e"), true),
                (row(4, "f"), false),
            ],
        ],
        expect![[r#"
            step 1
            +1 2 b 1.0
            +1 1 c 1.0
            step 2
            -1 2 b 1.0
            +1 2 d 1.0
            step 3
            -1 2 d 1.0
            +1 4 f 1.0
        "#]],
    );
}

#[test]
fn retracting_what_is_not_there_is_an_error() {
    for key in [Key::Primary(vec![0]), Key::Row, Key::Secondary(vec![0])] {
        let mut arrangement = Arrangement::new(schema(), key);
        let row = (Some(1), Some("a"), Some(f64::NAN));
        arrangement.apply(&changes(&[(1, row)])).expect("inserts");
        let other = (Some(1), Some("b"), Some(f64::NAN));
        let error = arrangement.apply(&changes(&[(-1, other)]));
        assert!(matches!(error, Err(StepError::NegativeCount)));
    }
}

#[test]
fn an_update_may_come_in_either_order() {
    let (old, new) = ((Some(1), Some("a"), None), (Some(1), Some("b"), None));
    let mut arrangement = Arrangement::new(schema(), Key::Primary(vec![0]));
    arrangement.apply(&changes(&[(1, old)])).expect("inserts");
    arrangement
        .apply(&changes(&[(1, new), (-1, old)]))
        .expect("updates");
    arrangement
        .apply(&changes(&[(-1, new), (1, old), (-1, old), (1, new)]))
        .expect("updates");
    expect![[r#"
        1 × 1 b -
    "#]]
    .assert_eq(&text(&contents(&arrangement.snapshot())));
}

#[test]
fn a_prefix_of_the_key_finds_rows() {
    let mut arrangement = Arrangement::new(schema(), Key::Primary(vec![0, 1]));
    let row = |key, text| (1, (Some(key), Some(text), Some(0.5)));
    arrangement
        .apply(&changes(&[
            row(1, "a"),
            row(1, "b"),
            row(2, "a"),
            row(3, "c"),
        ]))
        .expect("inserts");
    let snapshot = arrangement.snapshot();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 3]));
    let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["b", "a"]));
    let found = snapshot.lookup(std::slice::from_ref(&keys)).expect("finds");
    let exact = snapshot.lookup(&[keys, texts]).expect("finds");
    expect![[r#"
        +1 1 a 0.5
        +1 1 b 0.5
        +1 3 c 0.5
        --
        +1 1 b 0.5
    "#]]
    .assert_eq(&format!("{}--\n{}", draw(&found), draw(&exact)));
}

/// A bigint key and four bigint columns.
fn wide(keys: std::ops::Range<i64>) -> ChangeBatch {
    let fields = ["k", "a", "b", "c", "d"]
        .map(|name| arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Int64, false));
    let columns: Vec<ArrayRef> = (0..5)
        .map(|column| {
            Arc::new(Int64Array::from_iter_values(
                keys.clone().map(|k| k + 7 * column),
            )) as ArrayRef
        })
        .collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.to_vec()));
    let rows = RecordBatch::try_new(schema, columns).expect("five columns");
    let count = rows.num_rows();
    ChangeBatch::insertions(rows, vec![0; count].into())
}

#[test]
fn a_large_table_stays_small() {
    let schema = wide(0..0).rows.schema();
    for key in [Key::Primary(vec![0]), Key::Secondary(vec![0])] {
        let mut arrangement = Arrangement::new(schema.clone(), key);
        for start in (0..300_000).step_by(1_000) {
            arrangement
                .apply(&wide(start..start + 1_000))
                .expect("inserts");
        }
        let bytes_each = arrangement.bytes() / arrangement.num_rows();
        assert!(bytes_each <= 100, "{bytes_each} bytes for each row");
        let chunks = arrangement.contents.live_chunks().count();
        assert!(chunks < 100, "{chunks} chunks");
        // Deleting nine of ten gives the memory back.
        let mut gone = wide(0..270_000);
        gone.weights = Some(vec![-1; 270_000].into());
        arrangement.apply(&gone).expect("deletes");
        assert_eq!(arrangement.num_rows(), 30_000);
        let rows_held: usize = arrangement.contents.live_chunks().map(Chunk::len).sum();
        assert!(rows_held <= 60_000, "{rows_held} rows held");
        let mut store = MemoryStore::default();
        restart(&mut arrangement, &mut store);
        assert_indexed(&arrangement);
    }
}

#[test]
fn a_small_slice_does_not_pin_its_parent() {
    let mut arrangement = Arrangement::new(wide(0..0).rows.schema(), Key::Primary(vec![0]));
    let slice = wide(0..100_000).slice(50_000, 10);
    arrangement.apply(&slice).expect("inserts");
    let chunk = arrangement.contents.live_chunks().next().expect("one");
    let capacity = chunk.data().rows.column(0).to_data().buffers()[0].capacity();
    assert!(capacity < 1_000);
}

#[test]
fn retractions_from_a_long_chain_are_found_by_row() {
    let mut arrangement = Arrangement::new(wide(0..0).rows.schema(), Key::Secondary(vec![]));
    arrangement.apply(&wide(0..50_000)).expect("inserts");
    let mut gone = wide(0..40_000);
    gone.weights = Some(vec![-1; 40_000].into());
    arrangement.apply(&gone).expect("deletes");
    assert!(arrangement.by_row.is_some());
    assert_eq!(arrangement.num_rows(), 10_000);
}

/// Columns of all shapes, three rows each, the second NULL and the third like the first.
fn columns_of_all_shapes() -> Vec<ArrayRef> {
    use arrow::array::*;
    use arrow::datatypes::{Int32Type, IntervalMonthDayNano};
    let list = || Some(vec![Some(1), None]);
    let structs = StructArray::try_new(
        vec![arrow::datatypes::Field::new(
            "a",
            arrow::datatypes::DataType::Int8,
            true,
        )]
        .into(),
        vec![Arc::new(Int8Array::from(vec![1, 2, 1]))],
        Some(vec![true, false, true].into()),
    );
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("x"), None, Some("x")].into_iter().collect();
    let interval = Some(IntervalMonthDayNano::new(1, 2, 3));
    let long = "a text longer than twelve bytes";
    vec![
        Arc::new(NullArray::new(3)),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])),
        Arc::new(Int8Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(UInt16Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(Date32Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(Float32Array::from(vec![
            Some(f32::NAN),
            None,
            Some(f32::NAN),
        ])),
        Arc::new(Decimal128Array::from(vec![
            Some(1 << 90),
            None,
            Some(1 << 90),
        ])),
        Arc::new(Decimal256Array::from(vec![
            Some(arrow::datatypes::i256::ONE),
            None,
            Some(arrow::datatypes::i256::ONE),
        ])),
        Arc::new(LargeStringArray::from(vec![Some(long), None, Some(long)])),
        Arc::new(StringViewArray::from(vec![Some(long), None, Some(long)])),
        Arc::new(BinaryArray::from(vec![
            Some(b"b" as &[u8]),
            None,
            Some(b"b"),
        ])),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                vec![Some(b"1234567890123456"), None, Some(b"1234567890123456")].into_iter(),
                16,
            )
            .expect("sixteen bytes"),
        ),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            interval, None, interval,
        ])),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            list(),
            None,
            list(),
        ])),
        Arc::new(structs.expect("one field")),
        Arc::new(dictionary),
    ]
}

#[test]
fn rows_of_any_type_are_found_again() {
    for column in columns_of_all_shapes() {
        let data_type = column.data_type().clone();
        let number: ArrayRef = Arc::new(Int64Array::from(vec![0, 0, 0]));
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![
            arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, true),
            arrow::datatypes::Field::new("v", data_type.clone(), true),
        ]));
        let batch =
            RecordBatch::try_new(schema.clone(), vec![number, column]).expect("two columns");
        for key in [Key::Row, Key::Secondary(vec![0]), Key::Secondary(vec![1])] {
            let mut arrangement = Arrangement::new(schema.clone(), key.clone());
            let inserted = ChangeBatch::insertions(batch.clone(), vec![0; 3].into());
            arrangement.apply(&inserted).expect("inserts");
            if key == Key::Row {
                let distinct = if data_type.is_null() { 1 } else { 2 };
                assert_eq!(arrangement.num_rows(), distinct, "{data_type}");
            }
            let mut store = MemoryStore::default();
            restart(&mut arrangement, &mut store);
            let mut gone = inserted.clone();
            gone.weights = Some(vec![-1; 3].into());
            arrangement
                .apply(&gone)
                .unwrap_or_else(|error| panic!("{data_type}: {error}"));
            assert_eq!(arrangement.num_rows(), 0, "{data_type}");
            assert!(arrangement.apply(&gone).is_err(), "{data_type}");
        }
    }
}

#[test]
fn a_reader_sees_event_times() {
    let mut arrangement = Arrangement::new(schema(), Key::Row);
    let row = (Some(1), Some("a"), None);
    arrangement
        .apply(&changes(&[(1, (None, None, None)), (2, row)]))
        .expect("inserts");
    let batches = arrangement
        .snapshot()
        .batches_with_rowtime("rowtime")
        .expect("gathers");
    let text = arrow::util::pretty::pretty_format_batches(&batches).expect("prints");
    expect![[r#"
        +---+---+---+-----------------------------+
        | k | t | f | rowtime                     |
        +---+---+---+-----------------------------+
        |   |   |   | 1970-01-01T00:00:00Z        |
        | 1 | a |   | 1970-01-01T00:00:00.000001Z |
        | 1 | a |   | 1970-01-01T00:00:00.000001Z |
        +---+---+---+-----------------------------+
    "#]]
    .assert_eq(&format!("{text}\n"));
}

#[test]
fn a_checkpoint_writes_what_changed() {
    let mut arrangement = Arrangement::new(wide(0..0).rows.schema(), Key::Primary(vec![0]));
    let mut store = MemoryStore::default();
    let mut sizes = Vec::new();
    let mut checkpoint = |arrangement: &mut Arrangement| {
        let before = store.0.clone();
        arrangement.checkpoint(b"", &mut store).expect("writes");
        let written = store
            .0
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(value));
        let written: Vec<String> = written
            .map(|(key, value)| {
                format!(
                    "{}{} ({} kB)",
                    char::from(key[0]),
                    key[8],
                    value.len() / 1000
                )
            })
            .collect();
        let deleted = before
            .keys()
            .filter(|key| !store.0.contains_key(*key))
            .count();
        sizes.push(format!("wrote [{}], deleted {deleted}", written.join(", ")));
    };
    arrangement.apply(&wide(0..60_000)).expect("inserts");
    checkpoint(&mut arrangement);
    checkpoint(&mut arrangement);
    arrangement.apply(&wide(60_000..60_001)).expect("inserts");
    let mut gone = wide(5..7);
    gone.weights = Some(vec![-1; 2].into());
    arrangement.apply(&gone).expect("deletes");
    checkpoint(&mut arrangement);
    let mut gone = wide(1_000..50_000);
    gone.weights = Some(vec![-1; 49_000].into());
    arrangement.apply(&gone).expect("deletes");
    checkpoint(&mut arrangement);
    expect![[r#"
        wrote [c0 (1203 kB), k0 (240 kB)], deleted 0
        wrote [], deleted 0
        wrote [c1 (1 kB), k1 (0 kB), w0 (7 kB)], deleted 0
        wrote [c2 (221 kB), k2 (44 kB)], deleted 3
    "#]]
    .assert_eq(&format!("{}\n", sizes.join("\n")));
}
