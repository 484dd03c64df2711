//! SQL over what Kafka clients write, and Kafka clients over what SQL writes: kcat on the one side, a session on the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Broker, Db};

/// What a wait ends with if what it waits for does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Millpond, which must be what the tests run against: no other server has SQL.
async fn start() -> Option<Broker> {
    Broker::start_to_be_killed().await
}

async fn produce(broker: &Broker, topic: &str, records: &[String]) -> Option<()> {
    let arguments = ["-P", "-t", topic, "-K", "\t", "-Z", "-z", "lz4"];
    broker
        .kcat(&arguments, records.join("\n"))
        .await
        .map(|_| ())
}

/// The last value of each key of a topic, as a table that follows it would have them.
async fn changelog(broker: &Broker, topic: &str) -> BTreeMap<String, Value> {
    let arguments = [
        "-C",
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
        "-f",
        "%k\t%S\t%s\n",
    ];
    let text = broker.kcat(&arguments, "").await.expect("kcat is there");
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let mut part = || parts.next().expect("three parts");
        let (key, length, value) = (part().to_owned(), part(), part());
        match length {
            "-1" => rows.remove(&key),
            _ => rows.insert(key, serde_json::from_str(value).expect("values are JSON")),
        };
    }
    rows
}

/// Key, value and time stamp (milliseconds) of each record of a topic, once there are so many.
async fn records(broker: &Broker, topic: &str, count: usize) -> Vec<(String, Option<Value>, i64)> {
    let format = "%k\t%S\t%s\t%T\n";
    let arguments = ["-C", "-t", topic, "-o", "beginning", "-e", "-f", format];
    let begun = Instant::now();
    loop {
        let text = broker.kcat(&arguments, "").await.expect("kcat is there");
        let records: Vec<_> = text
            .lines()
            .map(|line| {
                let parts: Vec<&str> = line.split('\t').collect();
                let [key, length, value, time] = parts.as_slice() else {
                    panic!("four parts: {line}");
                };
                let value = (*length != "-1").then(|| serde_json::from_str(value).unwrap());
                ((*key).to_owned(), value, time.parse().unwrap())
            })
            .collect();
        if records.len() >= count {
            return records;
        }
        assert!(begun.elapsed() < PATIENCE, "found {records:?}");
    }
}

/// Waits until a topic says what it must.
async fn wait_for(broker: &Broker, topic: &str, expected: &BTreeMap<String, Value>) {
    let begun = Instant::now();
    loop {
        let found = changelog(broker, topic).await;
        if found == *expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "found {found:?}\nexpected {expected:?}"
        );
    }
}

async fn wait_for_number(db: &Db, sql: &str, expected: i64) {
    let begun = Instant::now();
    loop {
        let found = db.number(sql).await;
        if found == expected {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{sql}: {found}, expected {expected}"
        );
    }
}

fn bids(range: std::ops::Range<i64>) -> Vec<String> {
    range
        .map(|i| {
            format!(
                "bidder {i}\t{{\"auction\": \"a{}\", \"price\": {i}}}",
                i % 7
            )
        })
        .collect()
}

fn totals(range: std::ops::Range<i64>) -> BTreeMap<String, Value> {
    let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for i in range {
        let (n, sum) = totals.entry(format!("a{}", i % 7)).or_default();
        (*n, *sum) = (*n + 1, *sum + i);
    }
    let rows = totals.into_iter();
    rows.map(|(auction, (n, total))| (auction, json!({"n": n, "total": total})))
        .collect()
}

const VIEW: &str = "CREATE STREAM bids (bidder TEXT KEY, auction TEXT, price BIGINT)
        WITH (kafka_topic = 'bids', key_format = 'KAFKA', value_format = 'JSON');
    CREATE TABLE totals WITH (kafka_topic = 'totals', key_format = 'KAFKA', value_format = 'JSON')
        AS SELECT auction, COUNT(*) AS n, SUM(price) AS total FROM bids GROUP BY auction";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_writes_json_a_query_aggregates_it_kcat_reads_the_changelog() {
    let Some(mut broker) = start().await else {
        return;
    };
    if produce(&broker, "bids", &bids(0..500)).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run(VIEW).await;
    produce(&broker, "bids", &bids(500..1000)).await;
    wait_for(&broker, "totals", &totals(0..1000)).await;
    assert_eq!(
        db.value("SELECT bidder FROM bids WHERE price = 77").await,
        "bidder 77"
    );
    // Everything comes once, whatever happens to the server.
    broker.server().crash().await;
    produce(&broker, "bids", &bids(1000..1500)).await;
    wait_for(&broker, "totals", &totals(0..1500)).await;
    let db = broker.server().connect().await;
    wait_for_number(&db, "SELECT SUM(n) FROM totals", 1500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_decoded_is_reported_and_stops_nothing() {
    let Some(mut broker) = start().await else {
        return;
    };
    let mut records = bids(0..10);
    records.insert(3, "broken\t{\"auction\": \"a1\", \"price\": ".to_owned());
    records.insert(
        5,
        "text\t{\"auction\": \"a1\", \"price\": \"dear\"}".to_owned(),
    );
    if produce(&broker, "bids", &records).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run(VIEW).await;
    wait_for(&broker, "totals", &totals(0..10)).await;
    let count = "SELECT COUNT(*) FROM processing_log WHERE topic = 'bids'";
    wait_for_number(&db, count, 2).await;
    let found = db
        .table("SELECT partition, \"offset\", bytes FROM processing_log WHERE topic = 'bids'")
        .await;
    let hex = |text: &str| {
        let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("\\x{}", digits.concat())
    };
    let expected = format!(
        "0|3|{}\n0|5|{}",
        hex("{\"auction\": \"a1\", \"price\": "),
        hex("{\"auction\": \"a1\", \"price\": \"dear\"}")
    );
    assert_eq!(found, expected);
    let described = db.table("DESCRIBE EXTENDED bids").await;
    let counted = "records failed since the start, see processing_log]|2|";
    assert!(described.contains(counted), "{described}");
    produce(&broker, "bids", &bids(10..20)).await;
    wait_for(&broker, "totals", &totals(0..20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_follows_keys_and_tombstones() {
    let Some(mut broker) = start().await else {
        return;
    };
    let records = [
        "oslo\t{\"people\": 1}",
        "bern\t{\"people\": 2}",
        "oslo\t{\"people\": 3}",
    ];
    let records = records.map(str::to_owned);
    if produce(&broker, "cities", &records).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run(
        "CREATE TABLE cities (name TEXT PRIMARY KEY, people BIGINT)
            WITH (kafka_topic = 'cities', key_format = 'KAFKA', value_format = 'JSON');
         CREATE MATERIALIZED VIEW people AS SELECT SUM(people) AS n, COUNT(*) AS cities FROM cities",
    )
    .await;
    wait_for_number(&db, "SELECT n FROM people", 5).await;
    produce(&broker, "cities", &["bern\t".to_owned()]).await;
    wait_for_number(&db, "SELECT n FROM people", 3).await;
    assert_eq!(db.table("SELECT * FROM cities").await, "oslo|3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sql_writes_kcat_reads_and_the_other_way_round() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run(
        "CREATE STREAM readings (room TEXT KEY, celsius DOUBLE, ok BOOLEAN)
            WITH (kafka_topic = 'readings', key_format = 'KAFKA', value_format = 'JSON');
         INSERT INTO readings VALUES ('attic', 17.5, true), ('cellar', NULL, false)",
    )
    .await;
    let record = "hall\t{\"celsius\": 20.25, \"ok\": null}".to_owned();
    if produce(&broker, "readings", &[record]).await.is_none() {
        return;
    }
    let found = changelog(&broker, "readings").await;
    let expected = [
        ("attic", json!({"celsius": 17.5, "ok": true})),
        ("cellar", json!({"celsius": null, "ok": false})),
        ("hall", json!({"celsius": 20.25, "ok": null})),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(found, expected.into_iter().collect());
    assert_eq!(
        db.table("SELECT * FROM readings").await,
        "attic|17.5|t\ncellar|NULL|f\nhall|20.25|NULL"
    );
    // What does not fit is refused, and its producer is told.
    let refusal = broker.python(&["refused", "readings", "{\"celsius\": \"warm\"}"]);
    refusal.await;
    assert_eq!(db.number("SELECT COUNT(*) FROM readings").await, 3);
}

/// A transaction of a Kafka client is seen by queries whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_see_a_transaction_whole() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run(
        "CREATE STREAM transfers (account TEXT KEY, amount BIGINT)
            WITH (kafka_topic = 'transfers', key_format = 'KAFKA', value_format = 'JSON', partitions = 4);
         CREATE MATERIALIZED VIEW balance AS SELECT SUM(amount) AS total, COUNT(*) AS n FROM transfers",
    )
    .await;
    let Some(mut producer) = broker
        .start_python(&["transfers", "transfers", "100"])
        .await
    else {
        return;
    };
    producer.wait_for("begun", &broker).await;
    let begun = Instant::now();
    loop {
        // Each transaction takes from one account what it gives another.
        let rows = db.rows("SELECT COALESCE(total, 0), n FROM balance").await;
        let Some([total, Some(n)]) = rows.first().map(Vec::as_slice) else {
            continue;
        };
        assert_eq!(total.as_deref(), Some("0"), "{n} rows");
        if n == "200" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{n} rows of 200");
    }
    producer.finish(&broker).await;
}

/// The users of SQL are the users of Kafka clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_log_in_with_their_passwords() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run("CREATE USER pond PASSWORD 'mill wheel 7'").await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let scenario = ["sasl", mechanism, "pond", "mill wheel 7", "secured"];
        if broker.python(&scenario).await.is_none() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_of_keys_in_ksqldbs_dialect() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    // KAFKA, the default, takes one column of a simple type.
    let refused = [
        "CREATE STREAM s (k BOOLEAN KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON', partitions = 1)",
        "CREATE TABLE t (k DECIMAL(4, 2) PRIMARY KEY, v INT) WITH (kafka_topic = 't', value_format = 'JSON')",
        "CREATE STREAM w (k INT KEY, v INT) WITH (kafka_topic = 'w', value_format = 'KAFKA', wrap_single_value = true)",
    ];
    for statement in refused {
        assert_eq!(db.error_code(statement).await, "42P16", "{statement}");
    }
    db.run(
        "CREATE STREAM s (v INT, w INT) WITH (kafka_topic = 's', key_format = 'NONE', value_format = 'JSON', partitions = 1);
         CREATE STREAM bare (k INT KEY, v INT)
            WITH (kafka_topic = 'bare', format = 'KAFKA', wrap_single_value = false, partitions = 1)",
    )
    .await;
    let two = "CREATE TABLE two AS SELECT v, w, COUNT(*) AS n FROM s GROUP BY v, w";
    assert_eq!(db.error_code(two).await, "42P16");
    // A stream without keys hands no format for keys on.
    db.run(
        "SET 'ksql.persistence.default.format.key' = 'JSON';
         SET 'ksql.output.topic.name.prefix' = 'out-';
         CREATE TABLE two AS SELECT v, w, COUNT(*) AS n FROM s GROUP BY v, w;
         CREATE TABLE named WITH (kafka_topic = 'named')
            AS SELECT v, COUNT(*) AS n FROM s GROUP BY v;
         INSERT INTO s VALUES (1, 2);
         INSERT INTO s VALUES (1, 2)",
    )
    .await;
    let two = BTreeMap::from([("{\"V\":1,\"W\":2}".to_owned(), json!({"N": 2}))]);
    wait_for(&broker, "out-TWO", &two).await;
    wait_for(
        &broker,
        "named",
        &BTreeMap::from([("1".to_owned(), json!({"N": 2}))]),
    )
    .await;
}

/// `CREATE STREAM … AS` over a topic that Kafka clients made, or that `DROP` has left, adds to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_adds_to_a_topic_that_is_there() {
    let Some(mut broker) = start().await else {
        return;
    };
    let first = "0\t{\"V\": 0}".to_owned();
    if produce(&broker, "made", &[first]).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON', partitions = 1);
         CREATE STREAM kept (k STRING KEY, v INT) WITH (kafka_topic = 'kept', value_format = 'JSON', partitions = 1);
         INSERT INTO s VALUES ('1', 1);
         INSERT INTO kept VALUES ('0', 0);
         DROP STREAM kept",
    )
    .await;
    let of = |name: &str, with: &str| {
        format!("CREATE STREAM {name} WITH (kafka_topic = '{name}'{with}) AS SELECT * FROM s")
    };
    assert_eq!(
        db.error_code(&of("made", ", partitions = 3")).await,
        "22023"
    );
    // It belongs to somebody else.
    assert_eq!(db.error_code(&of("s", "")).await, "42P07");
    let other = "CREATE STREAM other WITH (kafka_topic = 's') AS SELECT k, v + 1 AS w FROM s";
    assert_eq!(db.error_code(other).await, "42710");
    let other = "CREATE STREAM kept AS SELECT k, v + 1 AS w FROM s";
    let other = other.replace("STREAM kept", "STREAM kept WITH (kafka_topic = 'kept')");
    assert_eq!(db.error_code(&other).await, "42710");
    db.run(&of("made", "")).await;
    db.run(&of("kept", "")).await;
    let expected = |to: i64| -> BTreeMap<String, Value> {
        (0..=to).map(|i| (i.to_string(), json!({"V": i}))).collect()
    };
    for topic in ["made", "kept"] {
        wait_for(&broker, topic, &expected(1)).await;
    }
    // It does so once, also after a crash, and beside others.
    db.run("INSERT INTO s VALUES ('2', 2)").await;
    broker.server().crash().await;
    let db = broker.server().connect().await;
    db.run("INSERT INTO \"MADE\" VALUES ('3', 3); INSERT INTO \"KEPT\" VALUES ('3', 3)")
        .await;
    for topic in ["made", "kept"] {
        wait_for(&broker, topic, &expected(3)).await;
        assert_eq!(records(&broker, topic, 4).await.len(), 4);
    }
    assert_eq!(db.number("SELECT COUNT(*) FROM \"MADE\"").await, 4);
    // What a query alone wrote, the next one adds to.
    db.run("SET dialect = 'ksqldb'").await;
    let again = "CREATE STREAM again AS SELECT * FROM s";
    db.run(again).await;
    db.run("FLUSH; DROP STREAM again").await;
    db.run(again).await;
    db.run("INSERT INTO s VALUES ('3', 3)").await;
    assert_eq!(records(&broker, "AGAIN", 5).await.len(), 5);
    broker.server().crash().await;
    let db = broker.server().connect().await;
    db.run("FLUSH").await;
    let all = records(&broker, "AGAIN", 5).await;
    let keys: Vec<&str> = all.iter().map(|(key, _, _)| key.as_str()).collect();
    assert_eq!(keys, ["1", "2", "1", "2", "3"]);
    // The query goes with its stream.
    db.run("DROP STREAM \"MADE\"; DROP STREAM \"KEPT\"; DROP STREAM \"AGAIN\"")
        .await;
    assert_eq!(db.table("SHOW QUERIES").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computed_key_of_nulls_is_a_key_if_it_has_several_columns() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE STREAM people (name STRING KEY, id INT, age INT)
            WITH (kafka_topic = 'people', format = 'JSON', partitions = 1);
         CREATE STREAM two AS SELECT * FROM people PARTITION BY id, age;
         CREATE STREAM one AS SELECT * FROM people PARTITION BY id;
         INSERT INTO people VALUES ('bob', NULL, NULL)",
    )
    .await;
    let found = records(&broker, "TWO", 1).await;
    assert_eq!(found[0].0, "{\"ID\":null,\"AGE\":null}");
    assert_eq!(found[0].1, Some(json!({"NAME": "bob"})));
    let found = records(&broker, "ONE", 1).await;
    assert_eq!(found[0].0, "");
}

/// As ksqlDB: a group of a table's rows stays when they go, and a tombstone has the time of what made
/// it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rows_of_a_table_leave_behind_in_ksqldbs_dialect() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE TABLE cities (id INT PRIMARY KEY, land STRING, people BIGINT, at BIGINT)
            WITH (kafka_topic = 'cities', value_format = 'JSON', timestamp = 'at', partitions = 1);
         CREATE TABLE mayors (id INT PRIMARY KEY, mayor STRING, at BIGINT)
            WITH (kafka_topic = 'mayors', value_format = 'JSON', timestamp = 'at', partitions = 1);
         CREATE TABLE lands AS
            SELECT land, COUNT(*) AS n, SUM(people) AS people FROM cities GROUP BY land;
         CREATE TABLE led AS SELECT c.id, land, mayor FROM cities c JOIN mayors m ON c.id = m.id;
         INSERT INTO cities VALUES (1, 'no', 7, 1000);
         INSERT INTO mayors VALUES (1, 'Anne', 2000);
         INSERT INTO cities VALUES (2, 'ch', 3, 3000)",
    )
    .await;
    let key = |text: &str| text.to_owned();
    wait_for(
        &broker,
        "LANDS",
        &BTreeMap::from([
            (key("ch"), json!({"N": 1, "PEOPLE": 3})),
            (key("no"), json!({"N": 1, "PEOPLE": 7})),
        ]),
    )
    .await;
    db.run("SET dialect = 'postgres'").await;
    db.run("DELETE FROM \"CITIES\" WHERE \"ID\" = 1").await;
    let expected = BTreeMap::from([
        (key("ch"), json!({"N": 1, "PEOPLE": 3})),
        (key("no"), json!({"N": 0, "PEOPLE": 0})),
    ]);
    wait_for(&broker, "LANDS", &expected).await;
    let led = records(&broker, "LED", 2).await;
    let [(_, Some(value), came), (_, None, went)] = led.as_slice() else {
        panic!("a row and a tombstone: {led:?}");
    };
    assert_eq!(*value, json!({"LAND": "no", "MAYOR": "Anne"}));
    assert_eq!(*came, 2000);
    // DELETE has the time of the clock.
    assert!(*went > 1_000_000_000_000, "{went}");
    // The group that is kept is part of the state, and takes rows again.
    broker.server().restart().await;
    let db = broker.server().connect().await;
    assert_eq!(
        db.table("SELECT * FROM \"LANDS\" ORDER BY 1").await,
        "ch|1|3\nno|0|0"
    );
    db.run("INSERT INTO \"CITIES\" VALUES (3, 'no', 5, 4000)")
        .await;
    wait_for_number(
        &db,
        "SELECT \"PEOPLE\" FROM \"LANDS\" WHERE \"LAND\" = 'no'",
        5,
    )
    .await;
}

/// ksqlDB keeps what its columns do not say: headers, and that a value is null.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_ksqldb_made_keeps_headers() {
    let Some(mut broker) = start().await else {
        return;
    };
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run("CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 'made', value_format = 'JSON', partitions = 1)")
        .await;
    db.run("CREATE STREAM d AS SELECT k, v * 2 AS v FROM s")
        .await;
    db.run("INSERT INTO s (k, v) VALUES ('sql', 1)").await;
    let arguments = ["-P", "-t", "made", "-K", ":", "-Z", "-H", "trace=1"];
    let sent = "a:{\"V\": 2}\nb:\nc:{\"V\": 3}";
    if broker.kcat(&arguments, sent).await.is_none() {
        return;
    }
    let read = async |broker: &Broker, topic: &str| {
        let format = ["-f", "%k %s %h\n", "-o", "beginning", "-e", "-Z"];
        let arguments = [&["-C", "-t", topic][..], &format[..]].concat();
        broker.kcat(&arguments, "").await.expect("kcat is there")
    };
    for _ in 0..2 {
        broker.server().connect().await.run("FLUSH").await;
        let made = "sql {\"V\":1} \na {\"V\":2} trace=1\nb NULL trace=1\nc {\"V\":3} trace=1\n";
        assert_eq!(read(&broker, "made").await, made);
        let derived = "sql {\"V\":2} \na {\"V\":4} trace=1\nb NULL trace=1\nc {\"V\":6} trace=1\n";
        assert_eq!(read(&broker, "D").await, derived);
        broker.server().crash().await;
    }
}

/// A null value and headers go on from stream to stream, also after a crash; `SELECT` has rows only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_values_and_headers_go_on_to_derived_streams() {
    let Some(mut broker) = start().await else {
        return;
    };
    let send = [
        "-P", "-t", "given", "-K", "\t", "-Z", "-H", "a=1", "-H", "b=two",
    ];
    let lines = |from: i64| format!("{from}\t{{\"V\": 7}}\n{}\t\n", from + 1);
    if broker.kcat(&send, lines(1)).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'; SET 'auto.offset.reset' = 'earliest'")
        .await;
    db.run(
        "CREATE STREAM given (k INT KEY, v INT) WITH (kafka_topic = 'given', value_format = 'JSON', key_format = 'JSON', partitions = 1);
         CREATE STREAM one AS SELECT k, v + 1 AS w FROM given;
         CREATE STREAM two AS SELECT k, w, 1 AS x FROM one;
         CREATE STREAM filtered AS SELECT * FROM one WHERE k > 0;
         CREATE STREAM turned AS SELECT * FROM given PARTITION BY (v IS NULL);
         CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM one GROUP BY k",
    )
    .await;
    let format = "%k\t%S\t%s\t%h\n";
    for round in 0..2 {
        if round == 1 {
            assert!(broker.kcat(&send, lines(3)).await.is_some());
            broker.server().crash().await;
        }
        let db = broker.server().connect().await;
        db.run("FLUSH").await;
        let expected = |value: &str, both: bool| -> String {
            (0..=round)
                .map(|i| {
                    let with = 1 + 2 * i;
                    let row = format!("{with}\t{}\t{value}\ta=1,b=two\n", value.len());
                    match both {
                        true => row + &format!("{}\t-1\t\ta=1,b=two\n", with + 1),
                        false => row,
                    }
                })
                .collect()
        };
        for (topic, value, both) in [
            ("ONE", "{\"W\":8}", true),
            ("TWO", "{\"W\":8,\"X\":1}", true),
            ("FILTERED", "{\"W\":8}", false),
        ] {
            let read = ["-C", "-t", topic, "-o", "beginning", "-e", "-f", format];
            let text = broker.kcat(&read, "").await.expect("kcat is there");
            assert_eq!(text, expected(value, both), "{topic}");
        }
        let read = [
            "-C",
            "-t",
            "TURNED",
            "-o",
            "beginning",
            "-e",
            "-f",
            "%k %S\n",
        ];
        let text = broker.kcat(&read, "").await.expect("kcat is there");
        let turned = text.lines().filter(|line| line.ends_with(" -1"));
        assert_eq!(turned.clone().count() as i64, 1 + round, "{text}");
        assert!(turned.clone().all(|line| line == " -1"), "{text}");
        assert_eq!(db.number("SELECT COUNT(*) FROM \"ONE\"").await, 1 + round);
        assert_eq!(db.number("SELECT COUNT(*) FROM \"TWO\"").await, 1 + round);
        assert_eq!(
            db.number("SELECT COUNT(*) FROM \"COUNTED\"").await,
            1 + round
        );
    }
}

/// `TIMESTAMP` of a stream that a query makes: a column tells the time, and what holds none is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_tells_the_time_of_a_querys_rows() {
    let Some(mut broker) = start().await else {
        return;
    };
    let lines = [
        "1\t{\"T\": 5}",
        "2\t{\"T\": -5}",
        "3\t{\"T\": null}",
        "4\t{\"T\": 7}",
    ];
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    if produce(&broker, "timed", &lines).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'; SET 'auto.offset.reset' = 'earliest'")
        .await;
    db.run(
        "CREATE STREAM timed (k STRING KEY, t BIGINT) WITH (kafka_topic = 'timed', value_format = 'JSON', partitions = 1);
         CREATE STREAM retimed WITH (timestamp = 't') AS SELECT * FROM timed",
    )
    .await;
    let expected = vec![
        ("1".to_owned(), Some(json!({"T": 5})), 5),
        ("4".to_owned(), Some(json!({"T": 7})), 7),
    ];
    assert_eq!(records(&broker, "RETIMED", 2).await, expected);
    broker.server().crash().await;
    let db = broker.server().connect().await;
    db.run("FLUSH").await;
    assert_eq!(records(&broker, "RETIMED", 2).await, expected);
    let reported = "SELECT COUNT(DISTINCT row) FROM processing_log WHERE step = 'timestamp'";
    wait_for_number(&db, reported, 2).await;
}

/// Likewise of a table: also of its changelog, of a view of it, and after a crash. What holds no time is
/// in the table and not in the changelog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_tells_the_time_of_a_querys_table() {
    let Some(mut broker) = start().await else {
        return;
    };
    let lines = [
        "1\t{\"T\": \"1970-01-01 00:00:05\"}",
        "1\t{\"T\": \"never\"}",
        "2\t{\"T\": \"1970-01-01 00:00:09\"}",
        "2\t{\"T\": \"1970-01-01 00:00:07\"}",
        "3\t{\"T\": \"1970-01-01 00:00:08\"}",
        "3\t",
    ];
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'; SET 'auto.offset.reset' = 'earliest'")
        .await;
    // The rows come while the queries run, so that the changelog has each.
    db.run(
        "CREATE TABLE source (k STRING PRIMARY KEY, t STRING) WITH (kafka_topic = 'source', value_format = 'JSON', partitions = 1);
         CREATE TABLE retimed WITH (timestamp = 't', timestamp_format = 'yyyy-MM-dd HH:mm:ss')
            AS SELECT * FROM source;
         CREATE TABLE again AS SELECT k, t, 1 AS one FROM retimed;
         FLUSH",
    )
    .await;
    if produce(&broker, "source", &lines).await.is_none() {
        return;
    }
    db.run("FLUSH").await;
    let row = |key: &str, second: i64| {
        let value = json!({ "T": format!("1970-01-01 00:00:0{second}") });
        (key.to_owned(), Some(value), second * 1000)
    };
    let told = records(&broker, "RETIMED", 5).await;
    let [rows @ .., (gone, None, went)] = told.as_slice() else {
        panic!("rows and a tombstone: {told:?}");
    };
    assert_eq!(
        rows,
        [row("1", 5), row("2", 9), row("2", 7), row("3", 8)].as_slice()
    );
    assert_eq!(gone, "3");
    // A tombstone has the time of the record that made it.
    assert!(*went > 1_000_000_000_000, "{went}");
    let again = records(&broker, "AGAIN", 6).await;
    let times = |key: &str| -> Vec<i64> {
        let of_key = again.iter().filter(|(of, ..)| of == key);
        of_key.map(|(_, _, time)| *time).collect()
    };
    assert_eq!(times("2"), [9000, 7000]);
    for round in 0..2 {
        if round == 1 {
            broker.server().crash().await;
        }
        let db = broker.server().connect().await;
        db.run("FLUSH; SET dialect = 'postgres'").await;
        for table in ["RETIMED", "AGAIN"] {
            let times =
                format!("SELECT \"K\", \"T\", rowtime < '2000-01-01' FROM \"{table}\" ORDER BY 1");
            let expected = "1|never|f\n2|1970-01-01 00:00:07|t";
            assert_eq!(db.table(&times).await, expected, "{table}");
        }
        let seconds = "SELECT EXTRACT(EPOCH FROM rowtime)::BIGINT FROM \"AGAIN\" WHERE \"K\" = '2'";
        assert_eq!(db.number(seconds).await, 7);
        assert_eq!(records(&broker, "RETIMED", 5).await, told);
    }
    let db = broker.server().connect().await;
    let reported = "SELECT COUNT(DISTINCT row) FROM processing_log WHERE step = 'timestamp'";
    wait_for_number(&db, reported, 1).await;
}

/// A table knows where its records lie, and so do those that derive from it, also after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_table_know_the_places_of_their_records() {
    let Some(mut broker) = start().await else {
        return;
    };
    let lines = |numbers: std::ops::Range<i64>| -> Vec<String> {
        let line = |i| format!("{}\t{{\"V\": {i}}}", i % 3);
        numbers.map(line).collect()
    };
    if produce(&broker, "placed", &lines(0..4)).await.is_none() {
        return;
    }
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'; SET 'auto.offset.reset' = 'earliest'")
        .await;
    db.run(
        "CREATE TABLE placed (k STRING PRIMARY KEY, v INT) WITH (kafka_topic = 'placed', value_format = 'JSON', partitions = 1);
         CREATE TABLE places AS SELECT k, ROWPARTITION AS p, ROWOFFSET AS o FROM placed;
         CREATE TABLE newest AS SELECT 1 AS one, COUNT(*) AS n FROM placed WHERE ROWOFFSET > 1 GROUP BY 1;
         FLUSH",
    )
    .await;
    assert_eq!(
        db.table("SELECT * FROM newest").await,
        "1|2",
        "offsets 2 and 3"
    );
    assert!(produce(&broker, "placed", &lines(4..8)).await.is_some());
    broker.server().crash().await;
    assert!(produce(&broker, "placed", &["1\t".into()]).await.is_some());
    for _ in 0..2 {
        let db = broker.server().connect().await;
        db.run("FLUSH; SET dialect = 'ksqldb'").await;
        assert_eq!(db.table("SELECT * FROM places").await, "0|0|6\n2|0|5");
        assert_eq!(db.table("SELECT * FROM newest").await, "1|2");
        let of = |o: i64| json!({"P": 0, "O": o});
        let expected = BTreeMap::from([("0".to_owned(), of(6)), ("2".to_owned(), of(5))]);
        wait_for(&broker, "PLACES", &expected).await;
        broker.server().restart().await;
    }
}
