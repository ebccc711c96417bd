"""IPv4 headers (RFC 791): parsing, checking, building."""

import struct
from typing import Final

from msgspec import Struct

from actors.packets.checksum import internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ethernet import ETHERTYPE_IPV4, l3_offset
from actors.values import IpAddress

__all__ = [
    "IPV4_HEADER_LENGTH",
    "PROTO_ICMP",
    "PROTO_ICMPV6",
    "PROTO_SCTP",
    "PROTO_TCP",
    "PROTO_UDP",
    "Ipv4Header",
    "header_checksum_ok",
    "ipv4_packet",
    "l3_offset",
    "parse_ipv4",
]

PROTO_ICMP: Final = 1
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_ICMPV6: Final = 58
PROTO_SCTP: Final = 132
IPV4_HEADER_LENGTH: Final = 20
"""Without options, in bytes."""

_HEADER = struct.Struct(">BBHHHBBH4s4s")
_DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000


class Ipv4Header(Struct, frozen=True):
    """An IPv4 header; lengths and the fragment offset are in bytes."""

    ihl: int
    """Header length in bytes, options included (20 to 60)."""
    total_length: int
    tos: int
    ident: int
    dont_fragment: bool
    more_fragments: bool
    frag_offset: int
    ttl: int
    proto: int
    checksum: int
    src: IpAddress
    dst: IpAddress


def parse_ipv4(frame: bytes, offset: int | None = None) -> Ipv4Header:
    """Read the IPv4 header at `offset`, or behind the frame's Ethernet header and VLAN tags.

    PacketError if there is no IPv4 header, or it is cut short or inconsistent. The checksum
    is not verified, and the total length may exceed the frame (see `header_checksum_ok`).
    """
    if offset is None:
        offset = l3_offset(frame)
        if frame[offset - 2] << 8 | frame[offset - 1] != ETHERTYPE_IPV4:
            raise PacketError("the frame's ethertype is not IPv4")
    if offset < 0 or len(frame) < offset + IPV4_HEADER_LENGTH:
        raise PacketError("the IPv4 header is cut short")
    first, tos, total, ident, fragment, ttl, proto, checksum, src, dst = _HEADER.unpack_from(
        frame, offset
    )
    ihl = (first & 0x0F) * 4
    if first >> 4 != 4:
        raise PacketError(f"IP version {first >> 4} is not 4")
    if ihl < IPV4_HEADER_LENGTH or total < ihl or len(frame) < offset + ihl:
        raise PacketError("the IPv4 header's lengths contradict each other")
    return Ipv4Header(
        ihl,
        total,
        tos,
        ident,
        bool(fragment & _DONT_FRAGMENT),
        bool(fragment & _MORE_FRAGMENTS),
        (fragment & 0x1FFF) * 8,
        ttl,
        proto,
        checksum,
        src,
        dst,
    )


def header_checksum_ok(frame: bytes, l3_offset: int) -> bool:
    """Tell whether a whole IPv4 header with a right checksum stands at `l3_offset`."""
    if l3_offset < 0 or len(frame) < l3_offset + IPV4_HEADER_LENGTH:
        return False
    end = l3_offset + (frame[l3_offset] & 0x0F) * 4
    if end < l3_offset + IPV4_HEADER_LENGTH or len(frame) < end:
        return False
    return internet_checksum(frame[l3_offset:end]) == 0


def ipv4_packet(
    src: bytes,
    dst: bytes,
    proto: int,
    payload: bytes,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0,
    dont_fragment: bool = False,  # noqa: FBT001, FBT002 - a header bit among header fields
) -> bytes:
    """Return an IPv4 packet without options, its header checksum set."""
    total = IPV4_HEADER_LENGTH + len(payload)
    if total > 0xFFFF or len(src) != 4 or len(dst) != 4:
        raise PacketError("an IPv4 packet takes 4-byte addresses and at most 65515 bytes")
    fragment = _DONT_FRAGMENT if dont_fragment else 0
    try:
        bare = _HEADER.pack(0x45, tos, total, ident, fragment, ttl, proto, 0, src, dst)
    except struct.error as error:
        raise PacketError(f"an IPv4 header field is out of range: {error}") from error
    checksum = internet_checksum(bare)
    return b"".join((bare[:10], checksum.to_bytes(2), bare[12:], payload))
