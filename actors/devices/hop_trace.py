"""What a device reports of a packet that is followed: where it came in, and what was decided."""

from typing import assert_never

from actors.devices.outcome import Consumed, Dropped, Emitted, Forwarded
from actors.devices.router_forwarding import (
    Answered,
    NeedsMac,
    Noted,
    Rejected,
    RouterOutcome,
)
from actors.messages.simulation import Hop, PacketContext
from actors.messages.traces import HopTraced
from actors.packets.frame_text import changes_text
from actors.values import ActorName, format_ip

TRACE_BOOK = ActorName("trace-book")

MOST_NAMED = 8
"""Ways of a flood that are named one by one."""


def hop_traced(device: ActorName, hop: Hop, outcome: RouterOutcome) -> tuple[ActorName, HopTraced]:
    """Return to whom to report, and what."""
    before, after = hop.context, outcome.context
    headers = after.headers
    if isinstance(outcome, Emitted) and len(after.outputs) > len(before.outputs):
        headers = after.outputs[-1].headers
    changes = changes_text(before.headers, headers)
    decision = decision_text(before, outcome)
    return TRACE_BOOK, HopTraced(before.number, device, hop.port, decision, changes)


def decision_text(before: PacketContext, outcome: RouterOutcome) -> str:
    """Say what a device decided about a packet that came as `before`; devices and ports by id."""
    match outcome:
        case Forwarded(_, device, port):
            return f"to {device} by {port}"
        case Emitted(after):
            return _emitted(before, after)
        case Dropped(after):
            return f"drops it: {after.reason}"
        case Rejected(after, icmp_type, icmp_code):
            return f"rejects it: {after.reason} (ICMP {icmp_type}/{icmp_code})"
        case NeedsMac(_, port, next_hop):
            return f"waits for the MAC of {format_ip(next_hop)} at {port}"
        case Answered():
            return "answers it"
        case Noted():
            return "learns from it"
        case Consumed(after):
            return f"takes it: {after.reason}" if after.reason else "takes it"
        case _:
            assert_never(outcome)


def _emitted(before: PacketContext, after: PacketContext) -> str:
    outputs = [output.port for output in after.outputs[len(before.outputs) :]]
    branches = [f"{b.device} by {b.port}" for b in after.pending[len(before.pending) :]]
    if len(outputs) == 1 and not branches:
        return f"out by {outputs[0]}"
    ways = [*(f"out by {port}" for port in outputs), *(f"to {branch}" for branch in branches)]
    if not ways:
        return "floods it: no other port"
    more = f" and {len(ways) - MOST_NAMED} more" if len(ways) > MOST_NAMED else ""
    return f"floods it: {', '.join(ways[:MOST_NAMED])}{more}"
