//! Topics and who reads them, as SQL shows and changes them, while Kafka clients read and write.

use std::time::{Duration, Instant};

use tests::{Broker, Db, show};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server, a session, and kcat. `None` where kcat is not installed.
pub async fn start() -> Option<(Broker, Db)> {
    let mut broker = Broker::start_to_be_killed().await?;
    broker.kcat(&["-L"], "").await?;
    let db = broker.server().connect().await;
    Some((broker, db))
}

pub async fn produce(broker: &Broker, topic: &str, records: &[&str]) {
    let arguments = ["-P", "-t", topic, "-K", ":", "-Z"];
    let written = broker.kcat(&arguments, records.join("\n")).await;
    written.expect("kcat is there");
}

async fn read(broker: &Broker, topic: &str) -> String {
    let arguments = [
        "-C",
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
        "-f",
        "%o %k=%s\n",
    ];
    broker.kcat(&arguments, "").await.expect("kcat is there")
}

/// Waits until a topic holds these records.
async fn wait_for(broker: &Broker, topic: &str, expected: &str) {
    let begun = Instant::now();
    loop {
        let found = read(broker, topic).await;
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "found {found}");
    }
}

/// The records that came after these, without their offsets.
async fn records_after(broker: &Broker, topic: &str, before: &str) -> Vec<String> {
    let found = read(broker, topic).await;
    let after = found.strip_prefix(before).expect("the records before stay");
    let lines = after.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(_, record)| record.to_owned()).collect()
}

/// The columns after the time.
fn places(rows: &[tests::Row]) -> Vec<String> {
    rows.iter().map(|row| show(&row[1..].to_vec())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn print_shows_records_as_they_are() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    let records = ["a:1", "b:{\"v\": 2}", "c:", ":4", "e:5", "f:6"];
    produce(&broker, "t", &records).await;
    let from_beginning = db.rows("PRINT 't' FROM BEGINNING LIMIT 4").await;
    assert_eq!(
        places(&from_beginning),
        ["0|0|a|1", "0|1|b|{\"v\": 2}", "0|2|c|NULL", "0|3|NULL|4"]
    );
    let time = from_beginning[0][0].as_deref().expect("a time");
    assert!(time.starts_with("20") && time.ends_with("+00"), "{time}");
    let every_second = db.rows("PRINT 't' FROM BEGINNING INTERVAL 2 LIMIT 3").await;
    assert_eq!(
        places(&every_second),
        ["0|1|b|{\"v\": 2}", "0|3|NULL|4", "0|5|f|6"]
    );
    let copied = db.copy_out("COPY (PRINT 't' FROM BEGINNING LIMIT 2) TO STDOUT (FORMAT csv)");
    let copied = copied.await.expect("it is copied");
    let records: Vec<&str> = copied
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(records, ["0,0,a,1", "0,1,b,\"{\"\"v\"\": 2}\""]);
    // It waits for what comes.
    let mut printed = db.subscribe("PRINT 't' FROM BEGINNING").await;
    printed.take(6).await;
    produce(&broker, "t", &["g:7"]).await;
    assert_eq!(places(&printed.take(1).await), ["0|6|g|7"]);
    let other = broker.server().connect().await;
    assert_eq!(other.error_code("PRINT 'nothing'").await, "42704");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_groups_lag_behind() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "t", &["a:1", "b:2", "c:3"]).await;
    let consume = [
        "-X",
        "auto.offset.reset=earliest",
        "-e",
        "-f",
        "%s",
        "-G",
        "readers",
        "t",
    ];
    assert_eq!(broker.kcat(&consume, "").await.as_deref(), Some("123"));
    assert_eq!(db.table("SHOW CONSUMER GROUPS").await, "readers|Empty||0|0");
    produce(&broker, "t", &["d:4", "e:5"]).await;
    assert_eq!(db.table("SHOW CONSUMER GROUPS").await, "readers|Empty||0|2");
    assert_eq!(
        db.table("DESCRIBE CONSUMER GROUP readers").await,
        "t|0|3|5|2|"
    );
    assert_eq!(broker.kcat(&consume, "").await.as_deref(), Some("45"));
    assert_eq!(
        db.table("DESCRIBE CONSUMER GROUP readers").await,
        "t|0|5|5|0|"
    );
    assert_eq!(
        db.error_code("DESCRIBE CONSUMER GROUP nobody").await,
        "42704"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_as_they_are_asserted() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    produce(&broker, "t", &["a:1"]).await;
    db.run(
        "ASSERT TOPIC t; ASSERT TOPIC 't' WITH (partitions = 1, replicas = 1) TIMEOUT 1 SECONDS",
    )
    .await;
    db.run("ASSERT NOT EXISTS TOPIC nothing").await;
    for (sql, code) in [
        (
            "ASSERT TOPIC t WITH (partitions = 3) TIMEOUT 1 MILLISECONDS",
            "55000",
        ),
        ("ASSERT NOT EXISTS TOPIC t TIMEOUT 1 MILLISECONDS", "55000"),
        ("ASSERT TOPIC nothing TIMEOUT 1 MILLISECONDS", "55000"),
        ("ASSERT TOPIC t WITH (colour = 1)", "22023"),
    ] {
        assert_eq!(db.error_code(sql).await, code, "{sql}");
    }
    // One that does not exist yet is waited for.
    let other = broker.server().connect().await;
    let waiting = other.run("ASSERT TOPIC later TIMEOUT 60 SECONDS");
    tokio::join!(waiting, produce(&broker, "later", &["a:1"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_replaced_and_its_topic_is_given_anew() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 1}", "b:{\"V\": 2}"]).await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run("CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON')")
        .await;
    let twice = "STREAM d AS SELECT k, v * 2 AS v FROM s";
    db.run(&format!("CREATE {twice}")).await;
    wait_for(&broker, "D", "0 a={\"V\":2}\n1 b={\"V\":4}\n").await;
    assert_eq!(db.error_code(&format!("CREATE {twice}")).await, "42P07");
    db.run("CREATE OR REPLACE STREAM d AS SELECT k, v * 3 AS v, 'x' AS w FROM s")
        .await;
    let expected = "0 a={\"V\":3,\"W\":\"x\"}\n1 b={\"V\":6,\"W\":\"x\"}\n";
    wait_for(&broker, "D", expected).await;
    produce(&broker, "s", &["c:{\"V\": 3}"]).await;
    let expected = format!("{expected}2 c={{\"V\":9,\"W\":\"x\"}}\n");
    wait_for(&broker, "D", &expected).await;
    assert_eq!(db.rows("SHOW QUERIES").await.len(), 1);
    let table = "TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k";
    db.run(&format!("CREATE {table}")).await;
    db.run("CREATE OR REPLACE TABLE n AS SELECT k, SUM(v) AS n FROM s GROUP BY k")
        .await;
    let expected = "0 a={\"N\":1}\n1 b={\"N\":2}\n2 c={\"N\":3}\n";
    wait_for(&broker, "N", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_goes_on_with_the_topic_of_one_that_was_dropped() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    produce(
        &broker,
        "s",
        &["a:{\"V\": 1}", "b:{\"V\": 2}", "c:{\"V\": 1}"],
    )
    .await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic = 's', value_format = 'JSON')",
    )
    .await;
    let counts = "CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k";
    db.run(counts).await;
    let mut expected = "0 a={\"N\":1}\n1 b={\"N\":1}\n2 c={\"N\":1}\n".to_owned();
    wait_for(&broker, "N", &expected).await;
    assert_eq!(read_as_group(&broker, "g", "N").await.lines().count(), 3);
    db.run("DROP TABLE n").await;

    let narrower = "CREATE TABLE n AS SELECT k, CAST(SUM(v) AS INT) AS n FROM s GROUP BY k";
    assert_eq!(db.error_code(narrower).await, "42710");
    let other =
        "CREATE TABLE s2 WITH (kafka_topic = 's') AS SELECT k, SUM(v) AS n FROM s GROUP BY k";
    assert_eq!(db.error_code(other).await, "42P16");
    let back = "CREATE STREAM told (k STRING KEY, n BIGINT) WITH (kafka_topic = 'N', value_format = 'JSON')";
    db.run(back).await;
    let of_itself = "CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM told GROUP BY k";
    assert_eq!(db.error_code(of_itself).await, "42P16");

    // Its consumers learn in what the new one differs, and no more.
    let sums = "CREATE TABLE n AS SELECT k, SUM(v) AS n FROM s WHERE k <> 'c' GROUP BY k";
    db.run(sums).await;
    db.run("FLUSH").await;
    assert_eq!(read_as_group(&broker, "g", "N").await.lines().count(), 2);
    let mut told: Vec<String> = records_after(&broker, "N", &expected).await;
    told.sort();
    assert_eq!(told, ["b={\"N\":2}", "c="]);
    broker.server().crash().await;
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    expected = read(&broker, "N").await;
    produce(&broker, "s", &["d:{\"V\": 5}"]).await;
    expected += "5 d={\"N\":5}\n";
    wait_for(&broker, "N", &expected).await;
    let rows = db.rows("SELECT k, n FROM n").await;
    let mut rows: Vec<String> = rows.iter().map(show).collect();
    rows.sort();
    assert_eq!(rows, ["a|1", "b|2", "d|5"]);
    // Who reads the topic has followed all of it.
    db.run("CREATE TABLE heard AS SELECT k, COUNT(*) AS n FROM told GROUP BY k; FLUSH")
        .await;
    let heard = db.rows("SELECT k, n FROM heard").await;
    let mut heard: Vec<String> = heard.iter().map(show).collect();
    heard.sort();
    assert_eq!(heard, ["a|1", "b|2", "c|1", "d|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_has_the_topic_that_an_operator_made_for_it() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 1}"]).await;
    let make = ["-L", "-t", "made"];
    broker.kcat(&make, "").await.expect("kcat is there");
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic = 's', value_format = 'JSON')",
    )
    .await;
    let create = |with: &str| {
        format!(
            "CREATE TABLE n WITH (kafka_topic = 'made'{with}) AS SELECT k, COUNT(*) AS n FROM s GROUP BY k"
        )
    };
    assert_eq!(db.error_code(&create(", partitions = 3")).await, "22023");
    db.run(&create("")).await;
    wait_for(&broker, "made", "0 a={\"N\":1}\n").await;
    broker.server().crash().await;
    produce(&broker, "s", &["a:{\"V\": 1}"]).await;
    wait_for(&broker, "made", "0 a={\"N\":1}\n1 a={\"N\":2}\n").await;
    // One with records is not its own.
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    produce(&broker, "used", &["x:1"]).await;
    let used = create("")
        .replace("TABLE n", "TABLE m")
        .replace("'made'", "'used'");
    assert_eq!(db.error_code(&used).await, "42710");
    assert_eq!(read(&broker, "used").await, "0 x=1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_a_query_makes_takes_rows_of_others() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 1}", "b:{\"V\": 2}"]).await;
    produce(&broker, "t", &["c:{\"V\": 3}"]).await;
    let source = |name: &str| {
        format!(
            "CREATE STREAM {name} (k STRING KEY, v INT) WITH (kafka_topic = '{name}', value_format = 'JSON')"
        )
    };
    db.run("SET dialect = 'ksqldb'").await;
    for statement in [
        source("s").as_str(),
        source("t").as_str(),
        "CREATE STREAM d AS SELECT k, v * 2 AS v FROM s",
        "CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM d GROUP BY k",
    ] {
        db.run(statement).await;
    }
    let mut expected = "0 a={\"V\":2}\n1 b={\"V\":4}\n".to_owned();
    wait_for(&broker, "D", &expected).await;
    // One row at a time, so that their order is known.
    db.run("INSERT INTO d SELECT * FROM t").await;
    expected += "2 c={\"V\":3}\n";
    wait_for(&broker, "D", &expected).await;
    db.run("INSERT INTO d (k, v) VALUES ('v', 4)").await;
    expected += "3 v={\"V\":4}\n";
    wait_for(&broker, "D", &expected).await;
    produce(&broker, "D", &["x:{\"V\": 5}"]).await;
    expected += "4 x={\"V\":5}\n";
    wait_for(&broker, "D", &expected).await;
    let queries = db.rows("SHOW QUERIES").await;
    assert_eq!(queries.len(), 3);
    assert_eq!(db.error_code("DROP STREAM d").await, "2BP01");

    broker.server().crash().await;
    let db = broker.server().connect().await;
    db.run("SET dialect = 'ksqldb'").await;
    produce(&broker, "s", &["a:{\"V\": 3}"]).await;
    expected += "5 a={\"V\":6}\n";
    wait_for(&broker, "D", &expected).await;
    produce(&broker, "t", &["c:{\"V\": 7}"]).await;
    expected += "6 c={\"V\":7}\n";
    wait_for(&broker, "D", &expected).await;
    db.run("FLUSH").await;
    let counted = db.rows("SELECT k, n FROM n").await;
    let mut counted: Vec<String> = counted.iter().map(show).collect();
    counted.sort();
    assert_eq!(counted, ["a|2", "b|1", "c|2", "v|1", "x|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_goes_with_its_relation_if_that_is_said() {
    let Some((broker, db)) = start().await else {
        return;
    };
    produce(&broker, "s", &["a:{\"V\": 1}"]).await;
    produce(&broker, "t", &["a:{\"V\": 1}"]).await;
    db.run("SET dialect = 'ksqldb'").await;
    db.run(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (kafka_topic = 's', value_format = 'JSON');
         CREATE TABLE t (k STRING PRIMARY KEY, v INT) WITH (kafka_topic = 't', value_format = 'JSON');
         CREATE STREAM d AS SELECT * FROM s;
         CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k",
    )
    .await;
    let topics = async || -> Vec<String> {
        let rows = db.rows("SHOW TOPICS").await;
        let names = rows.into_iter().filter_map(|mut row| row.swap_remove(0));
        names.filter(|name| name.len() == 1).collect()
    };
    assert_eq!(topics().await, ["D", "N", "s", "t"]);
    db.run("DROP STREAM d; DROP TABLE n DELETE TOPIC; DROP TABLE t DELETE TOPIC")
        .await;
    assert_eq!(topics().await, ["D", "s"]);
    db.run("DROP STREAM s").await;
    assert_eq!(topics().await, ["D", "s"]);
    // What clients knew is gone; what they write to it makes it anew.
    produce(&broker, "t", &["b:2"]).await;
    assert_eq!(read(&broker, "t").await, "0 b=2\n");
}

/// All that a group gets of a topic until its end.
async fn read_as_group(broker: &Broker, group: &str, topic: &str) -> String {
    let reset = "auto.offset.reset=earliest";
    let arguments = ["-X", reset, "-e", "-f", "%s\n", "-G", group, topic];
    broker.kcat(&arguments, "").await.expect("kcat is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_begin_anew_where_a_statement_makes_a_topic_anew() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    // SQL's DROP takes the topic.
    let create = "CREATE STREAM s (v BIGINT)";
    db.run(&format!("{create}; INSERT INTO s VALUES (1), (2)"))
        .await;
    let first = read_as_group(&broker, "g", "s").await;
    assert_eq!(first, "{\"v\":1}\n{\"v\":2}\n");
    db.run("DROP STREAM s").await;
    assert_eq!(db.table("DESCRIBE CONSUMER GROUP g").await, "");
    db.run(&format!("{create}; INSERT INTO s VALUES (3), (4)"))
        .await;
    let second = read_as_group(&broker, "g", "s").await;
    assert_eq!(second, "{\"v\":3}\n{\"v\":4}\n");

    // So does ksqlDB's if it is told to.
    db.run("SET dialect = 'ksqldb'").await;
    produce(&broker, "t", &["a:{\"V\": 1}", "b:{\"V\": 2}"]).await;
    let create =
        "CREATE STREAM t (k STRING KEY, v INT) WITH (kafka_topic = 't', value_format = 'JSON'";
    db.run(&format!("{create})")).await;
    assert_eq!(read_as_group(&broker, "g", "t").await.lines().count(), 2);
    db.run("DROP STREAM t DELETE TOPIC").await;
    db.run(&format!("{create}, partitions = 1)")).await;
    db.run("INSERT INTO t VALUES ('c', 3)").await;
    assert_eq!(read_as_group(&broker, "g", "t").await, "{\"V\":3}\n");

    // And a query that is replaced gives its topic anew.
    db.run("CREATE STREAM d AS SELECT k, v * 2 AS v FROM t")
        .await;
    wait_for(&broker, "D", "0 c={\"V\":6}\n").await;
    assert_eq!(read_as_group(&broker, "g", "D").await, "{\"V\":6}\n");
    db.run("CREATE OR REPLACE STREAM d AS SELECT k, v * 3 AS v FROM t")
        .await;
    wait_for(&broker, "D", "0 c={\"V\":9}\n").await;
    broker.server().crash().await;
    assert_eq!(read_as_group(&broker, "g", "D").await, "{\"V\":9}\n");
    let db = broker.server().connect().await;
    assert_eq!(
        db.table("DESCRIBE CONSUMER GROUP g").await,
        "D|0|1|1|0|\ns|0|2|2|0|\nt|0|1|1|0|"
    );
    // What was committed since then is kept.
    assert_eq!(read_as_group(&broker, "g", "D").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_topics_of_the_server_itself_are_reserved_and_hidden() {
    let Some((mut broker, db)) = start().await else {
        return;
    };
    produce(&broker, "__debezium-heartbeat.srv", &["a:1", "b:2"]).await;
    db.run("CREATE STREAM s (v BIGINT) WITH (kafka_topic = '__s')")
        .await;
    db.run("INSERT INTO s VALUES (1)").await;
    broker.server().crash().await;
    let db = broker.server().connect().await;
    let names = |rows: Vec<tests::Row>| -> Vec<String> {
        let names = rows.into_iter().filter_map(|row| row[0].clone());
        names.filter(|name| name.starts_with("__")).collect()
    };
    let shown = names(db.rows("SHOW TOPICS").await);
    assert_eq!(shown, ["__debezium-heartbeat.srv", "__s"]);
    let all = names(db.rows("SHOW ALL TOPICS").await);
    for internal in ["__catalog", "__consumer_offsets", "__transaction_state"] {
        assert!(all.iter().any(|name| name == internal), "{all:?}");
    }
    assert_eq!(
        read(&broker, "__debezium-heartbeat.srv").await,
        "0 a=1\n1 b=2\n"
    );
    assert_eq!(read(&broker, "__s").await, "0 ={\"v\":1}\n");
    for internal in ["__catalog", "__insert_progress", "__consumer_offsets"] {
        let create = format!("CREATE STREAM t (v BIGINT) WITH (kafka_topic = '{internal}')");
        assert_eq!(db.error_code(&create).await, "22023", "{internal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_rows_cannot_follow_are_refused() {
    let Some((broker, db)) = start().await else {
        return;
    };
    db.run("CREATE STREAM s (v BIGINT)").await;
    broker.python(&["times_of_rows", "s"]).await;
}
