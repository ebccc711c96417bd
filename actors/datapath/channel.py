"""DatapathChannel: the two message sockets between an agent and its datapath.

One carries netlink requests and their replies, the other the upcalls. At the far end is the
kernel's openvswitch module or the soft datapath; the bytes are the same. Requests are written
by the lane (never blocking: a full socket is an error value), both reading ends belong to I/O
threads at the edge.
"""

from typing import Protocol


class DatapathChannel(Protocol):
    """What the netlink broker and the edge's reader threads need of a datapath."""

    @property
    def upcall_pid(self) -> int:
        """Netlink port id that vports name as the receiver of their upcalls; never 0."""
        ...

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        """Send one or more whole netlink messages at once; return 0 or an errno."""
        ...

    def receive_reply(self) -> bytes:
        """Block for one datagram of replies; b"" once the channel is closed.

        Raises OSError(ENOBUFS) when replies were lost.
        """
        ...

    def receive_upcalls(self) -> list[bytes]:
        """Block for at least one upcall, return what is there; [] once the channel is closed."""
        ...

    def close(self) -> None:
        """Close both sockets; blocked readers return empty."""
        ...
