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
_ONES: Final = 0xFFFF
_DIFFERING: Final = {_TCP: ((4, 4), (13, 1), (16, 2)), _UDP: ((4, 2), (6, 2))}
"""Start and length of TCP's sequence number, flags, checksum, and of UDP's length, checksum."""
_DIFFERING_IPV4: Final = ((2, 4), (10, 2))
"""Of IPv4's total length, identification and checksum."""
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


def segments(packet: Packet) -> list[bytes]:  # noqa: PLR0915 - one pass over one frame
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
        and not (l4 - l3) % 2
        and header - l3 + packet.gso_size <= _ONES
        and l3 + 20 <= l4 < l4 + csum_offset < header < len(frame)
        and (l4 == l3 + ((frame[l3] & 0x0F) << 2) if ipv4 else l4 >= l3 + 40)
        and packet.csum_offset == csum_offset
        and (len(frame) - header) <= packet.gso_size * _MAX_SEGMENTS
    ):
        return []
    addresses = frame[l3 + 12 : l3 + 20] if ipv4 else frame[l3 + 8 : l3 + 40]
    head = bytearray(frame[:header])
    sequence = _LONG.unpack_from(head, l4 + 4)[0]
    flags = head[l4 + 13] if proto == _TCP else 0
    ident = _WORD.unpack_from(head, l3 + 4)[0]
    # What differs between segments is zero while the sums of the rest are taken.
    for start, size in _DIFFERING[proto]:
        head[l4 + start : l4 + start + size] = bytes(size)
    for start, size in _DIFFERING_IPV4 if ipv4 else ():
        head[l3 + start : l3 + start + size] = bytes(size)
    l3_sum = int.from_bytes(head[l3:l4]) % _ONES
    l4_sum = (int.from_bytes(head[l4:]) + int.from_bytes(addresses) + proto) % _ONES
    result = []
    for at in range(header, len(frame), packet.gso_size):
        payload = frame[at : at + packet.gso_size]
        l4_length = header - l4 + len(payload)
        if ipv4:
            length = header - l3 + len(payload)
            _WORD.pack_into(head, l3 + 2, length)
            _WORD.pack_into(head, l3 + 4, ident)
            checksum = _ONES - ((l3_sum + length + ident) % _ONES or _ONES)
            _WORD.pack_into(head, l3 + 10, checksum)
            ident = (ident + 1) & 0xFFFF
        else:
            _WORD.pack_into(head, l3 + 4, header - l3 - 40 + len(payload))
        total = l4_sum + l4_length
        if proto == _TCP:
            last = at + packet.gso_size >= len(frame)
            its_flags = flags if last else flags & ~_TCP_LAST_ONLY
            if at != header:
                its_flags &= ~_TCP_CWR
            _LONG.pack_into(head, l4 + 4, sequence)
            head[l4 + 13] = its_flags
            total += sequence + its_flags
            sequence = (sequence + len(payload)) & 0xFFFFFFFF
        else:
            _WORD.pack_into(head, l4 + 4, l4_length)
            total += l4_length
        value = internet_checksum(payload, total)
        _WORD.pack_into(head, l4 + csum_offset, value or _ONES)
        result.append(b"".join((head, payload)))
    return result
