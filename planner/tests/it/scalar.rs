use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int16Array, Int64Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use expect_test::{Expect, expect};
use planner::scalar_expr::{Literal, ScalarExpr};
use planner::step_plan::Operator;
use planner::{OutputKind, lower};
use proptest::prelude::*;

use crate::catalog::{bind, catalog};

/// Evaluates the first column of a query over one row of `flights`.
fn evaluate(expression: &str, delay: i64, distance: f64) -> String {
    let text = format!("SELECT {expression} AS x FROM flights");
    let bound = match bind(&text) {
        Ok(bound) => bound,
        Err(error) => return format!("ERROR: {}", error.message),
    };
    let lowered = lower(&bound, &catalog(), OutputKind::Stream).unwrap();
    let root = lowered.plan.root();
    let Operator::Project { exprs } = &root.operator else {
        panic!("{root:?}");
    };
    let input = &lowered.plan.steps[root.inputs[0]].schema;
    let columns = input
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "dep_delay" => Arc::new(Int64Array::from(vec![delay])) as Arc<dyn Array>,
            "distance" => Arc::new(Float64Array::from(vec![distance])),
            other => panic!("{other}"),
        })
        .collect();
    let batch = RecordBatch::try_new(input.clone(), columns).unwrap();
    let physical = exprs[0].to_physical(input).unwrap();
    match physical.evaluate(&batch) {
        Ok(value) => array_value_to_string(&value.into_array(1).unwrap(), 0).unwrap(),
        Err(error) => format!("ERROR: {}", planner::PlanError::from(error).message),
    }
}

#[track_caller]
fn check(expression: &str, expected: Expect) {
    expected.assert_eq(&evaluate(expression, i64::MAX, 2.5));
}

#[test]
fn integers_do_not_wrap() {
    check("dep_delay + 1", expect!["ERROR: bigint out of range"]);
    check("dep_delay - 1", expect!["9223372036854775806"]);
    check("dep_delay * 2", expect!["ERROR: bigint out of range"]);
    check("dep_delay / 0", expect!["ERROR: division by zero"]);
    check("dep_delay % 0", expect!["ERROR: division by zero"]);
    check("distance / 0", expect!["ERROR: division by zero"]);
    check("distance / 2", expect!["1.25"]);
    check(
        "dep_delay::smallint",
        expect!["ERROR: smallint out of range"],
    );
}

#[test]
fn constants_keep_their_value() {
    use datafusion::scalar::ScalarValue;
    for value in [
        ScalarValue::Int16(Some(-3)),
        ScalarValue::Float64(Some(0.1)),
        ScalarValue::Float64(Some(f64::NEG_INFINITY)),
        ScalarValue::Utf8(Some("it's".into())),
        ScalarValue::Boolean(None),
        ScalarValue::Decimal128(Some(12345), 10, 2),
        ScalarValue::TimestampMicrosecond(Some(5), Some("+00:00".into())),
        ScalarValue::new_interval_mdn(1, 2, 3),
        ScalarValue::Binary(Some(vec![0, 255])),
    ] {
        let literal = Literal::from_scalar(&value).unwrap();
        assert_eq!(literal.to_scalar().unwrap(), value, "{literal}");
    }
}

fn any_expr() -> impl Strategy<Value = ScalarExpr> {
    let leaf = prop_oneof![
        (0usize..2).prop_map(ScalarExpr::Column),
        any::<i16>().prop_map(|value| ScalarExpr::Literal(Literal {
            data_type: DataType::Int16,
            value: Some(value.to_string()),
        })),
    ];
    leaf.prop_recursive(6, 64, 4, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                prop_oneof![Just("+"), Just("="), Just("OR")]
            )
                .prop_map(|(left, right, op)| ScalarExpr::Binary {
                    op: op.into(),
                    left: Box::new(left),
                    right: Box::new(right),
                }),
            inner
                .clone()
                .prop_map(|expr| ScalarExpr::IsNull(Box::new(expr))),
            (inner.clone(), prop::collection::vec(inner.clone(), 0..4)).prop_map(|(expr, list)| {
                ScalarExpr::InList {
                    expr: Box::new(expr),
                    list,
                    negated: true,
                }
            }),
            (
                prop::option::of(inner.clone()),
                inner.clone(),
                inner.clone()
            )
                .prop_map(|(operand, when, then)| ScalarExpr::Case {
                    operand: operand.map(Box::new),
                    branches: vec![(when, then)],
                    otherwise: None,
                }),
            prop::collection::vec(inner, 0..3).prop_map(|args| ScalarExpr::Function {
                name: "coalesce".into(),
                args,
            }),
        ]
    })
}

proptest! {
    #[test]
    fn an_expression_survives_the_catalog(expr in any_expr()) {
        let text = serde_json::to_string(&expr).unwrap();
        prop_assert_eq!(serde_json::from_str::<ScalarExpr>(&text).unwrap(), expr);
    }

    #[test]
    fn checked_arithmetic_is_exact_or_an_error(a in any::<i16>(), b in any::<i16>()) {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int16, true),
            Field::new("b", DataType::Int16, true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema.clone()),
            vec![Arc::new(Int16Array::from(vec![a])), Arc::new(Int16Array::from(vec![b]))],
        )
        .unwrap();
        for (name, exact) in [
            ("_add", a.checked_add(b)),
            ("_subtract", a.checked_sub(b)),
            ("_multiply", a.checked_mul(b)),
        ] {
            let expr = ScalarExpr::Function {
                name: name.into(),
                args: vec![ScalarExpr::Column(0), ScalarExpr::Column(1)],
            };
            let value = expr.to_physical(&schema).unwrap().evaluate(&batch);
            match (value, exact) {
                (Ok(value), Some(exact)) => {
                    let array = value.into_array(1).unwrap();
                    prop_assert_eq!(array_value_to_string(&array, 0).unwrap(), exact.to_string());
                }
                (Err(_), None) => {}
                (value, exact) => prop_assert!(false, "{:?} {:?}", value.is_ok(), exact),
            }
        }
    }
}

#[test]
fn damaged_expressions_are_refused() {
    for text in [
        "[]",
        r#"[{"Not":0}]"#,
        r#"[{"Column":0},{"Column":1}]"#,
        r#"[{"Not":7}]"#,
    ] {
        assert!(serde_json::from_str::<ScalarExpr>(text).is_err(), "{text}");
    }
}
