"""Bridge: a virtual learning switch, one actor a bridge.

Owns its MAC table. Receives packets (`Hop`), its configuration, rows of the shared MAC table, and
word of flows that use its entries. Sends packets on, rows it learned to the state tables, and
tags to invalidate. Decides nothing itself: see bridge_forwarding.py.
"""

from typing import Any, assert_never

import msgspec

from actors.devices import bridge_forwarding
from actors.devices.bridge_forwarding import MacEntry, MacSeen
from actors.devices.bridge_view import BridgeView, changed_tags, view_of
from actors.devices.hop_trace import hop_traced
from actors.devices.idleness import Idleness
from actors.devices.outcome import FLOW_CONTROLLER, Forwarded, after_branch
from actors.devices.parked_frames import cut_hops
from actors.devices.port_text import describe_port
from actors.devices.waiting_room import MOST_WAIT, WaitingRoom
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import InvalidateTags, TagHeld, TagReleased, UnwatchTag, WatchTag
from actors.messages.operator import Inspect, Inspected
from actors.messages.simulation import Hop
from actors.messages.tables import (
    DisownRow,
    OwnRow,
    RowsChanged,
    SubscribeTable,
    UnsubscribeTable,
)
from actors.messages.time import Tick
from actors.messages.topology import Configured, Subscribe, Unsubscribe
from actors.state.tables import decode_mac, mac_table
from actors.state.topology import Bridge
from actors.tags import device_tag, mac_tag
from actors.values import SECOND, ActorName, DeviceId, Nanoseconds, format_mac

STATE_TABLES = ActorName("state-tables")
TOPOLOGY_WATCHER = ActorName("topology-watcher")
SWEEP_INTERVAL = 2 * SECOND

BridgeMessage = Hop | Configured | RowsChanged | TagHeld | TagReleased | Tick | Inspect


class BridgeState(msgspec.Struct):
    """All that a bridge's actor knows."""

    config: Bridge | None = None
    known: bool = False
    """Whether the store has answered; until then packets wait."""
    macs: dict[bytes, MacEntry] = msgspec.field(default_factory=dict)
    waiting: list[Hop] = msgspec.field(default_factory=list)
    waiting_since: Nanoseconds = Nanoseconds(0)
    used_at: Nanoseconds = Nanoseconds(0)
    in_flows: bool = False
    wakes_at: Nanoseconds = Nanoseconds(0)
    drops: dict[str, int] = msgspec.field(default_factory=dict)


class BridgeActor(LaneActor):
    """See the module."""

    State = BridgeState
    state: BridgeState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.id = DeviceId(name.partition("/")[2])
        self.host = host
        self.table = mac_table(self.id)
        self.view: BridgeView | None = None

    def boot(self) -> None:
        """Ask for the configuration and the shared MAC table."""
        self.send(TOPOLOGY_WATCHER, Subscribe(self.name, "bridge", self.id))
        self.send(STATE_TABLES, SubscribeTable(self.name, self.table))
        Idleness.begin(self)

    def in_hand(self) -> bool:
        """Tell whether packets wait here, or other hosts use what was learned here."""
        return bool(self.state.waiting) or any(e.own for e in self.state.macs.values())

    def unsubscribe(self) -> None:
        """Want to know no more of the configuration and the shared MAC table."""
        self.send(TOPOLOGY_WATCHER, Unsubscribe(self.name, "bridge", self.id))
        self.send(STATE_TABLES, UnsubscribeTable(self.name, self.table))

    def snapshot_state(self) -> BridgeState:
        """Cut the frames that wait."""
        waiting = cut_hops(self.state.waiting, self.host.frame_limit)
        return msgspec.structs.replace(self.state, waiting=waiting)

    def restored(self) -> None:
        """Rebuild the view of the configuration."""
        self.view = None if self.state.config is None else view_of(self.state.config)

    def on_receive(self, message: BridgeMessage) -> None:
        """Handle one message."""
        match message:
            case Hop():
                self._simulate(message)
            case RowsChanged():
                self._merge_rows(message)
            case TagHeld():
                self._flows_use(message.tag, at=None)
            case TagReleased():
                self._flows_use(message.tag, at=message.at)
            case Tick():
                self._sweep(message.at)
            case Configured():
                self._configure(message)
            case Inspect():
                self.send(
                    message.requester,
                    Inspected(message.request, self.name, self._describe(message.subject)),
                )
            case _:
                assert_never(message)

    # --- packets ------------------------------------------------------------------------------

    def _simulate(self, hop: Hop) -> None:
        view = self.view
        if view is None:
            self._no_view(hop)
            return
        state = self.state
        state.used_at = hop.context.at
        outcome, fact = bridge_forwarding.decide(view, state.macs, hop.context, hop.port)
        if hop.context.trace:
            self.send(*hop_traced(self.name, hop, outcome))
        if fact is not None:
            self._learn(fact, hop.context.at)
        if type(outcome) is Forwarded:
            self.send(outcome.device, Hop(outcome.context, outcome.port))
            return
        context = outcome.context
        if context.reason:
            state.drops[context.reason] = state.drops.get(context.reason, 0) + 1
        self.send(*after_branch(context))

    def _no_view(self, hop: Hop) -> None:
        if self.state.known:
            WaitingRoom.refuse(self, hop, "no such bridge", device_tag(self.id))
        else:
            WaitingRoom.admit(self, hop)

    def _learn(self, fact: MacSeen, at: Nanoseconds) -> None:
        macs = self.state.macs
        entry = macs.get(fact.key)
        if fact.known and entry is not None and entry.own:
            entry.used_at = at
            return
        if fact.known and entry is not None:
            # Another host's row says the same: it keeps the entry alive, and so do we from now
            # on, since its MAC speaks here as well.
            entry.used_at = at
            entry.own = True
        else:
            if entry is None and len(macs) >= self.host.most_macs:
                self._count("MAC table full")
                return
            vlan, mac, _ = decode_mac(fact.key, b"")
            tag = mac_tag(self.id, vlan, mac)
            macs[fact.key] = MacEntry(fact.port, tag, own=True, used_at=at)
            entry = macs[fact.key]
            self.send(FLOW_CONTROLLER, InvalidateTags((tag,)))
        self.send(FLOW_CONTROLLER, WatchTag(entry.tag, self.name))
        self.send(STATE_TABLES, OwnRow(self.table, fact.key, fact.port.encode()))
        Idleness.wake_by(self, at + SWEEP_INTERVAL)

    # --- the MAC table ------------------------------------------------------------------------

    def _merge_rows(self, message: RowsChanged) -> None:
        macs = self.state.macs
        stale = []
        for row in message.rows:
            old = macs.get(row.key)
            if row.value is None:
                if old is not None:
                    del macs[row.key]
                    stale.append(old.tag)
                    if old.own:
                        self.send(FLOW_CONTROLLER, UnwatchTag(old.tag))
                continue
            try:
                vlan, mac, port = decode_mac(row.key, row.value)
            except ValueError:
                self._count("malformed MAC row")
                continue
            own = row.owner == self.host.host
            if own and (old is None or not old.own):
                # A row of this host that its bridge, begun afresh, has to manage again.
                self.send(FLOW_CONTROLLER, WatchTag(mac_tag(self.id, vlan, mac), self.name))
                Idleness.wake_by(self, message.at + SWEEP_INTERVAL)
            if old is None:
                tag = mac_tag(self.id, vlan, mac)
                macs[row.key] = MacEntry(port, tag, own=own, used_at=message.at)
                stale.append(tag)
                continue
            if old.own and not own:
                self.send(FLOW_CONTROLLER, UnwatchTag(old.tag))
            old.own = own
            if old.port != port:
                old.port = port
                stale.append(old.tag)
        if stale:
            self.send(FLOW_CONTROLLER, InvalidateTags(tuple(stale)))

    def _flows_use(self, tag: str, *, at: Nanoseconds | None) -> None:
        """Note that flows depend on what a tag stands for (`at` is None), or none has since."""
        if tag.startswith("device:"):
            Idleness.flows_use(self, at=at)
            return
        _, _, rest = tag.partition(f"mac:{self.id}:")
        vlan, _, mac = rest.partition(":")
        entry = self.state.macs.get(int(vlan).to_bytes(2) + bytes.fromhex(mac.replace(":", "")))
        if entry is not None:
            entry.held = at is None
            if at is not None:
                entry.used_at = at

    def _sweep(self, at: Nanoseconds) -> None:
        """Let go of own entries that no flow has used for a while; their owner must."""
        state = self.state
        state.wakes_at = Nanoseconds(0)
        if state.waiting and at - state.waiting_since >= MOST_WAIT:
            WaitingRoom.give_up(self, "bridge not loaded")
        idle = self.host.mac_idle
        gone = [
            (key, entry)
            for key, entry in state.macs.items()
            if entry.own and not entry.held and at - entry.used_at >= idle
        ]
        for key, entry in gone:
            del state.macs[key]
            self.send(STATE_TABLES, DisownRow(self.table, key))
            self.send(FLOW_CONTROLLER, UnwatchTag(entry.tag))
            self.send(FLOW_CONTROLLER, InvalidateTags((entry.tag,)))
        if self.in_hand():
            Idleness.wake_by(self, at + SWEEP_INTERVAL)
        Idleness.end_if_idle(self, at)

    # --- configuration ------------------------------------------------------------------------

    def _configure(self, message: Configured) -> None:
        state = self.state
        new = message.config if isinstance(message.config, Bridge) else None
        old = state.config
        state.config = new
        state.known = True
        self.restored()
        if old is None or new is None:
            self.send(FLOW_CONTROLLER, InvalidateTags((device_tag(self.id),)))
        else:
            tags = changed_tags(old, new)
            if tags:
                self.send(FLOW_CONTROLLER, InvalidateTags(tags))
        self._forget_ports_that_went(new)
        WaitingRoom.release(self)

    def _forget_ports_that_went(self, config: Bridge | None) -> None:
        there = set() if config is None else {port.id for port in config.ports}
        gone = [(k, e) for k, e in self.state.macs.items() if e.own and e.port not in there]
        for key, entry in gone:
            del self.state.macs[key]
            self.send(STATE_TABLES, DisownRow(self.table, key))
            self.send(FLOW_CONTROLLER, UnwatchTag(entry.tag))
            self.send(FLOW_CONTROLLER, InvalidateTags((entry.tag,)))

    # --- for people ---------------------------------------------------------------------------

    def _count(self, reason: str) -> None:
        self.state.drops[reason] = self.state.drops.get(reason, 0) + 1

    def _describe(self, subject: str) -> bytes:
        state = self.state
        config = state.config
        names = {} if config is None else {port.id: port.name for port in config.ports}
        described: dict[str, Any] = {"bridge": self.id if config is None else config.name}
        if subject == "tables":
            described["macs"] = [
                {
                    "vlan": int.from_bytes(key[:2]),
                    "mac": format_mac(key[2:]),
                    "port": names.get(entry.port, entry.port),
                    "own": entry.own,
                    "in_use": entry.held,
                }
                for key, entry in state.macs.items()
            ]
        elif subject == "devices":
            described["admin_up"] = config is not None and config.admin_up
            described["exists"] = config is not None
            described["ports"] = [] if config is None else [*map(describe_port, config.ports)]
            described["waiting"] = len(state.waiting)
        else:
            described["drops"] = state.drops
        return msgspec.json.encode(described)
