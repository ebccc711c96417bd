"""InheritedFlows: the flows that an earlier agent left in the datapath, and their end.

Part of the netlink broker's actor: it changes the actor's `inherited`. They go on forwarding
while this agent learns its network, so that a restart loses no packet. What they depend on is not
known any more, so they do not stay: once all ports are plugged in (or after GRACE) they are
deleted, a share each TURN, so that the connections that still use them come up one after the
other and get flows of their own.
"""

from typing import TYPE_CHECKING

import msgspec

from actors.datapath.odp.requests import DeleteFlow
from actors.values import SECOND, Nanoseconds

if TYPE_CHECKING:
    from actors.datapath.netlink_broker import NetlinkBroker

GRACE = 10 * SECOND
TURN = SECOND // 10
TURNS = 50
"""The deletion takes this many turns at most: five seconds."""
LEAST_AT_ONCE = 200


class Inherited(msgspec.Struct):
    """What the datapath held when this agent took it over."""

    expire_at: Nanoseconds
    """When the next share is deleted."""
    flows: list[bytes] = msgspec.field(default_factory=list)
    """UFIDs."""
    share: int = LEAST_AT_ONCE
    listed: bool = False
    """Whether the dump that names them has come in."""


class InheritedFlows:
    """See the module."""

    def __init__(self, broker: "NetlinkBroker") -> None:
        self._broker = broker

    def begin(self) -> None:
        """Ask what is there."""
        broker = self._broker
        broker.state.inherited = Inherited(Nanoseconds(broker.lane.now + GRACE))
        broker.dumps.ask_flows()

    def found(self, ufids: list[bytes], *, complete: bool) -> bool:
        """Take in the flows of a dump that are not ours; return False if they are not wanted."""
        inherited = self._broker.state.inherited
        if inherited is None or inherited.listed:
            return False
        if not complete:
            self._broker.dumps.ask_flows()
            return True
        inherited.listed = True
        inherited.flows = ufids
        inherited.share = max(LEAST_AT_ONCE, -(-len(ufids) // TURNS))
        return True

    def expire(self) -> None:
        """Let their deletion begin."""
        inherited = self._broker.state.inherited
        if inherited is not None:
            inherited.expire_at = min(inherited.expire_at, self._broker.lane.now)
            self.take_turn(self._broker.lane.now)

    def take_turn(self, at: Nanoseconds) -> None:
        """Delete a share of them if it is time."""
        broker = self._broker
        inherited = broker.state.inherited
        if inherited is None or inherited.expire_at > at or not inherited.listed:
            return
        inherited.expire_at = Nanoseconds(at + TURN)
        for ufid in inherited.flows[: inherited.share]:
            broker.count("inherited flows expired")
            broker.request(DeleteFlow(broker.state.datapath, ufid=ufid))
        del inherited.flows[: inherited.share]
        if not inherited.flows:
            broker.state.inherited = None
        broker.set_timer()
