# The named checks of a Python suite: a registry, small assertions, one JSON line an outcome.
# Promises: a check that raises or takes longer than its limit is a failure and the next one runs.
# Does not know: what is checked, with which client.

import json
import os
import re
import signal
import sys
import time
import traceback

ADDRESS = sys.argv[1]
HOST, PORT = ADDRESS.rsplit(":", 1)
PORT = int(PORT)
TAG = sys.argv[2]
LEFT_OUT = set(json.loads(sys.argv[3]))
ONLY = re.compile(sys.argv[4]) if len(sys.argv) > 4 else None
CHECKS = []


class NoEnd(BaseException):
    """Not an Exception: clients take a timeout for one of their own and go on."""


def check(name, limit=30):
    def register(function):
        CHECKS.append((name, limit, function))
        return function

    return register


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: expected {str(expected)[:150]}, got {str(actual)[:150]}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def until(what, ask, limit=10):
    deadline = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(0.02)


def say(outcome):
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()


def run_checks(before_exit=lambda: None):
    for title, limit, function in CHECKS:
        if title in LEFT_OUT or (ONLY is not None and not ONLY.search(title)):
            continue
        note = ""

        def late(*_):
            raise NoEnd(f"not within {limit} s")

        # In the main thread: clients keep what they know of a conversation by thread.
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            function()
        except BaseException as error:  # every end of a check is an outcome
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"line {frame.lineno} of {os.path.basename(frame.filename)}"
            note = f"{type(error).__name__}: {error} ({where})"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        say({"name": title, "verdict": "fail" if note else "pass", "note": note})
    before_exit()
    # Threads of checks that hang must not hold the process.
    os._exit(0)
