"""Try again later what failed, and set aside what keeps failing, without a timer of one's own:
  work ──failed──▶ work.retry.100, .200 (messages expire there and are dead-lettered back to work)
       ──failed too often──▶ work.dead
The jobs behind a failed one do not wait for it.
pip install pika; python examples/rabbitmq/retry-dead-letter.py [URL]
"""
import os
import sys

import pika

DELAYS_MS = [100, 200]
url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()


def dead_to(queue):
    # The default exchange routes by the queue's name, also what is dead.
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}


channel.queue_declare("work.dead", durable=True)
channel.queue_declare("work", durable=True, arguments=dead_to("work.dead"))
for delay in DELAYS_MS:
    channel.queue_declare(f"work.retry.{delay}", durable=True, arguments={"x-message-ttl": delay, **dead_to("work")})
finished = []


def handle(ch, method, properties, body):
    job = body.decode()
    # Counted by us: what the broker writes down of deaths it believes from nobody else, so a copy begins anew.
    attempt = (properties.headers or {}).get("attempt", 1)
    if not job.startswith("broken") and (attempt >= 3 or not job.startswith("flaky")):
        print(f"done: {job}, attempt {attempt}")
        finished.append(job)
    elif attempt > len(DELAYS_MS):
        # Refused without requeue it goes where the queue's dead letters go: work.dead.
        return ch.basic_nack(method.delivery_tag, requeue=False)
    else:
        # First the copy is confirmed, then the original may go: a crash in between makes two, never none.
        retry = pika.BasicProperties(headers={"attempt": attempt + 1})
        ch.basic_publish("", f"work.retry.{DELAYS_MS[attempt - 1]}", body, retry)
    ch.basic_ack(method.delivery_tag)


def bury(ch, method, properties, body):
    headers = properties.headers
    print(f"dead: {body.decode()}, {headers['x-last-death-reason']} after attempt {headers['attempt']}")
    ch.basic_ack(method.delivery_tag)
    finished.append(body)


channel.basic_consume("work", handle)
channel.basic_consume("work.dead", bury)
for job in ["good-1", "flaky-1", "broken-1", "good-2"]:
    channel.basic_publish("", "work", job)
while len(finished) < 4:
    connection.process_data_events(time_limit=5)
connection.close()
