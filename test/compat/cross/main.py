# The cross suite: main.py HOST:PORT TAG LEFT_OUT_JSON [REGEX], AMQP_ADDRESS in the environment; one JSON line a check.
# Promises: ends when the last check has.
# Does not know: the allow-list.

import pika
from python_checks import equal, run_checks, true, until
from worlds import NAME, worlds

LOGIN = '{"action": "login"}'


def bodies(got):
    return [body for _method, _properties, body in got]


for durable in [True, False]:
    kind = "durable" if durable else "as it stands in most programs, not durable"

    @worlds(f"pika's worker comes first ({kind}), then confluent-kafka produces")
    def _(both, durable=durable):
        channel = both.channel()
        channel.queue_declare(queue=NAME, durable=durable)
        both.produce(("user_123", LOGIN), ("user_7", "second"), "third")
        equal([record.value() for record in both.read(3)], [LOGIN.encode(), b"second", b"third"], "as a topic")
        got = both.take(channel, 3)
        equal(bodies(got), [LOGIN.encode(), b"second", b"third"], "as a queue")
        equal([method.routing_key for method, _, _ in got], ["user_123", "user_7", NAME], "routing keys")
        equal([properties.headers.get("x-key") for _, properties, _ in got], ["user_123", "user_7", None], "keys")
        until("nothing is left", lambda: both.ready(channel) == 0)

    @worlds(f"confluent-kafka's topic comes first, then pika's worker declares it ({kind})")
    def _(both, durable=durable):
        both.create()
        both.produce(("user_123", LOGIN), "second")
        channel = both.channel()
        declared = channel.queue_declare(queue=NAME, durable=durable).method
        equal((declared.queue, declared.message_count), (NAME, 2), "declared")
        both.produce("third")
        got = both.take(channel, 3)
        equal(bodies(got), [LOGIN.encode(), b"second", b"third"], "as a queue")
        places = [(properties.headers["x-partition"], properties.headers["x-stream-offset"]) for _, properties, _ in got]
        equal(places, [(0, 0), (0, 1), (0, 2)], "places")
        until("nothing is left", lambda: both.ready(channel) == 0)
        # Working it off takes nothing from those who read the topic.
        equal([record.value() for record in both.read(3)], [LOGIN.encode(), b"second", b"third"], "replayed")


@worlds("the README's order: a Kafka record, a worker, and a group that replays")
def _(both):
    both.produce(("user_123", "Order: #12345"))
    channel = both.channel()
    channel.queue_declare(queue=NAME)
    equal(bodies(both.take(channel, 1)), [b"Order: #12345"], "worked off")
    equal([record.key() for record in both.read(1)], [b"user_123"], "replayed")


@worlds("what pika publishes is a record: key, value, headers, time")
def _(both):
    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    channel.confirm_delivery()
    headers = {"x-key": "user_123", "text": "word", "number": 7, "flag": True, "list": [1, 2]}
    properties = pika.BasicProperties(content_type="text/plain", headers=headers)
    channel.basic_publish(exchange="", routing_key=NAME, body="Order: #12345", properties=properties)
    [record] = both.read(1)
    equal((record.key(), record.value()), (b"user_123", b"Order: #12345"), "record")
    told = [(name, value) for name, value in record.headers() if name != "amqp"]
    equal(told, [("text", b"word"), ("number", b"7"), ("flag", b"true")], "headers")
    true(record.timestamp()[1] > 1_700_000_000_000, "a time")
    _method, back, body = both.take(channel, 1)[0]
    equal((back.content_type, back.headers, body), ("text/plain", headers, b"Order: #12345"), "as published")


@worlds("pika publishes into a topic that confluent-kafka made")
def _(both):
    both.create()
    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    channel.confirm_delivery()
    both.produce("by Kafka")
    channel.basic_publish(exchange="", routing_key=NAME, body="by pika")
    equal([record.value() for record in both.read(2)], [b"by Kafka", b"by pika"], "as a topic")
    got = both.take(channel, 2)
    equal(bodies(got), [b"by Kafka", b"by pika"], "as a queue")
    equal([properties.headers["x-stream-offset"] for _, properties, _ in got], [0, 1], "offsets of both")


@worlds("tombstones: a null value is told from an empty one, both ways")
def _(both):
    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    channel.confirm_delivery()
    both.produce(("k", None), ("k", ""))
    properties = pika.BasicProperties(headers={"x-key": "k", "x-tombstone": True})
    channel.basic_publish(exchange="", routing_key=NAME, body="", properties=properties)
    equal([record.value() for record in both.read(3)], [None, b"", None], "values")
    told = [properties.headers.get("x-tombstone") for _, properties, _ in both.take(channel, 3)]
    equal(told, [True, None, True], "told")


@worlds("every codec of librdkafka is opened for pika")
def _(both):
    from confluent_kafka import Producer
    from python_checks import ADDRESS

    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    wanted = []
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        producer = Producer({"bootstrap.servers": ADDRESS, "compression.type": codec, "linger.ms": 20})
        for number in range(50):
            wanted.append(f"{codec} {number} ".encode() * 30)
            producer.produce(NAME, wanted[-1])
        equal(producer.flush(15), 0, "unsent")
    equal(bodies(both.take(channel, 250)), wanted, "bodies")


@worlds("several partitions of a topic are one queue, each in its order")
def _(both):
    both.create(3)
    both.produce(*[(f"user_{number % 7}", f"{number}") for number in range(70)])
    channel = both.channel()
    equal(channel.queue_declare(queue=NAME, durable=True).method.message_count, 70, "declared")
    got = both.take(channel, 70)
    equal(sorted(int(body) for body in bodies(got)), list(range(70)), "all")
    offsets = {}
    for _method, properties, _body in got:
        offsets.setdefault(properties.headers["x-partition"], []).append(properties.headers["x-stream-offset"])
    true(len(offsets) > 1, "more than one partition")
    for partition, seen in offsets.items():
        equal(seen, list(range(len(seen))), f"offsets of partition {partition}")


@worlds("unacknowledged messages come back to pika while a group reads on")
def _(both):
    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    both.produce("one", "two", "three")
    channel.basic_qos(prefetch_count=10)
    got = both.take(channel, 3, ack=False)
    channel.basic_ack(got[1][0].delivery_tag)
    equal(len(both.read(3)), 3, "a group reads all of it")
    channel.connection.close()
    again = both.take(both.channel(), 2)
    equal([(body, method.redelivered) for method, _, body in again], [(b"one", True), (b"three", True)], "again")


@worlds("deleting a queue that pika made takes the topic along; one of Kafka's stays")
def _(both):
    channel = both.channel()
    channel.queue_declare(queue=NAME, durable=True)
    true(NAME in both.topics(), "a queue is a topic")
    channel.queue_delete(NAME)
    until("the topic is gone", lambda: NAME not in both.topics())
    both.create()
    both.produce("kept")
    channel.queue_declare(queue=NAME, durable=True)
    channel.queue_delete(NAME)
    equal([record.value() for record in both.read(1)], [b"kept"], "the topic")


run_checks()
