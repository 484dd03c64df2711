//! Nothing makes the parser panic, and whatever it accepts it prints back.

mod common;

use common::{KSQLDB, postgres, printed};
use proptest::prelude::*;
use sql::{parse, split_statements};

/// Statements to mutate, one of each kind.
const SEEDS: &[&str] = &[
    "CREATE STREAM s (id INT KEY, v ARRAY<STRUCT<a TEXT, b MAP<TEXT, INT>>>, h BYTES HEADER('x')) WITH (kafka_topic = 'a', partitions = 3)",
    "CREATE TABLE t (a INT PRIMARY KEY, b NUMERIC(10, 2) NOT NULL)",
    "CREATE TABLE v AS SELECT a, count(*) FILTER (WHERE b > 1) FROM s WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 1 MINUTE, GRACE PERIOD 1 DAY) WHERE c LIKE 'x%' GROUP BY a HAVING count(*) > 1 EMIT FINAL",
    "SELECT x.a, y->b->c, z[1] FROM a AS x LEFT JOIN b y WITHIN (1 HOUR, 2 DAYS) GRACE PERIOD 5 SECONDS ON x.a = y.a PARTITION BY q EMIT CHANGES LIMIT 3",
    "WITH c AS (SELECT 1 AS a UNION ALL VALUES (2)) SELECT DISTINCT a::text || 'it''s', CASE WHEN a = 1 THEN E'\\n' ELSE $$x$$ END FROM c, LATERAL (SELECT * FROM t) l ORDER BY 1 DESC NULLS LAST OFFSET 2",
    "INSERT INTO t (a, b) VALUES (1, DEFAULT), ($1, MAP('k' := 1)), (- -1, STRUCT(a := 2))",
    "UPDATE t AS u SET a = a + 1, (b, c) = (1, 2) WHERE EXISTS (SELECT 1 FROM x WHERE x.a = u.a)",
    "DELETE FROM t WHERE a IN (1, 2) AND b BETWEEN DATE '2020-01-01' AND now() - INTERVAL '1 day'",
    "COPY t (a) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '')",
    "COPY (SELECT reduce(a, 0, (s, x) => s + x), f(x => x) FROM t) TO STDOUT",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "DECLARE c BINARY CURSOR WITH HOLD FOR TABLE t; FETCH FORWARD 5 FROM c; CLOSE c",
    "SET SESSION a.b = 'x', 1; SHOW ALL; RESET x; BEGIN READ ONLY; COMMIT AND CHAIN; SET TIME ZONE 'UTC'",
    "PREPARE p (int, text[]) AS SELECT $1; EXECUTE p (1, ARRAY['a']); DEALLOCATE ALL",
    "DROP TABLE IF EXISTS a, b.c CASCADE DELETE TOPIC; TERMINATE q; SHOW STREAMS EXTENDED; DESCRIBE t",
    "SELECT a IS NOT DISTINCT FROM b, NOT a, a AT TIME ZONE 'x', extract(year FROM a), substring(a FROM 1 FOR 2), a COLLATE \"C\", a OPERATOR(pg_catalog.~) 'x', j->'a'->>0",
];

/// Pieces to put in.
const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "'",
    "\"",
    "`",
    "$$",
    "$1",
    "--",
    "/*",
    "*/",
    ".",
    "*",
    "->",
    "=>",
    ":=",
    "::",
    "::int",
    ">>",
    "<",
    "<>",
    "+",
    "-",
    "E'",
    "U&'",
    "1",
    "1.5e",
    "NULL",
    "NOT",
    "AND",
    "CASE",
    "END",
    "SELECT",
    "FROM",
    "JOIN",
    "WITHIN 1 HOUR",
    "WINDOW TUMBLING (SIZE 1 DAY)",
    "EMIT CHANGES",
    "PARTITION BY",
    "WITH",
    "AS",
    "VALUES",
    "INTERVAL",
    "DATE",
    "ARRAY",
    "IN",
    "BETWEEN",
    "ON",
    "LIMIT",
    "DEFAULT",
    "{",
    "@",
    "?",
    "\u{0}",
    "é",
    "😀",
    "UNION",
    "LATERAL",
    "TABLE",
    "EXCLUDE",
    "OVER",
    "FILTER",
    "COLLATE",
    "a",
    "\"a\"\"b\"",
    "'it''s'",
    "ROW",
    "ALL",
];

fn mutated() -> impl Strategy<Value = String> {
    let edit = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..4usize,
    );
    (
        prop::sample::select(SEEDS),
        prop::collection::vec(edit, 0..4),
    )
        .prop_map(|(seed, edits)| {
            let mut words: Vec<&str> = seed
                .split_inclusive(|c: char| !c.is_alphanumeric())
                .collect();
            for (at, piece, kind) in edits {
                if words.is_empty() {
                    break;
                }
                let at = at.index(words.len());
                match kind {
                    0 => {
                        words.remove(at);
                    }
                    1 => words.insert(at, PIECES[piece.index(PIECES.len())]),
                    2 => words[at] = PIECES[piece.index(PIECES.len())],
                    _ => {
                        let other = piece.index(words.len());
                        words.swap(at, other);
                    }
                }
            }
            words.concat()
        })
}

/// Cheap enough for many cases; more with `PROPTEST_CASES=100000`.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(2_000);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Any text at all.
    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let _ = parse(&text, &postgres());
        let _ = parse(&text, &KSQLDB);
        split_statements(&text, &postgres());
    }

    /// Texts of pieces that mean something.
    #[test]
    fn any_mixture_of_pieces_is_answered(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.join(" ");
        let _ = parse(&text, &postgres());
        let _ = parse(&format!("SELECT {text}"), &KSQLDB);
        split_statements(&text, &postgres());
    }

    /// Statements that are nearly right, and some that are: what parses is printed to something that parses to the same.
    #[test]
    fn what_parses_prints_back(text in mutated()) {
        let _ = printed(&text, &postgres());
        let _ = printed(&text, &KSQLDB);
    }

    /// Positions point into the text.
    #[test]
    fn positions_are_inside(text in mutated()) {
        if let Err(error) = parse(&text, &postgres())
            && let Some(position) = error.position
        {
            prop_assert!((1..=text.chars().count() + 1).contains(&position), "{position}");
        }
    }

    /// Cutting a text at its semicolons and parsing the pieces is parsing the text.
    #[test]
    fn splitting_agrees_with_parsing(text in mutated()) {
        let text = format!("{text}\n;");
        if let Ok(statements) = parse(&text, &postgres()) {
            let split = split_statements(&text, &postgres());
            prop_assert_eq!(split.statements.len(), statements.len());
            for (span, statement) in split.statements.iter().zip(&statements) {
                prop_assert_eq!(*span, statement.span);
            }
        }
    }
}

#[test]
fn the_seeds_are_right() {
    for seed in SEEDS {
        if let Err(error) = printed(seed, &postgres()) {
            panic!("{seed}: {error:?}");
        }
    }
}
