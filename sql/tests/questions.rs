//! What the planner asks of a tree.

mod common;

use common::{KSQLDB, postgres};
use expect_test::{Expect, expect};
use sql::{Statement, has_wildcard, mentions, parameter_count, parse, relations};

fn statement(text: &str) -> Statement {
    let mut statements = parse(text, &postgres()).expect(text);
    statements.remove(0).node
}

fn check_relations(text: &str, expected: Expect) {
    let names: Vec<String> = relations(&statement(text))
        .iter()
        .map(ToString::to_string)
        .collect();
    expected.assert_eq(&names.join(" "));
}

#[test]
fn relations_are_those_read() {
    check_relations(
        "SELECT * FROM a, b.c JOIN (SELECT * FROM d) x ON e IN (SELECT 1 FROM f)",
        expect![[r#""a" "b"."c" "d" "f""#]],
    );
    check_relations(
        "CREATE TABLE t AS TABLE u UNION SELECT * FROM u, generate_series(1, 2) g",
        expect![[r#""u""#]],
    );
    check_relations("INSERT INTO t SELECT * FROM v", expect![[r#""v""#]]);
    check_relations(
        "INSERT INTO t VALUES ((SELECT max(a) FROM w))",
        expect![[r#""w""#]],
    );
    check_relations(
        "UPDATE t SET a = (SELECT b FROM x) WHERE EXISTS (SELECT 1 FROM y)",
        expect![[r#""x" "y""#]],
    );
    check_relations("EXPLAIN SELECT * FROM z", expect![[r#""z""#]]);
    check_relations("COPY t FROM STDIN", expect![[""]]);
}

#[test]
fn common_table_expressions_are_no_relations_where_they_are_in_scope() {
    check_relations(
        "WITH a AS (SELECT * FROM b), c AS (SELECT * FROM a) SELECT * FROM a, c, d",
        expect![[r#""b" "d""#]],
    );
    check_relations(
        "WITH a AS (SELECT * FROM a) SELECT * FROM a",
        expect![[r#""a""#]],
    );
    check_relations(
        "WITH RECURSIVE a AS (SELECT * FROM a, c), c AS (SELECT 1) SELECT * FROM a",
        expect![[""]],
    );
    check_relations(
        "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a, s.a",
        expect![[r#""a" "s"."a""#]],
    );
    check_relations(
        "WITH a AS (SELECT 1) SELECT (SELECT max(x) FROM a), (WITH b AS (TABLE a) TABLE b)",
        expect![[""]],
    );
}

#[test]
fn mentions_looks_everywhere_but_in_strings() {
    let found = |text: &str| mentions(&statement(text), "rowtime");
    assert!(found("SELECT rowtime FROM s"));
    assert!(found("SELECT s.ROWTIME FROM s"));
    assert!(found(
        "SELECT 1 FROM s WHERE a > (SELECT max(rowtime) FROM t)"
    ));
    assert!(found("SELECT 1 FROM s PARTITION BY rowtime EMIT CHANGES"));
    assert!(found(
        "CREATE TABLE t AS SELECT 1 FROM s GROUP BY date_trunc('day', rowtime)"
    ));
    assert!(!found("SELECT 'rowtime' AS rowtime FROM rowtime"));
    let ksqldb = parse("SELECT rowtime FROM s", &KSQLDB).unwrap();
    assert!(mentions(&ksqldb[0].node, "rowtime"));
}

#[test]
fn wildcards() {
    let found = |text: &str| has_wildcard(&statement(text));
    assert!(found("SELECT * FROM s"));
    assert!(found("SELECT a, s.* FROM s"));
    assert!(found("SELECT a FROM (SELECT * FROM s) x"));
    assert!(found("TABLE s"));
    assert!(found("SELECT array_agg(s.*) FROM s"));
    assert!(!found("SELECT count(*), a * 2 FROM s"));
}

#[test]
fn parameters() {
    let count = |text: &str| parameter_count(&statement(text));
    assert_eq!(count("SELECT 1"), 0);
    assert_eq!(count("SELECT $1, $3 FROM t LIMIT $2"), 3);
    assert_eq!(count("INSERT INTO t VALUES ($1, f($7))"), 7);
    assert_eq!(count("UPDATE t SET a = $2 WHERE b = $1"), 2);
    assert!(parse("SELECT $0", &postgres()).is_err());
    assert!(parse("SELECT $65536", &postgres()).is_err());
}

#[test]
fn spans_are_in_bytes_and_positions_in_characters() {
    let text = "  SELECT 'ü' ; -- x\n SHOW ALL";
    let statements = parse(text, &postgres()).unwrap();
    let texts: Vec<&str> = statements
        .iter()
        .map(|statement| statement.span.text(text))
        .collect();
    assert_eq!(texts, ["SELECT 'ü'", "SHOW ALL"]);
    let text = "SELECT 'ü', Foo FROM t";
    let Statement::Query(query) = statement(text) else {
        panic!("a query")
    };
    let sqlparser::ast::SetExpr::Select(select) = &*query.body.body else {
        panic!("a SELECT")
    };
    let sqlparser::ast::SelectItem::UnnamedExpr(sqlparser::ast::Expr::Identifier(ident)) =
        &select.projection[1]
    else {
        panic!("a name")
    };
    assert_eq!(
        (ident.value.as_str(), sql::ast::position(ident.span)),
        ("foo", Some(13))
    );
}
