"""Buffered reading: kazoo's connection takes what has arrived at once, not header and body apiece.

kazoo 2.11 makes four system calls for each event and answer. A server that sends many events has
them in the socket together; taking them together halves what an event costs here.
"""

import socket
from typing import Final

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionDropped
from kazoo.protocol.connection import CLOSE_RESPONSE

_AT_ONCE: Final = 65_536
"""Bytes. What is taken is handled whole before a request is sent, so it must not be too much."""
_LENGTH: Final = 4


def read_buffered(client: KazooClient) -> None:
    """Have kazoo read through a buffer. TLS, whose sockets have one of their own, is not used."""
    connection = client._connection  # noqa: SLF001 - kazoo has no hook
    read_one = connection._read_socket  # noqa: SLF001
    select = client.handler.select
    buffer = bytearray()
    source: socket.socket | None = None

    def read(length: int, timeout: float) -> bytes:
        nonlocal source
        if connection._socket is not source:  # noqa: SLF001
            source = connection._socket  # noqa: SLF001
            buffer.clear()
        with connection._socket_error_handling():  # noqa: SLF001
            while len(buffer) < length:
                buffer.extend(_receive(timeout))
        taken = bytes(buffer[:length])
        del buffer[:length]
        return taken

    def _receive(timeout: float) -> bytes:
        assert source is not None  # noqa: S101 - set by the caller
        try:
            data = source.recv(_AT_ONCE)
        except BlockingIOError:
            if not select([source], [], [], timeout)[0]:
                raise client.handler.timeout_exception("socket time-out during read") from None
            data = source.recv(_AT_ONCE)
        if not data:
            raise ConnectionDropped("socket connection broken")
        return data

    def read_socket(timeout: float) -> object:
        """Handle all that is whole: the socket will not call for what is in the buffer."""
        while True:
            response: object = read_one(timeout)
            if response == CLOSE_RESPONSE or len(buffer) < _LENGTH:
                return response
            if len(buffer) < _LENGTH + int.from_bytes(buffer[:_LENGTH]):
                return response

    connection._read = read  # noqa: SLF001
    connection._read_socket = read_socket  # noqa: SLF001
