"""NetlinkBroker: the one way from the lane to the datapath, and the first to hear its answers.

Owns the sequence numbers and the requests in flight. Receives flows, packets and port requests,
encodes them in place into the edge's RequestBuffer. Flow creates and packet executes are
optimistic: no acknowledgement is asked for, only an error comes back. Flow deletes are echoed,
for their statistics. When replies were lost, it dumps flows and ports and brings both sides
together; what the datapath does by itself (a port's device is deleted) it hears as notifications.
"""

import struct
from typing import assert_never

import msgspec

from actors.datapath.flow_dump import FlowDump
from actors.datapath.inherited_flows import Inherited, InheritedFlows
from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.hot_requests import (
    write_flow_create,
    write_flow_delete,
    write_packet_execute,
)
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
    Acknowledged,
    Done,
    FlowInfo,
    NetlinkRefused,
    Notification,
    Reply,
    VportInfo,
    decode_replies,
)
from actors.datapath.odp.requests import (
    DeleteFlow,
    Encodable,
    GetFlow,
    GetVport,
    encode_request,
)
from actors.datapath.port_dump import PortDump
from actors.datapath.port_requests import GONE, REQUEST_TIMEOUT, PendingRequest, PortRequests
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.sequence import (
    CREATE_BITS,
    DELETE_BITS,
    EXECUTE_BITS,
    KIND_CREATE,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_REQUEST,
    NUMBER_MASK,
    flow_of,
    kind_of,
)
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import (
    DumpFlows,
    ExecutePacket,
    FlowDeleted,
    FlowRefused,
    FlowsDumped,
    FlushFlows,
    InstallFlow,
    RemoveFlow,
)
from actors.messages.netlink import (
    AddPort,
    AddTunnelPort,
    DatapathConnected,
    DatapathLost,
    DatapathReset,
    ExpireInherited,
    NetlinkReplied,
    NetlinkRepliesLost,
    NetlinkSendFailed,
    PortVanished,
    RemovePort,
    UpcallsOpened,
)
from actors.messages.operator import Inspect, Inspected
from actors.messages.time import Tick, WakeMe
from actors.values import ActorName, DatapathPort, Nanoseconds

FLOW_CONTROLLER = ActorName("flow-controller")
DATAPATH_PORTS = ActorName("datapath-ports")
CLOCK = ActorName("clock")

METADATA_ONLY = struct.pack("=HHI", 8, c.OVS_KEY_ATTR_PRIORITY, 0)
"""The key of a packet that entered by no port: the datapath reads its headers off the frame."""

FromDatapath = (
    NetlinkReplied
    | NetlinkRepliesLost
    | NetlinkSendFailed
    | UpcallsOpened
    | DatapathConnected
    | DatapathLost
)
BrokerMessage = (
    InstallFlow
    | ExecutePacket
    | RemoveFlow
    | AddPort
    | AddTunnelPort
    | RemovePort
    | ExpireInherited
    | DumpFlows
    | FlushFlows
    | FromDatapath
    | Tick
    | Inspect
)


class BrokerState(msgspec.Struct):
    """All that the netlink broker knows."""

    connected: bool = False
    families: Families = msgspec.field(default_factory=lambda: Families(0, 0, 0, 0))
    datapath: int = 0
    reply_pid: int = 0
    upcall_pid: int = 0
    """Where all upcalls go; 0: each vport's to a port id of its own."""
    epoch: int = 0
    next_request: int = 1
    next_execute: int = 1
    next_flow: int = 1
    """One above the highest flow number seen."""
    pending: dict[int, PendingRequest] = msgspec.field(default_factory=dict)
    opening: dict[str, PendingRequest] = msgspec.field(default_factory=dict)
    """Vports to be made once there is a port id for their upcalls, by link."""
    upcall_pids: dict[str, int] = msgspec.field(default_factory=dict)
    dump: FlowDump | None = None
    port_dump: PortDump | None = None
    inherited: Inherited | None = None
    counters: dict[str, int] = msgspec.field(default_factory=dict)


class NetlinkBroker(LaneActor):
    """See the module."""

    State = BrokerState
    can_begin_afresh = False
    state: BrokerState

    def __init__(self, name: ActorName, lane: Lane, requests: RequestBuffer) -> None:
        super().__init__(name, lane)
        self.requests = requests
        self.journal = lane.journal
        self.ports = PortRequests(self)
        self.inherited = InheritedFlows(self)

    def on_receive(self, message: BrokerMessage) -> None:
        """Handle one message."""
        if type(message) is ExecutePacket:
            self._execute(message)
            return
        if type(message) is InstallFlow:
            self._install(message)
            return
        match message:
            case RemoveFlow():
                self._remove_flow(message)
            case AddPort() | AddTunnelPort():
                self.ports.add(message)
            case RemovePort():
                self.ports.remove(message)
            case ExpireInherited():
                self.inherited.expire()
            case DumpFlows():
                self.dump()
            case FlushFlows():
                if self.state.connected:
                    self.request(DeleteFlow(self.state.datapath))
            case Tick():
                self._time_out(message.at)
            case Inspect():
                body = msgspec.json.encode(
                    {"pending": len(self.state.pending), **self.state.counters}
                )
                self.send(message.requester, Inspected(message.request, self.name, body))
            case InstallFlow() | ExecutePacket():
                raise AssertionError("handled above")
            case _:
                self._on_datapath(message)

    def _on_datapath(self, message: FromDatapath) -> None:
        """Handle what the edge says of the datapath."""
        match message:
            case NetlinkReplied():
                self._replied(message)
            case NetlinkRepliesLost():
                self._replies_lost()
            case NetlinkSendFailed():
                for sequence in message.sequences:
                    self._refused(sequence, message.errno)
            case UpcallsOpened():
                self.ports.opened(message)
            case DatapathConnected():
                self._connected(message)
            case DatapathLost():
                self._lost(message)
            case _:
                assert_never(message)

    # --- the packet path ----------------------------------------------------------------------

    def _install(self, message: InstallFlow) -> None:
        state = self.state
        if not state.connected:
            return
        requests = self.requests
        key, mask, actions = message.raw_key, message.mask, message.actions
        start = requests.reserve(128 + len(key) + len(mask) + len(actions))
        if start < 0:
            self.send(FLOW_CONTROLLER, FlowRefused(message.flow, 90))
            return
        flow = message.flow
        state.next_flow = flow + 1
        end = write_flow_create(
            requests.buffer,
            start,
            family=state.families.flow,
            seq=CREATE_BITS | (flow & NUMBER_MASK),
            pid=0,
            dp_ifindex=state.datapath,
            ufid=_UFID(state.epoch, flow),
            raw_key=key,
            mask=mask,
            actions=actions,
        )
        self.journal.append_netlink(requests.view[start:end], 0)
        requests.commit(end)

    def _execute(self, message: ExecutePacket) -> None:
        state = self.state
        if not state.connected:
            self.count("packets without a datapath")
            return
        requests = self.requests
        key, actions, frame = message.raw_key or METADATA_ONLY, message.actions, message.frame
        start = requests.reserve(128 + len(key) + len(actions) + len(frame))
        if start < 0:
            self.count("packets too large")
            return
        number = state.next_execute
        state.next_execute = number + 1
        end = write_packet_execute(
            requests.buffer,
            start,
            family=state.families.packet,
            seq=EXECUTE_BITS | (number & NUMBER_MASK),
            pid=0,
            dp_ifindex=state.datapath,
            raw_key=key,
            actions=actions,
            frame=frame,
        )
        self.journal.append_netlink(requests.view[start:end], len(frame))
        requests.commit(end)

    def _remove_flow(self, message: RemoveFlow) -> None:
        state = self.state
        if not state.connected:
            return
        requests = self.requests
        start = requests.reserve(128)
        end = write_flow_delete(
            requests.buffer,
            start,
            family=state.families.flow,
            seq=DELETE_BITS | (message.flow & NUMBER_MASK),
            pid=0,
            dp_ifindex=state.datapath,
            ufid=_UFID(state.epoch, message.flow),
        )
        self.journal.append_netlink(requests.view[start:end], 0)
        requests.commit(end)

    # --- other requests -----------------------------------------------------------------------

    def request(self, body: Encodable, flags: int = 0) -> int:
        """Send a request that is not of the packet path; return its sequence number."""
        state, requests = self.state, self.requests
        sequence = state.next_request & NUMBER_MASK
        state.next_request += 1
        data = encode_request(body, families=state.families, seq=sequence, pid=0, flags=flags)
        start = requests.reserve(len(data))
        end = start + len(data)
        requests.buffer[start:end] = data
        self.journal.append_netlink(requests.view[start:end], 0)
        requests.commit(end)
        return sequence

    def dump(self) -> None:
        """Ask for all flows, unless that is under way."""
        state = self.state
        if not state.connected or state.dump is not None:
            return
        sequence = self.request(GetFlow(state.datapath), c.NLM_F_DUMP)
        deadline = Nanoseconds(self.lane.now + REQUEST_TIMEOUT)
        state.dump = FlowDump(sequence, deadline, self.lane.now)
        self.set_timer()

    def _dump_ports(self) -> None:
        state = self.state
        sequence = self.request(GetVport(state.datapath), c.NLM_F_DUMP)
        deadline = Nanoseconds(self.lane.now + REQUEST_TIMEOUT)
        state.port_dump = PortDump(sequence, deadline)
        self.set_timer()

    # --- replies ------------------------------------------------------------------------------

    def _replied(self, message: NetlinkReplied) -> None:
        try:
            replies = decode_replies(message.datagram, self.state.families, self.state.reply_pid)
        except OdpError:
            self.count("malformed replies")
            return
        for reply in replies:
            self._one_reply(reply)

    def _replies_lost(self) -> None:
        self.count("replies lost")
        if self.state.dump is not None:
            # Of what is coming in parts may be missing.
            self._end_dump(self.state.dump.sequence, complete=False)
        self.dump()
        self._dump_ports()

    def _one_reply(self, reply: Reply) -> None:
        match reply:
            case FlowInfo():
                self._flow_info(reply)
            case NetlinkRefused():
                self._refused(reply.seq, reply.errno)
            case VportInfo():
                dump = self.state.port_dump
                if dump is not None and dump.sequence == reply.seq:
                    dump.take(reply)
                else:
                    self.ports.described(reply)
            case Acknowledged():
                self.ports.acknowledged(reply.seq)
            case Done():
                self._end_dump(reply.seq, complete=True)
                self._end_port_dump(reply.seq)
            case Notification():
                self._notified(reply)
            case _:
                self.count("unexpected replies")

    def _notified(self, notification: Notification) -> None:
        """Hear of a port that went away by itself, with its device or by somebody else's hand."""
        info = notification.of
        if (
            isinstance(info, VportInfo)
            and info.cmd == c.OVS_VPORT_CMD_DEL
            and info.dp_ifindex == self.state.datapath
        ):
            self.count("ports vanished")
            self.send(DATAPATH_PORTS, PortVanished(info.name, DatapathPort(info.port_no)))

    def _flow_info(self, info: FlowInfo) -> None:
        state = self.state
        kind = kind_of(info.seq)
        if kind == KIND_DELETE:
            flow = flow_of(info.seq, state.next_flow)
            self.send(FLOW_CONTROLLER, FlowDeleted(flow, info.packets, info.bytes))
            return
        dump = state.dump
        if dump is None or info.seq != dump.sequence:
            self.count("late replies")
        elif not dump.take(info, state.epoch):
            self.count("dumped flows over the limit")

    def _end_dump(self, sequence: int, *, complete: bool) -> None:
        state = self.state
        dump = state.dump
        if dump is None or dump.sequence != sequence:
            return
        state.dump = None
        if not self.inherited.found(dump.foreign, complete=complete):
            for ufid in dump.foreign:
                self.count("foreign flows deleted")
                self.request(DeleteFlow(state.datapath, ufid=ufid))
        self.send(
            FLOW_CONTROLLER,
            FlowsDumped(tuple(dump.flows), len(dump.foreign), complete, dump.asked_at),
        )

    def _end_port_dump(self, sequence: int) -> None:
        dump = self.state.port_dump
        if dump is not None and dump.sequence == sequence:
            self.state.port_dump = None
            self.send(DATAPATH_PORTS, dump.complete())

    def _refused(self, sequence: int, errno: int) -> None:
        state = self.state
        kind = kind_of(sequence)
        if kind == KIND_CREATE:
            self.send(FLOW_CONTROLLER, FlowRefused(flow_of(sequence, state.next_flow), errno))
        elif kind == KIND_DELETE:
            if errno not in GONE:
                self.count("flow deletes refused")
                self.dump()
        elif kind == KIND_EXECUTE:
            self.count("packets refused")
        elif kind == KIND_REQUEST:
            if self.ports.refused(sequence, errno):
                return
            if state.dump is not None and state.dump.sequence == sequence:
                self._end_dump(sequence, complete=False)
            else:
                self.count("requests refused")

    def _time_out(self, at: Nanoseconds) -> None:
        state = self.state
        self.ports.time_out(at)
        if state.dump is not None and state.dump.deadline <= at:
            self._end_dump(state.dump.sequence, complete=False)
        if state.port_dump is not None and state.port_dump.deadline <= at:
            self._dump_ports()
        self.inherited.take_turn(at)
        self.set_timer()

    def set_timer(self) -> None:
        """Ask to be woken at the first deadline, which a later request must not put off."""
        state = self.state
        deadlines = [pending.deadline for pending in state.pending.values()]
        deadlines += [pending.deadline for pending in state.opening.values()]
        deadlines += [dump.deadline for dump in (state.dump, state.port_dump) if dump is not None]
        if state.inherited is not None:
            deadlines.append(state.inherited.expire_at)
        if deadlines:
            self.send(CLOCK, WakeMe(self.name, min(deadlines)))

    # --- the datapath's coming and going ------------------------------------------------------

    def _connected(self, message: DatapathConnected) -> None:
        state = self.state
        self._forget_requests()
        self.requests.discard()  # what has not been sent was for the datapath before
        state.connected = True
        state.families = Families(
            datapath=message.datapath_family,
            vport=message.vport_family,
            flow=message.flow_family,
            packet=message.packet_family,
        )
        state.datapath = message.datapath_index
        state.reply_pid = message.reply_pid
        state.upcall_pid = message.upcall_pid
        state.epoch = message.at
        reset = DatapathReset(message.at, connected=True)
        self.send(FLOW_CONTROLLER, reset)
        self.send(DATAPATH_PORTS, reset)
        if message.inherited:
            self.inherited.begin()
            self._dump_ports()

    def _lost(self, message: DatapathLost) -> None:
        self.count("datapaths lost")
        self._forget_requests()
        self.state.connected = False
        reset = DatapathReset(message.at, connected=False)
        self.send(FLOW_CONTROLLER, reset)
        self.send(DATAPATH_PORTS, reset)

    def _forget_requests(self) -> None:
        state = self.state
        state.pending.clear()
        state.opening.clear()
        state.upcall_pids.clear()
        state.dump = state.port_dump = state.inherited = None

    def count(self, what: str) -> None:
        """Count something that operators may want to know of."""
        self.state.counters[what] = self.state.counters.get(what, 0) + 1


_UFID = struct.Struct(">QQ").pack
