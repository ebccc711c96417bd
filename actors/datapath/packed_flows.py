"""PackedFlows: the flow table as a snapshot keeps it, what flows have in common said once. Pure.

Flows of one path carry the same tags, masks and actions; spelled out in each they are nine tenths
of a snapshot, which is made between two inputs while packets wait.
"""

from msgspec import Struct

from actors.datapath.flow_table import Flow
from actors.values import Nanoseconds, Tag


class PackedFlow(Struct, frozen=True, array_like=True, gc=False):
    """A flow; mask, actions and tags are places in PackedFlows' lists."""

    number: int
    lifetime: int
    made_at: Nanoseconds
    raw_key: bytes
    mask: int
    actions: int
    tags: int
    reason: str


class PackedFlows(Struct, frozen=True, array_like=True):
    """See the module."""

    blobs: list[bytes]
    """Masks and actions."""
    tags: list[tuple[Tag, ...]]
    flows: list[PackedFlow]


def pack_flows(flows: dict[int, Flow]) -> PackedFlows:
    """Return a flow table packed; its order is kept."""
    blobs: dict[bytes, int] = {}
    tags: dict[tuple[Tag, ...], int] = {}
    blob, tagged = blobs.setdefault, tags.setdefault
    packed = [
        PackedFlow(
            flow.number,
            flow.lifetime,
            flow.made_at,
            flow.raw_key,
            blob(flow.mask, len(blobs)),
            blob(flow.actions, len(blobs)),
            tagged(flow.tags, len(tags)),
            flow.reason,
        )
        for flow in flows.values()
    ]
    return PackedFlows(list(blobs), list(tags), packed)


def unpack_flows(packed: PackedFlows) -> dict[int, Flow]:
    """Return the flow table. Raises IndexError if it was not packed by `pack_flows`."""
    blobs, tags = packed.blobs, packed.tags
    return {
        flow.number: Flow(
            flow.number,
            flow.lifetime,
            flow.made_at,
            flow.raw_key,
            blobs[flow.mask],
            blobs[flow.actions],
            tags[flow.tags],
            flow.reason,
        )
        for flow in packed.flows
    }
