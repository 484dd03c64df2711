"""Scenarios of confluent-kafka (librdkafka) against any Kafka server.

    clients.py BOOTSTRAP SCENARIO [ARGUMENT …]

A scenario makes topics of its own, ends with code 0 and a line "ok SCENARIO …", or with a traceback. Nothing here knows
what kind of server it talks to: all of it also passes against Apache Kafka (../against-apache.sh).
"""

import os
import subprocess
import sys
import threading
import time
import uuid

import confluent_kafka as ck
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

BOOTSTRAP = sys.argv[1]
# Waits end as soon as what they wait for is there; this is for a server or a machine that is very busy.
PATIENCE = float(os.environ.get("MILLPOND_TEST_PATIENCE", "120"))
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def config(**settings):
    made = {"bootstrap.servers": BOOTSTRAP, "topic.metadata.refresh.interval.ms": 1000}
    made.update({name.replace("_", "."): value for name, value in settings.items()})
    return made


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


ADMIN = []


def admin():
    """One for the process: a handle that is dropped takes its answers with it."""
    if not ADMIN:
        ADMIN.append(AdminClient(config()))
    return ADMIN[0]


def create(topic, partitions=1, **settings):
    settings = {name.replace("_", "."): str(value) for name, value in settings.items()}
    new = NewTopic(topic, partitions, 1, config=settings)
    admin().create_topics([new])[topic].result(PATIENCE)
    return topic


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def fails(code, action):
    """Runs what must fail with this code of Kafka's."""
    try:
        result = action()
    except KafkaException as error:
        assert error.args[0].code() == code, f"{error}, expected code {code}"
        return error.args[0]
    raise AssertionError(f"expected code {code}, it answered {result}")


class Deliveries:
    """Collects what became of messages."""

    def __init__(self):
        self.offsets, self.errors = [], []

    def __call__(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.offsets.append((message.partition(), message.offset()))


def produce(topic, records, **settings):
    """Writes (key, value) pairs or dictionaries, waits for all of them, gives their (partition, offset)."""
    producer, deliveries = Producer(config(**settings)), Deliveries()
    for record in records:
        if not isinstance(record, dict):
            record = {"key": record[0], "value": record[1]}
        while True:
            try:
                producer.produce(topic, on_delivery=deliveries, **record)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(PATIENCE) == 0, "messages are left"
    assert not deliveries.errors, deliveries.errors[:3]
    return deliveries.offsets


def reader(**settings):
    made = config(group_id=fresh("reader"), auto_offset_reset="earliest", enable_auto_commit=False,
                  enable_partition_eof=True)
    made.update({name.replace("_", "."): value for name, value in settings.items()})
    return Consumer(made)


def read(topic, start=ck.OFFSET_BEGINNING, partition=0, **settings):
    """Everything from an offset to the end of a partition."""
    consumer = reader(**settings)
    consumer.assign([TopicPartition(topic, partition, start)])
    messages, deadline = [], time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, f"the end of {topic} does not come, {len(messages)} read"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                break
            raise KafkaException(message.error())
        messages.append(message)
    consumer.close()
    return messages


def round_trip():
    """Each codec; null and empty keys and values, headers, timestamps."""
    for codec in CODECS:
        topic = create(fresh(f"codec-{codec}"))
        stamp = 1_700_000_000_123
        sent = [
            (None, b"no key", []),
            (b"key", b"value", [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]),
            (b"", b"", [("unicode \u00fc", "\u20ac".encode())]),
            (b"tombstone", None, []),
        ] + [(str(i).encode(), b"abc" * 50 + str(i).encode(), []) for i in range(2000)]
        offsets = produce(
            topic,
            ({"key": k, "value": v, "headers": h, "timestamp": stamp + i} for i, (k, v, h) in enumerate(sent)),
            compression_type=codec, linger_ms=20,
        )
        assert sorted(offsets) == [(0, i) for i in range(len(sent))], offsets[:5]
        messages = read(topic, check_crcs=True)
        assert len(messages) == len(sent), f"{codec}: {len(messages)} of {len(sent)}"
        for i, (message, (key, value, headers)) in enumerate(zip(messages, sent)):
            assert message.offset() == i
            # librdkafka hands out empty keys and values as such, and null as None.
            assert (message.key(), message.value()) == (key, value), (codec, i, message.key(), message.value())
            assert (message.headers() or []) == headers, (codec, i, message.headers())
            assert message.timestamp() == (ck.TIMESTAMP_CREATE_TIME, stamp + i), message.timestamp()


def acks():
    """All three settings of acks arrive."""
    topic = create(fresh("acks"))
    for level in ["0", "1", "all"]:
        produce(topic, [(b"k", f"{level} {i}".encode()) for i in range(100)], acks=level)
    def whole():
        return sorted(m.value() for m in read(topic)) == sorted(
            f"{level} {i}".encode() for level in ["0", "1", "all"] for i in range(100))
    until(whole, "300 messages")


def large_messages():
    """Messages near the limit pass whole, one over it is refused, and the fetch of a small consumer still gets on."""
    topic = create(fresh("large"))
    sizes = [1, 100_000, 900_000, 999_000]
    bodies = [os.urandom(size) for size in sizes]
    produce(topic, [(None, body) for body in bodies])
    # A batch larger than the consumer's bound must still be handed out when it is the first.
    messages = read(topic, fetch_message_max_bytes=1000, fetch_max_bytes=1_000_012, message_max_bytes=1_000_000)
    assert [m.value() for m in messages] == bodies
    producer, deliveries = Producer(config(message_max_bytes=8_000_000)), Deliveries()
    producer.produce(topic, os.urandom(7_000_000), on_delivery=deliveries)
    producer.flush(PATIENCE)
    if deliveries.errors:
        assert deliveries.errors[0].code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE), deliveries.errors


def partitioning():
    """murmur2, the Java client's choice of partition, agrees with itself over clients; keyed messages stay in order."""
    topic = create(fresh("spread"), partitions=6)
    offsets = produce(topic, [(str(i % 100).encode(), str(i).encode()) for i in range(3000)], partitioner="murmur2_random")
    assert {p for p, _ in offsets} == set(range(6))
    home = {}
    for partition in range(6):
        last = {}
        for message in read(topic, partition=partition):
            assert home.setdefault(message.key(), partition) == partition
            assert last.get(message.key(), -1) < int(message.value())
            last[message.key()] = int(message.value())
    assert len(home) == 100


def idempotent(count="20000"):
    """An idempotent producer; the server may be killed and started again meanwhile. Every message once and in order."""
    topic, count = create(fresh("idempotent"), partitions=2), int(count)
    producer = Producer(config(enable_idempotence=True, linger_ms=2, batch_num_messages=50, compression_type="lz4",
                               delivery_timeout_ms=int(PATIENCE * 1000), reconnect_backoff_max_ms=200,
                               retry_backoff_ms=50, retry_backoff_max_ms=200))
    deliveries, begun = Deliveries(), time.monotonic()
    for i in range(count):
        # As a loop over time, so that a server that is killed meanwhile is killed in the middle.
        if i % 1000 == 0:
            print("at", i, flush=True)
        while True:
            try:
                producer.produce(topic, key=b"k", value=str(i).encode(), partition=i % 2, on_delivery=deliveries)
                break
            except BufferError:
                producer.poll(0.1)
        if i % 50 == 0:
            producer.poll(0)
            time.sleep(0.005)
    assert producer.flush(PATIENCE) == 0, "messages are left"
    assert not deliveries.errors, deliveries.errors[:3]
    for partition in range(2):
        values = [int(m.value()) for m in read(topic, partition=partition)]
        expected = list(range(partition, count, 2))
        assert values == expected, first_difference(values, expected)
    return f"{count} in {time.monotonic() - begun:.1f} s"


def first_difference(found, expected):
    for i, (a, b) in enumerate(zip(found, expected)):
        if a != b:
            return f"at {i}: {found[max(0, i - 3):i + 4]}, expected {expected[max(0, i - 3):i + 4]}"
    return f"{len(found)} instead of {len(expected)}"


def transactional(transactional_id):
    producer = Producer(config(transactional_id=transactional_id, transaction_timeout_ms=30000))
    producer.init_transactions(PATIENCE)
    return producer


def transactions():
    """Commit and abort over two topics."""
    one, two = create(fresh("tx-one"), partitions=2), create(fresh("tx-two"))
    producer = transactional(fresh("tx"))
    for round in range(6):
        producer.begin_transaction()
        for i in range(100):
            producer.produce(one, value=f"{round} {i}".encode(), partition=i % 2)
            producer.produce(two, value=f"{round} {i}".encode())
        if round % 2 == 0:
            producer.commit_transaction(PATIENCE)
        else:
            producer.flush(PATIENCE)  # so that the records reach the server before they are taken back
            producer.abort_transaction(PATIENCE)
    expected = sorted(f"{round} {i}".encode() for round in (0, 2, 4) for i in range(100))
    committed = dict(isolation_level="read_committed")
    found = sorted(m.value() for p in range(2) for m in read(one, partition=p, **committed))
    assert found == expected, (len(found), len(expected))
    values = [m.value() for m in read(two, **committed)]
    assert sorted(values) == expected
    assert values == [f"{round} {i}".encode() for round in (0, 2, 4) for i in range(100)]
    # An open transaction shows nothing to those who read what is committed.
    producer.begin_transaction()
    producer.produce(two, b"open")
    producer.flush(PATIENCE)
    assert len(read(two, **committed)) == 300
    producer.commit_transaction(PATIENCE)
    until(lambda: len(read(two, **committed)) == 301, "the message of the last transaction")
    # A transaction without messages ends as well.
    producer.begin_transaction()
    producer.commit_transaction(PATIENCE)


def consume_transform_produce():
    """Offsets are part of the transaction: input and output agree, although every third transaction is aborted."""
    source, target, group = create(fresh("ctp-in")), create(fresh("ctp-out")), fresh("ctp")
    produce(source, [(None, str(i).encode()) for i in range(100)])
    identity, round = fresh("ctp-tx"), 0
    while True:
        consumer = reader(group_id=group, isolation_level="read_committed")
        consumer.subscribe([source])
        producer, ended = transactional(identity), False
        while not ended:
            messages = [m for m in consumer.consume(10, 1) if not m.error()]
            if not messages:
                position = committed(consumer, source)
                if position == 100:
                    consumer.close()
                    out = [int(m.value()) for m in read(target, isolation_level="read_committed")]
                    assert out == [i * 2 for i in range(100)], out
                    return
                continue
            round += 1
            producer.begin_transaction()
            for message in messages:
                producer.produce(target, str(int(message.value()) * 2).encode())
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), PATIENCE)
            if round % 3 == 0:
                producer.abort_transaction(PATIENCE)
                consumer.close()  # starts again from what is committed
                ended = True
            else:
                producer.commit_transaction(PATIENCE)


def committed(consumer, topic, partition=0):
    return consumer.committed([TopicPartition(topic, partition)], PATIENCE)[0].offset


def fencing():
    """A second producer with the same transactional id ends the first's transaction and fences it."""
    topic, identity = create(fresh("fence")), fresh("fence-tx")
    zombie = transactional(identity)
    zombie.begin_transaction()
    zombie.produce(topic, b"from the zombie")
    zombie.flush(PATIENCE)
    heir = transactional(identity)
    heir.begin_transaction()
    heir.produce(topic, b"from the heir")
    heir.commit_transaction(PATIENCE)
    try:
        zombie.produce(topic, b"once more")
        zombie.commit_transaction(PATIENCE)
        raise AssertionError("the zombie could commit")
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH), error
        assert error.args[0].fatal(), error
    values = [m.value() for m in read(topic, isolation_level="read_committed")]
    assert values == [b"from the heir"], values


def seek_by_time():
    topic, base = create(fresh("time")), 1_700_000_000_000
    for begin in range(0, 1000, 100):  # in ten batches
        produce(topic, ({"value": str(i).encode(), "timestamp": base + i * 1000} for i in range(begin, begin + 100)))
    consumer = reader()
    def at(time):
        return consumer.offsets_for_times([TopicPartition(topic, 0, time)], PATIENCE)[0].offset
    for asked, expected in [(base - 5, 0), (base, 0), (base + 1, 1), (base + 499_000, 499), (base + 498_001, 499),
                            (base + 999_000, 999)]:
        assert at(asked) == expected, (asked - base, at(asked), expected)
    assert at(base + 999_001) in (ck.OFFSET_END, 1000), at(base + 999_001)
    messages = read(topic, start=at(base + 900_500))
    assert [int(m.value()) for m in messages] == list(range(901, 1000))
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE) == (0, 1000)
    consumer.close()


def out_of_range():
    """Offsets beyond both ends are reset as the consumer is told, or reported."""
    topic = create(fresh("range"))
    produce(topic, [(None, str(i).encode()) for i in range(10)])
    assert len(read(topic, start=5000, auto_offset_reset="earliest")) == 10
    consumer = reader(auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0, 5000)])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error():
            assert message.error().code() == KafkaError._AUTO_OFFSET_RESET, message.error()
            return consumer.close()
    raise AssertionError("no error")


def compaction():
    """Old values of keys go, the last ones and the offsets stay."""
    topic = create(fresh("compact"), cleanup_policy="compact", segment_bytes=1_048_576, min_cleanable_dirty_ratio=0.01,
                   max_compaction_lag_ms=1000, delete_retention_ms=100)
    keys, rounds, last, sent, filler = 100, 40, {}, 0, os.urandom(1000).hex()[:1000]
    for round in range(rounds):
        for key in range(keys):
            last[f"k{key}"] = f"{round} {filler}"
        produce(topic, [(f"k{key}".encode(), f"{round} {filler}".encode()) for key in range(keys)])
        sent += keys
    def compacted():
        # Closes segments, and wakes a compaction that waits for the next write.
        nonlocal sent
        produce(topic, [(b"nudge", filler.encode() * 100)])
        sent += 1
        messages = read(topic)
        offsets = [m.offset() for m in messages]
        assert offsets == sorted(set(offsets)), "offsets go up"
        found = {m.key().decode(): m.value().decode() for m in messages if m.key() != b"nudge"}
        assert found == last, "the last value of each key is kept"
        return len(messages) < sent - keys * rounds // 2
    until(compacted, "old values are gone")


def idle_fetch():
    """A consumer that waits at the end gets a message when it is written, in the order of writing."""
    topic = create(fresh("wait"))
    consumer = reader(fetch_wait_max_ms=10_000, enable_partition_eof=False)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(0.5) is None
    begun = time.monotonic()
    for i in range(5):
        produce(topic, [(None, str(i).encode())])
        message = consumer.poll(PATIENCE)
        assert message is not None and message.error() is None and message.value() == str(i).encode()
    # It hung in one fetch of ten seconds each time, had the server not answered early.
    elapsed = time.monotonic() - begun
    consumer.close()
    return f"{elapsed:.2f} s for five"


def member(group, topic):
    """One consumer of a group, as a process of its own: says what it got, commits, says what it committed."""
    # Partitions move as soon as somebody joins or is missed.
    consumer = Consumer(config(group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                               session_timeout_ms=6000, heartbeat_interval_ms=500))
    def show(what):
        return lambda _, partitions: print(what, *[p.partition for p in partitions], flush=True)
    consumer.subscribe([topic], on_assign=show("assigned"), on_revoke=show("revoked"))
    while True:
        messages = [m for m in consumer.consume(20, 0.2) if not m.error()]
        if not messages:
            continue
        for m in messages:
            print("got", m.partition(), m.offset(), m.value().decode(), flush=True)
        ends = {}
        for m in messages:
            ends[m.partition()] = m.offset() + 1
        try:
            consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in ends.items()], asynchronous=False)
        except KafkaException as error:
            # Another generation has these partitions; what was not committed comes again there.
            print("refused", error.args[0].name(), flush=True)
            continue
        print("done", *[f"{m.partition()}:{m.offset()}" for m in messages], flush=True)


class Member:
    def __init__(self, group, topic):
        self.process = subprocess.Popen([sys.executable, __file__, BOOTSTRAP, "member", group, topic],
                                        stdout=subprocess.PIPE, text=True)
        self.got, self.done, self.assigned = {}, [], set()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "got":
                self.got[int(words[1]), int(words[2])] = words[3]
            elif words[0] == "done":
                self.done += [tuple(map(int, word.split(":"))) for word in words[1:]]
            elif words[0] == "assigned":
                self.assigned = set(map(int, words[1:]))
            elif words[0] == "revoked":
                self.assigned = set()

    def kill(self):
        self.process.kill()
        self.process.wait()


def group():
    """Three processes share six partitions; one is killed; nothing is lost, nothing committed twice."""
    topic, name = create(fresh("group"), partitions=6), fresh("group")
    members = [Member(name, topic) for _ in range(3)]
    try:
        until(lambda: sorted(p for m in members for p in m.assigned) == list(range(6)) and all(m.assigned for m in members),
              "all three have partitions")
        expected = []
        def write(count):
            new = [str(len(expected) + i) for i in range(count)]
            expected.extend(new)
            produce(topic, [(value.encode(), value.encode()) for value in new])
        write(600)
        until(lambda: all(m.done for m in members), "all three have worked")
        members[1].kill()
        write(600)
        def done():
            return {place for m in members for place in m.done}
        until(lambda: sorted(p for m in (members[0], members[2]) for p in m.assigned) == list(range(6)),
              "two have all partitions")
        write(300)
        # What the killed one committed and could not say any more counts as done.
        def places():
            offsets = admin_offsets(name, topic, 6)
            return sum(offsets.values())
        until(lambda: places() == len(expected), "all is committed")
        values = {}
        for m in members:
            for place, value in m.got.items():
                assert values.setdefault(place, value) == value
        assert sorted(values.values(), key=int) == expected, "nothing lost, nothing invented"
        twice = [place for m in members for place in m.done]
        assert len(twice) == len(set(twice)), "committed twice"
        until(lambda: len(done()) >= len(expected) - len(members[1].got), "the members say so")
    finally:
        for m in members:
            m.kill()


def admin_offsets(group_id, topic, partitions):
    asked = ck.ConsumerGroupTopicPartitions(group_id, [TopicPartition(topic, p) for p in range(partitions)])
    answer = admin().list_consumer_group_offsets([asked])[group_id].result(PATIENCE)
    return {p.partition: max(p.offset, 0) for p in answer.topic_partitions}


def static_members():
    """A static member that comes back within its session keeps its partitions without a rebalance of the others."""
    topic, name = create(fresh("static"), partitions=4), fresh("static")
    revoked = []
    def join(instance):
        consumer = Consumer(config(group_id=name, group_instance_id=instance, auto_offset_reset="earliest",
                                   session_timeout_ms=30000, heartbeat_interval_ms=500))
        consumer.subscribe([topic], on_revoke=lambda c, p: revoked.append(instance))
        return consumer
    a, b = join("a"), join("b")
    def spread():
        a.poll(0.1), b.poll(0.1)
        return len(a.assignment()) == 2 and len(b.assignment()) == 2
    until(spread, "two partitions each")
    before, mine = sorted(p.partition for p in b.assignment()), sorted(p.partition for p in a.assignment())
    b.close()  # a static member does not leave
    revoked.clear()
    b = join("b")
    def back():
        a.poll(0.1), b.poll(0.1)
        return len(b.assignment()) == 2
    until(back, "b has its partitions again")
    assert sorted(p.partition for p in b.assignment()) == before
    assert sorted(p.partition for p in a.assignment()) == mine and "a" not in revoked
    a.close(), b.close()


def administration():
    client, topic = admin(), fresh("admin")
    create(topic, partitions=2, retention_ms=123_456_789)
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create(topic))
    fails(KafkaError.TOPIC_EXCEPTION, lambda: create("not a name!"))
    fails(KafkaError.INVALID_PARTITIONS, lambda: create(fresh("none"), partitions=0))
    fails(KafkaError.INVALID_CONFIG, lambda: create(fresh("bad"), retention_ms="long"))
    listed = client.list_topics(timeout=PATIENCE)
    assert len(listed.topics[topic].partitions) == 2 and listed.brokers
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


def automatic_topics():
    """Writing to a topic that is not there makes it; reading does not."""
    topic = fresh("automatic")
    produce(topic, [(None, b"first")])
    assert [m.value() for m in read(topic)] == [b"first"]
    consumer, missing = reader(allow_auto_create_topics=False), fresh("missing")
    consumer.subscribe([missing])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error():
            assert message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART, message.error()
            break
    else:
        raise AssertionError("no error")
    consumer.close()
    assert missing not in admin().list_topics(timeout=PATIENCE).topics


def offsets_survive(step, topic, name):
    """In two steps, between which the server is killed: committed offsets are there afterwards."""
    if step == "before":
        create(topic, partitions=2)
        produce(topic, [{"value": str(i).encode(), "partition": i % 2} for i in range(100)])
    consumer = reader(group_id=name)
    if step == "before":
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        consumer.commit(offsets=[TopicPartition(topic, 0, 11), TopicPartition(topic, 1, 22)], asynchronous=False)
    else:
        assert (committed(consumer, topic, 0), committed(consumer, topic, 1)) == (11, 22)
        assert sorted(int(m.value()) for p in range(2) for m in read(topic, partition=p)) == list(range(100))
    consumer.close()


if __name__ == "__main__":
    name, arguments = sys.argv[2], sys.argv[3:]
    begun = time.monotonic()
    result = globals()[name](*arguments)
    print("ok", name, result or "", f"({time.monotonic() - begun:.1f} s)")
