"""Writing and reading: codecs, headers, times, sizes, compaction."""

import os
import time

import confluent_kafka as ck
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from common import Deliveries, PATIENCE, admin, config, create, fresh, produce, read, reader, until


CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


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


def compaction_by_age():
    """A segment that is small is closed for its age, by segment.ms or max.compaction.lag.ms, and compacted."""
    for age in ["segment_ms", "max_compaction_lag_ms"]:
        topic = create(fresh("aged"), cleanup_policy="compact", delete_retention_ms=100, min_cleanable_dirty_ratio=0.01,
                       **{age: 300})
        for round in range(10):
            produce(topic, [(b"a", str(round).encode()), (b"b", str(round).encode())])
        def compacted():
            # Kafka closes a segment at the next write.
            produce(topic, [(b"nudge", b"")])
            messages = [(m.key(), m.value()) for m in read(topic) if m.key() != b"nudge"]
            assert messages[-2:] == [(b"a", b"9"), (b"b", b"9")], "the last value of each key is kept"
            return len(messages) == 2
        until(compacted, f"old values are gone, by {age}")


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


def refused(topic, value):
    """A value that does not fit the topic is refused with Kafka's code for that, and is not written."""
    producer, deliveries = Producer(config()), Deliveries()
    producer.produce(topic, value, key=b"k", on_delivery=deliveries)
    assert producer.flush(PATIENCE) == 0
    assert [error.code() for error in deliveries.errors] == [KafkaError.INVALID_RECORD], (deliveries.errors, deliveries.offsets)


def sasl(mechanism, user, password, topic):
    """With a user and a password; a wrong password is refused."""
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.username": user}
    right = config() | login | {"sasl.password": password}
    producer, deliveries = Producer(right), Deliveries()
    producer.produce(topic, mechanism, on_delivery=deliveries)
    assert producer.flush(PATIENCE) == 0 and not deliveries.errors, deliveries.errors
    errors = []
    wrong = config() | login | {"sasl.password": password + "?", "error_cb": errors.append}
    client = AdminClient(wrong)
    until(lambda: client.poll(0.1) is not None and any(e.code() == KafkaError._AUTHENTICATION for e in errors),
          "the wrong password is refused")
