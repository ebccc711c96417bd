"""Rewriting header fields of a Packet in place, its checksums updated incrementally (RFC 1624).

It follows the set functions of net/openvswitch/actions.c: addresses also change the transport
checksum's pseudo header, a UDP checksum of zero stays "none", later fragments have no transport
header, and a partial checksum (which holds only the pseudo header's sum) stays partial. A packet
without the layer in question is left alone and the function says so by False.
"""

import struct
from collections.abc import Sequence
from typing import Final

from actors.datapath.soft.packet import Packet
from actors.packets.checksum import checksum_after_change
from actors.packets.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, VLAN_ETHERTYPES

_WORD: Final = struct.Struct("!H")
_TCP, _UDP, _ICMPV6, _SCTP = 6, 17, 58, 132
_CHECKSUM_AT: Final = {_TCP: 16, _UDP: 6}
_MIN_TRANSPORT: Final = {_TCP: 20, _UDP: 8, _ICMPV6: 4, _SCTP: 12}
_ROUTING, _FRAGMENT, _AUTHENTICATION = 43, 44, 51
_EXTENSIONS: Final = frozenset((0, _ROUTING, _FRAGMENT, _AUTHENTICATION, 60))
_MAX_EXTENSIONS: Final = 16

Change = tuple[int, int, int, int]
"""Offset in its header, length in bytes, value, mask: the field becomes old & ~mask | value & mask."""


def network(packet: Packet) -> tuple[int, int]:
    """Return ethertype and buffer offset of the network header; ethertype 0 if there is none."""
    buffer = packet.buffer
    at = packet.start + 14
    ethertype = buffer[at - 2] << 8 | buffer[at - 1]
    for _ in range(2):
        if ethertype not in VLAN_ETHERTYPES:
            break
        at += 4
        ethertype = buffer[at - 2] << 8 | buffer[at - 1]
    if ethertype < 0x600:
        at += 8
        snap = buffer[at - 8 : at - 2] == b"\xaa\xaa\x03\0\0\0"
        ethertype = buffer[at - 2] << 8 | buffer[at - 1] if snap else 0
    return (ethertype, at) if at <= packet.end else (0, packet.end)


def set_ethernet(packet: Packet, changes: Sequence[Change]) -> bool:
    """Change destination (offset 0) or source (offset 6)."""
    for change in changes:
        _change(packet.buffer, packet.start, change)
    return True


def set_arp(packet: Packet, changes: Sequence[Change]) -> bool:
    """Change fields of an ARP packet."""
    ethertype, at = network(packet)
    if ethertype != ETHERTYPE_ARP or packet.end < at + 28:
        return False
    for change in changes:
        _change(packet.buffer, at, change)
    return True


def set_ipv4(packet: Packet, changes: Sequence[Change]) -> bool:
    """Change TOS (offset 1), TTL (8), source (12), destination (16)."""
    ethertype, at = network(packet)
    if ethertype != ETHERTYPE_IPV4 or packet.end < at + 20:
        return False
    buffer = packet.buffer
    for change in changes:
        offset, length, _, _ = change
        from_, to = (at + offset, at + offset + 4) if length == 4 else _word_around(at + offset, at)
        old = int.from_bytes(buffer[from_:to])
        _change(buffer, at, change)
        new = int.from_bytes(buffer[from_:to])
        if old == new:
            continue
        checksum = _WORD.unpack_from(buffer, at + 10)[0]
        _WORD.pack_into(buffer, at + 10, checksum_after_change(checksum, old, new))
        if length == 4 and not (buffer[at + 6] & 0x1F or buffer[at + 7]):
            transport = at + ((buffer[at] & 0x0F) << 2)
            _fix_pseudo_header(packet, buffer[at + 9], transport, old, new)
    return True


def set_ipv6(packet: Packet, changes: Sequence[Change]) -> bool:
    """Change the first word (offset 0), hop limit (7), source (8), destination (24)."""
    ethertype, at = network(packet)
    if ethertype != ETHERTYPE_IPV6 or packet.end < at + 40:
        return False
    buffer = packet.buffer
    for change in changes:
        offset, length, _, _ = change
        old = int.from_bytes(buffer[at + offset : at + offset + length])
        _change(buffer, at, change)
        new = int.from_bytes(buffer[at + offset : at + offset + length])
        if length == 16 and old != new:
            proto, transport, routed = _behind_extensions(packet, at)
            # With a routing header the checksum covers the final destination instead.
            if transport and not (routed and offset == 24):
                _fix_pseudo_header(packet, proto, transport, old, new)
    return True


def set_ports(packet: Packet, proto: int, changes: Sequence[Change]) -> bool:
    """Change source (offset 0) or destination port (2) of TCP or UDP."""
    transport = _transport(packet, proto)
    if not transport:
        return False
    buffer = packet.buffer
    at = transport + _CHECKSUM_AT[proto]
    for change in changes:
        field = transport + change[0]
        old = _WORD.unpack_from(buffer, field)[0]
        _change(buffer, transport, change)
        new = _WORD.unpack_from(buffer, field)[0]
        if old == new or _is_partial(packet, at):
            continue
        checksum = _WORD.unpack_from(buffer, at)[0]
        if checksum or proto == _TCP:
            updated = checksum_after_change(checksum, old, new)
            _WORD.pack_into(buffer, at, updated or (0xFFFF if proto == _UDP else 0))
    return True


def _transport(packet: Packet, proto: int) -> int:
    """Return the buffer offset of the transport header; 0 unless it is a whole one of `proto`."""
    ethertype, at = network(packet)
    buffer = packet.buffer
    if ethertype == ETHERTYPE_IPV4 and packet.end >= at + 20:
        if buffer[at + 9] != proto or buffer[at + 6] & 0x1F or buffer[at + 7]:
            return 0
        transport = at + ((buffer[at] & 0x0F) << 2)
    elif ethertype == ETHERTYPE_IPV6 and packet.end >= at + 40:
        found, transport, _ = _behind_extensions(packet, at)
        if found != proto:
            return 0
    else:
        return 0
    return transport if packet.end >= transport + _MIN_TRANSPORT[proto] else 0


def _behind_extensions(packet: Packet, at: int) -> tuple[int, int, bool]:
    """Return protocol, transport offset (0 if there is none) and whether a routing header has hops."""
    buffer = packet.buffer
    proto = buffer[at + 6]
    at += 40
    routed = False
    for _ in range(_MAX_EXTENSIONS):
        if proto not in _EXTENSIONS:
            return proto, at, routed
        if packet.end < at + 8:
            break
        length = (buffer[at + 1] + 1) << 3
        if proto == _FRAGMENT:
            if (buffer[at + 2] << 8 | buffer[at + 3]) & ~7:
                break
            length = 8
        elif proto == _AUTHENTICATION:
            length = (buffer[at + 1] + 2) << 2
        elif proto == _ROUTING:
            routed = routed or buffer[at + 3] != 0
        proto = buffer[at]
        at += length
    return proto, 0, routed


def _fix_pseudo_header(packet: Packet, proto: int, transport: int, old: int, new: int) -> None:
    """Account for an address that changed from `old` to `new` in the transport checksum."""
    if proto == _ICMPV6 and _is_ipv6(packet):
        at = transport + 2
    elif proto in _CHECKSUM_AT:
        at = transport + _CHECKSUM_AT[proto]
    else:
        return
    if packet.end < transport + _MIN_TRANSPORT[proto]:
        return
    buffer = packet.buffer
    value = _WORD.unpack_from(buffer, at)[0]
    if _is_partial(packet, at):
        updated = checksum_after_change(value ^ 0xFFFF, old, new) ^ 0xFFFF
    elif value or proto != _UDP:
        updated = checksum_after_change(value, old, new)
        if proto == _UDP:
            updated = updated or 0xFFFF
    else:
        return
    _WORD.pack_into(buffer, at, updated)


def _is_ipv6(packet: Packet) -> bool:
    return network(packet)[0] == ETHERTYPE_IPV6


def _is_partial(packet: Packet, at: int) -> bool:
    return packet.needs_csum and at == packet.start + packet.csum_start + packet.csum_offset


def _word_around(at: int, header: int) -> tuple[int, int]:
    """Return the bounds of the 16-bit word, aligned to the header, that the byte `at` is in."""
    first = at - (at - header) % 2
    return first, first + 2


def _change(buffer: bytearray, header: int, change: Change) -> None:
    offset, length, value, mask = change
    at = header + offset
    old = int.from_bytes(buffer[at : at + length])
    buffer[at : at + length] = (old & ~mask | value & mask).to_bytes(length)
