"""The GRE header (RFC 2784, RFC 2890) of frames that are bridged: with a key always.

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
_ROUTING_BIT: Final = 0x4000
_KEY_BIT: Final = 0x2000
_SEQUENCE_BIT: Final = 0x1000
_VERSION_BITS: Final = 0x0007
_REFUSED_BITS: Final = _CHECKSUM_BIT | _ROUTING_BIT | _VERSION_BITS
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


def read_gre(packet: memoryview, at: int, end: int) -> tuple[int, int] | None:
    """Return the key of the header at `at` and where its frame begins, at most `end`.

    None if it is cut short, no such header or without a key. As the module's GRE vports do, it
    takes none with a checksum (ip_tunnel_rcv(): nobody asked for it), skips a sequence number and
    ignores reserved bits.
    """
    if end - at < _HEADER.size:
        return None
    flags, protocol = _HEADER.unpack_from(packet, at)
    if flags & _REFUSED_BITS or not flags & _KEY_BIT or protocol != ETHERTYPE_BRIDGED:
        return None
    key_at = at + _HEADER.size
    frame = key_at + (8 if flags & _SEQUENCE_BIT else 4)
    if frame > end:
        return None
    return int.from_bytes(packet[key_at : key_at + 4]), frame
