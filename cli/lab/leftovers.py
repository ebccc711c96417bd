"""Ends processes that a lab's user started inside it and that would keep its namespaces alive.

They are told by the namespace that they are in, while the keeper holds it, or else by the
lab's token in their environment: a namespace's number may be another's once it is free, so the
number alone is no proof after the keeper's death.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TOKEN = "AYATORI_LAB"  # noqa: S105 - a mark, no secret
"""Environment variable that every process of a lab has."""

_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""
_ROUNDS = 5
"""A process may fork while it is being ended; so often is looked again."""


def _processes() -> Iterator[int]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib makes thousands of objects here
        if entry.isdigit():
            yield int(entry)


def in_namespaces(identities: frozenset[tuple[int, int]]) -> tuple[int, ...]:
    """Return the processes, except this one, in the network namespaces of these identities."""
    found = []
    for pid in _processes():
        with suppress(OSError):
            status = os.stat(f"/proc/{pid}/ns/net")  # noqa: PTH116 - as above
            if (status.st_dev, status.st_ino) in identities and pid != os.getpid():
                found.append(pid)
    return tuple(found)


def with_variable(name: str, value: str) -> tuple[int, ...]:
    """Return the processes, except this one, that were started with this environment variable."""
    needle = f"{name}={value}".encode()
    found = []
    for pid in _processes():
        with suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if needle in variables and pid != os.getpid():
                found.append(pid)
    return tuple(found)


def end_all_in(identities: frozenset[tuple[int, int]]) -> None:
    """End every process in these network namespaces; they must be held while this runs."""
    for _ in range(_ROUNDS):
        pids = in_namespaces(identities)
        if not pids:
            return
        end(pids)


def end_all_with(token: str) -> None:
    """End every process with a dead keeper's token."""
    for _ in range(_ROUNDS):
        pids = with_variable(TOKEN, token)
        if not pids:
            return
        end(pids)


def end(pids: tuple[int, ...]) -> None:
    """End these processes: SIGTERM, then SIGKILL. Returns when they have ended."""
    handles = []
    for pid in pids:
        with suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
    try:
        for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
            for handle in handles:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            if wait_for_end(handles, patience):
                return
    finally:
        for handle in handles:
            os.close(handle)


def wait_for_end(handles: list[int], patience: float) -> bool:
    """Wait until the processes of these pidfds have ended, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    left = len(handles)
    while left:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ended:
            return False
        for handle, _ in ended:
            poll.unregister(handle)
            left -= 1
    return True
