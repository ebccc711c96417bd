"""The VXLAN header (RFC 7348): 8 bytes, of which the network identifier is all that varies."""

import struct
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_VXLAN
from actors.datapath.soft.tunnels.encapsulation import Encapsulation

_HEADER: Final = struct.Struct("!II")
_HAS_VNI: Final = 0x08000000


class Vxlan(Encapsulation):
    """See the module."""

    kind = OVS_VPORT_TYPE_VXLAN

    def header(self, tun_id: int) -> bytes:
        """Return the header of a frame with this key, of which 24 bits go."""
        return _HEADER.pack(_HAS_VNI, (tun_id & 0xFFFFFF) << 8)

    def read(self, datagram: memoryview, at: int, end: int) -> tuple[int, int] | None:
        """Read a header, see `Encapsulation`; strict as vxlan_rcv() of drivers/net/vxlan."""
        if end - at < _HEADER.size:
            return None
        flags, vni = _HEADER.unpack_from(datagram, at)
        if flags != _HAS_VNI or vni & 0xFF:
            return None
        return vni >> 8, at + _HEADER.size
