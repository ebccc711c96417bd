"""KernelChannel: the agent's sockets to the kernel's openvswitch module, over generic netlink.

One socket carries requests, replies and notifications. Upcalls come on sockets of their own, one
for each vport, so that a port whose packets flood in overruns nobody's queue but its own; or one
for each CPU, where the datapath was told so. It only moves datagrams; what is in them is the ODP
codec's.
"""

import errno
import os
import select
import socket
import struct
import threading
from typing import Final

from actors.datapath.odp.constants import NLM_F_ACK, NLM_F_REQUEST, NLMSG_NOOP
from actors.datapath.receive_many import ReceiveMany

_SOL_NETLINK: Final = 270
_NETLINK_ADD_MEMBERSHIP: Final = 1
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_NETLINK_GENERIC: Final = 16

_REQUESTS_BUFFER: Final = 8 << 20
"""Bytes for requests that wait, and for replies: the echoes of thousands of flow deletes."""
_UPCALLS_BUFFER: Final = 1 << 20
"""Bytes for the upcalls of one port."""
_REPLY_MAX: Final = 1 << 16
"""Bytes: the kernel fills no datagram of a dump further than half of this."""
_REPLIES_AT_ONCE: Final = 64
_UPCALL_MAX: Final = 1 << 17
"""A frame of up to 64 KB, its key, and user data."""
_FROM_ONE_SOCKET: Final = 64
"""Upcalls read from one socket before the next has its turn."""
_SOCKETS_AT_ONCE: Final = 64

_WAKE: Final = struct.pack("=IHHII", 16, NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 0, 0)
"""A message that does nothing but be acknowledged (netlink_rcv_skb): it wakes our own reader."""


class DatapathBusyError(OSError):
    """Another process drives the datapath of this network namespace."""


class KernelChannel:
    """A DatapathChannel (see channel.py) to the module of the running kernel.

    Raises OSError if generic netlink is not to be had, DatapathBusyError if another agent in this
    network namespace has it.
    """

    upcall_pid: Final = 0

    def __init__(self, *, claim: bool = True) -> None:
        """With `claim` it is the only one of its network namespace; to ask what there is needs none."""
        self.upcalls_lost = 0
        self._closed = False
        self._lock = threading.Lock()
        self._upcalls: dict[int, socket.socket] = {}
        self._claim = _claim_namespace() if claim else None
        try:
            self._requests = _netlink_socket(_REQUESTS_BUFFER)
        except BaseException:
            if self._claim is not None:
                self._claim.close()
            raise
        self._requests.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self.reply_pid: Final = _port_id(self._requests)
        self._take_replies = ReceiveMany(_REPLY_MAX, _REPLIES_AT_ONCE)
        self._take_upcalls = ReceiveMany(_UPCALL_MAX, _FROM_ONE_SOCKET)
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._by_descriptor: dict[int, socket.socket] = {}

    def listen(self, group: int) -> None:
        """Receive the notifications of a multicast group among the replies. Raises OSError."""
        self._requests.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def open_upcalls(self) -> int:
        """Open one more socket for upcalls; return its netlink port id. Raises OSError."""
        upcalls = _netlink_socket(_UPCALLS_BUFFER)
        upcalls.setblocking(False)  # noqa: FBT003 - the library's signature
        with self._lock:
            if self._closed:
                upcalls.close()
                raise OSError(errno.EBADF, "the channel is closed")
            pid = _port_id(upcalls)
            self._upcalls[pid] = upcalls
            self._by_descriptor[upcalls.fileno()] = upcalls
            self._poll.register(upcalls, select.EPOLLIN)
        return pid

    def close_upcalls(self, pid: int) -> None:
        """Close the socket of a vport that is gone."""
        with self._lock:
            upcalls = self._upcalls.pop(pid, None)
            if upcalls is not None:
                self._poll.unregister(upcalls)
                del self._by_descriptor[upcalls.fileno()]
                upcalls.close()

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        """Send one or more whole netlink messages at once; return 0 or an errno.

        The kernel performs them before this returns. ENOBUFS or EAGAIN: try again later.
        """
        try:
            self._requests.send(requests, socket.MSG_DONTWAIT)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def receive_reply(self) -> bytes:
        """Block for replies or notifications, return those that wait one behind the other.

        b"" once the channel is closed. Raises OSError(ENOBUFS) when some were lost.
        """
        take = self._take_replies
        try:
            # The kernel pads its messages, so they may stand one behind the other.
            replies = b"".join(take(self._requests))
        except OSError:
            if self._closed:
                return b""
            raise
        if take.truncated:
            take.truncated = 0
            raise OSError(errno.ENOBUFS, "a reply was longer than any that the kernel makes")
        return b"" if self._closed else replies

    def receive_upcalls(self) -> list[bytes]:
        """Block for upcalls, return some of what is there from each port; [] once closed."""
        received: list[bytes] = []
        while not received:
            ready = self._poll.poll(maxevents=_SOCKETS_AT_ONCE)
            if self._closed:
                return []
            for descriptor, _ in ready:
                upcalls = self._by_descriptor.get(descriptor)
                if upcalls is not None:
                    self._read_some(upcalls, received)
        return received

    def _read_some(self, upcalls: socket.socket, received: list[bytes]) -> None:
        try:
            received += self._take_upcalls(upcalls)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self.upcalls_lost += 1  # what was not lost is read in the next round
            elif error.errno != errno.EBADF:  # its port was removed meanwhile
                raise

    def close(self) -> None:
        """Close all sockets; blocked readers return empty. The datapath stays as it is."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.send(_WAKE)
        os.eventfd_write(self._wake, 1)

    def release(self) -> None:
        """Give the descriptors back, once no reader is left."""
        self.close()
        with self._lock:
            for upcalls in self._upcalls.values():
                upcalls.close()
            self._upcalls.clear()
            self._by_descriptor.clear()
        self._poll.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
        self._requests.close()
        if self._claim is not None:
            self._claim.close()


def _claim_namespace() -> socket.socket:
    """Return a socket whose name only one process of this network namespace can hold.

    Abstract unix names belong to the network namespace (unix(7)), as datapaths do.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind("\0ayatori-datapath")
    except OSError as error:
        claim.close()
        if error.errno == errno.EADDRINUSE:
            raise DatapathBusyError(
                errno.EBUSY, "another agent drives the datapath of this network namespace"
            ) from error
        raise
    return claim


def _netlink_socket(buffer: int) -> socket.socket:
    endpoint = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
    try:
        endpoint.bind((0, 0))
        for forced, plain in (
            (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
            (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
        ):
            try:
                endpoint.setsockopt(socket.SOL_SOCKET, forced, buffer)
            except PermissionError:
                endpoint.setsockopt(socket.SOL_SOCKET, plain, buffer)
    except BaseException:
        endpoint.close()
        raise
    return endpoint


def _port_id(endpoint: socket.socket) -> int:
    pid: int = endpoint.getsockname()[0]
    return pid
