# The examples in Python and the README's program, run as they stand, each in a process of its own.
# Promises: what each says it does is seen in its output; what it declares under names of its own is deleted.
# Does not know: what the same examples in JavaScript print (test/e2e/examples.test.ts).

import os
import re
import subprocess
import sys

from connections import checked
from python_checks import ADDRESS, equal, true

ROOT = os.path.join(os.path.dirname(__file__), "..", "..", "..")
URL = f"amqp://guest:guest@{ADDRESS}"


def run(place, *program, queues=(), exchanges=()):
    place.queues.extend(queues)
    place.exchanges.extend(exchanges)
    ended = subprocess.run([sys.executable, *program], capture_output=True, text=True, timeout=20, cwd=ROOT)
    equal((ended.returncode, ended.stderr), (0, ""), "exit code and errors")
    return ended.stdout.splitlines()


def example(place, name, **declared):
    return run(place, f"examples/rabbitmq/{name}.py", URL, **declared)


@checked("example: orders")
def _(place):
    equal(example(place, "orders", queues=["orders"]), ["Order received: Order: #12345"], "output")


@checked("example: task-queue")
def _(place):
    done = [line.split(": ") for line in example(place, "task-queue", queues=["tasks"])]
    equal(sorted(task for _worker, task in done), sorted(f"{t} is done" for t in TASKS), "tasks")
    slow = next(worker for worker, task in done if task == "slow is done")
    equal([worker == slow for worker, _task in done], [False, False, False, True], "done by the slow task's worker")


TASKS = ["slow", "quick-1", "quick-2", "quick-3"]


@checked("example: publish-subscribe")
def _(place):
    heard = example(place, "publish-subscribe", exchanges=["news"])
    wanted = [f"{name} hears: {text}" for name in ["Anna", "Ben"] for text in ["it begins", "it goes on"]]
    equal(sorted(heard), wanted, "output")


@checked("example: routing")
def _(place):
    wanted = ["alerts.all: info: backup done", "alerts.all: error: disk full", "alerts.pager: error: disk full"]
    equal(example(place, "routing", queues=["alerts.all", "alerts.pager"], exchanges=["alerts"]), wanted, "output")


@checked("example: topics")
def _(place):
    queues = ["every.temperature", "all.of.the.kitchen"]
    wanted = [
        "every.temperature: kitchen.temperature = 21",
        "every.temperature: bath.temperature = 24",
        "all.of.the.kitchen: kitchen.temperature = 21",
        "all.of.the.kitchen: kitchen.door.locked = yes",
    ]
    equal(example(place, "topics", queues=queues, exchanges=["sensors"]), wanted, "output")


@checked("example: rpc")
def _(place):
    wanted = [f"the square of {number} is {number**2}" for number in [2, 3, 12]]
    equal(example(place, "rpc", queues=["rpc.square"]), wanted, "output")


@checked("example: retry-dead-letter")
def _(place):
    queues = ["work", "work.dead", "work.retry.100", "work.retry.200"]
    wanted = [
        "dead: broken-1, rejected after attempt 3",
        "done: flaky-1, attempt 3",
        "done: good-1, attempt 1",
        "done: good-2, attempt 1",
    ]
    equal(sorted(example(place, "retry-dead-letter", queues=queues)), wanted, "output")


@checked("example: publisher-confirms")
def _(place):
    wanted = [
        "100 invoices are on disk",
        "returned: NO_ROUTE, no.such.queue",
        "1 is confirmed",
        "2 is confirmed",
        "3 is refused: send it again later, or elsewhere",
    ]
    equal(example(place, "publisher-confirms", queues=["invoices", "two.only"]), wanted, "output")


@checked("example: priorities")
def _(place):
    wanted = ["5: password reset", "5: password reset again", "3: invoice", "0: newsletter 1", "0: newsletter 2"]
    equal(example(place, "priorities", queues=["mails"]), wanted, "output")


@checked("the README's program with pika")
def _(place):
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as page:
        blocks = re.findall(r"```python\n(.*?)```", page.read(), re.DOTALL)
    program = next(block for block in blocks if "import pika" in block)
    address = 'pika.URLParameters("amqp://127.0.0.1")'
    true(address in program, "it connects to the default address")
    said = run(place, "-c", program.replace(address, f'pika.URLParameters("{URL}")'), queues=["orders"])
    equal(said, ["b'Order: #12345'"], "output")
