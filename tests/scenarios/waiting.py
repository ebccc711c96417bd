"""Waiting for what must come: conditions with generous limits, since machines may be busy."""

import time
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds after which something that must happen has not happened.

Half the life of a flow that nothing ends: what was to end it is not excused by its age.
"""


def eventually(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Return as soon as `condition` holds; fail the test if it does not in `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"after {patience:g} s still not: {what}"
        time.sleep(0.02)
