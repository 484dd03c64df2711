//! kcat, where it is installed.

use tests::Broker;

/// A name that no other run uses, for servers that outlive the test.
fn fresh(name: &str) -> String {
    format!("{name}-{:08x}", rand::random::<u32>())
}

/// Reads a topic from its beginning to its end.
async fn read(broker: &Broker, topic: &str, format: &str) -> Option<String> {
    let arguments = ["-C", "-t", topic, "-o", "beginning", "-e", "-f", format];
    broker.kcat(&arguments, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_goes_both_ways() {
    let broker = Broker::start().await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = fresh(codec);
        let lines: Vec<String> = (0..500)
            .map(|i| format!("key {i}:value {i} {}", "ha".repeat(i % 50)))
            .collect();
        let produce = ["-P", "-t", &topic, "-z", codec, "-K", ":"];
        if broker.kcat(&produce, lines.join("\n")).await.is_none() {
            return;
        }
        let found = read(&broker, &topic, "%o %k:%s\n").await.unwrap();
        let expected: Vec<String> = (0..)
            .zip(&lines)
            .map(|(i, line)| format!("{i} {line}"))
            .collect();
        assert_eq!(found.trim_end(), expected.join("\n"), "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_headers_and_tombstones() {
    let broker = Broker::start().await;
    let topic = fresh("records");
    let produce = [
        "-P", "-t", &topic, "-K", ":", "-Z", "-H", "a=1", "-H", "b=two", "-H", "a=3",
    ];
    if broker.kcat(&produce, "k1:v1\nk2:\n:v3\n").await.is_none() {
        return;
    }
    let found = read(&broker, &topic, "%o key %K %k value %S %s headers %h\n").await;
    // −1 is the length of null.
    let expected = "0 key 2 k1 value 2 v1 headers a=1,b=two,a=3\n\
                    1 key 2 k2 value -1  headers a=1,b=two,a=3\n\
                    2 key -1  value 2 v3 headers a=1,b=two,a=3\n";
    assert_eq!(found.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_by_time_and_from_the_end() {
    let broker = Broker::start().await;
    let topic = fresh("times");
    let produce = ["-P", "-t", &topic];
    for batch in ["a\nb\n", "c\nd\n", "e\nf\n"] {
        if broker.kcat(&produce, batch).await.is_none() {
            return;
        }
    }
    let stamps = read(&broker, &topic, "%T ").await.unwrap();
    let stamps: Vec<i64> = stamps
        .split_whitespace()
        .map(|stamp| stamp.parse().unwrap())
        .collect();
    assert_eq!(stamps.len(), 6);
    let first = |time: i64| stamps.iter().position(|stamp| *stamp >= time).unwrap();
    for time in [stamps[0], stamps[2], stamps[4], stamps[4] - 1] {
        let start = format!("s@{time}");
        let found = broker
            .kcat(&["-C", "-t", &topic, "-o", &start, "-e", "-f", "%s"], "")
            .await;
        assert_eq!(
            found.unwrap(),
            "abcdef"[first(time)..],
            "{time} of {stamps:?}"
        );
        let place = format!("{topic}:0:{time}");
        let found = broker.kcat(&["-Q", "-t", &place], "").await.unwrap();
        assert_eq!(found.trim(), format!("{topic} [0] offset {}", first(time)));
    }
    let found = broker
        .kcat(&["-C", "-t", &topic, "-o", "-2", "-e", "-f", "%s"], "")
        .await;
    assert_eq!(found.unwrap(), "ef");
    let found = broker
        .kcat(&["-C", "-t", &topic, "-o", "1", "-c", "2", "-f", "%s"], "")
        .await;
    assert_eq!(found.unwrap(), "bc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_lists_topics() {
    let broker = Broker::start().await;
    let topic = fresh("listed");
    if broker.kcat(&["-P", "-t", &topic], "x\n").await.is_none() {
        return;
    }
    let found = broker.kcat(&["-L", "-J"], "").await.unwrap();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["brokers"][0]["name"], broker.address());
    let topics = found["topics"].as_array().unwrap();
    let listed = topics
        .iter()
        .find(|listed| listed["topic"] == topic.as_str())
        .unwrap();
    assert_eq!(listed["partitions"].as_array().unwrap().len(), 1);
    assert_eq!(listed["partitions"][0]["leader"], found["brokers"][0]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_where_it_stopped() {
    let broker = Broker::start().await;
    let (one, two, group) = (fresh("one"), fresh("two"), fresh("group"));
    for topic in [&one, &two] {
        if broker.kcat(&["-P", "-t", topic], "a\nb\n").await.is_none() {
            return;
        }
    }
    let consume = [
        "-X",
        "auto.offset.reset=earliest",
        "-e",
        "-f",
        "%s ",
        "-G",
        &group,
        &one,
        &two,
    ];
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words.join(" ")
    };
    let found = broker.kcat(&consume, "").await.unwrap();
    assert_eq!(sorted(&found), "a a b b");
    broker.kcat(&["-P", "-t", &two], "c\n").await;
    let found = broker.kcat(&consume, "").await.unwrap();
    assert_eq!(sorted(&found), "c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idempotent_and_transactional_producers() {
    let broker = Broker::start().await;
    let (topic, id) = (fresh("exact"), format!("transactional.id={}", fresh("id")));
    let idempotent = ["-P", "-t", &topic, "-X", "enable.idempotence=true"];
    if broker.kcat(&idempotent, "a\nb\n").await.is_none() {
        return;
    }
    let transactional = ["-P", "-t", &topic, "-X", &id];
    broker.kcat(&transactional, "c\nd\n").await.unwrap();
    broker.kcat(&transactional, "e\n").await.unwrap();
    assert_eq!(read(&broker, &topic, "%s").await.unwrap(), "abcde");
}
