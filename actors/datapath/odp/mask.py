"""Megaflow masks: which bits of a key a flow matches, from the fields that a simulation read.

A mask has the attributes of its key. What ovs_nla_get_match() and match_validate() in
net/openvswitch/flow_netlink.c ask for, and what follows here:
- in_port and every ethertype are exact whatever the mask says; a TPID must be sent as 0xffff.
- An all-zero attribute counts as absent, so a wildcarded layer is sent as zeros.
- A tag's TCI is exact always (its CFI bit must be). "No tag" is exact without being sent: the
  kernel matches on the TCI by default and refuses a VLAN mask for an untagged key.
- A mask of a layer is refused unless what announces that layer (ethertype, protocol, the
  ICMPv6 type for ND) is exact.
- An 802.3 key has no ETHERTYPE; its mask must have one, or the flow would match any type.
"""

import struct
from collections.abc import Iterator
from typing import Final

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.shape import (
    KEY_LENGTHS,
    TUNNEL_LENGTHS,
    Identity,
    KeyNode,
    key_tree,
    shape_of,
)
from actors.packets import flow_key as f

_MAX_CACHED: Final = 1024
"""Masks kept for one shape; beyond it they are made each time."""

_L4: Final = f.SEEN_L4_SRC | f.SEEN_L4_DST | f.SEEN_TCP_FLAGS | f.SEEN_ND
_L3: Final = (
    f.SEEN_IP_SRC
    | f.SEEN_IP_DST
    | f.SEEN_IP_PROTO
    | f.SEEN_IP_TOS
    | f.SEEN_IP_TTL
    | f.SEEN_IP_FRAG
    | f.SEEN_IPV6_LABEL
    | f.SEEN_ARP_SHA
    | f.SEEN_ARP_THA
    | _L4
)
_ALWAYS: Final = f.SEEN_ALL + 1
"""A bit that is always asked for."""
_NEVER: Final = 0

# Per attribute: bytes of the payload, the value they get, and the bits that ask for it.
_Field = tuple[bytes, int]
_EXACT: Final[dict[int, tuple[_Field, ...]]] = {
    c.OVS_KEY_ATTR_RECIRC_ID: ((b"\xff" * 4, _ALWAYS),),
    c.OVS_KEY_ATTR_IN_PORT: ((b"\xff" * 4, _ALWAYS),),
    c.OVS_KEY_ATTR_ETHERTYPE: ((b"\xff" * 2, _ALWAYS),),
    c.OVS_KEY_ATTR_VLAN: ((b"\xff" * 2, _ALWAYS),),
    c.OVS_KEY_ATTR_ETHERNET: ((b"\xff" * 6, f.SEEN_ETH_SRC), (b"\xff" * 6, f.SEEN_ETH_DST)),
    c.OVS_KEY_ATTR_IPV4: (
        (b"\xff" * 4, f.SEEN_IP_SRC),
        (b"\xff" * 4, f.SEEN_IP_DST),
        (b"\xff", _L3),
        (b"\xff", f.SEEN_IP_TOS),
        (b"\xff", f.SEEN_IP_TTL),
        (b"\xff", _L3),
    ),
    c.OVS_KEY_ATTR_IPV6: (
        (b"\xff" * 16, f.SEEN_IP_SRC),
        (b"\xff" * 16, f.SEEN_IP_DST),
        (b"\x00\x0f\xff\xff", f.SEEN_IPV6_LABEL),
        (b"\xff", _L3),
        (b"\xff", f.SEEN_IP_TOS),
        (b"\xff", f.SEEN_IP_TTL),
        (b"\xff", _L3),
    ),
    c.OVS_KEY_ATTR_ARP: (
        (b"\xff" * 4, f.SEEN_IP_SRC),
        (b"\xff" * 4, f.SEEN_IP_DST),
        (b"\xff" * 2, _L3),
        (b"\xff" * 6, f.SEEN_ARP_SHA),
        (b"\xff" * 6, f.SEEN_ARP_THA),
        (b"\0" * 2, _NEVER),
    ),
    c.OVS_KEY_ATTR_TCP: ((b"\xff" * 2, f.SEEN_L4_SRC), (b"\xff" * 2, f.SEEN_L4_DST)),
    c.OVS_KEY_ATTR_UDP: ((b"\xff" * 2, f.SEEN_L4_SRC), (b"\xff" * 2, f.SEEN_L4_DST)),
    c.OVS_KEY_ATTR_SCTP: ((b"\xff" * 2, f.SEEN_L4_SRC), (b"\xff" * 2, f.SEEN_L4_DST)),
    c.OVS_KEY_ATTR_ICMP: ((b"\xff", f.SEEN_L4_SRC), (b"\xff", f.SEEN_L4_DST)),
    c.OVS_KEY_ATTR_ICMPV6: ((b"\xff", f.SEEN_L4_SRC | f.SEEN_ND), (b"\xff", f.SEEN_L4_DST)),
    c.OVS_KEY_ATTR_TCP_FLAGS: ((b"\x0f\xff", f.SEEN_TCP_FLAGS),),
    c.OVS_KEY_ATTR_ND: ((b"\xff" * 28, f.SEEN_ND),),
}
_EXACT_TUNNEL_ID: Final = b"\xff" * 8
_EXACT_TUNNEL: Final[dict[int, _Field]] = {
    c.OVS_TUNNEL_KEY_ATTR_ID: (_EXACT_TUNNEL_ID, _ALWAYS),
    c.OVS_TUNNEL_KEY_ATTR_IPV4_SRC: (b"\xff" * 4, f.SEEN_TUNNEL_ENDPOINTS),
    c.OVS_TUNNEL_KEY_ATTR_IPV4_DST: (b"\xff" * 4, f.SEEN_TUNNEL_ENDPOINTS),
    c.OVS_TUNNEL_KEY_ATTR_IPV6_SRC: (b"\xff" * 16, f.SEEN_TUNNEL_ENDPOINTS),
    c.OVS_TUNNEL_KEY_ATTR_IPV6_DST: (b"\xff" * 16, f.SEEN_TUNNEL_ENDPOINTS),
}


def mask_for(raw_key: bytes, seen: int) -> bytes:
    """Return the payload of OVS_FLOW_ATTR_MASK for a flow whose simulation read `seen`.

    `seen` is a set of SEEN_* bits. in_port, ethertype, tunnel id and recirculation id are
    always exact. Raises OdpError if `raw_key` is malformed.
    """
    shape = shape_of(raw_key)
    which = seen, shape.empty_encap is not None and shape.is_cut_tag(raw_key)
    mask = shape.masks.get(which)
    if mask is None:
        mask = _level(shape.nodes, seen, cut_tag=which[1])
        if len(shape.masks) < _MAX_CACHED:
            shape.masks[which] = mask
    return mask


def exact_mask(raw_key: bytes) -> bytes:
    """Return the mask that a flow without one has: all bits of all attributes of its key.

    As mask_set_nlattr() in net/openvswitch/flow_netlink.c. Raises OdpError if it is malformed.
    """
    ones = bytearray(raw_key)
    for _, node in _leaves(shape_of(raw_key).nodes, 0):
        ones[node.start : node.end] = b"\xff" * (node.end - node.start)
    return bytes(ones)


def masked(raw_key: bytes, mask: bytes) -> bytes:
    """Return the identity of the megaflow: equal if and only if the flows match the same packets.

    It is made of the masked key's bits and of the mask; wildcarded attributes leave no trace,
    so a TCP and a UDP packet give the same identity for a flow that matches on Ethernet alone.
    Not itself a key. Raises OdpError if either is malformed.
    """
    shape = shape_of(raw_key)
    identity = shape.identities.get(mask)
    if identity is None:
        identity = _identity(shape.nodes, mask)
        if len(shape.identities) < _MAX_CACHED:
            shape.identities[mask] = identity
    read, bits, suffix = identity
    matched = b"".join(read(raw_key))
    return (int.from_bytes(matched) & bits).to_bytes(len(matched)) + suffix


def _level(nodes: tuple[KeyNode, ...], seen: int, *, cut_tag: bool) -> bytes:
    parts = []
    innermost = True
    for node in nodes:
        if node.kind == c.OVS_KEY_ATTR_ENCAP and node.children is not None:
            innermost = False
            # Nothing is known, nor may be asked for, behind a tag that is cut off.
            cut = cut_tag and not node.children
            inner = b"" if cut else _level(node.children, seen, cut_tag=cut_tag)
            parts.append(attribute(node.kind, inner))
        elif node.kind == c.OVS_KEY_ATTR_TUNNEL and node.children is not None:
            parts.append(attribute(node.kind, _tunnel(node.children, seen)))
        elif node.kind == c.OVS_KEY_ATTR_VLAN and cut_tag and _encap_is_empty(nodes):
            parts.append(attribute(node.kind, bytes(2)))
        elif node.kind in KEY_LENGTHS:
            parts.append(attribute(node.kind, _payload(_EXACT.get(node.kind), node, seen)))
        # Others have a structure of their own that zeros would break: absent is wildcarded too.
    if innermost and all(node.kind != c.OVS_KEY_ATTR_ETHERTYPE for node in nodes):
        parts.append(attribute(c.OVS_KEY_ATTR_ETHERTYPE, b"\xff\xff"))
    return b"".join(parts)


def _encap_is_empty(nodes: tuple[KeyNode, ...]) -> bool:
    return any(node.kind == c.OVS_KEY_ATTR_ENCAP and not node.children for node in nodes)


def _tunnel(nodes: tuple[KeyNode, ...], seen: int) -> bytes:
    parts = []
    for node in nodes:
        if node.kind in TUNNEL_LENGTHS:
            field = _EXACT_TUNNEL.get(node.kind)
            fields = None if field is None else (field,)
            parts.append(attribute(node.kind, _payload(fields, node, seen)))
    if all(node.kind != c.OVS_TUNNEL_KEY_ATTR_ID for node in nodes):
        # A GRE packet came without a key: a flow for such must not take those that have one.
        parts.append(attribute(c.OVS_TUNNEL_KEY_ATTR_ID, _EXACT_TUNNEL_ID))
    return b"".join(parts)


def _payload(fields: tuple[_Field, ...] | None, node: KeyNode, seen: int) -> bytes:
    if fields is None:
        return bytes(node.end - node.start)
    asked = seen | _ALWAYS
    return b"".join(ones if asked & want else bytes(len(ones)) for ones, want in fields)


def _identity(nodes: tuple[KeyNode, ...], mask: bytes) -> Identity:
    """Return how to read the identity of a key with these attributes under `mask`."""
    wanted = {}
    for path, node in _leaves(key_tree(mask), 0):
        ones = mask[node.start : node.end]
        if any(ones) or not ones:
            wanted[path, node.kind] = ones
    layout = ">"
    at = 0
    bits = b""
    suffix = b""
    for path, node in _leaves(nodes, 0):
        known = wanted.get((path, node.kind))
        if known is None or len(known) != node.end - node.start:
            continue
        del wanted[path, node.kind]
        layout += f"{node.start - at}x{len(known)}s"
        at = node.end
        bits += known
        suffix += bytes((1, path, node.kind & 0xFF)) + known
    for (path, kind), ones in sorted(wanted.items()):
        suffix += bytes((0, path, kind & 0xFF)) + ones
    return struct.Struct(layout).unpack_from, int.from_bytes(bits), suffix


def _leaves(nodes: tuple[KeyNode, ...], path: int) -> Iterator[tuple[int, KeyNode]]:
    """Yield the attributes without children in the key's order; path tells in what they nest."""
    for node in nodes:
        if node.children is None:
            yield path, node
        else:
            yield from _leaves(node.children, path * 2 + 1 + (node.kind == c.OVS_KEY_ATTR_TUNNEL))
