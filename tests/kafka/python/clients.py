"""Scenarios of confluent-kafka (librdkafka) against any Kafka server.

    clients.py BOOTSTRAP SCENARIO [ARGUMENT …]

A scenario makes topics of its own, ends with code 0 and a line "ok SCENARIO …", or with a traceback. Nothing here knows
what kind of server it talks to: all of it also passes against Apache Kafka (../against-apache.sh).
"""

import sys
import time

sys.dont_write_bytecode = True  # the sources stay as they are

import administration
import exactly_once
import groups
import records

if __name__ == "__main__":
    name, arguments = sys.argv[2], sys.argv[3:]
    scenario = next(getattr(m, name) for m in (records, exactly_once, groups, administration) if hasattr(m, name))
    begun = time.monotonic()
    result = scenario(*arguments)
    print("ok", name, result or "", f"({time.monotonic() - begun:.1f} s)")
