"""The GRE header (RFC 2784, RFC 2890) of frames that are bridged: a key always, a checksum maybe.

A frame without a key is refused: what comes by a tunnel here is told apart by its key alone.
"""

import struct
from typing import Final

from actors.datapath.soft.tunnels.encapsulation import ETHERTYPE_BRIDGED
from actors.packets.checksum import internet_checksum

_HEADER: Final = struct.Struct("!HH")
_WITH_KEY: Final = struct.Struct("!HHI")
_WITH_CHECKSUM: Final = struct.Struct("!HHHHI")
_CHECKSUM_BIT: Final = 0x8000
_KEY_BIT: Final = 0x2000
_SEQUENCE_BIT: Final = 0x1000
_KNOWN_BITS: Final = _CHECKSUM_BIT | _KEY_BIT | _SEQUENCE_BIT
"""Routing, which RFC 2784 withdrew, reserved bits and any version but 0 are not among them."""
_KEY_MASK: Final = 0xFFFFFFFF


def gre_header(tun_id: int) -> bytes:
    """Return the header of a frame with this key, of which 32 bits go."""
    return _WITH_KEY.pack(_KEY_BIT, ETHERTYPE_BRIDGED, tun_id & _KEY_MASK)


def gre_header_with_checksum(tun_id: int, frame: memoryview) -> bytes:
    """Return the same with a checksum over the header and `frame`."""
    flags, key = _KEY_BIT | _CHECKSUM_BIT, tun_id & _KEY_MASK
    header = _WITH_CHECKSUM.pack(flags, ETHERTYPE_BRIDGED, 0, 0, key)
    checksum = internet_checksum(frame, int.from_bytes(header))
    return _WITH_CHECKSUM.pack(flags, ETHERTYPE_BRIDGED, checksum, 0, key)


def read_gre(packet: memoryview, at: int, end: int) -> tuple[int, int, bool] | None:
    """Return the key of the header at `at`, where its frame begins, and whether it had a checksum.

    None if it is cut short, no such header, without a key, or if the checksum is wrong. A sequence
    number is skipped, as ip_gre.c does where none was asked for.
    """
    if end - at < _HEADER.size:
        return None
    flags, protocol = _HEADER.unpack_from(packet, at)
    if flags & ~_KNOWN_BITS or not flags & _KEY_BIT or protocol != ETHERTYPE_BRIDGED:
        return None
    checked = bool(flags & _CHECKSUM_BIT)
    key_at = at + _HEADER.size + (4 if checked else 0)
    frame = key_at + (8 if flags & _SEQUENCE_BIT else 4)
    if frame > end:
        return None
    if checked and internet_checksum(packet[at:end]):
        return None
    return int.from_bytes(packet[key_at : key_at + 4]), frame, checked
