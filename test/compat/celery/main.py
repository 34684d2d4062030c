# The celery suite: main.py HOST:PORT TAG LEFT_OUT_JSON [REGEX]; starts a worker of shop.py and uses it.
# Promises: the worker is ended when the last check has; one JSON line a check.
# Does not know: the allow-list.

import datetime
import os
import signal
import subprocess
import sys
import threading
import time

from celery import chain, group
from celery.exceptions import Retry, TaskRevokedError
from kombu import Connection, Exchange, Queue

import shop
from python_checks import TAG, check, equal, run_checks, true, until
from shop import NAME, app

WAIT = 20
HERE = os.path.dirname(os.path.abspath(__file__))
QUEUES = f"{NAME}.orders,{NAME}.urgent,{NAME}.news"


class Worker:
    def __init__(self, name, concurrency):
        self.log = open(f"{name}.log", "w")
        command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-c", str(concurrency), "-l", "info", "-E"]
        command += ["-n", f"{name}@{NAME}", "-Q", QUEUES, "--without-mingle", "--without-gossip"]
        # In this program's process group, so that whoever ends that ends the worker too.
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def kill(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = file.read().split()
        self.process.kill()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def end(self):
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


workers = {"first": Worker("first", 2)}


def answer(result, limit=WAIT):
    return result.get(timeout=limit)


def revoked(result):
    try:
        answer(result)
    except TaskRevokedError:
        return
    raise AssertionError("it was not revoked")


packing = 0


def pack(seconds):
    """A task that is known to run when this returns."""
    global packing
    packing += 1
    path = os.path.abspath(f"packing-{packing}.txt")
    result = shop.pack.delay(seconds, path)
    until("started", lambda: os.path.exists(path), WAIT)
    return result


@check("a call is answered", 60)
def _():
    equal(answer(shop.price.delay(3, 7), 50), 21, "three at seven")


@check("three hundred calls, each with its own answer over the reply queue")
def _():
    results = [shop.price.delay(number, 2) for number in range(300)]
    equal([answer(result) for result in results], [2 * number for number in range(300)], "answers")


@check("a chain hands its results on")
def _():
    equal(answer(chain(shop.price.s(2, 5), shop.plus.s(1), shop.plus.s(-4))()), 7, "the end of the chain")


@check("a group gathers its results in order")
def _():
    equal(answer(group(shop.plus.s(number, 100) for number in range(25))()), list(range(100, 125)), "results")


@check("a group inside a chain")
def _():
    made = chain(shop.plus.s(1, 1), group(shop.plus.s(10), shop.plus.s(20)))()
    equal(answer(made), [12, 22], "results")


@check("an exception comes back as itself")
def _():
    try:
        answer(shop.reserve.delay("spool"))
    except shop.OutOfStock as error:
        equal(str(error), "spool", "its message")
        return
    raise AssertionError("nothing was raised")


@check("retries with a countdown until it works")
def _():
    equal(answer(shop.charge.delay(3)), 3, "retries")


@check("retries that are used up come back as an error")
def _():
    try:
        answer(shop.charge.delay(99))
    except Retry:
        raise
    except Exception as error:
        true("charge" in str(error), f"{type(error).__name__}: {error}")
        return
    raise AssertionError("nothing was raised")


@check("a countdown waits")
def _():
    began = time.monotonic()
    equal(answer(shop.plus.apply_async((1, 1), countdown=1.5)), 2, "answer")
    true(time.monotonic() - began > 1.2, "it came too early")


@check("an ETA waits, and what is not due does not hold up what is")
def _():
    due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    late = [shop.plus.apply_async((number, 0), eta=due) for number in range(4)]
    began = time.monotonic()
    equal(answer(shop.plus.delay(5, 5)), 10, "the one without an ETA")
    true(time.monotonic() - began < 2, "it waited for the others")
    equal([answer(result) for result in late], list(range(4)), "the late ones")


@check("an expired task is not run")
def _():
    path = os.path.abspath("expired.txt")
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
    result = shop.write_down.apply_async((path, "late"), expires=past)
    revoked(result)
    true(not os.path.exists(path), "it ran")


@check("a parcel of 2 MiB")
def _():
    equal(answer(shop.weigh.delay("x" * (2 << 20))), 2 << 20, "its length")


@check("priorities: what matters more overtakes what waits")
def _():
    path = os.path.abspath("urgent.txt")
    busy = [shop.pack.apply_async((1.5,), queue=f"{NAME}.urgent", priority=9) for _ in range(2)]
    time.sleep(0.5)
    words = [(number % 10) for number in range(30)]
    results = [shop.write_down.apply_async((path, word), queue=f"{NAME}.urgent", priority=word) for word in words]
    for result in busy + results:
        answer(result)
    written = [int(line) for line in open(path).read().split()]
    equal(len(written), 30, "written")
    # Eight may have been handed out before the queue had the rest to choose from.
    true(sum(written[8:18]) > sum(written[-10:]) + 30, f"the order was {written}")


@check("a topic exchange finds the queue")
def _():
    result = shop.where.apply_async(exchange=f"{NAME}.news", routing_key="news.today.sent")
    equal(answer(result), "news.today.sent", "routing key")


@check("state on the way: started, half-way, done")
def _():
    seen = []
    whole = shop.progress.delay().get(timeout=WAIT, on_message=lambda message: seen.append(message["status"]))
    equal(whole, "whole", "the result")
    equal(seen, ["STARTED", "HALFWAY", "SUCCESS"], "states")


@check("remote control: ping reaches the worker through the fanout")
def _():
    # Other applications of this broker hear it too.
    names = [name for reply in until("pong", lambda: app.control.ping(timeout=1), WAIT) for name in reply]
    true(f"first@{NAME}" in names, f"only {names} answered")


@check("remote control: inspect tells queues, tasks and counts")
def _():
    inspect = app.control.inspect(timeout=2)
    queues = [queue["name"] for queue in until("queues", inspect.active_queues, WAIT)[f"first@{NAME}"]]
    equal(sorted(queues), sorted(QUEUES.split(",")), "queues")
    true("shop.price" in inspect.registered()[f"first@{NAME}"], "price is not registered")
    true(inspect.stats()[f"first@{NAME}"]["total"]["shop.price"] >= 1, "price was not counted")


@check("remote control: a queue is taken up and left again")
def _():
    extra = f"{NAME}.extra"
    app.control.add_consumer(extra, reply=True, timeout=3, exchange=f"{NAME}.work", routing_key="extra")
    equal(answer(shop.plus.apply_async((2, 2), exchange=f"{NAME}.work", routing_key="extra")), 4, "answer")
    app.control.cancel_consumer(extra, reply=True, timeout=3)
    with Connection(os.environ["SHOP_BROKER"]) as connection:
        queue = Queue(extra, channel=connection.default_channel)
        until("no consumer", lambda: queue.queue_declare(passive=True).consumer_count == 0, WAIT)
        queue.delete()


@check("revoke before it is due")
def _():
    path = os.path.abspath("revoked.txt")
    result = shop.write_down.apply_async((path, "no"), countdown=2)
    result.revoke()
    revoked(result)
    true(not os.path.exists(path), "it ran")


@check("revoke and terminate while it runs")
def _():
    result = pack(60)
    result.revoke(terminate=True, signal="SIGKILL")
    revoked(result)


@check("events of a task, in order, through the topic exchange")
def _():
    seen = []
    box = []

    def take(event):
        seen.append((event["type"], event.get("uuid")))
        # Workers' heartbeats come for ever: what is waited for is the end of the task.
        receiver.should_stop = event["type"] == "task-succeeded" and event["uuid"] == box[0].id

    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": take})
        timer = threading.Timer(0.5, lambda: box.append(shop.plus.delay(1, 2)))
        timer.start()
        receiver.capture(limit=None, timeout=10, wakeup=False)
    of_task = [kind for kind, task in seen if task == box[0].id]
    wanted = ["task-received", "task-started", "task-succeeded"]
    equal([kind for kind in of_task if kind in wanted], wanted, f"events, of {of_task}")


@check("declare, purge, delete through kombu")
def _():
    with Connection(os.environ["SHOP_BROKER"]) as connection:
        channel = connection.default_channel
        queue = Queue(f"{NAME}.scratch", Exchange(f"{NAME}.scratch", type="fanout"), channel=channel)
        queue.declare()
        producer = connection.Producer(exchange=queue.exchange)
        for number in range(12):
            producer.publish({"number": number})
        until("twelve", lambda: queue.queue_declare(passive=True).message_count == 12)
        message = queue.get()
        equal(message.payload, {"number": 0}, "the first")
        message.ack()
        equal(queue.purge(), 11, "purged")
        queue.delete()
        queue.exchange(channel).delete()


@check("kombu with compression, several serializers and confirms")
def _():
    options = {"confirm_publish": True}
    with Connection(os.environ["SHOP_BROKER"], transport_options=options) as connection:
        queue = connection.SimpleQueue(f"{NAME}.simple")
        for serializer in ("json", "json", "pickle"):
            queue.put({"of": serializer}, serializer=serializer, compression="zlib")
        queue.consumer.accept = {"application/json", "application/x-python-serialize"}
        got = [queue.get(timeout=5) for _ in range(3)]
        equal([message.payload["of"] for message in got], ["json", "json", "pickle"], "payloads")
        for message in got:
            message.ack()
        queue.close()
        Queue(f"{NAME}.simple", channel=connection.default_channel).delete()


@check("a worker killed with -9 loses nothing: another runs its task, told that it is redelivered", 60)
def _():
    result = pack(5)
    workers["first"].kill()
    workers["second"] = Worker("second", 2)
    equal(answer(result, 50), True, "redelivered")


@check("a worker asked to stop finishes its task and leaves the next for others", 60)
def _():
    until("pong", lambda: app.control.ping(timeout=1), 40)
    running = pack(2)
    code = workers["second"].end()
    equal(code, 0, "exit code")
    left = shop.plus.delay(20, 2)
    workers["third"] = Worker("third", 1)
    equal(answer(running), False, "redelivered")
    equal(answer(left, 40), 22, "the next")


def tidy():
    for worker in workers.values():
        if worker.process.poll() is None:
            worker.end()
    with Connection(os.environ["SHOP_BROKER"]) as connection:
        for name in QUEUES.split(","):
            Queue(name, channel=connection.default_channel).delete()


run_checks(tidy)
