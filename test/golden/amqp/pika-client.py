# Drives pika through all that it can say: captured by capture.ts. Usage: pika-client.py PORT; prints pika's version.
import datetime
import decimal
import sys

import pika

port = int(sys.argv[1])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=0))
channel = connection.channel()

channel.exchange_declare("golden-pika", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
channel.exchange_declare("golden-pika-other", "headers", auto_delete=True)
channel.exchange_bind("golden-pika-other", "golden-pika", "all.#", {"x-match": "any", "n": 1})
channel.exchange_unbind("golden-pika-other", "golden-pika", "all.#", {"x-match": "any", "n": 1})
arguments = {"x-message-ttl": 60000, "x-max-length": 2**40, "x-overflow": "reject-publish"}
channel.queue_declare("golden-pika", durable=True, arguments=arguments)
channel.queue_declare("golden-pika", passive=True)
channel.queue_bind("golden-pika", "golden-pika", "orders.*")
channel.queue_declare("", exclusive=True)

headers = {
    "text": "grün",
    "bytes": b"\xff\x00",
    "yes": True,
    "no": False,
    "small": 7,
    "negative": -7,
    "large": 2**40,
    "decimal": decimal.Decimal("3.14"),
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5),
    "none": None,
    "list": [1, "two", [3]],
    "table": {"inner": {"innermost": 1}},
}
everything = pika.BasicProperties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers=headers,
    delivery_mode=2,
    priority=9,
    correlation_id="correlation",
    reply_to="reply",
    expiration="60000",
    message_id="message",
    timestamp=1767323045,
    type="kind",
    user_id="guest",
    app_id="app",
    cluster_id="cluster",
)
channel.basic_publish("golden-pika", "orders.new", "Order: #12345", everything)
channel.basic_publish("", "golden-pika", b"")
channel.basic_publish("", "golden-pika", b"x" * 300, pika.BasicProperties(delivery_mode=1))

channel.basic_get("golden-pika", auto_ack=True)
channel.basic_qos(prefetch_count=10)
method, _, _ = channel.basic_get("golden-pika")
channel.basic_reject(method.delivery_tag, requeue=True)
tags = []
channel.basic_consume("golden-pika", lambda c, m, p, b: tags.append(m.delivery_tag), consumer_tag="golden")
while len(tags) < 2:
    connection.process_data_events(1)
channel.basic_nack(tags[0], requeue=True)
while len(tags) < 3:
    connection.process_data_events(1)
channel.basic_ack(tags[2], multiple=True)
channel.basic_cancel("golden")
channel.basic_recover(requeue=True)
channel.basic_get("golden-pika")

confirming = connection.channel()
confirming.confirm_delivery()
confirming.basic_publish("", "golden-pika", "confirmed", pika.BasicProperties(delivery_mode=2))
try:
    confirming.basic_publish("", "golden-pika-nobody", "returned", mandatory=True)
except pika.exceptions.UnroutableError:
    pass

transactional = connection.channel()
transactional.tx_select()
transactional.basic_publish("", "golden-pika", "kept")
transactional.tx_commit()
transactional.basic_publish("", "golden-pika", "gone")
transactional.tx_rollback()

failing = connection.channel()
try:
    failing.queue_declare("golden-pika-missing", passive=True)
except pika.exceptions.ChannelClosedByBroker:
    pass

channel.queue_unbind("golden-pika", "golden-pika", "orders.*")
channel.queue_purge("golden-pika")
channel.queue_delete("golden-pika")
channel.exchange_delete("golden-pika-other")
channel.exchange_delete("golden-pika")
connection.update_secret("guest", "renewed") if hasattr(connection, "update_secret") else None
channel.close()
connection.close()
print(pika.__version__)
