"""Two workers share a queue of tasks. With a prefetch of 1 each gets its next task when it has done its last: the slow
task holds up one worker, and the other does all the rest.

pip install pika
python examples/rabbitmq/task-queue.py [URL]
"""
import os
import sys
import threading
import time

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
tasks = ["slow", "quick-1", "quick-2", "quick-3"]
left = threading.Semaphore(0)
ready = threading.Barrier(3)
is_over = threading.Event()


def worker(name):
    # A connection of pika's belongs to one thread.
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("tasks", durable=True)
    # Without this the broker would hand out everything at once, however busy the worker is.
    channel.basic_qos(prefetch_count=1)

    def callback(ch, method, properties, body):
        time.sleep(0.3 if body == b"slow" else 0.01)
        print(f"worker {name}: {body.decode()} is done")
        # Only after the work: a worker that dies before loses nothing, its task goes to another.
        ch.basic_ack(method.delivery_tag)
        left.release()

    channel.basic_consume("tasks", callback)
    ready.wait()
    while not is_over.is_set():
        connection.process_data_events(time_limit=0.1)
    connection.close()


workers = [threading.Thread(target=worker, args=(name,)) for name in "AB"]
for thread in workers:
    thread.start()
ready.wait()
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
for task in tasks:
    channel.basic_publish("", "tasks", task, pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent))
for task in tasks:
    left.acquire(timeout=10)
is_over.set()
for thread in workers:
    thread.join()
connection.close()
