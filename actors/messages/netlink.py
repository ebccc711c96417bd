"""Between the netlink broker and the datapath, and between the broker and who asks it."""

from msgspec import Struct

from actors.messages.stored import Input, Output
from actors.state.topology import TunnelType
from actors.values import ActorName, DatapathPort, Nanoseconds


class DatapathConnected(Input, frozen=True, tag="datapath-connected.2"):
    """A datapath is there; fresh and empty, or as an earlier agent left it."""

    at: Nanoseconds
    datapath_family: int
    vport_family: int
    flow_family: int
    packet_family: int
    datapath_index: int
    reply_pid: int
    """Netlink port id that replies to our requests carry."""
    upcall_pid: int
    """Netlink port id for the upcalls of all vports; 0: each has one of its own."""
    inherited: bool = False
    """An earlier agent's ports and flows are in it, and go on working."""


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


class UpcallsOpened(Input, frozen=True, tag="upcalls-opened.1"):
    """A netlink port id for the upcalls of the vport `link` is there, or an errno says why not."""

    at: Nanoseconds
    link: str
    pid: int
    errno: int = 0


class OpenUpcalls(Output, frozen=True, tag="open-upcalls.1"):
    """Open a netlink port id for the upcalls of the vport `link`."""

    link: str


class CloseUpcalls(Output, frozen=True, tag="close-upcalls.1"):
    """The vport whose upcalls went there is gone."""

    pid: int


class DatapathGone(Output, frozen=True, tag="datapath-gone.1"):
    """Somebody else deleted the datapath: it has to be set up again."""


class PortsSettled(Output, frozen=True, tag="ports-settled.1"):
    """For the first time all that is bound to this host and present is plugged in."""


class PortFailed(Output, frozen=True, tag="port-failed.1"):
    """The datapath refuses a port for this reason, for the first time; it is asked again."""

    link: str
    errno: int


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


class PortVanished(Struct, frozen=True):
    """Broker -> datapath ports: a vport went away without our asking."""

    link: str
    number: DatapathPort


class PortsDumped(Struct, frozen=True):
    """Broker -> datapath ports: these vports are in the datapath, and no others."""

    ports: tuple[PortAdded, ...]


class ExpireInherited(Struct, frozen=True):
    """Datapath ports -> broker: all ports are plugged in, so an earlier agent's flows may go."""


class DatapathReset(Struct, frozen=True):
    """Broker -> everybody with datapath state: start from an empty datapath (or none)."""

    at: Nanoseconds
    connected: bool
