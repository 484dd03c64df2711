"""What the scenarios are made of."""

import os
import sys
import time
import uuid

import confluent_kafka as ck
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = sys.argv[1]
# Waits end as soon as what they wait for is there; this is for a server or a machine that is very busy.
PATIENCE = float(os.environ.get("MILLPOND_TEST_PATIENCE", "120"))


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


def transactional(transactional_id):
    producer = Producer(config(transactional_id=transactional_id, transaction_timeout_ms=30000))
    producer.init_transactions(PATIENCE)
    return producer


def committed(consumer, topic, partition=0):
    return consumer.committed([TopicPartition(topic, partition)], PATIENCE)[0].offset


def admin_offsets(group_id, topic, partitions):
    asked = ck.ConsumerGroupTopicPartitions(group_id, [TopicPartition(topic, p) for p in range(partitions)])
    answer = admin().list_consumer_group_offsets([asked])[group_id].result(PATIENCE)
    return {p.partition: max(p.offset, 0) for p in answer.topic_partitions}
