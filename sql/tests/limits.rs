//! What is too much is refused with an error, and never costs the stack, hangs, or panics.

mod common;

use std::time::{Duration, Instant};

use common::{drawn, postgres};
use expect_test::{Expect, expect};
use sql::{Limits, ParseErrorKind, ParseOptions, parse};

/// Parses on a stack as small as a server's tasks may have.
fn on_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .expect("a thread starts")
        .join()
        .expect("no panic, no overflow")
}

fn check(name: &str, text: String, expected: Expect) {
    let name = name.to_owned();
    let result = on_small_stack(move || match parse(&text, &postgres()) {
        Ok(statements) => {
            let again = statements.clone();
            assert_eq!(again, statements);
            format!(
                "{} statements, {} bytes printed\n",
                statements.len(),
                statements[0].node.to_string().len()
            )
        }
        Err(error) => {
            let mut error = error;
            error.position = None;
            drawn(&error, "")
        }
    });
    expected.assert_eq(&format!("{name}: {result}"));
}

#[test]
fn parentheses() {
    let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    check(
        "100",
        nested(100),
        expect![[r#"
        100: 1 statements, 208 bytes printed
    "#]],
    );
    check(
        "10,000",
        nested(10_000),
        expect![[r#"
        10,000: 54001: statement is nested too deeply
          detail: at most 128 levels of nesting are allowed
    "#]],
    );
    check(
        "1,000,000 open",
        format!("SELECT {}", "(".repeat(1_000_000)),
        expect![[r#"
            1,000,000 open: 54001: statement is nested too deeply
              detail: at most 128 levels of nesting are allowed
        "#]],
    );
    check(
        "from",
        format!("SELECT * FROM {}a", "(".repeat(100)),
        expect![[r#"
            from: 42601: syntax error at end of input
              detail: expected joined table
        "#]],
    );
}

#[test]
fn chains() {
    let chain =
        |n: usize, term: &str, operator: &str| format!("SELECT {}", vec![term; n].join(operator));
    check(
        "1,900 sums",
        chain(1_900, "1", "+"),
        expect![[r#"
        1,900 sums: 1 statements, 7604 bytes printed
    "#]],
    );
    check(
        "100,000 sums",
        chain(100_000, "1", "+"),
        expect![[r#"
        100,000 sums: 54001: expression is too complex
          detail: at most 2000 operators in a row are allowed
          hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
    "#]],
    );
    check(
        "1,000 ORs",
        chain(1_000, "a = 1", " OR "),
        expect![[r#"
        1,000 ORs: 1 statements, 11003 bytes printed
    "#]],
    );
    check(
        "100,000 ORs",
        chain(100_000, "a = 1", " OR "),
        expect![[r#"
            100,000 ORs: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 ANDs",
        chain(100_000, "a < b", " AND "),
        expect![[r#"
            100,000 ANDs: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 casts",
        format!("SELECT 1{}", "::int".repeat(100_000)),
        expect![[r#"
            100,000 casts: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 subscripts",
        format!("SELECT a{}", "[1]".repeat(100_000)),
        expect![[r#"
            100,000 subscripts: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 fields",
        format!("SELECT a{}", "->b".repeat(100_000)),
        expect![[r#"
            100,000 fields: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 parts of a name",
        format!("SELECT a{}", ".b".repeat(100_000)),
        expect![[r#"
            100,000 parts of a name: 1 statements, 400010 bytes printed
        "#]],
    );
    check(
        "100,000 unions",
        chain(100_000, "1", " UNION SELECT "),
        expect![[r#"
            100,000 unions: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 joins",
        format!("SELECT 1 FROM a{}", " JOIN b ON true".repeat(100_000)),
        expect![[r#"
            100,000 joins: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 relations",
        format!("SELECT 1 FROM a{}", ", b".repeat(100_000)),
        expect![[r#"
            100,000 relations: 54001: too many relations in FROM
              detail: at most 2000 are allowed
        "#]],
    );
    check(
        "100,000 NOTs",
        format!("SELECT {} a", "NOT ".repeat(100_000)),
        expect![[r#"
            100,000 NOTs: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "100,000 minus signs",
        format!("SELECT {} 1", "- ".repeat(100_000)),
        expect![[r#"
            100,000 minus signs: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "chains in parentheses",
        {
            let sum = vec!["1"; 1_000].join("+");
            format!(
                "SELECT {}{sum}{}",
                format!("({sum}+").repeat(50),
                ")".repeat(50)
            )
        },
        expect![[r#"
            chains in parentheses: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "names that look like clauses",
        format!("SELECT 1{}", " COLLATE when + 1".repeat(5_000)),
        expect![[r#"
            names that look like clauses: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "CASE chain",
        format!("SELECT {}1", "CASE WHEN true THEN 1 END + ".repeat(50_000)),
        expect![[r#"
            CASE chain: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "nested CASE",
        format!(
            "SELECT {}1{}",
            "CASE WHEN a THEN ".repeat(10_000),
            " END".repeat(10_000)
        ),
        expect![[r#"
            nested CASE: 54001: statement is nested too deeply
              detail: at most 128 levels of nesting are allowed
        "#]],
    );
    check(
        "nested types",
        format!(
            "SELECT a::{}INT{}",
            "ARRAY<".repeat(10_000),
            ">".repeat(10_000)
        ),
        expect![[r#"
            nested types: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "array dimensions",
        format!("CREATE TABLE t (a int{})", "[]".repeat(10_000)),
        expect![[r#"
            array dimensions: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "nested subqueries",
        format!("SELECT {}1{}", "(SELECT ".repeat(100), ")".repeat(100)),
        expect![[r#"
            nested subqueries: 1 statements, 908 bytes printed
        "#]],
    );
    check(
        "nested CTEs",
        format!(
            "{}SELECT 1{}",
            "WITH a AS (".repeat(60),
            ") SELECT 1".repeat(60)
        ),
        expect![[r#"
            nested CTEs: 1 statements, 1388 bytes printed
        "#]],
    );
    check(
        "lambdas",
        format!("SELECT f({}1)", "x => ".repeat(100_000)),
        expect![[r#"
            lambdas: 54001: expression is too complex
              detail: at most 2000 operators in a row are allowed
              hint: use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions
        "#]],
    );
    check(
        "comments",
        format!("SELECT {}1", "/*".repeat(100_000)),
        expect![[r#"
            comments: 42601: unterminated /* comment at or near "/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*"
        "#]],
    );
}

#[test]
fn long_lists_are_fine_up_to_the_limit() {
    let list = |n: usize| format!("SELECT a IN ({}1)", "1,".repeat(n));
    check(
        "50,000",
        list(50_000),
        expect![[r#"
        50,000: 1 statements, 150017 bytes printed
    "#]],
    );
    check(
        "1,000,000",
        list(1_000_000),
        expect![[r#"
        1,000,000: 54001: list is too long
          detail: at most 1000000 entries are allowed
          hint: load large amounts of data with COPY, or join with VALUES instead of IN
    "#]],
    );
    let case = format!("SELECT CASE {} END", "WHEN a = 1 THEN 'x' ".repeat(20_000));
    check(
        "20,000 cases",
        case,
        expect![[r#"
        20,000 cases: 1 statements, 440015 bytes printed
    "#]],
    );
    check(
        "2,000 columns",
        format!("SELECT {}1", "1,".repeat(2_000)),
        expect![[r#"
            2,000 columns: 54011: target lists can have at most 1600 entries
        "#]],
    );
    let columns = (0..1_601)
        .map(|i| format!("c{i} INT"))
        .collect::<Vec<_>>()
        .join(", ");
    check(
        "1,601 columns",
        format!("CREATE TABLE t ({columns})"),
        expect![[r#"
            1,601 columns: 54011: relations can have at most 1600 columns
        "#]],
    );
    check(
        "many words",
        "a,".repeat(5_000_000),
        expect![[r#"
        many words: 54001: statement has too many words and symbols
          hint: load large amounts of data with COPY
    "#]],
    );
}

#[test]
fn long_texts_are_refused() {
    let limits = Limits {
        text_bytes_max: 10,
        ..Limits::DEFAULT
    };
    let error = parse(
        "SELECT 'abcdef'",
        &ParseOptions {
            limits,
            ..postgres()
        },
    )
    .unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::LimitExceeded);
    expect![[r#"
        54000: statement text is longer than 10 bytes
          hint: load large amounts of data with COPY
    "#]]
    .assert_eq(&drawn(&error, ""));
}

/// sqlparser tries alternatives and goes back; nested that is exponential unless somebody counts.
#[test]
fn going_back_is_bounded() {
    let started = Instant::now();
    let texts = [
        format!("SELECT {}1 ++", "f(a, ".repeat(60)),
        format!("SELECT {}1 +", "EXTRACT(year FROM ".repeat(60)),
        format!("SELECT {}1 +", "SUBSTRING(a FROM ".repeat(60)),
        format!("SELECT {}1 +", "CASE WHEN ".repeat(60)),
        format!("SELECT a{} +", ".b".repeat(60)),
        format!("SELECT {}a", "x IN (".repeat(60)),
        format!("SELECT * FROM {}a b c d", "((SELECT 1 FROM ".repeat(40)),
        format!(
            "SELECT * FROM {}t{}",
            "((SELECT 1 FROM ".repeat(30),
            ") x JOIN y ON 1 = 1)".repeat(30)
        ),
        format!("SELECT {}1", "DATE ".repeat(60)),
        format!("SELECT {}1", "TIMESTAMP (".repeat(60)),
        format!("SELECT {}1", "INTERVAL (".repeat(60)),
        format!("SELECT {}1", "ARRAY(".repeat(60)),
        format!("SELECT {}1", "POSITION(".repeat(60)),
        format!("SELECT {}1", "TRIM(".repeat(60)),
        format!("SELECT {}1", "INTERVAL '1' ".repeat(60)),
        format!("{}SELECT 1 +", "WITH a AS (".repeat(60)),
    ];
    for text in texts {
        let shown = text.chars().take(40).collect::<String>();
        let _ = on_small_stack(move || parse(&text, &postgres()).is_ok());
        // Not a measurement: without a bound this would take longer than the universe is old.
        assert!(started.elapsed() < Duration::from_secs(300), "{shown}");
    }
}
