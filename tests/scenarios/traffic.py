"""UDP and TCP between machines, with what arrives held against what was sent."""

import hashlib
import random
import socket
import threading
from collections.abc import Iterable

from tests.scenarios.machine import Machine

_CHUNK = 1 << 16


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def content(size: int, seed: int = 1) -> bytes:
    """Return `size` bytes that no part of can be mistaken for another."""
    return random.Random(seed).randbytes(size)


def udp_echoes(client: Machine, server: Machine, address: str, sizes: Iterable[int]) -> None:
    """Send datagrams to `address` of the server and back; each must arrive whole, both ways."""
    with server.udp(_family(address)) as far, client.udp(_family(address)) as near:
        far.bind((address, 0))
        port = far.getsockname()[1]
        for size in sizes:
            data = content(size, seed=size)
            near.sendto(data, (address, port))
            arrived, whence = far.recvfrom(_CHUNK)
            assert arrived == data, f"{size} bytes from {client.name} to {server.name}"
            far.sendto(arrived, whence)
            returned, who = near.recvfrom(_CHUNK)
            assert (returned, who[0]) == (data, address), f"{size} bytes back"


def tcp_arrives_whole(client: Machine, server: Machine, address: str, size: int) -> None:
    """Send `size` bytes to `address` of the server by TCP, and other bytes back at the same time."""
    with server.tcp(_family(address)) as listener, client.tcp(_family(address)) as near:
        listener.bind((address, 0))
        listener.listen(1)
        near.connect((address, listener.getsockname()[1]))
        far, _ = listener.accept()
        with far:
            far.settimeout(near.gettimeout())
            there, back = content(size, seed=2), content(size, seed=3)
            found: dict[str, str] = {}
            ends = (("there", near, there, far), ("back", far, back, near))
            threads = [threading.Thread(target=_send, args=(out, data)) for _, out, data, _ in ends]
            threads += [
                threading.Thread(target=_receive, args=(into, name, found))
                for name, _, _, into in ends
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == {"there": _digest(there), "back": _digest(back)}


def _send(out: socket.socket, data: bytes) -> None:
    out.sendall(data)
    out.shutdown(socket.SHUT_WR)


def _receive(into: socket.socket, name: str, found: dict[str, str]) -> None:
    digest = hashlib.sha256()
    while chunk := into.recv(_CHUNK):
        digest.update(chunk)
    found[name] = digest.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
