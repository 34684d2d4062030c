# What is refused, with RabbitMQ's codes and texts, and what survives it; how connections begin and end.
# Promises: checks only; each in a place of its own.
# Does not know: messages.

import threading
import time

import pika
from connections import Inbox, checked, count, parameters, publish
from python_checks import equal, true, until


def refused(action, code, text):
    try:
        action()
    except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as error:
        equal(error.reply_code, code, "code")
        equal(error.reply_text, text, "text")
        return
    raise AssertionError("it was not refused")


@checked("a queue that is not there: 404, and the connection lives on")
def _(place):
    connection = place.connection()
    name = place.name("missing")
    text = f"NOT_FOUND - no queue '{name}' in vhost '/'"
    refused(lambda: connection.channel().queue_declare(name, passive=True), 404, text)
    refused(lambda: connection.channel().basic_get(name), 404, text)
    refused(lambda: connection.channel().basic_consume(name, print), 404, text)
    true(connection.is_open and connection.channel().is_open, "the connection went")


@checked("an exchange that is not there: 404 for a check, a bind and a publish")
def _(place):
    connection = place.connection()
    name = place.name("missing")
    text = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
    refused(lambda: connection.channel().exchange_declare(name, passive=True), 404, text)
    channel = connection.channel()
    queue = place.queue(channel)
    refused(lambda: channel.queue_bind(queue, name, "x"), 404, text)

    def into_nothing():
        channel = connection.channel()
        publish(channel, "key", "body", exchange=name)
        channel.queue_declare(queue, passive=True)

    refused(into_nothing, 404, text)


@checked("declared again with other properties: 406 says which and what they are")
def _(place):
    connection = place.connection()
    queue = place.queue(connection.channel(), arguments={"x-max-length": 5})
    text = f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': received 'true' but current is 'false'"
    refused(lambda: connection.channel().queue_declare(queue, durable=True, arguments={"x-max-length": 5}), 406, text)
    text = f"PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received '6' but current is '5'"
    refused(lambda: connection.channel().queue_declare(queue, arguments={"x-max-length": 6}), 406, text)
    exchange = place.exchange(connection.channel(), "direct")
    text = f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': received 'topic' but current is 'direct'"
    refused(lambda: connection.channel().exchange_declare(exchange, "topic"), 406, text)


@checked("names that begin with amq. are not for everyone: 403")
def _(place):
    connection = place.connection()
    text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"
    refused(lambda: connection.channel().queue_declare("amq.mine"), 403, text)
    text = "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    refused(lambda: connection.channel().exchange_declare("amq.mine", "direct"), 403, text)


@checked("the default exchange is nobody's to bind or delete: 403")
def _(place):
    connection = place.connection()
    queue = place.queue(connection.channel())
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    refused(lambda: connection.channel().queue_bind(queue, "", "key"), 403, text)
    refused(lambda: connection.channel().exchange_delete(""), 403, text)


@checked("an unknown delivery tag: 406")
def _(place):
    channel = place.channel()

    def unknown():
        channel.basic_ack(42)
        channel.queue_declare("", exclusive=True)

    refused(unknown, 406, "PRECONDITION_FAILED - unknown delivery tag 42")


@checked("a consumer that wants the queue for itself: 403 while others have it")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    inbox = Inbox(channel, queue)
    other = place.connection()
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    refused(lambda: other.channel().basic_consume(queue, print, exclusive=True), 403, text)
    channel.basic_cancel(inbox.tag)
    other.channel().basic_consume(queue, print, exclusive=True)
    refused(lambda: channel.basic_consume(queue, print), 403, text)


@checked("the same consumer tag twice: 530 ends the connection")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    channel.basic_consume(queue, print, consumer_tag="mine")

    def again():
        # Beside pika's own check, which would not let it through.
        consume = pika.spec.Basic.Consume(queue=queue, consumer_tag="mine")
        channel._impl._send_method(consume)
        channel.connection.process_data_events(5)

    refused(again, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'mine'")


@checked("a queue in use or not empty is not deleted when that is asked: 406")
def _(place):
    connection = place.connection()
    channel = connection.channel()
    queue = place.queue(channel)
    channel.confirm_delivery()
    publish(channel, queue, "x")
    text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"
    refused(lambda: connection.channel().queue_delete(queue, if_empty=True), 406, text)
    Inbox(channel, queue)
    text = f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"
    refused(lambda: connection.channel().queue_delete(queue, if_unused=True), 406, text)


@checked("deleting what is not there is no mistake")
def _(place):
    channel = place.channel()
    equal(channel.queue_delete(place.name("missing")).method.message_count, 0, "messages")
    channel.exchange_delete(place.name("missing"))
    channel.queue_unbind(place.queue(channel), place.exchange(channel, "direct"), "never bound")


@checked("immediate is not there: 540 ends the connection")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)

    def at_once():
        method = pika.spec.Basic.Publish(routing_key=queue, immediate=True)
        channel._impl._send_method(method, (pika.BasicProperties(), b"now"))
        channel.connection.process_data_events(5)

    refused(at_once, 540, "NOT_IMPLEMENTED - immediate=true")


@checked("confirms and transactions do not go together: 406")
def _(place):
    channel = place.channel()
    channel.tx_select()
    refused(channel.confirm_delivery, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")


@checked("a wrong password, and a vhost that is not there")
def _(place):
    try:
        place.connection(credentials=pika.PlainCredentials("guest", "wrong"))
    except pika.exceptions.ProbableAuthenticationError:
        pass
    else:
        raise AssertionError("a wrong password was good enough")
    try:
        place.connection(virtual_host="nowhere")
    except pika.exceptions.ProbableAccessDeniedError as error:
        true("(530) 'NOT_ALLOWED - vhost nowhere not found'" in str(error), f"refused with {error}")
    else:
        raise AssertionError("the vhost was found")


@checked("what the broker says it is and can")
def _(place):
    properties = place.connection()._impl.server_properties
    equal(properties["product"], "RabbitMQ", "product")
    true(properties["version"].startswith("4."), f"version {properties['version']}")
    wanted = ["publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify"]
    wanted += ["connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos"]
    wanted += ["direct_reply_to"]
    equal([name for name in wanted if not properties["capabilities"].get(name)], [], "missing capabilities")


@checked("heartbeats keep an idle connection, and their lack ends it", 30)
def _(place):
    idle = place.connection(heartbeat=1)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        idle.process_data_events(0.2)
    true(idle.channel().is_open, "the idle connection went")
    queue = idle.channel().queue_declare("", exclusive=True).method.queue
    # Nobody reads or writes: the broker hears no heartbeat and lets the exclusive queue go.
    looker = place.connection()

    def gone():
        try:
            looker.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_code == 404
        return False

    until("the dead connection's queue is gone", gone, 12)


@checked("update-secret is answered")
def _(place):
    connection = place.connection()
    connection.update_secret("guest", "rotated")
    true(connection.channel().is_open, "the connection went")


@checked("many channels on one connection, each with its own tags; too many are refused by the client")
def _(place):
    connection = place.connection()
    queue = place.queue(connection.channel())
    channels = [connection.channel() for _ in range(200)]
    for channel in channels:
        publish(channel, queue, "x")
    until("all", lambda: count(channels[0], queue) == 200)
    tags = [channel.basic_get(queue)[0].delivery_tag for channel in channels]
    equal(tags, [1] * 200, "first tags")
    for channel in channels[:100]:
        channel.close()
    equal(connection.channel().is_open, True, "a number used again")


@checked("publishing from one thread while another consumes", 30)
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    own = place.channel()

    def publisher():
        for number in range(2_000):
            publish(own, queue, str(number))

    thread = threading.Thread(target=publisher)
    thread.start()
    inbox = Inbox(channel, queue, auto_ack=True)
    inbox.reach(2_000, 20)
    thread.join()
    equal([int(body) for body in inbox.bodies], list(range(2_000)), "order")
