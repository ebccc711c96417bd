"""Changes the receive buffers of another process's netlink sockets (pidfd_getfd(2), Linux 5.6)."""

import ctypes
import os
import socket
from pathlib import Path

_NETLINK_GENERIC = 16
_PIDFD_GETFD = 438
_SO_RCVBUFFORCE = 33
_libc = ctypes.CDLL(None, use_errno=True)


def limit_netlink_buffers(process: int, size: int) -> None:
    """Let generic netlink sockets of a process hold `size` bytes, or as few as the kernel allows."""
    handle = os.pidfd_open(process)
    try:
        for each in Path(f"/proc/{process}/fd").iterdir():
            if not str(each.readlink()).startswith("socket:"):
                continue
            copy: int = _libc.syscall(_PIDFD_GETFD, handle, int(each.name), 0)
            assert copy >= 0, os.strerror(ctypes.get_errno())
            with socket.socket(fileno=copy) as theirs:
                if theirs.family == socket.AF_NETLINK and theirs.proto == _NETLINK_GENERIC:
                    theirs.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    finally:
        os.close(handle)
