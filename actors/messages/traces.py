"""Following packets: operators' requests, and what the actors report of packets that are followed."""

from typing import Final

from msgspec import Struct

from actors.messages.simulation import PortOutput
from actors.messages.stored import Input
from actors.packets.flow_key import FlowKey
from actors.values import ActorName, IpPrefix, Nanoseconds, PortId

BROUGHT_BY_TUNNEL: Final = -1
"""In place of a request's number: the packet came by a tunnel with the trace bit in its key."""


class TraceMatch(Struct, frozen=True, array_like=True):
    """Which packets of local ports are to be followed; None says nothing of a field."""

    port: PortId | None = None
    """Where they enter; None: by any local port."""
    eth_src: bytes | None = None
    eth_dst: bytes | None = None
    ethertype: int | None = None
    src: IpPrefix | None = None
    """Also the sender's address in ARP, as `dst` is the target's."""
    dst: IpPrefix | None = None
    proto: int | None = None
    src_port: int | None = None
    dst_port: int | None = None


class TraceAsked(Input, frozen=True, tag="trace-asked.1"):
    """Somebody wants matching packets followed, `limit` of them, for no longer than `duration`."""

    at: Nanoseconds
    request: int
    match: TraceMatch
    limit: int
    duration: int
    """Nanoseconds."""


class TraceStopAsked(Input, frozen=True, tag="trace-stop-asked.1"):
    """Follow no more packets for this request, or for any if `trace` is 0."""

    at: Nanoseconds
    request: int
    trace: int


class TracesAsked(Input, frozen=True, tag="traces-asked.1"):
    """Somebody wants to see the requests, and the records with numbers above `after`."""

    at: Nanoseconds
    request: int
    after: int


class ActiveTrace(Struct, frozen=True):
    """A request that is not used up."""

    id: int
    match: TraceMatch
    until: Nanoseconds


class TracesChanged(Struct, frozen=True):
    """Trace book -> packet workflow: these requests are active now, all of them."""

    traces: tuple[ActiveTrace, ...]


class PacketTraced(Struct, frozen=True, gc=False):
    """Packet workflow -> trace book: this packet is followed from here on."""

    number: int
    """Of the input that brought it; names the packet in what follows."""
    at: Nanoseconds
    trace: int
    """The request's number, or BROUGHT_BY_TUNNEL."""
    port: PortId
    """Where it entered, "" if a tunnel brought it."""
    peer: str
    """Name of the host that the tunnel comes from, "" if unknown or without a tunnel."""
    key: FlowKey
    raw_key: bytes
    frame: bytes


class HopTraced(Struct, frozen=True, gc=False):
    """Device -> trace book: a followed packet was here."""

    number: int
    device: ActorName
    port: PortId
    decision: str
    changes: str


class TracedOutput(Struct, frozen=True, gc=False):
    """A way out of a followed packet; `way` is None if the port cannot be reached from here."""

    output: PortOutput
    way: bytes | None


class TraceEnded(Struct, frozen=True, gc=False):
    """Flow controller -> trace book: what became of a followed packet."""

    number: int
    trace: int
    key: FlowKey
    reason: str
    waited: bool
    outputs: tuple[TracedOutput, ...]
