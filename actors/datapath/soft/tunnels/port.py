"""TunnelPort: what all tunnel ports share, over UDP or right over IP.

As the module's tunnel vports it has no remote of its own: a set-tunnel action names key, outer
addresses, TOS and TTL of each packet, and what arrives carries the same as its tunnel key. What is
larger than the underlay's MTU is fragmented by the kernel and put together at the peer.
"""

import errno
import socket
import struct
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from actors.datapath.soft.limits import SOCKET_BUFFER
from actors.datapath.soft.packet import Packet
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.socket_buffers import raise_socket_buffers
from actors.packets.flow_key import TunnelKey

RECEIVED: Final = 65536
"""Bytes of a buffer that any datagram fits."""
LARGEST_PACKET: Final = 65535
"""Bytes of an IPv4 packet, its header included."""
IP_HEADER: Final = 20
REMEMBERED: Final = 4096
"""Outer headers whose Python form is kept; when full, all are forgotten."""
DROPPED: Final = frozenset((errno.ENOBUFS, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH))
"""What went wrong with a packet, not with the port."""
# linux/in.h
IP_TOS: Final = 1
IP_TTL: Final = 2
IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0

Ancillary = list[tuple[int, int, bytes]]
Address = tuple[str, int]
Destination = tuple[Address, Ancillary, bytes]
"""Remote address and port, what the kernel shall put into the IP header, the tunnel's header."""


class TunnelPort(Port):
    """A port that sends each frame to where its tunnel key says."""

    wants_plain = True
    overhead: int
    """Bytes of all headers before the frame, the outer IP header included."""

    def __init__(self, number: int, name: str, tunnel_socket: socket.socket) -> None:
        super().__init__(number, name)
        self._socket = tunnel_socket
        self._destinations: dict[TunnelKey, Destination] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return (self._socket.fileno(),)

    @abstractmethod
    def header(self, tun_id: int) -> bytes:
        """Return what stands before a frame with this key, behind the outer IP or UDP header."""

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`."""
        tunnel = packet.tunnel_out
        length = packet.end - packet.start
        if tunnel is None or length > LARGEST_PACKET - self.overhead:
            self.tx_errors += 1
            return True
        address, ancillary, header = self.destination(tunnel)
        at = packet.start - len(header)
        packet.buffer[at : packet.start] = header
        self.transmit([packet.view[at : packet.end]], ancillary, address, length)
        return True

    def transmit(
        self,
        parts: Sequence[bytes | memoryview],
        ancillary: Ancillary,
        address: Address,
        length: int,
    ) -> None:
        """Send one packet that carries a frame of `length` bytes, or count why not."""
        try:
            self._socket.sendmsg(parts, ancillary, 0, address)
        except OSError as error:
            if error.errno in DROPPED:
                self.tx_dropped += 1
            else:
                self.tx_errors += 1
        else:
            self.tx_packets += 1
            self.tx_bytes += length

    def destination(self, tunnel: TunnelKey) -> Destination:
        """Return where a packet with this key goes."""
        return self._destinations.get(tunnel) or self._remember(tunnel)

    def _remember(self, tunnel: TunnelKey) -> Destination:
        if len(self._destinations) >= REMEMBERED:
            self._destinations.clear()
        ancillary = []
        if len(tunnel.src) == 4 and any(tunnel.src):
            ancillary.append((socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4x", 0, tunnel.src)))
        if tunnel.ttl:
            ancillary.append((socket.IPPROTO_IP, IP_TTL, struct.pack("=i", tunnel.ttl)))
        if tunnel.tos:
            ancillary.append((socket.IPPROTO_IP, IP_TOS, struct.pack("=i", tunnel.tos)))
        address = (socket.inet_ntoa(tunnel.dst), self.udp_port or 0)
        destination = (address, ancillary, self.header(tunnel.tun_id))
        self._destinations[tunnel] = destination
        return destination

    def close(self) -> None:
        """Release the device."""
        self._socket.close()


def open_tunnel_socket(
    kind: int, protocol: int, port: int, options: Sequence[tuple[int, int]]
) -> socket.socket:
    """Return a bound IPv4 socket with buffers and options for a tunnel.

    `options` are (level, option) to switch on. Raises PortUnavailableError.
    """
    opened = None
    try:
        opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK, protocol)
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        for level, option in options:
            opened.setsockopt(level, option, 1)
        raise_socket_buffers(opened, SOCKET_BUFFER)
        opened.bind(("0.0.0.0", port))  # noqa: S104 - a tunnel endpoint serves every local address
    except OSError as error:
        if opened is not None:
            opened.close()
        what = f"UDP port {port}" if port else f"IP protocol {protocol}"
        raise PortUnavailableError(
            error.errno or errno.EADDRINUSE, f"{what}: {error.strerror}"
        ) from error
    return opened
