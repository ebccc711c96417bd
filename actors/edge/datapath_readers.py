"""The threads that read a datapath's sockets: upcalls and replies become inputs of the lane."""

import errno

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp.constants import OVS_PACKET_CMD_ACTION
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.upcalls import decode_upcall
from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.netlink import NetlinkReplied, NetlinkRepliesLost
from actors.messages.packet_in import PacketIn
from actors.values import ActorName

PACKET_WORKFLOW = ActorName("packet-workflow")
NETLINK_BROKER = ActorName("netlink-broker")


class UpcallReader(Service):
    """Reads packets. What the lane has no room for is dropped and counted here."""

    name = "upcall-reader"

    def __init__(self, lane: Lane, clock: SteadyClock, channel: DatapathChannel) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._channel = channel
        self.overflow = 0
        """Packets dropped as too many waited at the lane's door."""
        self.malformed = 0

    def run(self) -> None:
        """Read until the channel closes."""
        channel, lane, clock = self._channel, self._lane, self._clock
        while True:
            datagrams = channel.receive_upcalls()
            if not datagrams:
                return
            at = clock()
            packets = []
            for datagram in datagrams:
                try:
                    upcall = decode_upcall(datagram)
                except OdpError:
                    self.malformed += 1
                    continue
                packets.append(
                    PacketIn(
                        at,
                        upcall.raw_key,
                        upcall.frame,
                        upcall.cmd == OVS_PACKET_CMD_ACTION,
                        upcall.userdata,
                    )
                )
            if not lane.submit_packets(PACKET_WORKFLOW, tuple(packets)):
                self.overflow += len(packets)


class ReplyReader(Service):
    """Reads replies to requests."""

    name = "reply-reader"

    def __init__(self, lane: Lane, clock: SteadyClock, channel: DatapathChannel) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._channel = channel

    def run(self) -> None:
        """Read until the channel closes."""
        while True:
            try:
                datagram = self._channel.receive_reply()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._lane.submit(NETLINK_BROKER, NetlinkRepliesLost(self._clock()))
                continue
            if not datagram:
                return
            self._lane.submit(NETLINK_BROKER, NetlinkReplied(self._clock(), datagram))
