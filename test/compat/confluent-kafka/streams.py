# Producing and reading with confluent-kafka: acknowledgements, codecs, shape, order, positions, timestamps.
# Promises: each check makes its own topic.
# Does not know: groups of several members, administration.

import os
import subprocess
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from harness import ADDRESS, Deliveries, check, consumer, equal, name, produce, producer, read_all, take, topic, until


def values(count):
    return [f"value-{index}".encode() for index in range(count)]


@check("the example: topic user_activity, key user_123")
def example():
    where = name("user_activity")
    client = producer(**{"client.id": "example"})
    deliveries = Deliveries()
    for action in ("login", "click", "logout"):
        client.produce(where, key="user_123", value=action, on_delivery=deliveries)
    equal(client.flush(30), 0, "messages left")
    equal(deliveries.errors, [], "errors")
    got = read_all(where, 3)
    equal([(message.key(), message.value()) for message in got], [(b"user_123", b"login"), (b"user_123", b"click"), (b"user_123", b"logout")], "messages")
    equal([message.offset() for message in got], [0, 1, 2], "offsets")


@check("the example's own file runs as it stands")
def example_file():
    file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../examples/user-activity-producer.py")
    ended = subprocess.run([sys.executable, file, ADDRESS], capture_output=True, text=True, timeout=50)
    equal(ended.returncode, 0, f"exit code ({ended.stderr})")
    equal(ended.stdout.startswith("stored in user_activity, partition 0, offset "), True, ended.stdout)


for level in ("0", "1", "all"):

    @check(f"acks={level}")
    def acks(level=level):
        where = topic(f"acks-{level}")
        produce(where, values(50), producer(acks=level))
        equal([message.value() for message in read_all(where, 50)], values(50), "values")


@check("idempotent producer: 5000 messages in order, none twice")
def idempotent():
    where = topic("idempotent")
    produce(where, values(5000), producer(**{"enable.idempotence": True, "linger.ms": 2}))
    equal([message.value() for message in read_all(where, 5000)], values(5000), "values")


for codec in ("none", "gzip", "snappy", "lz4", "zstd"):

    @check(f"codec {codec}")
    def compressed(codec=codec):
        where = topic(f"codec-{codec}")
        produce(where, values(1000), producer(**{"compression.type": codec, "linger.ms": 20}))
        got = read_all(where, 1000, check_crcs=True)
        equal([message.value() for message in got], values(1000), "values")


@check("headers, keys, timestamps and nulls come back as sent")
def shape():
    where = topic("shape")
    headers = [("trace", b"abc"), ("trace", b"def"), ("empty", b""), ("none", None)]
    produce(where, [b"value", None], key=b"user_123", headers=headers, timestamp=1700000000000)
    first, second = read_all(where, 2)
    equal(first.headers(), headers, "headers")
    equal((first.key(), first.value(), second.value()), (b"user_123", b"value", None), "key and values")
    equal(first.timestamp(), (1, 1700000000000), "timestamp")


@check("delivery reports carry partition and offset")
def reports():
    where = topic("reports", 2)
    for partition in (0, 1):
        messages = produce(where, values(3), partition=partition)
        equal([(message.partition(), message.offset()) for message in messages], [(partition, 0), (partition, 1), (partition, 2)], "places")


@check("values of 1 byte to 900 kB, byte for byte")
def sizes():
    where = topic("sizes")
    sent = [os.urandom(size) for size in (1, 1000, 16_384, 100_000, 900_000)]
    produce(where, sent)
    equal([message.value() == value for message, value in zip(read_all(where, 5), sent)], [True] * 5, "equal values")


@check("a message above max.message.bytes is refused")
def too_large():
    where = topic("too-large", config={"max.message.bytes": "10000"})
    client = producer()
    deliveries = Deliveries()
    client.produce(where, os.urandom(50_000), on_delivery=deliveries)
    client.flush(20)
    equal([error.code() for error in deliveries.errors], [KafkaError.MSG_SIZE_TOO_LARGE], "errors")
    produce(where, [b"small"])


@check("batches of many partitions in one request")
def many_partitions():
    where = topic("many", 12)
    client = producer(**{"linger.ms": 50})
    deliveries = Deliveries()
    for index in range(1200):
        client.produce(where, f"{index}", partition=index % 12, on_delivery=deliveries)
        client.poll(0)
    equal(client.flush(30), 0, "messages left")
    got = read_all(where, 1200)
    equal(sorted(int(message.value()) for message in got), list(range(1200)), "values")


@check("assign, seek and position")
def seek():
    where = topic("seek")
    produce(where, values(10))
    client = consumer()
    client.assign([TopicPartition(where, 0, 4)])
    equal([message.offset() for message in take(client, 6)], [4, 5, 6, 7, 8, 9], "offsets from 4")
    client.seek(TopicPartition(where, 0, 8))
    equal([message.offset() for message in take(client, 2)], [8, 9], "offsets from 8")
    client.assign([TopicPartition(where, 0, OFFSET_BEGINNING)])
    equal(take(client, 1)[0].offset(), 0, "first offset")
    client.close()


@check("replay by timestamp: offsets_for_times")
def by_time():
    where = topic("by-time")
    client = producer()
    for index in range(10):
        client.produce(where, f"{index}", timestamp=1_700_000_000_000 + index * 1000)
    client.flush(20)
    reader = consumer()
    times = [1_700_000_000_000 + 4500, 1_600_000_000_000, 1_800_000_000_000]
    found = [reader.offsets_for_times([TopicPartition(where, 0, at)], timeout=10)[0].offset for at in times]
    equal(found[:2], [5, 0], "offsets by time")
    equal(found[2] in (OFFSET_END, -1), True, "no offset after the last")
    reader.assign([TopicPartition(where, 0, found[0])])
    equal([message.value() for message in take(reader, 5)], [b"5", b"6", b"7", b"8", b"9"], "values since")
    reader.close()


@check("watermark offsets")
def watermarks():
    where = topic("watermarks")
    produce(where, values(7))
    reader = consumer()
    equal(reader.get_watermark_offsets(TopicPartition(where, 0), timeout=10), (0, 7), "low and high")
    reader.close()


@check("an offset out of range is reset, or is an error")
def out_of_range():
    where = topic("out-of-range")
    produce(where, values(3))
    reader = consumer()
    reader.assign([TopicPartition(where, 0, 100)])
    equal(take(reader, 1)[0].offset(), 0, "offset after the reset")
    reader.close()
    strict = consumer(auto_offset_reset="error")
    strict.assign([TopicPartition(where, 0, 100)])
    try:
        take(strict, 1, 10)
        raise AssertionError("no error")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError._AUTO_OFFSET_RESET, "error")
    strict.close()


@check("end of partition is told")
def end_of_partition():
    where = topic("eof")
    produce(where, values(3))
    reader = consumer(enable_partition_eof=True)
    reader.assign([TopicPartition(where, 0, 0)])
    ends = []

    def poll():
        message = reader.poll(0.2)
        if message is not None and message.error():
            ends.append((message.error().code(), message.offset()))
        return ends

    until("the end", poll, 10)
    equal(ends[0], (KafkaError._PARTITION_EOF, 3), "end")
    reader.close()


@check("pause and resume")
def pause():
    where = topic("pause")
    produce(where, values(2))
    reader = consumer()
    reader.assign([TopicPartition(where, 0, 0)])
    take(reader, 2)
    reader.pause([TopicPartition(where, 0)])
    produce(where, values(1))
    equal(reader.poll(1), None, "message while paused")
    reader.resume([TopicPartition(where, 0)])
    take(reader, 1)
    reader.close()


@check("a waiting fetch is woken by a produce")
def woken():
    where = topic("woken")
    reader = consumer(fetch_wait_max_ms=8000)
    reader.assign([TopicPartition(where, 0, 0)])
    reader.poll(1.0)
    sent = time.monotonic()
    produce(where, values(1))
    take(reader, 1)
    took = time.monotonic() - sent
    equal(took < 4, True, f"woken soon (took {took:.1f} s)")
    reader.close()


@check("read_committed on plain data")
def read_committed():
    where = topic("committed")
    produce(where, values(20))
    equal(len(read_all(where, 20, isolation_level="read_committed")), 20, "messages")


@check("an unknown topic is an error when it is not to be made")
def unknown_topic():
    reader = consumer(allow_auto_create_topics=False)
    reader.subscribe([name("nowhere")])
    try:
        take(reader, 1, 10)
        raise AssertionError("no error")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error")
    reader.close()


@check("two producers at once keep each its order")
def two_producers():
    where = topic("two-producers")
    clients = [producer(**{"enable.idempotence": True, "linger.ms": 1}) for _ in range(2)]
    for index in range(500):
        for which, client in enumerate(clients):
            client.produce(where, f"{which}:{index}")
            client.poll(0)
    for client in clients:
        equal(client.flush(30), 0, "messages left")
    got = [message.value().decode().split(":") for message in read_all(where, 1000)]
    for which in ("0", "1"):
        equal([int(index) for owner, index in got if owner == which], list(range(500)), f"order of producer {which}")


@check("transactions: commit, abort, offsets")
def transactions():
    where = topic("transactions")
    client = producer(**{"transactional.id": name("transactions")})
    client.init_transactions(20)
    client.begin_transaction()
    client.produce(where, "aborted")
    client.flush(10)
    client.abort_transaction(20)
    client.begin_transaction()
    client.produce(where, "committed")
    client.commit_transaction(20)
    got = read_all(where, 1, isolation_level="read_committed")
    equal(got[0].value(), b"committed", "value")


assert ADDRESS
