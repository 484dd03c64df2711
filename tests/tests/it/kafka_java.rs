//! The Java client, where a JDK and Maven are there: the scenarios of `kafka/java/src/Clients.java`.

use tests::Broker;

/// All in one process, because a Java process takes a while to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario() {
    let broker = Broker::start().await;
    broker.java(&["all"]).await;
}

/// A producer whose transaction the server has lost aborts it and begins another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_goes_on_after_its_open_transaction_is_lost() {
    let Some(mut broker) = Broker::start_to_be_killed().await else {
        return;
    };
    let Some(mut producer) = broker.start_java(&["overRestart"]).await else {
        return;
    };
    producer.wait_for("open", &broker).await;
    broker.server().restart().await;
    let session = broker.server().connect().await;
    session.run("CREATE STREAM restarted (v BIGINT)").await;
    producer.finish(&broker).await;
}

/// Connect and Streams take a minute and bring a hundred jars, so they run where `MILLPOND_TEST_PLATFORM` is set.
async fn script(name: &str) {
    if std::env::var_os("MILLPOND_TEST_PLATFORM").is_none() {
        tests::say_skipped("MILLPOND_TEST_PLATFORM is not set");
        return;
    }
    if tests::prepare("platform").await.is_none() {
        return;
    }
    let broker = Broker::start().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = tokio::process::Command::new(tests::kafka_directory().join(name));
    command.arg(broker.address()).arg(directory.path());
    let output = broker.run(command).await;
    println!("{}", output.expect("bash is there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_connect_copies_a_file() {
    script("connect.sh").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_streams_counts_words() {
    script("streams.sh").await;
}
