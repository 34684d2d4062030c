# Clients of both worlds for one check, in the shape of the programs people have.
# Promises: every connection made here is closed, and the name is gone on both sides, when a check ends.
# Does not know: what the checks assert.

import contextlib
import functools
import os
import time
import uuid

import pika
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from python_checks import ADDRESS, check, until

AMQP_HOST, AMQP_PORT = os.environ["AMQP_ADDRESS"].rsplit(":", 1)
NAME = "orders"


class Worlds:
    def __init__(self):
        self.connections = []
        self.consumers = []
        self.admin = AdminClient({"bootstrap.servers": ADDRESS})

    # --- Kafka ---

    def create(self, partitions=1):
        for future in self.admin.create_topics([NewTopic(NAME, partitions, 1)]).values():
            future.result(10)

    def topics(self):
        return self.admin.list_topics(timeout=10).topics

    def produce(self, *records, **options):
        """Each a value, or a key and a value."""
        errors = []
        producer = Producer({"bootstrap.servers": ADDRESS, "client.id": "analytics_producer"})
        for record in records:
            key, value = record if isinstance(record, tuple) else (None, record)
            told = lambda error, _: error and errors.append(error)  # noqa: E731
            producer.produce(topic=NAME, key=key, value=value, on_delivery=told, **options)
        left = producer.flush(15)
        if left or errors:
            raise AssertionError(f"{left} unsent, {errors[:1]}")

    def read(self, count, group=None):
        """The first records of the topic, for a group that is new or has read before."""
        consumer = Consumer(
            {
                "bootstrap.servers": ADDRESS,
                "group.id": group or f"readers-{uuid.uuid4().hex}",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        self.consumers.append(consumer)
        consumer.subscribe([NAME])
        got = []
        deadline = time.monotonic() + 15
        while len(got) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(got)} of {count} records within 15 s")
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            got.append(message)
        return got

    # --- AMQP ---

    def channel(self):
        made = pika.BlockingConnection(pika.ConnectionParameters(host=AMQP_HOST, port=int(AMQP_PORT)))
        self.connections.append(made)
        return made.channel()

    def ready(self, channel):
        return channel.queue_declare(NAME, passive=True).method.message_count

    def take(self, channel, count, ack=True):
        """Consumes as a worker does; answers (method, properties, body) of each."""
        got = []

        def callback(ch, method, properties, body):
            got.append((method, properties, body))
            if ack:
                ch.basic_ack(method.delivery_tag)

        tag = channel.basic_consume(queue=NAME, on_message_callback=callback)

        def enough():
            channel.connection.process_data_events(0.05)
            return len(got) >= count

        until(f"{count} messages", enough)
        channel.basic_cancel(tag)
        return got

    def clean(self):
        for consumer in self.consumers:
            with contextlib.suppress(Exception):
                consumer.close()
        with contextlib.suppress(Exception):
            self.channel().queue_delete(NAME)
        for connection in self.connections:
            with contextlib.suppress(Exception):
                connection.close()
        with contextlib.suppress(Exception):
            for future in self.admin.delete_topics([NAME]).values():
                future.result(10)
        until("the name is free", lambda: NAME not in self.topics())


def worlds(title):
    def register(function):
        @functools.wraps(function)
        def body():
            both = Worlds()
            try:
                function(both)
            finally:
                both.clean()

        check(title, 40)(body)
        return function

    return register
