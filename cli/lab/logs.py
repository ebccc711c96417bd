"""`lab logs`: shows the log of a host's agent, and follows it."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cli.errors import CommandError, ExitStatus
from cli.lab.registry import RunningLab, is_alive

_INTERVAL = 0.1
"""Seconds between looks at a followed log."""
_CHUNK = 1 << 16


def log_of(lab: RunningLab, host: str) -> Path:
    """Return the log of a host's agent. Raises CommandError NOT_FOUND naming the hosts."""
    if host not in lab.hosts:
        raise CommandError(
            f"lab {lab.name} has no host {host!r} (hosts: {', '.join(lab.hosts) or 'none'})",
            ExitStatus.NOT_FOUND,
        )
    return lab.hosts[host].log


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log, none if there is no log yet."""
    try:
        with path.open(errors="replace") as log:
            return [line.rstrip("\n") for line in deque(log, maxlen=count)]
    except FileNotFoundError:
        return []


def read(lab: RunningLab, host: str, lines: int | None, *, follow: bool) -> Iterator[bytes]:
    """Yield the log of a host's agent: its last `lines` lines or all, then what is added.

    Following ends with the lab. Raises CommandError.
    """
    path = log_of(lab, host)
    if not path.exists() and not follow:
        return
    path.touch(mode=0o600)
    with path.open("rb") as log:
        if lines is not None:
            yield b"".join(deque(log, maxlen=lines))
        while True:
            yield from iter(lambda: log.read(_CHUNK), b"")
            if not follow or not is_alive(lab.files):
                return
            _wait(lab, log)


def _wait(lab: RunningLab, log: BinaryIO) -> None:
    while is_alive(lab.files) and os.fstat(log.fileno()).st_size == log.tell():
        time.sleep(_INTERVAL)
    if os.fstat(log.fileno()).st_size < log.tell():
        log.seek(0)  # the keeper has cut it
