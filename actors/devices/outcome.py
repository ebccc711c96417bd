"""What a device may decide about a packet at a hop, and how its simulation goes on from there."""

from msgspec import Struct

from actors.lifetimes import LIFE_NONE
from actors.messages.simulation import Branch, Hop, PacketContext, PortOutput, Verdict
from actors.packets.flow_key import FlowKey
from actors.values import ActorName, PortId, Tag

FLOW_CONTROLLER = ActorName("flow-controller")

MOST_DEPTH = 12
"""Devices that one path may pass; a packet that passes more is in a loop."""

MOST_HOPS = 256
"""Devices that all branches of a packet may pass together."""


class Forwarded(Struct, frozen=True, gc=False):
    """The branch goes on into another device, by its port `port`."""

    context: PacketContext
    device: ActorName
    port: PortId


class Emitted(Struct, frozen=True, gc=False):
    """The branch ends here, in outputs; a flood's other branches are still to walk."""

    context: PacketContext


class Dropped(Struct, frozen=True, gc=False):
    """The branch ends here, in nothing; `context` has the reason and the lifetime."""

    context: PacketContext


class Consumed(Struct, frozen=True, gc=False):
    """The device took the packet for itself (and may answer): no flow can do that."""

    context: PacketContext


def forward(
    context: PacketContext,
    headers: FlowKey,
    seen: int,
    tags: tuple[Tag, ...],
    device: ActorName,
    port: PortId,
) -> Forwarded | Dropped:
    """Go on into `device` with these headers, unless the packet has passed too many devices."""
    c = context
    depth = c.depth + 1
    if depth >= MOST_DEPTH or c.hops >= MOST_HOPS:
        return drop(c, seen, tags, "loop", 1)
    return Forwarded(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, headers, c.frame, c.ingress, seen, tags,
            c.outputs, c.pending, depth, c.hops + 1, c.lifetime, c.reason, c.resumed, c.waited_tags, c.trace,
        ),
        device,
        port,
    )  # fmt: skip


def emit(
    context: PacketContext,
    headers: FlowKey,
    seen: int,
    tags: tuple[Tag, ...],
    port: PortId,
) -> Emitted:
    """End the branch in an output by exterior port `port`."""
    c = context
    return Emitted(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, c.headers, c.frame, c.ingress, seen, tags,
            (*c.outputs, PortOutput(port, headers)), c.pending, c.depth, c.hops, c.lifetime,
            c.reason, c.resumed, c.waited_tags, c.trace,
        )
    )  # fmt: skip


def flood(
    context: PacketContext,
    seen: int,
    tags: tuple[Tag, ...],
    outputs: tuple[PortOutput, ...],
    branches: tuple[Branch, ...],
) -> Emitted | Dropped:
    """End the branch in many outputs, and leave `branches` to be walked."""
    c = context
    if branches and c.depth + 1 >= MOST_DEPTH:
        return drop(c, seen, tags, "loop", 1)
    return Emitted(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, c.headers, c.frame, c.ingress, seen, tags,
            c.outputs + outputs, c.pending + branches, c.depth, c.hops, c.lifetime,
            c.reason, c.resumed, c.waited_tags, c.trace,
        )
    )  # fmt: skip


def drop(
    context: PacketContext, seen: int, tags: tuple[Tag, ...], reason: str, lifetime: int
) -> Dropped:
    """End the branch in nothing; a flow made of the packet may live no longer than `lifetime`."""
    c = context
    return Dropped(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, c.headers, c.frame, c.ingress, seen, tags,
            c.outputs, c.pending, c.depth, c.hops, min(c.lifetime, lifetime), reason, c.resumed, c.waited_tags, c.trace,
        )
    )  # fmt: skip


def consume(context: PacketContext, reason: str) -> Consumed:
    """End the branch at the device itself: no flow may be made of the packet."""
    c = context
    return Consumed(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, c.headers, c.frame, c.ingress, c.seen, c.tags,
            c.outputs, c.pending, c.depth, c.hops, LIFE_NONE, reason, c.resumed, c.waited_tags, c.trace,
        )
    )  # fmt: skip


def after_branch(context: PacketContext) -> tuple[ActorName, Hop | Verdict]:
    """Return where the packet goes when a branch has ended: the next one, or its verdict."""
    c = context
    if not c.pending:
        return FLOW_CONTROLLER, Verdict(c)
    branch = c.pending[0]
    if c.hops >= MOST_HOPS:
        return FLOW_CONTROLLER, Verdict(drop(c, c.seen, c.tags, "loop", 1).context)
    return branch.device, Hop(
        PacketContext(
            c.number, c.at, c.raw_key, c.key, branch.headers, c.frame, c.ingress, c.seen, c.tags,
            c.outputs, c.pending[1:], branch.depth, c.hops + 1, c.lifetime, c.reason, c.resumed, c.waited_tags, c.trace,
        ),
        branch.port,
    )  # fmt: skip
