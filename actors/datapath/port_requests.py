"""PortRequests: vports added and removed on request, each request answered or timed out.

Part of the netlink broker's actor: it changes the actor's `pending` and `upcall_pids`. A vport is
made in steps: the edge opens a netlink port id for its upcalls (unless all share one), then the
datapath makes the vport. One of that name that is there already, from an earlier agent or since
the reply that said so was lost, is looked up and taken over, its packets undisturbed; one of
another type or UDP port is replaced.
"""

from typing import TYPE_CHECKING, Final, Literal, assert_never

import msgspec
from msgspec.structs import replace

from actors.datapath.deadlines import Deadlines
from actors.datapath.odp import constants as c
from actors.datapath.odp.replies import VportInfo
from actors.datapath.odp.requests import DeleteVport, GetVport, NewVport, SetVport
from actors.messages.netlink import (
    AddPort,
    AddTunnelPort,
    CloseUpcalls,
    OpenUpcalls,
    PortAdded,
    PortRefused,
    PortRemoved,
    RemovePort,
    UpcallsOpened,
)
from actors.state.topology import TunnelType
from actors.values import SECOND, ActorName, DatapathPort, Nanoseconds

if TYPE_CHECKING:
    from actors.datapath.netlink_broker import NetlinkBroker

REQUEST_TIMEOUT = 5 * SECOND
ENODEV, EEXIST, ETIMEDOUT = 19, 17, 110
GONE = frozenset({2, 19, 6})
"""ENOENT, ENODEV, ENXIO: what was to be deleted is not there, which is what was wanted."""
TAKEN = frozenset({16, 17})
"""EBUSY, EEXIST: a port of this name is there."""

_TUNNEL_TYPES: Final[dict[TunnelType, int]] = {
    "vxlan": c.OVS_VPORT_TYPE_VXLAN,
    "geneve": c.OVS_VPORT_TYPE_GENEVE,
    "gre": c.OVS_VPORT_TYPE_GRE,
}

Step = Literal["create", "look up", "take over", "replace", "remove"]


class PendingRequest(msgspec.Struct, frozen=True):
    """A request that will be answered: who asked what, and until when."""

    deadline: Nanoseconds
    requester: ActorName
    link: str
    step: Step
    type: int = 0
    udp_port: int | None = None
    errno: int = 0
    """Of the refused creation, while the port that is in its way is dealt with."""


class PortRequests:
    """See the module."""

    def __init__(self, broker: "NetlinkBroker") -> None:
        self._broker = broker
        self._deadlines = Deadlines(self._deadline_of)

    def restored(self) -> None:
        """Rebuild the order of the deadlines from the broker's state."""
        state = self._broker.state
        self._deadlines.clear()
        for requests in (state.pending, state.opening):
            for key, pending in requests.items():
                self._deadlines.add(key, pending.deadline)

    @property
    def deadline(self) -> Nanoseconds | None:
        """When the first of the requests is given up."""
        return self._deadlines.first()

    def _deadline_of(self, key: int | str) -> Nanoseconds | None:
        state = self._broker.state
        pending = state.pending.get(key) if isinstance(key, int) else state.opening.get(key)
        return None if pending is None else pending.deadline

    # --- what is asked ------------------------------------------------------------------------

    def add(self, message: AddPort | AddTunnelPort) -> None:
        """Ask the datapath for a vport."""
        broker = self._broker
        state = broker.state
        if not state.connected:
            broker.send(message.requester, PortRefused(message.link, ENODEV))
            return
        wanted = PendingRequest(
            Nanoseconds(broker.lane.now + REQUEST_TIMEOUT), message.requester, message.link,
            "create", c.OVS_VPORT_TYPE_NETDEV,
        )  # fmt: skip
        if isinstance(message, AddTunnelPort):
            kind = _TUNNEL_TYPES[message.type]
            wanted = replace(wanted, type=kind, udp_port=message.udp_port)
        if state.upcall_pid or message.link in state.upcall_pids:
            self._create(wanted)
        else:
            state.opening[message.link] = wanted
            self._deadlines.add(message.link, wanted.deadline)
            broker.emit(OpenUpcalls(message.link))

    def opened(self, message: UpcallsOpened) -> None:
        """Make the vport, now that its upcalls have somewhere to go."""
        broker = self._broker
        wanted = broker.state.opening.pop(message.link, None)
        if wanted is None:
            if message.pid:
                broker.emit(CloseUpcalls(message.pid))
        elif message.errno:
            broker.send(wanted.requester, PortRefused(wanted.link, message.errno))
        else:
            broker.state.upcall_pids[message.link] = message.pid
            self._create(wanted)

    def remove(self, message: RemovePort) -> None:
        """Ask the datapath to let go of a vport."""
        broker = self._broker
        if not broker.state.connected:
            broker.send(message.requester, PortRemoved(message.link))
            return
        body = DeleteVport(broker.state.datapath, port_no=message.number)
        deadline = Nanoseconds(broker.lane.now + REQUEST_TIMEOUT)
        pending = PendingRequest(deadline, message.requester, message.link, "remove")
        self._expect(broker.request(body, c.NLM_F_ACK), pending)

    def _create(self, wanted: PendingRequest) -> None:
        broker = self._broker
        pids = (self._upcall_pid(wanted.link),)
        body = NewVport(
            broker.state.datapath, wanted.type, wanted.link, pids, dst_port=wanted.udp_port
        )
        self._expect(broker.request(body, c.NLM_F_ECHO), wanted)

    def _upcall_pid(self, link: str) -> int:
        state = self._broker.state
        return state.upcall_pid or state.upcall_pids.get(link, 0)

    def _expect(self, sequence: int, pending: PendingRequest) -> None:
        self._broker.state.pending[sequence] = pending
        self._deadlines.add(sequence, pending.deadline)
        self._broker.set_timer()

    # --- what is answered ---------------------------------------------------------------------

    def described(self, info: VportInfo) -> None:
        """Take the description of a vport that was made, changed or looked up."""
        broker = self._broker
        pending = broker.state.pending.get(info.seq)
        if pending is None:
            broker.count("late replies")
            return
        match pending.step:
            case "create" | "take over":
                self._added(info)
            case "look up":
                self._found(pending, info)
            case "replace" | "remove":
                pass  # the acknowledgement follows
            case _:
                assert_never(pending.step)

    def _added(self, info: VportInfo) -> None:
        broker = self._broker
        pending = broker.state.pending.pop(info.seq)
        broker.dumps.port_made(info)
        broker.send(pending.requester, PortAdded(pending.link, DatapathPort(info.port_no)))

    def _found(self, pending: PendingRequest, info: VportInfo) -> None:
        """Take a vport over that is as we want it; have another one replaced."""
        broker = self._broker
        datapath, pid = broker.state.datapath, self._upcall_pid(pending.link)
        if info.type != pending.type or info.dst_port != pending.udp_port:
            del broker.state.pending[info.seq]
            body = DeleteVport(datapath, port_no=info.port_no)
            self._expect(broker.request(body, c.NLM_F_ACK), replace(pending, step="replace"))
        elif info.upcall_pids == (pid,):
            self._added(info)
        else:
            del broker.state.pending[info.seq]
            sets = SetVport(datapath, port_no=info.port_no, upcall_pids=(pid,))
            sequence = broker.request(sets, c.NLM_F_ECHO)
            self._expect(sequence, replace(pending, step="take over"))

    def acknowledged(self, sequence: int) -> None:
        """Take the answer to a removal."""
        pending = self._broker.state.pending.pop(sequence, None)
        if pending is None:
            return
        if pending.step == "remove":
            self._removed(pending)
        elif pending.step == "replace":
            self._create(replace(pending, step="create"))

    def refused(self, sequence: int, errno: int) -> bool:
        """Take a refusal; return False if no port request had that number."""
        broker = self._broker
        pending = broker.state.pending.pop(sequence, None)
        if pending is None:
            return False
        if pending.step == "create" and errno in TAKEN and not pending.errno:
            again = broker.request(GetVport(broker.state.datapath, name=pending.link))
            self._expect(again, replace(pending, step="look up", errno=errno))
        elif pending.step == "replace" and errno in GONE:
            self._create(replace(pending, step="create"))
        else:
            self._failed(pending, pending.errno or errno)
        return True

    def _failed(self, pending: PendingRequest, errno: int) -> None:
        broker = self._broker
        if pending.step == "remove":
            if errno not in GONE:
                broker.count("port removals refused")
            self._removed(pending)
        else:
            self._close_upcalls(pending.link)
            broker.send(pending.requester, PortRefused(pending.link, errno))

    def _removed(self, pending: PendingRequest) -> None:
        self._close_upcalls(pending.link)
        self._broker.send(pending.requester, PortRemoved(pending.link))

    def _close_upcalls(self, link: str) -> None:
        pid = self._broker.state.upcall_pids.pop(link, 0)
        if pid:
            self._broker.emit(CloseUpcalls(pid))

    def time_out(self, at: Nanoseconds) -> None:
        """Give up on requests whose time is over."""
        broker = self._broker
        first = self.deadline
        if first is None or first > at:
            return
        for sequence, pending in list(broker.state.pending.items()):
            if pending.deadline <= at:
                del broker.state.pending[sequence]
                broker.count("requests timed out")
                self._failed(pending, ETIMEDOUT)
        for link, wanted in list(broker.state.opening.items()):
            if wanted.deadline <= at:
                del broker.state.opening[link]
                broker.count("requests timed out")
                broker.send(wanted.requester, PortRefused(link, ETIMEDOUT))
