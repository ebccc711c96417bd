"""Wire: the far end of a port's veth pair, where frames are put in and taken out as they are.

Frames carry their offload state along, as they do between kernels: `Received` says whether the
checksum was left to the receiver. VLAN tags that the kernel took off are put back.
"""

import select
import socket
import struct
import time

from msgspec import Struct

from tests.datapath.conformance.waiting import PATIENCE
from tests.datapath.soft.frames import ones_sum
from tests.datapath.soft.namespaces import Namespace

_SOL_PACKET = 263
_PACKET_AUXDATA, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 8, 15, 23
_SO_RCVBUFFORCE = 33
_VNET = struct.Struct("=BBHHHH")
_NEEDS_CSUM = 1
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6


class Offload(Struct, frozen=True):
    """struct virtio_net_hdr: what is left to the receiver."""

    csum_start: int = 0
    csum_offset: int = 0
    gso_type: int = 0
    gso_size: int = 0
    header_length: int = 0

    @property
    def partial(self) -> bool:
        """Whether the checksum holds no more than the pseudo header's sum."""
        return self.csum_start > 0


class Wire:
    """One AF_PACKET socket on link `name`."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self.name = name
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        for option in (_PACKET_AUXDATA, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING):
            self._socket.setsockopt(_SOL_PACKET, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
        self._socket.bind((name, 3))

    def send(self, frame: bytes, offload: Offload | None = None) -> None:
        """Put a frame in."""
        header = bytes(_VNET.size)
        if offload is not None:
            header = _VNET.pack(
                _NEEDS_CSUM, offload.gso_type, offload.header_length, offload.gso_size,
                offload.csum_start, offload.csum_offset,
            )  # fmt: skip
        self._socket.send(header + frame)

    def receive(self) -> bytes:
        """The next frame, its checksum completed."""
        return self.receive_as_is()[0]

    def receive_as_is(self) -> tuple[bytes, Offload]:
        """The next frame, complete, and how it came."""
        if not select.select([self._socket], [], [], PATIENCE)[0]:
            raise TimeoutError(f"nothing comes out of {self.name}")
        data, ancillary, _, _ = self._socket.recvmsg(1 << 17, 64)
        flags, gso_type, header, gso_size, start, offset = _VNET.unpack_from(data)
        frame = data[_VNET.size :]
        partial = bool(flags & _NEEDS_CSUM)
        if partial:
            value = 0xFFFF - ones_sum(frame[start:])
            at = start + offset
            frame = frame[:at] + struct.pack("!H", value or 0xFFFF) + frame[at + 2 :]
        for level, kind, payload in ancillary:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = _AUXDATA.unpack(payload)
                if status & _VLAN_VALID:
                    tag = struct.pack("!HH", tpid if status & _TPID_VALID else 0x8100, tci)
                    frame = frame[:12] + tag + frame[12:]
        state = Offload(start, offset, gso_type, gso_size, header) if partial else Offload()
        return frame, state

    def drain(self) -> None:
        """Forget what has arrived."""
        deadline = time.monotonic() + PATIENCE
        while select.select([self._socket], [], [], 0)[0] and time.monotonic() < deadline:
            self._socket.recv(1 << 17)

    def close(self) -> None:
        """Let the link go."""
        self._socket.close()
