//! Bound plans run by DataFusion as they are.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use expect_test::{Expect, expect};
use planner::PlanError;
use planner::bind::{bind_parameters, parameter_types};
use planner::session::{session_config, session_state};

use crate::catalog::{bind, error_text};

fn run(text: &str, parameters: Vec<ScalarValue>) -> Result<String, PlanError> {
    let bound = bind(text)?;
    let types: Vec<String> = parameter_types(&bound.plan)?
        .iter()
        .map(|field| planner::types::type_name(field))
        .collect();
    let plan = bind_parameters(bound.plan, parameters)?;
    let state = session_state(session_config("UTC"), Arc::new(RuntimeEnv::default()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let batches = runtime.block_on(async {
        let frame = SessionContext::new_with_state(state)
            .execute_logical_plan(plan)
            .await?;
        frame.collect().await
    })?;
    let mut out = pretty_format_batches(&batches).unwrap().to_string();
    out.push('\n');
    if !types.is_empty() {
        out.push_str(&format!("parameters: {}\n", types.join(", ")));
    }
    Ok(out)
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    check_with(text, Vec::new(), expected);
}

#[track_caller]
fn check_with(text: &str, parameters: Vec<ScalarValue>, expected: Expect) {
    let found = run(text, parameters).unwrap_or_else(|error| error_text(&error));
    expected.assert_eq(&found);
}

#[test]
fn arithmetic_is_the_same_as_in_continuous_queries() {
    check(
        "SELECT 9223372036854775807 + 1",
        expect![[r#"
        NumericOutOfRange: bigint out of range
    "#]],
    );
    check(
        "SELECT x / 0 FROM (VALUES (1.5)) t(x)",
        expect![[r#"
        DivisionByZero: division by zero
    "#]],
    );
    check(
        "SELECT x / 0 FROM (VALUES (1)) t(x)",
        expect![[r#"
        DivisionByZero: division by zero
    "#]],
    );
    check(
        "SELECT x::float8 / 0 FROM (VALUES (1)) t(x)",
        expect![[r#"
        DivisionByZero: division by zero
    "#]],
    );
    check(
        "SELECT x / 0e0::float8 FROM (VALUES (NULL::float8)) t(x)",
        expect![[r#"
            +----------+
            | ?column? |
            +----------+
            |          |
            +----------+
        "#]],
    );
    check(
        "SELECT x / 0::float8 FROM (VALUES (1e0::float8)) t(x) WHERE x > 5",
        expect![[r#"
            ++
            ++
        "#]],
    );
    check(
        "SELECT 1.5 * 2, 0.1 + 0.2, 7 / 2, 7 % 4, 2.0 / 3",
        expect![[r#"
        +----------+------------+------------+------------+------------+
        | ?column? | ?column?2 | ?column?3 | ?column?4 | ?column?5 |
        +----------+------------+------------+------------+------------+
        | 3.0      | 0.3        | 3          | 3          | 0.66666    |
        +----------+------------+------------+------------+------------+
    "#]],
    );
}

#[test]
fn conversions() {
    check(
        "SELECT x::uuid FROM (VALUES ('6F9619FF8B86D011B42D00C04FC964FF')) t(x)",
        expect![[r#"
        +--------------------------------------+
        | x                                    |
        +--------------------------------------+
        | 6f9619ff-8b86-d011-b42d-00c04fc964ff |
        +--------------------------------------+
    "#]],
    );
    check(
        "SELECT x::uuid FROM (VALUES ('nope')) t(x)",
        expect![[r#"
        InvalidText: invalid input syntax for type uuid: "nope"
    "#]],
    );
    check(
        "SELECT '{\"bb\": 1, \"a\":[1,2]}'::jsonb, '[1'::json",
        expect![[r#"
        InvalidText: invalid input syntax for type json
        DETAIL: EOF while parsing a list at line 1 column 2
    "#]],
    );
    check(
        "SELECT '{\"bb\": 1, \"a\":[1,2]}'::jsonb",
        expect![[r#"
        +------------------------+
        | jsonb                  |
        +------------------------+
        | {"a": [1, 2], "bb": 1} |
        +------------------------+
    "#]],
    );
    check(
        "SELECT x::smallint FROM (VALUES (70000)) t(x)",
        expect![[r#"
        NumericOutOfRange: smallint out of range
    "#]],
    );
    check(
        "SELECT x::int FROM (VALUES ('12x')) t(x)",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: "12x"
    "#]],
    );
}

#[test]
fn parameters_have_types() {
    check_with(
        "SELECT carrier FROM (VALUES ('AA', 1), ('UA', 2)) t(carrier, n) WHERE n > $1",
        vec![ScalarValue::Int32(Some(1))],
        expect![[r#"
        +---------+
        | carrier |
        +---------+
        | UA      |
        +---------+
        parameters: bigint
    "#]],
    );
    check_with(
        "SELECT $1",
        vec![ScalarValue::from("x")],
        expect![[r#"
        +----------+
        | ?column? |
        +----------+
        | x        |
        +----------+
        parameters: text
    "#]],
    );
    check_with(
        "SELECT $2::int + 1, upper($1)",
        vec![ScalarValue::from("x"), ScalarValue::from("41")],
        expect![[r#"
        +----------+-------+
        | ?column? | upper |
        +----------+-------+
        | 42       | X     |
        +----------+-------+
        parameters: text, integer
    "#]],
    );
    check_with(
        "SELECT n FROM generate_series(1, 10) t(n) LIMIT $1",
        vec![ScalarValue::from(2_i64)],
        expect![[r#"
        +---+
        | n |
        +---+
        | 1 |
        | 2 |
        +---+
        parameters: bigint
    "#]],
    );
    check_with(
        "SELECT $1 + 1",
        vec![],
        expect![[r#"
        UndefinedParameter: there is no parameter $1
    "#]],
    );
}

#[test]
fn aggregates_take_numeric_constants() {
    check(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), approx_percentile_cont(x, 0.5), round(avg(x), 2) FROM (VALUES (1), (2), (4)) t(x)",
        expect![[r#"
        +-----------------+------------------------+-------+
        | percentile_cont | approx_percentile_cont | round |
        +-----------------+------------------------+-------+
        | 2.0             | 2.0                    | 2.33  |
        +-----------------+------------------------+-------+
    "#]],
    );
    check(
        "SELECT string_agg(x::text, ',' ORDER BY x DESC), array_agg(x), count(DISTINCT x), bool_and(x > 0) FROM (VALUES (1), (2), (4)) t(x)",
        expect![[r#"
        +------------+-----------+-------+----------+
        | string_agg | array_agg | count | bool_and |
        +------------+-----------+-------+----------+
        | 4,2,1      | [4, 2, 1] | 3     | true     |
        +------------+-----------+-------+----------+
    "#]],
    );
}

#[test]
fn a_sum_of_bigint_must_be_one_at_the_end() {
    check(
        "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)",
        expect![[r#"
            NumericOutOfRange: bigint out of range
        "#]],
    );
    check(
        "SELECT g, sum(x) FROM (VALUES (1, 9223372036854775807), (1, 1)) t(g, x) GROUP BY g",
        expect![[r#"
            NumericOutOfRange: bigint out of range
        "#]],
    );
    check(
        "SELECT g, sum(x), sum(DISTINCT x), sum(g::smallint), sum(1.5)
         FROM (VALUES (1, 9223372036854775807), (1, 1), (1, -1), (1, -1), (2, NULL)) t(g, x)
         GROUP BY g ORDER BY g",
        expect![[r#"
            +---+---------------------+---------------------+-------+-------+
            | g | sum                 | sum2               | sum3 | sum4 |
            +---+---------------------+---------------------+-------+-------+
            | 1 | 9223372036854775806 | 9223372036854775807 | 4     | 6.0   |
            | 2 |                     |                     | 2     | 1.5   |
            +---+---------------------+---------------------+-------+-------+
        "#]],
    );
    check(
        "SELECT x, sum(x) OVER (ORDER BY x ROWS 1 PRECEDING) AS s
         FROM (VALUES (9223372036854775807), (-1), (-2)) t(x)",
        expect![[r#"
            +---------------------+---------------------+
            | x                   | s                   |
            +---------------------+---------------------+
            | -2                  | -2                  |
            | -1                  | -3                  |
            | 9223372036854775807 | 9223372036854775806 |
            +---------------------+---------------------+
        "#]],
    );
}

#[test]
fn any_and_all_compare_with_columns_of_the_same_name() {
    for (condition, expected) in [
        (
            "x > ANY (SELECT x FROM i)",
            expect![[r#"
            +---+
            | x |
            +---+
            | 2 |
            | 3 |
            +---+
        "#]],
        ),
        (
            "x >= ALL (SELECT x FROM i)",
            expect![[r#"
            +---+
            | x |
            +---+
            | 2 |
            | 3 |
            +---+
        "#]],
        ),
        (
            "(x < ALL (SELECT x FROM i WHERE x > 5)) IS TRUE",
            expect![[r#"
            +---+
            | x |
            +---+
            | 1 |
            | 2 |
            | 3 |
            |   |
            +---+
        "#]],
        ),
        (
            "x <> ALL (SELECT x FROM i)",
            expect![[r#"
            +---+
            | x |
            +---+
            | 3 |
            +---+
        "#]],
        ),
    ] {
        check(
            &format!(
                "WITH i(x) AS (VALUES (1), (2))
                 SELECT x FROM (VALUES (1), (2), (3), (NULL)) o(x) WHERE {condition} ORDER BY x"
            ),
            expected,
        );
    }
}

#[test]
fn counts_of_rows_are_not_negative() {
    check(
        "SELECT 1 LIMIT -1",
        expect![[r#"
        InvalidLimit: LIMIT must not be negative
    "#]],
    );
    check(
        "SELECT 1 LIMIT 1 OFFSET -1",
        expect![[r#"
        InvalidOffset: OFFSET must not be negative
    "#]],
    );
}

#[test]
fn standard_syntax_of_functions() {
    check(
        "SELECT extract(year FROM DATE '2024-02-29') AS y, extract(epoch FROM TIMESTAMP '1970-01-01 00:01:00.5') AS e,
                substring('abcdef' FROM 2 FOR 3) AS s, position('c' IN 'abc') AS p,
                overlay('abcdef' PLACING 'xx' FROM 2 FOR 3) AS o, trim(BOTH 'x' FROM 'xax') AS t,
                mod(7 + 1, 2 + 1) AS m, (STRUCT(a := 1)).a AS f, now() > TIMESTAMP '2024-01-01' AS n",
        expect![[r#"
            +------+------+-----+---+-------+---+---+---+------+
            | y    | e    | s   | p | o     | t | m | f | n    |
            +------+------+-----+---+-------+---+---+---+------+
            | 2024 | 60.5 | bcd | 3 | axxef | a | 2 | 1 | true |
            +------+------+-----+---+-------+---+---+---+------+
        "#]],
    );
    check(
        "SELECT 1 WHERE 1 IN (SELECT 1, 2)",
        expect![[r#"
        Syntax: subquery has too many columns
    "#]],
    );
}

#[test]
fn unnest_takes_lists_of_the_relations_before_it() {
    check(
        "SELECT id, x, y FROM (VALUES (1, make_array(1, 2)), (2, NULL), (3, make_array(5))) t(id, list),
                unnest(t.list) AS x, unnest(make_array(x, list[1])) AS u(y)
         WHERE y > 1",
        expect![[r#"
            +----+---+---+
            | id | x | y |
            +----+---+---+
            | 1  | 2 | 2 |
            | 3  | 5 | 5 |
            | 3  | 5 | 5 |
            +----+---+---+
        "#]],
    );
    check(
        "SELECT id, x FROM (VALUES (1, make_array(1, 2)), (2, NULL)) t(id, list), unnest(list) AS x",
        expect![[r#"
            +----+---+
            | id | x |
            +----+---+
            | 1  | 1 |
            | 1  | 2 |
            +----+---+
        "#]],
    );
    check(
        "SELECT a, b FROM unnest(make_array(1, 2)) AS a, unnest(make_array(3)) AS b",
        expect![[r#"
            +---+---+
            | a | b |
            +---+---+
            | 1 | 3 |
            | 2 | 3 |
            +---+---+
        "#]],
    );
}

#[test]
fn a_subquery_where_it_cannot_be_run_is_refused() {
    check(
        "SELECT EXISTS (SELECT 1 WHERE o.x > 1) FROM (VALUES (1)) o(x)",
        expect![[r#"
            Unsupported: a subquery in this place is not supported
        "#]],
    );
}
