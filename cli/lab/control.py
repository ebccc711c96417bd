"""The keeper's control socket: one request and one reply per connection, JSON with a length.

A reply may carry file descriptors (SCM_RIGHTS): that is how `lab exec` gets at namespaces that
have no name. Both ends are here. The socket lies in a folder of its owner's, and the keeper
answers its own user only.
"""

import array
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from cli.errors import CommandError, ExitStatus

_LENGTH = struct.Struct("!I")
_LIMIT = 16 << 20
"""Bytes of a message: thousands of machines."""
_MOST_DESCRIPTORS = 4
_CREDENTIALS = struct.Struct("3i")

Message = dict[str, Any]
"""A JSON object."""


class Disconnected(Exception):  # noqa: N818 - it names what the other end did
    """The other end went away, or does not speak this protocol."""


def listen(path: Path) -> socket.socket:
    """Return a listening socket at `path`, replacing a dead one's. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def is_ours(connection: socket.socket) -> bool:
    """Tell whether the other end is the same user, or root."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return uid in {0, os.geteuid()}


def call(path: Path, request: Message, timeout: float) -> tuple[Message, tuple[int, ...]]:
    """Send a request to a keeper; return its reply and the descriptors that came with it.

    `timeout` is in seconds for each step. Raises CommandError NOT_FOUND if no keeper answers,
    TIMED_OUT if it takes too long.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            send(connection, request)
            return receive(connection)
        except TimeoutError as error:
            raise CommandError(
                f"the lab's keeper does not answer in {timeout:g} s", ExitStatus.TIMED_OUT
            ) from error
        except (OSError, Disconnected) as error:
            raise CommandError(
                f"the lab's keeper is gone ({error})", ExitStatus.NOT_FOUND
            ) from error


def send(connection: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message, with descriptors. Raises OSError."""
    body = json.dumps(message).encode()
    frame = _LENGTH.pack(len(body)) + body
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sent = connection.sendmsg([frame], ancillary)
    if sent < len(frame):
        connection.sendall(frame[sent:])


def receive(connection: socket.socket) -> tuple[Message, tuple[int, ...]]:
    """Receive one message and its descriptors. Raises Disconnected, OSError."""
    rights = array.array("i")
    space = socket.CMSG_SPACE(_MOST_DESCRIPTORS * rights.itemsize)
    data, ancillary, _, _ = connection.recvmsg(1 << 16, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            rights.frombytes(payload[: len(payload) - len(payload) % rights.itemsize])
    buffer = bytearray(data)
    while len(buffer) < _LENGTH.size or len(buffer) < _LENGTH.size + _length(buffer):
        chunk = connection.recv(1 << 16)
        if not chunk:
            raise Disconnected("the connection ended")
        buffer += chunk
    try:
        message = json.loads(buffer[_LENGTH.size :])
    except ValueError as error:
        raise Disconnected("the message is no JSON") from error
    if not isinstance(message, dict):
        raise Disconnected("the message is no JSON object")
    return message, tuple(rights)


def _length(buffer: bytearray) -> int:
    (length,) = _LENGTH.unpack_from(buffer)
    if length > _LIMIT:
        raise Disconnected(f"a message of {length} bytes")
    return int(length)
