//! The queries of psql and of drivers, as they send them.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use datafusion::scalar::ScalarValue;
use expect_test::expect_file;
use futures::TryStreamExt as _;
use sql::ast::Statement;

use super::*;

fn tables() -> Arc<SystemTables> {
    let columns = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    let relation = |oid, name: &str, kind, columns, key| RelationInfo {
        oid,
        name: name.to_owned(),
        kind,
        columns,
        key,
    };
    let relations = vec![
        relation(
            16384,
            "flights",
            RelationKind::Stream,
            columns(vec![
                Field::new("carrier", DataType::Utf8, true),
                Field::new("flight", DataType::Int32, false),
                Field::new(
                    "at",
                    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                    true,
                ),
                Field::new("price", DataType::Decimal128(10, 2), true),
                Field::new_list("tags", Field::new_list_field(DataType::Utf8, true), true),
            ]),
            vec![],
        ),
        relation(
            16385,
            "planes",
            RelationKind::Table,
            columns(vec![
                Field::new("tail number", DataType::Utf8, true),
                Field::new("year", DataType::Int16, true),
            ]),
            vec![0],
        ),
        relation(
            16386,
            "per_carrier",
            RelationKind::View,
            columns(vec![
                Field::new("carrier", DataType::Utf8, true),
                Field::new("n", DataType::Int64, true),
            ]),
            vec![0],
        ),
    ];
    let settings = vec![(
        "TimeZone".to_owned(),
        "UTC".to_owned(),
        "The session's time zone.".to_owned(),
    )];
    let facts = SessionFacts {
        user: "me".into(),
        database: "mine".into(),
        backend_pid: 7,
    };
    Arc::new(SystemTables::new(relations, settings).with_facts(facts))
}

async fn run(text: &str, parameters: &[ScalarValue]) -> String {
    let options = sql::ParseOptions::default();
    let statements = sql::parse(text, &options).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Statement::Query(query) = &statements[0].node else {
        panic!("not a query: {text}")
    };
    if !concerns(&query.body) {
        return "not about the system catalog\n".to_owned();
    }
    let tables = tables();
    let result = async {
        let planned = SystemQuery::plan(&tables, &query.body).await?;
        let (columns, batches) = planned.run(parameters).await?;
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        Ok::<_, Error>((columns, batches))
    };
    match result.await {
        Ok((columns, batches)) if batches.iter().all(|batch| batch.num_rows() == 0) => {
            let names: Vec<&str> = columns
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            format!("no rows: {}\n", names.join(", "))
        }
        Ok((_, batches)) => format!("{}\n", pretty_format_batches(&batches).expect("a table")),
        Err(error) => format!("ERROR: {error}\n"),
    }
}

/// Runs every query of a file; each begins with a line of comment that names it.
async fn run_file(file: &str) -> String {
    let mut shown = String::new();
    for query in file.split("\n\n").filter(|query| !query.trim().is_empty()) {
        let (title, text) = query.trim().split_once('\n').expect("a title and a query");
        shown.push_str(&format!("{title}\n{}\n", run(text, &[]).await));
    }
    shown
}

#[tokio::test]
async fn psql() {
    expect_file!["queries/psql15.out"]
        .assert_eq(&run_file(include_str!("queries/psql15.sql")).await);
}

#[tokio::test]
async fn drivers() {
    expect_file!["queries/drivers.out"]
        .assert_eq(&run_file(include_str!("queries/drivers.sql")).await);
}

#[tokio::test]
async fn parameters() {
    let shown = run(
        "SELECT relname FROM pg_class WHERE oid = $1",
        &[ScalarValue::Int64(Some(16385))],
    )
    .await;
    assert!(shown.contains("planes"), "{shown}");
}

#[test]
fn only_what_concerns_the_system_catalog() {
    let about = |text: &str| {
        let statements = sql::parse(text, &sql::ParseOptions::default()).expect("a statement");
        let Statement::Query(query) = &statements[0].node else {
            panic!("not a query")
        };
        concerns(&query.body)
    };
    assert!(about("SELECT * FROM pg_class"));
    assert!(about("SELECT 1 FROM information_schema.tables"));
    assert!(about("SELECT version()"));
    assert!(about("SELECT current_user"));
    assert!(!about("SELECT * FROM flights"));
    assert!(!about("SELECT 1"));
    assert!(!about("SELECT now()"));
    assert!(!about("SELECT count(*) FROM columns"));
    assert!(!about("SELECT current_database(), carrier FROM flights"));
}

#[test]
fn every_table_can_be_made() {
    let tables = tables();
    for name in [
        "pg_class",
        "pg_attribute",
        "pg_type",
        "pg_proc",
        "pg_index",
        "pg_constraint",
        "pg_roles",
        "pg_policy",
    ] {
        assert!(tables.source(None, name).is_some(), "{name}");
        assert!(tables.source(Some("pg_catalog"), name).is_some(), "{name}");
    }
    assert!(
        tables
            .source(Some("information_schema"), "columns")
            .is_some()
    );
    assert!(tables.source(Some("public"), "pg_class").is_none());
    assert!(tables.source(None, "flights").is_none());
}
