"""What a network card would do for the kernel: partial checksums and segmentation, in software.

It follows skb_checksum_help() and the GSO callbacks of net/ipv4/tcp_offload.c and
udp_offload.c. A frame whose headers contradict its offload state yields no segments.
"""

import struct
from typing import Final

from actors.datapath.soft.packet import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    Packet,
)
from actors.packets.checksum import internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, l3_offset

_TCP: Final = 6
_UDP: Final = 17
_WORD: Final = struct.Struct("!H")
_LONG: Final = struct.Struct("!I")
_TCP_LAST_ONLY: Final = 0x09
"""FIN and PSH belong to the last segment."""
_TCP_CWR: Final = 0x80
_MAX_SEGMENTS: Final = 1024
"""64 KB in segments of 64 bytes; a sender that asks for smaller ones is refused."""


def complete_checksum(packet: Packet) -> None:
    """Fill in the transport checksum that the sender left to the card. Not for GSO frames."""
    if not packet.needs_csum:
        return
    packet.needs_csum = False
    start = packet.start + packet.csum_start
    value = internet_checksum(packet.view[start : packet.end])
    # 0 would mean "none" to UDP, and equals 0xffff in ones' complement.
    _WORD.pack_into(packet.buffer, start + packet.csum_offset, value or 0xFFFF)


def segments(packet: Packet) -> list[bytes]:
    """Cut a GSO frame into whole frames with right lengths and checksums; [] if that fails."""
    kind = packet.gso_type & ~GSO_ECN
    frame = packet.view[packet.start : packet.end]
    l4 = packet.csum_start
    try:
        l3 = l3_offset(bytes(frame[:64]))
    except PacketError:
        return []
    ethertype = _WORD.unpack_from(frame, l3 - 2)[0]
    ipv4 = ethertype == ETHERTYPE_IPV4
    if kind == GSO_UDP_L4:
        header, proto, csum_offset = l4 + 8, _UDP, 6
    elif kind in {GSO_TCPV4, GSO_TCPV6} and len(frame) >= l4 + 20:
        header, proto, csum_offset = l4 + (frame[l4 + 12] >> 4 << 2), _TCP, 16
    else:
        return []
    if not (
        (ipv4 or ethertype == ETHERTYPE_IPV6)
        and l4 >= l3 + (20 if ipv4 else 40)
        and l4 + csum_offset < header < len(frame)
        and packet.csum_offset == csum_offset
        and (len(frame) - header) <= packet.gso_size * _MAX_SEGMENTS
    ):
        return []
    addresses = frame[l3 + 12 : l3 + 20] if ipv4 else frame[l3 + 8 : l3 + 40]
    pseudo = int.from_bytes(addresses) + proto
    template = bytes(frame[:header])
    pieces = range(header, len(frame), packet.gso_size)
    result = []
    for index, at in enumerate(pieces):
        segment = bytearray(template)
        segment += frame[at : at + packet.gso_size]
        if ipv4:
            _fix_ipv4(segment, l3, l4, index)
        else:
            _WORD.pack_into(segment, l3 + 4, len(segment) - l3 - 40)
        if proto == _TCP:
            _fix_tcp(segment, l4, at - header, last=at == pieces[-1], first=index == 0)
        else:
            _WORD.pack_into(segment, l4 + 4, len(segment) - l4)
        at_csum = l4 + csum_offset
        _WORD.pack_into(segment, at_csum, 0)
        value = internet_checksum(memoryview(segment)[l4:], pseudo + len(segment) - l4)
        _WORD.pack_into(segment, at_csum, value or 0xFFFF)
        result.append(bytes(segment))
    return result


def _fix_ipv4(segment: bytearray, l3: int, l4: int, index: int) -> None:
    _WORD.pack_into(segment, l3 + 2, len(segment) - l3)
    ident = _WORD.unpack_from(segment, l3 + 4)[0]
    _WORD.pack_into(segment, l3 + 4, (ident + index) & 0xFFFF)
    _WORD.pack_into(segment, l3 + 10, 0)
    _WORD.pack_into(segment, l3 + 10, internet_checksum(segment[l3:l4]))


def _fix_tcp(segment: bytearray, l4: int, sent: int, *, last: bool, first: bool) -> None:
    sequence = _LONG.unpack_from(segment, l4 + 4)[0]
    _LONG.pack_into(segment, l4 + 4, (sequence + sent) & 0xFFFFFFFF)
    if not last:
        segment[l4 + 13] &= ~_TCP_LAST_ONLY & 0xFF
    if not first:
        segment[l4 + 13] &= ~_TCP_CWR & 0xFF
