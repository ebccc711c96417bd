"""Mask: which fields of a FlowKey a flow matches, and the projection of a key onto them.

Two keys match the same flow under a mask exactly when their projections are equal, so the flows
of one mask are a dict.
"""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.packets.flow_key import NO_ADDRESS, FlowKey, TunnelKey
from actors.values import ZERO_MAC

FieldMask = int | None
"""None matches all bits of a field; a number matches the bits that are set in it."""
Projection = Callable[[FlowKey], Hashable]
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


def masked_key(key: FlowKey, mask: Mask) -> FlowKey:
    """Return `key` with all that `mask` leaves open set to zero, as the module keeps its flows."""
    kept: dict[str, Any] = {}
    outer: dict[str, Any] = {}
    for name, bits in mask.fields:
        if not name.startswith("tunnel."):
            kept[name] = _kept(getattr(key, name), bits)
        elif key.tunnel is not None:
            field = name.removeprefix("tunnel.")
            outer[field] = _kept(getattr(key.tunnel, field), bits)
    if outer:
        kept["tunnel"] = replace(_ZERO_TUNNEL, **outer)
    return replace(_ZERO_KEY, **kept)


def _kept(value: Any, bits: FieldMask) -> Any:
    if bits is None or not value:
        return value
    if isinstance(value, bytes):
        return (int.from_bytes(value) & bits).to_bytes(len(value))
    return value & bits
