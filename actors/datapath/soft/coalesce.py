"""Joining TCP segments that came out of a tunnel together into one GSO frame again.

The kernel hands over datagrams of one size at once (UDP_GRO), and what they carry is mostly one
connection's segments in a row. Forwarding them as one frame costs a fraction. The rules are those
of tcp_gro_receive() and inet_gro_receive(): equal headers, consecutive sequence numbers, right
checksums; whatever is in doubt is left as it came.
"""

import struct
from functools import lru_cache
from typing import Final

from msgspec import Struct

from actors.datapath.soft.packet import GSO_TCPV4, GSO_TCPV6, HEADROOM, Packet
from actors.packets.checksum import internet_checksum
from actors.packets.ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6

_WORD: Final = struct.Struct("!H")
_LONG: Final = struct.Struct("!I")
_L3: Final = 14
_TCP: Final = 6
_CHECKSUM_AT: Final = 16
_ACK: Final = 0x10
_PSH: Final = 0x08
_MIN_FRAME: Final = _L3 + 20 + 20


class _Layout(Struct, frozen=True):
    """Where the headers of a TCP segment stand, and which of their bits must not differ."""

    ipv4: bool
    l4: int
    header: int
    """Length of all headers."""
    same: int
    """A mask over the headers, read as one number."""


def join_segments(
    packet: Packet, view: memoryview, at: int, prefix: int, step: int, end: int
) -> int:
    """Join the frames that begin at `at` and every `step` bytes on, the last ending at `end`.

    The `prefix` bytes before each (the tunnel's header) must be the same. Returns how many
    frames went into `packet`; 1 means that it was left alone.
    """
    length = step - prefix
    layout = _layout_of(view, at, length)
    if layout is None or view[at + layout.l4 + 13] != _ACK:
        return 1
    header, payload = layout.header, length - layout.header
    base = int.from_bytes(view[at : at + header]) & layout.same
    tunnel = view[at - prefix : at]
    sequence = _LONG.unpack_from(view, at + layout.l4 + 4)[0]
    if not _is_whole(view[at : at + length], layout):
        return 1
    count = 1
    size = length
    packet.buffer[HEADROOM : HEADROOM + length] = view[at : at + length]
    frame = at + step
    flags = _ACK
    while frame + header < end and flags == _ACK:
        following = view[frame : min(frame + length, end)]
        flags = following[layout.l4 + 13]
        sequence = (sequence + payload) & 0xFFFFFFFF
        if not (
            flags | _PSH == _ACK | _PSH
            and int.from_bytes(following[:header]) & layout.same == base
            and _LONG.unpack_from(following, layout.l4 + 4)[0] == sequence
            and view[frame - prefix : frame] == tunnel
            and _is_whole(following, layout)
        ):
            break
        data = following[header:]
        packet.buffer[HEADROOM + size : HEADROOM + size + len(data)] = data
        size += len(data)
        count += 1
        frame += step
        if flags != _ACK:
            packet.buffer[HEADROOM + layout.l4 + 13] = flags
    if count > 1:
        _describe(packet, layout, size, payload)
    return count


def _layout_of(view: memoryview, at: int, length: int) -> _Layout | None:
    if length < _MIN_FRAME:
        return None
    ethertype = view[at + 12] << 8 | view[at + 13]
    if ethertype == ETHERTYPE_IPV4 and view[at + _L3] == 0x45 and view[at + _L3 + 9] == _TCP:
        if view[at + _L3 + 6] & 0x3F or view[at + _L3 + 7]:
            return None  # a fragment
        l4 = _L3 + 20
    elif ethertype == ETHERTYPE_IPV6 and view[at + _L3 + 6] == _TCP:
        l4 = _L3 + 40
    else:
        return None
    options = view[at + l4 + 12] >> 4 << 2 if length > l4 + 12 else 0
    if options < 20 or l4 + options >= length:
        return None
    return _layout(l4, l4 + options)


@lru_cache(maxsize=32)
def _layout(l4: int, header: int) -> _Layout:
    ipv4 = l4 == _L3 + 20
    same = bytearray(b"\xff" * header)
    for start, size in (
        # IPv4: total length, identification, checksum; IPv6: payload length.
        *(((_L3 + 2, 2), (_L3 + 4, 2), (_L3 + 10, 2)) if ipv4 else ((_L3 + 4, 2),)),
        (l4 + 4, 4),
        (l4 + _CHECKSUM_AT, 2),
    ):
        same[start : start + size] = bytes(size)
    same[l4 + 13] = 0xFF & ~_PSH
    return _Layout(ipv4, l4, header, int.from_bytes(same))


def _is_whole(frame: memoryview, layout: _Layout) -> bool:
    """Tell whether lengths and checksums of a segment are right: joining would hide an error."""
    l4 = layout.l4
    if layout.ipv4:
        if _WORD.unpack_from(frame, _L3 + 2)[0] != len(frame) - _L3:
            return False
        if internet_checksum(frame[_L3:l4]):
            return False
    elif _WORD.unpack_from(frame, _L3 + 4)[0] != len(frame) - l4:
        return False
    return internet_checksum(frame[l4:], _pseudo_header(frame, layout)) == 0


def _pseudo_header(frame: memoryview, layout: _Layout) -> int:
    addresses = frame[_L3 + 12 : _L3 + 20] if layout.ipv4 else frame[_L3 + 8 : _L3 + 40]
    return int.from_bytes(addresses) + _TCP + len(frame) - layout.l4


def _describe(packet: Packet, layout: _Layout, size: int, payload: int) -> None:
    """Make the joined frame's headers and offload state right."""
    packet.reset(size)
    buffer = packet.buffer
    l3, l4 = HEADROOM + _L3, HEADROOM + layout.l4
    if layout.ipv4:
        _WORD.pack_into(buffer, l3 + 2, size - _L3)
        _WORD.pack_into(buffer, l3 + 10, 0)
        _WORD.pack_into(buffer, l3 + 10, internet_checksum(buffer[l3:l4]))
    else:
        _WORD.pack_into(buffer, l3 + 4, size - layout.l4)
    packet.needs_csum = True
    packet.csum_start = layout.l4
    packet.csum_offset = _CHECKSUM_AT
    packet.gso_type = GSO_TCPV4 if layout.ipv4 else GSO_TCPV6
    packet.gso_size = payload
    frame = packet.view[HEADROOM : HEADROOM + size]
    partial = internet_checksum(b"", _pseudo_header(frame, layout)) ^ 0xFFFF
    _WORD.pack_into(buffer, l4 + _CHECKSUM_AT, partial)
