"""A direct exchange: a message goes to the queues that are bound with its very routing key, here the level of an alert.

pip install pika
python examples/rabbitmq/routing.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare("alerts", "direct", durable=True)

# One queue may be bound many times, and several queues with the same key: each gets its copy.
wanted = {"alerts.all": ["info", "warning", "error"], "alerts.pager": ["error"]}
for queue, levels in wanted.items():
    channel.queue_declare(queue, durable=True)
    for level in levels:
        channel.queue_bind(queue, "alerts", level)

channel.basic_publish("alerts", "info", "backup done")
channel.basic_publish("alerts", "error", "disk full")
channel.basic_publish("alerts", "debug", "nobody is bound for this: it is dropped")

for queue in wanted:
    # Ends when nothing has come for a while.
    for method, _properties, body in channel.consume(queue, inactivity_timeout=0.2):
        if method is None:
            break
        print(f"{queue}: {method.routing_key}: {body.decode()}")
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
connection.close()
