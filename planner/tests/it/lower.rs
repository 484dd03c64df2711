use expect_test::{Expect, expect};
use planner::OutputKind;

use crate::catalog::lowered;

fn table(text: &str, expected: Expect) {
    expected.assert_eq(&lowered(text, OutputKind::Table));
}

fn stream(text: &str, expected: Expect) {
    expected.assert_eq(&lowered(text, OutputKind::Stream));
}

fn push(text: &str, expected: Expect) {
    expected.assert_eq(&lowered(text, OutputKind::Push));
}

#[test]
fn filter_and_project() {
    stream(
        "SELECT carrier, dep_delay * 2 AS twice, rowtime FROM flights WHERE dep_delay > 10 AND carrier LIKE 'A%'",
        expect![[r#"
        project-1: select carrier, dep_delay * 2 AS twice, rowtime
        │    no key · append-only · no state
        └─ filter-1: where dep_delay > 10 AND carrier LIKE 'A%'
           │    no key · append-only · no state
           └─ source-flights: read flights (carrier, dep_delay, rowtime)
                   no key · append-only · no state
    "#]],
    );
    table(
        "SELECT * FROM airlines",
        expect![[r#"
        project-1: select carrier, name
        │    key (carrier) · retract · no state
        └─ source-airlines: read airlines (carrier, name)
                key (carrier) · retract · no state
    "#]],
    );
    push(
        "SELECT rowoffset, * FROM flights EMIT CHANGES LIMIT 3",
        expect![[r#"
        project-1: select rowoffset, carrier, tailnum, dep_delay, distance
        │    no key · append-only · no state
        └─ source-flights: read flights (carrier, tailnum, dep_delay, distance, rowoffset)
                no key · append-only · no state
        LIMIT 3
    "#]],
    );
}

#[test]
fn aggregate() {
    table(
        "SELECT carrier, count(*), avg(dep_delay) AS delay, min(distance) FILTER (WHERE dep_delay > 0) FROM flights GROUP BY carrier HAVING count(*) > 1",
        expect![[r#"
        filter-1: where "count(*)" > 1
        │    key (carrier) · retract · no state
        └─ aggregate-1: count(*), avg(CAST(dep_delay AS double precision)), min(distance) FILTER (WHERE dep_delay > 0) by carrier
           │    key (carrier) · retract · state: one entry for each key
           └─ source-flights: read flights (carrier, dep_delay, distance)
                   no key · append-only · no state
    "#]],
    );
    table(
        "SELECT sum(seats), max(year) FROM planes",
        expect![[r#"
        aggregate-1: sum(CAST(seats AS bigint)), max(year)
        │    one row · retract · state: all rows of its input
        └─ source-planes: read planes (year, seats)
                no key · retract · no state
    "#]],
    );
    table(
        "SELECT count(DISTINCT tailnum), array_agg(carrier ORDER BY dep_delay DESC) FROM flights",
        expect![[r#"
        aggregate-1: count(DISTINCT tailnum), array_agg(carrier ORDER BY dep_delay DESC)
        │    one row · retract · state: unbounded, all rows that ever came
        └─ source-flights: read flights (carrier, tailnum, dep_delay)
                no key · append-only · no state
    "#]],
    );
    table(
        "SELECT date_trunc('day', rowtime) AS day, count(*) FROM flights GROUP BY 1",
        expect![[r#"
        aggregate-1: count(*) by date_trunc('day', rowtime)
        │    key (day) · retract · state: one entry for each key
        └─ source-flights: read flights (rowtime)
                no key · append-only · no state
    "#]],
    );
    table(
        "SELECT count(*) FROM (SELECT carrier, count(*) AS n FROM flights GROUP BY carrier) x WHERE n > 3",
        expect![[r#"
        aggregate-2: count(*)
        │    one row · retract · state: one entry for each key
        └─ filter-1: where "count(*)" > 3
           │    no key · retract · no state
           └─ project-1: select "count(*)"
              │    no key · retract · no state
              └─ aggregate-1: count(*) by carrier
                 │    key (carrier) · retract · state: one entry for each key
                 └─ source-flights: read flights (carrier)
                         no key · append-only · no state
    "#]],
    );
}

#[test]
fn distinct_and_set_operations() {
    stream(
        "SELECT DISTINCT carrier FROM flights",
        expect![[r#"
        distinct-1: distinct carrier
        │    key (carrier) · append-only · state: one entry for each key
        └─ source-flights: read flights (carrier)
                no key · append-only · no state
    "#]],
    );
    table(
        "SELECT carrier FROM flights UNION SELECT carrier FROM airlines",
        expect![[r#"
        distinct-1: distinct carrier
        │    key (carrier) · retract · state: one entry for each key
        └─ union-1: union all
           │    no key · retract · no state
           ├─ source-flights: read flights (carrier)
           │       no key · append-only · no state
           └─ source-airlines: read airlines (carrier)
                   key (carrier) · retract · no state
    "#]],
    );
    stream(
        "SELECT carrier FROM flights UNION ALL SELECT carrier FROM other UNION ALL VALUES ('XX')",
        expect![[r#"
        union-1: union all
        │    no key · append-only · no state
        ├─ source-flights: read flights (carrier)
        │       no key · append-only · no state
        ├─ source-other: read other (carrier)
        │       no key · append-only · no state
        └─ constant-1: values ('XX')
                no key · append-only · no state
    "#]],
    );
    table(
        "SELECT carrier FROM airlines INTERSECT SELECT carrier FROM flights",
        expect![[r#"
        join-1: semi join on carrier IS NOT DISTINCT FROM carrier
        │    key (carrier) · retract · state: unbounded, all rows that ever came
        ├─ distinct-1: distinct carrier
        │  │    key (carrier) · retract · state: one entry for each key
        │  └─ source-airlines: read airlines (carrier)
        │          key (carrier) · retract · no state
        └─ source-flights: read flights (carrier)
                no key · append-only · no state
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
    table(
        "SELECT carrier FROM airlines EXCEPT SELECT carrier FROM flights",
        expect![[r#"
        join-1: anti join on carrier IS NOT DISTINCT FROM carrier
        │    key (carrier) · retract · state: unbounded, all rows that ever came
        ├─ distinct-1: distinct carrier
        │  │    key (carrier) · retract · state: one entry for each key
        │  └─ source-airlines: read airlines (carrier)
        │          key (carrier) · retract · no state
        └─ source-flights: read flights (carrier)
                no key · append-only · no state
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
}

#[test]
fn joins() {
    table(
        "SELECT f.tailnum, a.name FROM flights f JOIN airlines a ON f.carrier = a.carrier AND f.dep_delay > 5",
        expect![[r#"
        project-2: select tailnum, name
        │    no key · retract · no state
        └─ join-1: join on carrier = carrier
           │    no key · retract · state: unbounded, all rows that ever came
           ├─ project-1: select carrier, tailnum
           │  │    no key · append-only · no state
           │  └─ filter-1: where carrier IS NOT NULL AND dep_delay > 5
           │     │    no key · append-only · no state
           │     └─ source-flights: read flights (carrier, tailnum, dep_delay)
           │             no key · append-only · no state
           └─ filter-2: where carrier IS NOT NULL
              │    key (carrier) · retract · no state
              └─ source-airlines: read airlines (carrier, name)
                      key (carrier) · retract · no state
        NOTICE: this join keeps every row of "flights" for ever
        HINT: Use CREATE STREAM … AS to join each row with the table as it is when the row arrives.
    "#]],
    );
    stream(
        "SELECT f.tailnum, a.name FROM flights f LEFT JOIN airlines a ON f.carrier = a.carrier",
        expect![[r#"
        project-1: select tailnum, name
        │    no key · append-only · no state
        └─ join-1: lookup left join on carrier = carrier
           │    no key · append-only · state: all rows of its input
           ├─ source-flights: read flights (carrier, tailnum)
           │       no key · append-only · no state
           └─ filter-1: where carrier IS NOT NULL
              │    key (carrier) · retract · no state
              └─ source-airlines: read airlines (carrier, name)
                      key (carrier) · retract · no state
    "#]],
    );
    stream(
        "SELECT a.*, f.tailnum FROM airlines a JOIN flights f ON f.carrier = a.carrier AND f.tailnum < a.name",
        expect![[r#"
        project-1: select carrier, name, tailnum
        │    no key · append-only · no state
        └─ join-1: lookup join on carrier = carrier AND tailnum < name
           │    no key · append-only · state: all rows of its input
           ├─ filter-2: where carrier IS NOT NULL
           │  │    no key · append-only · no state
           │  └─ source-flights: read flights (carrier, tailnum)
           │          no key · append-only · no state
           └─ filter-1: where carrier IS NOT NULL
              │    key (carrier) · retract · no state
              └─ source-airlines: read airlines (carrier, name)
                      key (carrier) · retract · no state
    "#]],
    );
    table(
        "SELECT a.carrier, o.n FROM airlines a FULL JOIN other o ON a.carrier = o.carrier",
        expect![[r#"
        project-1: select carrier, n
        │    no key · retract · no state
        └─ join-1: full join on carrier = carrier
           │    no key · retract · state: unbounded, all rows that ever came
           ├─ source-airlines: read airlines (carrier)
           │       key (carrier) · retract · no state
           └─ source-other: read other (carrier, n)
                   no key · append-only · no state
        NOTICE: this join keeps every row of "other" for ever
    "#]],
    );
    table(
        "SELECT * FROM airlines a, planes p",
        expect![[r#"
        join-1: cross join
        │    key (carrier, tailnum) · retract · state: all rows of its input
        ├─ source-airlines: read airlines (carrier, name)
        │       key (carrier) · retract · no state
        └─ source-planes: read planes (tailnum, year, seats)
                key (tailnum) · retract · no state
        NOTICE: this join has no condition: every row meets every row
    "#]],
    );
    stream(
        "SELECT f.carrier FROM flights f JOIN other o ON f.carrier = o.carrier",
        expect![[r#"
        project-1: select carrier
        │    no key · append-only · no state
        └─ join-1: join on carrier = carrier
           │    no key · append-only · state: unbounded, all rows that ever came
           ├─ filter-1: where carrier IS NOT NULL
           │  │    no key · append-only · no state
           │  └─ source-flights: read flights (carrier)
           │          no key · append-only · no state
           └─ filter-2: where carrier IS NOT NULL
              │    no key · append-only · no state
              └─ source-other: read other (carrier)
                      no key · append-only · no state
        NOTICE: this join keeps every row of "flights" and "other" for ever
        HINT: Aggregate the streams before they are joined.
    "#]],
    );
    table(
        "SELECT * FROM airlines a LEFT JOIN planes p ON p.tailnum = a.name",
        expect![[r#"
        join-1: left join on name = tailnum
        │    key (carrier) · retract · state: all rows of its input
        ├─ source-airlines: read airlines (carrier, name)
        │       key (carrier) · retract · no state
        └─ filter-1: where tailnum IS NOT NULL
           │    key (tailnum) · retract · no state
           └─ source-planes: read planes (tailnum, year, seats)
                   key (tailnum) · retract · no state
    "#]],
    );
}

#[test]
fn subqueries() {
    table(
        "SELECT name FROM airlines a WHERE EXISTS (SELECT 1 FROM flights f WHERE f.carrier = a.carrier)",
        expect![[r#"
        project-1: select name
        │    no key · retract · no state
        └─ join-1: semi join on carrier = carrier
           │    key (carrier) · retract · state: unbounded, all rows that ever came
           ├─ filter-1: where carrier IS NOT NULL
           │  │    key (carrier) · retract · no state
           │  └─ source-airlines: read airlines (carrier, name)
           │          key (carrier) · retract · no state
           └─ filter-2: where carrier IS NOT NULL
              │    no key · append-only · no state
              └─ source-flights: read flights (carrier)
                      no key · append-only · no state
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
    table(
        "SELECT name FROM airlines a WHERE carrier NOT IN (SELECT carrier FROM flights)",
        expect![[r#"
        project-1: select name
        │    no key · retract · no state
        └─ join-1: anti join on (carrier = carrier) IS NOT FALSE
           │    key (carrier) · retract · state: unbounded, all rows that ever came
           ├─ source-airlines: read airlines (carrier, name)
           │       key (carrier) · retract · no state
           └─ source-flights: read flights (carrier)
                   no key · append-only · no state
        NOTICE: NOT IN compares each row with every row of the subquery
        HINT: Use NOT EXISTS, or exclude NULLs on both sides.
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
    table(
        "SELECT name FROM airlines a WHERE NOT EXISTS (SELECT 1 FROM flights f WHERE f.carrier = a.carrier)",
        expect![[r#"
        project-1: select name
        │    no key · retract · no state
        └─ join-1: anti join on carrier = carrier
           │    key (carrier) · retract · state: unbounded, all rows that ever came
           ├─ source-airlines: read airlines (carrier, name)
           │       key (carrier) · retract · no state
           └─ filter-1: where carrier IS NOT NULL
              │    no key · append-only · no state
              └─ source-flights: read flights (carrier)
                      no key · append-only · no state
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
    table(
        "SELECT name, (SELECT count(*) FROM flights f WHERE f.carrier = a.carrier) AS n FROM airlines a",
        expect![[r#"
        project-2: select name, CASE WHEN __always_true IS NULL THEN 0 ELSE count END AS n
        │    no key · retract · no state
        └─ join-1: left join on carrier = carrier
           │    key (carrier) · retract · state: all rows of its input
           ├─ source-airlines: read airlines (carrier, name)
           │       key (carrier) · retract · no state
           └─ project-1: select "count(*)" AS count, carrier, __always_true
              │    key (carrier) · retract · no state
              └─ aggregate-1: count(*) by carrier, true
                 │    key (carrier) · retract · state: one entry for each key
                 └─ filter-1: where carrier IS NOT NULL
                    │    no key · append-only · no state
                    └─ source-flights: read flights (carrier)
                            no key · append-only · no state
    "#]],
    );
    table(
        "SELECT carrier FROM other WHERE n > (SELECT avg(n) FROM other)",
        expect![[r#"
        project-1: select carrier
        │    no key · retract · no state
        └─ join-1: join on CAST(n AS double precision) > "avg(CAST(n AS double precision))"
           │    no key · retract · state: unbounded, all rows that ever came
           ├─ source-other: read other (carrier, n)
           │       no key · append-only · no state
           └─ aggregate-1: avg(CAST(n AS double precision))
              │    one row · retract · state: one entry for each key
              └─ source-other-2: read other (n)
                      no key · append-only · no state
        NOTICE: this join keeps every row of "other" for ever
        HINT: Use CREATE STREAM … AS to join each row with the table as it is when the row arrives.
    "#]],
    );
    table(
        "WITH x AS (SELECT carrier, count(*) AS n FROM flights GROUP BY carrier) SELECT a.name, x.n FROM x JOIN airlines a USING (carrier)",
        expect![[r#"
        project-1: select name, "count(*)" AS n
        │    no key · retract · no state
        └─ join-1: join on carrier = carrier
           │    key (carrier) · retract · state: all rows of its input
           ├─ aggregate-1: count(*) by carrier
           │  │    key (carrier) · retract · state: one entry for each key
           │  └─ filter-1: where carrier IS NOT NULL
           │     │    no key · append-only · no state
           │     └─ source-flights: read flights (carrier)
           │             no key · append-only · no state
           └─ filter-2: where carrier IS NOT NULL
              │    key (carrier) · retract · no state
              └─ source-airlines: read airlines (carrier, name)
                      key (carrier) · retract · no state
    "#]],
    );
    table(
        "SELECT name FROM airlines a WHERE carrier = 'x' OR EXISTS (SELECT 1 FROM flights f WHERE f.carrier = a.carrier)",
        expect![[r#"
        project-3: select name
        │    no key · retract · no state
        └─ filter-2: where carrier = 'x' OR mark
           │    key (carrier) · retract · no state
           └─ union-1: union all
              │    key (carrier) · retract · no state
              ├─ project-1: select carrier, name, true AS mark
              │  │    key (carrier) · retract · no state
              │  └─ join-1: semi join on carrier = carrier
              │     │    key (carrier) · retract · state: unbounded, all rows that ever came
              │     ├─ source-airlines: read airlines (carrier, name)
              │     │       key (carrier) · retract · no state
              │     └─ filter-1: where carrier IS NOT NULL
              │        │    no key · append-only · no state
              │        └─ source-flights: read flights (carrier)
              │                no key · append-only · no state
              └─ project-2: select carrier, name, false AS mark
                 │    key (carrier) · retract · no state
                 └─ join-2: anti join on carrier = carrier
                    │    key (carrier) · retract · state: unbounded, all rows that ever came
                    ├─ source-airlines: read airlines (carrier, name)
                    │       key (carrier) · retract · no state
                    └─ filter-1: where carrier IS NOT NULL
                       │    no key · append-only · no state
                       └─ source-flights: read flights (carrier)
                               no key · append-only · no state
        NOTICE: this join keeps every row of "flights" for ever
        NOTICE: this join keeps every row of "flights" for ever
    "#]],
    );
}

#[test]
fn only_the_number_of_rows_matters() {
    table(
        "SELECT count(*) FROM flights",
        expect![[r#"
        aggregate-1: count(*)
        │    one row · retract · state: one entry for each key
        └─ source-flights: read flights (carrier)
                no key · append-only · no state
    "#]],
    );
    table(
        "SELECT count(*) FROM flights, airlines",
        expect![[r#"
        aggregate-1: count(*)
        │    one row · retract · state: one entry for each key
        └─ join-1: cross join
           │    no key · retract · state: unbounded, all rows that ever came
           ├─ source-flights: read flights (carrier)
           │       no key · append-only · no state
           └─ source-airlines: read airlines (carrier)
                   key (carrier) · retract · no state
        NOTICE: this join keeps every row of "flights" for ever
        HINT: Use CREATE STREAM … AS to join each row with the table as it is when the row arrives.
        NOTICE: this join has no condition: every row meets every row
    "#]],
    );
    table(
        "SELECT count(*) FROM (SELECT carrier FROM flights UNION ALL SELECT carrier FROM other) x",
        expect![[r#"
        aggregate-1: count(*)
        │    one row · retract · state: one entry for each key
        └─ union-1: union all
           │    no key · append-only · no state
           ├─ project-1: select true AS row
           │  │    no key · append-only · no state
           │  └─ source-flights: read flights (carrier)
           │          no key · append-only · no state
           └─ project-2: select true AS row
              │    no key · append-only · no state
              └─ source-other: read other (carrier)
                      no key · append-only · no state
    "#]],
    );
    table(
        "SELECT a.name FROM airlines a, (SELECT 1 FROM planes) p",
        expect![[r#"
        project-1: select name
        │    no key · retract · no state
        └─ join-1: cross join
           │    no key · retract · state: all rows of its input
           ├─ source-airlines: read airlines (name)
           │       no key · retract · no state
           └─ source-planes: read planes (tailnum)
                   key (tailnum) · retract · no state
        NOTICE: this join has no condition: every row meets every row
    "#]],
    );
    table(
        "SELECT a.name FROM (SELECT 1 FROM planes) p, airlines a WHERE a.name <> 'x'",
        expect![[r#"
        project-1: select name
        │    no key · retract · no state
        └─ join-1: cross join
           │    no key · retract · state: all rows of its input
           ├─ source-planes: read planes (tailnum)
           │       key (tailnum) · retract · no state
           └─ filter-1: where name != 'x'
              │    no key · retract · no state
              └─ source-airlines: read airlines (name)
                      no key · retract · no state
        NOTICE: this join has no condition: every row meets every row
    "#]],
    );
    table(
        "SELECT name FROM airlines WHERE carrier = (SELECT carrier FROM other)",
        expect![[r#"
        Unsupported: a scalar subquery that may give several rows is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT rowtime, count(*) FROM flights WHERE rowtime BETWEEN '2024-01-01' AND '2024-02-01' GROUP BY 1",
        expect![[r#"
        aggregate-1: count(*) by rowtime
        │    key (rowtime) · retract · state: one entry for each key
        └─ filter-1: where rowtime >= timestamp with time zone '1704067200000000' AND rowtime <= timestamp with time zone '1706745600000000'
           │    no key · append-only · no state
           └─ source-flights: read flights (rowtime)
                   no key · append-only · no state
    "#]],
    );
}

#[test]
fn unnest() {
    stream(
        "SELECT id, unnest(tags) AS tag FROM odd",
        expect![[r#"
        unnest-1: unnest tags
        │    no key · append-only · no state
        └─ source-odd: read odd (id, tags)
                no key · append-only · no state
    "#]],
    );
    stream(
        "SELECT o.id, t.tag FROM odd o, unnest(o.tags) AS t(tag)",
        expect![[r#"
            unnest-1: unnest tags
            │    no key · append-only · no state
            └─ source-odd: read odd (id, tags)
                    no key · append-only · no state
        "#]],
    );
}

#[test]
fn order_is_ignored() {
    table(
        "SELECT carrier, count(*) FROM flights GROUP BY carrier ORDER BY 2 DESC",
        expect![[r#"
        aggregate-1: count(*) by carrier
        │    key (carrier) · retract · state: one entry for each key
        └─ source-flights: read flights (carrier)
                no key · append-only · no state
        NOTICE: ORDER BY is ignored: the rows of a continuous query have no order
    "#]],
    );
}

#[test]
fn what_has_no_incremental_form() {
    table(
        "SELECT carrier FROM flights ORDER BY dep_delay LIMIT 3",
        expect![[r#"
        Unsupported: ORDER BY with LIMIT is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT carrier FROM flights LIMIT 3",
        expect![[r#"
        Unsupported: LIMIT is not supported in a continuous query
    "#]],
    );
    push(
        "SELECT carrier FROM flights LIMIT 3 OFFSET 1",
        expect![[r#"
        Unsupported: OFFSET is not supported in a continuous query
    "#]],
    );
    push(
        "SELECT carrier FROM flights ORDER BY 1 LIMIT 3",
        expect![[r#"
        Unsupported: ORDER BY with LIMIT is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT count(*) FROM (SELECT carrier FROM flights LIMIT 3) x",
        expect![[r#"
        Unsupported: LIMIT in a subquery is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT row_number() OVER (ORDER BY dep_delay) FROM flights",
        expect![[r#"
        Unsupported: a window function is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT carrier, now() FROM flights",
        expect![[r#"
        Unsupported: function now() is not supported in a continuous query
        HINT: Use rowtime, the event time of a row.
    "#]],
    );
    table(
        "SELECT carrier, random() FROM flights",
        expect![[r#"
        Unsupported: function random() is not supported in a continuous query
        DETAIL: Its value would not be the same when the query is replayed.
    "#]],
    );
    table(
        "SELECT carrier, count(*) FROM flights GROUP BY ROLLUP (carrier)",
        expect![[r#"
        Unsupported: GROUPING SETS is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT DISTINCT ON (carrier) carrier, tailnum FROM flights ORDER BY carrier, dep_delay",
        expect![[r#"
        Unsupported: DISTINCT ON is not supported in a continuous query
    "#]],
    );
    table(
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
        expect![[r#"
        Unsupported: WITH RECURSIVE is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT * FROM pg_catalog.pg_class",
        expect![[r#"
        Unsupported: the system catalog "pg_catalog.pg_class" is not supported in a continuous query
    "#]],
    );
    table(
        "SELECT * FROM generate_series(1, 3)",
        expect![[r#"
        Unsupported: generate_series() in FROM is not supported in a continuous query
    "#]],
    );
    stream(
        "SELECT carrier, count(*) FROM flights GROUP BY carrier",
        expect![[r#"
        InvalidDefinition: a stream is append-only, but the result of this query changes
        DETAIL: An aggregate changes with each row that comes.
        HINT: Use CREATE TABLE … AS or CREATE MATERIALIZED VIEW instead.
    "#]],
    );
    stream(
        "SELECT * FROM airlines",
        expect![[r#"
        InvalidDefinition: a stream is append-only, but the result of this query changes
        DETAIL: Rows of table "airlines" can be updated and deleted.
        HINT: Use CREATE TABLE … AS or CREATE MATERIALIZED VIEW instead.
    "#]],
    );
    table(
        "SELECT carrier, carrier FROM flights",
        expect![[r#"
        DuplicateColumn: column "carrier" specified more than once
    "#]],
    );
}

#[test]
fn constants() {
    table(
        "SELECT 1 AS one, 'a' AS a",
        expect![[r#"
        constant-1: values (1, 'a')
             no key · append-only · no state
    "#]],
    );
    table(
        "SELECT * FROM airlines WHERE false",
        expect![[r#"
        constant-1: no rows
             no key · append-only · no state
    "#]],
    );
    table(
        "SELECT a.name, v.x FROM airlines a JOIN (VALUES ('AA', 1), ('UA', 2)) v(c, x) ON a.carrier = v.c",
        expect![[r#"
        project-1: select name, column2 AS x
        │    no key · retract · no state
        └─ join-1: join on carrier = column1
           │    no key · retract · state: all rows of its input
           ├─ filter-1: where carrier IS NOT NULL
           │  │    key (carrier) · retract · no state
           │  └─ source-airlines: read airlines (carrier, name)
           │          key (carrier) · retract · no state
           └─ constant-1: values ('AA', 1), ('UA', 2)
                   no key · append-only · no state
    "#]],
    );
}

/// Chains as long as the parser lets through.
#[test]
fn long_chains_are_planned() {
    let sum = vec!["dep_delay"; 1_500].join(" + ");
    let plan = lowered(
        &format!("SELECT {sum} AS total FROM flights"),
        OutputKind::Stream,
    );
    assert!(
        plan.starts_with("project-1: select dep_delay + dep_delay"),
        "{}",
        &plan[..200]
    );
    let any = (0..1_500)
        .map(|i| format!("carrier = 'c{i}' AND dep_delay > {i}"))
        .collect::<Vec<_>>()
        .join(" OR ");
    let plan = lowered(
        &format!("SELECT carrier FROM flights WHERE {any}"),
        OutputKind::Stream,
    );
    assert!(plan.contains("where"), "{}", &plan[..200]);
}

#[test]
fn an_unnest_of_a_column_needs_no_join() {
    stream(
        "SELECT o.at, x FROM odd o, unnest(o.tags) AS x WHERE x <> 'a'",
        expect![[r#"
            filter-1: where "unnest(x)" != 'a'
            │    no key · append-only · no state
            └─ unnest-1: unnest tags
               │    no key · append-only · no state
               └─ project-1: select at, tags
                  │    no key · append-only · no state
                  └─ source-odd: read odd (tags, at)
                          no key · append-only · no state
        "#]],
    );
    stream(
        "SELECT o.at, u.x FROM odd o JOIN unnest(o.tags) AS u(x) ON u.x <> 'a'",
        expect![[r#"
            filter-1: where "unnest(x)" != 'a'
            │    no key · append-only · no state
            └─ unnest-1: unnest tags
               │    no key · append-only · no state
               └─ project-1: select at, tags
                  │    no key · append-only · no state
                  └─ source-odd: read odd (tags, at)
                          no key · append-only · no state
        "#]],
    );
    stream(
        "SELECT o.at, x FROM odd o LEFT JOIN unnest(o.tags) AS x ON true",
        expect![[r#"
            Unsupported: this subquery is not supported in a continuous query
            DETAIL: It could not be turned into a join.
        "#]],
    );
}
