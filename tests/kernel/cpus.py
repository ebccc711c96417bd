"""Chooses the CPU that a kernel of one CPU is pinned to."""

import os
import time
from pathlib import Path
from typing import Final

_WATCHED: Final = 0.1
"""Seconds; a tenth is ten ticks of /proc/stat, enough to tell busy from idle."""


def least_busy() -> int:
    """Return the CPU of those we may use that is idle most; of equals the last."""
    allowed = sorted(os.sched_getaffinity(0))
    before = idle_ticks(Path("/proc/stat").read_text())
    time.sleep(_WATCHED)
    after = idle_ticks(Path("/proc/stat").read_text())
    return max(allowed, key=lambda cpu: (after.get(cpu, 0) - before.get(cpu, 0), cpu))


def idle_ticks(stat: str) -> dict[int, int]:
    """Return the idle ticks of each CPU from the text of /proc/stat (proc(5))."""
    found = {}
    for line in stat.splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu":
            found[int(name.removeprefix("cpu"))] = int(counts[3])
    return found
