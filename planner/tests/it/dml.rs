use expect_test::{Expect, expect};
use planner::bind::{BindOptions, plan_delete, plan_insert, plan_update};
use planner::relations::Relations;
use sql::Statement;

use crate::catalog::{catalog, error_text, statement};

fn check(text: &str, expected: Expect) {
    let (catalog, options) = (catalog(), BindOptions::default());
    let plan = match statement(text) {
        Statement::Insert(insert) => {
            let name = insert.relation.0.last().unwrap().as_ident().unwrap();
            let target = catalog.relation(None, &name.value).unwrap();
            plan_insert(&target, &insert.columns, &insert.source, &catalog, &options)
        }
        Statement::Update(update) => plan_update(&update, &catalog, &options),
        Statement::Delete(delete) => plan_delete(&delete, &catalog, &options),
        other => panic!("{other:?}"),
    };
    let text = match plan {
        Ok(dml) => {
            let columns: Vec<String> = dml
                .plan
                .schema()
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), planner::types::type_name(field)))
                .collect();
            let rows = match dml.constant_rows() {
                Ok(Some(batch)) => format!("{} constant rows\n", batch.num_rows()),
                Ok(None) => String::new(),
                Err(error) => error_text(&error),
            };
            format!(
                "({}){}{}\n{}\n{rows}",
                columns.join(", "),
                if dml.constant { " constant" } else { "" },
                if dml.has_rowtime { " with rowtime" } else { "" },
                dml.plan
            )
        }
        Err(error) => error_text(&error),
    };
    expected.assert_eq(&text);
}

#[test]
fn insert_gives_all_columns_in_order() {
    check(
        "INSERT INTO airlines VALUES ('AA', 'American'), ('UA', NULL)",
        expect![[r#"
            (carrier text, name text) constant
            Values: (Utf8("AA"), Utf8("American")), (Utf8("UA"), CAST(NULL AS Utf8))
            2 constant rows
        "#]],
    );
    check(
        "INSERT INTO airlines (name, carrier) VALUES ('American', 'AA')",
        expect![[r#"
            (carrier text, name text) constant
            Values: (Utf8("AA"), Utf8("American"))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO airlines (carrier) SELECT DISTINCT carrier FROM flights",
        expect![[r#"
        (carrier text, name text)
        Projection: flights.carrier AS carrier, Utf8(NULL) AS name
          Distinct:
            Projection: flights.carrier
              TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
    "#]],
    );
    check(
        "INSERT INTO planes VALUES ('N1')",
        expect![[r#"
            (tailnum text, year integer, seats smallint) constant
            Values: (Utf8("N1"), Int32(NULL), Int16(NULL))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO planes VALUES ('N1', 1999 + 1, '3')",
        expect![[r#"
            (tailnum text, year integer, seats smallint) constant
            Values: (Utf8("N1"), CAST(_add(Int64(1999), Int64(1)) AS Int32), Int16(3) AS Utf8("3"))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO airlines VALUES ($1, $2)",
        expect![[r#"
        (carrier text, name text) constant
        Values: ($1, $2)
    "#]],
    );
    check(
        "INSERT INTO notes VALUES ('ab')",
        expect![[r#"
            (text character varying(5)) constant
            Values: (_check_length(Utf8("ab"), Int64(5)))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO odd (id, doc, at) VALUES ('6F9619FF8B86D011B42D00C04FC964FF', '[1]', '2024-01-01')",
        expect![[r#"
            (id uuid, doc jsonb, tags text[], attrs map<text, bigint>, place struct<city text>, at timestamp without time zone, price numeric(10,2)) constant
            Values: (_to_uuid(Utf8("6F9619FF8B86D011B42D00C04FC964FF")), _to_jsonb(Utf8("[1]")), List(), Map([NULL]), Struct({city:}), TimestampMicrosecond(1704067200000000, None) AS Utf8("2024-01-01"), Decimal128(NULL,10,2))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO flights (carrier, rowtime) VALUES ('AA', '2024-01-01')",
        expect![[r#"
            (carrier text, tailnum text, dep_delay bigint, distance double precision, rowtime timestamp with time zone) constant with rowtime
            Values: (Utf8("AA"), Utf8(NULL), Int64(NULL), Float64(NULL), TimestampMicrosecond(1704067200000000, Some("+00:00")) AS Utf8("2024-01-01"))
            1 constant rows
        "#]],
    );
    check(
        "INSERT INTO airlines VALUES ((SELECT max(carrier) FROM flights), 'x')",
        expect![[r#"
        (carrier text, name text)
        Projection: column1 AS carrier, column2 AS name
          Projection: (<subquery>) AS column1, Utf8("x") AS column2
            Subquery:
              Projection: max(flights.carrier) AS max
                Aggregate: groupBy=[[]], aggr=[[max(flights.carrier)]]
                  TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
            EmptyRelation: rows=1
    "#]],
    );
    check(
        "INSERT INTO airlines DEFAULT VALUES",
        expect![[r#"
            (carrier text, name text) constant
            Values: (Utf8(NULL), Utf8(NULL))
            1 constant rows
        "#]],
    );
}

#[test]
fn insert_that_does_not_fit() {
    check(
        "INSERT INTO airlines VALUES ('AA', 'American', 1)",
        expect![[r#"
        Syntax: INSERT has more expressions than target columns at 48
    "#]],
    );
    check(
        "INSERT INTO airlines (carrier, name) VALUES ('AA')",
        expect![[r#"
        Syntax: INSERT has more target columns than expressions
    "#]],
    );
    check(
        "INSERT INTO airlines (carier) VALUES ('AA')",
        expect![[r#"
        UndefinedColumn: column "carier" of relation "airlines" does not exist at 23
        HINT: Perhaps you meant to reference the column "carrier".
    "#]],
    );
    check(
        "INSERT INTO airlines (carrier, carrier) VALUES ('AA', 'x')",
        expect![[r#"
        DuplicateColumn: column "carrier" specified more than once at 32
    "#]],
    );
    check(
        "INSERT INTO planes VALUES ('N1', 'abc')",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: "abc"
    "#]],
    );
    check(
        "INSERT INTO planes (year) SELECT carrier FROM flights",
        expect![[r#"
        DatatypeMismatch: column "year" is of type integer but expression is of type text
        HINT: You will need to rewrite or cast the expression.
    "#]],
    );
    check(
        "INSERT INTO planes (year) VALUES (true)",
        expect![[r#"
        DatatypeMismatch: column "year" is of type integer but expression is of type boolean at 35
        HINT: You will need to rewrite or cast the expression.
    "#]],
    );
    check(
        "INSERT INTO planes (year) VALUES (nope)",
        expect![[r#"
        UndefinedColumn: column "nope" does not exist at 35
    "#]],
    );
}

#[test]
fn update_gives_old_key_and_new_row() {
    check(
        "UPDATE planes SET seats = seats + 1 WHERE year < 1980",
        expect![[r#"
        (__old_key_0 text, tailnum text, year integer, seats smallint)
        Projection: __old_key_0 AS __old_key_0, __new_tailnum AS tailnum, __new_year AS year, CAST(__new_seats AS Int16) AS seats
          Projection: planes.tailnum AS __old_key_0, planes.tailnum AS __new_tailnum, planes.year AS __new_year, _add(CAST(planes.seats AS Int64), Int64(1)) AS __new_seats
            Filter: CAST(planes.year AS Int64) < Int64(1980)
              SubqueryAlias: planes
                TableScan: planes
    "#]],
    );
    check(
        "UPDATE planes p SET tailnum = upper(p.tailnum), year = NULL",
        expect![[r#"
        (__old_key_0 text, tailnum text, year integer, seats smallint)
        Projection: __old_key_0 AS __old_key_0, __new_tailnum AS tailnum, CAST(__new_year AS Int32) AS year, __new_seats AS seats
          Projection: p.tailnum AS __old_key_0, upper(p.tailnum) AS __new_tailnum, NULL AS __new_year, p.seats AS __new_seats
            SubqueryAlias: p
              TableScan: planes
    "#]],
    );
    check(
        "UPDATE notes SET text = 'x'",
        expect![[r#"
        (__old_key_0 bigint, text text)
        Projection: __old_key_0 AS __old_key_0, _check_length(__new_text, Int64(5)) AS text
          Projection: notes._rowid AS __old_key_0, Utf8("x") AS __new_text
            SubqueryAlias: notes
              TableScan: notes
    "#]],
    );
    check(
        "UPDATE flights SET carrier = 'x'",
        expect![[r#"
        WrongObjectType: cannot update stream "flights" at 8
        DETAIL: A stream is append-only.
    "#]],
    );
    check(
        "UPDATE planes SET nope = 1",
        expect![[r#"
        UndefinedColumn: column "nope" of relation "planes" does not exist at 19
    "#]],
    );
    check(
        "UPDATE planes SET year = 'x'",
        expect![[r#"
        (__old_key_0 text, tailnum text, year integer, seats smallint)
        Projection: __old_key_0 AS __old_key_0, __new_tailnum AS tailnum, CAST(__new_year AS Int32) AS year, __new_seats AS seats
          Projection: planes.tailnum AS __old_key_0, planes.tailnum AS __new_tailnum, Utf8("x") AS __new_year, planes.seats AS __new_seats
            SubqueryAlias: planes
              TableScan: planes
    "#]],
    );
}

#[test]
fn delete_gives_keys() {
    check(
        "DELETE FROM planes WHERE year IN (SELECT n FROM other)",
        expect![[r#"
        (__old_key_0 text)
        Projection: planes.tailnum AS __old_key_0
          Filter: CAST(planes.year AS Int64) IN (<subquery>)
            Subquery:
              Projection: other.n
                TableScan: other projection=[carrier, n]
            SubqueryAlias: planes
              TableScan: planes
    "#]],
    );
    check(
        "DELETE FROM notes WHERE text IS NULL AND rowtime < '2024-01-01'",
        expect![[r#"
        (__old_key_0 bigint)
        Projection: notes._rowid AS __old_key_0
          Filter: notes.text IS NULL AND notes.rowtime < TimestampMicrosecond(1704067200000000, Some("+00:00"))
            SubqueryAlias: notes
              TableScan: notes
    "#]],
    );
    check(
        "DELETE FROM nope",
        expect![[r#"
        UndefinedRelation: relation "nope" does not exist at 13
        HINT: Perhaps you meant to reference the relation "notes".
    "#]],
    );
}
