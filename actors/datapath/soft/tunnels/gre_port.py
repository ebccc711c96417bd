"""GrePort: a raw IP socket that carries frames behind a GRE header with a key.

The kernel gives it every GRE packet of the network namespace, put together from its fragments and
with its IP header; it writes that header itself for what is sent. Datagrams come and go one by
one: the kernel cuts and joins none for a raw socket.
"""

import socket
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_GRE
from actors.datapath.soft.packet import HEADROOM, Packet
from actors.datapath.soft.tunnels.gre import gre_header, gre_header_with_checksum, read_gre
from actors.datapath.soft.tunnels.port import (
    IP_HEADER,
    LARGEST_PACKET,
    RECEIVED,
    REMEMBERED,
    TunnelPort,
    open_tunnel_socket,
)
from actors.packets.flow_key import TunnelKey
from actors.values import IpAddress

_TTL_AT: Final = 8
_SOURCE_AT: Final = 12

_Outer = tuple[int, bytes, int, int]
"""Key, outer source and destination address as in the header, TOS, TTL."""


class GrePort(TunnelPort):
    """See the module."""

    kind = OVS_VPORT_TYPE_GRE
    overhead = IP_HEADER + 12
    """IP, GRE with key and checksum."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(
            number, name, open_tunnel_socket(socket.SOCK_RAW, socket.IPPROTO_GRE, 0, ())
        )
        self._buffer = memoryview(bytearray(RECEIVED))
        self._tunnels: dict[_Outer, TunnelKey] = {}

    def header(self, tun_id: int) -> bytes:
        """Return the header of a frame with this key, see `TunnelPort`."""
        return gre_header(tun_id)

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        del descriptor
        try:
            end = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError:
            self.tx_errors += 1  # of a packet that we sent
            packet.reset(0)
            return True
        outer = self._buffer
        at = (outer[0] & 0xF) * 4
        if end < IP_HEADER or at < IP_HEADER or at > end:
            return self.refuse_received(packet)
        read = read_gre(outer, at, end)
        if read is None or end - read[1] < 14:
            return self.refuse_received(packet)
        tun_id, frame = read
        length = end - frame
        packet.buffer[HEADROOM : HEADROOM + length] = outer[frame:end]
        packet.reset(length)
        addresses = bytes(outer[_SOURCE_AT : _SOURCE_AT + 8])
        packet.tunnel = self._tunnel((tun_id, addresses, outer[1], outer[_TTL_AT]))
        self.count_received(packet)
        return True

    def _tunnel(self, outer: _Outer) -> TunnelKey:
        tunnel = self._tunnels.get(outer)
        if tunnel is None:
            if len(self._tunnels) >= REMEMBERED:
                self._tunnels.clear()
            tun_id, addresses, tos, ttl = outer
            src, dst = IpAddress(addresses[:4]), IpAddress(addresses[4:])
            tunnel = TunnelKey(tun_id, src, dst, tos, ttl)
            self._tunnels[outer] = tunnel
        return tunnel

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`; with a checksum if its tunnel asks for one."""
        tunnel = packet.tunnel_out
        length = packet.end - packet.start
        if tunnel is None or not tunnel.checksum or length > LARGEST_PACKET - self.overhead:
            return super().send(packet)
        address, ancillary, _ = self.destination(tunnel)
        frame = packet.view[packet.start : packet.end]
        header = gre_header_with_checksum(tunnel.tun_id, frame)
        self.transmit([header, frame], ancillary, address, length)
        return True
