"""UDP (RFC 768) and TCP (RFC 9293) headers: parsing, and building with checksums.

Checksums cover the pseudo header of IPv4 (RFC 793) or IPv6 (RFC 8200 8.1), by the addresses'
length.
"""

import struct

from msgspec import Struct

from actors.packets.checksum import internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ipv4 import PROTO_TCP, PROTO_UDP

_UDP = struct.Struct(">HHHH")
_TCP = struct.Struct(">HHIIHHHH")


class UdpHeader(Struct, frozen=True):
    """A UDP header; `length` in bytes, header included."""

    src: int
    dst: int
    length: int
    checksum: int


class TcpHeader(Struct, frozen=True):
    """A TCP header; `length` (data offset) and `window` in bytes, flags as 12 bits."""

    src: int
    dst: int
    sequence: int
    acknowledgment: int
    length: int
    flags: int
    window: int
    checksum: int
    urgent: int


def parse_udp(frame: bytes, offset: int) -> UdpHeader:
    """Read the UDP header at `offset`; PacketError if it is not whole."""
    if offset < 0 or len(frame) < offset + _UDP.size:
        raise PacketError("the UDP header is cut short")
    header = UdpHeader(*_UDP.unpack_from(frame, offset))
    if header.length < _UDP.size:
        raise PacketError(f"a UDP length of {header.length} holds no header")
    return header


def parse_tcp(frame: bytes, offset: int) -> TcpHeader:
    """Read the TCP header at `offset`; PacketError if it is not whole."""
    if offset < 0 or len(frame) < offset + _TCP.size:
        raise PacketError("the TCP header is cut short")
    src, dst, sequence, ack, flags, window, checksum, urgent = _TCP.unpack_from(frame, offset)
    length = flags >> 12 << 2
    if length < _TCP.size or len(frame) < offset + length:
        raise PacketError(f"a TCP data offset of {length} bytes does not fit the segment")
    return TcpHeader(src, dst, sequence, ack, length, flags & 0x0FFF, window, checksum, urgent)


def transport_checksum(src_ip: bytes, dst_ip: bytes, proto: int, segment: bytes) -> int:
    """Return the checksum of a whole segment whose checksum field is 0."""
    pseudo = int.from_bytes(src_ip) + int.from_bytes(dst_ip) + proto + len(segment)
    return internet_checksum(segment, pseudo)


def udp_datagram(src_ip: bytes, dst_ip: bytes, src: int, dst: int, payload: bytes) -> bytes:
    """Return a UDP datagram with its checksum."""
    length = _UDP.size + len(payload)
    try:
        bare = _UDP.pack(src, dst, length, 0) + payload
    except struct.error as error:
        raise PacketError(f"a UDP field is out of range: {error}") from error
    # A computed 0 is sent as all ones: 0 says that there is no checksum.
    checksum = transport_checksum(src_ip, dst_ip, PROTO_UDP, bare) or 0xFFFF
    return b"".join((bare[:6], checksum.to_bytes(2), bare[8:]))


def tcp_segment(  # noqa: PLR0913 - the fields of one header
    src_ip: bytes,
    dst_ip: bytes,
    src: int,
    dst: int,
    payload: bytes = b"",
    *,
    flags: int = 0x10,
    sequence: int = 0,
    acknowledgment: int = 0,
    window: int = 0xFFFF,
) -> bytes:
    """Return a TCP segment without options, with its checksum; flags default to ACK."""
    try:
        bare = _TCP.pack(src, dst, sequence, acknowledgment, 5 << 12 | flags, window, 0, 0)
    except struct.error as error:
        raise PacketError(f"a TCP field is out of range: {error}") from error
    checksum = transport_checksum(src_ip, dst_ip, PROTO_TCP, bare + payload)
    return b"".join((bare[:16], checksum.to_bytes(2), bare[18:], payload))
