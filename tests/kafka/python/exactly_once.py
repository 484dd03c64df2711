"""Idempotent and transactional producers."""

import time

from confluent_kafka import KafkaError, KafkaException, Producer
from common import Deliveries, PATIENCE, admin, committed, config, create, fresh, produce, read, reader, transactional, until


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


def transfers(topic, count):
    """Transactions whose amounts add up to nothing, over all partitions; every third is aborted."""
    producer = transactional(fresh("transfers"))
    print("begun", flush=True)
    for done in range(int(count)):
        for aborted in ([True, False] if done % 3 == 0 else [False]):
            producer.begin_transaction()
            for amount in (done + 1, -done - 1):
                producer.produce(topic, '{"amount": %d}' % amount, key=f"account {amount}")
            if aborted:
                producer.flush(PATIENCE)
                producer.abort_transaction(PATIENCE)
            else:
                producer.commit_transaction(PATIENCE)


def transaction_over_restart():
    """The server goes and comes back while transactions are open. They may be lost, but then the producer is told to
    abort, can, and goes on; nobody sees half of them. Whoever restarts the server makes the topic "restarted" then."""
    open_ones = []
    for goes_on in (False, True):
        topic, producer = create(fresh("restart"), partitions=2), transactional(fresh("restart-tx"))
        producer.begin_transaction()
        producer.produce(topic, b"lost", partition=0)
        producer.flush(PATIENCE)
        open_ones.append((goes_on, topic, producer))
    print("open", flush=True)
    def is_back():
        try:
            return "restarted" in admin().list_topics(timeout=5).topics
        except KafkaException:
            return False
    until(is_back, "the server is back")
    for goes_on, topic, producer in open_ones:
        if goes_on:
            producer.produce(topic, b"lost", partition=1)
        refused = end(producer.commit_transaction)
        if refused:
            assert refused.txn_requires_abort() and not refused.fatal(), refused
            assert end(producer.abort_transaction) is None
        for i in range(3):
            producer.begin_transaction()
            producer.produce(topic, f"new {i}".encode(), partition=0)
            assert end(producer.commit_transaction) is None
        found = [m.value() for m in read(topic, isolation_level="read_committed")]
        assert found == ([] if refused else [b"lost"]) + [b"new 0", b"new 1", b"new 2"], found


def end(ending):
    """Commits or aborts, again where that is worth it; gives the error after which it is not."""
    while True:
        try:
            ending(PATIENCE)
            return None
        except KafkaException as error:
            if not error.args[0].retriable():
                return error.args[0]
