"""PacketWorkflow: where a packet's way through the actors begins.

Owns which virtual port a datapath port is, and the duplicates of packets that wait. Receives
upcalls (`PacketIn`) and frames that devices made (`SendFrame`). Sends each packet to its first
device; a packet out of a tunnel straight to the flow controller, since its key says where it goes.
"""

from typing import assert_never

import msgspec

from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key
from actors.devices.parked_frames import cut_frame
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.lifetimes import LIFE_ERROR, LIFE_NONE, LIFE_PLAIN, LIFE_TUNNEL
from actors.messages.flow_state import FlowStateReceived
from actors.messages.flows import (
    InvalidateTags,
    LocalPort,
    LocalPortsChanged,
    TunnelPeersChanged,
    executions,
)
from actors.messages.operator import Inspect, Inspected
from actors.messages.packet_in import PacketIn
from actors.messages.simulation import (
    Hop,
    PacketContext,
    PacketParked,
    ParkedPacketFinished,
    PortOutput,
    SendFrame,
    Verdict,
)
from actors.messages.time import Tick, WakeMe
from actors.messages.traces import BROUGHT_BY_TUNNEL, ActiveTrace, PacketTraced, TracesChanged
from actors.packets.errors import PacketError
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import SEEN_TUNNEL_ENDPOINTS, FlowKey, TunnelKey
from actors.tags import datapath_port_tag, reach_tag, tunnel_key_tag, underlay_tag
from actors.tracing.matching import fields_of, is_meant
from actors.tunnel_key import FLOW_STATE_KEY, PORT_MASK, TRACE_BIT, egress_port_of
from actors.values import SECOND, ActorName, IpAddress, Nanoseconds, PortId, Tag

FLOW_CONTROLLER = ActorName("flow-controller")
NETLINK_BROKER = ActorName("netlink-broker")
REPLICATOR = ActorName("flow-state-replicator")
CLOCK = ActorName("clock")
TRACE_BOOK = ActorName("trace-book")

MOST_HELD_PER_PACKET = 32
"""Duplicates that are held for one packet that waits; more are dropped and counted."""

MOST_HELD = 4_096
"""Duplicates held in all."""

HOLD_TIME = 10 * SECOND
"""Duplicates of a packet of which nothing was heard for so long are dropped."""

NO_PORT = PortId("")

WorkflowMessage = (
    PacketIn
    | SendFrame
    | PacketParked
    | ParkedPacketFinished
    | LocalPortsChanged
    | TunnelPeersChanged
    | TracesChanged
    | Tick
    | Inspect
)


class Held(msgspec.Struct):
    """The duplicates of a packet that waits."""

    number: int
    since: Nanoseconds
    frames: list[bytes] = msgspec.field(default_factory=list)


class WorkflowState(msgspec.Struct):
    """All that the packet workflow knows."""

    ports: dict[int, LocalPort] = msgspec.field(default_factory=dict)
    """By datapath port number."""
    keys: dict[int, LocalPort] = msgspec.field(default_factory=dict)
    """By tunnel key number."""
    peers: dict[IpAddress, str] = msgspec.field(default_factory=dict)
    """Underlay addresses of the hosts of shared tunnel zones: only they are believed."""
    traces: tuple[ActiveTrace, ...] = ()
    """What operators want to be followed."""
    held: dict[bytes, Held] = msgspec.field(default_factory=dict)
    held_frames: int = 0
    now: Nanoseconds = Nanoseconds(0)
    packets: int = 0
    from_tunnel: int = 0
    generated: int = 0
    simulated: int = 0
    """Packets that entered a device here, out of the datapath."""
    waited_topology: int = 0
    """Of these, those that waited for a device to be loaded, before anything else."""
    waited_arp: int = 0
    """Of these, those that waited for a neighbour's MAC, before anything else."""
    drops: dict[str, int] = msgspec.field(default_factory=dict)


class PacketWorkflow(LaneActor):
    """See the module."""

    State = WorkflowState
    can_begin_afresh = False
    state: WorkflowState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.host = host
        self._ingress_tags: dict[int, tuple[Tag, ...]] = {}

    def snapshot_state(self) -> WorkflowState:
        """Cut the frames that are held."""
        limit, replace = self.host.frame_limit, msgspec.structs.replace
        held = {
            key: replace(each, frames=[cut_frame(frame, limit) for frame in each.frames])
            for key, each in self.state.held.items()
        }
        return replace(self.state, held=held)

    def restored(self) -> None:
        """Make the tags of the ports anew."""
        self._ingress_tags = {
            number: (reach_tag(port.port),) for number, port in self.state.ports.items()
        }

    def on_receive(self, message: WorkflowMessage) -> None:
        """Handle one message."""
        if type(message) is PacketIn:
            self._packet_in(message)
            return
        match message:
            case SendFrame():
                self._send_frame(message)
            case PacketParked():
                self._hold_duplicates(message)
            case ParkedPacketFinished():
                self._release_duplicates(message)
            case LocalPortsChanged():
                self._take_local_ports(message)
            case TunnelPeersChanged():
                self.state.peers = {peer.remote: peer.host_name for peer in message.peers}
            case TracesChanged():
                self._look_out_for(message.traces)
            case Tick():
                self._forget_old_holds(message.at)
            case Inspect():
                self.send(
                    message.requester, Inspected(message.request, self.name, self._describe())
                )
            case PacketIn():
                raise AssertionError("handled above")
            case _:
                assert_never(message)

    def _take_local_ports(self, changed: LocalPortsChanged) -> None:
        ports, keys = self.state.ports, self.state.keys
        for port in changed.gone:
            if ports.get(port.number) == port:
                del ports[port.number], self._ingress_tags[port.number]
            if keys.get(port.tunnel_key) == port:
                del keys[port.tunnel_key]
        for port in changed.plugged:
            ports[int(port.number)] = port
            keys[port.tunnel_key] = port
            self._ingress_tags[port.number] = (reach_tag(port.port),)

    # --- packets ------------------------------------------------------------------------------

    def _packet_in(self, packet: PacketIn) -> None:
        state = self.state
        state.packets += 1
        raw_key = packet.raw_key
        if state.held and not state.traces and self._is_duplicate(packet):
            return
        try:
            key = decode_key(raw_key)
        except OdpError:
            self._count("malformed key")
            return
        if key.tunnel is not None:
            self._from_tunnel(packet, key)
            return
        port = state.ports.get(key.in_port)
        if port is None:
            self.send(FLOW_CONTROLLER, Verdict(self._ended(packet, key, "no virtual port")))
            return
        trace = seen = 0
        if state.traces:
            trace, seen = self._trace(packet, key, port.port)
            # Each packet that is followed has a record: none stands for its duplicates.
            if not trace and self._is_duplicate(packet):
                return
        context = PacketContext(
            self.lane.inputs, packet.at, raw_key, key, key, packet.frame, port.port, seen,
            self._ingress_tags[key.in_port], (), (), 0, 1,
            LIFE_NONE if trace or packet.by_action else LIFE_PLAIN, trace=trace,
        )  # fmt: skip
        state.simulated += 1
        self.send(port.device, Hop(context, port.port))

    def _from_tunnel(self, packet: PacketIn, key: FlowKey) -> None:
        """Act on a tunnel key: nothing is simulated at the egress host."""
        state = self.state
        state.from_tunnel += 1
        tunnel = key.tunnel
        assert tunnel is not None  # noqa: S101 - checked by the caller
        traced = _has_trace_bit(tunnel)
        if traced:
            self._follow(packet, key, BROUGHT_BY_TUNNEL, NO_PORT)
        if tunnel.src not in state.peers:
            # A short drop flow, traced or not: strangers cannot fill the book.
            self.send(FLOW_CONTROLLER, Verdict(self._ended(packet, key, "unknown tunnel peer")))
            return
        if tunnel.tun_id == FLOW_STATE_KEY:
            self.send(REPLICATOR, FlowStateReceived(packet.at, tunnel.src, packet.frame))
            return
        number = egress_port_of(tunnel.tun_id & ~TRACE_BIT)
        port = None if number is None else state.keys.get(number)
        if port is None:
            reason = "unknown tunnel key" if number is None else "tunnel key of no port here"
            ended = self._ended(packet, key, reason, LIFE_NONE if traced else LIFE_ERROR)
            self.send(FLOW_CONTROLLER, Verdict(ended))
            return
        lifetime = LIFE_NONE if traced or packet.by_action else LIFE_TUNNEL
        context = PacketContext(
            self.lane.inputs, packet.at, packet.raw_key, key, key, packet.frame, NO_PORT,
            SEEN_TUNNEL_ENDPOINTS,
            (tunnel_key_tag(port.tunnel_key), underlay_tag(tunnel.src)),
            (PortOutput(port.port, key),), (), 0, 0, lifetime,
            trace=BROUGHT_BY_TUNNEL if traced else 0,
        )  # fmt: skip
        self.send(FLOW_CONTROLLER, Verdict(context))

    def _ended(
        self, packet: PacketIn, key: FlowKey, reason: str, lifetime: int = LIFE_ERROR
    ) -> PacketContext:
        """Return the context of a packet that goes nowhere: a short drop flow comes of it."""
        self._count(reason)
        trace = 0
        if key.tunnel is None:
            tags: tuple[Tag, ...] = (datapath_port_tag(key.in_port),)
            seen = 0
        else:
            trace = BROUGHT_BY_TUNNEL if _has_trace_bit(key.tunnel) else 0
            number = tunnel_key_tag(key.tunnel.tun_id & PORT_MASK)
            tags = (number, underlay_tag(key.tunnel.src))
            seen = SEEN_TUNNEL_ENDPOINTS
        return PacketContext(
            self.lane.inputs, packet.at, packet.raw_key, key, key, packet.frame, NO_PORT, seen,
            tags, (), (), 0, 0, lifetime, reason, trace=trace,
        )  # fmt: skip

    def _send_frame(self, message: SendFrame) -> None:
        """Start a packet that a device made: it leaves that device by one of its ports."""
        self.state.generated += 1
        try:
            key = flow_key_of(message.frame, 0)
        except PacketError:
            self._count("malformed generated frame")
            return
        interior = message.device is not None and message.far_port is not None
        context = PacketContext(
            self.lane.inputs, message.at, b"", key, key, message.frame, NO_PORT, 0, (),
            () if interior else (PortOutput(message.port, key),), (), message.depth,
            1 if interior else 0, LIFE_NONE,
        )  # fmt: skip
        if message.device is not None and message.far_port is not None:
            self.send(message.device, Hop(context, message.far_port))
        else:
            self.send(FLOW_CONTROLLER, Verdict(context))

    # --- packets that are followed ------------------------------------------------------------

    def _look_out_for(self, traces: tuple[ActiveTrace, ...]) -> None:
        """Take in the active requests, and let packets of the ports of new ones come up again."""
        state = self.state
        known = {each.id for each in state.traces}
        state.traces = traces
        new = [each.match.port for each in traces if each.id not in known]
        stale = [
            reach_tag(port.port) for port in state.ports.values() if None in new or port.port in new
        ]
        if stale:
            self.send(FLOW_CONTROLLER, InvalidateTags(tuple(stale)))

    def _trace(self, packet: PacketIn, key: FlowKey, port: PortId) -> tuple[int, int]:
        """Return the request that wants the packet followed, 0 if none, and what that is read of."""
        seen = 0
        for each in self.state.traces:
            if each.match.port not in {None, port} or packet.at >= each.until:
                continue
            if is_meant(each.match, key):
                self._follow(packet, key, each.id, port)
                return each.id, seen
            seen |= fields_of(each.match)
        return 0, seen

    def _follow(self, packet: PacketIn, key: FlowKey, trace: int, port: PortId) -> None:
        tunnel = key.tunnel
        peer = "" if tunnel is None else self.state.peers.get(tunnel.src, "")
        begins = PacketTraced(
            self.lane.inputs, packet.at, trace, port, peer, key, packet.raw_key, packet.frame
        )
        self.send(TRACE_BOOK, begins)

    # --- duplicates ---------------------------------------------------------------------------

    def _hold_duplicates(self, message: PacketParked) -> None:
        state = self.state
        if not message.raw_key:
            return
        if message.waits_for == "arp":
            state.waited_arp += 1
        else:
            state.waited_topology += 1
        if message.raw_key in state.held:
            return
        if not state.held:
            self.send(CLOCK, WakeMe(self.name, Nanoseconds(self.lane.now + HOLD_TIME)))
        state.held[message.raw_key] = Held(message.number, self.lane.now)

    def _is_duplicate(self, packet: PacketIn) -> bool:
        """Hold a packet, if one just like it waits."""
        held = self.state.held.get(packet.raw_key)
        if held is None:
            return False
        self._hold(held, packet.frame)
        return True

    def _hold(self, held: Held, frame: bytes) -> None:
        state = self.state
        if len(held.frames) >= MOST_HELD_PER_PACKET or state.held_frames >= MOST_HELD:
            self._count("too many duplicates held")
            return
        held.frames.append(frame)
        state.held_frames += 1

    def _release_duplicates(self, message: ParkedPacketFinished) -> None:
        state = self.state
        held = state.held.get(message.raw_key)
        if held is None or held.number != message.number:
            return
        del state.held[message.raw_key]
        state.held_frames -= len(held.frames)
        if not message.actions:
            for _ in held.frames:
                self._count("duplicate of a dropped packet")
            return
        self.send(NETLINK_BROKER, executions(message.raw_key, message.actions, held.frames))

    def _forget_old_holds(self, at: Nanoseconds) -> None:
        state = self.state
        for raw_key, held in list(state.held.items()):
            if at - held.since >= HOLD_TIME:
                del state.held[raw_key]
                state.held_frames -= len(held.frames)
                self._count("held too long")
        if state.held:
            self.send(CLOCK, WakeMe(self.name, Nanoseconds(at + SECOND)))

    # --- for people ---------------------------------------------------------------------------

    def _count(self, reason: str) -> None:
        self.state.drops[reason] = self.state.drops.get(reason, 0) + 1

    def _describe(self) -> bytes:
        state = self.state
        return msgspec.json.encode(
            {
                "packets": state.packets,
                "from_tunnel": state.from_tunnel,
                "generated": state.generated,
                "simulated": state.simulated,
                "waited_topology": state.waited_topology,
                "waited_arp": state.waited_arp,
                "held": state.held_frames,
                "drops": state.drops,
            }
        )


def _has_trace_bit(tunnel: TunnelKey) -> bool:
    """Tell whether a packet from a tunnel is to be recorded; all ones is flow state, not a trace."""
    return bool(tunnel.tun_id & TRACE_BIT) and tunnel.tun_id != FLOW_STATE_KEY
