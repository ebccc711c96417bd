"""LinkWatch: tells when some link of this network namespace changed, by rtnetlink.

It does not read what changed: whoever is told looks at its own links, so a lost notification
among many costs nothing.
"""

import socket
from typing import Final

_RTMGRP_LINK: Final = 1
_READ: Final = 65536
_MAX_READS: Final = 64


class LinkWatch:
    """A socket that becomes readable when a link appears, changes or goes away."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK))

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Forget the notifications that are there."""
        for _ in range(_MAX_READS):
            try:
                self._socket.recv(_READ)
            except BlockingIOError:
                return
            except OSError:
                continue  # ENOBUFS: some were lost, which does not matter here

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()
