"""Logging in with confluent-kafka (librdkafka).

    logins.py BOOTSTRAP CA

The server has a user "app" with password "right", and a certificate for 127.0.0.1 by the authority in the file CA.
"""

import sys

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

BOOTSTRAP, CA = sys.argv[1:]
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def config(protocol, mechanism=None, user="app", password="right", **more):
    made = {"bootstrap.servers": BOOTSTRAP, "security.protocol": protocol, **more}
    if "SSL" in protocol:
        made["ssl.ca.location"] = CA
    if mechanism:
        made |= {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}
    return made


def refused(**settings):
    """The kinds of error that a client meets which cannot get in."""
    seen = []
    admin = AdminClient(config(**settings, error_cb=lambda error: seen.append(error.code())))
    try:
        admin.list_topics(timeout=4)
    except KafkaException:
        admin.poll(0)
        return set(seen)
    raise AssertionError(f"{settings} was let in")


def round_trip(topic, settings):
    producer = Producer(config(**settings))
    producer.produce(topic, b"value", key=b"key")
    assert producer.flush(30) == 0
    consumer = Consumer(config(**settings) | {"group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = None
    while message is None:
        message = consumer.poll(30)
        assert message is not None, "nothing came"
        if message.error():
            assert message.error().retriable(), message.error()
            message = None
    assert (message.key(), message.value()) == (b"key", b"value")
    consumer.close()


for protocol in ["SASL_PLAINTEXT", "SASL_SSL"]:
    for mechanism in MECHANISMS:
        settings = {"protocol": protocol, "mechanism": mechanism}
        AdminClient(config(**settings)).list_topics(timeout=30)
        for wrong in [{"password": "wrong"}, {"user": "nobody"}]:
            errors = refused(**settings, **wrong)
            assert KafkaError._AUTHENTICATION in errors, (settings, wrong, errors)
        round_trip(f"{protocol}-{mechanism}".lower(), settings)
        print("ok", protocol, mechanism, flush=True)

errors = refused(protocol="SASL_SSL", mechanism="SCRAM-SHA-256", **{"ssl.endpoint.identification.algorithm": "https"}, password="x")
assert KafkaError._AUTHENTICATION in errors, errors
# Who does not log in is not answered.
for protocol in ["PLAINTEXT", "SSL"]:
    refused(protocol=protocol)
print("ok nobody else")
