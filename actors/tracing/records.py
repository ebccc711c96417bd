"""Records of packets that were followed, and how they are written down. Pure.

Devices and ports stand in the texts by their ids: only people's tools know all names.
"""

from msgspec import Struct, field

from actors.datapath.flow_text import describe_match
from actors.datapath.odp.actions import Output, SetTunnel, decode_actions
from actors.datapath.odp.mask import mask_for
from actors.messages.traces import BROUGHT_BY_TUNNEL, HopTraced, PacketTraced, TracedOutput
from actors.packets.flow_key import SEEN_ALL, FlowKey
from actors.packets.frame_text import changes_text, frame_text
from actors.tunnel_key import TRACE_BIT
from actors.values import ActorName, Nanoseconds, PortId, format_ip

MOST_HOPS_KEPT = 32
"""Of one packet; of a flood with more, the rest is counted."""

MOST_OUTPUTS_KEPT = 32
"""Of one packet, likewise."""


class HopRecord(Struct):
    """A device that a packet passed."""

    device: ActorName
    port: PortId
    """By which it came in."""
    decision: str
    changes: str
    """Header fields as the device rewrote them, "" if it did not."""


class OutputRecord(Struct):
    """A port that a packet left by, or was to."""

    port: PortId
    how: str
    """local, tunnel or unreachable."""
    to: str
    """Underlay address at the tunnel's far end, "" without a tunnel."""
    tunnel_key: int
    """As sent, with the trace bit; 0 without a tunnel."""
    changes: str
    """Header fields that differ from those that the packet came with."""


class TraceRecord(Struct):
    """One packet that was followed."""

    number: int
    """Of the record: they grow by one."""
    packet: int
    """Of the input that brought the packet, which `ayatori replay --packets` shows as well."""
    at: Nanoseconds
    trace: int
    """The request's number, 0 if the packet came by a tunnel with the trace bit."""
    side: str
    """ingress: simulated here. egress: brought by a tunnel with the trace bit in its key."""
    port: PortId
    """Where it came in, "" by a tunnel."""
    peer: str
    """Name of the host at the tunnel's other end, if it is believed."""
    tunnel_key: int
    """As it came, 0 without a tunnel."""
    match: str
    """Header fields as the datapath read them, as flows show theirs."""
    summary: str
    """The frame in words that routers do not change: both ends show the same."""
    hops: list[HopRecord] = field(default_factory=list)
    more_hops: int = 0
    outputs: list[OutputRecord] = field(default_factory=list)
    more_outputs: int = 0
    reason: str = ""
    """Why (a branch of) it was dropped, "" if it was not."""
    waited: bool = False
    """For a device's configuration, or for a MAC."""
    complete: bool = False


def opened(number: int, message: PacketTraced) -> TraceRecord:
    """Return the record of a packet whose way begins."""
    key = message.key
    return TraceRecord(
        number=number,
        packet=message.number,
        at=message.at,
        trace=max(message.trace, 0),
        side="egress" if message.trace == BROUGHT_BY_TUNNEL else "ingress",
        port=message.port,
        peer=message.peer,
        tunnel_key=0 if key.tunnel is None else key.tunnel.tun_id,
        match=_headers(message.raw_key),
        summary=frame_text(message.frame),
    )


def _headers(raw_key: bytes) -> str:
    """Return the header fields of a key, without the part that says how the packet came in."""
    whole = describe_match(raw_key, mask_for(raw_key, SEEN_ALL), {})
    return whole[whole.index("eth_src=") :] if "eth_src=" in whole else whole


def add_hop(record: TraceRecord, message: HopTraced) -> None:
    """Add a device to a packet's way."""
    if len(record.hops) >= MOST_HOPS_KEPT:
        record.more_hops += 1
        return
    record.hops.append(HopRecord(message.device, message.port, message.decision, message.changes))


def output_record(entered: FlowKey, traced: TracedOutput) -> OutputRecord:
    """Write down one of a packet's ways out."""
    output = traced.output
    how, to, tunnel_key = "unreachable", "", 0
    for action in () if traced.way is None else decode_actions(traced.way):
        match action:
            case SetTunnel(tunnel):
                how, to, tunnel_key = "tunnel", format_ip(tunnel.dst), tunnel.tun_id | TRACE_BIT
            case Output() if how != "tunnel":
                how = "local"
            case _:
                pass
    return OutputRecord(output.port, how, to, tunnel_key, changes_text(entered, output.headers))
