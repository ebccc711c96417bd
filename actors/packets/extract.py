"""flow_key_of: the match fields of a frame, as the openvswitch module's key_extract() sees them.

It follows net/openvswitch/flow.c field for field, corner cases included, because a flow made
from this key must match the packets that the kernel would match. Total over any bytes: an
upper layer that is cut short or malformed gives zeros, as it does there.
"""

import struct
from typing import Final

from actors.packets.errors import PacketError
from actors.packets.flow_key import (
    FRAG_FIRST,
    FRAG_LATER,
    FRAG_NONE,
    NO_ADDRESS,
    FlowKey,
    TunnelKey,
)
from actors.values import ZERO_MAC, IpAddress

_ETHERNET = struct.Struct(">6s6sH").unpack_from
_TAG = struct.Struct(">HH").unpack_from
_SNAP = struct.Struct(">3s3sH").unpack_from
_IPV4 = struct.Struct(">BB4xHBB2x4s4s").unpack_from
_IPV6 = struct.Struct(">I2xBB16s16s").unpack_from
_PORTS = struct.Struct(">HH").unpack_from
_TCP = struct.Struct(">HH8xH").unpack_from
_ARP = struct.Struct(">HHBBH6s4s6s4s").unpack_from

_TAG_TYPES: Final = frozenset((0x8100, 0x88A8))
_ETHERTYPE_MIN: Final = 0x0600
_CFI: Final = 0x1000
_ZERO_V4: Final = IpAddress(bytes(4))
_ZERO_V6: Final = IpAddress(bytes(16))
_BAD_IPV4: Final = (_ZERO_V4, _ZERO_V4, 0, 0, 0, FRAG_NONE, 0)
_NO_L4: Final = (0, 0, 0)

_TCP_PROTO: Final = 6
_UDP_PROTO: Final = 17
_SCTP_PROTO: Final = 132
_ICMP_PROTO: Final = 1
_ICMPV6_PROTO: Final = 58

# IPv6 next headers (net/ipv6/exthdrs_core.c, ipv6_ext_hdr()).
_ROUTING: Final = 43
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_NO_NEXT: Final = 59
_EXTENSIONS: Final = frozenset((0, _ROUTING, _FRAGMENT, _AUTHENTICATION, 60))


def flow_key_of(frame: bytes, in_port: int, tunnel: TunnelKey | None = None) -> FlowKey:
    """Return the flow key of a whole Ethernet frame that came in by `in_port`.

    Raises PacketError for a frame shorter than an Ethernet header, and for nothing else.
    """
    size = len(frame)
    if size < 14:
        raise PacketError(f"a frame of {size} bytes has no whole Ethernet header")
    eth_dst, eth_src, ethertype = _ETHERNET(frame)
    at = 14
    tci = tpid = inner_tci = inner_tpid = 0
    if ethertype in _TAG_TYPES and size >= 18:
        tpid = ethertype
        tci, ethertype = _TAG(frame, 14)
        tci |= _CFI
        at = 18
        if ethertype in _TAG_TYPES and size >= 22:
            inner_tpid = ethertype
            inner_tci, ethertype = _TAG(frame, 18)
            inner_tci |= _CFI
            at = 22
    if ethertype < _ETHERTYPE_MIN:
        ethertype, at = _behind_snap(frame, at, size)
    if ethertype == 0x0800:
        src, dst, proto, tos, ttl, frag, l4 = _ipv4(frame, at, size)
        l4_src, l4_dst, flags = _transport(frame, l4, size, proto, _ICMP_PROTO) if l4 else _NO_L4
        return FlowKey(
            in_port, tunnel, eth_src, eth_dst, ethertype, tci, tpid, inner_tci, inner_tpid,
            src, dst, proto, tos, ttl, frag, 0, l4_src, l4_dst, flags,
        )  # fmt: skip
    above = _UPPER.get(ethertype)
    upper = _NOTHING if above is None else above(frame, at, size)
    return FlowKey(
        in_port, tunnel, eth_src, eth_dst, ethertype, tci, tpid, inner_tci, inner_tpid, *upper
    )  # fmt: skip


def _ipv4(frame: bytes, at: int, size: int) -> tuple[IpAddress, IpAddress, int, int, int, int, int]:
    """Return addresses, protocol, ToS, TTL, fragment type and transport offset (0: none)."""
    if size < at + 20:
        return _BAD_IPV4
    first, tos, fragment, ttl, proto, src, dst = _IPV4(frame, at)
    length = (first & 0x0F) << 2
    if length < 20 or size < at + length:
        return _BAD_IPV4
    if fragment & 0x1FFF:
        return src, dst, proto, tos, ttl, FRAG_LATER, 0
    return src, dst, proto, tos, ttl, FRAG_FIRST if fragment & 0x2000 else FRAG_NONE, at + length


# FlowKey's fields from ip_src on.
_Upper = tuple[
    IpAddress, IpAddress, int, int, int, int, int, int, int, int, bytes, bytes, bytes, bytes, bytes
]
_NOTHING: Final[_Upper] = (
    NO_ADDRESS, NO_ADDRESS, 0, 0, 0, 0, 0, 0, 0, 0, b"", b"", b"", b"", b"",
)  # fmt: skip
_BAD_ARP: Final[_Upper] = (
    _ZERO_V4, _ZERO_V4, 0, 0, 0, 0, 0, 0, 0, 0, ZERO_MAC, ZERO_MAC, b"", b"", b"",
)  # fmt: skip
_BAD_IPV6: Final[_Upper] = (
    _ZERO_V6, _ZERO_V6, 0, 0, 0, 0, 0, 0, 0, 0, b"", b"", b"", b"", b"",
)  # fmt: skip


def _behind_snap(frame: bytes, at: int, size: int) -> tuple[int, int]:
    """Return ethertype and payload offset of an 802.3 frame; ethertype 0 unless SNAP names one."""
    if size >= at + 8:
        saps, oui, ethertype = _SNAP(frame, at)
        if saps[:2] == b"\xaa\xaa" and oui == b"\0\0\0" and ethertype >= _ETHERTYPE_MIN:
            return ethertype, at + 8
    return 0, at


def _transport(frame: bytes, at: int, size: int, proto: int, icmp: int) -> tuple[int, int, int]:
    """Return the ports (or ICMP type and code) and TCP flags; zeros if the header is not whole."""
    if proto == _TCP_PROTO:
        if size >= at + 20:
            src, dst, flags = _TCP(frame, at)
            length = flags >> 12 << 2
            if length >= 20 and size >= at + length:
                return src, dst, flags & 0x0FFF
    elif proto == _UDP_PROTO:
        if size >= at + 8:
            src, dst = _PORTS(frame, at)
            return src, dst, 0
    elif proto == icmp:
        if size >= at + 8:
            return frame[at], frame[at + 1], 0
    elif proto == _SCTP_PROTO and size >= at + 12:
        src, dst = _PORTS(frame, at)
        return src, dst, 0
    return 0, 0, 0


def _arp(frame: bytes, at: int, size: int) -> _Upper:
    if size < at + 28:
        return _BAD_ARP
    hardware, protocol, mac_length, ip_length, op, sha, spa, tha, tpa = _ARP(frame, at)
    if hardware != 1 or protocol != 0x0800 or mac_length != 6 or ip_length != 4:
        return _BAD_ARP
    # Only the opcode's low byte can be matched; larger ones read as 0.
    op = op if op <= 0xFF else 0
    return spa, tpa, op, 0, 0, 0, 0, 0, 0, 0, sha, tha, b"", b"", b""


def _ipv6(frame: bytes, at: int, size: int) -> _Upper:
    if size < at + 40:
        return _BAD_IPV6
    word, next_header, ttl, src, dst = _IPV6(frame, at)
    tos = word >> 20 & 0xFF
    label = word & 0xFFFFF
    proto, frag, l4 = next_header, FRAG_NONE, at + 40
    if next_header in _EXTENSIONS:
        proto, frag, l4 = _behind_extensions(frame, l4, size, next_header)
    if frag == FRAG_LATER or not l4:
        return src, dst, proto, tos, ttl, frag, label, 0, 0, 0, b"", b"", b"", b"", b""
    l4_src, l4_dst, flags = _transport(frame, l4, size, proto, _ICMPV6_PROTO)
    target = sll = tll = b""
    if proto == _ICMPV6_PROTO and l4_src in (135, 136):
        target, sll, tll = _neighbour(frame, l4, size, l4_dst)
    return (
        src, dst, proto, tos, ttl, frag, label, l4_src, l4_dst, flags, b"", b"", target, sll, tll,
    )  # fmt: skip


def _behind_extensions(frame: bytes, at: int, size: int, header: int) -> tuple[int, int, int]:
    """Return protocol, fragment type and transport offset (0: not reached), as ipv6_find_hdr().

    Each turn moves at least 8 bytes forward, so the frame's length bounds the walk.
    """
    frag = FRAG_NONE
    while header in _EXTENSIONS:
        if size < at + 2 or (header == _ROUTING and size < at + 4):
            return _NO_NEXT, frag, 0
        following = frame[at]
        if header == _FRAGMENT:
            frag = FRAG_FIRST
            if size < at + 4:
                return _NO_NEXT, frag, 0
            if (frame[at + 2] << 8 | frame[at + 3]) & ~7:
                if following in _EXTENSIONS:
                    return _NO_NEXT, frag, 0
                return _FRAGMENT, FRAG_LATER, 0
            at += 8
        elif header == _AUTHENTICATION:
            at += (frame[at + 1] + 2) << 2
        else:
            at += (frame[at + 1] + 1) << 3
        header = following
    return header, frag, at


def _neighbour(frame: bytes, at: int, size: int, code: int) -> tuple[bytes, bytes, bytes]:
    """Return target, source and target link-layer address of a neighbour discovery message."""
    if code != 0 or size < at + 24:
        return _ZERO_V6, ZERO_MAC, ZERO_MAC
    target = frame[at + 8 : at + 24]
    sll = tll = bytes(ZERO_MAC)
    at += 24
    while size >= at + 8:
        length = frame[at + 1] << 3
        if not length or size < at + length:
            break
        if length == 8 and frame[at] == 1:
            if sll != ZERO_MAC:
                return _ZERO_V6, ZERO_MAC, ZERO_MAC
            sll = frame[at + 2 : at + 8]
        elif length == 8 and frame[at] == 2:
            if tll != ZERO_MAC:
                return _ZERO_V6, ZERO_MAC, ZERO_MAC
            tll = frame[at + 2 : at + 8]
        at += length
    return target, sll, tll


_UPPER: Final = {0x86DD: _ipv6, 0x0806: _arp, 0x8035: _arp}
