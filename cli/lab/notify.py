"""The receiving end of systemd's notify protocol, for the agents that the keeper runs.

A service sends datagrams of `KEY=VALUE` lines to the socket named by NOTIFY_SOCKET; sd_notify(3)
says which. Ready, stopping and the status line matter here, the rest is ignored.
"""

import os
import socket
from pathlib import Path

from msgspec import Struct

_LIMIT = 4096
"""Bytes of a datagram that are read."""
_BATCH = 64
"""Datagrams read in one go, so that a chatty service cannot hold the keeper up."""


class Notice(Struct, frozen=True):
    """What one datagram said."""

    ready: bool = False
    stopping: bool = False
    status: str | None = None


def parse(datagram: bytes) -> Notice:
    """Read a datagram; lines that mean nothing here, or nothing at all, are left out."""
    ready = stopping = False
    status = None
    for line in datagram.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key == "READY":
            ready = value == "1"
        elif key == "STOPPING":
            stopping = value == "1"
        elif key == "STATUS":
            status = value
    return Notice(ready, stopping, status)


class NotifySocket:
    """The socket that one service notifies."""

    def __init__(self, path: Path) -> None:
        """Bind at `path`, replacing what is there. Raises OSError."""
        self.path = path
        path.unlink(missing_ok=True)
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind)
        self._socket.bind(os.fspath(path))
        path.chmod(0o600)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def read(self) -> tuple[Notice, ...]:
        """Return what has arrived."""
        notices = []
        for _ in range(_BATCH):
            try:
                notices.append(parse(self._socket.recv(_LIMIT)))
            except BlockingIOError:
                break
        return tuple(notices)

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
