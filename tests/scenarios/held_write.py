"""A TCP proxy to a ZooKeeper server that holds a client's first write back."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from tests.scenarios.waiting import PATIENCE

_FRAME = struct.Struct("!i")
_REQUEST = struct.Struct("!iii")
"""After the length: a request's number and its kind; of a transaction, its first operation's kind."""
_MULTI, _CHECK = 14, 13  # ZooDefs.OpCode; one of checks alone comes before what is read


class HeldWrite:
    """For one client: what it read is old by the time that what it writes arrives."""

    def __init__(self, target: str) -> None:
        """Listen; `target` is the server's `host:port`."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held = threading.Event()
        self._released = threading.Event()
        self._links: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """Where the client connects, as `host:port`."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def wait_held(self) -> None:
        """Wait until the client has asked for its transaction."""
        assert self._held.wait(PATIENCE)

    def release(self) -> None:
        """Let the transaction go on to the server."""
        self._released.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for link in self._links:
            link.close()

    def _accept(self) -> None:
        with suppress(OSError):  # of the listener's end
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, PATIENCE)
                far.settimeout(None)
                self._links += [near, far]
                for way in (self._requests, self._answers):
                    thread = threading.Thread(target=way, args=(near, far))
                    self._threads.append(thread)
                    thread.start()

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError), near.makefile("rb") as stream:
            while len(length := stream.read(_FRAME.size)) == _FRAME.size:
                body = stream.read(_FRAME.unpack(length)[0])
                if _writes(body):
                    self._held.set()
                    self._released.wait(PATIENCE)
                far.sendall(length + body)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)


def _writes(body: bytes) -> bool:
    """Tell whether a request is a transaction that changes something."""
    if len(body) < _REQUEST.size:
        return False
    _, kind, first = _REQUEST.unpack_from(body)
    return bool(kind == _MULTI and first != _CHECK)
