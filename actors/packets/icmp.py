"""ICMP for IPv4 (RFC 792): the replies and errors that a router makes.

It owns which packets may be answered with an error (RFC 1122 3.2.2, RFC 1812 4.3.2.7). It
never decides that an error is due.
"""

import struct
from typing import Final

from actors.packets.checksum import checksum_after_change, internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ethernet import ETHERTYPE_IPV4, ethernet_frame, l3_offset
from actors.packets.flow_key import FRAG_LATER, FlowKey
from actors.packets.ipv4 import PROTO_ICMP, ipv4_packet, parse_ipv4

ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11

_ERROR_TTL: Final = 64
_ERROR_TOS: Final = 0xC0
"""Internetwork control, as RFC 1812 4.3.2.5 wants of errors."""
_ERROR_SIZE: Final = 576
"""An error's whole IP packet holds as much of the original as fits this (RFC 1812 4.3.2.3)."""
_ICMP_HEADER_LENGTH: Final = 8

_ICMP_INFORMATIONAL: Final = frozenset((0, 8, 9, 10, 13, 14, 15, 16, 17, 18))
_REPLY_ADDRESSES = struct.Struct(">4s4s")
_ERROR = struct.Struct(">BBHI")


def echo_reply(frame: bytes) -> bytes:
    """Return the answer to an echo request: addresses swapped, TTL 64, checksums updated.

    Only the headers are read; the payload is copied. PacketError if `frame` is no whole,
    unfragmented echo request.
    """
    at = l3_offset(frame)
    header = parse_ipv4(frame)
    icmp = at + header.ihl
    if header.proto != PROTO_ICMP or header.frag_offset or header.more_fragments:
        raise PacketError("only an unfragmented ICMP packet can be an echo request")
    end = at + header.total_length
    if end > len(frame) or end < icmp + _ICMP_HEADER_LENGTH or frame[icmp] != ECHO_REQUEST:
        raise PacketError("not a whole ICMP echo request")
    reply = bytearray(frame[:end])
    reply[0:6], reply[6:12] = frame[6:12], frame[0:6]
    old_ttl = header.ttl << 8 | header.proto
    reply[at + 8] = _ERROR_TTL
    reply[at + 10 : at + 12] = checksum_after_change(
        header.checksum, old_ttl, _ERROR_TTL << 8 | header.proto
    ).to_bytes(2)
    _REPLY_ADDRESSES.pack_into(reply, at + 12, header.dst, header.src)
    code = frame[icmp + 1]
    reply[icmp] = ECHO_REPLY
    old_sum = int.from_bytes(frame[icmp + 2 : icmp + 4])
    new_sum = checksum_after_change(old_sum, ECHO_REQUEST << 8 | code, ECHO_REPLY << 8 | code)
    # Over data that is zero throughout, only all ones is right; elsewhere it equals 0.
    reply[icmp + 2 : icmp + 4] = (new_sum or 0xFFFF).to_bytes(2)
    return bytes(reply)


def icmp_error(
    frame: bytes,
    type: int,  # noqa: A002 - the name that ICMP gives it
    code: int,
    src_mac: bytes,
    dst_mac: bytes,
    src_ip: bytes,
    rest: int = 0,
) -> bytes:
    """Return the frame of an ICMP error about the IPv4 packet in `frame`, to its source.

    `rest` is the 32-bit word behind the checksum: the next hop's MTU in bytes for type 3 code
    4 (RFC 1191), otherwise 0. The error is untagged. PacketError if `frame` is not IPv4.
    """
    at = l3_offset(frame)
    original = parse_ipv4(frame)
    room = _ERROR_SIZE - 20 - _ICMP_HEADER_LENGTH
    quoted = frame[at : min(at + original.total_length, at + room, len(frame))]
    try:
        bare = _ERROR.pack(type, code, 0, rest)
    except struct.error as error:
        raise PacketError(f"an ICMP field is out of range: {error}") from error
    checksum = internet_checksum(bare + quoted)
    body = b"".join((bare[:2], checksum.to_bytes(2), bare[4:], quoted))
    packet = ipv4_packet(src_ip, original.src, PROTO_ICMP, body, _ERROR_TTL, _ERROR_TOS)
    return ethernet_frame(dst_mac, src_mac, ETHERTYPE_IPV4, packet)


def may_answer_with_error(frame: bytes, key: FlowKey) -> bool:
    """Tell whether an ICMP error about this packet is allowed (RFC 1122 3.2.2, 1812 4.3.2.7).

    `key` is the flow key of `frame`. Not allowed about: ICMP errors (and ICMP types unknown
    to us), link-layer or IP multicast and broadcast, later fragments, and sources that name
    no single host. Directed broadcasts are the caller's to know. A packet whose header is
    invalid is not answered.
    """
    if key.ethertype != ETHERTYPE_IPV4 or len(key.ip_src) != 4 or len(key.ip_dst) != 4:
        return False
    # Source: zero network, loopback, multicast, reserved and broadcast name no single host.
    bad_source = key.ip_src[0] in (0, 127) or key.ip_src[0] >= 224
    to_many = bool(key.eth_dst[0] & 1) or key.ip_dst[0] >= 224
    if bad_source or to_many or key.ip_frag == FRAG_LATER:
        return False
    return _is_valid_and_no_icmp_error(frame)


def _is_valid_and_no_icmp_error(frame: bytes) -> bool:
    try:
        header = parse_ipv4(frame)
    except PacketError:
        return False
    if header.proto != PROTO_ICMP:
        return True
    icmp = l3_offset(frame) + header.ihl
    return icmp < len(frame) and frame[icmp] in _ICMP_INFORMATIONAL
