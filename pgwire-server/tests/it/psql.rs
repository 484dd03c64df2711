//! psql itself, where it is installed.

use std::process::Stdio;

use expect_test::{Expect, expect};
use tokio::process::Command;

use crate::Server;

/// Runs a script; `None` if there is no psql.
async fn psql(server: &Server, script: &str) -> Option<String> {
    let port = server.port.to_string();
    let mut command = Command::new("psql");
    command
        .args([
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "me",
            "-d",
            "mine",
            "-f",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("psql: {error}"),
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, script.as_bytes())
        .await
        .expect("written");
    drop(stdin);
    let output = child.wait_with_output().await.expect("an end");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    Some(text.replace(&port, "PORT"))
}

async fn check(script: &str, expected: Expect) {
    let server = Server::start().await;
    if let Some(shown) = psql(&server, script).await {
        expected.assert_eq(&shown);
    }
    server.stop().await;
}

const RELATIONS: &str = "
    CREATE STREAM flights (carrier text, flight int, price numeric(10,2));
    CREATE TABLE planes (tailnum text PRIMARY KEY, year smallint);
    CREATE TABLE per_carrier AS SELECT carrier, count(*) AS n FROM flights GROUP BY carrier;
";

#[tokio::test(flavor = "multi_thread")]
async fn backslash_commands() {
    let script = format!(
        "{RELATIONS}
        \\d
        \\d planes
        \\d+ flights
        \\d per_carrier
        \\dt
        \\dm
        \\dn
        \\du
        \\l
        \\df abs
        \\conninfo
        \\d nothing
        "
    );
    check(&script, expect![[r#"
                          List of relations
         Schema |      Name      |       Type        | Owner 
        --------+----------------+-------------------+-------
         public | flights        | table             | me
         public | per_carrier    | materialized view | me
         public | planes         | table             | me
         public | processing_log | table             | me
        (4 rows)

                        Table "public.planes"
         Column  |   Type   | Collation | Nullable | Default 
        ---------+----------+-----------+----------+---------
         tailnum | text     |           | not null | 
         year    | smallint |           |          | 
        Indexes:
            "planes_pkey" PRIMARY KEY, btree (tailnum)

                                                     Table "public.flights"
         Column  |     Type      | Collation | Nullable | Default | Storage  | Compression | Stats target | Description 
        ---------+---------------+-----------+----------+---------+----------+-------------+--------------+-------------
         carrier | text          |           |          |         | extended |             |              | 
         flight  | integer       |           |          |         | plain    |             |              | 
         price   | numeric(10,2) |           |          |         | extended |             |              | 
        Access method: log

              Materialized view "public.per_carrier"
         Column  |  Type  | Collation | Nullable | Default 
        ---------+--------+-----------+----------+---------
         carrier | text   |           |          | 
         n       | bigint |           |          | 
        Indexes:
            "per_carrier_pkey" PRIMARY KEY, btree (carrier)

                    List of relations
         Schema |      Name      | Type  | Owner 
        --------+----------------+-------+-------
         public | flights        | table | me
         public | planes         | table | me
         public | processing_log | table | me
        (3 rows)

                        List of relations
         Schema |    Name     |       Type        | Owner 
        --------+-------------+-------------------+-------
         public | per_carrier | materialized view | me
        (1 row)

        List of schemas
          Name  | Owner 
        --------+-------
         public | me
        (1 row)

                               List of roles
         Role name |            Attributes             | Member of 
        -----------+-----------------------------------+-----------
         me        | Superuser, Create role, Create DB | {}

                                               List of databases
         Name | Owner | Encoding | Collate |  Ctype  | ICU Locale | Locale Provider | Access privileges 
        ------+-------+----------+---------+---------+------------+-----------------+-------------------
         mine | me    | UTF8     | C.UTF-8 | C.UTF-8 |            | libc            | 
        (1 row)

                               List of functions
         Schema | Name | Result data type | Argument data types | Type 
        --------+------+------------------+---------------------+------
         public | abs  | any              | ...                 | func
        (1 row)

        You are connected to database "mine" as user "me" on host "127.0.0.1" at port "PORT".
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_point_at_their_place() {
    check(
        "SELECT 'é', nope;\nSELEC 1;\n",
        expect![[r#"
        psql:<stdin>:1: ERROR:  column "nope" does not exist
        LINE 1: SELECT 'é', nope;
                            ^
        psql:<stdin>:2: ERROR:  syntax error at or near "SELEC"
        LINE 1: SELEC 1;
                ^
        DETAIL:  expected a statement
        HINT:  did you mean SELECT?
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_through_psql() {
    let script = "
        CREATE TABLE t (id int PRIMARY KEY, v text);
COPY t FROM STDIN;
1	one
2	\\N
\\.
COPY t FROM STDIN (FORMAT csv);
3,\"thr,ee\"
\\.
COPY t FROM STDIN (FORMAT json);
{\"id\": 4, \"v\": \"four\"}
\\.
COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT csv, HEADER);
    ";
    check(
        script,
        expect![[r#"
        id,v
        1,one
        2,
        3,"thr,ee"
        4,four
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_query_by_fetch_count() {
    // psql reads by a cursor, and the time-out ends what would not end.
    let script = "
        CREATE STREAM s (x int);
        INSERT INTO s VALUES (1), (2), (3);
        SET auto.offset.reset = 'earliest';
        SET statement_timeout = '500ms';
        \\set FETCH_COUNT 1
        \\pset format unaligned
        SELECT x FROM s EMIT CHANGES;
    ";
    check(script, expect![[r#"
        x
        1
        2
        3psql:<stdin>:8: NOTICE:  this query does not end
        HINT:  In psql see rows as they come with \set FETCH_COUNT 1, or COPY (SELECT … EMIT CHANGES) TO STDOUT; Ctrl-C stops it.
        psql:<stdin>:8: ERROR:  canceling statement due to statement timeout
    "#]]).await;
}
