"""Handler: how kazoo waits and dials here: cheaply, and within bounds.

kazoo's own waits through a selector that is built and thrown away each time, three times an
event; that is most of what an event costs.
"""

import errno
import select
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from kazoo.handlers.threading import SequentialThreadingHandler

DIAL_SECONDS: Final = 2.0
"""How long one server may take to accept, before the next one is tried."""


class _File(Protocol):
    def fileno(self) -> int: ...


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's handler of threads."""

    def __init__(self, before_dial: Callable[[], None]) -> None:
        """Have `before_dial` called, on kazoo's thread, before each attempt to connect."""
        super().__init__()
        self._before_dial = before_dial

    def create_connection(self, *args: Any, timeout: float, **kwargs: Any) -> Any:
        """Connect to a server."""
        self._before_dial()
        return super().create_connection(*args, timeout=min(timeout, DIAL_SECONDS), **kwargs)

    def select(
        self,
        reading: Sequence[_File],
        writing: Sequence[_File],
        _failing: Sequence[_File],
        timeout: float | None = None,
    ) -> tuple[list[_File], list[_File], list[_File]]:
        """Wait as select.select does, for any file descriptor. Raises OSError for a closed one."""
        poll = select.poll()
        try:
            for file in reading:
                poll.register(file, select.POLLIN)
            for file in writing:
                poll.register(file, select.POLLOUT)
        except ValueError as error:
            raise OSError(errno.EBADF, str(error)) from error
        ready = {found for found, _ in poll.poll(None if timeout is None else timeout * 1000)}
        return (
            [file for file in reading if file.fileno() in ready],
            [file for file in writing if file.fileno() in ready],
            [],
        )
