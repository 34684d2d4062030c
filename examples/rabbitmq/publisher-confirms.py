"""What became of a message: confirmed (it is on disk), returned (no queue wanted it), refused (a queue is full).

pip install pika
python examples/rabbitmq/publisher-confirms.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare("invoices", durable=True)

# From now on a publish returns once the message is on disk: one sync each. pika's asynchronous connections can have
# many under way at once; then one sync confirms all that wait.
channel.confirm_delivery()
for number in range(1, 101):
    channel.basic_publish("", "invoices", f"invoice {number}")
print("100 invoices are on disk")

# `mandatory` asks for what cannot be routed to be sent back.
try:
    channel.basic_publish("", "no.such.queue", "lost?", mandatory=True)
except pika.exceptions.UnroutableError as error:
    for returned in error.messages:
        print(f"returned: {returned.method.reply_text}, {returned.method.routing_key}")

# A queue that may hold two and refuses the third.
channel.queue_declare("two.only", durable=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
for number in range(1, 4):
    try:
        channel.basic_publish("", "two.only", str(number))
        print(f"{number} is confirmed")
    except pika.exceptions.NackError:
        print(f"{number} is refused: send it again later, or elsewhere")

channel.queue_delete("invoices")
channel.queue_delete("two.only")
connection.close()
