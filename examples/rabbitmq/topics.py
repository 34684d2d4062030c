"""A topic exchange: routing keys are words between dots, and a binding is a pattern of them: * is one word, # any number
of them, none included.

pip install pika
python examples/rabbitmq/topics.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare("sensors", "topic", durable=True)

patterns = {"every.temperature": "*.temperature", "all.of.the.kitchen": "kitchen.#"}
for queue, pattern in patterns.items():
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "sensors", pattern)

values = {"kitchen.temperature": "21", "bath.temperature": "24", "kitchen.door.locked": "yes", "bath.door": "open"}
for key, value in values.items():
    channel.basic_publish("sensors", key, value)

for queue in patterns:
    # Ends when nothing has come for a while.
    for method, _properties, body in channel.consume(queue, inactivity_timeout=0.2):
        if method is None:
            break
        print(f"{queue}: {method.routing_key} = {body.decode()}")
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
connection.close()
