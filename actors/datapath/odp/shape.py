"""KeyShape: what all flow keys with the same attributes in the same places have in common.

A datapath emits few shapes (a sequence of attribute types and lengths), and millions of keys.
So the generic walk, with every check, happens once a shape; afterwards one AND over the key's
bytes tells whether its attribute headers are those of a known shape, and one Struct reads all
its fields. The caches are bounded: beyond the bound, shapes are built again for each key.
"""

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from msgspec import Struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import NLA_HEADER_LENGTH, walk
from actors.datapath.odp.errors import OdpError
from actors.packets.flow_key import FlowKey, TunnelKey

KEY_MAX_LENGTH: Final = 2048
"""Longer than any key of the kernel (ovs_key_attr_size(): under 800 bytes with all options)."""
_MAX_SHAPES: Final = 512
_MAX_SHAPES_PER_LENGTH: Final = 32
_MAX_VLAN_TAGS: Final = 2

_OUTER_TAG: Final = ("vlan_tpid", "vlan_tci")
_INNER_TAG: Final = ("cvlan_tpid", "cvlan_tci")
_PORTS: Final = ("l4_src", "l4_dst")

KEY_LENGTHS: Final[dict[int, int]] = {
    c.OVS_KEY_ATTR_PRIORITY: 4,
    c.OVS_KEY_ATTR_IN_PORT: 4,
    c.OVS_KEY_ATTR_ETHERNET: 12,
    c.OVS_KEY_ATTR_VLAN: 2,
    c.OVS_KEY_ATTR_ETHERTYPE: 2,
    c.OVS_KEY_ATTR_IPV4: 12,
    c.OVS_KEY_ATTR_IPV6: 40,
    c.OVS_KEY_ATTR_TCP: 4,
    c.OVS_KEY_ATTR_UDP: 4,
    c.OVS_KEY_ATTR_ICMP: 2,
    c.OVS_KEY_ATTR_ICMPV6: 2,
    c.OVS_KEY_ATTR_ARP: 24,
    c.OVS_KEY_ATTR_ND: 28,
    c.OVS_KEY_ATTR_SKB_MARK: 4,
    c.OVS_KEY_ATTR_SCTP: 4,
    c.OVS_KEY_ATTR_TCP_FLAGS: 2,
    c.OVS_KEY_ATTR_DP_HASH: 4,
    c.OVS_KEY_ATTR_RECIRC_ID: 4,
    c.OVS_KEY_ATTR_CT_STATE: 4,
    c.OVS_KEY_ATTR_CT_ZONE: 2,
    c.OVS_KEY_ATTR_CT_MARK: 4,
    c.OVS_KEY_ATTR_CT_LABELS: 16,
}
"""Exact payload lengths, as ovs_key_lens in net/openvswitch/flow_netlink.c."""

TUNNEL_LENGTHS: Final[dict[int, int]] = {
    c.OVS_TUNNEL_KEY_ATTR_ID: 8,
    c.OVS_TUNNEL_KEY_ATTR_IPV4_SRC: 4,
    c.OVS_TUNNEL_KEY_ATTR_IPV4_DST: 4,
    c.OVS_TUNNEL_KEY_ATTR_TOS: 1,
    c.OVS_TUNNEL_KEY_ATTR_TTL: 1,
    c.OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT: 0,
    c.OVS_TUNNEL_KEY_ATTR_CSUM: 0,
    c.OVS_TUNNEL_KEY_ATTR_TP_SRC: 2,
    c.OVS_TUNNEL_KEY_ATTR_TP_DST: 2,
    c.OVS_TUNNEL_KEY_ATTR_IPV6_SRC: 16,
    c.OVS_TUNNEL_KEY_ATTR_IPV6_DST: 16,
}
"""Exact payload lengths, as ovs_tunnel_key_lens."""

_KEY_FIELDS: Final[dict[int, tuple[str, tuple[str, ...]]]] = {
    c.OVS_KEY_ATTR_ETHERNET: ("6s6s", ("eth_src", "eth_dst")),
    c.OVS_KEY_ATTR_IPV4: (
        "4s4sBBBB",
        ("ip_src", "ip_dst", "ip_proto", "ip_tos", "ip_ttl", "ip_frag"),
    ),
    c.OVS_KEY_ATTR_IPV6: (
        "16s16sIBBBB",
        ("ip_src", "ip_dst", "ipv6_label", "ip_proto", "ip_tos", "ip_ttl", "ip_frag"),
    ),
    c.OVS_KEY_ATTR_TCP: ("HH", _PORTS),
    c.OVS_KEY_ATTR_UDP: ("HH", _PORTS),
    c.OVS_KEY_ATTR_SCTP: ("HH", _PORTS),
    c.OVS_KEY_ATTR_ICMP: ("BB", _PORTS),
    c.OVS_KEY_ATTR_ICMPV6: ("BB", _PORTS),
    c.OVS_KEY_ATTR_ARP: ("4s4sH6s6s2x", ("ip_src", "ip_dst", "ip_proto", "arp_sha", "arp_tha")),
    c.OVS_KEY_ATTR_ND: ("16s6s6s", ("nd_target", "nd_sll", "nd_tll")),
    c.OVS_KEY_ATTR_TCP_FLAGS: ("H", ("tcp_flags",)),
}
_TUNNEL_FIELDS: Final[dict[int, tuple[str, str]]] = {
    c.OVS_TUNNEL_KEY_ATTR_ID: ("Q", "tun_id"),
    c.OVS_TUNNEL_KEY_ATTR_IPV4_SRC: ("4s", "src"),
    c.OVS_TUNNEL_KEY_ATTR_IPV4_DST: ("4s", "dst"),
    c.OVS_TUNNEL_KEY_ATTR_IPV6_SRC: ("16s", "src"),
    c.OVS_TUNNEL_KEY_ATTR_IPV6_DST: ("16s", "dst"),
    c.OVS_TUNNEL_KEY_ATTR_TOS: ("B", "tos"),
    c.OVS_TUNNEL_KEY_ATTR_TTL: ("B", "ttl"),
    c.OVS_TUNNEL_KEY_ATTR_TP_SRC: ("H", "tp_src"),
    c.OVS_TUNNEL_KEY_ATTR_TP_DST: ("H", "tp_dst"),
}

_KEY_DEFAULTS: Final[dict[str, object]] = {
    "eth_src": bytes(6), "eth_dst": bytes(6), "ethertype": 0,
    "vlan_tci": 0, "vlan_tpid": 0, "cvlan_tci": 0, "cvlan_tpid": 0,
    "ip_src": b"", "ip_dst": b"", "ip_proto": 0, "ip_tos": 0, "ip_ttl": 0, "ip_frag": 0,
    "ipv6_label": 0, "l4_src": 0, "l4_dst": 0, "tcp_flags": 0,
    "arp_sha": b"", "arp_tha": b"", "nd_target": b"", "nd_sll": b"", "nd_tll": b"",
}  # fmt: skip
_TUNNEL_DEFAULTS: Final[dict[str, object]] = {
    "tun_id": 0, "src": b"", "dst": b"", "tos": 0, "ttl": 0, "tp_src": 0, "tp_dst": 0,
    "dont_fragment": False, "checksum": False,
}  # fmt: skip

_IN_PORT = struct.Struct("=I")
_Fields = list[tuple[int, str, tuple[str, ...]]]
Identity = tuple[Callable[[bytes], tuple[Any, ...]], int, bytes]
"""How the identity under one mask is read: the matched bytes, the mask's bits, a suffix."""


class KeyNode(Struct, frozen=True):
    """One attribute of a key: where it stands, and what is nested in it."""

    kind: int
    start: int
    """Of the payload, in bytes from the start of the key."""
    end: int
    children: "tuple[KeyNode, ...] | None" = None


def key_tree(raw: bytes) -> tuple[KeyNode, ...]:
    """Return the attributes of a key or mask, checked as __parse_flow_nlattrs() does.

    Raises OdpError for wrong lengths, repeated attributes, or tags nested too deep.
    """
    if len(raw) > KEY_MAX_LENGTH:
        raise OdpError(f"a flow key cannot have {len(raw)} bytes")
    return _level(raw, 0, len(raw), 0)


def _level(raw: bytes, start: int, end: int, tags: int) -> tuple[KeyNode, ...]:
    if (end - start) & 3:
        raise OdpError("the last attribute of a key lacks its padding")
    nodes = []
    kinds = set()
    for kind, first, last in walk(raw, start, end):
        if kind in kinds:
            raise OdpError(f"key attribute {kind} is there twice")
        kinds.add(kind)
        length = KEY_LENGTHS.get(kind)
        if length is not None and last - first != length:
            raise OdpError(f"key attribute {kind} has {last - first} bytes instead of {length}")
        children = None
        if kind == c.OVS_KEY_ATTR_ENCAP:
            if tags == _MAX_VLAN_TAGS:
                raise OdpError(f"more than {_MAX_VLAN_TAGS} VLAN tags are nested in a key")
            children = _level(raw, first, last, tags + 1)
        elif kind == c.OVS_KEY_ATTR_TUNNEL:
            children = _tunnel(raw, first, last)
        nodes.append(KeyNode(kind, first, last, children))
    if kinds & {c.OVS_KEY_ATTR_ENCAP, c.OVS_KEY_ATTR_VLAN} and not kinds >= {
        c.OVS_KEY_ATTR_ENCAP,
        c.OVS_KEY_ATTR_VLAN,
        c.OVS_KEY_ATTR_ETHERTYPE,
    }:
        raise OdpError("a VLAN tag needs its ETHERTYPE, VLAN and ENCAP attributes together")
    return tuple(nodes)


def _tunnel(raw: bytes, start: int, end: int) -> tuple[KeyNode, ...]:
    nodes = []
    kinds = set()
    for kind, first, last in walk(raw, start, end):
        length = TUNNEL_LENGTHS.get(kind)
        if kind in kinds or (length is not None and last - first != length):
            raise OdpError(f"tunnel key attribute {kind} is repeated or has a wrong length")
        kinds.add(kind)
        nodes.append(KeyNode(kind, first, last))
    return tuple(nodes)


class KeyShape:
    """The compiled reader of one shape, and the masks made for it so far."""

    __slots__ = (
        "_fields",
        "_in_port",
        "_pick",
        "_tunnel",
        "empty_encap",
        "header_bits",
        "headers",
        "identities",
        "masks",
        "nodes",
    )

    def __init__(self, raw: bytes) -> None:
        """Build the shape of `raw`; OdpError if it is malformed."""
        self.nodes: Final = key_tree(raw)
        self.masks: dict[tuple[int, bool], bytes] = {}
        self.identities: dict[bytes, Identity] = {}
        self.empty_encap: int | None = None
        """Where the TCI stands whose ENCAP is empty: a tagged 802.3 frame, or a cut off tag."""
        self._in_port: int | None = None
        self._tunnel: Callable[[bytes], TunnelKey] | None = None
        bits = bytearray(len(raw))
        _mark_headers(self.nodes, bits)
        self.header_bits: Final = int.from_bytes(bits)
        self.headers: Final = int.from_bytes(raw) & self.header_bits
        fields: _Fields = []
        self._collect(self.nodes, 0, fields)
        unpack, names = _reader(fields, len(raw))
        self._fields: Final = unpack
        self._pick: Final = _picker(names, _KEY_DEFAULTS)

    def _collect(self, nodes: tuple[KeyNode, ...], tags: int, fields: _Fields) -> None:
        encap = next((n for n in nodes if n.kind == c.OVS_KEY_ATTR_ENCAP), None)
        tpid_name, tci_name = _INNER_TAG if tags else _OUTER_TAG
        for node in nodes:
            known = _KEY_FIELDS.get(node.kind)
            if known is not None:
                fields.append((node.start, *known))
            elif node.kind == c.OVS_KEY_ATTR_IN_PORT:
                self._in_port = node.start
            elif node.kind == c.OVS_KEY_ATTR_ETHERTYPE:
                name = "ethertype" if encap is None else tpid_name
                fields.append((node.start, "H", (name,)))
            elif node.kind == c.OVS_KEY_ATTR_VLAN:
                fields.append((node.start, "H", (tci_name,)))
                if encap is not None and not encap.children:
                    self.empty_encap = node.start
            elif node.kind == c.OVS_KEY_ATTR_TUNNEL and node.children is not None:
                self._tunnel = tunnel_reader(node.children, node.end)
            elif node.kind == c.OVS_KEY_ATTR_ENCAP and node.children is not None:
                self._collect(node.children, tags + 1, fields)

    def is_cut_tag(self, raw: bytes) -> bool:
        """Tell whether the key is of a frame that ends inside its innermost VLAN tag (TCI 0)."""
        at = self.empty_encap
        return at is not None and raw[at : at + 2] == b"\0\0"

    def decode(self, raw: bytes) -> FlowKey:
        """Read a key that is known to have this shape."""
        in_port = 0 if self._in_port is None else _IN_PORT.unpack_from(raw, self._in_port)[0]
        tunnel = None if self._tunnel is None else self._tunnel(raw)
        return FlowKey(in_port, tunnel, *self._pick(self._fields(raw)))


def tunnel_reader(nodes: tuple[KeyNode, ...], end: int) -> Callable[[bytes], TunnelKey]:
    """Return a function that reads the tunnel key made of `nodes`, which end at `end`."""
    fields: _Fields = []
    flags = dict(_TUNNEL_DEFAULTS)
    for node in nodes:
        known = _TUNNEL_FIELDS.get(node.kind)
        if known is not None:
            fields.append((node.start, known[0], (known[1],)))
        elif node.kind == c.OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT:
            flags["dont_fragment"] = True
        elif node.kind == c.OVS_TUNNEL_KEY_ATTR_CSUM:
            flags["checksum"] = True
    unpack, names = _reader(fields, end)
    pick = _picker(names, flags)

    def read(raw: bytes) -> TunnelKey:
        tun_id, src, dst, tos, ttl, tp_src, tp_dst, dont_fragment, checksum = pick(unpack(raw))
        return TunnelKey(tun_id, src, dst, tos, ttl, tp_src, tp_dst, dont_fragment, checksum)

    return read


def _mark_headers(nodes: tuple[KeyNode, ...], bits: bytearray) -> None:
    for node in nodes:
        bits[node.start - NLA_HEADER_LENGTH : node.start] = b"\xff" * NLA_HEADER_LENGTH
        if node.children is not None:
            _mark_headers(node.children, bits)


def _reader(
    fields: _Fields, length: int
) -> tuple[Callable[[bytes], tuple[Any, ...]], dict[str, int]]:
    """Return a function that unpacks all fields at once, and each field's place in its result."""
    layout = ">"
    at = 0
    places: dict[str, int] = {}
    for start, code, names in sorted(fields):
        for name in names:
            if name in places:
                raise OdpError(f"two key attributes give {name}")
            places[name] = len(places)
        layout += f"{start - at}x{code}"
        at = start + struct.calcsize(">" + code)
    # The length is fixed by the shape, so unpack_from() always finds its bytes.
    if at > length:
        raise OdpError("a key attribute ends behind its key")
    return struct.Struct(layout).unpack_from, places


def _picker(
    places: dict[str, int], defaults: dict[str, object]
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a function that puts unpacked fields in the order of `defaults`."""
    rest = tuple(value for name, value in defaults.items() if name not in places)
    absent = iter(range(len(places), len(places) + len(rest)))
    get = itemgetter(*(places[name] if name in places else next(absent) for name in defaults))

    def pick(fields: tuple[Any, ...]) -> tuple[Any, ...]:
        picked: tuple[Any, ...] = get(fields + rest)
        return picked

    return pick


_shapes: dict[int, list[KeyShape]] = {}


def shape_of(raw: bytes) -> KeyShape:
    """Return the shape of a key or mask; OdpError if it is malformed."""
    value = int.from_bytes(raw)
    known = _shapes.get(len(raw))
    if known is not None:
        for shape in known:
            if value & shape.header_bits == shape.headers:
                return shape
    shape = KeyShape(raw)
    if known is None:
        if len(_shapes) < _MAX_SHAPES:
            _shapes[len(raw)] = [shape]
    elif len(known) < _MAX_SHAPES_PER_LENGTH:
        known.append(shape)
    return shape
