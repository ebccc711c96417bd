"""Runs a command on the running kernel, in namespaces of its own."""

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from tests.kernel import enclosure, families, uml

_GRACE: Final = 10.0
"""Seconds that a command has after Ctrl-C to say what it did: pytest tells of the tests so far."""


def run(
    words: Sequence[str], environment: Mapping[str, str], *, cpu: int | None, timeout: float
) -> int:
    """Return the command's exit status; `timeout` is in seconds.

    Raise BootError where this kernel has no openvswitch or the command did not end in time,
    OSError where namespaces are refused. To be called once in a process, which it moves into them.
    """
    if not families.have_openvswitch():
        raise uml.BootError("this kernel has no openvswitch")
    enclosure.enter(network=True)
    enclosure.raise_loopback()
    enclosure.mount("sysfs", Path("/sys"))  # the one mounted shows the links outside
    until = time.monotonic() + timeout

    interrupted = False

    def hurry(_number: int, _frame: FrameType | None) -> None:
        nonlocal until, interrupted
        until = min(until, time.monotonic() + _GRACE)
        interrupted = True

    signal.signal(signal.SIGINT, hurry)
    first = enclosure.start(enclosure.Command(words=words, environment=environment, cpu=cpu))
    ended = os.pidfd_open(first)
    try:
        while not select.select([ended], [], [], 0.5)[0]:
            if time.monotonic() >= until and interrupted:
                raise uml.BootError("interrupted", 128 + signal.SIGINT)
            if time.monotonic() >= until:
                raise uml.BootError(f"the command did not end in {timeout:g} s", 124)
    finally:
        os.close(ended)
        os.kill(first, signal.SIGKILL)
        _, status = os.waitpid(first, 0)
    return enclosure.exit_status(status)
