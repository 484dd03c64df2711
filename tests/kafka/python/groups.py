"""Consumer groups."""

import subprocess
import sys
import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition
from common import BOOTSTRAP, PATIENCE, admin, admin_offsets, committed, config, create, fresh, produce, read, reader, until


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
        self.process = subprocess.Popen([sys.executable, sys.argv[0], BOOTSTRAP, "member", group, topic],
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


def topics_made_anew(step="all", topic=None, name=None):
    """A group that has read a topic reads all of another that is made under its name: also if the server is killed
    between the steps "before" and "after"."""
    topic, name = topic or fresh("anew"), name or fresh("anew")
    def read_as_group(count):
        consumer, values = Consumer(config(group_id=name, auto_offset_reset="earliest", enable_auto_commit=False)), []
        consumer.subscribe([topic])
        def more():
            message = consumer.poll(0.2)
            if message is not None and not message.error():
                values.append(message.value().decode())
            return len(values) >= count
        until(more, f"{count} messages, {values} so far")
        consumer.commit(asynchronous=False)
        consumer.close()
        return values
    if step in ("all", "before"):
        create(topic)
        produce(topic, [(None, f"old {i}".encode()) for i in range(20)])
        assert len(read_as_group(20)) == 20
        admin().delete_topics([topic])[topic].result(PATIENCE)
        until(lambda: topic not in admin().list_topics(timeout=PATIENCE).topics, "the topic is gone")
        # Apache Kafka forgets the offsets some time after it has answered.
        def is_forgotten():
            asked = reader(group_id=name)
            offset = committed(asked, topic)
            asked.close()
            return offset < 0
        until(is_forgotten, "the offset is gone with it")
        create(topic)
        produce(topic, [(None, f"new {i}".encode()) for i in range(5)])
    if step in ("all", "after"):
        assert read_as_group(5) == [f"new {i}" for i in range(5)]
        # What is committed of the new one is kept.
        assert admin_offsets(name, topic, 1) == {0: 5}
