"""Reading a flow's mask attributes into a Mask, refused where the kernel's module refuses them.

It follows ovs_nla_get_match() of net/openvswitch/flow_netlink.c: in_port and ethertype are exact
whenever they are named, the VLAN TCI is exact unless a mask with the CFI bit is given, and a
field that the mask leaves out is a wildcard. Without mask attributes a flow matches all of its key's
attributes.
"""

from collections.abc import Iterator
from typing import Final

from actors.datapath.odp import constants as odp
from actors.datapath.odp.attributes import walk
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.mask import exact_mask
from actors.datapath.odp.shape import shape_of
from actors.datapath.soft.mask import FieldMask, Mask

_Field = tuple[str, int, int]
_ADDRESSES6: Final = (("ip_src", 0, 16), ("ip_dst", 16, 16), ("ipv6_label", 32, 4))
_PORTS: Final = (("l4_src", 0, 2), ("l4_dst", 2, 2))
_TYPE_AND_CODE: Final = (("l4_src", 0, 1), ("l4_dst", 1, 1))
_LAYOUT: Final[dict[int, tuple[int, tuple[_Field, ...]]]] = {
    # attribute: (its exact length, (field, offset, length) of each)
    odp.OVS_KEY_ATTR_ETHERNET: (12, (("eth_src", 0, 6), ("eth_dst", 6, 6))),
    odp.OVS_KEY_ATTR_IPV4: (
        12,
        (
            ("ip_src", 0, 4),
            ("ip_dst", 4, 4),
            ("ip_proto", 8, 1),
            ("ip_tos", 9, 1),
            ("ip_ttl", 10, 1),
            ("ip_frag", 11, 1),
        ),
    ),
    odp.OVS_KEY_ATTR_IPV6: (
        40,
        (
            *_ADDRESSES6,
            ("ip_proto", 36, 1),
            ("ip_tos", 37, 1),
            ("ip_ttl", 38, 1),
            ("ip_frag", 39, 1),
        ),
    ),
    odp.OVS_KEY_ATTR_TCP: (4, _PORTS),
    odp.OVS_KEY_ATTR_UDP: (4, _PORTS),
    odp.OVS_KEY_ATTR_SCTP: (4, _PORTS),
    odp.OVS_KEY_ATTR_TCP_FLAGS: (2, (("tcp_flags", 0, 2),)),
    odp.OVS_KEY_ATTR_ICMP: (2, _TYPE_AND_CODE),
    odp.OVS_KEY_ATTR_ICMPV6: (2, _TYPE_AND_CODE),
    odp.OVS_KEY_ATTR_ARP: (
        24,
        (
            ("ip_src", 0, 4),
            ("ip_dst", 4, 4),
            ("ip_proto", 8, 2),
            ("arp_sha", 10, 6),
            ("arp_tha", 16, 6),
        ),
    ),
    odp.OVS_KEY_ATTR_ND: (28, (("nd_target", 0, 16), ("nd_sll", 16, 6), ("nd_tll", 22, 6))),
}
_TUNNEL: Final[dict[int, tuple[str, int]]] = {
    odp.OVS_TUNNEL_KEY_ATTR_ID: ("tunnel.tun_id", 8),
    odp.OVS_TUNNEL_KEY_ATTR_IPV4_SRC: ("tunnel.src", 4),
    odp.OVS_TUNNEL_KEY_ATTR_IPV4_DST: ("tunnel.dst", 4),
    odp.OVS_TUNNEL_KEY_ATTR_IPV6_SRC: ("tunnel.src", 16),
    odp.OVS_TUNNEL_KEY_ATTR_IPV6_DST: ("tunnel.dst", 16),
    odp.OVS_TUNNEL_KEY_ATTR_TOS: ("tunnel.tos", 1),
    odp.OVS_TUNNEL_KEY_ATTR_TTL: ("tunnel.ttl", 1),
    odp.OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT: ("tunnel.dont_fragment", 0),
    odp.OVS_TUNNEL_KEY_ATTR_CSUM: ("tunnel.checksum", 0),
    odp.OVS_TUNNEL_KEY_ATTR_TP_SRC: ("tunnel.tp_src", 2),
    odp.OVS_TUNNEL_KEY_ATTR_TP_DST: ("tunnel.tp_dst", 2),
}
_WIDTHS: Final = {"ipv6_label": 20, "tcp_flags": 12}
"""Bits of a field whose attribute has more."""
_ALWAYS_ZERO: Final = frozenset(
    (
        odp.OVS_KEY_ATTR_PRIORITY,
        odp.OVS_KEY_ATTR_SKB_MARK,
        odp.OVS_KEY_ATTR_DP_HASH,
        odp.OVS_KEY_ATTR_RECIRC_ID,
        odp.OVS_KEY_ATTR_CT_STATE,
        odp.OVS_KEY_ATTR_CT_ZONE,
        odp.OVS_KEY_ATTR_CT_MARK,
        odp.OVS_KEY_ATTR_CT_LABELS,
    )
)
"""Nothing in this datapath sets these: a flow may match them at zero only."""
_EXACT_TUNNEL: Final[dict[str, FieldMask]] = dict.fromkeys(
    f"tunnel.{name}" for name in ("tun_id", "src", "dst", "tos", "ttl", "tp_src", "tp_dst")
)
"""The module does not wildcard what a tunnel key leaves out because it is zero."""
_VALUES_THAT_COUNT: Final = _ALWAYS_ZERO | {odp.OVS_KEY_ATTR_ETHERTYPE, odp.OVS_KEY_ATTR_ENCAP}
"""Attributes whose values, not only their presence, decide whether a mask is right."""
_REMEMBERED: Final = 4096
"""Masks kept by a reader; when full, all are forgotten."""
_CFI: Final = 0x1000
_MAX_DEPTH: Final = 2


class MaskReader:
    """Reads flows' masks; those of keys with the same attributes are read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, bytes, bytes | None], Mask] = {}

    def read(self, raw_key: bytes, raw_mask: bytes | None) -> Mask:
        """Return the mask of a flow from the payloads of its KEY and MASK attributes.

        OdpError where the kernel would answer EINVAL.
        """
        shape = shape_of(raw_key)
        spans = [n for n in shape.nodes if n.kind in _VALUES_THAT_COUNT]
        values = b"".join([raw_key[node.start : node.end] for node in spans])
        identity = (len(raw_key), shape.headers, values, raw_mask)
        mask = self._known.get(identity)
        if mask is None:
            mask = mask_of(raw_key, raw_mask)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[identity] = mask
        return mask


def mask_of(raw_key: bytes, raw_mask: bytes | None) -> Mask:
    """As `MaskReader.read`, without remembering."""
    key = _flatten(raw_key, 0)
    if raw_mask is None:
        raw_mask = exact_mask(raw_key)
    fields: dict[str, FieldMask] = {"vlan_tci": None, "cvlan_tci": None}
    if (0, odp.OVS_KEY_ATTR_TUNNEL) in key:
        fields |= _EXACT_TUNNEL
    for (depth, kind), value in _flatten(raw_mask, 0).items():
        if any(value):  # all zeros are as absent, see parse_flow_mask_nlattrs()
            _take_mask(fields, key, depth, kind, value)
    return Mask(tuple(sorted((name, bits) for name, bits in fields.items() if bits != 0)))


def _take_mask(
    fields: dict[str, FieldMask],
    key: dict[tuple[int, int], bytes],
    depth: int,
    kind: int,
    value: bytes,
) -> None:
    """Put one attribute of a mask into `fields`."""
    if (depth, kind) not in key and kind != odp.OVS_KEY_ATTR_ETHERTYPE:
        raise OdpError(f"the mask has attribute {kind}, the key has not")
    if kind == odp.OVS_KEY_ATTR_TUNNEL:
        fields.update(_tunnel_fields(value))
    elif kind in _ALWAYS_ZERO:
        _refuse_nonzero(kind, key[depth, kind], value)
    else:
        tagged = (depth, odp.OVS_KEY_ATTR_VLAN) in key
        fields.update(_fields(kind, depth, value, tagged=tagged))


def _flatten(raw: bytes, depth: int) -> dict[tuple[int, int], bytes]:
    """Return attribute payloads by (depth of VLAN encapsulation, type)."""
    found: dict[tuple[int, int], bytes] = {}
    for kind, start, end in walk(raw):
        value = raw[start:end]
        if kind == odp.OVS_KEY_ATTR_ENCAP:
            if depth == _MAX_DEPTH:
                raise OdpError("more than two VLAN encapsulations")
            found.update(_flatten(value, depth + 1))
        elif (depth, kind) in found:
            raise OdpError(f"attribute {kind} is there twice")
        else:
            found[depth, kind] = value
    return found


def _fields(
    kind: int, depth: int, value: bytes, *, tagged: bool
) -> Iterator[tuple[str, FieldMask]]:
    if kind == odp.OVS_KEY_ATTR_IN_PORT:
        yield "in_port", None
    elif kind == odp.OVS_KEY_ATTR_ETHERTYPE:
        if len(value) != 2:
            raise OdpError("an ethertype mask has not 2 bytes")
        # In front of a tag it is the tag's own type, which has to be exact.
        if tagged and value != b"\xff\xff":
            raise OdpError("a tag's type is masked in part")
        yield (("vlan_tpid", "cvlan_tpid")[depth] if tagged and depth < 2 else "ethertype"), None
    elif kind == odp.OVS_KEY_ATTR_VLAN:
        bits = int.from_bytes(value)
        if len(value) != 2 or not bits & _CFI or depth >= 2:
            raise OdpError("a VLAN mask must match the tag's presence (the CFI bit)")
        yield ("vlan_tci", "cvlan_tci")[depth], (None if bits == 0xFFFF else bits)
    elif kind in _LAYOUT:
        length, fields = _LAYOUT[kind]
        if len(value) != length:
            raise OdpError(f"mask attribute {kind} has {len(value)} bytes instead of {length}")
        for name, start, size in fields:
            yield name, _bits(name, value[start : start + size])
    else:
        raise OdpError(f"key attribute {kind} is not supported")


def _bits(name: str, value: bytes) -> FieldMask:
    width = _WIDTHS.get(name, len(value) * 8)
    full = (1 << width) - 1
    bits = int.from_bytes(value) & full
    return None if bits == full else bits


def _tunnel_fields(raw: bytes) -> Iterator[tuple[str, FieldMask]]:
    for kind, start, end in walk(raw):
        if kind not in _TUNNEL:
            raise OdpError(f"tunnel key attribute {kind} is not supported")
        name, length = _TUNNEL[kind]
        if end - start != length:
            raise OdpError(f"tunnel key attribute {kind} has {end - start} bytes, not {length}")
        yield name, (_bits(name, raw[start:end]) if length else None)


def _refuse_nonzero(kind: int, value: bytes, mask: bytes) -> None:
    if len(value) != len(mask):
        raise OdpError(f"mask attribute {kind} has another length than the key's")
    if int.from_bytes(value) & int.from_bytes(mask):
        raise OdpError(f"key attribute {kind} can only be matched at zero here")
