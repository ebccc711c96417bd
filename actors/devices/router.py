"""Router: a virtual router, one actor a router.

Owns its routes, an ARP table per port, and the packets that wait for a MAC. Receives packets
(`Hop`), its configuration, rows of the shared ARP tables, and which of its exterior ports some host
has active: routes by the others are not in use. Sends packets on, frames of its own (ARP, ICMP),
rows it learned, and tags to invalidate. Decides in router_forwarding.py.
"""

from typing import Any, assert_never

import msgspec

from actors.devices import router_forwarding
from actors.devices.arp_entries import ArpEntry, ArpTables, Resolution
from actors.devices.arp_resolution import ArpResolution
from actors.devices.hop_trace import hop_traced
from actors.devices.icmp_budget import IcmpBudget
from actors.devices.idleness import Idleness
from actors.devices.outcome import (
    FLOW_CONTROLLER,
    Consumed,
    Dropped,
    Emitted,
    Forwarded,
    after_branch,
    consume,
    drop,
)
from actors.devices.parked_frames import cut_hops
from actors.devices.port_activity import PortActivity
from actors.devices.port_text import describe_port
from actors.devices.router_forwarding import (
    SEEN_BY_ICMP_RULES,
    Answered,
    NeedsMac,
    Noted,
    Rejected,
)
from actors.devices.router_view import RouterPort, RouterView, changed_tags, view_of
from actors.devices.routing_table import RouteEntry, changed_route_tags
from actors.devices.waiting_room import WaitingRoom
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.lifetimes import LIFE_ERROR
from actors.messages.flows import InvalidateTags, PortPluggedIn, TagHeld, TagReleased
from actors.messages.operator import Inspect, Inspected
from actors.messages.simulation import Hop, PacketContext, SendFrame
from actors.messages.tables import RowsChanged, SubscribeTable, UnsubscribeTable
from actors.messages.time import Tick
from actors.messages.topology import Configured, Subscribe, Unsubscribe
from actors.packets.arp import gratuitous_arp
from actors.packets.icmp import icmp_error, may_answer_with_error
from actors.packets.rewrite import frame_with
from actors.state.tables import ACTIVE_TABLE, arp_table
from actors.state.topology import Router
from actors.tags import device_tag
from actors.values import ActorName, DeviceId, Nanoseconds, PortId, Tag, format_ip, format_mac

PACKET_WORKFLOW = ActorName("packet-workflow")
STATE_TABLES = ActorName("state-tables")
TOPOLOGY_WATCHER = ActorName("topology-watcher")

RouterMessage = (
    Hop | RowsChanged | TagHeld | TagReleased | Tick | Configured | PortPluggedIn | Inspect
)


class RouterState(msgspec.Struct):
    """All that a router's actor knows."""

    config: Router | None = None
    known: bool = False
    """Whether the store has answered, about the exterior ports too; until then packets wait."""
    active: dict[PortId, bool] = msgspec.field(default_factory=dict)
    """Of the exterior ports that were told of: whether some host has them active."""
    arp: ArpTables = msgspec.field(default_factory=dict)
    resolutions: dict[str, Resolution] = msgspec.field(default_factory=dict)
    parked: int = 0
    icmp: IcmpBudget = msgspec.field(default_factory=lambda: IcmpBudget(50))
    to_announce: list[PortId] = msgspec.field(default_factory=list)
    waiting: list[Hop] = msgspec.field(default_factory=list)
    waiting_since: Nanoseconds = Nanoseconds(0)
    used_at: Nanoseconds = Nanoseconds(0)
    in_flows: bool = False
    wakes_at: Nanoseconds = Nanoseconds(0)
    drops: dict[str, int] = msgspec.field(default_factory=dict)


class RouterActor(LaneActor):
    """See the module."""

    State = RouterState
    state: RouterState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.id = DeviceId(name.partition("/")[2])
        self.host = host
        self.view: RouterView | None = None
        self.resolution = ArpResolution(self)
        self.activity = PortActivity(self)

    def boot(self) -> None:
        """Ask for the configuration; the ARP tables follow from its ports."""
        self.send(TOPOLOGY_WATCHER, Subscribe(self.name, "router", self.id))
        Idleness.begin(self)

    def in_hand(self) -> bool:
        """Tell whether packets or announcements wait, or other hosts use what was learned here."""
        state = self.state
        return bool(
            state.waiting or state.resolutions or state.to_announce or self.resolution.owns_any()
        )

    def unsubscribe(self) -> None:
        """Want to know no more of the configuration, the ARP tables and the ports' activity."""
        config = self.state.config
        self.send(TOPOLOGY_WATCHER, Unsubscribe(self.name, "router", self.id))
        for port in () if config is None else config.ports:
            self.send(STATE_TABLES, UnsubscribeTable(self.name, arp_table(port.id)))
        self.activity.follow(config, None)
        self.resolution.unwatch_all()

    def snapshot_state(self) -> RouterState:
        """Cut the frames that wait."""
        limit, replace = self.host.frame_limit, msgspec.structs.replace
        return replace(
            self.state,
            waiting=cut_hops(self.state.waiting, limit),
            resolutions={
                name: replace(resolution, waiting=cut_hops(resolution.waiting, limit))
                for name, resolution in self.state.resolutions.items()
            },
        )

    def restored(self) -> None:
        """Rebuild the view of the configuration."""
        state = self.state
        config = state.config if state.known else None
        self.view = None if config is None else view_of(config, self.activity.active)

    def on_receive(self, message: RouterMessage) -> None:
        """Handle one message."""
        match message:
            case Hop():
                self._simulate(message)
            case RowsChanged():
                if message.table == ACTIVE_TABLE:
                    self.activity.changed(message)
                else:
                    self.resolution.merge_rows(message)
            case TagHeld():
                self._flows_use(message.tag, at=None)
            case TagReleased():
                self._flows_use(message.tag, at=message.at)
            case Tick():
                self.resolution.tick(message.at)
                Idleness.end_if_idle(self, message.at)
            case Configured():
                self._configure(message)
            case PortPluggedIn():
                self.state.to_announce.append(message.port.port)
                self._announce(message.at)
            case Inspect():
                self.send(
                    message.requester,
                    Inspected(message.request, self.name, self._describe(message.subject)),
                )
            case _:
                assert_never(message)

    # --- packets ------------------------------------------------------------------------------

    def _simulate(self, hop: Hop) -> None:
        self.state.used_at = hop.context.at
        view = self.view
        if view is None:
            if self.state.known:
                WaitingRoom.refuse(self, hop, "no such router", device_tag(self.id))
            else:
                WaitingRoom.admit(self, hop)
            return
        outcome = router_forwarding.decide(view, self.state.arp, hop.context, hop.port)
        if hop.context.trace:
            self.send(*hop_traced(self.name, hop, outcome))
        match outcome:
            case Forwarded():
                self.send(outcome.device, Hop(outcome.context, outcome.port))
            case Emitted():
                self.send(*after_branch(outcome.context))
            case Dropped():
                self._dropped(outcome.context)
            case Answered():
                if outcome.learned is not None:
                    self.resolution.learn(outcome.learned, outcome.context.at)
                self.send_frame(view.ports[hop.port], outcome.frame, outcome.context.at)
                self._consumed(outcome.context)
            case Noted():
                self.resolution.learn(outcome.learned, outcome.context.at)
                self._consumed(outcome.context)
            case Rejected():
                self._reject(outcome, hop.port)
            case NeedsMac():
                self.resolution.park(outcome, hop)
            case Consumed():
                self.count(outcome.context.reason)
                self.send(*after_branch(outcome.context))
            case _:
                assert_never(outcome)

    def _dropped(self, context: PacketContext) -> None:
        self.count(context.reason)
        self.send(*after_branch(context))

    def _consumed(self, context: PacketContext) -> None:
        self.send(*after_branch(consume(context, context.reason).context))

    def _reject(self, outcome: Rejected, port_id: PortId) -> None:
        """Tell the sender, if that is allowed and has not been done too often."""
        context = outcome.context
        self.count(context.reason)
        if self.tell_sender(context, port_id, outcome.icmp_type, outcome.icmp_code):
            self.send(*after_branch(consume(context, context.reason).context))
        else:
            seen = context.seen | SEEN_BY_ICMP_RULES
            ended = drop(context, seen, context.tags, context.reason, LIFE_ERROR)
            self.send(*after_branch(ended.context))

    def tell_sender(
        self, context: PacketContext, port_id: PortId, icmp_type: int, icmp_code: int, rest: int = 0
    ) -> bool:
        """Send an ICMP error about a packet back by its port of entry; False if that may not be."""
        view = self.view
        port = None if view is None else view.ports.get(port_id)
        if port is None:
            return False
        frame = frame_with(context.frame, context.key, context.headers)
        if not may_answer_with_error(frame, context.headers):
            return False
        if not self.state.icmp.take(context.at, self.host.icmp_burst):
            self.count("ICMP error not sent: too many")
            return False
        error = icmp_error(
            frame,
            icmp_type,
            icmp_code,
            port.mac,
            context.headers.eth_src,
            port.interface.address,
            rest,
        )
        self.send_frame(port, error, context.at)
        return True

    def send_frame(self, port: RouterPort, frame: bytes, at: Nanoseconds) -> None:
        """Let a frame of the router's own leave by one of its ports."""
        self.send(PACKET_WORKFLOW, SendFrame(at, port.id, frame, port.peer_device, port.peer_port))

    def _flows_use(self, tag: Tag, *, at: Nanoseconds | None) -> None:
        """Note that flows depend on what a tag stands for (`at` is None), or none has since."""
        if tag.startswith("device:"):
            Idleness.flows_use(self, at=at)
        else:
            self.resolution.flows_use(tag, held=at is None)

    # --- configuration ------------------------------------------------------------------------

    def _configure(self, message: Configured) -> None:
        state = self.state
        new = message.config if isinstance(message.config, Router) else None
        old, routes = state.config, self.routes()
        state.config = new
        self.activity.follow(old, new)
        was_known = state.known
        state.known = self.activity.all_told or (state.known and old is not None)
        self.restored()
        if old is None or new is None or state.known != was_known:
            tags: tuple[Any, ...] = (device_tag(self.id),)
        else:
            tags = changed_tags(old, new, routes, self.routes())
        if tags:
            self.send(FLOW_CONTROLLER, InvalidateTags(tags))
        before = {} if old is None else {port.id: port for port in old.ports}
        after = {} if new is None else {port.id: port for port in new.ports}
        for port_id, port in before.items():
            there = after.get(port_id)
            if there is None or there.address != port.address:
                self.resolution.forget_port(port_id)
            if there is None:
                self.send(STATE_TABLES, UnsubscribeTable(self.name, arp_table(port_id)))
        for port_id in after:
            if port_id not in before:
                self.send(STATE_TABLES, SubscribeTable(self.name, arp_table(port_id)))
        if state.known:
            self.resolution.retry()
            WaitingRoom.release(self)
            self._announce(message.at)

    def routes(self) -> tuple[RouteEntry, ...]:
        """Return the routes that are in use."""
        return () if self.view is None else self.view.routes.entries

    def begin(self, at: Nanoseconds) -> None:
        """Go to work: all that was waited for is known."""
        self.state.known = True
        self.restored()
        self.send(FLOW_CONTROLLER, InvalidateTags((device_tag(self.id),)))
        WaitingRoom.release(self)
        self._announce(at)

    def ports_turned(self, inactive: frozenset[PortId]) -> None:
        """Take in that ports turned active or (those) inactive: the routes by them come or go."""
        routes = self.routes()
        self.restored()
        tags = changed_route_tags(self.id, routes, self.routes())
        if tags:
            self.send(FLOW_CONTROLLER, InvalidateTags(tags))
        self.resolution.retry(inactive)

    def _announce(self, at: Nanoseconds) -> None:
        """Tell the link about the router's address when its port turns active (RFC 5227 3)."""
        if self.view is None:
            return
        for port_id in self.state.to_announce:
            port = self.view.ports.get(port_id)
            if port is not None and port.admin_up:
                self.send_frame(port, gratuitous_arp(port.mac, port.interface.address), at)
        self.state.to_announce.clear()

    # --- for people ---------------------------------------------------------------------------

    def count(self, reason: str) -> None:
        """Count a packet that ended here for `reason`."""
        self.state.drops[reason] = self.state.drops.get(reason, 0) + 1

    def _describe(self, subject: str) -> bytes:
        state = self.state
        config = state.config
        names = {} if config is None else {port.id: port.name for port in config.ports}
        described: dict[str, Any] = {"router": self.id if config is None else config.name}
        if subject == "tables":
            described["arp"] = [
                _describe_entry(names.get(port, port), address, entry)
                for port, table in state.arp.items()
                for address, entry in table.items()
            ]
            described["asking"] = [
                {
                    "port": names.get(r.port, r.port),
                    "address": format_ip(r.address),
                    "tries": r.tries,
                    "waiting": len(r.waiting),
                }
                for r in state.resolutions.values()
            ]
            described["routes"] = [
                {
                    "to": str(route.to),
                    "from": str(route.source),
                    "action": route.action,
                    "port": None if route.port is None else names.get(route.port, route.port),
                    "via": None if route.via is None else format_ip(route.via),
                    "weight": route.weight,
                }
                for route in (() if self.view is None else self.view.routes.entries)
            ]
        elif subject == "devices":
            described["admin_up"] = config is not None and config.admin_up
            described["exists"] = config is not None
            described["ports"] = [] if config is None else [*map(describe_port, config.ports)]
            described["waiting"] = len(state.waiting) + state.parked
        else:
            described["drops"] = state.drops
        return msgspec.json.encode(described)


def _describe_entry(port: str, address: bytes, entry: ArpEntry) -> dict[str, Any]:
    return {
        "port": port,
        "address": format_ip(address),
        "mac": format_mac(entry.mac),
        "own": entry.own,
    }
