"""Between the netlink broker and the datapath, and between the broker and who asks it."""

from msgspec import Struct

from actors.messages.stored import Input, Output
from actors.state.topology import TunnelType
from actors.values import ActorName, DatapathPort, Nanoseconds


class DatapathConnected(Input, frozen=True, tag="datapath-connected.1"):
    """A fresh, empty datapath is there; what an earlier one held is gone."""

    at: Nanoseconds
    datapath_family: int
    vport_family: int
    flow_family: int
    packet_family: int
    datapath_index: int
    upcall_pid: int


class DatapathLost(Input, frozen=True, tag="datapath-lost.1"):
    """The datapath went away."""

    at: Nanoseconds


class NetlinkReplied(Input, frozen=True, tag="netlink-replied.1"):
    """A datagram of replies, as it came."""

    at: Nanoseconds
    datagram: bytes


class NetlinkRepliesLost(Input, frozen=True, tag="netlink-replies-lost.1"):
    """The reply socket overflowed (ENOBUFS): resynchronise."""

    at: Nanoseconds


class NetlinkSendFailed(Input, frozen=True, tag="netlink-send-failed.1"):
    """The requests with these sequence numbers never reached the datapath."""

    at: Nanoseconds
    errno: int
    sequences: tuple[int, ...]


class PortsSettled(Output, frozen=True, tag="ports-settled.1"):
    """For the first time all that is bound to this host and present is plugged in."""


class AddPort(Struct, frozen=True):
    """Create a vport on an existing link and answer `requester` with PortAdded or PortRefused."""

    requester: ActorName
    link: str


class AddTunnelPort(Struct, frozen=True):
    """Create a tunnel vport and answer likewise."""

    requester: ActorName
    link: str
    type: TunnelType
    udp_port: int | None
    """None for GRE, which has its own IP protocol."""


class RemovePort(Struct, frozen=True):
    """Delete a vport and answer `requester` with PortRemoved."""

    requester: ActorName
    link: str
    number: DatapathPort


class PortAdded(Struct, frozen=True):
    """The vport is there."""

    link: str
    number: DatapathPort


class PortRefused(Struct, frozen=True):
    """The vport could not be made."""

    link: str
    errno: int


class PortRemoved(Struct, frozen=True):
    """The vport is gone, or was not there."""

    link: str


class DatapathReset(Struct, frozen=True):
    """Broker -> everybody with datapath state: start from an empty datapath (or none)."""

    at: Nanoseconds
    connected: bool
