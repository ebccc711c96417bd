"""VxlanPort: a UDP socket that carries frames in VXLAN (RFC 7348), its key given per packet.

As the module's VXLAN vport it has no remote of its own: a set-tunnel action names outer
addresses, VNI, TOS and TTL of each packet, and what arrives carries the same as its tunnel key.
What is larger than the underlay's MTU is fragmented by the kernel and put together at the peer.
"""

import errno
import socket
import struct
from collections.abc import Sequence
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_VXLAN
from actors.datapath.soft.coalesce import join_segments
from actors.datapath.soft.limits import SOCKET_BUFFER
from actors.datapath.soft.packet import HEADROOM, Packet
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.socket_buffers import raise_socket_buffers
from actors.packets.flow_key import TunnelKey
from actors.values import IpAddress

_VXLAN: Final = struct.Struct("!II")
_HAS_VNI: Final = 0x08000000
_UDP_OVERHEAD: Final = 8 + 20
_LARGEST: Final = 65535 - _UDP_OVERHEAD - _VXLAN.size
"""No datagram holds a larger frame."""
# linux/in.h
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IP_RECVTTL: Final = 12
_IP_RECVTOS: Final = 13
_IP_PMTUDISC_DONT: Final = 0
_IP_TOS: Final = 1
_IP_TTL: Final = 2
# linux/udp.h
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_MAX_SEGMENTS: Final = 64
"""UDP_MAX_SEGMENTS of older kernels."""
_RECEIVED: Final = 65536
_INT: Final = struct.Struct("=i")
_ANCILLARY: Final = socket.CMSG_SPACE(12) + 3 * socket.CMSG_SPACE(4)
_REMEMBERED: Final = 4096
"""Outer headers whose Python form is kept; when full, all are forgotten."""
_DROPPED: Final = (errno.ENOBUFS, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH)

_Outer = tuple[str, int, bytes, int, int]
"""Remote address and port, local address, TOS, TTL."""
_Destination = tuple[tuple[str, int], list[tuple[int, int, bytes]], int]


class VxlanPort(Port):
    """A VXLAN tunnel port on UDP port `udp_port`, over IPv4."""

    wants_plain = True
    kind = OVS_VPORT_TYPE_VXLAN

    def __init__(self, number: int, name: str, udp_port: int) -> None:
        super().__init__(number, name)
        self.udp_port: int = udp_port
        self._socket = _open_socket(udp_port)
        self._buffer = bytearray(_RECEIVED)
        self._into = [memoryview(self._buffer)]
        self._at = self._end = 0
        self._datagram = 1
        self._outer: _Outer = ("0.0.0.0", 0, b"", 0, 0)  # noqa: S104 - none seen yet
        self._tunnels: dict[tuple[int, _Outer], TunnelKey] = {}
        self._destinations: dict[TunnelKey, _Destination] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return (self._socket.fileno(),)

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
        length = min(self._datagram, self._end - at) - _VXLAN.size
        self._at = at + self._datagram
        self.unread = self._at < self._end
        if length < 14:
            return self.refuse_received(packet)
        vxlan_flags, vni = _VXLAN.unpack_from(self._buffer, at)
        if vxlan_flags != _HAS_VNI or vni & 0xFF:
            return self.refuse_received(packet)  # as vxlan_rcv() of drivers/net/vxlan
        at += _VXLAN.size
        joined = 1
        if self.unread:
            joined = join_segments(
                packet, self._into[0], at, _VXLAN.size, self._datagram, self._end
            )
        if joined == 1:
            packet.buffer[HEADROOM : HEADROOM + length] = self._into[0][at : at + length]
            packet.reset(length)
        else:
            self._at += (joined - 1) * self._datagram
            self.unread = self._at < self._end
        packet.tunnel = self._tunnel(vni >> 8, self._outer)
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
            elif kind == _IP_PKTINFO:
                local = data[8:12]
            elif kind == _IP_TOS:
                tos = data[0]
            elif kind == _IP_TTL:
                ttl = data[0]
        self._outer = (*address, local, tos, ttl)

    def _tunnel(self, vni: int, outer: _Outer) -> TunnelKey:
        identity = (vni, outer)
        tunnel = self._tunnels.get(identity)
        if tunnel is None:
            if len(self._tunnels) >= _REMEMBERED:
                self._tunnels.clear()
            host, port, local, tos, ttl = outer
            tunnel = TunnelKey(
                tun_id=vni,
                src=IpAddress(socket.inet_aton(host)),
                dst=IpAddress(local),
                tos=tos,
                ttl=ttl,
                tp_src=port,
                tp_dst=self.udp_port,
            )
            self._tunnels[identity] = tunnel
        return tunnel

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`."""
        tunnel = packet.tunnel_out
        length = packet.end - packet.start
        if tunnel is None or length > _LARGEST:
            self.tx_errors += 1
            return True
        address, ancillary, vni = self._destination(tunnel)
        at = packet.start - _VXLAN.size
        _VXLAN.pack_into(packet.buffer, at, _HAS_VNI, vni)
        self._transmit([packet.view[at : packet.end]], ancillary, address, length)
        return True

    def _transmit(
        self,
        parts: Sequence[bytes | memoryview],
        ancillary: list[tuple[int, int, bytes]],
        address: tuple[str, int],
        length: int,
    ) -> None:
        try:
            self._socket.sendmsg(parts, ancillary, 0, address)
        except OSError as error:
            if error.errno in _DROPPED:
                self.tx_dropped += 1
            else:
                self.tx_errors += 1
        else:
            self.tx_packets += 1
            self.tx_bytes += length

    def send_segments(self, packet: Packet, frames: list[bytes]) -> None:
        """Send frames that are all as long as the first, save a shorter last one.

        The kernel cuts them apart (UDP_SEGMENT) where they fit the underlay's MTU.
        """
        if packet.tunnel_out is None:
            self.tx_errors += 1
            return
        address, ancillary, vni = self._destination(packet.tunnel_out)
        header = _VXLAN.pack(_HAS_VNI, vni)
        size = _VXLAN.size + len(frames[0])
        at_once = min(_MAX_SEGMENTS, _LARGEST // size)
        for first in range(0, len(frames), max(at_once, 1)):
            batch = frames[first : first + max(at_once, 1)]
            if len(batch) > 1:
                joined = header + header.join(batch)
                cut = (_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size))
                try:
                    self._socket.sendmsg([joined], [*ancillary, cut], 0, address)
                except OSError as error:
                    if error.errno in _DROPPED:
                        self.tx_dropped += len(batch)
                        continue
                    # Too large for the underlay, or its device cannot: one by one, in fragments.
                else:
                    self.tx_packets += len(batch)
                    self.tx_bytes += sum(map(len, batch))
                    continue
            for frame in batch:
                self._transmit([header, frame], ancillary, address, len(frame))

    def _destination(self, tunnel: TunnelKey) -> _Destination:
        return self._destinations.get(tunnel) or self._remember(tunnel)

    def _remember(self, tunnel: TunnelKey) -> _Destination:
        if len(self._destinations) >= _REMEMBERED:
            self._destinations.clear()
        ancillary = []
        if len(tunnel.src) == 4 and any(tunnel.src):
            ancillary.append((socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4x", 0, tunnel.src)))
        if tunnel.ttl:
            ancillary.append((socket.IPPROTO_IP, _IP_TTL, struct.pack("=i", tunnel.ttl)))
        if tunnel.tos:
            ancillary.append((socket.IPPROTO_IP, _IP_TOS, struct.pack("=i", tunnel.tos)))
        host = socket.inet_ntoa(tunnel.dst)
        destination = ((host, self.udp_port), ancillary, (tunnel.tun_id & 0xFFFFFF) << 8)
        self._destinations[tunnel] = destination
        return destination

    def close(self) -> None:
        """Release the device."""
        self._socket.close()


def _open_socket(udp_port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        udp.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        for option in (_IP_PKTINFO, _IP_RECVTTL, _IP_RECVTOS):
            udp.setsockopt(socket.IPPROTO_IP, option, 1)
        udp.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        raise_socket_buffers(udp, SOCKET_BUFFER)
        udp.bind(("0.0.0.0", udp_port))  # noqa: S104 - a tunnel endpoint serves every local address
    except OSError as error:
        udp.close()
        raise PortUnavailableError(
            error.errno or errno.EADDRINUSE, f"UDP port {udp_port}: {error.strerror}"
        ) from error
    return udp
