//! Queries in ksqlDB's dialect: names, keys and types of their results, and what is refused.

use expect_test::{Expect, expect};
use planner::relations::RelationKind::{Stream, Table};
use planner::{BindOptions, OutputKind, lower, plan_query};
use sql::DataType as Sql;

use crate::catalog::{Catalog, error_text, relation};

fn relations() -> Catalog {
    let place = Sql::Struct(vec![
        sql::ast::StructField {
            name: "CITY".into(),
            data_type: Sql::Text(None),
        },
        sql::ast::StructField {
            name: "ZIP".into(),
            data_type: Sql::Integer,
        },
    ]);
    Catalog(vec![
        relation(
            1,
            Stream,
            "S",
            &[
                ("V", Sql::Integer),
                ("K", Sql::Text(None)),
                ("D", Sql::Decimal(Some((4, 2)))),
                ("PLACE", place),
            ],
            &[1],
        ),
        relation(
            2,
            Table,
            "T",
            &[("ID", Sql::Integer), ("V", Sql::BigInt)],
            &[0],
        ),
        relation(
            3,
            Table,
            "U",
            &[("ID", Sql::Integer), ("N", Sql::Text(None))],
            &[0],
        ),
    ])
}

fn columns(text: &str, output: Option<OutputKind>) -> String {
    let options = sql::ParseOptions {
        dialect: sql::Dialect::Ksqldb,
        ..Default::default()
    };
    let mut statements = sql::parse(text, &options).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let sql::Statement::Query(query) = statements.remove(0).node else {
        panic!("{text} is no query");
    };
    let options = BindOptions {
        dialect: sql::Dialect::Ksqldb,
        output,
        ..BindOptions::default()
    };
    let relations = relations();
    let bound = match plan_query(&query, &relations, &options) {
        Ok(bound) => bound,
        Err(error) => return error_text(&error),
    };
    let key = bound.key_columns.unwrap_or(0);
    let columns: Vec<String> = bound
        .columns
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let key = if i < key { " KEY" } else { "" };
            format!("{} {}{key}", field.name(), planner::types::type_name(field))
        })
        .collect();
    if let Some(output) = output
        && let Err(error) = lower(&bound, &relations, output)
    {
        return error_text(&error);
    }
    format!("({})\n", columns.join(", "))
}

/// What becomes of groups whose last row goes.
#[test]
fn groups_of_a_table_are_kept() {
    let explained = |text: &str, output: OutputKind| {
        let dialect = sql::Dialect::Ksqldb;
        let options = sql::ParseOptions {
            dialect,
            ..Default::default()
        };
        let mut statements = sql::parse(text, &options).unwrap();
        let sql::Statement::Query(query) = statements.remove(0).node else {
            panic!("{text} is no query");
        };
        let options = BindOptions {
            dialect,
            output: Some(output),
            ..BindOptions::default()
        };
        let relations = relations();
        let bound = plan_query(&query, &relations, &options).unwrap();
        let steps = lower(&bound, &relations, output).unwrap().plan.steps;
        let aggregates = steps.iter().filter_map(|step| match &step.operator {
            planner::step_plan::Operator::Aggregate { keeps_groups, .. } => Some(*keeps_groups),
            _ => None,
        });
        aggregates.collect::<Vec<bool>>()
    };
    let table = "SELECT V, COUNT(*) AS N FROM T GROUP BY V";
    let joined = "SELECT N, COUNT(*) AS M FROM T JOIN U ON T.ID = U.ID GROUP BY N";
    let stream = "SELECT V, COUNT(*) AS N FROM S GROUP BY V";
    assert_eq!(explained(table, OutputKind::Table), [true]);
    assert_eq!(explained(joined, OutputKind::Table), [true]);
    assert_eq!(explained(stream, OutputKind::Table), [false]);
}

fn check(output: Option<OutputKind>, texts: &[&str], expected: Expect) {
    let all: String = texts
        .iter()
        .map(|text| format!("{text}\n=> {}", columns(text, output)))
        .collect();
    expected.assert_eq(&all);
}

#[test]
fn the_key_of_a_stream_comes_first_and_must_be_selected_once() {
    check(
        Some(OutputKind::Stream),
        &[
            "SELECT * FROM S",
            "SELECT V + 1, K AS X, PLACE->CITY, PLACE->*, AS_VALUE(K) AS COPY FROM S",
            "SELECT K, PLACE['CITY'], PLACE->`ZIP` FROM S",
            "SELECT V FROM S",
            "SELECT K, K AS AGAIN, V FROM S",
            "SELECT K FROM S",
            "SELECT K, V AS ROWTIME FROM S",
            "SELECT K, ROWTIME FROM S",
            "SELECT K, ROWTIME AS T, ROWOFFSET AS O FROM S",
            "SELECT * FROM S PARTITION BY V",
            "SELECT * FROM S PARTITION BY V + 1",
            "SELECT K, ABS(V) FROM S PARTITION BY ABS(V)",
            "SELECT K FROM S PARTITION BY V",
            "SELECT V, PLACE FROM S PARTITION BY NULL",
            "SELECT * FROM S PARTITION BY ROWOFFSET",
            "SELECT K, DATEADD(DAYS, V, CAST(K AS DATE)) AS D, TIMESUB(MILLISECONDS, 5, CAST(K AS TIME)) AS T FROM S",
            "SELECT K, TIMESTAMPADD(FORTNIGHTS, V, CAST(K AS TIMESTAMP)) AS T FROM S",
            "SELECT K, DATEADD(DAYS, V, K) AS D FROM S",
            "SELECT K, V FROM S WHERE NOPE = 1",
            "SELECT K, X.V FROM S",
        ],
        expect![[r#"
            SELECT * FROM S
            => (K text KEY, V integer, D numeric(4,2), PLACE struct<CITY text, ZIP integer>)
            SELECT V + 1, K AS X, PLACE->CITY, PLACE->*, AS_VALUE(K) AS COPY FROM S
            => (X text KEY, KSQL_COL_0 integer, CITY text, CITY_1 text, ZIP integer, COPY text)
            SELECT K, PLACE['CITY'], PLACE->`ZIP` FROM S
            => (K text KEY, KSQL_COL_0 text, ZIP integer)
            SELECT V FROM S
            => InvalidDefinition: key missing from projection: the query must include the key column S.K in its projection
            SELECT K, K AS AGAIN, V FROM S
            => InvalidDefinition: the projection contains a key column (S.K) more than once, aliased as: K and AGAIN
            HINT: Use AS_VALUE to have it in the value too.
            SELECT K FROM S
            => InvalidDefinition: the projection contains no value columns
            SELECT K, V AS ROWTIME FROM S
            => InvalidDefinition: ROWTIME is a reserved column name and cannot be an alias
            SELECT K, ROWTIME FROM S
            => InvalidDefinition: reserved column name in select: ROWTIME; remove or alias the column
            SELECT K, ROWTIME AS T, ROWOFFSET AS O FROM S
            => (K text KEY, T bigint, O bigint)
            SELECT * FROM S PARTITION BY V
            => (V integer KEY, D numeric(4,2), PLACE struct<CITY text, ZIP integer>, K text)
            SELECT * FROM S PARTITION BY V + 1
            => (KSQL_COL_0 integer KEY, V integer, D numeric(4,2), PLACE struct<CITY text, ZIP integer>, K text)
            SELECT K, ABS(V) FROM S PARTITION BY ABS(V)
            => (KSQL_COL_0 integer KEY, K text)
            SELECT K FROM S PARTITION BY V
            => InvalidDefinition: key missing from projection: the query must include the partitioning expression S.V in its projection
            SELECT V, PLACE FROM S PARTITION BY NULL
            => (V integer, PLACE struct<CITY text, ZIP integer>)
            SELECT * FROM S PARTITION BY ROWOFFSET
            => (KSQL_COL_0 bigint KEY, V integer, D numeric(4,2), PLACE struct<CITY text, ZIP integer>, K text)
            SELECT K, DATEADD(DAYS, V, CAST(K AS DATE)) AS D, TIMESUB(MILLISECONDS, 5, CAST(K AS TIME)) AS T FROM S
            => (K text KEY, D date, T time without time zone)
            SELECT K, TIMESTAMPADD(FORTNIGHTS, V, CAST(K AS TIMESTAMP)) AS T FROM S
            => UndefinedColumn: column 'FORTNIGHTS' cannot be resolved at 24
            SELECT K, DATEADD(DAYS, V, K) AS D FROM S
            => UndefinedFunction: function dateadd does not accept parameters (text, integer, text)
            SELECT K, V FROM S WHERE NOPE = 1
            => UndefinedColumn: column 'NOPE' cannot be resolved at 26
            SELECT K, X.V FROM S
            => UndefinedRelation: 'X' is not a valid stream/table name or alias at 11
        "#]],
    );
}

#[test]
fn groups_and_aggregates() {
    check(
        Some(OutputKind::Table),
        &[
            "SELECT V, COUNT(*), SUM(V) AS SUM, AVG(V) AS AVG, SUM(D) AS TOTAL FROM S GROUP BY V",
            "SELECT K, V, LATEST_BY_OFFSET(D) AS D, COLLECT_SET(V) AS VS, TOPK(V, 2) AS TOP FROM S GROUP BY V, K",
            "SELECT V + 1 AS NEXT, COUNT() FROM S GROUP BY V + 1",
            "SELECT COUNT(*) FROM S GROUP BY V",
            "SELECT V, K, COUNT(*) FROM S GROUP BY V",
            "SELECT V FROM S GROUP BY V",
            "SELECT V, COUNT(*) FROM S",
            "SELECT K, COUNT(*) FROM S GROUP BY K HAVING V > 1",
            "SELECT SUM(V), COUNT(*) FROM S GROUP BY SUM(V)",
        ],
        expect![[r#"
            SELECT V, COUNT(*), SUM(V) AS SUM, AVG(V) AS AVG, SUM(D) AS TOTAL FROM S GROUP BY V
            => (V integer KEY, KSQL_COL_0 bigint, SUM integer, AVG double precision, TOTAL numeric(4,2))
            SELECT K, V, LATEST_BY_OFFSET(D) AS D, COLLECT_SET(V) AS VS, TOPK(V, 2) AS TOP FROM S GROUP BY V, K
            => (V integer KEY, K text KEY, D numeric(4,2), VS integer[], TOP integer[])
            SELECT V + 1 AS NEXT, COUNT() FROM S GROUP BY V + 1
            => (NEXT integer KEY, KSQL_COL_0 bigint)
            SELECT COUNT(*) FROM S GROUP BY V
            => InvalidDefinition: key missing from projection: the query must include the grouping expression S.V in its projection
            SELECT V, K, COUNT(*) FROM S GROUP BY V
            => Grouping: non-aggregate SELECT expression not part of GROUP BY: S.K
            HINT: Add it to the GROUP BY or remove it from the SELECT.
            SELECT V FROM S GROUP BY V
            => Grouping: GROUP BY requires aggregate functions in either the SELECT or HAVING clause
            SELECT V, COUNT(*) FROM S
            => Grouping: aggregate functions require a GROUP BY clause
            SELECT K, COUNT(*) FROM S GROUP BY K HAVING V > 1
            => Grouping: non-aggregate HAVING expression not part of GROUP BY: S.V > 1
            SELECT SUM(V), COUNT(*) FROM S GROUP BY SUM(V)
            => Grouping: GROUP BY does not support aggregate functions: sum is one
        "#]],
    );
}

#[test]
fn joins_of_tables() {
    check(
        Some(OutputKind::Table),
        &[
            "SELECT * FROM T JOIN U ON T.ID = U.ID",
            "SELECT U.ID, V, N FROM T LEFT JOIN U ON T.ID = U.ID",
            "SELECT * FROM T FULL JOIN U ON T.ID = U.ID",
            "SELECT ROWKEY AS ID, V FROM T FULL JOIN U ON T.ID = U.ID",
            "SELECT V FROM T JOIN U ON T.ID = U.ID",
            "SELECT T.ID, V, N FROM T JOIN U ON T.V = U.ID",
            "SELECT ID, V, N FROM T JOIN U ON T.ID = U.ID",
            "SELECT T.ID, V, N FROM T JOIN U ON T.ID = U.N",
            "SELECT T.ID, V, N FROM T JOIN U ON T.ID = 1",
            "SELECT * FROM T JOIN T AS X ON T.ID = X.ID",
            "SELECT * FROM S",
        ],
        expect![[r#"
            SELECT * FROM T JOIN U ON T.ID = U.ID
            => (T_ID integer KEY, T_V bigint, U_ID integer, U_N text)
            SELECT U.ID, V, N FROM T LEFT JOIN U ON T.ID = U.ID
            => (U_ID integer KEY, V bigint, N text)
            SELECT * FROM T FULL JOIN U ON T.ID = U.ID
            => (ROWKEY integer KEY, T_ID integer, T_V bigint, U_ID integer, U_N text)
            SELECT ROWKEY AS ID, V FROM T FULL JOIN U ON T.ID = U.ID
            => (ID integer KEY, V bigint)
            SELECT V FROM T JOIN U ON T.ID = U.ID
            => InvalidDefinition: key missing from projection: the query must include the join expression T.ID or U.ID in its projection
            SELECT T.ID, V, N FROM T JOIN U ON T.V = U.ID
            => DatatypeMismatch: invalid join condition: types don't match; got T.V (bigint) = U.ID (integer)
            SELECT ID, V, N FROM T JOIN U ON T.ID = U.ID
            => AmbiguousColumn: column 'ID' is ambiguous: could be T.ID or U.ID at 8
            SELECT T.ID, V, N FROM T JOIN U ON T.ID = U.N
            => DatatypeMismatch: invalid join condition: types don't match; got T.ID (integer) = U.N (text)
            SELECT T.ID, V, N FROM T JOIN U ON T.ID = 1
            => InvalidDefinition: invalid comparison expression '1' in join '(T.ID = 1)': each side of the join comparison must contain references from exactly one source
            SELECT * FROM T JOIN T AS X ON T.ID = X.ID
            => Unsupported: joining "T" to itself is not supported
            SELECT * FROM S
            => WrongObjectType: the result of this query is a stream
            HINT: Use CREATE STREAM … AS.
        "#]],
    );
}

#[test]
fn joins_of_a_stream_with_a_table() {
    check(
        Some(OutputKind::Stream),
        &[
            "SELECT * FROM S JOIN T ON S.V = T.ID",
            "SELECT K, T.V, T.ID FROM S LEFT JOIN T ON S.V + 1 = T.ID",
            "SELECT * FROM T JOIN S ON S.V = T.ID",
        ],
        expect![[r#"
            SELECT * FROM S JOIN T ON S.V = T.ID
            => (S_V integer KEY, S_K text, S_D numeric(4,2), S_PLACE struct<CITY text, ZIP integer>, T_ID integer, T_V bigint)
            SELECT K, T.V, T.ID FROM S LEFT JOIN T ON S.V + 1 = T.ID
            => (ID integer KEY, K text, T_V bigint)
            SELECT * FROM T JOIN S ON S.V = T.ID
            => InvalidDefinition: invalid join order: table-stream joins are not supported; only stream-table joins
        "#]],
    );
}

#[test]
fn types_of_expressions() {
    check(
        Some(OutputKind::Push),
        &[
            "SELECT 1, 3000000000, 1.50, 1e3, -5, V / 2, V * 2.0, D + D, D * D, D / D, D % D, V + 3000000000 FROM S EMIT CHANGES",
            "SELECT K + '!', V > 1, K = 'a' AND V IS NULL, CAST(V AS STRING), ARRAY[1, 2.5], CASE WHEN V = 1 THEN 1 ELSE 3000000000 END FROM S EMIT CHANGES",
            "SELECT V + NULL FROM S EMIT CHANGES",
            "SELECT K + V FROM S EMIT CHANGES",
            "SELECT V = 'x' FROM S EMIT CHANGES",
            "SELECT V FROM S WHERE V IN (1, 'x') EMIT CHANGES",
            "SELECT V FROM S WHERE K IN (1, V) EMIT CHANGES",
            "SELECT V FROM S WHERE K LIKE 12 EMIT CHANGES",
            "SELECT ARRAY[NULL] FROM S EMIT CHANGES",
            "SELECT NULL FROM S EMIT CHANGES",
            "SELECT V = NULL FROM S EMIT CHANGES",
            "SELECT CAST(K AS MAP<STRING, INT>) FROM S EMIT CHANGES",
            "SELECT V FROM S WHERE ROWTIME >= '2020-05' EMIT CHANGES",
        ],
        expect![[r#"
            SELECT 1, 3000000000, 1.50, 1e3, -5, V / 2, V * 2.0, D + D, D * D, D / D, D % D, V + 3000000000 FROM S EMIT CHANGES
            => (KSQL_COL_0 integer, KSQL_COL_1 bigint, KSQL_COL_2 numeric(3,2), KSQL_COL_3 double precision, KSQL_COL_4 integer, KSQL_COL_5 integer, KSQL_COL_6 numeric(13,1), KSQL_COL_7 numeric(5,2), KSQL_COL_8 numeric(9,4), KSQL_COL_9 numeric(11,7), KSQL_COL_10 numeric(4,2), KSQL_COL_11 bigint)
            SELECT K + '!', V > 1, K = 'a' AND V IS NULL, CAST(V AS STRING), ARRAY[1, 2.5], CASE WHEN V = 1 THEN 1 ELSE 3000000000 END FROM S EMIT CHANGES
            => (KSQL_COL_0 text, KSQL_COL_1 boolean, KSQL_COL_2 boolean, KSQL_COL_3 text, KSQL_COL_4 numeric(11,1)[], KSQL_COL_5 bigint)
            SELECT V + NULL FROM S EMIT CHANGES
            => UndefinedFunction: arithmetic on types integer and null is not supported: S.V + NULL
            SELECT K + V FROM S EMIT CHANGES
            => UndefinedFunction: arithmetic on types text and integer is not supported: S.K + S.V
            SELECT V = 'x' FROM S EMIT CHANGES
            => UndefinedFunction: cannot compare S.V (integer) to Utf8("x") (text) with =
            SELECT V FROM S WHERE V IN (1, 'x') EMIT CHANGES
            => InvalidText: invalid input syntax for type integer: "x"
            SELECT V FROM S WHERE K IN (1, V) EMIT CHANGES
            => UndefinedFunction: operator does not exist: text = integer (S.V)
            HINT: You might need to add explicit type casts.
            SELECT V FROM S WHERE K LIKE 12 EMIT CHANGES
            => DatatypeMismatch: LIKE is of texts, not of integer
            SELECT ARRAY[NULL] FROM S EMIT CHANGES
            => IndeterminateDatatype: cannot construct an array of which all elements are NULL
            HINT: Cast a NULL to the type you want.
            SELECT NULL FROM S EMIT CHANGES
            => IndeterminateDatatype: cannot infer a type of NULL
            HINT: Cast it to the type you want, as in CAST(NULL AS VARCHAR).
            SELECT V = NULL FROM S EMIT CHANGES
            => InvalidDefinition: comparison with NULL is not supported: S.V = NULL
            HINT: Use IS NULL or IS NOT NULL.
            SELECT CAST(K AS MAP<STRING, INT>) FROM S EMIT CHANGES
            => CannotCoerce: cannot cast type text to map<text, integer>
            SELECT V FROM S WHERE ROWTIME >= '2020-05' EMIT CHANGES
            => (V integer)
        "#]],
    );
}

#[test]
fn pull_queries() {
    check(
        None,
        &[
            "SELECT * FROM T WHERE ID = 1",
            "SELECT ID, V AS X FROM T WHERE ID IN (1, 2)",
            "SELECT ID, COUNT(*) FROM T GROUP BY ID",
            "SELECT * FROM T JOIN U ON T.ID = U.ID",
            "SELECT V, V FROM T",
        ],
        expect![[r#"
            SELECT * FROM T WHERE ID = 1
            => (ID integer, V bigint)
            SELECT ID, V AS X FROM T WHERE ID IN (1, 2)
            => (ID integer, X bigint)
            SELECT ID, COUNT(*) FROM T GROUP BY ID
            => Unsupported: GROUP BY of a pull query, in ksqlDB's dialect, is not supported
            HINT: Add EMIT CHANGES if you intended to issue a push query, or SET dialect = 'postgres'.
            SELECT * FROM T JOIN U ON T.ID = U.ID
            => Unsupported: JOIN of a pull query, in ksqlDB's dialect, is not supported
            HINT: Add EMIT CHANGES if you intended to issue a push query, or SET dialect = 'postgres'.
            SELECT V, V FROM T
            => DuplicateColumn: column "V" specified more than once
        "#]],
    );
}
