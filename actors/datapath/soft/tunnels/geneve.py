"""The Geneve header (RFC 8926): 8 bytes, and options that others may send and nobody here reads.

Sent are no options. Received ones are skipped, but where one is critical the frame is refused, as
an endpoint must that does not know it, and so are control messages (the O bit).
"""

import struct
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_GENEVE
from actors.datapath.soft.tunnels.encapsulation import ETHERTYPE_BRIDGED, Encapsulation

_HEADER: Final = struct.Struct("!BBHI")
"""Version and length of the options, O and C bits, protocol, network identifier."""
_OPTION_WORDS: Final = 0x3F
_CONTROL: Final = 0x80
_CRITICAL: Final = 0x40


class Geneve(Encapsulation):
    """See the module."""

    kind = OVS_VPORT_TYPE_GENEVE

    def header(self, tun_id: int) -> bytes:
        """Return the header of a frame with this key, of which 24 bits go."""
        return _HEADER.pack(0, 0, ETHERTYPE_BRIDGED, (tun_id & 0xFFFFFF) << 8)

    def read(self, datagram: memoryview, at: int, end: int) -> tuple[int, int] | None:
        """Read a header, see `Encapsulation`. Reserved bits are ignored, as the RFC asks."""
        if end - at < _HEADER.size:
            return None
        first, flags, protocol, vni = _HEADER.unpack_from(datagram, at)
        if first & ~_OPTION_WORDS or flags & (_CONTROL | _CRITICAL):
            return None
        payload = at + _HEADER.size + 4 * (first & _OPTION_WORDS)
        if protocol != ETHERTYPE_BRIDGED or payload > end:
            return None
        return vni >> 8, payload
