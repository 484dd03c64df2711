//! Values of all types, in both directions and both formats.

use expect_test::expect;

use crate::{Server, run, show_error};

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_all_types() {
    let server = Server::start().await;
    let client = server.connect().await;
    let shown = [
        run(&client, "SELECT true AS b, 1::smallint, 2::int, 3::bigint, 1.5::real, 2.5::double precision, 1.50::numeric(10,2)").await,
        run(&client, "SELECT 'x'::text, '2013-01-31'::date, '05:15'::time, '2013-01-31 05:15'::timestamp").await,
        run(&client, "SELECT '2013-01-31 05:15+00'::timestamptz, '1 day 2 hours'::interval, NULL::int").await,
        run(&client, "SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{\"a\": 1}'::json, ARRAY[1, 2, NULL], ARRAY['a b', 'c']").await,
        run(&client, "SET timezone = 'America/New_York'; SELECT '2013-01-31 05:15+00'::timestamptz").await,
    ];
    expect![[r##"
        # b | int2 | int4 | int8 | float4 | float8 | numeric
        t | 1 | 2 | 3 | 1.5 | 2.5 | 1.50
        (1)
        # text | date | time | timestamp
        x | 2013-01-31 | 05:15:00 | 2013-01-31 05:15:00
        (1)
        # timestamptz | interval | int4
        2013-01-31 05:15:00+00 | 1 day 02:00:00 | NULL
        (1)
        # uuid | json | array | array
        a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | {"a": 1} | {1,2,NULL} | {"a b",c}
        (1)
        (0)
        # timestamptz
        2013-01-31 00:15:00-05
        (1)"##]]
    .assert_eq(&shown.join("\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_values_go_out_and_come_in() {
    let server = Server::start().await;
    let client = server.connect().await;
    let row = client
        .query_one(
            "SELECT $1::boolean, $2::smallint, $3::int, $4::bigint, $5::real, $6::double precision, $7::text, $8::bytea",
            &[&true, &1i16, &2i32, &3i64, &1.5f32, &2.5f64, &"text", &b"\x00\xff".as_slice()],
        )
        .await
        .expect("a row");
    assert!(row.get::<_, bool>(0));
    assert_eq!(row.get::<_, i16>(1), 1);
    assert_eq!(row.get::<_, i32>(2), 2);
    assert_eq!(row.get::<_, i64>(3), 3);
    assert_eq!(row.get::<_, f32>(4), 1.5);
    assert_eq!(row.get::<_, f64>(5), 2.5);
    assert_eq!(row.get::<_, &str>(6), "text");
    assert_eq!(row.get::<_, &[u8]>(7), b"\x00\xff");
    let row = client
        .query_one(
            "SELECT $1::int[], $2::text[], $3::text",
            &[&vec![Some(1), None], &vec!["a", "b"], &None::<String>],
        )
        .await
        .expect("a row");
    assert_eq!(row.get::<_, Vec<Option<i32>>>(0), vec![Some(1), None]);
    assert_eq!(row.get::<_, Vec<String>>(1), vec!["a", "b"]);
    assert_eq!(row.get::<_, Option<&str>>(2), None);
    // A type that the statement decides.
    let row = client
        .query_one("SELECT 1 WHERE 5 = $1", &[&5i64])
        .await
        .expect("a row");
    assert_eq!(row.len(), 1);
    let error = client
        .query_one("SELECT $1::int", &[&"text"])
        .await
        .expect_err("not a number");
    assert!(error.as_db_error().is_none(), "{}", show_error(&error));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_catalog_has_types_of_its_own() {
    let server = Server::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE TABLE city (id int PRIMARY KEY, name text)")
        .await
        .expect("a table");
    let row = client
        .query_one(
            "SELECT oid, relname, relkind FROM pg_catalog.pg_class WHERE relname = $1",
            &[&"city"],
        )
        .await
        .expect("a row");
    assert!(row.get::<_, u32>(0) >= 16384);
    assert_eq!(row.get::<_, &str>(1), "city");
    assert_eq!(row.get::<_, i8>(2), b'r' as i8);
    server.stop().await;
}
