"""A relay of TCP connections from one network namespace into another, in a process of its own.

It dials from the namespace that it was started in, for listeners that it is sent, which may be of
any other. Ends with the keeper that started it. It reads nothing of what passes.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import cli
from cli.lab import namespaces

_MOST_LISTENERS: Final = 64
_LARGEST_MESSAGE: Final = 65_536
_CHUNK: Final = 65_536
_DIAL_SECONDS: Final = 5.0


class Relay:
    """The keeper's end of a relay's process, started in the calling thread's network namespace."""

    def __init__(self) -> None:
        """Start the process. Raises OSError."""
        self._link, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keeper = os.getpid()
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "cli.lab.relay", str(far.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=Path(cli.__file__).parents[1],
                pass_fds=(far.fileno(),),
                start_new_session=True,
                preexec_fn=lambda: namespaces.die_with_parent(keeper),  # noqa: PLW1509 - one thread
            )

    def serve(self, listeners: Sequence[socket.socket], targets: Sequence[str]) -> None:
        """Have connections to each listener forwarded to its target, `host:port`. Raises OSError."""
        descriptors = [listener.fileno() for listener in listeners]
        socket.send_fds(self._link, [json.dumps(list(targets)).encode()], descriptors)

    @property
    def ended(self) -> bool:
        """Whether the process has ended, which it does not by itself."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End it."""
        self._link.close()
        self._process.kill()
        self._process.wait()


async def _serve(link: socket.socket) -> None:
    data, descriptors, _, _ = socket.recv_fds(link, _LARGEST_MESSAGE, _MOST_LISTENERS)
    targets = json.loads(data) if data else []
    servers = [
        await asyncio.start_server(_forwarder(target), sock=socket.socket(fileno=descriptor))
        for target, descriptor in zip(targets, descriptors, strict=True)
    ]
    link.setblocking(False)
    await asyncio.get_running_loop().sock_recv(link, 1)
    for server in servers:
        server.close()


class _forwarder:  # noqa: N801 - it is used as a function
    """Forwards a connection to a target."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)

    async def __call__(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            dialling = asyncio.open_connection(self._host, self._port)
            far, on = await asyncio.wait_for(dialling, _DIAL_SECONDS)
        except (OSError, TimeoutError):
            back.close()
            return
        ways = [asyncio.create_task(_copy(near, on)), asyncio.create_task(_copy(far, back))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        on.close()
        back.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))
