"""How a figure is taken: several rounds, the median of them, so that a noisy machine shows less."""

import gc
import statistics
import time
from collections.abc import Callable

from msgspec import Struct

ROUNDS = 7


class Figure(Struct, frozen=True):
    """One line of the table. `wanted` is a limit, None where there is none."""

    name: str
    value: float
    unit: str
    wanted: float | None = None
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        return None if self.wanted is None else self.value <= self.wanted


def per_operation(
    name: str,
    prepare: Callable[[], tuple[Callable[[], None], int]],
    *,
    wanted: float | None = None,
    rounds: int = ROUNDS,
) -> Figure:
    """Measure µs per operation: `prepare` gives what to run and how many operations that is."""
    values = []
    for _ in range(rounds):
        run, count = prepare()
        gc.collect()
        gc.disable()
        begin = time.perf_counter()
        run()
        values.append((time.perf_counter() - begin) / count * 1e6)
        gc.enable()
    return Figure(name, statistics.median(values), "µs", wanted, min(values), max(values))
