//! Statements, family by family.

mod common;

use common::{check, check_all, check_ksqldb};
use expect_test::expect;

#[test]
fn create_stream_and_table() {
    check_all(
        &[
            "CREATE STREAM s (id INT KEY, v VARCHAR, h ARRAY<STRUCT<k STRING, v BYTES>> HEADERS, x BYTES HEADER('x')) WITH (KAFKA_TOPIC = 'orders', value_format = json, partitions = 3, retention = -1)",
            "create or replace source table if not exists public.t (id bigint primary key, name text not null, p decimal(10, 2))",
            "CREATE TABLE t (a INT, b INT NULL, CONSTRAINT pk PRIMARY KEY (b, a))",
            "CREATE STREAM s WITH (kafka_topic = 'x', value_format = 'avro')",
            "CREATE STREAM s (a INT) WITH ('My.Option' = TRUE)",
        ],
        expect![[r#"
            CREATE STREAM s (id INT KEY, v VARCHAR, h ARRAY<STRUCT<k STRING, v BYTES>> HEADERS, x BYTES HEADER('x')) WITH (KAFKA_TOPIC = 'orders', value_format = json, partitions = 3, retention = -1)
            => CREATE STREAM "s" ("id" INTEGER KEY, "v" TEXT, "h" ARRAY<STRUCT<"k" TEXT, "v" BYTEA>> HEADERS, "x" BYTEA HEADER('x')) WITH ('kafka_topic' = 'orders', 'value_format' = json, 'partitions' = 3, 'retention' = -1)
            create or replace source table if not exists public.t (id bigint primary key, name text not null, p decimal(10, 2))
            => CREATE OR REPLACE SOURCE TABLE IF NOT EXISTS "public"."t" ("id" BIGINT, "name" TEXT NOT NULL, "p" NUMERIC(10,2), PRIMARY KEY ("id"))
            CREATE TABLE t (a INT, b INT NULL, CONSTRAINT pk PRIMARY KEY (b, a))
            => CREATE TABLE "t" ("a" INTEGER, "b" INTEGER, PRIMARY KEY ("b", "a"))
            CREATE STREAM s WITH (kafka_topic = 'x', value_format = 'avro')
            => CREATE STREAM "s" WITH ('kafka_topic' = 'x', 'value_format' = 'avro')
            CREATE STREAM s (a INT) WITH ('My.Option' = TRUE)
            => CREATE STREAM "s" ("a" INTEGER) WITH ('my.option' = true)
        "#]],
    );
}

#[test]
fn users() {
    check_all(
        &[
            "CREATE USER app",
            "create role if not exists \"App\" with superuser nologin password null inherit",
            "CREATE USER app ENCRYPTED PASSWORD '********' LOGIN NOSUPERUSER",
            "ALTER ROLE app WITH PASSWORD NULL",
            "ALTER USER CURRENT_USER NOLOGIN",
            "DROP USER IF EXISTS a, \"B\"",
            "DROP ROLE a",
            "SHOW USERS",
        ],
        expect![[r#"
            CREATE USER app
            => CREATE USER "app"
            create role if not exists "App" with superuser nologin password null inherit
            => CREATE ROLE IF NOT EXISTS "App" SUPERUSER NOLOGIN PASSWORD NULL
            CREATE USER app ENCRYPTED PASSWORD '********' LOGIN NOSUPERUSER
            => CREATE USER "app" NOSUPERUSER LOGIN PASSWORD '********'
            ALTER ROLE app WITH PASSWORD NULL
            => ALTER USER "app" PASSWORD NULL
            ALTER USER CURRENT_USER NOLOGIN
            => ALTER USER CURRENT_USER NOLOGIN
            DROP USER IF EXISTS a, "B"
            => DROP USER IF EXISTS "a", "B"
            DROP ROLE a
            => DROP USER "a"
            SHOW USERS
            => SHOW USERS
        "#]],
    );
}

#[test]
fn users_refused() {
    check_all(
        &[
            "CREATE USER",
            "CREATE USER a PASSWORD",
            "CREATE USER a LOGIN NOLOGIN",
            "CREATE USER a PASSWORD 'x' PASSWORD 'x'",
            "CREATE USER a VALID UNTIL 'tomorrow'",
            "ALTER USER a",
            "ALTER USER a RENAME TO b",
            "DROP USER",
        ],
        expect![[r#"
            CREATE USER
            => 42601: syntax error at end of input
              at 12: ""
              detail: expected a name
            CREATE USER a PASSWORD
            => 42601: syntax error at end of input
              at 23: ""
              detail: expected a string
            CREATE USER a LOGIN NOLOGIN
            => 42601: conflicting or redundant options
              at 21: "NOLOGIN"
            CREATE USER a PASSWORD 'x' PASSWORD 'x'
            => 42601: conflicting or redundant options
              at 28: "PASSWORD 'x'"
            CREATE USER a VALID UNTIL 'tomorrow'
            => 0A000: VALID of a user is not supported
              at 15: "VALID UNTIL 'tomorrow'"
            ALTER USER a
            => 42601: syntax error at end of input
              at 13: ""
              detail: expected PASSWORD, LOGIN or SUPERUSER
            ALTER USER a RENAME TO b
            => 0A000: renaming a user is not supported
              at 14: "RENAME TO b"
            DROP USER
            => 42601: syntax error at end of input
              at 10: ""
              detail: expected a name
        "#]],
    );
}

#[test]
fn a_password_is_never_printed() {
    let text = "CREATE USER a PASSWORD 'planted'; ALTER USER a PASSWORD 'planted'";
    for statement in sql::parse(text, &common::postgres()).expect("statements") {
        let shown = format!("{statement:?} {}", statement.node);
        assert!(!shown.contains("planted"), "{shown}");
    }
}

#[test]
fn create_stream_and_table_refused() {
    check_all(
        &[
            "CREATE STREAM s",
            "CREATE STREAM s (a INT PRIMARY KEY)",
            "CREATE TABLE t (a INT KEY)",
            "CREATE TABLE t (a INT PRIMARY KEY, b INT, PRIMARY KEY (b))",
            "CREATE TABLE t (a INT DEFAULT 1)",
            "CREATE TABLE t (a INT REFERENCES u)",
            "CREATE TABLE t (a INT, CHECK (a > 1))",
            "CREATE TABLE t (a, b)",
            "CREATE TABLE t ()",
            "CREATE TABLE t (a INT) WITH (x = 1, X = 2)",
            "CREATE STEAM s (a INT)",
            "CREATE TABLE t (a INT,)",
            "CREATE TABLE select (a INT)",
            "CREATE TEMP TABLE t (a INT)",
            "CREATE TABLE t (a TIME WITH TIME ZONE)",
        ],
        expect![[r#"
            CREATE STREAM s
            => 42601: syntax error at end of input
              at 16: ""
              detail: expected columns, WITH or AS
            CREATE STREAM s (a INT PRIMARY KEY)
            => 42P16: a stream has no primary key
              at 24: "PRIMARY KEY)"
              hint: rows of a stream are never replaced; mark the column KEY to partition by it, or create a table
            CREATE TABLE t (a INT KEY)
            => 42P16: a column of a table cannot be marked KEY
              at 23: "KEY)"
              hint: mark it PRIMARY KEY
            CREATE TABLE t (a INT PRIMARY KEY, b INT, PRIMARY KEY (b))
            => 42P16: multiple primary keys are not allowed
              at 43: "PRIMARY KEY (b))"
            CREATE TABLE t (a INT DEFAULT 1)
            => 0A000: DEFAULT of a column is not supported
              at 23: "DEFAULT 1)"
            CREATE TABLE t (a INT REFERENCES u)
            => 0A000: REFERENCES of a column is not supported
              at 23: "REFERENCES u)"
            CREATE TABLE t (a INT, CHECK (a > 1))
            => 0A000: CHECK is not supported
              at 24: "CHECK (a > 1))"
            CREATE TABLE t (a, b)
            => 42601: syntax error at end of input
              at 22: ""
              detail: expected AS and a query: the columns have no types
            CREATE TABLE t ()
            => 42601: syntax error at or near ")"
              at 17: ")"
              detail: expected a name
            CREATE TABLE t (a INT) WITH (x = 1, X = 2)
            => 42601: option "x" is given more than once
              at 37: "X = 2)"
            CREATE STEAM s (a INT)
            => 42601: syntax error at or near "STEAM"
              at 8: "STEAM s (a INT)"
              detail: expected STREAM, TABLE, VIEW or MATERIALIZED VIEW
              hint: did you mean STREAM?
            CREATE TABLE t (a INT,)
            => 42601: syntax error at or near ")"
              at 23: ")"
              detail: expected a name
            CREATE TABLE select (a INT)
            => 42601: syntax error at or near "select"
              at 14: "select (a INT)"
              detail: expected a name
            CREATE TEMP TABLE t (a INT)
            => CREATE TEMP TABLE
            CREATE TABLE t (a TIME WITH TIME ZONE)
            => 0A000: TIME WITH TIME ZONE is not supported
              at 19: "TIME WITH TIME ZONE)"
        "#]],
    );
}

#[test]
fn create_as() {
    check_all(
        &[
            "CREATE MATERIALIZED VIEW v AS SELECT city, COUNT(*) AS n FROM trips GROUP BY city",
            "CREATE OR REPLACE TABLE t (a, b) WITH (on_error = 'skip') AS SELECT 1, 2",
            "CREATE VIEW IF NOT EXISTS v AS WITH x AS (SELECT 1 AS a) SELECT * FROM x UNION ALL SELECT 2 ORDER BY a LIMIT 3",
            "CREATE STREAM s AS SELECT * FROM t EMIT CHANGES",
            "CREATE TABLE t AS VALUES (1, 'a'), (2, 'b') WITH DATA",
            "CREATE TABLE t AS SELECT 1 WITH NO DATA",
            "CREATE VIEW v",
            "CREATE VIEW v (a INT) AS SELECT 1",
        ],
        expect![[r#"
            CREATE MATERIALIZED VIEW v AS SELECT city, COUNT(*) AS n FROM trips GROUP BY city
            => CREATE MATERIALIZED VIEW "v" AS SELECT "city", count(*) AS "n" FROM "trips" GROUP BY "city"
            CREATE OR REPLACE TABLE t (a, b) WITH (on_error = 'skip') AS SELECT 1, 2
            => CREATE OR REPLACE TABLE "t" ("a", "b") WITH ('on_error' = 'skip') AS SELECT 1, 2
            CREATE VIEW IF NOT EXISTS v AS WITH x AS (SELECT 1 AS a) SELECT * FROM x UNION ALL SELECT 2 ORDER BY a LIMIT 3
            => CREATE VIEW IF NOT EXISTS "v" AS WITH "x" AS (SELECT 1 AS "a") SELECT * FROM "x" UNION ALL SELECT 2 ORDER BY "a" LIMIT 3
            CREATE STREAM s AS SELECT * FROM t EMIT CHANGES
            => CREATE STREAM "s" AS SELECT * FROM "t" EMIT CHANGES
            CREATE TABLE t AS VALUES (1, 'a'), (2, 'b') WITH DATA
            => CREATE TABLE "t" AS VALUES (1, 'a'), (2, 'b')
            CREATE TABLE t AS SELECT 1 WITH NO DATA
            => 0A000: CREATE … AS … WITH NO DATA is not supported
              at 16: "AS SELECT 1 WITH NO DATA"
            CREATE VIEW v
            => 42601: syntax error at end of input
              at 14: ""
              detail: expected AS and a query
            CREATE VIEW v (a INT) AS SELECT 1
            => 42601: syntax error at or near "("
              at 15: "(a INT) AS SELECT 1"
              detail: expected names of columns, WITH or AS
        "#]],
    );
}

#[test]
fn ksqldb_statements() {
    check_ksqldb(
        "CREATE TABLE counts AS SELECT userId, COUNT(*) AS n FROM clicks WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 10 MINUTES, RETENTION 1 DAY, GRACE PERIOD 5 SECONDS) WHERE url <> '' GROUP BY userId HAVING COUNT(*) > 1 EMIT FINAL;
         CREATE STREAM j AS SELECT * FROM a LEFT JOIN b WITHIN 1 HOUR GRACE PERIOD 5 MINUTES ON a.id = b.id INNER JOIN c ON c.id = a.id PARTITION BY a.x, b.y EMIT CHANGES LIMIT 5;
         INSERT INTO s WITH (QUERY_ID = 'q1') SELECT * FROM t;
         SET 'auto.offset.reset' = 'earliest'; UNSET 'auto.offset.reset';
         TERMINATE ALL; PAUSE CTAS_counts_1; RESUME `q`; LIST STREAMS; SHOW ALL TOPICS EXTENDED; DESCRIBE counts EXTENDED; DESCRIBE STREAMS EXTENDED; DESCRIBE FUNCTION ABS; EXPLAIN CTAS_counts_1;
         DROP STREAM IF EXISTS s DELETE TOPIC",
        expect![[r#"
            CREATE TABLE "COUNTS" AS SELECT "USERID", count(*) AS "N" FROM "CLICKS" WINDOW HOPPING (SIZE 1 HOURS, ADVANCE BY 10 MINUTES, RETENTION 1 DAYS, GRACE PERIOD 5 SECONDS) WHERE "URL" <> '' GROUP BY "USERID" HAVING count(*) > 1 EMIT FINAL
            CREATE STREAM "J" AS SELECT * FROM "A" LEFT JOIN "B" WITHIN (1 HOURS, 1 HOURS) GRACE PERIOD 5 MINUTES ON "A"."ID" = "B"."ID" INNER JOIN "C" ON "C"."ID" = "A"."ID" PARTITION BY "A"."X", "B"."Y" LIMIT 5 EMIT CHANGES
            INSERT INTO "S" WITH ('query_id' = 'q1') SELECT * FROM "T"
            SET 'auto.offset.reset' = 'earliest'
            RESET 'auto.offset.reset'
            TERMINATE ALL
            PAUSE "CTAS_counts_1"
            RESUME "q"
            SHOW STREAMS
            SHOW ALL TOPICS EXTENDED
            DESCRIBE "COUNTS" EXTENDED
            SHOW STREAMS EXTENDED
            DESCRIBE FUNCTION "abs"
            EXPLAIN "CTAS_counts_1"
            DROP STREAM IF EXISTS "S" DELETE TOPIC
        "#]],
    );
}

#[test]
fn streaming_clauses() {
    check_all(
        &[
            "SELECT * FROM s EMIT CHANGES",
            "SELECT * FROM s EMIT CHANGES LIMIT 10",
            "SELECT * FROM s LIMIT 10 EMIT CHANGES",
            "SELECT a, count(*) FROM s WINDOW SESSION (5 MINUTES) GROUP BY a EMIT CHANGES",
            "SELECT a, count(*) FROM s WINDOW TUMBLING (SIZE 1 DAY, GRACE PERIOD 0 SECONDS) GROUP BY a",
            "SELECT * FROM a JOIN b WITHIN (1 HOUR, 2 HOURS) ON a.x = b.x WHERE a.y > 1",
            "SELECT * FROM a JOIN b WITHIN 7 DAYS USING (x, y), c JOIN d ON c.z IS DISTINCT FROM d.z JOIN e WITHIN 1 SECOND ON d.q = e.q",
            "SELECT a FROM s PARTITION BY a, a + 1 HAVING a > 1",
            "SELECT DISTINCT a AS emit, sum(b) OVER w FROM s WHERE within = window GROUP BY a WINDOW w AS (PARTITION BY a) ORDER BY a EMIT FINAL",
            "SELECT emit FROM changes",
            "SELECT 1 EMIT CHANGES",
            "SELECT * FROM s WINDOW TUMBLING (SIZE 1 HOUR) UNION ALL SELECT 1",
            "SELECT * FROM (SELECT * FROM s EMIT CHANGES) x",
            "SELECT * FROM (SELECT a FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a) x",
            "SELECT * FROM s WINDOW TUMBLING (SIZE 0 HOURS)",
            "SELECT * FROM s WINDOW TUMBLING (SIZE 1 YEAR)",
            "SELECT * FROM s WINDOW TUMBLING (SIZE 99999999999 WEEKS)",
            "SELECT * FROM s WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 2 HOURS)",
            "SELECT * FROM s WINDOW TUMBLING (1 HOUR)",
            "SELECT * FROM s EMIT CHANGES EMIT FINAL",
            "SELECT * FROM s EMIT CHANGE",
        ],
        expect![[r#"
            SELECT * FROM s EMIT CHANGES
            => SELECT * FROM "s" EMIT CHANGES
            SELECT * FROM s EMIT CHANGES LIMIT 10
            => SELECT * FROM "s" LIMIT 10 EMIT CHANGES
            SELECT * FROM s LIMIT 10 EMIT CHANGES
            => SELECT * FROM "s" LIMIT 10 EMIT CHANGES
            SELECT a, count(*) FROM s WINDOW SESSION (5 MINUTES) GROUP BY a EMIT CHANGES
            => SELECT "a", count(*) FROM "s" WINDOW SESSION (5 MINUTES) GROUP BY "a" EMIT CHANGES
            SELECT a, count(*) FROM s WINDOW TUMBLING (SIZE 1 DAY, GRACE PERIOD 0 SECONDS) GROUP BY a
            => SELECT "a", count(*) FROM "s" WINDOW TUMBLING (SIZE 1 DAYS, GRACE PERIOD 0 SECONDS) GROUP BY "a"
            SELECT * FROM a JOIN b WITHIN (1 HOUR, 2 HOURS) ON a.x = b.x WHERE a.y > 1
            => SELECT * FROM "a" JOIN "b" WITHIN (1 HOURS, 2 HOURS) ON "a"."x" = "b"."x" WHERE "a"."y" > 1
            SELECT * FROM a JOIN b WITHIN 7 DAYS USING (x, y), c JOIN d ON c.z IS DISTINCT FROM d.z JOIN e WITHIN 1 SECOND ON d.q = e.q
            => SELECT * FROM "a" JOIN "b" WITHIN (7 DAYS, 7 DAYS) USING("x", "y"), "c" JOIN "d" ON "c"."z" IS DISTINCT FROM "d"."z" JOIN "e" WITHIN (1 SECONDS, 1 SECONDS) ON "d"."q" = "e"."q"
            SELECT a FROM s PARTITION BY a, a + 1 HAVING a > 1
            => SELECT "a" FROM "s" PARTITION BY "a", "a" + 1 HAVING "a" > 1
            SELECT DISTINCT a AS emit, sum(b) OVER w FROM s WHERE within = window GROUP BY a WINDOW w AS (PARTITION BY a) ORDER BY a EMIT FINAL
            => 42601: syntax error at or near "window"
              at 64: "window GROUP BY a WINDOW"
              detail: expected an expression
            SELECT emit FROM changes
            => SELECT "emit" FROM "changes"
            SELECT 1 EMIT CHANGES
            => SELECT 1 EMIT CHANGES
            SELECT * FROM s WINDOW TUMBLING (SIZE 1 HOUR) UNION ALL SELECT 1
            => 0A000: WINDOW, WITHIN or PARTITION BY together with UNION, INTERSECT or EXCEPT is not supported
              at 17: "WINDOW TUMBLING (SIZE 1 "
            SELECT * FROM (SELECT * FROM s EMIT CHANGES) x
            => 0A000: EMIT in a subquery is not supported
              at 32: "EMIT CHANGES) x"
            SELECT * FROM (SELECT a FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY a) x
            => 0A000: WINDOW in a subquery is not supported
              at 32: "WINDOW TUMBLING (SIZE 1 "
            SELECT * FROM s WINDOW TUMBLING (SIZE 0 HOURS)
            => 22023: the size of a window must be greater than zero
              at 39: "0 HOURS)"
            SELECT * FROM s WINDOW TUMBLING (SIZE 1 YEAR)
            => 0A000: a duration in months or years, which differ in length, is not supported
              at 41: "YEAR)"
              hint: give it in days
            SELECT * FROM s WINDOW TUMBLING (SIZE 99999999999 WEEKS)
            => 22023: duration out of range
              at 39: "99999999999 WEEKS)"
            SELECT * FROM s WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 2 HOURS)
            => 22023: window advance must not be longer than its size
              at 57: "2 HOURS)"
            SELECT * FROM s WINDOW TUMBLING (1 HOUR)
            => 42601: syntax error at or near "1"
              at 34: "1 HOUR)"
              detail: expected SIZE
            SELECT * FROM s EMIT CHANGES EMIT FINAL
            => 42601: syntax error at or near "CHANGES"
              at 22: "CHANGES EMIT FINAL"
              detail: expected the end of the statement
            SELECT * FROM s EMIT CHANGE
            => 42601: syntax error at or near "CHANGE"
              at 22: "CHANGE"
              detail: expected the end of the statement
              hint: did you mean CHANGES?
        "#]],
    );
}

#[test]
fn queries() {
    check_all(
        &[
            "SELECT DISTINCT ON (a) a, b.* , c AS \"D\" FROM x AS b (p, q), LATERAL (SELECT 1) l WHERE EXISTS (SELECT 1 FROM y WHERE y.a = b.a) AND a IN (SELECT z FROM w) ORDER BY 1 DESC NULLS FIRST, b LIMIT 10 OFFSET 5",
            "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t",
            "SELECT * FROM a NATURAL JOIN b FULL OUTER JOIN c USING (id) CROSS JOIN d LEFT JOIN (e JOIN f ON true) ON e.x = f.x",
            "SELECT a, GROUPING(a) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (b), CUBE (c, d)",
            "(SELECT 1) UNION (SELECT 2 INTERSECT SELECT 3) EXCEPT ALL SELECT 4",
            "VALUES (1, 'a'), (2, NULL) ORDER BY 1",
            "TABLE t",
            "SELECT * FROM generate_series(1, 10) AS g (x), unnest(ARRAY[1, 2]) WITH ORDINALITY AS u",
            "SELECT * EXCLUDE (a) FROM t FETCH FIRST 5 ROWS ONLY",
            "SELECT (SELECT max(a) FROM t), ARRAY(SELECT 1), a = ANY(ARRAY[1]), a = ANY($1), (a, b) = (1, 2), ROW(1, 2)",
            "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default AND c.relkind IN ('r','p','') AND pg_catalog.pg_table_is_visible(c.oid)",
            "SELECT current_date, current_timestamp, current_user, now(), version(), pg_catalog.current_schema()",
            "SELECT a INTO t FROM u",
            "SELECT * FROM t FOR UPDATE",
            "SELECT TOP 5 * FROM t",
            "WITH x AS (DELETE FROM t) SELECT 1",
            "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
        ],
        expect![[r#"
            SELECT DISTINCT ON (a) a, b.* , c AS "D" FROM x AS b (p, q), LATERAL (SELECT 1) l WHERE EXISTS (SELECT 1 FROM y WHERE y.a = b.a) AND a IN (SELECT z FROM w) ORDER BY 1 DESC NULLS FIRST, b LIMIT 10 OFFSET 5
            => SELECT DISTINCT ON ("a") "a", "b".*, "c" AS "D" FROM "x" AS "b" ("p", "q"), LATERAL (SELECT 1) "l" WHERE EXISTS (SELECT 1 FROM "y" WHERE "y"."a" = "b"."a") AND "a" IN (SELECT "z" FROM "w") ORDER BY 1 DESC NULLS FIRST, "b" LIMIT 10 OFFSET 5
            WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t
            => WITH RECURSIVE "t" ("n") AS (SELECT 1 UNION ALL SELECT "n" + 1 FROM "t" WHERE "n" < 10) SELECT * FROM "t"
            SELECT * FROM a NATURAL JOIN b FULL OUTER JOIN c USING (id) CROSS JOIN d LEFT JOIN (e JOIN f ON true) ON e.x = f.x
            => SELECT * FROM "a" NATURAL JOIN "b" FULL JOIN "c" USING("id") CROSS JOIN "d" LEFT JOIN ("e" JOIN "f" ON true) ON "e"."x" = "f"."x"
            SELECT a, GROUPING(a) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (b), CUBE (c, d)
            => SELECT "a", grouping("a") FROM "t" GROUP BY GROUPING SETS (("a"), ()), ROLLUP ("b"), CUBE ("c", "d")
            (SELECT 1) UNION (SELECT 2 INTERSECT SELECT 3) EXCEPT ALL SELECT 4
            => (SELECT 1) UNION (SELECT 2 INTERSECT SELECT 3) EXCEPT ALL SELECT 4
            VALUES (1, 'a'), (2, NULL) ORDER BY 1
            => VALUES (1, 'a'), (2, NULL) ORDER BY 1
            TABLE t
            => SELECT * FROM "t"
            SELECT * FROM generate_series(1, 10) AS g (x), unnest(ARRAY[1, 2]) WITH ORDINALITY AS u
            => SELECT * FROM generate_series(1, 10) AS "g" ("x"), UNNEST(ARRAY[1, 2]) WITH ORDINALITY AS "u"
            SELECT * EXCLUDE (a) FROM t FETCH FIRST 5 ROWS ONLY
            => SELECT * EXCLUDE ("a") FROM "t" FETCH FIRST 5 ROWS ONLY
            SELECT (SELECT max(a) FROM t), ARRAY(SELECT 1), a = ANY(ARRAY[1]), a = ANY($1), (a, b) = (1, 2), ROW(1, 2)
            => SELECT (SELECT max("a") FROM "t"), array(SELECT 1), "a" = ANY(ARRAY[1]), "a" = ANY($1), ("a", "b") = (1, 2), row(1, 2)
            SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default AND c.relkind IN ('r','p','') AND pg_catalog.pg_table_is_visible(c.oid)
            => SELECT "c"."relname" FROM "pg_catalog"."pg_class" "c" WHERE "c"."relname" OPERATOR(pg_catalog.~) '^(x)$' COLLATE "pg_catalog"."default" AND "c"."relkind" IN ('r', 'p', '') AND pg_catalog.pg_table_is_visible("c"."oid")
            SELECT current_date, current_timestamp, current_user, now(), version(), pg_catalog.current_schema()
            => SELECT current_date, current_timestamp, current_user, now(), version(), pg_catalog.current_schema()
            SELECT a INTO t FROM u
            => 0A000: SELECT INTO is not supported
              hint: use CREATE TABLE … AS SELECT …
            SELECT * FROM t FOR UPDATE
            => 0A000: FOR UPDATE or FOR SHARE is not supported
            SELECT TOP 5 * FROM t
            => 0A000: TOP is not supported
              at 1: "SELECT TOP 5 * FROM t"
            WITH x AS (DELETE FROM t) SELECT 1
            => 0A000: changing data inside WITH is not supported
            SELECT * FROM t TABLESAMPLE BERNOULLI (10)
            => 0A000: TABLESAMPLE is not supported
        "#]],
    );
}

#[test]
fn insert_update_delete() {
    check_all(
        &[
            "INSERT INTO t VALUES (1, 'a', DEFAULT), (2, $1, NULL)",
            "INSERT INTO public.t (a, b) SELECT x, y FROM u",
            "INSERT INTO t (SELECT 1)",
            "INSERT INTO t DEFAULT VALUES",
            "INSERT INTO t VALUES (1), (2) ORDER BY 1 LIMIT 1",
            "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "INSERT INTO t SELECT 1 FROM u ON CONFLICT (a) DO UPDATE SET a = 1",
            "INSERT INTO t VALUES (1) RETURNING a",
            "INSERT t VALUES (1)",
            "UPDATE t SET a = a + 1, (b, c) = (1, DEFAULT) WHERE d = 'x'",
            "UPDATE t AS u SET a = (SELECT max(b) FROM v)",
            "UPDATE t SET a = 1 FROM u",
            "UPDATE t SET (a, b) = (1)",
            "UPDATE t SET a = 1 RETURNING *",
            "DELETE FROM t",
            "DELETE FROM ONLY t x WHERE x.a IN (1, 2)",
            "DELETE FROM t USING u WHERE t.a = u.a",
            "DELETE t",
            "TRUNCATE TABLE a, b RESTART IDENTITY CASCADE",
        ],
        expect![[r#"
            INSERT INTO t VALUES (1, 'a', DEFAULT), (2, $1, NULL)
            => INSERT INTO "t" VALUES (1, 'a', NULL), (2, $1, NULL)
            INSERT INTO public.t (a, b) SELECT x, y FROM u
            => INSERT INTO "public"."t" ("a", "b") SELECT "x", "y" FROM "u"
            INSERT INTO t (SELECT 1)
            => INSERT INTO "t" (SELECT 1)
            INSERT INTO t DEFAULT VALUES
            => INSERT INTO "t" DEFAULT VALUES
            INSERT INTO t VALUES (1), (2) ORDER BY 1 LIMIT 1
            => INSERT INTO "t" VALUES (1), (2) ORDER BY 1 LIMIT 1
            INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x
            => INSERT INTO "t" WITH "x" AS (SELECT 1) SELECT * FROM "x"
            INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING
            => 0A000: ON CONFLICT is not supported
              at 26: "ON CONFLICT DO NOTHING"
            INSERT INTO t SELECT 1 FROM u ON CONFLICT (a) DO UPDATE SET a = 1
            => 0A000: ON CONFLICT is not supported
              at 31: "ON CONFLICT (a) DO UPDAT"
            INSERT INTO t VALUES (1) RETURNING a
            => 0A000: RETURNING is not supported
              at 26: "RETURNING a"
            INSERT t VALUES (1)
            => 42601: syntax error at or near "t"
              at 8: "t VALUES (1)"
              detail: expected INTO
            UPDATE t SET a = a + 1, (b, c) = (1, DEFAULT) WHERE d = 'x'
            => UPDATE "t" SET "a" = "a" + 1, "b" = 1, "c" = NULL WHERE "d" = 'x'
            UPDATE t AS u SET a = (SELECT max(b) FROM v)
            => UPDATE "t" AS "u" SET "a" = (SELECT max("b") FROM "v")
            UPDATE t SET a = 1 FROM u
            => 0A000: UPDATE … FROM is not supported
              at 20: "FROM u"
              hint: use a subquery in SET or WHERE
            UPDATE t SET (a, b) = (1)
            => 42601: number of columns does not match number of values
              at 14: "(a, b) = (1)"
            UPDATE t SET a = 1 RETURNING *
            => 0A000: RETURNING is not supported
              at 20: "RETURNING *"
            DELETE FROM t
            => DELETE FROM "t"
            DELETE FROM ONLY t x WHERE x.a IN (1, 2)
            => DELETE FROM "t" AS "x" WHERE "x"."a" IN (1, 2)
            DELETE FROM t USING u WHERE t.a = u.a
            => 0A000: DELETE … USING is not supported
              at 15: "USING u WHERE t.a = u.a"
              hint: use a subquery in WHERE
            DELETE t
            => 42601: syntax error at or near "t"
              at 8: "t"
              detail: expected FROM
            TRUNCATE TABLE a, b RESTART IDENTITY CASCADE
            => TRUNCATE TABLE "a", "b" CASCADE
        "#]],
    );
}

#[test]
fn copy() {
    check_all(
        &[
            "COPY t FROM STDIN",
            "COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '', QUOTE '''', ESCAPE '\\')",
            "COPY t FROM STDIN CSV HEADER DELIMITER AS '|' NULL AS 'x'",
            "COPY t FROM STDIN (FORMAT json)",
            "COPY t FROM STDIN (HEADER match, FORMAT 'text', ENCODING 'UTF-8')",
            "COPY (SELECT * FROM s EMIT CHANGES) TO STDOUT",
            "COPY (PRINT 'topic' FROM BEGINNING LIMIT 3) TO STDOUT",
            "COPY t TO STDOUT WITH CSV",
            "COPY t FROM '/etc/passwd'",
            "COPY t TO PROGRAM 'x'",
            "COPY t FROM STDIN (FORMAT parquet)",
            "COPY t FROM STDIN (DELIMITER 'ab')",
            "COPY t FROM STDIN (QUOTE 'a')",
            "COPY t FROM STDIN (FORMAT csv, FORMAT csv)",
            "COPY t FROM STDIN (NONSENSE 1)",
            "COPY t FROM STDIN (FREEZE)",
            "COPY t FROM STDIN BINARY",
            "COPY t FROM STDIN WHERE a > 1",
        ],
        expect![[r#"
            COPY t FROM STDIN
            => COPY "t" FROM STDIN WITH (FORMAT text)
            COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '', QUOTE '''', ESCAPE '\')
            => COPY "t" ("a", "b") FROM STDIN WITH (FORMAT csv, HEADER true, NULL '', DELIMITER ';', QUOTE '''', ESCAPE '\')
            COPY t FROM STDIN CSV HEADER DELIMITER AS '|' NULL AS 'x'
            => COPY "t" FROM STDIN WITH (FORMAT csv, HEADER true, NULL 'x', DELIMITER '|')
            COPY t FROM STDIN (FORMAT json)
            => COPY "t" FROM STDIN WITH (FORMAT json)
            COPY t FROM STDIN (HEADER match, FORMAT 'text', ENCODING 'UTF-8')
            => COPY "t" FROM STDIN WITH (FORMAT text, HEADER match)
            COPY (SELECT * FROM s EMIT CHANGES) TO STDOUT
            => COPY (SELECT * FROM "s" EMIT CHANGES) TO STDOUT WITH (FORMAT text)
            COPY (PRINT 'topic' FROM BEGINNING LIMIT 3) TO STDOUT
            => COPY (PRINT 'topic' FROM BEGINNING LIMIT 3) TO STDOUT WITH (FORMAT text)
            COPY t TO STDOUT WITH CSV
            => COPY "t" TO STDOUT WITH (FORMAT csv)
            COPY t FROM '/etc/passwd'
            => 0A000: COPY … FROM a file or a program is not supported
              at 13: "'/etc/passwd'"
              hint: use STDIN; psql's \copy reads and writes files of the client
            COPY t TO PROGRAM 'x'
            => 0A000: COPY … TO a file or a program is not supported
              at 11: "PROGRAM 'x'"
              hint: use STDOUT; psql's \copy reads and writes files of the client
            COPY t FROM STDIN (FORMAT parquet)
            => 22023: COPY format "parquet" not recognized
              at 27: "parquet)"
              hint: the formats are text, csv and json
            COPY t FROM STDIN (DELIMITER 'ab')
            => 0A000: COPY delimiter must be a single one-byte character
              at 20: "DELIMITER 'ab')"
            COPY t FROM STDIN (QUOTE 'a')
            => 0A000: COPY QUOTE requires CSV mode
              at 19: "(QUOTE 'a')"
            COPY t FROM STDIN (FORMAT csv, FORMAT csv)
            => 42601: conflicting or redundant options
              at 32: "FORMAT csv)"
            COPY t FROM STDIN (NONSENSE 1)
            => 42601: option "nonsense" not recognized
              at 20: "NONSENSE 1)"
            COPY t FROM STDIN (FREEZE)
            => 0A000: COPY option FREEZE is not supported
              at 20: "FREEZE)"
            COPY t FROM STDIN BINARY
            => 0A000: the binary format of COPY is not supported
              at 19: "BINARY"
            COPY t FROM STDIN WHERE a > 1
            => 0A000: COPY … WHERE is not supported
              at 19: "WHERE a > 1"
        "#]],
    );
}

#[test]
fn drop_and_queries() {
    check_all(
        &[
            "DROP TABLE a, public.b CASCADE",
            "DROP MATERIALIZED VIEW IF EXISTS v RESTRICT",
            "DROP STREAM s CASCADE DELETE TOPIC",
            "DROP VEIW v",
            "TERMINATE 'CTAS-1'",
            "TERMINATE",
            "PAUSE ''",
            "PAUSE ALL",
            "FLUSH",
        ],
        expect![[r#"
            DROP TABLE a, public.b CASCADE
            => DROP TABLE "a", "public"."b" CASCADE
            DROP MATERIALIZED VIEW IF EXISTS v RESTRICT
            => DROP MATERIALIZED VIEW IF EXISTS "v"
            DROP STREAM s CASCADE DELETE TOPIC
            => DROP STREAM "s" CASCADE DELETE TOPIC
            DROP VEIW v
            => 42601: syntax error at or near "VEIW"
              at 6: "VEIW v"
              detail: expected STREAM, TABLE, VIEW or MATERIALIZED VIEW
              hint: did you mean VIEW?
            TERMINATE 'CTAS-1'
            => TERMINATE "CTAS-1"
            TERMINATE
            => 42601: syntax error at end of input
              at 10: ""
              detail: expected the identity of a query, or ALL
            PAUSE ''
            => 42601: syntax error at or near "''"
              at 7: "''"
              detail: expected the identity of a query, or ALL
            PAUSE ALL
            => PAUSE ALL
            FLUSH
            => FLUSH
        "#]],
    );
}

#[test]
fn showing_and_explaining() {
    check_all(
        &[
            "SHOW STREAMS",
            "LIST TABLES EXTENDED",
            "SHOW MATERIALIZED VIEWS",
            "SHOW ALL TOPICS",
            "SHOW ALL",
            "SHOW server_version",
            "SHOW TIME ZONE",
            "SHOW TRANSACTION ISOLATION LEVEL",
            "LIST nonsense",
            "SHOW TYPES",
            "DESCRIBE t",
            "DESC EXTENDED public.t",
            "DESCRIBE TABLES",
            "DESCRIBE FUNCTION count",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE VERBOSE CREATE TABLE t AS SELECT 1",
            "EXPLAIN (ANALYZE, VERBOSE off, FORMAT json) SELECT * FROM t EMIT CHANGES",
            "EXPLAIN (SELECT 1)",
            "EXPLAIN ctas_x_1",
            "EXPLAIN EXPLAIN SELECT 1",
            "EXPLAIN",
        ],
        expect![[r#"
            SHOW STREAMS
            => SHOW STREAMS
            LIST TABLES EXTENDED
            => SHOW TABLES EXTENDED
            SHOW MATERIALIZED VIEWS
            => SHOW VIEWS
            SHOW ALL TOPICS
            => SHOW ALL TOPICS
            SHOW ALL
            => SHOW ALL
            SHOW server_version
            => SHOW 'server_version'
            SHOW TIME ZONE
            => SHOW 'timezone'
            SHOW TRANSACTION ISOLATION LEVEL
            => SHOW 'transaction_isolation'
            LIST nonsense
            => 42601: syntax error at or near "nonsense"
              at 6: "nonsense"
              detail: expected STREAMS, TABLES, VIEWS, QUERIES, TOPICS, CONSUMER GROUPS, TYPES, VARIABLES, FUNCTIONS, PROPERTIES or USERS
            SHOW TYPES
            => SHOW TYPES
            DESCRIBE t
            => DESCRIBE "t"
            DESC EXTENDED public.t
            => DESCRIBE "public"."t" EXTENDED
            DESCRIBE TABLES
            => SHOW TABLES
            DESCRIBE FUNCTION count
            => DESCRIBE FUNCTION "count"
            EXPLAIN SELECT 1
            => EXPLAIN SELECT 1
            EXPLAIN ANALYZE VERBOSE CREATE TABLE t AS SELECT 1
            => EXPLAIN ANALYZE VERBOSE CREATE TABLE "t" AS SELECT 1
            EXPLAIN (ANALYZE, VERBOSE off, FORMAT json) SELECT * FROM t EMIT CHANGES
            => EXPLAIN (ANALYZE true, VERBOSE false, 'format' json) SELECT * FROM "t" EMIT CHANGES
            EXPLAIN (SELECT 1)
            => EXPLAIN (SELECT 1)
            EXPLAIN ctas_x_1
            => EXPLAIN "ctas_x_1"
            EXPLAIN EXPLAIN SELECT 1
            => 42601: syntax error at or near "EXPLAIN"
              at 9: "EXPLAIN SELECT 1"
              detail: expected a query, another statement with a plan, or the identity of a query
            EXPLAIN
            => 42601: syntax error at end of input
              at 8: ""
              detail: expected a statement
        "#]],
    );
}

#[test]
fn session() {
    check_all(
        &[
            "SET DateStyle = 'ISO', mdy",
            "SET SESSION a.b TO on",
            "SET LOCAL statement_timeout = 5000",
            "SET x = -1.5",
            "SET search_path TO \"$user\", public",
            "SET x TO DEFAULT",
            "SET TIME ZONE 'Europe/Oslo'",
            "SET TIME ZONE LOCAL",
            "SET NAMES 'utf8'",
            "SET 'auto.offset.reset'='earliest'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, NOT DEFERRABLE",
            "SET dialect = 'ksqldb'",
            "SET ROLE NONE",
            "SET x",
            "RESET ALL",
            "RESET x",
            "UNSET 'x'",
            "DISCARD ALL",
            "DISCARD EVERYTHING",
            "BEGIN",
            "BEGIN WORK ISOLATION LEVEL READ COMMITTED",
            "START TRANSACTION READ ONLY",
            "COMMIT",
            "END TRANSACTION AND CHAIN",
            "ROLLBACK AND NO CHAIN",
            "ABORT",
            "ROLLBACK TO SAVEPOINT x",
            "BEGIN SOMETHING",
        ],
        expect![[r#"
            SET DateStyle = 'ISO', mdy
            => SET 'datestyle' = 'ISO', mdy
            SET SESSION a.b TO on
            => SET 'a.b' = on
            SET LOCAL statement_timeout = 5000
            => SET LOCAL 'statement_timeout' = 5000
            SET x = -1.5
            => SET 'x' = -1.5
            SET search_path TO "$user", public
            => SET 'search_path' = '$user', public
            SET x TO DEFAULT
            => SET 'x' = DEFAULT
            SET TIME ZONE 'Europe/Oslo'
            => SET 'timezone' = 'Europe/Oslo'
            SET TIME ZONE LOCAL
            => SET 'timezone' = DEFAULT
            SET NAMES 'utf8'
            => SET 'client_encoding' = 'utf8'
            SET 'auto.offset.reset'='earliest'
            => SET 'auto.offset.reset' = 'earliest'
            SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
            => SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
            SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, NOT DEFERRABLE
            => SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, NOT DEFERRABLE
            SET dialect = 'ksqldb'
            => SET 'dialect' = 'ksqldb'
            SET ROLE NONE
            => SET 'role' = none
            SET x
            => 42601: syntax error at end of input
              at 6: ""
              detail: expected = or TO
            RESET ALL
            => RESET ALL
            RESET x
            => RESET 'x'
            UNSET 'x'
            => RESET 'x'
            DISCARD ALL
            => DISCARD ALL
            DISCARD EVERYTHING
            => 42601: syntax error at or near "EVERYTHING"
              at 9: "EVERYTHING"
              detail: expected ALL, PLANS, SEQUENCES or TEMP
            BEGIN
            => BEGIN
            BEGIN WORK ISOLATION LEVEL READ COMMITTED
            => BEGIN ISOLATION LEVEL READ COMMITTED
            START TRANSACTION READ ONLY
            => BEGIN READ ONLY
            COMMIT
            => COMMIT
            END TRANSACTION AND CHAIN
            => COMMIT AND CHAIN
            ROLLBACK AND NO CHAIN
            => ROLLBACK
            ABORT
            => ROLLBACK
            ROLLBACK TO SAVEPOINT x
            => ROLLBACK TO SAVEPOINT
            BEGIN SOMETHING
            => 42601: syntax error at or near "SOMETHING"
              at 7: "SOMETHING"
              detail: expected a mode of transactions
        "#]],
    );
}

#[test]
fn cursors_and_prepared() {
    check_all(
        &[
            "DECLARE c BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM s EMIT CHANGES",
            "DECLARE c SCROLL CURSOR FOR SELECT 1",
            "FETCH c",
            "FETCH NEXT FROM c",
            "FETCH 10 c",
            "FETCH FORWARD ALL IN c",
            "FETCH FORWARD 5 FROM c",
            "FETCH next",
            "FETCH BACKWARD 1 FROM c",
            "FETCH -1 FROM c",
            "FETCH 99999999999999999999 FROM c",
            "CLOSE c",
            "CLOSE ALL",
            "PREPARE p (int, text) AS SELECT $1, $2",
            "PREPARE p AS INSERT INTO t VALUES ($1)",
            "PREPARE p AS FLUSH",
            "EXECUTE p (1, 'a' || 'b')",
            "EXECUTE p",
            "DEALLOCATE PREPARE p",
            "DEALLOCATE ALL",
        ],
        expect![[r#"
            DECLARE c BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM s EMIT CHANGES
            => DECLARE "c" BINARY CURSOR WITH HOLD FOR SELECT * FROM "s" EMIT CHANGES
            DECLARE c SCROLL CURSOR FOR SELECT 1
            => 0A000: SCROLL is not supported
              at 11: "SCROLL CURSOR FOR SELECT"
              hint: cursors go forward only
            FETCH c
            => FETCH 1 FROM "c"
            FETCH NEXT FROM c
            => FETCH 1 FROM "c"
            FETCH 10 c
            => FETCH 10 FROM "c"
            FETCH FORWARD ALL IN c
            => FETCH ALL FROM "c"
            FETCH FORWARD 5 FROM c
            => FETCH 5 FROM "c"
            FETCH next
            => FETCH 1 FROM "next"
            FETCH BACKWARD 1 FROM c
            => 0A000: FETCH BACKWARD is not supported
              at 7: "BACKWARD 1 FROM c"
              hint: cursors go forward only
            FETCH -1 FROM c
            => 0A000: FETCH with a negative count is not supported
              at 7: "-1 FROM c"
              hint: cursors go forward only
            FETCH 99999999999999999999 FROM c
            => 42601: syntax error at or near "99999999999999999999"
              at 7: "99999999999999999999 FRO"
              detail: expected a whole number
            CLOSE c
            => CLOSE "c"
            CLOSE ALL
            => CLOSE ALL
            PREPARE p (int, text) AS SELECT $1, $2
            => PREPARE "p" (INTEGER, TEXT) AS SELECT $1, $2
            PREPARE p AS INSERT INTO t VALUES ($1)
            => PREPARE "p" AS INSERT INTO "t" VALUES ($1)
            PREPARE p AS FLUSH
            => 42601: syntax error at or near "FLUSH"
              at 14: "FLUSH"
              detail: expected a query, INSERT, UPDATE or DELETE
            EXECUTE p (1, 'a' || 'b')
            => EXECUTE "p" (1, 'a' || 'b')
            EXECUTE p
            => EXECUTE "p"
            DEALLOCATE PREPARE p
            => DEALLOCATE "p"
            DEALLOCATE ALL
            => DEALLOCATE ALL
        "#]],
    );
}

#[test]
fn unsupported_statements_are_named() {
    check_all(
        &[
            "CREATE SOURCE CONNECTOR IF NOT EXISTS c WITH ('a' = 'b')",
            "CREATE UNIQUE INDEX i ON t (a)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
            "ALTER TABLE t ADD COLUMN a INT",
            "ALTER STREAM s ADD a INT",
            "ALTER SYSTEM 'a' = 'b'",
            "GRANT SELECT ON t TO u",
            "COMMENT ON TABLE t IS 'x'",
            "SAVEPOINT a",
            "LISTEN c",
            "VACUUM",
            "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
        ],
        expect![[r#"
            CREATE SOURCE CONNECTOR IF NOT EXISTS c WITH ('a' = 'b')
            => CREATE CONNECTOR
            CREATE UNIQUE INDEX i ON t (a)
            => CREATE INDEX
            CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$
            => CREATE FUNCTION
            ALTER TABLE t ADD COLUMN a INT
            => ALTER TABLE
            ALTER STREAM s ADD a INT
            => ALTER STREAM
            ALTER SYSTEM 'a' = 'b'
            => ALTER SYSTEM
            GRANT SELECT ON t TO u
            => GRANT
            COMMENT ON TABLE t IS 'x'
            => COMMENT
            SAVEPOINT a
            => SAVEPOINT
            LISTEN c
            => LISTEN
            VACUUM
            => VACUUM
            MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE
            => MERGE
        "#]],
    );
}

#[test]
fn topics_types_and_variables() {
    check_all(
        &[
            "PRINT 'my-topic' FROM BEGINNING INTERVAL 3 LIMIT 10",
            "print Orders sample 2",
            "PRINT orders INTERVAL 0",
            "PRINT",
            "ASSERT TOPIC Orders WITH (partitions = 3, replicas = 1) TIMEOUT 5 SECONDS",
            "ASSERT NOT EXISTS TOPIC 'x y'",
            "ASSERT SCHEMA SUBJECT 'x'",
            "SHOW CONSUMER GROUPS",
            "LIST CONSUMER GROUPS EXTENDED",
            "DESCRIBE CONSUMER GROUP 'my-group'",
            "CREATE TYPE IF NOT EXISTS Address AS STRUCT<street VARCHAR, zip INT>",
            "DROP TYPE IF EXISTS address",
            "SHOW VARIABLES",
            "DEFINE Topic = 'it''s'",
            "UNDEFINE topic",
        ],
        expect![[r#"
            PRINT 'my-topic' FROM BEGINNING INTERVAL 3 LIMIT 10
            => PRINT 'my-topic' FROM BEGINNING INTERVAL 3 LIMIT 10
            print Orders sample 2
            => PRINT 'Orders' INTERVAL 2
            PRINT orders INTERVAL 0
            => 42601: syntax error at or near "0"
              at 23: "0"
              detail: expected a number greater than zero
            PRINT
            => 42601: syntax error at end of input
              at 6: ""
              detail: expected the name of a topic
            ASSERT TOPIC Orders WITH (partitions = 3, replicas = 1) TIMEOUT 5 SECONDS
            => ASSERT TOPIC 'Orders' WITH ('partitions' = 3, 'replicas' = 1) TIMEOUT 5 SECONDS
            ASSERT NOT EXISTS TOPIC 'x y'
            => ASSERT NOT EXISTS TOPIC 'x y'
            ASSERT SCHEMA SUBJECT 'x'
            => ASSERT SCHEMA
            SHOW CONSUMER GROUPS
            => SHOW CONSUMER GROUPS
            LIST CONSUMER GROUPS EXTENDED
            => SHOW CONSUMER GROUPS EXTENDED
            DESCRIBE CONSUMER GROUP 'my-group'
            => DESCRIBE CONSUMER GROUP 'my-group'
            CREATE TYPE IF NOT EXISTS Address AS STRUCT<street VARCHAR, zip INT>
            => CREATE TYPE IF NOT EXISTS "address" AS STRUCT<"street" TEXT, "zip" INTEGER>
            DROP TYPE IF EXISTS address
            => DROP TYPE IF EXISTS "address"
            SHOW VARIABLES
            => SHOW VARIABLES
            DEFINE Topic = 'it''s'
            => DEFINE "topic" = 'it''s'
            UNDEFINE topic
            => UNDEFINE "topic"
        "#]],
    );
}

#[test]
fn types_by_the_names_that_were_given_to_them() {
    let address = sql::DataType::Struct(vec![sql::ast::StructField {
        name: "zip".into(),
        data_type: sql::DataType::Integer,
    }]);
    let types = sql::TypeNames::new([("address".to_owned(), address)].into());
    let text = "CREATE STREAM s (a Address, b ARRAY<ADDRESS>); SELECT CAST(a AS address) FROM s";
    let statements = sql::parse_with_types(text, &Default::default(), &types).unwrap();
    expect![[r#"
        CREATE STREAM "s" ("a" STRUCT<"zip" INTEGER>, "b" ARRAY<STRUCT<"zip" INTEGER>>)
        SELECT CAST("a" AS STRUCT<"zip" INTEGER>) FROM "s"
    "#]]
    .assert_eq(
        &statements
            .iter()
            .map(|statement| format!("{}\n", statement.node))
            .collect::<String>(),
    );
}

#[test]
fn several_statements() {
    check(
        "SELECT 1;; SELECT ';' ; -- end\nFLUSH /* ; */",
        expect![[r#"
        SELECT 1
        SELECT ';'
        FLUSH
    "#]],
    );
}
