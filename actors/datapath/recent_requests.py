"""RecentRequests: ARP frames of devices that just left for other hosts, should their way change.

A request that is lost because the port it was for had only just been plugged in elsewhere, or its
host's agent was being restarted, would be repeated by its router a second later only: all packets
that wait for the answer would wait as long. So it is sent again when the port's way is known. Pure.
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct, field

from actors.datapath.reachability import Reach
from actors.messages.simulation import PacketContext, PortOutput
from actors.packets.ethernet import ETHERTYPE_ARP
from actors.values import SECOND, Nanoseconds, PortId

WINDOW = SECOND
"""After that, routers ask again by themselves (RFC 1122 2.3.2.1: at most once a second)."""

MOST_OUTPUTS = 512
"""Outputs that are remembered; the oldest are forgotten first."""


class Sent(Struct):
    """One output of a frame: what became of it, by the last known way of its port."""

    at: Nanoseconds
    context: PacketContext
    output: PortOutput
    actions: bytes | None


class RecentRequests(Struct):
    """See the module."""

    sent: list[Sent] = field(default_factory=list)

    def note(
        self, context: PacketContext, way_to: Callable[[PortId], Reach], at: Nanoseconds
    ) -> None:
        """Remember a frame if it is ARP, by the ports of it that are not plugged in here."""
        if context.key.ethertype != ETHERTYPE_ARP:
            return
        self._forget_before(at - WINDOW)
        for output in context.outputs[:MOST_OUTPUTS]:
            way = way_to(output.port)
            if not way.local:
                self.sent.append(Sent(at, context, output, way.actions))
        del self.sent[:-MOST_OUTPUTS]

    def take_moved(
        self, way_to: Callable[[PortId], Reach], at: Nanoseconds
    ) -> tuple[PacketContext, ...]:
        """Return what is to be sent again, now that ways have changed."""
        self._forget_before(at - WINDOW)
        again = []
        for sent in self.sent:
            actions = way_to(sent.output.port).actions
            if actions is not None and actions != sent.actions:
                again.append(msgspec.structs.replace(sent.context, outputs=(sent.output,), tags=()))
            sent.actions = actions
        return tuple(again)

    def _forget_before(self, at: int) -> None:
        if self.sent and self.sent[0].at < at:
            self.sent = [sent for sent in self.sent if sent.at >= at]
