"""The tunnel key: 24 bits that tell the egress host what to do, so that it computes nothing.

    bit 23      trace: the egress host lifts the packet to user space
    bits 22-20  type: 1 egress port, 7 flow state
    bits 19-0   the egress host's own number for the local port

All ones is flow state. (MidoNet's layout, so that captures read alike.)
"""

import zlib
from typing import Final

from actors.values import PortId

TRACE_BIT: Final = 1 << 23
TYPE_EGRESS_PORT: Final = 1
TYPE_FLOW_STATE: Final = 7
FLOW_STATE_KEY: Final = (1 << 24) - 1
PORT_MASK: Final = (1 << 20) - 1


def egress_port_key(number: int) -> int:
    """Return the tunnel key that names a local port of the egress host."""
    return TYPE_EGRESS_PORT << 20 | number


def egress_port_of(key: int) -> int | None:
    """Return the port number in a key, traced or not, or None if it is a key of another type.

    A GRE key has 32 bits: one that does not fit 24 is of another type, too.
    """
    if (key & ~TRACE_BIT) >> 20 != TYPE_EGRESS_PORT:
        return None
    return key & PORT_MASK


def choose_number(port: PortId, taken: dict[int, PortId]) -> int:
    """Return a free 20-bit number for a port: the same after a restart unless it collides.

    Raises ValueError when all are taken.
    """
    start = zlib.crc32(port.encode()) & PORT_MASK
    for step in range(PORT_MASK):
        number = (start + step) & PORT_MASK
        if number and number not in taken:
            return number
    raise ValueError("all tunnel keys of this host are taken")
