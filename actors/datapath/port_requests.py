"""PortRequests: vports added and removed on request, each request answered or timed out.

Part of the netlink broker's actor: it changes the actor's `pending`. A creation that the datapath
refuses since the port is there already is looked up: the reply that said so may have been lost.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from actors.datapath.odp import constants as c
from actors.datapath.odp.replies import VportInfo
from actors.datapath.odp.requests import DeleteVport, GetVport, NewVport
from actors.messages.netlink import (
    AddPort,
    AddTunnelPort,
    PortAdded,
    PortRefused,
    PortRemoved,
    RemovePort,
)
from actors.state.topology import TunnelType
from actors.values import SECOND, ActorName, DatapathPort, Nanoseconds

if TYPE_CHECKING:
    from actors.datapath.netlink_broker import NetlinkBroker

REQUEST_TIMEOUT = 5 * SECOND
ENODEV, ETIMEDOUT = 19, 110
GONE = frozenset({2, 19, 6})
"""ENOENT, ENODEV, ENXIO: what was to be deleted is not there, which is what was wanted."""

TAKEN = frozenset({16, 17})
"""EBUSY, EEXIST: a port of this name is there."""

_TUNNEL_TYPES: Final[dict[TunnelType, int]] = {
    "vxlan": c.OVS_VPORT_TYPE_VXLAN,
    "geneve": c.OVS_VPORT_TYPE_GENEVE,
    "gre": c.OVS_VPORT_TYPE_GRE,
}


class PendingRequest(msgspec.Struct, frozen=True):
    """A request that will be answered: who asked what, and until when."""

    deadline: Nanoseconds
    requester: ActorName
    link: str
    removes: bool
    errno: int = 0
    """Of the refused creation, while it is asked whether the port was there already."""


class PortRequests:
    """See the module."""

    def __init__(self, broker: "NetlinkBroker") -> None:
        self._broker = broker

    def add(self, message: AddPort | AddTunnelPort) -> None:
        """Ask the datapath for a vport."""
        broker = self._broker
        state = broker.state
        if not state.connected:
            broker.send(message.requester, PortRefused(message.link, ENODEV))
            return
        if isinstance(message, AddTunnelPort):
            kind, udp_port = _TUNNEL_TYPES[message.type], message.udp_port
        else:
            kind, udp_port = c.OVS_VPORT_TYPE_NETDEV, None
        body = NewVport(state.datapath, kind, message.link, (state.upcall_pid,), dst_port=udp_port)
        sequence = broker.request(body, c.NLM_F_ECHO)
        self._expect(sequence, message.requester, message.link, removes=False)

    def remove(self, message: RemovePort) -> None:
        """Ask the datapath to let go of a vport."""
        broker = self._broker
        if not broker.state.connected:
            broker.send(message.requester, PortRemoved(message.link))
            return
        body = DeleteVport(broker.state.datapath, port_no=message.number)
        sequence = broker.request(body, c.NLM_F_ACK)
        self._expect(sequence, message.requester, message.link, removes=True)

    def _expect(self, sequence: int, requester: ActorName, link: str, *, removes: bool) -> None:
        broker = self._broker
        deadline = Nanoseconds(broker.lane.now + REQUEST_TIMEOUT)
        broker.state.pending[sequence] = PendingRequest(deadline, requester, link, removes)
        broker.set_timer()

    def described(self, info: VportInfo) -> None:
        """Take the answer to a creation, or to the question whether the port is there."""
        broker = self._broker
        pending = broker.state.pending.get(info.seq)
        if pending is None:
            broker.count("late replies")
        elif not pending.removes:
            del broker.state.pending[info.seq]
            broker.send(pending.requester, PortAdded(pending.link, DatapathPort(info.port_no)))

    def acknowledged(self, sequence: int) -> None:
        """Take the answer to a removal."""
        pending = self._broker.state.pending.pop(sequence, None)
        if pending is not None and pending.removes:
            self._broker.send(pending.requester, PortRemoved(pending.link))

    def refused(self, sequence: int, errno: int) -> bool:
        """Take a refusal; return False if no port request had that number."""
        broker = self._broker
        pending = broker.state.pending.pop(sequence, None)
        if pending is None:
            return False
        if errno in TAKEN and not (pending.removes or pending.errno):
            again = broker.request(GetVport(broker.state.datapath, name=pending.link))
            broker.state.pending[again] = msgspec.structs.replace(pending, errno=errno)
        else:
            self._failed(pending, pending.errno or errno)
        return True

    def _failed(self, pending: PendingRequest, errno: int) -> None:
        broker = self._broker
        if pending.removes:
            if errno not in GONE:
                broker.count("port removals refused")
            broker.send(pending.requester, PortRemoved(pending.link))
        else:
            broker.send(pending.requester, PortRefused(pending.link, errno))

    def time_out(self, at: Nanoseconds) -> None:
        """Give up on requests whose time is over."""
        broker = self._broker
        for sequence, pending in list(broker.state.pending.items()):
            if pending.deadline <= at:
                del broker.state.pending[sequence]
                broker.count("requests timed out")
                self._failed(pending, ETIMEDOUT)
