"""Dumps: asks the datapath for all flows, or all ports, one dump at a time.

Part of the netlink broker's actor: it changes the actor's `dumps`. A dump is a stream of replies
under one sequence number that ends with NLMSG_DONE; the kernel refuses a second one on the same
socket meanwhile (EBUSY), so it waits for its turn. A dump of flows that breaks off is reported as
incomplete, one of ports is asked for again. One that is refused, mostly since the kernel still
streams one that was given up, is asked for again until it is granted: later each time, up to a
second.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from actors.datapath.flow_dump import FlowDump
from actors.datapath.odp import constants as c
from actors.datapath.odp.replies import FlowInfo, VportInfo
from actors.datapath.odp.requests import DeleteFlow, GetFlow, GetVport
from actors.datapath.port_dump import PortDump
from actors.datapath.port_requests import REQUEST_TIMEOUT
from actors.messages.flows import FlowsDumped
from actors.values import SECOND, ActorName, Nanoseconds

if TYPE_CHECKING:
    from actors.datapath.netlink_broker import NetlinkBroker

FLOW_CONTROLLER = ActorName("flow-controller")
DATAPATH_PORTS = ActorName("datapath-ports")
FIRST_DELAY: Final = SECOND // 10
MOST_DELAY: Final = SECOND
_MOST_DOUBLINGS: Final = 4


class DumpState(msgspec.Struct):
    """What comes in, and what is to be asked for when that has ended."""

    current: FlowDump | PortDump | None = None
    flows_wanted: bool = False
    ports_wanted: bool = False
    put_offs: int = 0
    """Refusals in a row."""
    again_at: Nanoseconds | None = None
    """When what was put off is asked for again."""


class Dumps:
    """See the module."""

    def __init__(self, broker: "NetlinkBroker") -> None:
        self._broker = broker

    @property
    def deadline(self) -> Nanoseconds | None:
        """When the dump that is under way is given up, or the one put off is asked for."""
        dumps = self._broker.state.dumps
        return dumps.again_at if dumps.current is None else dumps.current.deadline

    def ask_flows(self) -> None:
        """Ask for all flows, unless that is under way."""
        dumps = self._broker.state.dumps
        if not isinstance(dumps.current, FlowDump):
            dumps.flows_wanted = True
            self._begin()

    def ask_flows_now(self) -> None:
        """Ask for all flows without waiting for what was put off: somebody waits for them."""
        self._broker.state.dumps.again_at = None
        self.ask_flows()

    def ask_ports(self) -> None:
        """Ask for all ports."""
        self._broker.state.dumps.ports_wanted = True
        self._begin()

    def ask_again(self) -> None:
        """Ask for everything: parts of what was coming in may be lost."""
        dumps = self._broker.state.dumps
        dumps.flows_wanted = dumps.ports_wanted = True
        if dumps.current is None:
            self._begin()
        else:
            self.give_up()

    def _begin(self) -> None:
        broker = self._broker
        state, dumps = broker.state, broker.state.dumps
        if not state.connected or dumps.current is not None or dumps.again_at is not None:
            return
        now = broker.lane.now
        deadline = Nanoseconds(now + REQUEST_TIMEOUT)
        if dumps.ports_wanted:
            dumps.ports_wanted = False
            sequence = broker.request(GetVport(state.datapath), c.NLM_F_DUMP)
            dumps.current = PortDump(sequence, deadline)
        elif dumps.flows_wanted:
            dumps.flows_wanted = False
            sequence = broker.request(GetFlow(state.datapath), c.NLM_F_DUMP)
            dumps.current = FlowDump(sequence, deadline, now)
        else:
            return
        broker.set_timer()

    def take_flow(self, info: FlowInfo) -> bool:
        """Take in a flow; return False if it belongs to no dump that is under way."""
        broker = self._broker
        current = broker.state.dumps.current
        if not isinstance(current, FlowDump) or current.sequence != info.seq:
            return False
        if not current.take(info, broker.state.epoch):
            broker.count("dumped flows over the limit")
        return True

    def take_port(self, info: VportInfo) -> bool:
        """Take in a port; return False if it belongs to no dump that is under way."""
        current = self._broker.state.dumps.current
        if not isinstance(current, PortDump) or current.sequence != info.seq:
            return False
        current.take(info)
        return True

    def port_made(self, info: VportInfo) -> None:
        """Take in a port that was made after a dump was asked for."""
        current = self._broker.state.dumps.current
        if isinstance(current, PortDump):
            current.take(info)

    def done(self, sequence: int) -> None:
        """Hear that a dump is complete."""
        dumps = self._broker.state.dumps
        current = dumps.current
        if current is not None and current.sequence == sequence:
            dumps.put_offs = 0
            self._end(current, complete=True)

    def has(self, sequence: int) -> bool:
        """Tell whether the dump that is under way has that number."""
        current = self._broker.state.dumps.current
        return current is not None and current.sequence == sequence

    def refused(self, sequence: int) -> bool:
        """Hear that a dump failed; return False if no dump has that number."""
        dumps = self._broker.state.dumps
        current = dumps.current
        if current is None or current.sequence != sequence:
            return False
        dumps.put_offs += 1
        delay = min(FIRST_DELAY << min(dumps.put_offs - 1, _MOST_DOUBLINGS), MOST_DELAY)
        dumps.again_at = Nanoseconds(self._broker.lane.now + delay)
        dumps.flows_wanted |= isinstance(current, FlowDump)
        self._end(current, complete=False)
        self._broker.set_timer()
        return True

    def time_out(self, at: Nanoseconds) -> None:
        """Give up a dump whose time is over, ask again for one whose time has come."""
        deadline = self.deadline
        if deadline is None or deadline > at:
            return
        if self._broker.state.dumps.current is None:
            self._broker.state.dumps.again_at = None
            self._begin()
        else:
            self.give_up()

    def give_up(self) -> None:
        """End the dump that is under way with what has come."""
        current = self._broker.state.dumps.current
        if current is not None:
            self._end(current, complete=False)

    def _end(self, dump: FlowDump | PortDump, *, complete: bool) -> None:
        broker = self._broker
        dumps = broker.state.dumps
        dumps.current = None
        if not complete:
            broker.count("dumps broken off")
        if isinstance(dump, FlowDump):
            self._flows_dumped(dump, complete=complete)
        elif complete:
            broker.send(DATAPATH_PORTS, dump.complete())
        else:
            dumps.ports_wanted = True
        self._begin()

    def _flows_dumped(self, dump: FlowDump, *, complete: bool) -> None:
        broker = self._broker
        if not broker.inherited.found(dump.foreign, complete=complete):
            for ufid in dump.foreign:
                broker.count("foreign flows deleted")
                broker.request(DeleteFlow(broker.state.datapath, ufid=ufid))
        dumped = FlowsDumped(tuple(dump.flows), len(dump.foreign), complete, dump.asked_at)
        broker.send(FLOW_CONTROLLER, dumped)
