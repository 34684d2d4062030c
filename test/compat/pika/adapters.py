# pika's other adapters: asyncio, the select loop, and the thread-safe way into a blocking connection.
# Promises: checks only; each in a place of its own.
# Does not know: what brokers refuse.

import asyncio
import functools
import threading

import pika
from connections import checked, parameters
from pika.adapters.asyncio_connection import AsyncioConnection
from python_checks import equal, true

MESSAGES = 500


@checked("asyncio: five hundred published with confirms, consumed and acknowledged")
def _(place):
    async def body():
        loop = asyncio.get_running_loop()
        opened, confirmed, consumed = loop.create_future(), loop.create_future(), loop.create_future()
        connection = AsyncioConnection(
            parameters(),
            on_open_callback=opened.set_result,
            on_open_error_callback=lambda _connection, error: opened.set_exception(error),
            custom_ioloop=loop,
        )
        await opened
        ready = loop.create_future()
        connection.channel(on_open_callback=ready.set_result)
        channel = await ready
        declared = loop.create_future()
        channel.queue_declare("", exclusive=True, callback=declared.set_result)
        queue = (await declared).method.queue
        acks, got = set(), []

        def on_confirm(frame):
            first = frame.method.delivery_tag
            acks.update(range(1, first + 1) if frame.method.multiple else [first])
            if len(acks) == MESSAGES and not confirmed.done():
                confirmed.set_result(None)

        def on_message(_channel, method, _properties, body):
            got.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(got) == MESSAGES:
                consumed.set_result(None)

        channel.confirm_delivery(on_confirm)
        channel.basic_qos(prefetch_count=50, callback=lambda _frame: channel.basic_consume(queue, on_message))
        for number in range(MESSAGES):
            channel.basic_publish("", queue, str(number))
        await asyncio.wait_for(asyncio.gather(confirmed, consumed), 15)
        equal(got, list(range(MESSAGES)), "order")
        closed = loop.create_future()
        connection.add_on_close_callback(lambda _connection, reason: closed.set_result(reason))
        connection.close()
        equal((await closed).reply_code, 200, "close code")

    asyncio.run(body())


@checked("select loop: a refused channel is told its reason, the connection opens another")
def _(place):
    told = []
    missing = place.name("missing")

    def on_open(connection):
        connection.channel(on_open_callback=functools.partial(on_channel, connection))

    def on_channel(connection, channel):
        if told:
            connection.close()
            return
        channel.add_on_close_callback(lambda _channel, reason: again(connection, reason))
        channel.queue_declare(missing, passive=True, callback=lambda _frame: connection.close())

    def again(connection, reason):
        told.append((reason.reply_code, reason.reply_text))
        on_open(connection)

    connection = pika.SelectConnection(
        parameters(),
        on_open_callback=on_open,
        on_close_callback=lambda connection, _reason: connection.ioloop.stop(),
        on_open_error_callback=lambda connection, _error: connection.ioloop.stop(),
    )
    connection.ioloop.start()
    equal(told, [(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'")], "refusals")


@checked("acknowledging from another thread through the connection's own")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(20):
        channel.basic_publish("", queue, str(number))
    channel.basic_qos(prefetch_count=3)
    done, threads = [], []

    def work(tag, body):
        done.append(body)
        channel.connection.add_callback_threadsafe(lambda: channel.basic_ack(tag))
        if len(done) == 20:
            channel.connection.add_callback_threadsafe(channel.stop_consuming)

    def on_message(_channel, method, _properties, body):
        thread = threading.Thread(target=work, args=(method.delivery_tag, body))
        thread.start()
        threads.append(thread)

    channel.basic_consume(queue, on_message)
    channel.start_consuming()
    for thread in threads:
        thread.join()
    equal(len(set(done)), 20, "worked off")
    true(channel.is_open, "the channel went")
