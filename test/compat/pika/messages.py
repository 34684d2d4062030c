# Messages through queues with pika: what is published is what comes, once, in order, and stays until it is acknowledged.
# Promises: checks only; each in a place of its own.
# Does not know: exchanges, refusals.

import datetime
import time

import pika
from connections import Inbox, bodies, checked, count, get, publish
from python_checks import equal, true, until


@checked("a queue is declared, used and deleted")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(3):
        publish(channel, queue, f"order {number}")
    until("three", lambda: count(channel, queue) == 3)
    equal(bodies(channel, queue, 3), [b"order 0", b"order 1", b"order 2"], "orders")
    equal(channel.basic_get(queue)[0], None, "an empty queue")
    equal(channel.queue_delete(queue).method.message_count, 0, "deleted with")


@checked("declaring again tells messages and consumers")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    publish(channel, queue, "one")
    publish(channel, queue, "two")
    until("two", lambda: count(channel, queue) == 2)
    inbox = Inbox(place.channel(), queue)
    inbox.reach(2)
    again = channel.queue_declare(queue).method
    equal((again.queue, again.message_count, again.consumer_count), (queue, 0, 1), "declared")


@checked("every property comes back as it was")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    sent = dict(
        content_type="text/plain",
        content_encoding="utf-8",
        delivery_mode=2,
        priority=3,
        correlation_id="c-1",
        reply_to="answers",
        expiration="60000",
        message_id="m-1",
        timestamp=1_700_000_000,
        type="order",
        user_id="guest",
        app_id="shop",
        cluster_id="none",
    )
    publish(channel, queue, "body", **sent)
    _method, properties, body = get(channel, queue)
    equal({name: getattr(properties, name) for name in sent}, sent, "properties")
    equal(body, b"body", "body")


@checked("header tables of every type come back as they were")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    headers = {
        "text": "Löwe",
        "bytes": b"\x00\xff\xfe",
        "int": -5,
        "long": 2**40,
        "true": True,
        "nothing": None,
        "time": datetime.datetime(2026, 5, 1, 12, 30, tzinfo=datetime.timezone.utc),
        "list": [1, "two", {"three": 3}, [4]],
        "table": {"inner": {"deep": "yes"}, "empty": {}},
        "": "no name",
    }
    publish(channel, queue, "", headers=headers)
    got = get(channel, queue)[1].headers
    got["time"] = got["time"].replace(tzinfo=datetime.timezone.utc)
    equal(got, headers, "headers")


@checked("bodies of every size, empty and beyond a frame")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    sizes = [0, 1, 4088, 131_063, 131_064, 131_065, 400_000, 3 << 20]
    for size in sizes:
        publish(channel, queue, bytes(size % 251 for _ in range(1)) * size)
    for size in sizes:
        equal(len(get(channel, queue)[2]), size, "length")


@checked("a small frame: a body in many pieces")
def _(place):
    channel = place.channel(frame_max=8192)
    queue = place.queue(channel)
    body = bytes(range(256)) * 200
    publish(channel, queue, body)
    equal(get(channel, queue)[2], body, "body")


@checked("a consumer is handed what was there and what comes, in order")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(100):
        publish(channel, queue, str(number))
    inbox = Inbox(place.channel(), queue)
    inbox.reach(100)
    for number in range(100, 200):
        publish(channel, queue, str(number))
    inbox.reach(200)
    equal([int(body) for body in inbox.bodies], list(range(200)), "order")
    equal([method.delivery_tag for method, _p, _b in inbox.messages], list(range(1, 201)), "delivery tags")
    equal(sum(method.redelivered for method, _p, _b in inbox.messages), 0, "redelivered")


@checked("what is not acknowledged comes again, marked, when its connection goes")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(5):
        publish(channel, queue, str(number))
    other = place.channel()
    inbox = Inbox(other, queue)
    inbox.reach(5)
    other.basic_ack(inbox.messages[1][0].delivery_tag)
    other.connection.close()
    until("four are back", lambda: count(channel, queue) == 4)
    got = [get(channel, queue) for _ in range(4)]
    equal([body for _m, _p, body in got], [b"0", b"2", b"3", b"4"], "order")
    equal([method.redelivered for method, _p, _b in got], [True] * 4, "redelivered")


@checked("acknowledging several at once")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(10):
        publish(channel, queue, str(number))
    inbox = Inbox(channel, queue)
    inbox.reach(10)
    channel.basic_ack(7, multiple=True)
    channel.close()
    other = place.channel()
    equal(bodies(other, queue, 3), [b"7", b"8", b"9"], "left")


@checked("rejected without requeue is gone, with requeue it is back where it was")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(3):
        publish(channel, queue, str(number))
    first = get(channel, queue, auto_ack=False)[0]
    second = get(channel, queue, auto_ack=False)[0]
    channel.basic_reject(first.delivery_tag, requeue=False)
    channel.basic_nack(second.delivery_tag, requeue=True)
    method, _properties, body = get(channel, queue)
    equal((body, method.redelivered), (b"1", True), "the next")
    equal(bodies(channel, queue, 1), [b"2"], "the last")


@checked("a nack of several puts them back in order")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(6):
        publish(channel, queue, str(number))
    for _ in range(4):
        tag = get(channel, queue, auto_ack=False)[0].delivery_tag
    channel.basic_nack(tag, multiple=True, requeue=True)
    equal(bodies(channel, queue, 6), [b"0", b"1", b"2", b"3", b"4", b"5"], "order")


@checked("recover hands out again what was not acknowledged")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    publish(channel, queue, "again")
    get(channel, queue, auto_ack=False)
    channel.basic_recover(requeue=True)
    method, _properties, body = get(channel, queue)
    equal((body, method.redelivered), (b"again", True), "recovered")


@checked("prefetch: so many and no more, until one is acknowledged")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(20):
        publish(channel, queue, str(number))
    channel.basic_qos(prefetch_count=5)
    inbox = Inbox(channel, queue)
    inbox.reach(5)
    inbox.stay(5)
    channel.basic_ack(2, multiple=True)
    inbox.reach(7)
    inbox.stay(7)
    channel.basic_nack(7, multiple=True, requeue=False)
    inbox.reach(12)


@checked("two consumers share the work fairly")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    inboxes = []
    for _ in range(2):
        other = place.channel()
        other.basic_qos(prefetch_count=1)
        inboxes.append(Inbox(other, queue))
    for number in range(2):
        publish(channel, queue, str(number))
    for inbox in inboxes:
        inbox.reach(1)
        inbox.stay(1, 0.1)


@checked("a slow consumer on a channel does not hold up its sibling")
def _(place):
    channel = place.channel()
    full, quick = place.queue(channel), place.queue(channel)
    for _ in range(50):
        publish(channel, full, "x")
    channel.basic_qos(prefetch_count=1)
    slow = Inbox(channel, full)
    slow.reach(1)
    other = Inbox(channel, quick, auto_ack=True)
    for number in range(30):
        publish(channel, quick, str(number))
    other.reach(30)
    slow.stay(1, 0.05)


@checked("a consumer that is cancelled is handed nothing more; what it holds may be acknowledged")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    publish(channel, queue, "held")
    inbox = Inbox(channel, queue)
    inbox.reach(1)
    channel.basic_cancel(inbox.tag)
    publish(channel, queue, "later")
    inbox.stay(1)
    channel.basic_ack(1)
    channel.close()
    other = place.channel()
    equal(bodies(other, queue, 1), [b"later"], "left")
    equal(count(other, queue), 0, "nothing else")


@checked("the consumer is told when its queue is deleted")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    other = place.channel()
    told = []
    other.add_on_cancel_callback(lambda frame: told.append(frame.method.consumer_tag))
    tag = other.basic_consume(queue, lambda *_: None)
    channel.queue_delete(queue)

    def ask():
        other.connection.process_data_events(0.05)
        return told

    equal(until("told", ask), [tag], "cancelled")


@checked("the generator of messages, with a pause when nothing comes")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(5):
        publish(channel, queue, str(number))
    got = []
    for method, _properties, body in channel.consume(queue, inactivity_timeout=0.3):
        if method is None:
            break
        got.append(body)
        channel.basic_ack(method.delivery_tag)
    equal(got, [b"0", b"1", b"2", b"3", b"4"], "bodies")
    equal(channel.cancel(), 0, "left unread")


@checked("purge tells how many went, and what is held stays")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    for number in range(7):
        publish(channel, queue, str(number))
    held = get(channel, queue, auto_ack=False)[0]
    until("six", lambda: count(channel, queue) == 6)
    equal(channel.queue_purge(queue).method.message_count, 6, "purged")
    channel.basic_nack(held.delivery_tag)
    equal(bodies(channel, queue, 1), [b"0"], "what was held")


@checked("a message lives as long as it says, a queue's messages as long as that says")
def _(place):
    channel = place.channel()
    plain = place.queue(channel)
    short = place.queue(channel, arguments={"x-message-ttl": 200})
    publish(channel, plain, "long")
    publish(channel, plain, "brief", expiration="100")
    publish(channel, short, "brief")
    publish(channel, short, "briefer", expiration="50")
    time.sleep(0.5)
    equal(bodies(channel, plain, 1), [b"long"], "the one that stays")
    equal(channel.basic_get(plain)[0], None, "the one that went")
    equal(count(channel, short), 0, "the short queue")


@checked("priorities: the most important first, equals in order")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, arguments={"x-max-priority": 5})
    for number, priority in enumerate([0, 3, 5, 3, 1, 9, None]):
        options = {} if priority is None else {"priority": priority}
        publish(channel, queue, f"{number}", **options)
    until("seven", lambda: count(channel, queue) == 7)
    equal(bodies(channel, queue, 7), [b"2", b"5", b"1", b"3", b"4", b"0", b"6"], "order")


@checked("a queue of limited length drops its oldest")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, arguments={"x-max-length": 3})
    channel.confirm_delivery()
    for number in range(6):
        publish(channel, queue, str(number))
    equal(bodies(channel, queue, 3), [b"3", b"4", b"5"], "what is left")


@checked("dead letters: rejected, expired and dropped, each says why")
def _(place):
    channel = place.channel()
    dead = place.queue(channel)
    to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    rejecting = place.queue(channel, arguments=to_dead)
    expiring = place.queue(channel, arguments={**to_dead, "x-message-ttl": 50})
    dropping = place.queue(channel, arguments={**to_dead, "x-max-length": 1})
    expected = []

    def take(reason, queue):
        _method, properties, body = get(channel, dead)
        death = properties.headers["x-death"][0]
        expected.append(reason)
        equal((death["reason"], death["queue"], death["count"]), (reason, queue, 1), "x-death")
        equal((death["exchange"], death["routing-keys"]), ("", [queue]), "where it was published")
        equal(properties.headers["x-first-death-reason"], reason, "first death")
        return body

    publish(channel, rejecting, "unwanted")
    channel.basic_reject(get(channel, rejecting, auto_ack=False)[0].delivery_tag, requeue=False)
    equal(take("rejected", rejecting), b"unwanted", "body")
    publish(channel, expiring, "old")
    equal(take("expired", expiring), b"old", "body")
    publish(channel, dropping, "first")
    publish(channel, dropping, "second")
    equal(take("maxlen", dropping), b"first", "body")
    equal(len(expected), 3, "reasons")


@checked("a queue that nobody uses expires")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, arguments={"x-expires": 200})
    time.sleep(0.6)
    try:
        place.channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, 404, "code")
        return
    raise AssertionError("it is still there")


@checked("single active consumer: the second is handed messages when the first is gone")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, arguments={"x-single-active-consumer": True})
    one, two = Inbox(place.channel(), queue, auto_ack=True), Inbox(place.channel(), queue, auto_ack=True)
    publish(channel, queue, "a")
    one.reach(1)
    two.stay(0, 0.1)
    one.channel.basic_cancel(one.tag)
    publish(channel, queue, "b")
    two.reach(1)
    one.stay(1, 0.05)


@checked("consumer priorities: who is more important is asked first")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    low = Inbox(place.channel(), queue, auto_ack=True, arguments={"x-priority": -1})
    high = Inbox(place.channel(), queue, auto_ack=True, arguments={"x-priority": 10})
    for number in range(20):
        publish(channel, queue, str(number))
    high.reach(20)
    low.stay(0, 0.1)


@checked("a quorum queue counts deliveries and gives up at its limit")
def _(place):
    channel = place.channel()
    dead = place.queue(channel, durable=True)
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    arguments.update({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
    queue = place.queue(channel, durable=True, arguments=arguments)
    channel.confirm_delivery()
    publish(channel, queue, "poison")
    counts = []
    for _ in range(3):
        method, properties, _body = get(channel, queue, auto_ack=False)
        headers = properties.headers or {}
        counts.append((headers.get("x-acquired-count"), headers.get("x-delivery-count")))
        # What a consumer gives back with a nack does not count against it, what it rejects does.
        channel.basic_reject(method.delivery_tag)
    equal(counts, [(None, None), (1, 1), (2, 2)], "acquired and delivery counts")
    _method, properties, body = get(channel, dead)
    equal((body, properties.headers["x-death"][0]["reason"]), (b"poison", "delivery_limit"), "dead letter")


@checked("a stream is read from its start by anyone, any number of times")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, durable=True, arguments={"x-queue-type": "stream"})
    channel.confirm_delivery()
    for number in range(20):
        publish(channel, queue, str(number))
    for start, first in (("first", 0), (12, 12)):
        other = place.channel()
        other.basic_qos(prefetch_count=100)
        inbox = Inbox(other, queue, arguments={"x-stream-offset": start})
        inbox.reach(20 - first)
        wanted = [(number, b"%d" % number) for number in range(first, 20)]
        equal([(p.headers["x-stream-offset"], body) for _m, p, body in inbox.messages], wanted, "offsets and bodies")
