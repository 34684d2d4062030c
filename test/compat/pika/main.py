# The pika suite: main.py HOST:PORT TAG LEFT_OUT_JSON [REGEX]; prints one JSON line a check.
# Promises: ends when the last check has.
# Does not know: the allow-list.

import messages  # noqa: F401
import routing  # noqa: F401
import refusals  # noqa: F401
import adapters  # noqa: F401
import examples  # noqa: F401
from python_checks import run_checks

run_checks()
