"""A TCP proxy in front of a server, whose links tests cut, stall and mend."""

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Forwards connections on a port of its own to `target` (`host:port`)."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._cut = False
        self._mute = 0
        self._links: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._spawn(self._accept)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections and accept no others."""
        with self._lock:
            self._cut = True
            links, self._links = self._links, set()
        for link in links:
            _end(link)

    def stall(self) -> None:
        """Forward nothing, without ending any connection; new ones are accepted and stall, too."""
        self._flowing.clear()

    def leave_unanswered(self, connections: int) -> None:
        """Accept so many more connections without ever saying anything on them."""
        with self._lock:
            self._mute = connections

    def mend(self) -> None:
        """Undo a cut and a stall."""
        with self._lock:
            self._cut = False
        self._flowing.set()

    def close(self) -> None:
        self.cut()
        self._flowing.set()
        _end(self._listener)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_left_unanswered(near):
                continue
            try:
                far = socket.create_connection(self._target, 5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                cut = self._cut
                if not cut:
                    self._links |= {near, far}
            if cut:
                near.close()
                far.close()
                continue
            self._spawn(self._forward, near, far)
            self._spawn(self._forward, far, near)

    def _is_left_unanswered(self, near: socket.socket) -> bool:
        with self._lock:
            mute = self._mute > 0 and not self._cut
            if mute:
                self._mute -= 1
                self._links.add(near)
            return mute

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        with self._lock:
            self._links -= {source, sink}
        _end(source)
        _end(sink)

    def _spawn(self, function: object, *arguments: socket.socket) -> None:
        assert callable(function)
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _end(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
