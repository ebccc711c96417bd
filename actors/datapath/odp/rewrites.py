"""Header rewrites: the values of set actions, a value and a mask for each field.

A field that is None is left alone; a mask other than all ones changes only its bits. The
kernel wants value bits outside the mask to be zero, and the masks of fields that cannot be
rewritten (protocol, fragment type) too.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.errors import OdpError

_MAC: Final = b"\xff" * 6
_V4: Final = b"\xff" * 4
_V6: Final = b"\xff" * 16


class SetEthernet(Struct, frozen=True, tag="set_ethernet"):
    """Rewrite Ethernet addresses."""

    src: bytes | None = None
    dst: bytes | None = None
    src_mask: bytes = _MAC
    dst_mask: bytes = _MAC


class SetIpv4(Struct, frozen=True, tag="set_ipv4"):
    """Rewrite IPv4 fields; the datapath keeps the checksums right."""

    src: bytes | None = None
    dst: bytes | None = None
    tos: int | None = None
    ttl: int | None = None
    src_mask: bytes = _V4
    dst_mask: bytes = _V4
    tos_mask: int = 0xFF
    ttl_mask: int = 0xFF


class SetIpv6(Struct, frozen=True, tag="set_ipv6"):
    """Rewrite IPv6 fields; `tos` is the traffic class, `ttl` the hop limit."""

    src: bytes | None = None
    dst: bytes | None = None
    label: int | None = None
    tos: int | None = None
    ttl: int | None = None
    src_mask: bytes = _V6
    dst_mask: bytes = _V6
    label_mask: int = 0xFFFFF
    tos_mask: int = 0xFF
    ttl_mask: int = 0xFF


class SetTcp(Struct, frozen=True, tag="set_tcp"):
    """Rewrite TCP ports."""

    src: int | None = None
    dst: int | None = None
    src_mask: int = 0xFFFF
    dst_mask: int = 0xFFFF


class SetUdp(Struct, frozen=True, tag="set_udp"):
    """Rewrite UDP ports."""

    src: int | None = None
    dst: int | None = None
    src_mask: int = 0xFFFF
    dst_mask: int = 0xFFFF


class SetPriority(Struct, frozen=True, tag="set_priority"):
    """Set the queueing priority (skb->priority)."""

    value: int | None = None
    value_mask: int = 0xFFFFFFFF


class SetSkbMark(Struct, frozen=True, tag="set_skb_mark"):
    """Set the firewall mark (skb->mark)."""

    value: int | None = None
    value_mask: int = 0xFFFFFFFF


Rewrite = SetEthernet | SetIpv4 | SetIpv6 | SetTcp | SetUdp | SetPriority | SetSkbMark


_Full = bytes | int


class _Layout(NamedTuple):
    action: Callable[..., Rewrite]
    struct: struct.Struct
    fields: tuple[tuple[str | None, _Full], ...]
    """Name and full mask of each field; None is a field that cannot be rewritten."""


REWRITES: Final[dict[int, _Layout]] = {
    c.OVS_KEY_ATTR_ETHERNET: _Layout(
        SetEthernet, struct.Struct(">6s6s"), (("src", _MAC), ("dst", _MAC))
    ),
    c.OVS_KEY_ATTR_IPV4: _Layout(
        SetIpv4,
        struct.Struct(">4s4sBBBB"),
        (("src", _V4), ("dst", _V4), (None, 0xFF), ("tos", 0xFF), ("ttl", 0xFF), (None, 0xFF)),
    ),
    c.OVS_KEY_ATTR_IPV6: _Layout(
        SetIpv6,
        struct.Struct(">16s16sIBBBB"),
        (
            ("src", _V6),
            ("dst", _V6),
            ("label", 0xFFFFF),
            (None, 0xFF),
            ("tos", 0xFF),
            ("ttl", 0xFF),
            (None, 0xFF),
        ),
    ),
    c.OVS_KEY_ATTR_TCP: _Layout(SetTcp, struct.Struct(">HH"), (("src", 0xFFFF), ("dst", 0xFFFF))),
    c.OVS_KEY_ATTR_UDP: _Layout(SetUdp, struct.Struct(">HH"), (("src", 0xFFFF), ("dst", 0xFFFF))),
    c.OVS_KEY_ATTR_PRIORITY: _Layout(SetPriority, struct.Struct("=I"), (("value", 0xFFFFFFFF),)),
    c.OVS_KEY_ATTR_SKB_MARK: _Layout(SetSkbMark, struct.Struct("=I"), (("value", 0xFFFFFFFF),)),
}
"""By the OVS_KEY_ATTR_* that the set action nests."""

_KIND_OF: Final[dict[object, int]] = {layout.action: kind for kind, layout in REWRITES.items()}


def encode_rewrite(action: Rewrite) -> bytes:
    """Return a whole SET_MASKED action: one nested key attribute with values, then masks.

    Raises OdpError if a value has bits outside its mask, or a wrong size.
    """
    kind = _KIND_OF[type(action)]
    layout = REWRITES[kind]
    values: list[_Full] = []
    masks: list[_Full] = []
    for name, full in layout.fields:
        value: _Full | None = None if name is None else getattr(action, name)
        mask: _Full = full
        if value is None:
            value = mask = bytes(len(full)) if isinstance(full, bytes) else 0
        else:
            mask = getattr(action, f"{name}_mask")
            if not (_within(value, mask) and _within(mask, full)):
                raise OdpError(f"{name} of {type(action).__name__} does not fit its mask")
        values.append(value)
        masks.append(mask)
    nested = attribute(kind, layout.struct.pack(*values) + layout.struct.pack(*masks))
    return attribute(c.OVS_ACTION_ATTR_SET_MASKED, nested)


# What every routed packet gets: whole Ethernet addresses and a TTL. Both lay out one action of
# 32 bytes, so they are packed at once; whatever is less usual goes the general way.
_ETHERNET_ACTION = struct.Struct("=HHHH6s6s6s6s")
_TTL_ACTION = struct.Struct("=HHHH10xBx10xBx")


def encode_set_ethernet(action: SetEthernet) -> bytes:
    """Return the SET_MASKED action of `action`, as encode_rewrite() does."""
    src, dst = action.src, action.dst
    if src is None or dst is None or action.src_mask != _MAC or action.dst_mask != _MAC:
        return encode_rewrite(action)
    if len(src) != 6 or len(dst) != 6:
        raise OdpError("a MAC address has 6 bytes")
    return _ETHERNET_ACTION.pack(
        32, c.OVS_ACTION_ATTR_SET_MASKED, 28, c.OVS_KEY_ATTR_ETHERNET, src, dst, _MAC, _MAC
    )


def encode_set_ipv4(action: SetIpv4) -> bytes:
    """Return the SET_MASKED action of `action`, as encode_rewrite() does."""
    ttl = action.ttl
    rewrites_more = action.src is not None or action.dst is not None or action.tos is not None
    if ttl is None or rewrites_more:
        return encode_rewrite(action)
    if not 0 <= ttl == ttl & action.ttl_mask <= action.ttl_mask <= 0xFF:
        raise OdpError(f"TTL {ttl} does not fit its mask")
    return _TTL_ACTION.pack(
        32, c.OVS_ACTION_ATTR_SET_MASKED, 28, c.OVS_KEY_ATTR_IPV4, ttl, action.ttl_mask
    )


def decode_rewrite(kind: int, payload: bytes, *, exact: bool) -> Rewrite:
    """Read what a SET (`exact`: values alone) or SET_MASKED action nests in attribute `kind`.

    Raises OdpError where validate_set() refuses: a wrong length, value bits outside the mask,
    a mask on what cannot be rewritten.
    """
    layout = REWRITES[kind]
    size = layout.struct.size
    if len(payload) != (size if exact else size * 2):
        raise OdpError(f"a rewrite of key attribute {kind} has {len(payload)} bytes")
    values = layout.struct.unpack_from(payload)
    masks = None if exact else layout.struct.unpack_from(payload, size)
    arguments: dict[str, _Full] = {}
    for at, (name, full) in enumerate(layout.fields):
        value = values[at]
        mask = full if masks is None else masks[at]
        if name is None:
            # An exact set repeats the packet's own protocol and fragment type.
            if masks is not None and (value or mask):
                raise OdpError("a rewrite touches a field that cannot be rewritten")
            continue
        if not (_within(value, mask) and _within(mask, full)):
            raise OdpError("a rewrite has value bits outside its mask")
        if any(mask) if isinstance(mask, bytes) else mask:
            arguments[name] = value
            arguments[f"{name}_mask"] = mask
    return layout.action(**arguments)


def _within(value: _Full, mask: _Full) -> bool:
    """Tell whether `value` has no bit outside `mask` (both bytes of one length, or numbers)."""
    if isinstance(value, bytes) and isinstance(mask, bytes):
        same = len(value) == len(mask)
        return same and int.from_bytes(value) & ~int.from_bytes(mask) == 0
    return isinstance(value, int) and isinstance(mask, int) and 0 <= value == value & mask
