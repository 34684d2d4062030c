# Exchanges, confirms, returns and transactions with pika.
# Promises: checks only; each in a place of its own.
# Does not know: what queues do with messages.

import pika
from connections import Inbox, bodies, checked, count, get, publish
from python_checks import equal, true, until


@checked("direct: by exact key, to every queue bound with it")
def _(place):
    channel = place.channel()
    exchange = place.exchange(channel, "direct")
    one, two = place.queue(channel), place.queue(channel)
    channel.queue_bind(one, exchange, "a")
    channel.queue_bind(two, exchange, "a")
    channel.queue_bind(two, exchange, "b")
    for key in ("a", "b", "c"):
        publish(channel, key, key, exchange=exchange)
    equal(bodies(channel, one, 1), [b"a"], "the first queue")
    equal(bodies(channel, two, 2), [b"a", b"b"], "the second queue")


@checked("fanout: to all, until unbound")
def _(place):
    channel = place.channel()
    exchange = place.exchange(channel, "fanout")
    queues = [place.queue(channel) for _ in range(5)]
    for queue in queues:
        channel.queue_bind(queue, exchange, "")
    publish(channel, "", "news", exchange=exchange)
    for queue in queues:
        equal(bodies(channel, queue, 1), [b"news"], "body")
    channel.queue_unbind(queues[0], exchange, "")
    publish(channel, "", "more", exchange=exchange)
    equal(bodies(channel, queues[1], 1), [b"more"], "still bound")
    equal(count(channel, queues[0]), 0, "unbound")


@checked("topic: words, stars and hashes")
def _(place):
    channel = place.channel()
    exchange = place.exchange(channel, "topic")
    patterns = {"a.*": ["a.b", "a."], "a.#": ["a", "a.b", "a.b.c", "a."], "#.c": ["a.b.c", "c"], "*": ["a", "c"], "#": None}
    keys = ["a", "a.b", "a.b.c", "c", "", "a."]
    queues = {}
    for pattern in patterns:
        queues[pattern] = place.queue(channel)
        channel.queue_bind(queues[pattern], exchange, pattern)
    for key in keys:
        publish(channel, key, key or "empty", exchange=exchange)
    for pattern, wanted in patterns.items():
        wanted = keys if wanted is None else wanted
        got = sorted(bodies(channel, queues[pattern], len(wanted)))
        equal(got, sorted((key or "empty").encode() for key in wanted), f"what matches {pattern}")
        equal(count(channel, queues[pattern]), 0, f"more for {pattern}")


@checked("headers: all and any")
def _(place):
    channel = place.channel()
    exchange = place.exchange(channel, "headers")
    both, either = place.queue(channel), place.queue(channel)
    channel.queue_bind(both, exchange, arguments={"x-match": "all", "colour": "red", "size": 3})
    channel.queue_bind(either, exchange, arguments={"x-match": "any", "colour": "red", "size": 3})
    for body, headers in (("both", {"colour": "red", "size": 3, "more": 1}), ("one", {"size": 3}), ("none", {"size": 4})):
        publish(channel, "", body, exchange=exchange, headers=headers)
    equal(bodies(channel, both, 1), [b"both"], "all")
    equal(bodies(channel, either, 2), [b"both", b"one"], "any")
    equal((count(channel, both), count(channel, either)), (0, 0), "more")


@checked("exchanges bound to exchanges: one copy a queue however many ways lead there")
def _(place):
    channel = place.channel()
    source, middle = place.exchange(channel, "topic"), place.exchange(channel, "fanout")
    queue = place.queue(channel)
    channel.exchange_bind(middle, source, "a.#")
    channel.queue_bind(queue, middle)
    channel.queue_bind(queue, source, "a.b")
    publish(channel, "a.b", "once", exchange=source)
    publish(channel, "a.c", "too", exchange=source)
    equal(bodies(channel, queue, 2), [b"once", b"too"], "bodies")
    channel.exchange_unbind(middle, source, "a.#")
    publish(channel, "a.c", "no more", exchange=source)
    equal(count(channel, queue), 0, "after unbinding")


@checked("what nobody wants goes to the alternate exchange")
def _(place):
    channel = place.channel()
    fallback = place.exchange(channel, "fanout")
    exchange = place.exchange(channel, "direct", arguments={"alternate-exchange": fallback})
    queue = place.queue(channel)
    channel.queue_bind(queue, fallback)
    publish(channel, "nobody", "lost and found", exchange=exchange)
    equal(bodies(channel, queue, 1), [b"lost and found"], "body")


@checked("CC and BCC: further keys, of which one is not told")
def _(place):
    channel = place.channel()
    queues = [place.queue(channel) for _ in range(3)]
    publish(channel, queues[0], "copies", headers={"CC": [queues[1]], "BCC": [queues[2]]})
    for queue in queues:
        _method, properties, _body = get(channel, queue)
        equal(properties.headers, {"CC": [queues[1]]}, "headers")


@checked("confirms: every publish returns when it is safe")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, durable=True)
    channel.confirm_delivery()
    for number in range(50):
        publish(channel, queue, str(number), delivery_mode=2)
        equal(count(channel, queue), number + 1, "there when confirmed")


@checked("confirms: an unroutable mandatory message raises, one without mandatory does not")
def _(place):
    channel = place.channel()
    channel.confirm_delivery()
    publish(channel, place.name("nowhere"), "dropped")
    try:
        channel.basic_publish("", place.name("nowhere"), "back", pika.BasicProperties(app_id="me"), mandatory=True)
    except pika.exceptions.UnroutableError as error:
        message = error.messages[0]
        equal((message.body, message.properties.app_id), (b"back", "me"), "what came back")
        equal((message.method.reply_code, message.method.reply_text), (312, "NO_ROUTE"), "why")
        return
    raise AssertionError("nothing was raised")


@checked("confirms: a full queue that rejects is told so")
def _(place):
    channel = place.channel()
    queue = place.queue(channel, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    publish(channel, queue, "fits")
    try:
        publish(channel, queue, "does not")
    except pika.exceptions.NackError:
        equal(bodies(channel, queue, 1), [b"fits"], "what is there")
        return
    raise AssertionError("nothing was raised")


@checked("returns without confirms come through the callback")
def _(place):
    channel = place.channel()
    back = []
    channel.add_on_return_callback(lambda _channel, method, _properties, body: back.append((method.routing_key, body)))
    name = place.name("nowhere")
    channel.basic_publish("", name, "back", mandatory=True)

    def ask():
        channel.connection.process_data_events(0.05)
        return back

    equal(until("the return", ask), [(name, b"back")], "returned")


@checked("transactions: committed publishes are there, rolled back ones are not")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    looker = place.channel()
    channel.tx_select()
    publish(channel, queue, "kept")
    equal(count(looker, queue), 0, "before the commit")
    channel.tx_commit()
    equal(count(looker, queue), 1, "after the commit")
    publish(channel, queue, "dropped")
    channel.tx_rollback()
    channel.tx_commit()
    equal(bodies(looker, queue, 1), [b"kept"], "bodies")
    equal(count(looker, queue), 0, "nothing else")


@checked("transactions: acknowledgements wait for the commit too")
def _(place):
    channel = place.channel()
    queue = place.queue(channel)
    publish(channel, queue, "one")
    publish(channel, queue, "two")
    other = place.channel()
    other.tx_select()
    other.basic_ack(get(other, queue, auto_ack=False)[0].delivery_tag)
    other.tx_commit()
    other.basic_ack(get(other, queue, auto_ack=False)[0].delivery_tag)
    other.connection.close()
    until("the second is back", lambda: count(channel, queue) == 1)
    equal(bodies(channel, queue, 1), [b"two"], "left")


@checked("direct reply-to: a call and its answer without a queue")
def _(place):
    server, client = place.channel(), place.channel()
    queue = place.queue(server)

    def serve(channel, method, properties, body):
        true(properties.reply_to.startswith("amq.rabbitmq.reply-to."), f"reply to {properties.reply_to}")
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body.upper(), reply)

    server.basic_consume(queue, serve, auto_ack=True)
    inbox = Inbox(client, "amq.rabbitmq.reply-to", auto_ack=True)
    for number in range(3):
        publish(client, queue, f"call {number}", reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))

    def ask():
        server.connection.process_data_events(0.02)
        client.connection.process_data_events(0.02)
        return len(inbox.messages) == 3

    until("three answers", ask)
    got = [(properties.correlation_id, body) for _m, properties, body in inbox.messages]
    equal(got, [("0", b"CALL 0"), ("1", b"CALL 1"), ("2", b"CALL 2")], "answers")


@checked("exclusive queues belong to their connection and go with it")
def _(place):
    owner = place.channel()
    queue = owner.queue_declare("", exclusive=True).method.queue
    true(queue.startswith("amq.gen-"), f"named {queue}")
    other = place.connection()
    for attempt in (lambda channel: channel.queue_declare(queue, passive=True), lambda channel: channel.basic_get(queue)):
        try:
            attempt(other.channel())
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 405, "code")
        else:
            raise AssertionError("another connection may use it")
    owner.connection.close()

    def gone():
        try:
            other.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_code == 404
        return False

    until("it is gone", gone)


@checked("an auto-delete queue goes with its last consumer, its exchange with the last binding")
def _(place):
    channel = place.channel()
    exchange = place.name("fanout")
    channel.exchange_declare(exchange, "fanout", auto_delete=True)
    queue = place.queue(channel, auto_delete=True)
    channel.queue_bind(queue, exchange)
    inbox = Inbox(place.channel(), queue)
    inbox.channel.basic_cancel(inbox.tag)
    probe = place.connection()
    for declare in (lambda one: one.queue_declare(queue, passive=True), lambda one: one.exchange_declare(exchange, passive=True)):
        try:
            declare(probe.channel())
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404, "code")
        else:
            raise AssertionError("it is still there")
