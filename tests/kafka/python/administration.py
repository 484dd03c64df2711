"""What administrators do."""

import confluent_kafka as ck
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType
from common import PATIENCE, Deliveries, admin, admin_offsets, config, create, fails, fresh, produce, read, until


def administration():
    client, topic = admin(), fresh("admin")
    create(topic, partitions=2, retention_ms=123_456_789)
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create(topic))
    fails(KafkaError.TOPIC_EXCEPTION, lambda: create("not a name!"))
    fails(KafkaError.INVALID_PARTITIONS, lambda: create(fresh("none"), partitions=0))
    fails(KafkaError.INVALID_CONFIG, lambda: create(fresh("bad"), retention_ms="long"))
    def listed():
        found = client.list_topics(timeout=PATIENCE)
        return found.brokers and topic in found.topics and len(found.topics[topic].partitions) == 2
    until(listed, "the topic is listed")
    described = client.describe_topics(ck.TopicCollection([topic]))[topic].result(PATIENCE)
    assert len(described.partitions) == 2 and described.partitions[0].leader is not None
    cluster = client.describe_cluster().result(PATIENCE)
    assert cluster.nodes and cluster.cluster_id

    resource = ConfigResource(ResourceType.TOPIC, topic)
    def settings():
        return client.describe_configs([resource])[resource].result(PATIENCE)
    assert settings()["retention.ms"].value == "123456789"
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "5000000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
    ])
    client.incremental_alter_configs([changed])[changed].result(PATIENCE)
    until(lambda: settings()["retention.ms"].value == "5000000", "the new setting")
    assert set(settings()["cleanup.policy"].value.split(",")) == {"compact", "delete"}, settings()["cleanup.policy"].value
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
        ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)])
    client.incremental_alter_configs([changed])[changed].result(PATIENCE)
    until(lambda: settings()["retention.ms"].value == "604800000", "Kafka's default of seven days")

    client.create_partitions([NewPartitions(topic, 4)])[topic].result(PATIENCE)
    until(lambda: len(client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions) == 4, "four partitions")
    fails(KafkaError.INVALID_PARTITIONS, lambda: client.create_partitions([NewPartitions(topic, 3)])[topic].result(PATIENCE))

    for partition in range(4):
        produce(topic, [{"value": str(i).encode(), "partition": partition} for i in range(50)])
    place = TopicPartition(topic, 3, 20)
    left = client.delete_records([place])[place].result(PATIENCE)
    assert left.low_watermark == 20, left.low_watermark
    assert [int(m.value()) for m in read(topic, partition=3)] == list(range(20, 50))
    def offset(spec):
        asked = TopicPartition(topic, 3)
        return client.list_offsets({asked: spec})[asked].result(PATIENCE).offset
    assert (offset(OffsetSpec.earliest()), offset(OffsetSpec.latest())) == (20, 50)
    beyond = TopicPartition(topic, 3, 5000)
    fails(KafkaError.OFFSET_OUT_OF_RANGE, lambda: client.delete_records([beyond])[beyond].result(PATIENCE))

    groups(client, topic)
    client.delete_topics([topic])[topic].result(PATIENCE)
    until(lambda: topic not in client.list_topics(timeout=PATIENCE).topics, "the topic is gone")
    fails(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: client.delete_topics([topic])[topic].result(PATIENCE))


def groups(client, topic):
    """Groups as an administrator sees them."""
    name = fresh("admin-group")
    consumer = Consumer(config(group_id=name, auto_offset_reset="earliest", enable_auto_commit=False, client_id="seen"))
    consumer.subscribe([topic])
    until(lambda: consumer.poll(0.1) is not None, "a message")
    consumer.commit(offsets=[TopicPartition(topic, 1, 7, "kept with the offset")], asynchronous=False)
    assert name in [g.group_id for g in client.list_consumer_groups().result(PATIENCE).valid]
    described = client.describe_consumer_groups([name])[name].result(PATIENCE)
    assert described.state == ck.ConsumerGroupState.STABLE and len(described.members) == 1, described.state
    assert described.members[0].client_id == "seen"
    assert len(described.members[0].assignment.topic_partitions) == 4
    fails(KafkaError.NON_EMPTY_GROUP, lambda: client.delete_consumer_groups([name])[name].result(PATIENCE))
    consumer.close()
    def empty():
        state = client.describe_consumer_groups([name])[name].result(PATIENCE).state
        return state == ck.ConsumerGroupState.EMPTY
    until(empty, "the group is empty")
    assert admin_offsets(name, topic, 4)[1] == 7
    moved = ck.ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 1, 3)])
    client.alter_consumer_group_offsets([moved])[name].result(PATIENCE)
    assert admin_offsets(name, topic, 4)[1] == 3
    client.delete_consumer_groups([name])[name].result(PATIENCE)
    assert name not in [g.group_id for g in client.list_consumer_groups().result(PATIENCE).valid]
    fails(KafkaError.GROUP_ID_NOT_FOUND, lambda: client.delete_consumer_groups([name])[name].result(PATIENCE))


def set_topic(topic, name, value):
    """Sets one setting of a topic."""
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)])
    admin().incremental_alter_configs([changed])[changed].result(PATIENCE)


def settings_of(kind, name):
    resource = ConfigResource(kind, name)
    return admin().describe_configs([resource])[resource].result(PATIENCE)


def times_of_rows(topic):
    """Of a topic whose records are rows of a relation, which have event times."""
    error = fails(KafkaError.INVALID_CONFIG, lambda: set_topic(topic, "message.timestamp.type", "LogAppendTime"))
    assert "event times" in error.str(), error
    assert settings_of(ResourceType.TOPIC, topic)["message.timestamp.type"].value == "CreateTime"
    set_topic(topic, "message.timestamp.type", "CreateTime")


def names_with_underscores():
    """Only a broker's own topics are its own; Debezium's heartbeats have such a name."""
    topic = create(fresh("__debezium-heartbeat.srv"))
    produce(topic, [(b"k", b"v")])
    assert [m.value() for m in read(topic)] == [b"v"]
    automatic = fresh("__automatic")
    produce(automatic, [(b"k", b"v")])
    assert [m.value() for m in read(automatic)] == [b"v"]
    consumer = Consumer(config(group_id=fresh("own")))  # so that there is one of the broker's own
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    consumer.close()
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create("__consumer_offsets"))


def in_sync_replicas():
    """Where more replicas must be in sync than there are, nobody can have all of them; others are not held up."""
    topic = create(fresh("insync"), min_insync_replicas=2)
    def send(acks):
        deliveries = Deliveries()
        producer = Producer(config(acks=acks, retries=0))
        producer.produce(topic, b"v", on_delivery=deliveries)
        assert producer.flush(PATIENCE) == 0
        return [error.code() for error in deliveries.errors]
    assert send("all") == [KafkaError.NOT_ENOUGH_REPLICAS]
    assert read(topic) == []
    assert send("1") == [] and send("0") == []
    until(lambda: len(read(topic)) == 2, "two messages")
    set_topic(topic, "min.insync.replicas", "1")
    assert send("all") == []
    assert len(read(topic)) == 3


def assignments():
    """Partitions can be given to brokers that are there, each once."""
    client, topic = admin(), create(fresh("assigned"))
    def grow(count, assigned):
        client.create_partitions([NewPartitions(topic, count, replica_assignment=assigned)])[topic].result(PATIENCE)
    for count, assigned in ((2, [[9]]), (2, [[1, 9]]), (2, [[1, 1]]), (3, [[1]])):
        fails(KafkaError.INVALID_REPLICA_ASSIGNMENT, lambda: grow(count, assigned))
    fails(KafkaError.INVALID_PARTITIONS, lambda: grow(1, [[9]]))
    grow(3, [[1], [1]])
    until(lambda: len(client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions) == 3, "three partitions")
    def make(assigned):
        name = fresh("assigned")
        client.create_topics([NewTopic(name, len(assigned), replica_assignment=assigned)])[name].result(PATIENCE)
        return name
    fails(KafkaError.INVALID_REPLICA_ASSIGNMENT, lambda: make([[1], [9]]))
    made = make([[1], [1]])
    until(lambda: len(client.list_topics(made, timeout=PATIENCE).topics[made].partitions) == 2, "two partitions")


def broker_settings():
    """What a broker says of itself."""
    settings = settings_of(ResourceType.BROKER, "1")
    assert "://" in settings["advertised.listeners"].value
    for name in ("num.partitions", "default.replication.factor", "offsets.retention.minutes", "message.max.bytes",
                 "transaction.max.timeout.ms", "socket.request.max.bytes"):
        assert int(settings[name].value) > 0, name
    assert settings["auto.create.topics.enable"].value == "true"
    assert settings["log.cleanup.policy"].value == "delete"
    assert settings["default.replication.factor"].is_read_only and not settings["num.partitions"].is_sensitive
    # A topic that does not say otherwise has what the broker says.
    topic = settings_of(ResourceType.TOPIC, create(fresh("as-the-broker")))
    assert topic["max.message.bytes"].value == settings["message.max.bytes"].value
