"""NetdevPort: a port on an existing link of this network namespace, by an AF_PACKET socket.

It takes every frame that the link receives, with its offload state (PACKET_VNET_HDR) and the
VLAN tag that the kernel stripped (PACKET_AUXDATA), and keeps the host's own stack from seeing
them (see `ingress_guard.py`). It never changes the link itself, save for promiscuous mode, which
ends with the socket.
"""

import errno
import socket
import struct
from typing import Final

from actors.datapath.odp.constants import OVS_VPORT_TYPE_NETDEV
from actors.datapath.soft.ingress_guard import IngressGuard
from actors.datapath.soft.limits import SOCKET_BUFFER
from actors.datapath.soft.packet import HEADROOM, VNET_LENGTH, Packet
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.socket_buffers import raise_socket_buffers

# linux/if_packet.h
_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_STATISTICS: Final = 6
_PACKET_AUXDATA: Final = 8
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_PACKET_MR_PROMISC: Final = 1
_ETH_P_ALL: Final = 3
_ARPHRD_ETHER: Final = 1
_TP_STATUS_VLAN_VALID: Final = 1 << 4
_TP_STATUS_VLAN_TPID_VALID: Final = 1 << 6
_AUXDATA: Final = struct.Struct("=IIIHHHH")
"""struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid."""
_ETH_P_8021Q: Final = 0x8100
_ANCILLARY: Final = socket.CMSG_SPACE(_AUXDATA.size)
_TRUNCATED: Final = int(socket.MSG_TRUNC)
"""A number: the enum's own `&` costs a microsecond a frame."""
_DROPPED: Final = (errno.ENOBUFS, errno.EAGAIN, errno.EMSGSIZE, errno.ENETDOWN)


class NetdevPort(Port):
    """A veth end, TAP or network card as a port."""

    kind = OVS_VPORT_TYPE_NETDEV

    def __init__(self, number: int, name: str, guard: IngressGuard) -> None:
        super().__init__(number, name)
        try:
            self.ifindex = socket.if_nametoindex(name)
        except OSError as error:
            raise PortUnavailableError(errno.ENODEV, f"no link {name}") from error
        self._guard = guard
        self._socket = self._open()
        try:
            guard.protect(name)
        except BaseException:
            self._socket.close()
            raise
        self._into = memoryview(bytearray())
        self._packet: Packet | None = None

    def _open(self) -> socket.socket:
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            link.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            link.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            link.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            raise_socket_buffers(link, SOCKET_BUFFER)
            link.bind((self.name, _ETH_P_ALL))
            _check_type(link)
            promiscuous = struct.pack("=iHH8s", self.ifindex, _PACKET_MR_PROMISC, 0, b"")
            link.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
        except BaseException:
            link.close()
            raise
        return link

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors to watch."""
        return (self._socket.fileno(),)

    def receive(self, descriptor: int, packet: Packet) -> bool:
        """Read one frame, see `Port`."""
        del descriptor
        if packet is not self._packet:
            self._packet = packet
            self._into = packet.view[HEADROOM - VNET_LENGTH :]
        try:
            length, ancillary, flags, _ = self._socket.recvmsg_into([self._into], _ANCILLARY)
        except BlockingIOError:
            return False
        except OSError:
            return self._receive_failed(packet)
        length -= VNET_LENGTH
        if flags & _TRUNCATED or length < 14 or not packet.read_vnet(length):
            return self.refuse_received(packet)
        if ancillary:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack(ancillary[0][2])
            if status & _TP_STATUS_VLAN_VALID:
                if not status & _TP_STATUS_VLAN_TPID_VALID:
                    tpid = _ETH_P_8021Q
                packet.push_tag(tpid, tci)
        self.count_received(packet)
        return True

    def _receive_failed(self, packet: Packet) -> bool:
        """Take note: a link that went down may come back, one that left is gone."""
        self.check_link()
        packet.reset(0)
        return self.alive

    def check_link(self) -> None:
        """Notice that the link was deleted or left this namespace: the socket is bound to none."""
        if not self._socket.getsockname()[0]:
            self.alive = False

    def send(self, packet: Packet) -> bool:
        """Send the frame, see `Port`."""
        try:
            self._socket.send(packet.write_vnet())
        except OSError as error:
            if error.errno == errno.EINVAL and packet.gso_type:
                return False
            if error.errno in _DROPPED:
                self.tx_dropped += 1
            else:
                self.tx_errors += 1
            return True
        self.tx_packets += 1
        self.tx_bytes += packet.end - packet.start
        return True

    def refresh_drops(self) -> None:
        """Add what the kernel dropped because this program was too slow to `rx_dropped`."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.rx_dropped += struct.unpack("=II", raw)[1]

    def close(self) -> None:
        """Release the device."""
        self._socket.close()
        self._guard.release(self.name)


def _check_type(link: socket.socket) -> None:
    """Refuse a link that carries no Ethernet frames, as netdev_create() of the module does."""
    name, _, _, kind, _ = link.getsockname()
    if kind != _ARPHRD_ETHER:
        raise PortUnavailableError(errno.EINVAL, f"{name} is no Ethernet link")
