"""DatapathChannel: the message sockets between an agent and its datapath.

One carries netlink requests and their replies, others the upcalls. At the far end is the
kernel's openvswitch module or the soft datapath; the bytes are the same. Requests are written
by the lane (never blocking: a full socket is an error value), the reading ends belong to I/O threads
at the edge.
"""

from typing import Protocol


class DatapathChannel(Protocol):
    """What the netlink broker and the edge's reader threads need of a datapath."""

    @property
    def reply_pid(self) -> int:
        """Netlink port id that replies to our requests carry; notifications carry another."""
        ...

    @property
    def upcall_pid(self) -> int:
        """Netlink port id that all vports name as the receiver of their upcalls.

        0: each vport is given one of its own, by `open_upcalls`.
        """
        ...

    @property
    def upcalls_lost(self) -> int:
        """How often upcalls were lost, as nobody read them in time."""
        ...

    def listen(self, group: int) -> None:
        """Receive the notifications of a multicast group among the replies. Raises OSError."""
        ...

    def open_upcalls(self) -> int:
        """Open one more way for upcalls; return its netlink port id. Raises OSError."""
        ...

    def close_upcalls(self, pid: int) -> None:
        """Close what `open_upcalls` opened: its vport is gone."""
        ...

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        """Send one or more whole netlink messages at once; return 0 or an errno."""
        ...

    def receive_reply(self) -> bytes:
        """Block for one datagram of replies or notifications; b"" once the channel is closed.

        Raises OSError(ENOBUFS) when some were lost.
        """
        ...

    def receive_upcalls(self) -> list[bytes]:
        """Block for at least one upcall, return what is there; [] once the channel is closed."""
        ...

    def close(self) -> None:
        """End the conversation; blocked readers return empty."""
        ...

    def release(self) -> None:
        """Give all descriptors back, once no reader is left."""
        ...
