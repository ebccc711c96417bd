"""TurnClock: the steady clock, read once a turn of the loop and not once a packet."""

import time


class TurnClock:
    """`now` is in seconds, `milliseconds` the same as a whole number, as flows' `used` is."""

    __slots__ = ("milliseconds", "now")

    def __init__(self) -> None:
        self.tick()

    def tick(self) -> None:
        """Read the clock."""
        self.now = time.monotonic()
        self.milliseconds = int(self.now * 1000)
