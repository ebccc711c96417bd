"""SoftChannel: the agent's end of a soft datapath, and the process that it starts for it.

It owns two SOCK_SEQPACKET pairs, one for requests and replies, one for upcalls, and the child
process that holds their far ends. It only moves datagrams; what is in them is the ODP codec's.
"""

import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from actors.datapath.soft.families import AGENT_PID
from actors.datapath.soft.socket_buffers import raise_socket_buffers

_BUFFER: Final = 8 << 20
"""Bytes asked of the kernel for each socket: thousands of upcalls while the lane is busy."""
_REPLY_MAX: Final = 1 << 18
_UPCALL_MAX: Final = 1 << 17
"""A frame of up to 64 KB, its key, and user data."""
_UPCALLS_AT_ONCE: Final = 64
_STOP_TIMEOUT: Final = 5.0
"""Seconds until a child that does not end by itself is killed."""
_ROOT: Final = Path(__file__).resolve().parents[2]


class SoftChannel:
    """A DatapathChannel (see channel.py) to a soft datapath of its own."""

    reply_pid: Final = AGENT_PID
    upcall_pid: Final = AGENT_PID
    upcalls_lost: Final = 0
    """The soft datapath waits for room, and counts in its own statistics what found none."""

    def __init__(
        self, requests: socket.socket, upcalls: socket.socket, process: "subprocess.Popen[bytes]"
    ) -> None:
        self._requests = requests
        self._upcalls = upcalls
        self.process: Final = process
        self._reply_buffer = bytearray(_REPLY_MAX)
        self._upcall_buffer = bytearray(_UPCALL_MAX)
        self._closing = threading.Lock()
        self._closed = False

    def listen(self, group: int) -> None:
        """Do nothing: all notifications come to the one agent that there is."""

    def open_upcalls(self) -> int:
        """Return the port id of the one socket that carries all upcalls."""
        return self.upcall_pid

    def close_upcalls(self, pid: int) -> None:
        """Do nothing: the socket is shared."""

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        """Send one or more whole netlink messages at once; return 0 or an errno.

        ENOBUFS when the datapath does not keep up, EPIPE when it has ended.
        """
        try:
            self._requests.send(requests, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return errno.ENOBUFS
        except OSError as error:
            return errno.EPIPE if error.errno == errno.ECONNRESET else error.errno or errno.EIO
        return 0

    def receive_reply(self) -> bytes:
        """Block for one datagram of replies; b"" once the channel or the datapath has ended."""
        return self._receive(self._requests, self._reply_buffer, 0)

    def receive_upcalls(self) -> list[bytes]:
        """Block for one upcall, return up to 64 that are there; [] once the channel has ended."""
        upcalls, buffer = self._upcalls, self._upcall_buffer
        message = self._receive(upcalls, buffer, 0)
        received = []
        while message:
            received.append(message)
            if len(received) == _UPCALLS_AT_ONCE:
                break
            try:
                message = self._receive(upcalls, buffer, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        return received

    def _receive(self, endpoint: socket.socket, buffer: bytearray, flags: int) -> bytes:
        try:
            length = endpoint.recv_into(buffer, 0, flags)
        except BlockingIOError:
            raise
        except OSError:
            if self._closed or self.process.poll() is not None:
                return b""
            raise
        return bytes(memoryview(buffer)[:length])

    def close(self) -> None:
        """Shut both sockets down, which ends the datapath; blocked readers return empty."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        for endpoint in (self._requests, self._upcalls):
            try:
                endpoint.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
        try:
            self.process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def release(self) -> None:
        """Give the sockets back, once no reader is left."""
        self.close()
        for endpoint in (self._requests, self._upcalls):
            endpoint.close()


def spawn_soft_datapath(log_file: Path | None = None) -> SoftChannel:
    """Start a soft datapath in this process's network namespace and return the channel to it.

    Its log goes to `log_file`, or to this process's standard error. The child dies with the
    thread that called this (PR_SET_PDEATHSIG), so call it from one that lives as long as the
    agent. Raises OSError if it cannot be started.
    """
    ours_requests, its_requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours_upcalls, its_upcalls = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its_requests, its_upcalls:
        for endpoint in (ours_requests, its_requests, ours_upcalls, its_upcalls):
            raise_socket_buffers(endpoint, _BUFFER)
        command = [sys.executable, "-m", "actors.datapath.soft"]
        command += ["--requests-fd", str(its_requests.fileno())]
        command += ["--upcalls-fd", str(its_upcalls.fileno())]
        command += ["--parent", str(os.getpid())]
        search = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        log = None if log_file is None else log_file.open("ab")
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(its_requests.fileno(), its_upcalls.fileno()),
                env={**os.environ, "PYTHONPATH": search},
            )
        except BaseException:
            ours_requests.close()
            ours_upcalls.close()
            raise
        finally:
            if log is not None:
                log.close()
    return SoftChannel(ours_requests, ours_upcalls, process)
