"""Building and judging frames for these tests, independently of the code under test."""

import struct

from actors.datapath.soft.packet import HEADROOM, NEEDS_CSUM, VNET_HEADER, VNET_LENGTH, Packet

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
IP_A, IP_B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
IP6_A, IP6_B = bytes.fromhex("fd00" + "00" * 13 + "01"), bytes.fromhex("fd00" + "00" * 13 + "02")
TCP, UDP = 6, 17


def ones_sum(data: bytes) -> int:
    """Ones' complement sum, word by word."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ip_frame(
    proto: int, l4: bytes, *, v6: bool = False, tags: bytes = b"", ident: int = 7
) -> bytes:
    """An Ethernet frame from A to B around a transport segment, its IP header right."""
    if v6:
        ip = struct.pack("!IHBB", 6 << 28, len(l4), proto, 64) + IP6_A + IP6_B
        return MAC_B + MAC_A + tags + b"\x86\xdd" + ip + l4
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), ident, 0, 64, proto, 0) + IP_A + IP_B
    ip = ip[:10] + struct.pack("!H", 0xFFFF - ones_sum(ip)) + ip[12:]
    return MAC_B + MAC_A + tags + b"\x08\x00" + ip + l4


def tcp_header(*, seq: int = 1000, flags: int = 0x18, options: bytes = b"") -> bytes:
    """A TCP header with a zero checksum."""
    offset = (20 + len(options)) // 4
    return struct.pack("!HHIIBBHHH", 4000, 80, seq, 1, offset << 4, flags, 100, 0, 0) + options


def with_l4_checksum(frame: bytes) -> bytes:
    """The frame with a right TCP or UDP checksum."""
    _l3, l4, proto, pseudo = _layers(frame)
    at = l4 + (16 if proto == TCP else 6)
    bare = frame[:at] + b"\0\0" + frame[at + 2 :]
    value = 0xFFFF - ones_sum(pseudo + bare[l4:])
    return bare[:at] + struct.pack("!H", value or 0xFFFF) + bare[at + 2 :]


def checksums_are_right(frame: bytes) -> bool:
    """Whether the IPv4 header's and the TCP or UDP checksum of a frame hold."""
    l3, l4, _proto, pseudo = _layers(frame)
    if frame[l3] >> 4 == 4 and ones_sum(frame[l3:l4]) != 0xFFFF:
        return False
    return ones_sum(pseudo + frame[l4:]) == 0xFFFF


def _layers(frame: bytes) -> tuple[int, int, int, bytes]:
    l3 = 14
    while frame[l3 - 2 : l3] in (b"\x81\x00", b"\x88\xa8"):
        l3 += 4
    if frame[l3] >> 4 == 4:
        l4, proto, addresses = l3 + (frame[l3] & 15) * 4, frame[l3 + 9], frame[l3 + 12 : l3 + 20]
    else:
        l4, proto, addresses = l3 + 40, frame[l3 + 6], frame[l3 + 8 : l3 + 40]
    return l3, l4, proto, addresses + struct.pack("!II", len(frame) - l4, proto)


def partial_packet(frame: bytes, *, gso_type: int = 0, gso_size: int = 0) -> Packet:
    """The frame as a virtual card hands it over: checksum left to the receiver, maybe GSO."""
    _, l4, proto, pseudo = _layers(frame)
    offset = 16 if proto == TCP else 6
    at = l4 + offset
    frame = frame[:at] + struct.pack("!H", ones_sum(pseudo)) + frame[at + 2 :]
    packet = Packet()
    packet.buffer[HEADROOM : HEADROOM + len(frame)] = frame
    VNET_HEADER.pack_into(
        packet.buffer,
        HEADROOM - VNET_LENGTH,
        NEEDS_CSUM,
        gso_type,
        0,
        gso_size,
        l4,
        offset,
    )
    assert packet.read_vnet(len(frame))
    return packet


def plain_packet(frame: bytes) -> Packet:
    """The frame as it is on the wire."""
    packet = Packet()
    packet.load(frame)
    return packet
