"""How large socket buffers are asked for, with or without the privilege to exceed the limits."""

import socket
from typing import Final

# asm-generic/socket.h
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_PAIRS: Final = (
    (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
)


def raise_socket_buffers(endpoint: socket.socket, size: int) -> None:
    """Set both buffers to `size` bytes, or to the system's limit if that is what is permitted."""
    for force, limited in _PAIRS:
        try:
            endpoint.setsockopt(socket.SOL_SOCKET, force, size)
        except PermissionError:
            endpoint.setsockopt(socket.SOL_SOCKET, limited, size)
