"""NetlinkBroker: the one way from the lane to the datapath, and the first to hear its answers.

Owns the sequence numbers and the requests in flight. Receives flows, packets and port requests,
encodes them in place into the edge's RequestBuffer. Flow creates and packet executes are
optimistic: no acknowledgement is asked for, only an error comes back. Flow deletes are echoed,
for their statistics. When replies were lost, it dumps flows and ports and brings both sides
together; what the datapath does by itself (a port's device is deleted) it hears as notifications.
"""

import errno
import struct
from typing import assert_never

from actors.datapath.broker_state import BrokerState
from actors.datapath.datapath_counters import DatapathCounters
from actors.datapath.dumps import Dumps, DumpState
from actors.datapath.inherited_flows import InheritedFlows
from actors.datapath.odp import constants as c
from actors.datapath.odp.deletions import count_deletions
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    Done,
    FamilyInfo,
    FlowInfo,
    NetlinkRefused,
    Notification,
    Reply,
    VportInfo,
)
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    DeleteFlow,
    Encodable,
    encode_request,
)
from actors.datapath.port_requests import ENODEV, GONE, PortRequests
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from actors.datapath.sequence import (
    KIND_CREATE,
    KIND_DELETE,
    KIND_EXECUTE,
    NUMBER_MASK,
    flow_of,
    kind_of,
)
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import (
    DumpFlows,
    ExecutePackets,
    FlowRefused,
    FlowsDeleted,
    FlushFlows,
    InstallFlows,
    RemoveFlows,
)
from actors.messages.netlink import (
    AddPort,
    AddTunnelPort,
    DatapathConnected,
    DatapathGone,
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
from actors.messages.operator import Inspect
from actors.messages.time import Tick, WakeMe
from actors.values import ActorName, DatapathPort, Nanoseconds

FLOW_CONTROLLER = ActorName("flow-controller")
DATAPATH_PORTS = ActorName("datapath-ports")
CLOCK = ActorName("clock")

_NEEDS_DATAPATH = frozenset({KIND_CREATE, KIND_DELETE, KIND_EXECUTE})
"""Requests for which ENODEV means that there is no datapath, whatever else is missing."""

METADATA_ONLY = struct.pack("=HHI", 8, c.OVS_KEY_ATTR_PRIORITY, 0)
"""The key of a packet that entered by no port: the datapath reads its headers off the frame."""

FromDatapath = (
    NetlinkRepliesLost | NetlinkSendFailed | UpcallsOpened | DatapathConnected | DatapathLost
)
BrokerMessage = (
    InstallFlows
    | ExecutePackets
    | RemoveFlows
    | NetlinkReplied
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
        self.dumps = Dumps(self)
        self.inherited = InheritedFlows(self)
        self.far_counters = DatapathCounters(self)
        self._writer: RequestWriter | None = None

    def restored(self) -> None:
        """Make the writer of the datapath that the state tells of."""
        state = self.state
        self.ports.restored()
        self._writer = None
        if state.connected:
            self._writer = RequestWriter(
                self.requests,
                state.families,
                state.datapath,
                state.epoch,
                self.journal.append_netlink,
            )

    def on_receive(self, message: BrokerMessage) -> None:
        """Handle one message."""
        if type(message) is ExecutePackets:
            self._execute(message)
            return
        if type(message) is InstallFlows:
            self._install(message)
            return
        if type(message) is RemoveFlows:
            if self._writer is not None:
                self._writer.flow_deletes(message.flows)
            return
        if type(message) is NetlinkReplied:
            self._replied(message)
            return
        match message:
            case AddPort() | AddTunnelPort():
                self.ports.add(message)
            case RemovePort():
                self.ports.remove(message)
            case ExpireInherited():
                self.inherited.expire()
            case DumpFlows():
                self.dumps.ask_flows_now()
            case FlushFlows():
                if self.state.connected:
                    self.request(DeleteFlow(self.state.datapath))
            case Tick():
                self._time_out(message.at)
            case Inspect():
                self.far_counters.ask(message)
            case InstallFlows() | ExecutePackets() | RemoveFlows() | NetlinkReplied():
                raise AssertionError("handled above")
            case _:
                self._on_datapath(message)

    def _on_datapath(self, message: FromDatapath) -> None:
        """Handle what the edge says of the datapath."""
        match message:
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

    def _install(self, message: InstallFlows) -> None:
        writer = self._writer
        if writer is None:
            return
        flows = message.flows
        if writer.flow_creates(flows, message.raw_keys, message.mask, message.actions):
            self.state.next_flow = max(self.state.next_flow, flows[-1] + 1)
            return
        for flow in flows:
            self.send(FLOW_CONTROLLER, FlowRefused(flow, errno.EMSGSIZE))

    def _execute(self, message: ExecutePackets) -> None:
        writer, frames = self._writer, message.frames
        if writer is None:
            self.count("packets without a datapath", len(frames))
            return
        state = self.state
        first = state.next_execute
        state.next_execute = first + len(frames)
        keys = message.raw_keys
        if b"" in keys:
            keys = tuple(key or METADATA_ONLY for key in keys)
        refused = writer.packet_executes(first, keys, message.actions, frames)
        if refused:
            self.count("packets too large", refused)

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

    # --- replies ------------------------------------------------------------------------------

    def _replied(self, message: NetlinkReplied) -> None:
        state, datagram = self.state, message.datagram
        gone = count_deletions(datagram, state.families.flow, state.reply_pid)
        if gone.flows:
            self.send(FLOW_CONTROLLER, FlowsDeleted(gone.flows, gone.packets, gone.octets))
        if gone.end < len(datagram):
            self._other_replies(datagram[gone.end :])

    def _other_replies(self, datagram: bytes) -> None:
        try:
            replies = decode_replies(datagram, self.state.families, self.state.reply_pid)
        except OdpError:
            self.count("malformed replies")
            return
        deleted = packets = octets = 0
        for reply in replies:
            if type(reply) is not FlowInfo:
                self._one_reply(reply)
            elif kind_of(reply.seq) == KIND_DELETE:
                deleted += 1
                packets += reply.packets
                octets += reply.bytes
            elif not self.dumps.take_flow(reply):
                self.count("late replies")
        if deleted:
            self.send(FLOW_CONTROLLER, FlowsDeleted(deleted, packets, octets))

    def _replies_lost(self) -> None:
        self.count("replies lost")
        self.dumps.ask_again()

    def _one_reply(self, reply: Reply) -> None:
        match reply:
            case NetlinkRefused():
                self._refused(reply.seq, reply.errno)
            case VportInfo():
                if not self.dumps.take_port(reply):
                    self.ports.described(reply)
            case Acknowledged():
                self.ports.acknowledged(reply.seq)
            case Done():
                self.dumps.done(reply.seq)
            case DatapathInfo():
                self.far_counters.told(reply)
            case Notification():
                self._notified(reply)
            case _:
                self.count("unexpected replies")

    def _notified(self, notification: Notification) -> None:
        """Hear of what went away by itself, with its device or by somebody else's hand."""
        info = notification.of
        if isinstance(info, FamilyInfo) or info.dp_ifindex != self.state.datapath:
            return
        if isinstance(info, DatapathInfo) and info.cmd == c.OVS_DP_CMD_DEL:
            self._datapath_gone()
        elif isinstance(info, VportInfo) and info.cmd == c.OVS_VPORT_CMD_DEL:
            self.count("ports vanished")
            self.send(DATAPATH_PORTS, PortVanished(info.name, DatapathPort(info.port_no)))

    def _refused(self, sequence: int, error: int) -> None:
        state = self.state
        kind = kind_of(sequence)
        if error == ENODEV and (kind in _NEEDS_DATAPATH or self.dumps.has(sequence)):
            self._datapath_gone()
        elif kind == KIND_CREATE:
            self.send(FLOW_CONTROLLER, FlowRefused(flow_of(sequence, state.next_flow), error))
        elif kind == KIND_DELETE:
            if error not in GONE:
                self.count("flow deletes refused")
                self.dumps.ask_flows()
        elif kind == KIND_EXECUTE:
            self.count("packets refused")
        elif not (
            self.ports.refused(sequence, error)
            or self.dumps.refused(sequence)
            or self.far_counters.refused(sequence)
        ):
            self.count("requests refused")

    def _time_out(self, at: Nanoseconds) -> None:
        self.ports.time_out(at)
        self.dumps.time_out(at)
        self.inherited.take_turn(at)
        self.far_counters.time_out(at)
        self.set_timer()

    def set_timer(self) -> None:
        """Ask to be woken at the first deadline, which a later request must not put off."""
        state = self.state
        ours = self.ports.deadline, self.dumps.deadline
        deadlines = [deadline for deadline in ours if deadline is not None]
        if state.inherited is not None:
            deadlines.append(state.inherited.expire_at)
        if state.asked is not None:
            deadlines.append(state.asked.deadline)
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
        self._tell_of_reset(message.at)
        if message.inherited:
            self.inherited.begin()
            self.dumps.ask_ports()

    def _datapath_gone(self) -> None:
        """Have the datapath set up again that somebody deleted; its index is never used again."""
        if self.state.connected:
            self.count("datapaths deleted by others")
            self._disconnect(self.lane.now)
            self.emit(DatapathGone())

    def _lost(self, message: DatapathLost) -> None:
        self.count("datapaths lost")
        self._disconnect(message.at)

    def _disconnect(self, at: Nanoseconds) -> None:
        self._forget_requests()
        self.state.connected = False
        self._tell_of_reset(at)

    def _tell_of_reset(self, at: Nanoseconds) -> None:
        self.restored()
        reset = DatapathReset(at, connected=self.state.connected)
        self.send(FLOW_CONTROLLER, reset)
        self.send(DATAPATH_PORTS, reset)

    def _forget_requests(self) -> None:
        state = self.state
        state.pending.clear()
        state.opening.clear()
        state.upcall_pids.clear()
        state.dumps = DumpState()
        state.inherited = None
        self.far_counters.give_up()

    def count(self, what: str, times: int = 1) -> None:
        """Count something that operators may want to know of."""
        self.state.counters[what] = self.state.counters.get(what, 0) + times
