"""The threads that read a datapath's sockets: upcalls and replies become inputs of the lane."""

import errno

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp.constants import OVS_PACKET_CMD_ACTION
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.upcalls import Upcall, decode_upcall
from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.netlink import NetlinkReplied, NetlinkRepliesLost
from actors.messages.packet_in import PacketIn
from actors.values import ActorName, Nanoseconds

PACKET_WORKFLOW = ActorName("packet-workflow")
NETLINK_BROKER = ActorName("netlink-broker")

MOST_TOGETHER = 16
"""Packets whose flows and executions go out together: about as many as are worth a send, and the
first of them waits for the simulation of the others."""
_ROOM_AGAIN = 0.002
"""Seconds until the lane is looked at again that had no room: less than it takes for what waits."""


class UpcallReader(Service):
    """Reads packets, no faster than the lane takes them.

    While the lane has no room, packets wait in the datapath's queues, of which a port has one of
    its own: those of a port that floods are lost there, and not other ports' along with them.
    """

    name = "upcall-reader"

    def __init__(self, lane: Lane, clock: SteadyClock, channel: DatapathChannel) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._channel = channel
        self.overflow = 0
        """Packets dropped as the lane had no room for them until the end."""
        self.malformed = 0

    def run(self) -> None:
        """Read until the channel closes."""
        channel, lane, clock = self._channel, self._lane, self._clock
        while True:
            datagrams = channel.receive_upcalls()
            if not datagrams:
                return
            packets = packets_of(self._decode(datagrams), clock())
            while not lane.submit_packets(PACKET_WORKFLOW, packets):
                if self.stopping.wait(_ROOM_AGAIN):
                    self.overflow += len(packets)
                    return

    def _decode(self, datagrams: list[bytes]) -> list[Upcall]:
        upcalls = []
        for datagram in datagrams:
            try:
                upcalls.append(decode_upcall(datagram))
            except OdpError:
                self.malformed += 1
        return upcalls


def packets_of(upcalls: list[Upcall], at: Nanoseconds) -> tuple[PacketIn, ...]:
    """Return the lane's inputs of upcalls that were read at once, in turns of a bounded length."""
    last = len(upcalls)
    return tuple(
        PacketIn(
            at,
            upcall.raw_key,
            upcall.frame,
            upcall.cmd == OVS_PACKET_CMD_ACTION,
            upcall.userdata,
            more=number % MOST_TOGETHER != 0 and number != last,
        )
        for number, upcall in enumerate(upcalls, 1)
    )


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
