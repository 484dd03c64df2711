//! Push queries in ksqlDB's dialect, over what Kafka clients write.

use tests::{Broker, Db, show};

use crate::kafka_sql_topics::{self, produce};

/// A server, a session in ksqlDB's dialect, and kcat. `None` where kcat is not installed.
async fn start() -> Option<(Broker, Db)> {
    let (broker, db) = kafka_sql_topics::start().await?;
    db.run("SET dialect = 'ksqldb'").await;
    Some((broker, db))
}

async fn rows(db: &Db, sql: &str) -> Vec<String> {
    db.rows(sql).await.iter().map(show).collect()
}

const TABLE: &str = "CREATE TABLE t (k STRING PRIMARY KEY, v INT)
    WITH (kafka_topic = 't', value_format = 'JSON')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_row_that_goes_its_key_is_shown() {
    let Some((broker, db)) = start().await else {
        return;
    };
    let history = [
        "a:{\"V\": 1}",
        "a:",
        "b:{\"V\": 2}",
        // Nothing but its time is new.
        "b:{\"V\": 2}",
        "b:{\"V\": 3}",
    ];
    produce(&broker, "t", &history).await;
    db.run(TABLE).await;
    assert_eq!(
        rows(&db, "SELECT * FROM t EMIT CHANGES LIMIT 5").await,
        ["a|1", "a|NULL", "b|2", "b|2", "b|3"]
    );
    assert_eq!(
        rows(&db, "SELECT v FROM t EMIT CHANGES LIMIT 5").await,
        ["1", "NULL", "2", "2", "3"]
    );
    // Clients that cannot tell it from others may not want to see it; it counts all the same.
    db.run("SET emit_changes_tombstones = off").await;
    assert_eq!(
        rows(&db, "SELECT * FROM t EMIT CHANGES LIMIT 3").await,
        ["a|1", "b|2"]
    );
    db.run("SET emit_changes_tombstones = on").await;
    // What does not satisfy the condition any more goes too.
    assert_eq!(
        rows(
            &db,
            "SELECT k, v + 1 AS w FROM t WHERE v < 3 EMIT CHANGES LIMIT 5"
        )
        .await,
        ["a|2", "a|NULL", "b|3", "b|3", "b|NULL"]
    );
    // A group stays, with nothing in it.
    assert_eq!(
        rows(
            &db,
            "SELECT v, COUNT(*) FROM t GROUP BY v EMIT CHANGES LIMIT 3"
        )
        .await,
        ["1|1", "1|0", "2|1"]
    );
    // It goes on with what comes.
    let all = "SELECT * FROM t EMIT CHANGES";
    let mut pushed = db.subscribe(all).await;
    pushed.take(5).await;
    produce(&broker, "t", &["b:", "c:{\"V\": 4}"]).await;
    let found: Vec<String> = pushed.take(2).await.iter().map(show).collect();
    assert_eq!(found, ["b|NULL", "c|4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_over_all_rows_begins_with_the_first() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 2}", "b:{\"V\": 3}"]).await;
    db.run("CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON')")
        .await;
    assert_eq!(
        rows(&db, "SELECT COUNT(*), SUM(v) FROM s EMIT CHANGES LIMIT 2").await,
        ["1|2", "2|5"]
    );
    assert_eq!(
        db.error_code("CREATE TABLE n AS SELECT COUNT(*) FROM s")
            .await,
        "42803"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_elements_are_collected() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 2}", "a:{\"V\": 3}"]).await;
    db.run("CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON')")
        .await;
    db.run("SET 'ksql.functions.collect_list.limit' = '1'")
        .await;
    let collected = "SELECT k, COLLECT_LIST(v) AS l, COLLECT_SET(v) AS s FROM s GROUP BY k
        EMIT CHANGES LIMIT 2";
    assert_eq!(rows(&db, collected).await, ["a|[2]|[2]", "a|[2]|[2,3]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_of_a_tombstone_has_its_time() {
    let Some((_broker, db)) = start().await else {
        return;
    };
    db.run(
        "CREATE TABLE people (id INT PRIMARY KEY, city INT, at BIGINT)
            WITH (kafka_topic = 'people', value_format = 'JSON', timestamp = 'at', partitions = 1);
         CREATE TABLE cities (id INT PRIMARY KEY, name STRING, at BIGINT)
            WITH (kafka_topic = 'cities', value_format = 'JSON', timestamp = 'at', partitions = 1);
         CREATE TABLE homes AS SELECT p.id, name FROM people p LEFT JOIN cities c ON p.city = c.id;
         INSERT INTO people VALUES (1, 7, 1000);
         INSERT INTO cities VALUES (7, 'Oslo', 2000)",
    )
    .await;
    db.run("FLUSH; SET dialect = 'postgres'").await;
    db.run("DELETE FROM \"CITIES\" WHERE \"ID\" = 7").await;
    assert_eq!(
        db.table("SELECT \"NAME\" IS NULL, rowtime > '2020-01-01' FROM \"HOMES\"")
            .await,
        "t|t"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_described_push_query_is_none_that_pulls() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "t", &["a:{\"V\": 1}"]).await;
    db.run(TABLE).await;
    let grouped = "SELECT v, COUNT(*) AS n FROM t GROUP BY v EMIT CHANGES LIMIT 1";
    for sql in ["SELECT * FROM t EMIT CHANGES LIMIT 1", grouped] {
        let statement = db.client.prepare(sql).await.expect("it can be prepared");
        assert_eq!(statement.columns().len(), 2);
    }
}
