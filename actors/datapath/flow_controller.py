"""FlowController: makes flows of verdicts, and keeps the book of them.

Owns the flow table, where exterior ports are, and the recent invalidations. Receives verdicts,
tags to invalidate, and what the datapath says of flows. Sends flows and packets to the netlink
broker, and word to the owners of watched tags when flows begin or cease to depend on them.
"""

from typing import assert_never

from actors.datapath.flow_controller_state import (
    FlowControllerSnapshot,
    FlowControllerState,
    pack_state,
    unpack_state,
)
from actors.datapath.flow_table import Flow, FlowTable
from actors.datapath.flow_table_text import describe_counts, describe_flows
from actors.datapath.odp.actions import MAX_ACTIONS_LENGTH
from actors.datapath.odp.mask import mask_for, masked
from actors.datapath.outgoing import NETLINK_BROKER, Outlet
from actors.datapath.reachability import (
    Reach,
    reach,
    rewrite,
    take_active_rows,
    take_local_ports,
    take_peers,
)
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.lifetimes import LIFE_NONE
from actors.messages.flows import (
    DumpFlows,
    FlowRefused,
    FlowsDeleted,
    FlowsDumped,
    FlowStatistics,
    FlushFlows,
    InvalidateTags,
    LocalPortsChanged,
    TagHeld,
    TagReleased,
    TunnelPeersChanged,
    UnwatchTag,
    WatchTag,
)
from actors.messages.netlink import DatapathReset
from actors.messages.operator import Inspect, Inspected
from actors.messages.simulation import PacketContext, ParkedPacketFinished, Verdict
from actors.messages.tables import RowsChanged, SubscribeTable
from actors.messages.time import Tick, TurnEnded, WakeMe
from actors.messages.traces import TracedOutput, TraceEnded
from actors.state.tables import ACTIVE_TABLE
from actors.tracing.trace_bit import with_trace_bit
from actors.values import SECOND, ActorName, Nanoseconds, PortId, Tag

PACKET_WORKFLOW = ActorName("packet-workflow")
STATE_TABLES = ActorName("state-tables")
TRACE_BOOK = ActorName("trace-book")
CLOCK = ActorName("clock")

EXPIRY_INTERVAL = SECOND // 2
MOST_EXPIRED_AT_ONCE = 5_000
EEXIST = 17

ControllerMessage = (
    Verdict
    | InvalidateTags
    | WatchTag
    | UnwatchTag
    | FlowsDeleted
    | FlowRefused
    | FlowsDumped
    | RowsChanged
    | LocalPortsChanged
    | TunnelPeersChanged
    | DatapathReset
    | FlushFlows
    | TurnEnded
    | Tick
    | Inspect
)


class FlowController(LaneActor):
    """See the module."""

    State = FlowControllerState
    can_begin_afresh = False
    state: FlowControllerState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.host = host
        self.restored()

    def boot(self) -> None:
        """Ask where the ports of the network are."""
        self.send(STATE_TABLES, SubscribeTable(self.name, ACTIVE_TABLE))

    def snapshot_state(self) -> FlowControllerSnapshot:
        """Return the state with the flows packed."""
        return pack_state(self.state)

    def adopt_snapshot(self, data: bytes) -> None:
        """Take over what `snapshot_state` returned. Raises msgspec.DecodeError."""
        self.adopt_state(unpack_state(data))

    def restored(self) -> None:
        """Rebuild the indexes of the flow table."""
        self.table = FlowTable(self.state.flows)
        self.outlet = Outlet(self.lane, self.name, self.state.outgoing)
        self._ways: dict[PortId, Reach] = {}

    def on_receive(self, message: ControllerMessage) -> None:
        """Handle one message."""
        if type(message) is Verdict:
            self._complete(message.context)
            return
        match message:
            case InvalidateTags():
                self._invalidate(message.tags)
            case WatchTag():
                self.state.watched[message.tag] = message.owner
                if message.tag in self.table.by_tag:
                    self.send(message.owner, TagHeld(message.tag))
            case UnwatchTag():
                self.state.watched.pop(message.tag, None)
            case FlowsDeleted():
                self.state.counters.packets += message.packets
                self.state.counters.octets += message.octets
            case FlowRefused():
                self._refused(message)
            case FlowsDumped():
                self._compare(message)
            case RowsChanged():
                self._ports_moved(message)
            case LocalPortsChanged():
                self._reach_changed(take_local_ports(self.state.where, message))
            case TunnelPeersChanged():
                self._reach_changed(take_peers(self.state.where, message.peers))
            case DatapathReset():
                self._reset(message)
            case FlushFlows():
                self._release(self.table.clear())
                self.outlet.let_out()
                self.send(NETLINK_BROKER, message)
            case TurnEnded():
                self.outlet.let_out()
            case Tick():
                self._expire(message.at)
            case Inspect():
                self._inspect(message)
            case Verdict():
                raise AssertionError("handled above")
            case _:
                assert_never(message)

    # --- verdicts -----------------------------------------------------------------------------

    def _complete(self, context: PacketContext) -> None:
        """Install a flow if that may be, and let the packet go its way."""
        state = self.state
        current = context.key
        tags = context.tags
        parts: list[bytes] = []
        ways = self._ways
        from_tunnel = current.tunnel is not None
        for output in context.outputs:
            way = ways.get(output.port)
            if way is None:
                way = ways[output.port] = reach(state.where, output.port)
            tags += way.tags
            if way.actions is None or (from_tunnel and not way.local):
                state.counters.unreachable += 1
                continue
            headers = output.headers
            if headers is not current:
                parts.append(rewrite(current, headers))
                current = headers
            parts.append(way.actions)
        if not context.raw_key and self.lane.inputs in {context.number, context.resumed}:
            state.requests.note(context, self._way_to, self.lane.now)
        actions = b"".join(parts)
        if len(actions) > MAX_ACTIONS_LENGTH:
            self._execute_in_pieces(context)
            actions = b""
        elif context.lifetime != LIFE_NONE and state.connected:
            self._install(context, tags, actions)
        if actions:
            state.counters.executed += 1
            self._execute(context, actions)
        if context.trace:
            self._report(context)
        if context.resumed and context.raw_key:
            self.send(
                PACKET_WORKFLOW, ParkedPacketFinished(context.number, context.raw_key, actions)
            )

    def _execute(self, context: PacketContext, actions: bytes) -> None:
        """Let a packet go. Of packets that are followed, other hosts are told by the trace bit."""
        if context.trace:
            actions = with_trace_bit(actions)
        self.outlet.execute(context.raw_key, actions, context.frame)

    def _report(self, context: PacketContext) -> None:
        """Tell the trace book how a packet that is followed went on from here."""
        only_local = context.key.tunnel is not None
        outputs = []
        for output in context.outputs:
            way = self._ways[output.port]
            outputs.append(
                TracedOutput(output, way.actions if way.local or not only_local else None)
            )
        ended = TraceEnded(
            context.number, context.trace, context.key, context.reason, bool(context.resumed),
            tuple(outputs),
        )  # fmt: skip
        self.send(TRACE_BOOK, ended)

    def _execute_in_pieces(self, context: PacketContext) -> None:
        """Let a packet out by more ports than one flow's actions have room for; make no flow."""
        self.state.counters.in_pieces += 1
        current, actions = context.key, b""
        for output in context.outputs:
            way = self._ways[output.port].actions
            if way is None:
                continue
            step = rewrite(current, output.headers) + way
            if len(actions) + len(step) > MAX_ACTIONS_LENGTH:
                self._execute(context, actions)
                actions, step = b"", rewrite(context.key, output.headers) + way
            current = output.headers
            actions += step
        self._execute(context, actions)

    def _install(self, context: PacketContext, tags: tuple[Tag, ...], actions: bytes) -> None:
        state = self.state
        if context.resumed and self._is_stale(context, tags):
            state.counters.stale += 1
            return
        raw_key = context.raw_key
        mask = mask_for(raw_key, context.seen)
        identity = masked(raw_key, mask)
        table = self.table
        if table.has_match(identity):
            state.counters.duplicates += 1
            return
        if len(table.flows) >= self.host.most_flows:
            self._evict()
        number = state.next_flow
        state.next_flow = number + 1
        flow = Flow(
            number, context.lifetime, context.at if not context.resumed else self.lane.now,
            raw_key, mask, actions, tags, context.reason,
        )  # fmt: skip
        first = table.add(flow, identity)
        state.counters.installed += 1
        if first:
            watched = state.watched
            for tag in first:
                owner = watched.get(tag)
                if owner is not None:
                    self.send(owner, TagHeld(tag))
        self.outlet.install(number, raw_key, mask, actions)
        if not state.timer:
            state.timer = True
            self.send(CLOCK, WakeMe(self.name, Nanoseconds(self.lane.now + EXPIRY_INTERVAL)))

    def _is_stale(self, context: PacketContext, tags: tuple[Tag, ...]) -> bool:
        """Tell whether what a packet read before or after it waited has changed since it did."""
        recent, waited = self.state.recent, context.waited_tags
        return recent.since(context.number, tags[:waited]) or recent.since(
            context.resumed, tags[waited:]
        )

    def _evict(self) -> None:
        number = self.table.to_evict()
        if number is not None:
            self.state.counters.evicted += 1
            self._remove((number,))

    def _remove(self, numbers: tuple[int, ...]) -> None:
        """Remove flows from the book and the datapath."""
        if numbers:
            for number in numbers:
                self._release(self.table.remove(number))
            self.outlet.remove(numbers)

    def _release(self, tags: tuple[Tag, ...]) -> None:
        """Tell the owners of watched tags that no flow depends on them any more."""
        watched = self.state.watched
        if watched:
            for tag in tags:
                owner = watched.get(tag)
                if owner is not None:
                    self.send(owner, TagReleased(tag, self.lane.now))

    # --- invalidation and expiry --------------------------------------------------------------

    def _invalidate(self, tags: tuple[Tag, ...]) -> None:
        self.state.recent.add(self.lane.inputs, tags)
        numbers = self.table.tagged(tags)
        self.state.counters.invalidated += len(numbers)
        self._remove(numbers)

    def _expire(self, at: Nanoseconds) -> None:
        state = self.state
        numbers = self.table.expired(at, MOST_EXPIRED_AT_ONCE)
        state.counters.expired += len(numbers)
        self._remove(numbers)
        state.timer = bool(self.table.flows)
        if state.timer:
            self.send(CLOCK, WakeMe(self.name, Nanoseconds(at + EXPIRY_INTERVAL)))

    # --- what the datapath says ---------------------------------------------------------------

    def _refused(self, message: FlowRefused) -> None:
        """Forget a flow that the datapath did not take; there is nothing to delete."""
        counters = self.state.counters
        if message.errno == EEXIST:
            counters.duplicates += 1
        else:
            counters.refused += 1
        self.state.refusals[message.errno] = self.state.refusals.get(message.errno, 0) + 1
        self._release(self.table.remove(message.flow))

    def _compare(self, dump: FlowsDumped) -> None:
        """Answer who asked for flows; forget those that the datapath turned out not to have."""
        statistics = {flow.flow: flow for flow in dump.flows}
        if dump.complete:
            missing = [
                number
                for number, flow in self.table.flows.items()
                if number not in statistics and flow.made_at < dump.asked_at
            ]
            for number in missing:
                self.state.counters.lost += 1
                self._release(self.table.remove(number))
        # A deletion that never arrived: nobody else would ever remove those.
        self._remove(tuple(n for n in statistics if n not in self.table.flows))
        asking, self.state.inspecting = self.state.inspecting, []
        for inspect in asking:
            self._answer(inspect, statistics)

    def _reset(self, message: DatapathReset) -> None:
        """Begin with an empty datapath."""
        self.state.connected = message.connected
        self._release(self.table.clear())
        for inspect in self.state.inspecting:
            self._answer(inspect, {})
        self.state.inspecting = []

    # --- where ports are ----------------------------------------------------------------------

    def _ports_moved(self, message: RowsChanged) -> None:
        tags, malformed = take_active_rows(self.state.where, message.rows)
        self.state.counters.malformed_rows += malformed
        self._reach_changed(tags)

    def _reach_changed(self, tags: tuple[Tag, ...]) -> None:
        """Work ways out anew, and end the flows that took the old ones."""
        self._ways.clear()
        self._invalidate(tags)
        if self.state.requests.sent:
            for context in self.state.requests.take_moved(self._way_to, self.lane.now):
                self._complete(context)

    def _way_to(self, port: PortId) -> Reach:
        way = self._ways.get(port)
        if way is None:
            way = self._ways[port] = reach(self.state.where, port)
        return way

    # --- for people ---------------------------------------------------------------------------

    def _inspect(self, inspect: Inspect) -> None:
        if inspect.subject == "flows" and self.state.connected:
            self.state.inspecting.append(inspect)
            if len(self.state.inspecting) == 1:
                self.send(NETLINK_BROKER, DumpFlows())
            return
        self._answer(inspect, {})

    def _answer(self, inspect: Inspect, statistics: dict[int, FlowStatistics]) -> None:
        state = self.state
        if inspect.subject == "flows":
            body = describe_flows(state, statistics, inspect.at)
        else:
            body = describe_counts(state, len(self.table.by_tag))
        self.send(inspect.requester, Inspected(inspect.request, self.name, body))
