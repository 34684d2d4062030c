# The confluent-kafka suite: main.py HOST:PORT TAG LEFT_OUT_JSON [REGEX]; prints one JSON line a check.
# Promises: ends when the last check has.
# Does not know: the allow-list.

import harness
import streams  # noqa: F401
import members  # noqa: F401
import administer  # noqa: F401

harness.main()
