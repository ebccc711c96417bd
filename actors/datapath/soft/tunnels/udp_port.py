"""UdpTunnelPort: a UDP socket that carries frames behind a VXLAN or Geneve header.

The kernel hands over several datagrams of one size at once (UDP_GRO) and takes them so
(UDP_SEGMENT).
"""

import socket
import struct
from typing import Final

from actors.datapath.soft.coalesce import join_segments
from actors.datapath.soft.packet import HEADROOM, Packet
from actors.datapath.soft.tunnels.encapsulation import Encapsulation
from actors.datapath.soft.tunnels.port import (
    DROPPED,
    IP_HEADER,
    IP_PKTINFO,
    IP_TOS,
    IP_TTL,
    LARGEST_PACKET,
    RECEIVED,
    REMEMBERED,
    TunnelPort,
    open_tunnel_socket,
)
from actors.packets.flow_key import TunnelKey
from actors.values import IpAddress

_OVERHEAD: Final = IP_HEADER + 8 + 8
"""IP, UDP, and the 8 bytes that VXLAN has and Geneve without options."""
# linux/in.h
_IP_RECVTTL: Final = 12
_IP_RECVTOS: Final = 13
# linux/udp.h
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_MAX_SEGMENTS: Final = 64
"""UDP_MAX_SEGMENTS of older kernels."""
_INT: Final = struct.Struct("=i")
_ANCILLARY: Final = socket.CMSG_SPACE(12) + 3 * socket.CMSG_SPACE(4)
_OPTIONS: Final = (
    *((socket.IPPROTO_IP, option) for option in (IP_PKTINFO, _IP_RECVTTL, _IP_RECVTOS)),
    (_SOL_UDP, _UDP_GRO),
)

_Outer = tuple[str, int, bytes, int, int]
"""Remote address and port, local address, TOS, TTL."""


class UdpTunnelPort(TunnelPort):
    """A tunnel port on UDP port `udp_port`; `encapsulation` says of which type."""

    overhead = _OVERHEAD

    def __init__(self, number: int, name: str, udp_port: int, encapsulation: Encapsulation) -> None:
        super().__init__(
            number,
            name,
            open_tunnel_socket(socket.SOCK_DGRAM, socket.IPPROTO_UDP, udp_port, _OPTIONS),
        )
        self.kind = encapsulation.kind
        self.udp_port: int = udp_port
        self._encapsulation = encapsulation
        self._buffer = memoryview(bytearray(RECEIVED))
        self._into = [self._buffer]
        self._at = self._end = 0
        self._datagram = 1
        self._outer: _Outer = ("0.0.0.0", 0, b"", 0, 0)  # noqa: S104 - none seen yet
        self._tunnels: dict[tuple[int, _Outer], TunnelKey] = {}

    def header(self, tun_id: int) -> bytes:
        """Return the header of a frame with this key, see `TunnelPort`."""
        return self._encapsulation.header(tun_id)

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        del descriptor
        if not self.unread:
            try:
                received = self._socket.recvmsg_into(self._into, _ANCILLARY)
            except BlockingIOError:
                return False
            except OSError:
                # An ICMP error about a datagram that we sent: the peer is not there (yet).
                self.tx_errors += 1
                packet.reset(0)
                return True
            self._take_outer(*received)
        at = self._at
        end = min(at + self._datagram, self._end)
        self._at = at + self._datagram
        self.unread = self._at < self._end
        read = self._encapsulation.read(self._buffer, at, end)
        if read is None or end - read[1] < 14:
            return self.refuse_received(packet)
        tun_id, frame = read
        joined = 1
        if self.unread:
            joined = join_segments(
                packet, self._buffer, frame, frame - at, self._datagram, self._end
            )
        if joined == 1:
            length = end - frame
            packet.buffer[HEADROOM : HEADROOM + length] = self._buffer[frame:end]
            packet.reset(length)
        else:
            self._at += (joined - 1) * self._datagram
            self.unread = self._at < self._end
        packet.tunnel = self._tunnel(tun_id, self._outer)
        self.count_received(packet, joined)
        return True

    def _take_outer(
        self,
        length: int,
        ancillary: list[tuple[int, int, bytes]],
        flags: int,
        address: tuple[str, int],
    ) -> None:
        """Note the outer header of what was read: one datagram, or several of one size (GRO)."""
        del flags  # the buffer is larger than any datagram
        local = b""
        tos = ttl = 0
        self._at = 0
        self._end = length
        self._datagram = length or 1
        for level, kind, data in ancillary:
            if level == _SOL_UDP:
                if kind == _UDP_GRO:
                    self._datagram = _INT.unpack(data)[0]
            elif kind == IP_PKTINFO:
                local = data[8:12]
            elif kind == IP_TOS:
                tos = data[0]
            elif kind == IP_TTL:
                ttl = data[0]
        self._outer = (*address, local, tos, ttl)

    def _tunnel(self, tun_id: int, outer: _Outer) -> TunnelKey:
        identity = (tun_id, outer)
        tunnel = self._tunnels.get(identity)
        if tunnel is None:
            if len(self._tunnels) >= REMEMBERED:
                self._tunnels.clear()
            host, port, local, tos, ttl = outer
            tunnel = TunnelKey(
                tun_id=tun_id,
                src=IpAddress(socket.inet_aton(host)),
                dst=IpAddress(local),
                tos=tos,
                ttl=ttl,
                tp_src=port,
                tp_dst=self.udp_port,
            )
            self._tunnels[identity] = tunnel
        return tunnel

    def send_segments(self, packet: Packet, frames: list[bytes]) -> None:
        """Send frames that are all as long as the first, save a shorter last one.

        The kernel cuts them apart (UDP_SEGMENT) where they fit the underlay's MTU.
        """
        if packet.tunnel_out is None:
            self.tx_errors += 1
            return
        address, ancillary, header = self.destination(packet.tunnel_out)
        size = len(header) + len(frames[0])
        at_once = max(min(_MAX_SEGMENTS, (LARGEST_PACKET - IP_HEADER - 8) // size), 1)
        for first in range(0, len(frames), at_once):
            batch = frames[first : first + at_once]
            if len(batch) > 1:
                joined = header + header.join(batch)
                cut = (_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size))
                try:
                    self._socket.sendmsg([joined], [*ancillary, cut], 0, address)
                except OSError as error:
                    if error.errno in DROPPED:
                        self.tx_dropped += len(batch)
                        continue
                    # Too large for the underlay, or its device cannot: one by one, in fragments.
                else:
                    self.tx_packets += len(batch)
                    self.tx_bytes += sum(map(len, batch))
                    continue
            for frame in batch:
                self.transmit([header, frame], ancillary, address, len(frame))
