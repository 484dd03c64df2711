//! Expressions, literals, types.

mod common;

use common::{check, check_all, check_ksqldb};
use expect_test::expect;

#[test]
fn names_fold_to_lower_case_and_are_quoted() {
    check(
        r#"SELECT Foo, "Foo", `Bar`, t.Ünïcode, COUNT(*), "MyFn"(1) FROM Public.T AS X"#,
        expect![[r#"
        SELECT "foo", "Foo", "Bar", "t"."Ünïcode", count(*), "MyFn"(1) FROM "public"."t" AS "x"
    "#]],
    );
}

#[test]
fn names_fold_to_upper_case_in_ksqldb() {
    check_ksqldb(
        r#"SELECT foo, `foo`, 2nd, Count(*) FROM t"#,
        expect![[r#"
        SELECT "FOO", "foo", "2ND", count(*) FROM "T"
    "#]],
    );
}

#[test]
fn strings() {
    check_all(
        &[
            r#"SELECT 'it''s', '', E'a\n\x41\u00e9\'', $$it's$$, $x$ $$ $x$, U&'d\0061t\+000061', 'a'
               'b'"#,
            r"SELECT 'a''''b', 'c\''d', '''', 'back\slash'",
            "SELECT 'open",
            "SELECT E'\\q\\",
            "SELECT $$open",
            r"SELECT E'\ud83d\ude00', E'\ud83d'",
            r#"SELECT """", "a""b" FROM "t""""u""#,
        ],
        expect![[r#"
            SELECT 'it''s', '', E'a\n\x41\u00e9\'', $$it's$$, $x$ $$ $x$, U&'d\0061t\+000061', 'a'
                           'b'
            => SELECT 'it''s', '', 'a
            Aé''', 'it''s', ' $$ ', 'data', 'ab'
            SELECT 'a''''b', 'c\''d', '''', 'back\slash'
            => SELECT 'a''''b', 'c\''d', '''', 'back\slash'
            SELECT 'open
            => 42601: unterminated quoted string at or near "'open"
              at 8: "'open"
            SELECT E'\q\
            => 42601: unterminated quoted string at or near "E'\q\"
              at 8: "E'\\q\\"
            SELECT $$open
            => 42601: unterminated dollar-quoted string at or near "$$open"
              at 8: "$$open"
            SELECT E'\ud83d\ude00', E'\ud83d'
            => 42601: invalid byte sequence for encoding "UTF8"
              at 25: "E'\\ud83d'"
            SELECT """", "a""b" FROM "t""""u"
            => SELECT """", "a""b" FROM "t""""u"
        "#]],
    );
}

#[test]
fn numbers() {
    check_all(
        &[
            "SELECT 1, 1.5, .5, 2., 1e3, 1E-3, 1_000, 0xff, 0b101, 0o17, 1.e2",
            "SELECT 12abc",
            "SELECT 99999999999999999999999999, -1, - -1",
        ],
        expect![[r#"
            SELECT 1, 1.5, .5, 2., 1e3, 1E-3, 1_000, 0xff, 0b101, 0o17, 1.e2
            => SELECT 1, 1.5, 0.5, 2.0, 1e3, 1e-3, 1000, 255, 5, 15, 1.0e2
            SELECT 12abc
            => 42601: trailing junk after numeric literal at or near "12a"
              at 8: "12abc"
            SELECT 99999999999999999999999999, -1, - -1
            => SELECT 99999999999999999999999999, -1, - -1
        "#]],
    );
}

#[test]
fn operators_keep_their_precedence() {
    check_all(
        &[
            "SELECT 1 + 2 * 3 ^ 2, a OR b AND NOT c = d, a || b, a % 2, -a * b, a <> b, a != b",
            "SELECT a IS NOT NULL, a IS DISTINCT FROM b, a BETWEEN 1 AND 2 + 3, a NOT IN (1, 2), a LIKE 'x%' ESCAPE '!'",
            "SELECT a ~ 'x', a !~* 'y', a @> b, a & b | c # d, a << 2, a && b, ~a",
            "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a THEN b END",
            "SELECT a AT TIME ZONE 'UTC', EXTRACT(YEAR FROM ts), SUBSTRING(s FROM 2 FOR 3), POSITION('a' IN s), TRIM(BOTH 'x' FROM s)",
        ],
        expect![[r#"
            SELECT 1 + 2 * 3 ^ 2, a OR b AND NOT c = d, a || b, a % 2, -a * b, a <> b, a != b
            => SELECT 1 + 2 * 3 ^ 2, "a" OR "b" AND NOT "c" = "d", "a" || "b", "a" % 2, -"a" * "b", "a" <> "b", "a" <> "b"
            SELECT a IS NOT NULL, a IS DISTINCT FROM b, a BETWEEN 1 AND 2 + 3, a NOT IN (1, 2), a LIKE 'x%' ESCAPE '!'
            => SELECT "a" IS NOT NULL, "a" IS DISTINCT FROM "b", "a" BETWEEN 1 AND 2 + 3, "a" NOT IN (1, 2), "a" LIKE 'x%' ESCAPE '!'
            SELECT a ~ 'x', a !~* 'y', a @> b, a & b | c # d, a << 2, a && b, ~a
            => SELECT "a" ~ 'x', "a" !~* 'y', "a" @> "b", "a" & "b" | "c" # "d", "a" << 2, "a" && "b", ~"a"
            SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a THEN b END
            => SELECT CASE "a" WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN "a" THEN "b" END
            SELECT a AT TIME ZONE 'UTC', EXTRACT(YEAR FROM ts), SUBSTRING(s FROM 2 FOR 3), POSITION('a' IN s), TRIM(BOTH 'x' FROM s)
            => SELECT "a" AT TIME ZONE 'UTC', EXTRACT(YEAR FROM "ts"), SUBSTRING("s" FROM 2 FOR 3), POSITION('a' IN "s"), TRIM(BOTH 'x' FROM "s")
        "#]],
    );
}

#[test]
fn casts_and_types() {
    check_all(
        &[
            "SELECT a::int, CAST(a AS double precision), a::numeric(10,2)::text, TRY_CAST(a AS bigint)",
            "SELECT a::ARRAY<STRUCT<x ARRAY<INT>>>, b::int[], c::text[][], d::MAP<STRING, ARRAY<ARRAY<BIGINT>>>",
            "SELECT a::timestamp, b::timestamptz, c::timestamp with time zone, d::time, e::interval, f::uuid, g::jsonb",
            "SELECT a::varchar(10), b::char(3), c::bytes, d::\"char\", e::regclass, f::pg_catalog.text",
            "SELECT a::numeric(5,7)",
            "SELECT a::timestamp(3)",
            "CREATE TABLE t (a integr)",
            "SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00', TIMESTAMP WITH TIME ZONE '2020-01-01', TIME '10:00', INTERVAL '1 day', INTERVAL '2' HOUR, DECIMAL '1.5', uuid 'x'",
            "SELECT date, time, timestamp, text, interval, name, value, key FROM t",
        ],
        expect![[r#"
            SELECT a::int, CAST(a AS double precision), a::numeric(10,2)::text, TRY_CAST(a AS bigint)
            => SELECT "a"::INTEGER, CAST("a" AS DOUBLE PRECISION), "a"::NUMERIC(10,2)::TEXT, TRY_CAST("a" AS BIGINT)
            SELECT a::ARRAY<STRUCT<x ARRAY<INT>>>, b::int[], c::text[][], d::MAP<STRING, ARRAY<ARRAY<BIGINT>>>
            => SELECT "a"::ARRAY<STRUCT<"x" ARRAY<INTEGER>>>, "b"::ARRAY<INTEGER>, "c"::ARRAY<ARRAY<TEXT>>, "d"::Map(TEXT, ARRAY<ARRAY<BIGINT>>)
            SELECT a::timestamp, b::timestamptz, c::timestamp with time zone, d::time, e::interval, f::uuid, g::jsonb
            => SELECT "a"::TIMESTAMP(6), "b"::TIMESTAMPTZ(6), "c"::TIMESTAMPTZ(6), "d"::TIME, "e"::INTERVAL, "f"::UUID, "g"::JSONB
            SELECT a::varchar(10), b::char(3), c::bytes, d::"char", e::regclass, f::pg_catalog.text
            => SELECT "a"::VARCHAR(10), "b"::CHAR(3), "c"::BYTEA, "d"::"char", "e"::regclass, "f"::TEXT
            SELECT a::numeric(5,7)
            => 22023: NUMERIC scale 7 must be between 0 and precision 5
              at 11: "numeric(5,7)"
            SELECT a::timestamp(3)
            => 0A000: a precision of times other than 6 is not supported
              at 11: "timestamp(3)"
            CREATE TABLE t (a integr)
            => 42704: type "integr" does not exist
              at 19: "integr)"
              hint: did you mean INTEGER?
            SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00', TIMESTAMP WITH TIME ZONE '2020-01-01', TIME '10:00', INTERVAL '1 day', INTERVAL '2' HOUR, DECIMAL '1.5', uuid 'x'
            => SELECT DATE '2020-01-01', TIMESTAMP(6) '2020-01-01 00:00', TIMESTAMPTZ(6) '2020-01-01', TIME '10:00', INTERVAL '1 day', INTERVAL '2' HOUR, NUMERIC '1.5', UUID 'x'
            SELECT date, time, timestamp, text, interval, name, value, key FROM t
            => SELECT "date", "time", "timestamp", "text", "interval", "name", "value", "key" FROM "t"
        "#]],
    );
}

#[test]
fn structs_maps_arrays_and_lambdas() {
    check_all(
        &[
            "SELECT a->b->c, s.a->b, arr[1]->x, m['k'], arr[-1], ARRAY[1, 2][1], f(x)->y + 1, -a->b",
            "SELECT j->'a'->>'b', j->0, j #> '{a}', j->$1",
            "SELECT MAP('k' := 1, 'l' := 2), STRUCT(a := x + 1, b := a OR b), ARRAY[], ARRAY[[1], [2]]",
            "SELECT TRANSFORM(a, x => x + 1), REDUCE(m, 0, (s, k, v) => s + v), FILTER(a, X => TRANSFORM(x, y => y->z) IS NULL)",
            "SELECT a->* FROM t",
        ],
        expect![[r#"
            SELECT a->b->c, s.a->b, arr[1]->x, m['k'], arr[-1], ARRAY[1, 2][1], f(x)->y + 1, -a->b
            => SELECT "a"['b']['c'], "s"."a"['b'], "arr"[1]['x'], "m"['k'], "arr"[-1], ARRAY[1, 2][1], f("x")['y'] + 1, -"a"['b']
            SELECT j->'a'->>'b', j->0, j #> '{a}', j->$1
            => SELECT "j" -> 'a' ->> 'b', "j" -> 0, "j" #> '{a}', "j" -> $1
            SELECT MAP('k' := 1, 'l' := 2), STRUCT(a := x + 1, b := a OR b), ARRAY[], ARRAY[[1], [2]]
            => SELECT map('k' := 1, 'l' := 2), struct("a" := "x" + 1, "b" := "a" OR "b"), ARRAY[], ARRAY[[1], [2]]
            SELECT TRANSFORM(a, x => x + 1), REDUCE(m, 0, (s, k, v) => s + v), FILTER(a, X => TRANSFORM(x, y => y->z) IS NULL)
            => SELECT transform("a", "x" => "x" + 1), reduce("m", 0, ("s", "k", "v") => "s" + "v"), filter("a", "x" => transform("x", "y" => "y"['z']) IS NULL)
            SELECT a->* FROM t
            => SELECT "a".* FROM "t"
        "#]],
    );
}

#[test]
fn aggregates_and_windows() {
    check_all(
        &[
            "SELECT COUNT(*) FILTER (WHERE a > 1), ARRAY_AGG(DISTINCT a ORDER BY b DESC NULLS LAST), SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY x), RANK() OVER w, LAST_VALUE(a) IGNORE NULLS OVER (w) FROM t WINDOW w AS (PARTITION BY a)",
        ],
        expect![[r#"
            SELECT COUNT(*) FILTER (WHERE a > 1), ARRAY_AGG(DISTINCT a ORDER BY b DESC NULLS LAST), SUM(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
            => SELECT count(*) FILTER (WHERE "a" > 1), array_agg(DISTINCT "a" ORDER BY "b" DESC NULLS LAST), sum("a") OVER (PARTITION BY "b" ORDER BY "c" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
            SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY x), RANK() OVER w, LAST_VALUE(a) IGNORE NULLS OVER (w) FROM t WINDOW w AS (PARTITION BY a)
            => SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY "x"), rank() OVER "w", last_value("a") IGNORE NULLS OVER ("w") FROM "t" WINDOW "w" AS (PARTITION BY "a")
        "#]],
    );
}

#[test]
fn errors_tell_where() {
    check_all(
        &[
            "SELEC 1",
            "SELECT * FORM t",
            "SELECT a FROM t WHRE b",
            "SELECT 1 +",
            "SELECT (1",
            "SELECT 1)",
            "SELECT CASE WHEN a THEN b + END",
            "SELECT a, FROM t",
            "SELECT 'ü' || FROM t",
            "SELECT f(a, b c) FROM t",
            "SELECT 1; SELECT 2 2",
            "SELECT {x}",
            "",
            ";;",
        ],
        expect![[r#"
            SELEC 1
            => 42601: syntax error at or near "SELEC"
              at 1: "SELEC 1"
              detail: expected a statement
              hint: did you mean SELECT?
            SELECT * FORM t
            => 42601: syntax error at or near "FORM"
              at 10: "FORM t"
              detail: expected the end of the statement
              hint: did you mean FROM?
            SELECT a FROM t WHRE b
            => 42601: syntax error at or near "b"
              at 22: "b"
              detail: expected the end of the statement
              hint: did you mean WHERE?
            SELECT 1 +
            => 42601: syntax error at end of input
              at 11: ""
              detail: expected an expression
            SELECT (1
            => 42601: syntax error at end of input
              at 10: ""
              detail: expected )
            SELECT 1)
            => 42601: syntax error at or near ")"
              at 9: ")"
              detail: expected the end of the statement
            SELECT CASE WHEN a THEN b + END
            => 42601: syntax error at or near "END"
              at 29: "END"
              detail: expected an expression
            SELECT a, FROM t
            => 42601: syntax error at or near "FROM"
              at 11: "FROM t"
              detail: expected an expression
            SELECT 'ü' || FROM t
            => 42601: syntax error at or near "FROM"
              at 15: "FROM t"
              detail: expected an expression
            SELECT f(a, b c) FROM t
            => 42601: syntax error at or near "c"
              at 15: "c) FROM t"
              detail: expected )
            SELECT 1; SELECT 2 2
            => 42601: syntax error at or near "2"
              at 20: "2"
              detail: expected the end of the statement
            SELECT {x}
            => 42601: syntax error at or near "{"
              at 8: "{x}"

            => ;;
            => "#]],
    );
}

#[test]
fn reserved_words_name_no_relation() {
    check_all(
        &[
            "SELECT * FROM WHERE",
            "SELECT * FROM where x = 1",
            "SELECT * FROM a JOIN ON x = 1",
            r#"SELECT * FROM "where" WHERE extract(year FROM x) IS DISTINCT FROM a.from"#,
        ],
        expect![[r#"
            SELECT * FROM WHERE
            => 42601: syntax error at or near "WHERE"
              at 15: "WHERE"
              detail: expected a relation
            SELECT * FROM where x = 1
            => 42601: syntax error at or near "where"
              at 15: "where x = 1"
              detail: expected a relation
            SELECT * FROM a JOIN ON x = 1
            => 42601: syntax error at or near "ON"
              at 22: "ON x = 1"
              detail: expected a relation
            SELECT * FROM "where" WHERE extract(year FROM x) IS DISTINCT FROM a.from
            => SELECT * FROM "where" WHERE EXTRACT(YEAR FROM "x") IS DISTINCT FROM "a"."from"
        "#]],
    );
}
