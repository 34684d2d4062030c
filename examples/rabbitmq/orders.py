"""A queue in its simplest form: one side publishes an order, the other takes it and says that it is done.

pip install pika
python examples/rabbitmq/orders.py [URL]
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")

# Producer
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
# Both sides declare the queue: whoever comes first makes it. A durable one is still there after a restart.
channel.queue_declare(queue="orders", durable=True)
# With confirms a publish returns once the message is on disk.
channel.confirm_delivery()
channel.basic_publish(exchange="", routing_key="orders", body="Order: #12345")
connection.close()

# Consumer
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.queue_declare(queue="orders", durable=True)


def callback(ch, method, properties, body):
    print(f"Order received: {body.decode()}")
    # Until then the message is this consumer's, and another's when this one dies.
    ch.basic_ack(method.delivery_tag)
    ch.stop_consuming()


channel.basic_consume(queue="orders", on_message_callback=callback)
channel.start_consuming()
connection.close()
