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
