"""The threads that read a datapath's sockets: upcalls and replies become inputs of the lane."""

import errno

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp.constants import OVS_PACKET_CMD_ACTION
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import without_zero_metadata
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
            packets = packets_of(self._decode(datagrams), clock())
            if not lane.submit_packets(PACKET_WORKFLOW, packets):
                self.overflow += len(packets)

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
            without_zero_metadata(upcall.raw_key),
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
