//! confluent-kafka, that is, librdkafka, where Python can get it: the scenarios of `kafka/python/clients.py`.

use tests::Broker;

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let broker = Broker::start().await;
            broker.python(&[stringify!($name)]).await;
        }
    )*};
}

scenarios![
    round_trip,
    acks,
    large_messages,
    partitioning,
    transactions,
    consume_transform_produce,
    fencing,
    seek_by_time,
    out_of_range,
    compaction,
    compaction_by_age,
    idle_fetch,
    group,
    static_members,
    topics_made_anew,
    administration,
    automatic_topics,
    names_with_underscores,
    in_sync_replicas,
    assignments,
    broker_settings,
];

/// Every message arrives once and in order, although the server is killed twice while it is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_producer_outlives_crashes() {
    let Some(mut broker) = Broker::start_to_be_killed().await else {
        Broker::start().await.python(&["idempotent"]).await;
        return;
    };
    let Some(mut producer) = broker.start_python(&["idempotent"]).await else {
        return;
    };
    for line in ["at 5000", "at 12000"] {
        producer.wait_for(line, &broker).await;
        broker.server().crash().await;
    }
    producer.finish(&broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_outlive_crashes() {
    let Some(mut broker) = Broker::start_to_be_killed().await else {
        return;
    };
    let step = |step| ["offsets_survive", step, "survivor", "survivors"];
    if broker.python(&step("before")).await.is_some() {
        broker.server().crash().await;
        broker.python(&step("after")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_of_a_deleted_topic_do_not_come_back() {
    let Some(mut broker) = Broker::start_to_be_killed().await else {
        return;
    };
    let step = |step| ["topics_made_anew", step, "anew", "readers"];
    if broker.python(&step("before")).await.is_some() {
        broker.server().crash().await;
        broker.python(&step("after")).await;
    }
}

/// A producer whose transaction the server has lost aborts it and begins another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_goes_on_after_its_open_transaction_is_lost() {
    let Some(mut broker) = Broker::start_to_be_killed().await else {
        return;
    };
    let Some(mut producer) = broker.start_python(&["transaction_over_restart"]).await else {
        return;
    };
    producer.wait_for("open", &broker).await;
    broker.server().restart().await;
    let session = broker.server().connect().await;
    session.run("CREATE STREAM restarted (v BIGINT)").await;
    producer.finish(&broker).await;
}
