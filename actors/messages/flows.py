"""Flow controller -> netlink broker, and what comes back; invalidations from devices."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from actors.state.topology import TunnelType
from actors.values import ActorName, DatapathPort, HostId, IpAddress, Nanoseconds, PortId, Tag


class InstallFlows(Struct, frozen=True, gc=False):
    """Create flows that differ by their keys alone, optimistically: only errors are heard of."""

    flows: tuple[int, ...]
    """The flows' numbers; their UFIDs are made of them."""
    raw_keys: tuple[bytes, ...]
    """One for each, all of the same length."""
    mask: bytes
    actions: bytes


class ExecutePackets(Struct, frozen=True, gc=False):
    """Let the datapath do its actions to each frame, in this order."""

    raw_keys: tuple[bytes, ...]
    """That of each packet's upcall; b"" if it entered by no port."""
    actions: tuple[bytes, ...]
    frames: tuple[bytes, ...]


def executions(raw_key: bytes, actions: bytes, frames: Sequence[bytes]) -> ExecutePackets:
    """Return the order to do the same to several frames."""
    count = len(frames)
    return ExecutePackets((raw_key,) * count, (actions,) * count, tuple(frames))


class RemoveFlows(Struct, frozen=True, gc=False):
    """Delete flows; their last statistics come back as FlowsDeleted."""

    flows: tuple[int, ...]


class FlowRefused(Struct, frozen=True, gc=False):
    """The datapath did not install a flow. EEXIST: it has one that matches already."""

    flow: int
    errno: int


class FlowsDeleted(Struct, frozen=True, gc=False):
    """Flows are gone from the datapath; these were their last statistics, added up."""

    flows: int
    packets: int
    octets: int


class FlowStatistics(Struct, frozen=True, gc=False):
    """One flow of a dump."""

    flow: int
    packets: int
    octets: int
    used: int
    """Milliseconds of the datapath's clock at its last packet; 0 if never."""


class FlushFlows(Struct, frozen=True):
    """Delete all flows of the datapath."""


class DumpFlows(Struct, frozen=True):
    """Ask the datapath for all flows and their statistics."""


class FlowsDumped(Struct, frozen=True):
    """What the datapath holds. `unknown` are flows that this agent did not install."""

    flows: tuple[FlowStatistics, ...]
    unknown: int
    complete: bool
    asked_at: Nanoseconds


class InvalidateTags(Struct, frozen=True, gc=False):
    """What these tags stand for has changed: remove the flows that carry one of them."""

    tags: tuple[Tag, ...]


class WatchTag(Struct, frozen=True, gc=False):
    """Tell `owner` when a first flow depends on the tag, and when the last one is gone."""

    tag: Tag
    owner: ActorName


class UnwatchTag(Struct, frozen=True, gc=False):
    """The tag's owner has lost interest."""

    tag: Tag


class TagHeld(Struct, frozen=True, gc=False):
    """A first flow depends on the tag that its owner watches."""

    tag: Tag


class TagReleased(Struct, frozen=True, gc=False):
    """No flow depends any more on the tag that its owner watches."""

    tag: Tag
    at: Nanoseconds


class LocalPort(Struct, frozen=True):
    """A virtual port that is plugged into this host's datapath."""

    port: PortId
    name: str
    device: ActorName
    number: DatapathPort
    tunnel_key: int


class PortPluggedIn(Struct, frozen=True):
    """To the port's device: its port is plugged in here from now on."""

    port: LocalPort
    at: Nanoseconds


class LocalTunnel(Struct, frozen=True):
    """The datapath's port for tunnels of one type."""

    type: TunnelType
    number: DatapathPort


class LocalPortsChanged(Struct, frozen=True):
    """Virtual ports were plugged in here or taken out, in this order: `gone`, then `plugged`.

    What is gone is named as it was plugged in: the port may be there by another interface.
    """

    plugged: tuple[LocalPort, ...]
    gone: tuple[LocalPort, ...]
    tunnels: tuple[LocalTunnel, ...]
    """The tunnel ports that are there now, all of them."""


class TunnelPeer(Struct, frozen=True):
    """How another host is reached: type of tunnel, outer source and destination address."""

    host: HostId
    host_name: str
    type: TunnelType
    local: IpAddress
    remote: IpAddress


class TunnelPeersChanged(Struct, frozen=True):
    """These hosts can be reached by a tunnel now, all of them."""

    peers: tuple[TunnelPeer, ...]


FlowKind = Literal["error", "plain", "stateful", "tunnel"]
