"""Sends one event with a key to the topic user_activity and waits until it is stored.

pip install confluent-kafka
python examples/user-activity-producer.py [HOST:PORT]
"""
import json
import os
import sys

from confluent_kafka import Producer

bootstrap = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("KAFKA", "127.0.0.1:9092")
producer = Producer({"bootstrap.servers": bootstrap, "client.id": "analytics_producer", "acks": "all"})
failures = []


def delivered(error, message):
    if error is not None:
        failures.append(error)
        print(f"not stored: {error}", file=sys.stderr)
    else:
        print(f"stored in {message.topic()}, partition {message.partition()}, offset {message.offset()}")


# The same key always goes to the same partition: one user's events stay in order.
producer.produce(
    topic="user_activity",
    key="user_123",
    value=json.dumps({"action": "login", "ts": "2023-10-18"}),
    on_delivery=delivered,
)
unsent = producer.flush(30)
sys.exit(1 if failures or unsent else 0)
