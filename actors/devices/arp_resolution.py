"""ArpResolution: how a router finds MACs: asks, waits, shares, refreshes, forgets.

Part of the router's actor: it changes the actor's `arp` and `resolutions`. A request is repeated
a bounded number of times however many packets wait; then their senders are told that the host is
unreachable. Entries are refreshed when stale and in use, and expire by their owner.
"""

import zlib
from typing import TYPE_CHECKING

import msgspec

from actors.devices.arp_entries import MOST_PER_NEXT_HOP, ArpEntry, ArpSeen, Resolution
from actors.devices.outcome import FLOW_CONTROLLER, after_branch, consume, drop
from actors.devices.router_forwarding import (
    HOST_UNREACHABLE,
    SEEN_BY_ICMP_RULES,
    UNREACHABLE,
    NeedsMac,
    arp_entry,
    decide,
)
from actors.devices.waiting_room import MOST_WAIT, WaitingRoom, parked, resumed
from actors.lifetimes import LIFE_ERROR, LIFE_NONE
from actors.messages.flows import InvalidateTags, UnwatchTag, WatchTag
from actors.messages.simulation import Hop, PacketContext, PacketParked
from actors.messages.tables import DisownRow, OwnRow, RowsChanged
from actors.messages.time import WakeMe
from actors.packets.arp import arp_request
from actors.state.tables import arp_table, decode_arp, encode_arp
from actors.tags import arp_tag
from actors.values import SECOND, ActorName, IpAddress, Mac, Nanoseconds, PortId, Tag, parse_ip

if TYPE_CHECKING:
    from actors.devices.router import RouterActor

_CLOCK = ActorName("clock")
_STATE_TABLES = ActorName("state-tables")
_WORKFLOW = ActorName("packet-workflow")
_SWEEP = 2 * SECOND


class ArpResolution:
    """See the module."""

    def __init__(self, router: "RouterActor") -> None:
        self._router = router

    # --- packets that need a MAC --------------------------------------------------------------

    def park(self, needs: NeedsMac, hop: Hop) -> None:
        """Let a packet wait at its hop for the MAC of its next hop; ask for it."""
        router, context = self._router, hop.context
        tag = arp_tag(needs.port, needs.next_hop)
        if router.state.parked >= router.host.most_parked:
            router.count("too many packets wait")
            seen = needs.context
            ended = drop(seen, seen.seen, (*seen.tags, tag), "too many packets wait", LIFE_ERROR)
            router.send(*after_branch(ended.context))
            return
        if context.pending or context.outputs:
            # A copy in a flood: the others go on, and no flow may be made of it.
            router.send(*after_branch(consume(context, "").context))
            context = msgspec.structs.replace(context, pending=(), outputs=(), lifetime=LIFE_NONE)
        elif not context.resumed:
            router.send(_WORKFLOW, PacketParked(context.number, context.raw_key))
        resolution = self._resolve(needs.port, needs.next_hop, context.at)
        if len(resolution.waiting) >= MOST_PER_NEXT_HOP:
            self._end(resolution.waiting.pop(0), "too many wait for one next hop", LIFE_NONE)
        resolution.waiting.append(parked(hop, context, router.lane.inputs))
        router.state.parked += 1

    def _resolve(self, port: PortId, address: IpAddress, at: Nanoseconds) -> Resolution:
        state = self._router.state
        name = f"{port} {address.hex()}"
        resolution = state.resolutions.get(name)
        if resolution is None:
            next_at = Nanoseconds(at + self._router.host.arp_retry)
            resolution = state.resolutions[name] = Resolution(port, address, 1, next_at)
            self._ask(port, address, at)
            self._arm(at)
        return resolution

    def _ask(self, port_id: PortId, address: IpAddress, at: Nanoseconds) -> None:
        view = self._router.view
        port = None if view is None else view.ports.get(port_id)
        if port is not None:
            request = arp_request(port.mac, port.interface.address, address)
            self._router.send_frame(port, request, at)

    def _resolved(self, port: PortId, address: IpAddress) -> None:
        """Simulate those who waited for this address again, at this hop."""
        router = self._router
        resolution = router.state.resolutions.pop(f"{port} {address.hex()}", None)
        if resolution is None:
            return
        router.state.parked -= len(resolution.waiting)
        for hop in resolution.waiting:
            router.on_receive(resumed(hop, router.lane.inputs))

    def _give_up(self, resolution: Resolution, at: Nanoseconds) -> None:
        router = self._router
        router.state.parked -= len(resolution.waiting)
        tag = arp_tag(resolution.port, resolution.address)
        reason = "next hop does not answer"
        for hop in resolution.waiting:
            router.count(reason)
            context = msgspec.structs.replace(hop.context, at=at)
            told = router.tell_sender(context, hop.port, UNREACHABLE, HOST_UNREACHABLE)
            again = None if told else self._decide_again(context, hop.port)
            if again is None:
                ended = drop(context, context.seen, context.tags, reason, LIFE_NONE)
            else:
                seen = again.seen | SEEN_BY_ICMP_RULES
                ended = drop(again, seen, (*again.tags, tag), reason, LIFE_ERROR)
            router.send(*after_branch(ended.context))

    def _decide_again(self, context: PacketContext, port: PortId) -> PacketContext | None:
        """Return the packet with all that was read of it on its way to the missing MAC."""
        router = self._router
        if router.view is None:
            return None
        outcome = decide(router.view, router.state.arp, context, port)
        return outcome.context if isinstance(outcome, NeedsMac) else None

    def _end(self, hop: Hop, reason: str, lifetime: int) -> None:
        router, context = self._router, hop.context
        router.state.parked -= 1
        router.count(reason)
        ended = drop(context, context.seen, context.tags, reason, lifetime)
        router.send(*after_branch(ended.context))

    # --- what is learned ----------------------------------------------------------------------

    def learn(self, fact: ArpSeen, at: Nanoseconds) -> None:
        """Take note of what an ARP packet on one of the router's links said."""
        router = self._router
        table = router.state.arp.setdefault(fact.port, {})
        entry = table.get(fact.address)
        asked = f"{fact.port} {fact.address.hex()}" in router.state.resolutions
        if entry is None and not (asked or fact.to_us):
            return
        if entry is None and len(table) >= router.host.most_arp_entries:
            router.count("ARP table full")
            return
        if entry is not None and entry.mac == fact.mac:
            self._confirm(entry, fact.port, fact.address, at)
        else:
            self._set(fact.port, fact.address, fact.mac, own=True, at=at)
            key, value = encode_arp(fact.address, fact.mac)
            router.send(_STATE_TABLES, OwnRow(arp_table(fact.port), key, value))
            self._arm(at)
        self._resolved(fact.port, fact.address)

    def _confirm(self, entry: ArpEntry, port: PortId, address: IpAddress, at: Nanoseconds) -> None:
        entry.confirmed_at = at
        entry.stale_at = self._stale_at(port, address, at)

    def _stale_at(self, port: PortId, address: IpAddress, at: Nanoseconds) -> Nanoseconds:
        """Add up to a fifth, by the entry's name: entries learned at once are not asked at once."""
        stale = self._router.host.arp_stale
        jitter = zlib.crc32(address, zlib.crc32(port.encode())) % 1000 * stale // 5000
        return Nanoseconds(at + stale + jitter)

    def _set(
        self, port: PortId, address: IpAddress, mac: Mac, *, own: bool, at: Nanoseconds
    ) -> None:
        router = self._router
        table = router.state.arp.setdefault(port, {})
        old = table.get(address)
        tag = arp_tag(port, address) if old is None else old.tag
        entry = ArpEntry(mac, tag, own, at, self._stale_at(port, address, at))
        if old is not None:
            entry.held = old.held
        table[address] = entry
        router.send(FLOW_CONTROLLER, InvalidateTags((tag,)))
        router.send(FLOW_CONTROLLER, WatchTag(tag, router.name))

    def merge_rows(self, message: RowsChanged) -> None:
        """Apply what the shared table says, which may complete packets that wait here."""
        router = self._router
        port = PortId(message.table.partition("/")[2])
        for row in message.rows:
            try:
                address, mac = decode_arp(
                    row.key, row.value if row.value is not None else b"\0" * 6
                )
            except ValueError:
                router.count("malformed ARP row")
                continue
            old = arp_entry(router.state.arp, port, address)
            if row.value is None:
                if old is not None:
                    self._forget(port, address, old)
                continue
            own = row.owner == router.host.host
            if old is None or old.mac != mac:
                self._set(port, address, mac, own=own, at=message.at)
            else:
                old.own = own
            if own:
                self._arm(message.at)
            self._resolved(port, address)

    def flows_use(self, tag: Tag, *, held: bool) -> None:
        """Note that flows began or ceased to depend on an entry."""
        _, port, address = tag.split(":", 2)
        entry = arp_entry(self._router.state.arp, PortId(port), parse_ip(address))
        if entry is not None:
            entry.held = held

    # --- time ---------------------------------------------------------------------------------

    def tick(self, at: Nanoseconds) -> None:
        """Ask again, give up, refresh, expire."""
        router = self._router
        state = router.state
        state.timer = False
        if state.waiting and at - state.waiting_since >= MOST_WAIT:
            WaitingRoom.give_up(router, "router not loaded")
        for name, resolution in list(state.resolutions.items()):
            if at < resolution.next_at:
                continue
            if resolution.tries >= router.host.arp_tries:
                del state.resolutions[name]
                self._give_up(resolution, at)
            else:
                resolution.tries += 1
                resolution.next_at = Nanoseconds(at + router.host.arp_retry)
                self._ask(resolution.port, resolution.address, at)
        for port, table in state.arp.items():
            for address, entry in list(table.items()):
                if entry.own:
                    self._age(port, address, entry, at)
        self._arm(at)

    def _age(self, port: PortId, address: IpAddress, entry: ArpEntry, at: Nanoseconds) -> None:
        if at - entry.confirmed_at >= self._router.host.arp_expiry:
            self._router.send(_STATE_TABLES, DisownRow(arp_table(port), address))
            self._forget(port, address, entry)
        elif entry.held and at >= entry.stale_at:
            self._ask(port, address, at)

    def _arm(self, at: Nanoseconds) -> None:
        state = self._router.state
        if state.resolutions:
            due = min(r.next_at for r in state.resolutions.values())
        elif any(entry.own for table in state.arp.values() for entry in table.values()):
            if state.timer:
                return
            due = Nanoseconds(at + _SWEEP)
        else:
            return
        state.timer = True
        self._router.send(_CLOCK, WakeMe(self._router.name, due))

    # --- configuration ------------------------------------------------------------------------

    def _forget(self, port: PortId, address: IpAddress, entry: ArpEntry) -> None:
        router = self._router
        del router.state.arp[port][address]
        router.send(FLOW_CONTROLLER, UnwatchTag(entry.tag))
        router.send(FLOW_CONTROLLER, InvalidateTags((entry.tag,)))

    def forget_port(self, port: PortId) -> None:
        """Drop the entries of a port that is gone or has another address."""
        for address, entry in list(self._router.state.arp.get(port, {}).items()):
            if entry.own:
                self._router.send(_STATE_TABLES, DisownRow(arp_table(port), address))
            self._forget(port, address, entry)
        self._router.state.arp.pop(port, None)

    def retry(self, at: Nanoseconds, ports: frozenset[PortId] | None = None) -> None:
        """Simulate those who wait (by one of `ports`) again: their way has changed under them."""
        state = self._router.state
        chosen = {
            name: resolution
            for name, resolution in state.resolutions.items()
            if ports is None or resolution.port in ports
        }
        for name, resolution in chosen.items():
            del state.resolutions[name]
            state.parked -= len(resolution.waiting)
        for resolution in chosen.values():
            for hop in resolution.waiting:
                self._router.on_receive(resumed(hop, self._router.lane.inputs))
        if chosen:
            self._arm(at)
