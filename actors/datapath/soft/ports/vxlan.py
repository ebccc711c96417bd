"""VxlanPort: a UDP socket that carries frames in VXLAN (RFC 7348), its key given per packet.

As the module's VXLAN vport it has no remote of its own: a set-tunnel action names outer
addresses, VNI, TOS and TTL of each packet, and what arrives carries the same as its tunnel key.
What is larger than the underlay's MTU is fragmented by the kernel and put together at the peer.
"""

import errno
import socket
import struct
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_VXLAN
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
_ANCILLARY: Final = socket.CMSG_SPACE(12) + 2 * socket.CMSG_SPACE(4)
_REMEMBERED: Final = 4096
"""Outer headers whose Python form is kept; when full, all are forgotten."""
_TRUNCATED: Final = int(socket.MSG_TRUNC)
"""A number: the enum's own `&` costs a microsecond a frame."""
_DROPPED: Final = (errno.ENOBUFS, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH)

_Destination = tuple[tuple[str, int], list[tuple[int, int, bytes]], int]


class VxlanPort(Port):
    """A VXLAN tunnel port on UDP port `udp_port`, over IPv4."""

    wants_plain = True
    kind = OVS_VPORT_TYPE_VXLAN

    def __init__(self, number: int, name: str, udp_port: int) -> None:
        super().__init__(number, name)
        self.udp_port: int = udp_port
        self._socket = _open_socket(udp_port)
        self._into = memoryview(bytearray())
        self._packet: Packet | None = None
        self._tunnels: dict[tuple[str, int, int, bytes, int, int], TunnelKey] = {}
        self._destinations: dict[TunnelKey, _Destination] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return (self._socket.fileno(),)

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        del descriptor
        if packet is not self._packet:
            self._packet = packet
            self._into = packet.view[HEADROOM - _VXLAN.size :]
        try:
            length, ancillary, flags, (host, port) = self._socket.recvmsg_into(
                [self._into], _ANCILLARY
            )
        except BlockingIOError:
            return False
        except OSError:
            # An ICMP error about a datagram that we sent: the peer is not there (yet).
            self.tx_errors += 1
            packet.reset(0)
            return True
        length -= _VXLAN.size
        if length < 14 or flags & _TRUNCATED:
            return self.refuse_received(packet)
        vxlan_flags, vni = _VXLAN.unpack_from(packet.buffer, HEADROOM - _VXLAN.size)
        if vxlan_flags != _HAS_VNI or vni & 0xFF:
            return self.refuse_received(packet)  # as vxlan_rcv() of drivers/net/vxlan
        local = b""
        tos = ttl = 0
        for _, kind, data in ancillary:
            if kind == _IP_PKTINFO:
                local = data[8:12]
            elif kind == _IP_TOS:
                tos = data[0]
            elif kind == _IP_TTL:
                ttl = data[0]
        packet.reset(length)
        packet.tunnel = self._tunnel(host, port, vni >> 8, local, tos, ttl)
        self.count_received(packet)
        return True

    def _tunnel(
        self, host: str, port: int, vni: int, local: bytes, tos: int, ttl: int
    ) -> TunnelKey:
        identity = (host, port, vni, local, tos, ttl)
        tunnel = self._tunnels.get(identity)
        if tunnel is None:
            if len(self._tunnels) >= _REMEMBERED:
                self._tunnels.clear()
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

    def send(self, packet: Packet) -> None:
        """Send the frame, or count why not."""
        tunnel = packet.tunnel_out
        length = packet.end - packet.start
        if tunnel is None or len(tunnel.dst) != 4 or length > _LARGEST:
            self.tx_errors += 1
            return
        destination = self._destinations.get(tunnel)
        if destination is None:
            destination = self._remember(tunnel)
        address, ancillary, vni = destination
        at = packet.start - _VXLAN.size
        _VXLAN.pack_into(packet.buffer, at, _HAS_VNI, vni)
        try:
            self._socket.sendmsg([packet.view[at : packet.end]], ancillary, 0, address)
        except OSError as error:
            if error.errno in _DROPPED:
                self.tx_dropped += 1
            else:
                self.tx_errors += 1
            return
        self.tx_packets += 1
        self.tx_bytes += length

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
        raise_socket_buffers(udp, SOCKET_BUFFER)
        udp.bind(("0.0.0.0", udp_port))  # noqa: S104 - a tunnel endpoint serves every local address
    except OSError as error:
        udp.close()
        raise PortUnavailableError(
            error.errno or errno.EADDRINUSE, f"UDP port {udp_port}: {error.strerror}"
        ) from error
    return udp
