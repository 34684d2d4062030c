# pika connections for one check: made alike, names that no other run uses, all closed at the end of it.
# Promises: what a check leaves open or declared under its names is gone when the next one runs.
# Does not know: what the checks assert.

import contextlib
import functools
import itertools

import pika
from python_checks import HOST, PORT, TAG, check, until

numbers = itertools.count()


def parameters(**options):
    settings = {"host": HOST, "port": PORT, "socket_timeout": 10, "blocked_connection_timeout": 20}
    return pika.ConnectionParameters(**{**settings, **options})


class Place:
    """What a check works in: connections, channels, queues, all of its own."""

    def __init__(self):
        self.connections = []
        self.queues = []
        self.exchanges = []

    def connection(self, **options):
        made = pika.BlockingConnection(parameters(**options))
        self.connections.append(made)
        return made

    def channel(self, **options):
        return self.connection(**options).channel()

    def name(self, kind="queue"):
        return f"pika-{kind}-{next(numbers)}-{TAG}"

    def queue(self, channel, arguments=None, **options):
        name = self.name()
        self.queues.append(name)
        channel.queue_declare(name, arguments=arguments, **options)
        return name

    def exchange(self, channel, kind, **options):
        name = self.name(kind)
        self.exchanges.append(name)
        channel.exchange_declare(name, kind, **options)
        return name

    def clean(self):
        for connection in self.connections:
            with contextlib.suppress(Exception):
                connection.close()
        if not self.queues and not self.exchanges:
            return
        connection = pika.BlockingConnection(parameters())
        channel = connection.channel()
        for queue in self.queues:
            with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
                channel.queue_delete(queue)
            if channel.is_closed:
                channel = connection.channel()
        for exchange in self.exchanges:
            channel.exchange_delete(exchange)
        connection.close()


def checked(title, limit=30):
    """A check that is handed a place, which is cleaned afterwards."""

    def register(function):
        @check(title, limit)
        @functools.wraps(function)
        def _():
            place = Place()
            try:
                function(place)
            finally:
                place.clean()

        return function

    return register


def publish(channel, queue, body, exchange="", **properties):
    channel.basic_publish(exchange, queue, body, pika.BasicProperties(**properties))


def count(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def get(channel, queue, auto_ack=True):
    """The next message; it may be on its way."""

    def ask():
        method, properties, body = channel.basic_get(queue, auto_ack=auto_ack)
        return None if method is None else (method, properties, body)

    return until(f"a message in {queue}", ask)


def bodies(channel, queue, wanted):
    return [get(channel, queue)[2] for _ in range(wanted)]


class Inbox:
    """Gathers what a consumer is handed."""

    def __init__(self, channel, queue, **options):
        self.channel = channel
        self.messages = []
        self.tag = channel.basic_consume(queue, self.take, **options)

    def take(self, _channel, method, properties, body):
        self.messages.append((method, properties, body))

    @property
    def bodies(self):
        return [body for _method, _properties, body in self.messages]

    def reach(self, wanted, limit=10):
        def ask():
            self.channel.connection.process_data_events(0.02)
            return len(self.messages) >= wanted

        until(f"{wanted} messages, {len(self.messages)} came", ask, limit)
        return self.messages

    def stay(self, wanted, seconds=0.3):
        """No more than so many come."""
        self.channel.connection.process_data_events(seconds)
        if len(self.messages) != wanted:
            raise AssertionError(f"{wanted} messages expected, {len(self.messages)} came")
