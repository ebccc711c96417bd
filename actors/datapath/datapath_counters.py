"""DatapathCounters: what the datapath itself has counted, asked for when operators want to know.

Part of the netlink broker's actor: it changes the actor's `asked`, and answers Inspect: with the
broker's own counters, and beside them the datapath's as soon as it tells them.
"""

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import asdict

from actors.datapath.odp.replies import DatapathInfo
from actors.datapath.odp.requests import GetDatapath
from actors.messages.operator import Inspect, Inspected
from actors.values import SECOND, Nanoseconds

if TYPE_CHECKING:
    from actors.datapath.netlink_broker import NetlinkBroker

TIMEOUT = 2 * SECOND
"""Less than operators' patience with all actors."""


class AskedCounters(msgspec.Struct):
    """A request that is on its way, and who wants its answer."""

    sequence: int
    deadline: Nanoseconds
    inspecting: list[Inspect]


class DatapathCounters:
    """See the module."""

    def __init__(self, broker: "NetlinkBroker") -> None:
        self._broker = broker

    def ask(self, inspect: Inspect) -> None:
        """Answer as soon as the datapath has, at once if there is none."""
        broker = self._broker
        state = broker.state
        if not state.connected:
            self._answer([inspect], None)
        elif state.asked is not None:
            state.asked.inspecting.append(inspect)
        else:
            sequence = broker.request(GetDatapath(state.datapath))
            deadline = Nanoseconds(broker.lane.now + TIMEOUT)
            state.asked = AskedCounters(sequence, deadline, [inspect])
            broker.set_timer()

    def told(self, info: DatapathInfo) -> None:
        """Take in what the datapath says."""
        asked = self._broker.state.asked
        if asked is None or asked.sequence != info.seq:
            self._broker.count("late replies")
        else:
            self._end(info)

    def refused(self, sequence: int) -> bool:
        """Hear that it does not say; return False if that is not what was refused."""
        asked = self._broker.state.asked
        if asked is None or asked.sequence != sequence:
            return False
        self._end(None)
        return True

    def time_out(self, at: Nanoseconds) -> None:
        """Do without if it is late."""
        asked = self._broker.state.asked
        if asked is not None and asked.deadline <= at:
            self._end(None)

    def give_up(self) -> None:
        """Do without: the datapath is no longer there."""
        if self._broker.state.asked is not None:
            self._end(None)

    def _end(self, info: DatapathInfo | None) -> None:
        asked, self._broker.state.asked = self._broker.state.asked, None
        if asked is not None:
            self._answer(asked.inspecting, info)

    def _answer(self, inspecting: list[Inspect], info: DatapathInfo | None) -> None:
        broker = self._broker
        told: dict[str, object] = {"pending": len(broker.state.pending), **broker.state.counters}
        if info is not None:
            megaflows = {} if info.megaflows is None else asdict(info.megaflows)
            told["datapath"] = asdict(info.stats) | megaflows
        body = msgspec.json.encode(told)
        for inspect in inspecting:
            broker.send(inspect.requester, Inspected(inspect.request, broker.name, body))
