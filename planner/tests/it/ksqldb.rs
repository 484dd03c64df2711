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
            "SELECT K, V FROM S WHERE NOPE = 1",
            "SELECT K, X.V FROM S",
        ],
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}
