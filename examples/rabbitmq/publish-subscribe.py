"""Everybody who listens hears everything: a fanout exchange copies each message into the queue of every subscriber.

pip install pika
python examples/rabbitmq/publish-subscribe.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare("news", "fanout", durable=True)


def subscribe(name):
    # A queue without a name gets one from the broker; an exclusive one is this connection's and goes with it.
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "news")

    def callback(ch, method, properties, body):
        print(f"{name} hears: {body.decode()}")
        ch.basic_ack(method.delivery_tag)
        heard.append(body)
        if len(heard) == 4:
            ch.stop_consuming()

    channel.basic_consume(queue, callback)


heard = []
# Whoever subscribes later hears what comes later: an exchange keeps nothing.
subscribe("Anna")
subscribe("Ben")
for text in ["it begins", "it goes on"]:
    channel.basic_publish("news", "", text)
channel.start_consuming()
connection.close()
