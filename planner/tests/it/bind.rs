use expect_test::{Expect, expect};

use crate::catalog::bound;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&bound(text));
}

#[test]
fn a_star_has_no_pseudo_columns() {
    check(
        "SELECT * FROM airlines",
        expect![[r#"
        (carrier text, name text)
        Projection: airlines.carrier, airlines.name
          TableScan: airlines projection=[carrier, name]
    "#]],
    );
}

#[test]
fn pseudo_columns_are_there_by_name() {
    check(
        "SELECT rowtime, * FROM flights",
        expect![[r#"
        (rowtime timestamp with time zone, carrier text, tailnum text, dep_delay bigint, distance double precision)
        Projection: flights.rowtime, flights.carrier, flights.tailnum, flights.dep_delay, flights.distance
          SubqueryAlias: flights
            TableScan: flights
    "#]],
    );
    check(
        "SELECT f.rowoffset, a.*, f.* FROM flights f JOIN airlines a ON f.carrier = a.carrier",
        expect![[r#"
        (rowoffset bigint, carrier text, name text, carrier text, tailnum text, dep_delay bigint, distance double precision)
        Projection: f.rowoffset, a.carrier, a.name, f.carrier, f.tailnum, f.dep_delay, f.distance
          Inner Join:  Filter: f.carrier = a.carrier
            SubqueryAlias: f
              TableScan: flights
            SubqueryAlias: a
              TableScan: airlines projection=[carrier, name]
    "#]],
    );
    check(
        "SELECT rowtime FROM flights f JOIN airlines a ON f.carrier = a.carrier",
        expect![[r#"
        AmbiguousColumn: column reference "rowtime" is ambiguous at 8
    "#]],
    );
    check(
        "SELECT * FROM (SELECT rowtime, carrier FROM flights) x WHERE rowtime > '2024-01-01'",
        expect![[r#"
        (rowtime timestamp with time zone, carrier text)
        Projection: x.rowtime, x.carrier
          Filter: x.rowtime > TimestampMicrosecond(1704067200000000, Some("+00:00"))
            SubqueryAlias: x
              Projection: flights.rowtime, flights.carrier
                SubqueryAlias: flights
                  TableScan: flights
    "#]],
    );
    check(
        "SELECT x.rowtime, * FROM flights x JOIN airlines USING (carrier)",
        expect![[r#"
        (rowtime timestamp with time zone, carrier text, tailnum text, dep_delay bigint, distance double precision, name text)
        Projection: x.rowtime, x.carrier, x.tailnum, x.dep_delay, x.distance, airlines.name
          Inner Join: Using x.carrier = airlines.carrier
            SubqueryAlias: x
              TableScan: flights
            TableScan: airlines projection=[carrier, name]
    "#]],
    );
    check(
        "SELECT x.rowtime, * FROM flights x NATURAL JOIN airlines",
        expect![[r#"
        (rowtime timestamp with time zone, carrier text, tailnum text, dep_delay bigint, distance double precision, name text)
        Projection: x.rowtime, x.carrier, x.tailnum, x.dep_delay, x.distance, airlines.name
          Inner Join: Using x.carrier = airlines.carrier
            SubqueryAlias: x
              TableScan: flights
            TableScan: airlines projection=[carrier, name]
    "#]],
    );
    check(
        "SELECT carrier FROM flights ORDER BY rowtime",
        expect![[r#"
        (carrier text)
        Projection: flights.carrier
          Sort: flights.rowtime ASC NULLS LAST
            Projection: flights.carrier, flights.rowtime
              SubqueryAlias: flights
                TableScan: flights
    "#]],
    );
    check(
        "SELECT max(rowtime) FROM public.flights",
        expect![[r#"
        (max timestamp with time zone)
        Projection: max(flights.rowtime) AS max
          Aggregate: groupBy=[[]], aggr=[[max(flights.rowtime)]]
            SubqueryAlias: flights
              TableScan: public.flights
    "#]],
    );
}

#[test]
fn columns_have_the_names_postgres_gives() {
    check(
        "SELECT count(*), 1 + 1, 'x', carrier::text, dep_delay::int, CASE WHEN true THEN 1 END, upper(carrier), count(*) FROM flights GROUP BY carrier, dep_delay",
        expect![[r#"
        (count bigint, ?column? bigint, ?column? text, carrier text, dep_delay integer, case bigint, upper text, count bigint)
        Projection: count(Int64(1)) AS count(*) AS count, _add(Int64(1), Int64(1)) AS ?column?, Utf8("x") AS ?column?2, CAST(flights.carrier AS Utf8) AS carrier, CAST(flights.dep_delay AS Int32) AS dep_delay, CASE WHEN Boolean(true) THEN Int64(1) END AS case, upper(flights.carrier) AS upper, count(Int64(1)) AS count(*) AS count2
          Aggregate: groupBy=[[flights.carrier, flights.dep_delay]], aggr=[[count(Int64(1))]]
            TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
    "#]],
    );
    check(
        "SELECT count, sum FROM (SELECT count(*), sum(dep_delay) FROM flights) x",
        expect![[r#"
        (count bigint, sum bigint)
        Projection: x.count, x.sum
          SubqueryAlias: x
            Projection: count(Int64(1)) AS count(*) AS count, sum(flights.dep_delay) AS sum
              Aggregate: groupBy=[[]], aggr=[[count(Int64(1)), sum(flights.dep_delay)]]
                TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
    "#]],
    );
    check(
        "SELECT carrier, carrier FROM airlines",
        expect![[r#"
        (carrier text, carrier text)
        Projection: airlines.carrier, airlines.carrier AS carrier2
          TableScan: airlines projection=[carrier, name]
    "#]],
    );
}

#[test]
fn arithmetic_is_checked() {
    check(
        "SELECT dep_delay + 1, distance / 2, dep_delay / 2, seats + seats FROM flights, planes",
        expect![[r#"
        (?column? bigint, ?column? double precision, ?column? bigint, ?column? smallint)
        Projection: _add(flights.dep_delay, Int64(1)) AS ?column?, _divide(flights.distance, CAST(Int64(2) AS Float64)) AS ?column?2, flights.dep_delay / Int64(2) AS ?column?3, _add(planes.seats, planes.seats) AS ?column?4
          Cross Join:
            TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
            TableScan: planes projection=[tailnum, year, seats]
    "#]],
    );
}

#[test]
fn constants_are_read() {
    check(
        "SELECT '12'::int, 'yes'::bool, timestamp '2024-01-01 10:00', timestamptz '2024-01-01 10:00+02', interval '1 day', date '2024-02-29', 1.5, '1.5'::numeric(4,2), 'a'::varchar(3)",
        expect![[r#"
            (int4 integer, bool boolean, timestamp timestamp without time zone, timestamptz timestamp with time zone, interval interval, date date, ?column? numeric(2,1), numeric numeric(4,2), varchar text)
            Projection: Int32(12) AS int4, Boolean(true) AS bool, TimestampMicrosecond(1704103200000000, None) AS timestamp, TimestampMicrosecond(1704096000000000, Some("+00:00")) AS timestamptz, IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 }") AS interval, Date32("2024-02-29") AS date, Decimal128(1.5,2,1) AS ?column?, Decimal128(1.50,4,2) AS numeric, left(Utf8("a"), Int64(3)) AS varchar
              EmptyRelation: rows=1
        "#]],
    );
    check(
        "SELECT '2024-03-01'::timestamptz, '2024-03-01 10:00:00.25 Europe/Oslo'::timestamptz, '2024-03-01T10:00Z'::timestamp, '10:30'::time, '2024-02-30'::text",
        expect![[r#"
        (timestamptz timestamp with time zone, timestamptz timestamp with time zone, timestamp timestamp without time zone, time time without time zone, text text)
        Projection: TimestampMicrosecond(1709251200000000, Some("+00:00")) AS timestamptz, TimestampMicrosecond(1709283600250000, Some("+00:00")) AS timestamptz2, TimestampMicrosecond(1709287200000000, None) AS timestamp, Time64Microsecond("37800000000") AS time, Utf8("2024-02-30") AS text
          EmptyRelation: rows=1
    "#]],
    );
    check(
        "SELECT '2024-02-30'::date",
        expect![[r#"
        InvalidDatetime: invalid input syntax for type date: "2024-02-30"
    "#]],
    );
    check(
        "SELECT 1 FROM odd WHERE at BETWEEN '2024-01-01' AND '2024-02-01 10:00' AND price > '1.5' AND price IN ('1', '2')",
        expect![[r#"
        (?column? bigint)
        Projection: Int64(1) AS ?column?
          Filter: odd.at BETWEEN TimestampMicrosecond(1704067200000000, None) AND TimestampMicrosecond(1706781600000000, None) AND odd.price > Decimal128(1.50,10,2) AND odd.price IN ([Decimal128(1.00,10,2), Decimal128(2.00,10,2)])
            TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
    "#]],
    );
    check(
        "SELECT 'abc'::int",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: "abc"
    "#]],
    );
    check(
        "SELECT '99999999999'::int",
        expect![[r#"
        NumericOutOfRange: value "99999999999" is out of range for type integer
    "#]],
    );
    check(
        "SELECT timestamp 'tomorrow-ish'",
        expect![[r#"
        InvalidDatetime: invalid input syntax for type timestamp: "tomorrow-ish"
    "#]],
    );
}

#[test]
fn nested_values() {
    check(
        "SELECT ARRAY[1, 2][1], MAP('a' := 1)['a'], STRUCT(x := 1, y := 'b')->y",
        expect![[r#"
        (array bigint, a bigint, y text)
        Projection: array_element(make_array(Int64(1), Int64(2)), Int64(1)) AS array, get_field(map(make_array(Utf8("a")), make_array(Int64(1))), Utf8("a")) AS a, get_field(named_struct(Utf8("x"), Int64(1), Utf8("y"), Utf8("b")), Utf8("y")) AS y
          EmptyRelation: rows=1
    "#]],
    );
    check(
        "SELECT tags[1], attrs['k'], place->city, doc, id FROM odd",
        expect![[r#"
        (tags text, k bigint, city text, doc jsonb, id uuid)
        Projection: array_element(odd.tags, Int64(1)) AS tags, get_field(odd.attrs, Utf8("k")) AS k, get_field(odd.place, Utf8("city")) AS city, odd.doc, odd.id
          TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
    "#]],
    );
    check(
        "SELECT '6F9619FF8B86D011B42D00C04FC964FF'::uuid, '{\"a\":1}'::jsonb",
        expect![[r#"
        (uuid uuid, jsonb jsonb)
        Projection: _to_uuid(Utf8("6F9619FF8B86D011B42D00C04FC964FF")) AS uuid, _to_jsonb(Utf8("{"a":1}")) AS jsonb
          EmptyRelation: rows=1
    "#]],
    );
    check(
        "SELECT unnest(tags) FROM odd",
        expect![[r#"
        (unnest text)
        Projection: __unnest_placeholder(odd.tags,depth=1) AS UNNEST(odd.tags)
          Unnest: lists[__unnest_placeholder(odd.tags)|depth=1] structs[]
            Projection: odd.tags AS __unnest_placeholder(odd.tags)
              TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
    "#]],
    );
}

#[test]
fn views_are_put_in_place() {
    check(
        "SELECT * FROM late l",
        expect![[r#"
        (who text, dep_delay bigint)
        Projection: l.who, l.dep_delay
          SubqueryAlias: l
            Projection: flights.carrier AS who, flights.dep_delay AS dep_delay
              Projection: flights.carrier, flights.dep_delay
                Filter: flights.dep_delay > Int64(60)
                  TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
    "#]],
    );
}

#[test]
fn what_does_not_exist() {
    check(
        "SELECT carier FROM flights",
        expect![[r#"
        UndefinedColumn: column "carier" does not exist at 8
        HINT: Perhaps you meant to reference the column "carrier".
    "#]],
    );
    check(
        "SELECT f.nope FROM flights f",
        expect![[r#"
        UndefinedColumn: column f.nope does not exist at 8
    "#]],
    );
    check(
        "SELECT x.carrier FROM flights f",
        expect![[r#"
        UndefinedRelation: missing FROM-clause entry for table "x" at 8
    "#]],
    );
    check(
        "SELECT * FROM flight",
        expect![[r#"
        UndefinedRelation: relation "flight" does not exist at 15
        HINT: Perhaps you meant to reference the relation "flights".
    "#]],
    );
    check(
        "SELECT * FROM nope.flights",
        expect![[r#"
        UndefinedRelation: relation "nope.flights" does not exist at 15
    "#]],
    );
    check(
        "SELECT uper(carrier, 1) FROM flights",
        expect![[r#"
        UndefinedFunction: function uper(text, bigint) does not exist
        HINT: Perhaps you meant the function "upper".
    "#]],
    );
    check(
        "SELECT upper(1, 2) FROM flights",
        expect![[r#"
        UndefinedFunction: function upper(bigint, bigint) does not exist
        HINT: No function matches the given name and argument types. You might need to add explicit type casts.
    "#]],
    );
    check(
        "SELECT 1::foo",
        expect![[r#"
        UndefinedObject: type "foo" does not exist
    "#]],
    );
    check(
        "SELECT carrier FROM flights, airlines",
        expect![[r#"
        AmbiguousColumn: column reference "carrier" is ambiguous at 8
    "#]],
    );
    check(
        "SELECT rowoffset FROM airlines",
        expect![[r#"
        UndefinedColumn: column "rowoffset" does not exist at 8
    "#]],
    );
}

#[test]
fn what_does_not_fit() {
    check(
        "SELECT carrier, count(*) FROM flights",
        expect![[r#"
        Grouping: column "carrier" must appear in the GROUP BY clause or be used in an aggregate function at 8
    "#]],
    );
    check(
        "SELECT count(*) FROM flights WHERE count(*) > 1",
        expect![[r#"
        Grouping: aggregate functions are not allowed in WHERE
    "#]],
    );
    check(
        "SELECT carrier FROM flights WHERE dep_delay",
        expect![[r#"
        DatatypeMismatch: argument of WHERE must be type boolean, not type bigint
    "#]],
    );
    check(
        "SELECT carrier FROM flights UNION SELECT carrier, name FROM airlines",
        expect![[r#"
        Syntax: each UNION query must have the same number of columns at 1
    "#]],
    );
    check(
        "SELECT carrier FROM flights WHERE carrier = 5",
        expect![[r#"
        UndefinedFunction: operator does not exist: text = bigint at 35
        HINT: No operator matches the given name and argument types. You might need to add explicit type casts.
    "#]],
    );
    check(
        "SELECT carrier + 1 FROM flights",
        expect![[r#"
        UndefinedFunction: operator does not exist: text + bigint at 8
        HINT: No operator matches the given name and argument types. You might need to add explicit type casts.
    "#]],
    );
    check(
        "SELECT dep_delay = 'x' FROM flights",
        expect![[r#"
        InvalidText: invalid input syntax for type bigint: "x"
    "#]],
    );
    check(
        "SELECT 1 FROM flights f, airlines f",
        expect![[r#"
        DuplicateAlias: table name "f" specified more than once
    "#]],
    );
}

#[test]
fn what_is_not_offered() {
    check(
        "SELECT carrier, count(*) FROM flights WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY carrier EMIT CHANGES",
        expect![[r#"
        Unsupported: WINDOW TUMBLING is not supported
        HINT: Group by date_bin or date_trunc of rowtime instead.
    "#]],
    );
}

#[test]
fn a_qualified_name_is_a_column_of_an_outer_relation_before_it_is_a_field() {
    check(
        "SELECT name FROM airlines carrier
         WHERE EXISTS (SELECT 1 FROM flights WHERE flights.carrier = carrier.carrier)",
        expect![[r#"
            (name text)
            Projection: carrier.name
              Filter: EXISTS (<subquery>)
                Subquery:
                  Projection: Int64(1) AS ?column?
                    Filter: flights.carrier = outer_ref(carrier.carrier)
                      TableScan: flights projection=[carrier, tailnum, dep_delay, distance]
                SubqueryAlias: carrier
                  TableScan: airlines projection=[carrier, name]
        "#]],
    );
    check(
        "SELECT at FROM odd WHERE EXISTS (SELECT 1 FROM planes WHERE odd.place.city = tailnum)",
        expect![[r#"
            (at timestamp without time zone)
            Projection: odd.at
              Filter: EXISTS (<subquery>)
                Subquery:
                  Projection: Int64(1) AS ?column?
                    Filter: get_field(outer_ref(odd.place), Utf8("city")) = planes.tailnum
                      TableScan: planes projection=[tailnum, year, seats]
                TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
        "#]],
    );
    check(
        "SELECT 1 FROM airlines place, (SELECT * FROM odd WHERE place.city = 'x') o",
        expect![[r#"
            (?column? bigint)
            Projection: Int64(1) AS ?column?
              Cross Join:
                SubqueryAlias: place
                  TableScan: airlines projection=[carrier, name]
                SubqueryAlias: o
                  Projection: odd.id, odd.doc, odd.tags, odd.attrs, odd.place, odd.at, odd.price
                    Filter: get_field(odd.place, Utf8("city")) = Utf8("x")
                      TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
        "#]],
    );
    check(
        "SELECT 1 FROM airlines place, LATERAL (SELECT id FROM odd WHERE place.name = 'x') o",
        expect![[r#"
            (?column? bigint)
            Projection: Int64(1) AS ?column?
              Cross Join:
                SubqueryAlias: place
                  TableScan: airlines projection=[carrier, name]
                SubqueryAlias: o
                  Subquery:
                    Projection: odd.id
                      Filter: outer_ref(place.name) = Utf8("x")
                        TableScan: odd projection=[id, doc, tags, attrs, place, at, price]
        "#]],
    );
    check(
        "SELECT 1 FROM airlines tags WHERE EXISTS (SELECT 1 FROM odd WHERE tags.nosuch = 'x')",
        expect![[r#"
            UndefinedRelation: missing FROM-clause entry for table "tags" at 67
        "#]],
    );
}

#[test]
fn set_operations_that_count_duplicates_are_refused() {
    check(
        "SELECT carrier FROM flights EXCEPT ALL SELECT carrier FROM other",
        expect![[r#"
            Unsupported: EXCEPT ALL is not supported
        "#]],
    );
    check(
        "SELECT carrier FROM flights INTERSECT ALL SELECT carrier FROM other",
        expect![[r#"
            Unsupported: INTERSECT ALL is not supported
        "#]],
    );
}
