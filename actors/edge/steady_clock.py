"""SteadyClock: the only clock of an agent. Wall time at its start, counted on monotonically.

So times read as dates, never run backwards, and do not jump when the machine's clock is set.
"""

import time

from actors.values import Nanoseconds


class SteadyClock:
    """See the module. Any thread may read it."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> Nanoseconds:
        """Return the time in nanoseconds since 1970-01-01 UTC."""
        return Nanoseconds(time.monotonic_ns() + self._offset)
