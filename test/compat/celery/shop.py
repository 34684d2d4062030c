# A small web shop's background work: what a Celery application of everyday looks like.
# Promises: every queue and exchange carries the run's name, so that runs do not meet.
# Does not know: who calls its tasks.

import os
import time

from celery import Celery
from kombu import Exchange, Queue

NAME = os.environ["SHOP_NAME"]

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend="rpc://")

work = Exchange(f"{NAME}.work", type="direct")
news = Exchange(f"{NAME}.news", type="topic")

app.conf.update(
    task_queues=[
        Queue(f"{NAME}.orders", work, routing_key="orders"),
        Queue(f"{NAME}.urgent", work, routing_key="urgent", queue_arguments={"x-max-priority": 9}),
        Queue(f"{NAME}.news", news, routing_key="news.*.sent"),
    ],
    task_default_queue=f"{NAME}.orders",
    task_default_exchange=f"{NAME}.work",
    task_default_routing_key="orders",
    # What happens to a task whose worker dies is what this suite is about.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_track_started=True,
    task_send_sent_event=True,
    worker_send_task_events=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    result_expires=120,
)


class OutOfStock(Exception):
    pass


@app.task
def price(amount, each):
    return amount * each


@app.task
def plus(total, more):
    return total + more


@app.task
def reserve(article):
    raise OutOfStock(article)


@app.task(bind=True, max_retries=5)
def charge(self, fails):
    if self.request.retries < fails:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def weigh(parcel):
    return len(parcel)


@app.task(bind=True)
def pack(self, seconds, path=None):
    if path is not None:
        open(path, "a").close()
    time.sleep(seconds)
    return self.request.delivery_info["redelivered"]


@app.task(bind=True)
def where(self):
    return self.request.delivery_info["routing_key"]


@app.task(bind=True)
def write_down(self, path, word):
    with open(path, "a") as file:
        file.write(f"{word}\n")
    return word


@app.task(bind=True)
def progress(self):
    self.update_state(state="HALFWAY", meta={"done": 50})
    time.sleep(0.5)
    return "whole"
