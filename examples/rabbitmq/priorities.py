"""What matters more comes first: a queue with priorities hands out the highest, and of equals the oldest.

pip install pika
python examples/rabbitmq/priorities.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
# How many levels there are is said once, when the queue is made; few are enough.
channel.queue_declare("mails", durable=True, arguments={"x-max-priority": 5})

mails = [
    ("newsletter 1", 0),
    ("password reset", 5),
    ("newsletter 2", 0),
    ("invoice", 3),
    ("password reset again", 5),
]
for mail, priority in mails:
    channel.basic_publish("", "mails", mail, pika.BasicProperties(priority=priority))

# A prefetch keeps the order meaningful: what was handed out already is not overtaken.
channel.basic_qos(prefetch_count=1)
left = len(mails)
for method, properties, body in channel.consume("mails"):
    print(f"{properties.priority}: {body.decode()}")
    channel.basic_ack(method.delivery_tag)
    left -= 1
    if left == 0:
        break
channel.cancel()
connection.close()
