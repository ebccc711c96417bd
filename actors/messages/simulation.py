"""Packet workflow -> device -> device -> flow controller: one packet on its way.

The context is immutable: each hop makes the next one. A flood is a context with pending
branches, walked one after the other, so that nothing has to be joined.
"""

from typing import Literal

from msgspec import Struct

from actors.packets.flow_key import FlowKey
from actors.values import ActorName, Nanoseconds, PortId, Tag


class PortOutput(Struct, frozen=True, gc=False):
    """The packet leaves by an exterior port, with these headers."""

    port: PortId
    headers: FlowKey


class Branch(Struct, frozen=True, gc=False):
    """A branch of a flood still to be walked: into `device` by its port `port`."""

    device: ActorName
    port: PortId
    headers: FlowKey
    depth: int


class PacketContext(Struct, frozen=True, gc=False):
    """All that is known of a packet during its simulation."""

    number: int
    """Place in the lane's order of the input that brought it."""
    at: Nanoseconds
    raw_key: bytes
    key: FlowKey
    """The match, as the packet entered the datapath."""
    headers: FlowKey
    """As rewritten so far, on the branch that is being walked."""
    frame: bytes
    """As it entered the datapath; see actors/packets/rewrite.py for it with `headers`."""
    ingress: PortId
    """Exterior port where it entered; "" for a packet that a device made."""
    seen: int
    """SEEN_* bits of the fields read: they become the megaflow mask."""
    tags: tuple[Tag, ...]
    outputs: tuple[PortOutput, ...]
    pending: tuple[Branch, ...]
    depth: int
    """Devices passed on this branch."""
    hops: int
    """Devices passed on all branches."""
    lifetime: int
    """One of the LIFE_* constants of actors/datapath/lifetimes.py: how long the flow may live."""
    reason: str = ""
    """Why (a branch of) it was dropped; "" if it was not."""
    resumed: int = 0
    """Input at which it last went on after waiting, 0 if it never waited: what it had read by
    then, the first `waited_tags` of its tags, may have changed behind it."""
    waited_tags: int = 0
    trace: int = 0
    """Number of the trace request that wants to know about it, 0 if none does; see
    actors/messages/traces.py."""


class Hop(Struct, frozen=True, gc=False):
    """Simulate this packet, which enters you by your port `port`."""

    context: PacketContext
    port: PortId


class Verdict(Struct, frozen=True, gc=False):
    """The simulation is complete: make a flow of it and let the packet go."""

    context: PacketContext


class PacketParked(Struct, frozen=True, gc=False):
    """This packet waits for something off this host, for the first time: hold its duplicates."""

    number: int
    raw_key: bytes
    waits_for: Literal["topology", "arp"]
    """The configuration of a device (or what tables say of its ports), or a neighbour's MAC."""


class ParkedPacketFinished(Struct, frozen=True, gc=False):
    """A packet that waited is through; `actions` are what its duplicates get as well."""

    number: int
    raw_key: bytes
    actions: bytes


class SendFrame(Struct, frozen=True, gc=False):
    """Let `frame` leave the device by its port `port`: an ARP request, an ICMP error, a reply.

    `device`, `far_port` and `depth` say where it goes on if the port is an interior one.
    """

    at: Nanoseconds
    port: PortId
    frame: bytes
    device: ActorName | None = None
    far_port: PortId | None = None
    depth: int = 0
