"""Flow keys in netlink form: nested OVS_KEY_ATTR_* attributes to FlowKey and back.

Follows __ovs_nla_put_key() and ovs_nla_get_match() in net/openvswitch/flow_netlink.c. Numbers
that the uapi marks __be are in network order, all others in the machine's.
"""

import struct
from typing import Final

from msgspec.structs import replace

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.shape import shape_of
from actors.packets.flow_key import FRAG_LATER, FlowKey, TunnelKey

_CUT_TAG_TYPES: Final = frozenset((0x8100, 0x88A8))

_BEFORE_TUNNEL: Final = b"".join(
    attribute(kind, bytes(4))
    for kind in (c.OVS_KEY_ATTR_RECIRC_ID, c.OVS_KEY_ATTR_DP_HASH, c.OVS_KEY_ATTR_PRIORITY)
)
_AFTER_IN_PORT: Final = b"".join(
    (
        attribute(c.OVS_KEY_ATTR_SKB_MARK, bytes(4)),
        attribute(c.OVS_KEY_ATTR_CT_STATE, bytes(4)),
        attribute(c.OVS_KEY_ATTR_CT_ZONE, bytes(2)),
        attribute(c.OVS_KEY_ATTR_CT_MARK, bytes(4)),
        attribute(c.OVS_KEY_ATTR_CT_LABELS, bytes(16)),
        struct.pack("=HH", 16, c.OVS_KEY_ATTR_ETHERNET),
    )
)
_IN_PORT = struct.Struct("=HHI")
_NATIVE_HEADER = struct.Struct("=HH")
_BE16 = struct.Struct(">H")
_IPV4 = struct.Struct(">4s4sBBBB")
_IPV6 = struct.Struct(">16s16sIBBBB")
_ARP = struct.Struct(">4s4sH6s6s2x")
_ND = struct.Struct(">16s6s6s")
_PORTS = struct.Struct(">HH")
_TYPE_CODE = struct.Struct(">BB")

_TUNNEL_ID: Final = _NATIVE_HEADER.pack(12, c.OVS_TUNNEL_KEY_ATTR_ID)
_TUNNEL_SRC: Final = {
    4: _NATIVE_HEADER.pack(8, c.OVS_TUNNEL_KEY_ATTR_IPV4_SRC),
    16: _NATIVE_HEADER.pack(20, c.OVS_TUNNEL_KEY_ATTR_IPV6_SRC),
}
_TUNNEL_DST: Final = {
    4: _NATIVE_HEADER.pack(8, c.OVS_TUNNEL_KEY_ATTR_IPV4_DST),
    16: _NATIVE_HEADER.pack(20, c.OVS_TUNNEL_KEY_ATTR_IPV6_DST),
}
_TUNNEL_TOS: Final = _NATIVE_HEADER.pack(5, c.OVS_TUNNEL_KEY_ATTR_TOS)
_TUNNEL_TTL: Final = _NATIVE_HEADER.pack(5, c.OVS_TUNNEL_KEY_ATTR_TTL)
_TUNNEL_DONT_FRAGMENT: Final = _NATIVE_HEADER.pack(4, c.OVS_TUNNEL_KEY_ATTR_DONT_FRAGMENT)
_TUNNEL_CHECKSUM: Final = _NATIVE_HEADER.pack(4, c.OVS_TUNNEL_KEY_ATTR_CSUM)

_L4_PORTS: Final = {6: c.OVS_KEY_ATTR_TCP, 17: c.OVS_KEY_ATTR_UDP, 132: c.OVS_KEY_ATTR_SCTP}


def decode_key(raw: bytes) -> FlowKey:
    """Read the payload of OVS_PACKET_ATTR_KEY, OVS_FLOW_ATTR_KEY or OVS_FLOW_ATTR_MASK.

    Attributes that FlowKey has no field for are ignored; absent ones read as zeros (addresses
    as b""). Raises OdpError if it is malformed.
    """
    shape = shape_of(raw)
    key = shape.decode(raw)
    if shape.empty_encap is not None and shape.is_cut_tag(raw):
        # The frame ends inside this tag, so its type is the frame's ethertype.
        if key.vlan_tci:
            return replace(key, ethertype=key.cvlan_tpid, cvlan_tpid=0)
        return replace(key, ethertype=key.vlan_tpid, vlan_tpid=0)
    return key


def encode_key(key: FlowKey) -> bytes:
    """Return the key's attributes as the kernel puts them into an upcall, in its order.

    Metadata that FlowKey lacks (mark, priority, conntrack) is written as zero. Raises OdpError
    if a field is out of range.
    """
    if len(key.eth_src) != 6 or len(key.eth_dst) != 6:
        raise OdpError("a MAC address has 6 bytes")
    try:
        return b"".join(
            (
                _BEFORE_TUNNEL,
                b""
                if key.tunnel is None
                else attribute(c.OVS_KEY_ATTR_TUNNEL, encode_tunnel(key.tunnel)),
                _IN_PORT.pack(8, c.OVS_KEY_ATTR_IN_PORT, key.in_port),
                _AFTER_IN_PORT,
                key.eth_src,
                key.eth_dst,
                _layer_2(key),
            )
        )
    except struct.error as error:
        raise OdpError(f"a flow key field is out of range: {error}") from error


def encode_tunnel(tunnel: TunnelKey) -> bytes:
    """Return the nested attributes of a tunnel key, in __ip_tun_to_nlattr()'s order."""
    src, dst, tos, ttl = tunnel.src, tunnel.dst, tunnel.tos, tunnel.ttl
    if not (0 <= tunnel.tun_id < 1 << 64 and 0 <= tos <= 0xFF and 0 <= ttl <= 0xFF):
        raise OdpError("a tunnel's id, ToS or TTL is out of range")
    parts = [_TUNNEL_ID, tunnel.tun_id.to_bytes(8)]
    if any(src):
        parts += (_header_for(src, _TUNNEL_SRC), src)
    if any(dst):
        parts += (_header_for(dst, _TUNNEL_DST), dst)
    if tos:
        parts += (_TUNNEL_TOS, bytes((tos, 0, 0, 0)))
    parts += (_TUNNEL_TTL, bytes((ttl, 0, 0, 0)))
    if tunnel.dont_fragment:
        parts.append(_TUNNEL_DONT_FRAGMENT)
    if tunnel.checksum:
        parts.append(_TUNNEL_CHECKSUM)
    if tunnel.tp_src:
        parts.append(attribute(c.OVS_TUNNEL_KEY_ATTR_TP_SRC, _be16(tunnel.tp_src)))
    if tunnel.tp_dst:
        parts.append(attribute(c.OVS_TUNNEL_KEY_ATTR_TP_DST, _be16(tunnel.tp_dst)))
    return b"".join(parts)


def _layer_2(key: FlowKey) -> bytes:
    """Return what stands behind ETHERNET: tags outside in, then the upper layers."""
    if key.cvlan_tci and not key.vlan_tci:
        raise OdpError("a key cannot have an inner VLAN tag without an outer one")
    cut_tag = key.ethertype in _CUT_TAG_TYPES
    if key.cvlan_tci:
        # Behind two tags the kernel does not look at a third (it stops at its type).
        inner = _tag(key.cvlan_tpid, key.cvlan_tci, _upper(key))
        return _tag(key.vlan_tpid, key.vlan_tci, inner)
    inner = _tag(key.ethertype, 0, b"") if cut_tag else _upper(key)
    return _tag(key.vlan_tpid, key.vlan_tci, inner) if key.vlan_tci else inner


def _tag(tpid: int, tci: int, encapsulated: bytes) -> bytes:
    return b"".join(
        (
            attribute(c.OVS_KEY_ATTR_ETHERTYPE, _be16(tpid)),
            attribute(c.OVS_KEY_ATTR_VLAN, _be16(tci)),
            _NATIVE_HEADER.pack(4 + len(encapsulated), c.OVS_KEY_ATTR_ENCAP),
            encapsulated,
        )
    )


def _upper(key: FlowKey) -> bytes:
    ethertype = key.ethertype
    if ethertype == 0:
        return b""  # 802.3 without an ethertype is told by the attribute's absence
    head = attribute(c.OVS_KEY_ATTR_ETHERTYPE, _be16(ethertype))
    if ethertype == 0x0800:
        layer_3 = _IPV4.pack(
            _sized(key.ip_src, 4), _sized(key.ip_dst, 4),
            key.ip_proto, key.ip_tos, key.ip_ttl, key.ip_frag,
        )  # fmt: skip
        return head + attribute(c.OVS_KEY_ATTR_IPV4, layer_3) + _transport(key)
    if ethertype == 0x86DD:
        layer_3 = _IPV6.pack(
            _sized(key.ip_src, 16), _sized(key.ip_dst, 16), key.ipv6_label,
            key.ip_proto, key.ip_tos, key.ip_ttl, key.ip_frag,
        )  # fmt: skip
        return head + attribute(c.OVS_KEY_ATTR_IPV6, layer_3) + _transport(key)
    if ethertype in (0x0806, 0x8035):
        layer_3 = _ARP.pack(
            _sized(key.ip_src, 4), _sized(key.ip_dst, 4), key.ip_proto,
            _sized(key.arp_sha, 6), _sized(key.arp_tha, 6),
        )  # fmt: skip
        return head + attribute(c.OVS_KEY_ATTR_ARP, layer_3)
    return head


def _transport(key: FlowKey) -> bytes:
    if key.ip_frag == FRAG_LATER:
        return b""
    kind = _L4_PORTS.get(key.ip_proto)
    if kind is not None:
        ports = attribute(kind, _PORTS.pack(key.l4_src, key.l4_dst))
        if kind == c.OVS_KEY_ATTR_TCP:
            ports += attribute(c.OVS_KEY_ATTR_TCP_FLAGS, _be16(key.tcp_flags))
        return ports
    if key.ip_proto == 1 and key.ethertype == 0x0800:
        return attribute(c.OVS_KEY_ATTR_ICMP, _TYPE_CODE.pack(key.l4_src, key.l4_dst))
    if key.ip_proto == 58 and key.ethertype == 0x86DD:
        return _icmpv6(key)
    return b""


def _icmpv6(key: FlowKey) -> bytes:
    icmp = attribute(c.OVS_KEY_ATTR_ICMPV6, _TYPE_CODE.pack(key.l4_src, key.l4_dst))
    if key.l4_src not in (135, 136):
        return icmp
    neighbour = _ND.pack(_sized(key.nd_target, 16), _sized(key.nd_sll, 6), _sized(key.nd_tll, 6))
    return icmp + attribute(c.OVS_KEY_ATTR_ND, neighbour)


def _sized(value: bytes, length: int) -> bytes:
    """Return an address of the right length, zeros for an absent one."""
    if len(value) == length:
        return value
    if value:
        raise OdpError(f"an address has {len(value)} bytes instead of {length}")
    return bytes(length)


def _header_for(address: bytes, headers: dict[int, bytes]) -> bytes:
    header = headers.get(len(address))
    if header is None:
        raise OdpError(f"a tunnel address has {len(address)} bytes")
    return header


def _be16(value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise OdpError(f"{value} does not fit 16 bits")
    return _BE16.pack(value)
