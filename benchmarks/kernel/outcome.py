"""What a run of a benchmark comes to, and what a whole benchmark of the kernel does."""

import statistics

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """One run: how long it took, and what the datapath answered."""

    nanoseconds: int
    errors: int
    replies: int = 0


class Row(Struct, frozen=True):
    """One line of the table: µs per operation of each round, C's and ours."""

    name: str
    c: tuple[float, ...]
    ours: tuple[float, ...]
    compared_with: str = "C"
    """Whose figures `others` are."""
    others: tuple[float, ...] = ()
    wanted: float | None = None
    wanted_ratio: float | None = None
    faults: tuple[str, ...] = ()
    """Errors, and flows or packets that were missing: with one of them a figure means nothing."""

    @property
    def median(self) -> float:
        """Our median, in µs."""
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float:
        """The median over the rounds of ours against the others' of the same round."""
        return statistics.median(a / b for a, b in zip(self.ours, self.others, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether all that is wanted is reached; None if nothing is."""
        if self.wanted is None and self.wanted_ratio is None:
            return None
        return (
            not self.faults
            and (self.wanted is None or self.median < self.wanted)
            and (self.wanted_ratio is None or self.ratio <= self.wanted_ratio)
        )


class Part(Struct, frozen=True):
    """Where the time goes: one part of a row, µs per operation."""

    name: str
    median: float
    lowest: float


class Rate(Struct, frozen=True):
    """Packets of new flows a second through one switch."""

    name: str
    per_second: float
    arrived: int
    sent: int
    note: str = ""


class SocketsRow(Struct, frozen=True):
    """Upcalls by port or by CPU: new flows a second, and what others are served during a flood."""

    mode: str
    ports: int
    per_second: float
    lowest: float
    highest: float
    arrived: float
    """What part of the packets arrived whose rate is told."""
    share: float | None
    """What part of the others' new flows is served while one port floods; None of one port."""
    least_share: float = 0.0
    most_share: float = 0.0
    flood_share: float = 0.0
    """What part of the flood is."""


class Report(Struct, frozen=True):
    """All that was measured in one boot."""

    kernel: str
    rows: tuple[Row, ...] = ()
    parts: tuple[Part, ...] = ()
    rates: tuple[Rate, ...] = ()
    sockets: tuple[SocketsRow, ...] = ()
