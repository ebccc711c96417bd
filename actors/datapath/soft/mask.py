"""Mask: which fields of a FlowKey a flow matches, and the projection of a key onto them.

Two keys match the same flow under a mask exactly when their projections are equal, so the flows
of one mask are a dict.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple, replace

from actors.datapath.soft.limits import MAX_MASKS
from actors.packets.flow_key import NO_ADDRESS, FlowKey, TunnelKey
from actors.values import ZERO_MAC

FieldMask = int | None
"""None matches all bits of a field; a number matches the bits that are set in it."""
Projection = Callable[[FlowKey], Hashable]
Masking = Callable[[FlowKey], FlowKey]
_NO_FIELDS = ()
_ZERO_TUNNEL = TunnelKey(tun_id=0, src=NO_ADDRESS, dst=NO_ADDRESS, ttl=0)
_ZERO_KEY = FlowKey(in_port=0, tunnel=None, eth_src=ZERO_MAC, eth_dst=ZERO_MAC, ethertype=0)


class Mask(Struct, frozen=True):
    """The matched fields by name (`tunnel.` before a field of the outer header), in sorted order.

    A field that is not named is a wildcard. `tunnel` itself stands for the whole outer header,
    its absence included.
    """

    fields: tuple[tuple[str, FieldMask], ...]


def projection_of(mask: Mask) -> Projection:
    """Return the function from a key to its identity under `mask`.

    A key without an outer header projects onto None if the mask matches a field of it.
    """
    exact = [name for name, bits in mask.fields if bits is None]
    partial = [(attrgetter(name), bits) for name, bits in mask.fields if bits is not None]
    take: Projection = attrgetter(*exact) if exact else lambda _: _NO_FIELDS
    if partial:
        whole = take

        def take(key: FlowKey) -> Hashable:
            return (whole(key), *[_masked(getter(key), bits) for getter, bits in partial])

    if not any(name.startswith("tunnel.") for name, _ in mask.fields):
        return take

    def take_tunnelled(key: FlowKey) -> Hashable:
        return None if key.tunnel is None else take(key)

    return take_tunnelled


def _masked(value: int | bytes, bits: int) -> Hashable:
    if isinstance(value, int):
        return value & bits
    # An absent address is no address; the length keeps IPv4 and IPv6 apart.
    return (len(value), int.from_bytes(value) & bits) if value else None


@lru_cache(maxsize=MAX_MASKS)
def masking_of(mask: Mask) -> Masking:
    """Return the function that sets all that `mask` leaves open to zero, as the module does.

    The module keeps its flows so, and looks for a flow that a new one overlaps by such a key.
    """
    names = FlowKey.__struct_fields__
    bits = dict(mask.fields)
    # From the fields of a key followed by those of the zero key.
    pick = itemgetter(*(at if name in bits else at + len(names) for at, name in enumerate(names)))
    zeros = astuple(_ZERO_KEY)
    partial = {name: some for name, some in mask.fields if some is not None and "." not in name}
    outer = {name.partition(".")[2]: some for name, some in mask.fields if "." in name}

    def masked(key: FlowKey) -> FlowKey:
        kept = FlowKey(*pick(astuple(key) + zeros))
        if partial:
            kept = replace(kept, **{n: _kept(getattr(key, n), b) for n, b in partial.items()})
        if outer and key.tunnel is not None:
            fields = {n: _kept(getattr(key.tunnel, n), b) for n, b in outer.items()}
            kept = replace(kept, tunnel=replace(_ZERO_TUNNEL, **fields))
        return kept

    return masked


def _kept(value: Any, bits: FieldMask) -> Any:
    if bits is None or not value:
        return value
    if isinstance(value, bytes):
        return (int.from_bytes(value) & bits).to_bytes(len(value))
    return value & bits
