"""Packet: one frame on its way through the datapath, and what is known of its checksum and size.

It owns one buffer with room ahead of the frame, so that pushing a VLAN tag, or putting a
virtio-net or tunnel header before it, moves no payload. As the kernel's `sk_buff`, a frame may
still lack its transport checksum (CHECKSUM_PARTIAL) and may be larger than any MTU (GSO); the
virtio-net header (linux/virtio_net.h, legacy layout of 10 bytes) says so at both edges.
"""

import struct
from typing import Final

from actors.packets.flow_key import TunnelKey

HEADROOM: Final = 128
"""Bytes ahead of a received frame: virtio-net or tunnel header and two VLAN tags fit."""
MAX_FRAME: Final = 65536 + 64
"""The kernel's legacy GSO limit with link headers; larger (BIG TCP) frames are refused."""
VNET_HEADER: Final = struct.Struct("=BBHHHH")
"""flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
VNET_LENGTH: Final = VNET_HEADER.size
NEEDS_CSUM: Final = 1
GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80
_NO_VNET: Final = bytes(VNET_LENGTH)
_TAG: Final = struct.Struct("!HH")
_KEY_HEAD: Final = 512
"""Bytes that hold every header a flow key is made of; only larger frames are cut to it."""


class Packet:
    """A frame at `buffer[start:end]` with its offload state; reused for one frame after another.

    `csum_start` counts from the frame's first byte. `tunnel` is the outer header it came with,
    `tunnel_out` the one that a set-tunnel action gave it; `cut_to` is the length that the next
    output truncates it to, 0 for none.
    """

    __slots__ = (
        "buffer",
        "csum_offset",
        "csum_start",
        "cut_to",
        "end",
        "gso_size",
        "gso_type",
        "in_port",
        "needs_csum",
        "start",
        "tunnel",
        "tunnel_out",
        "view",
    )

    def __init__(self) -> None:
        self.buffer = bytearray(HEADROOM + MAX_FRAME)
        self.view = memoryview(self.buffer)
        self.in_port = 0
        self.tunnel: TunnelKey | None = None
        self.tunnel_out: TunnelKey | None = None
        self.reset(0)

    def reset(self, length: int) -> None:
        """Say that a plain frame of `length` bytes now begins at HEADROOM."""
        self.start = HEADROOM
        self.end = HEADROOM + length
        self.needs_csum = False
        self.csum_start = 0
        self.csum_offset = 0
        self.gso_type = GSO_NONE
        self.gso_size = 0
        self.tunnel = None
        self.tunnel_out = None
        self.cut_to = 0

    def load(self, frame: bytes) -> None:
        """Take a plain frame; raise ValueError if it is longer than MAX_FRAME."""
        if len(frame) > MAX_FRAME:
            raise ValueError(f"frame of {len(frame)} bytes is longer than {MAX_FRAME}")
        self.reset(len(frame))
        self.buffer[HEADROOM : HEADROOM + len(frame)] = frame

    def read_vnet(self, length: int) -> bool:
        """Take a frame of `length` bytes with the virtio-net header before HEADROOM.

        False if the header contradicts the frame.
        """
        self.reset(length)
        flags, gso_type, _, gso_size, csum_start, csum_offset = VNET_HEADER.unpack_from(
            self.buffer, HEADROOM - VNET_LENGTH
        )
        if flags & NEEDS_CSUM:
            if csum_start + csum_offset + 2 > length:
                return False
            self.needs_csum = True
            self.csum_start = csum_start
            self.csum_offset = csum_offset
        if gso_type != GSO_NONE:
            if not self.needs_csum or gso_size == 0:
                return False
            self.gso_type = gso_type
            self.gso_size = gso_size
        return True

    def write_vnet(self) -> memoryview:
        """Put the virtio-net header right before the frame and return both together."""
        at = self.start - VNET_LENGTH
        if self.needs_csum:
            gso = self.gso_type
            header = self.csum_start + self.csum_offset + 2 if gso else 0
            VNET_HEADER.pack_into(
                self.buffer,
                at,
                NEEDS_CSUM,
                gso,
                header,
                self.gso_size,
                self.csum_start,
                self.csum_offset,
            )
        else:
            self.buffer[at : self.start] = _NO_VNET
        return self.view[at : self.end]

    def frame(self) -> bytes:
        """Return a copy of the whole frame."""
        return bytes(self.view[self.start : self.end])

    def head(self) -> bytes:
        """Return a copy of what a flow key is made from."""
        return bytes(self.view[self.start : min(self.end, self.start + _KEY_HEAD)])

    def push_tag(self, tpid: int, tci: int) -> bool:
        """Insert a VLAN tag behind the MAC addresses; False if the headroom is used up."""
        start = self.start - 4
        if start < VNET_LENGTH + 8:
            return False
        self.buffer[start : start + 12] = self.buffer[start + 4 : start + 16]
        _TAG.pack_into(self.buffer, start + 12, tpid, tci)
        self.start = start
        self.csum_start += 4
        return True

    def pop_tag(self) -> None:
        """Remove the outermost VLAN tag; the caller knows that there is one."""
        start = self.start
        self.buffer[start + 4 : start + 16] = self.buffer[start : start + 12]
        self.start = start + 4
        self.csum_start -= 4
