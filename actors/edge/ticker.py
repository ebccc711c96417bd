"""Ticker: hands the lane the time, a few times a second."""

from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.time import ClockTicked
from actors.values import ActorName

CLOCK = ActorName("clock")
INTERVAL = 0.1
"""Seconds between ticks."""


class Ticker(Service):
    """See the module."""

    name = "ticker"

    def __init__(self, lane: Lane, clock: SteadyClock) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock

    def run(self) -> None:
        """Tick until stopped; a tick is left out while the lane has not taken the last one."""
        taken = 0
        while not self.stopping.wait(INTERVAL):
            if self._lane.busy and self._lane.inputs == taken:
                continue
            taken = self._lane.inputs
            self._lane.submit(CLOCK, ClockTicked(self._clock()))
