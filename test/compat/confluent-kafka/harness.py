# The named checks of the confluent-kafka suite: the clients they use, and how a check is bounded whose client is in C.
# Promises: a check that raises or takes longer than its limit is a failure and the next one runs.
# Does not know: what is checked.

import os
import threading
import time
import traceback
import uuid

import python_checks
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from python_checks import ADDRESS, CHECKS, LEFT_OUT, ONLY, TAG, equal, say  # noqa: F401


def check(name, limit=60):
    return python_checks.check(name, limit)


def name(kind):
    return f"confluent-{kind}-{TAG}"


ADMIN = AdminClient({"bootstrap.servers": ADDRESS})


def admin():
    # One for all checks: futures of a client that is collected fail.
    return ADMIN


def done(futures, limit=20):
    """Waits for the futures of an admin call; answers their values by key."""
    return {key: future.result(limit) for key, future in futures.items()}


def topic(kind, partitions=1, config=None):
    made = name(kind)
    done(admin().create_topics([NewTopic(made, partitions, 1, config=config or {})]))
    return made


def producer(**config):
    return Producer({"bootstrap.servers": ADDRESS, **config})


class Deliveries:
    """Gathers delivery reports; complete() raises the first error."""

    def __init__(self):
        self.messages = []
        self.errors = []

    def __call__(self, error, message):
        if error is None:
            self.messages.append(message)
        else:
            self.errors.append(error)


def produce(where, values, client=None, **options):
    client = client or producer(**{"acks": "all", "linger.ms": 1})
    deliveries = Deliveries()
    for value in values:
        while True:
            try:
                client.produce(where, value, on_delivery=deliveries, **options)
                break
            except BufferError:
                client.poll(0.1)
        client.poll(0)
    left = client.flush(30)
    if left or deliveries.errors:
        raise AssertionError(f"{left} unsent, errors: {deliveries.errors[:1]}")
    return deliveries.messages


def consumer(group=None, **config):
    # librdkafka names: underscores stand for dots
    settings = {
        "bootstrap.servers": ADDRESS,
        "group.id": group or f"reader-{uuid.uuid4().hex}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 8000,
        "heartbeat.interval.ms": 500,
        "fetch.wait.max.ms": 100,
    }
    settings.update({key.replace("_", "."): value for key, value in config.items()})
    settings = {key: value for key, value in settings.items() if value is not None}
    return Consumer(settings)


def take(client, count, limit=20):
    """Polls until `count` messages came."""
    got = []
    deadline = time.monotonic() + limit
    while len(got) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(got)} of {count} messages within {limit} s")
        message = client.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        got.append(message)
    return got


def read_all(where, count, **config):
    client = consumer(**config)
    client.subscribe([where])
    try:
        return take(client, count)
    finally:
        client.close()


def until(what, ask, limit=20):
    return python_checks.until(what, ask, limit)


def main():
    # Each in a thread: no signal ends what waits inside librdkafka.
    for title, limit, function in CHECKS:
        if title in LEFT_OUT or (ONLY is not None and not ONLY.search(title)):
            continue
        box = {}

        def body():
            try:
                function()
            except BaseException as error:  # every end of a check is an outcome
                frame = traceback.extract_tb(error.__traceback__)[-1]
                box["note"] = f"{type(error).__name__}: {error} (line {frame.lineno} of {os.path.basename(frame.filename)})"

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join(limit)
        if thread.is_alive():
            box["note"] = f"no end after {limit} s"
        say({"name": title, "verdict": "fail" if "note" in box else "pass", "note": box.get("note", "")})
    # Threads of checks that hang must not hold the process.
    os._exit(0)
