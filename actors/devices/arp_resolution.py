"""ArpResolution: how a router finds MACs: asks, waits, shares, refreshes, forgets.

Part of the router's actor: it changes the actor's `arp` and `resolutions`. A request is repeated
a bounded number of times however many packets wait; then their senders are told that the host is
unreachable. Entries are refreshed when stale and in use, by one of the hosts that use them (see
arp_entries.py), and expire by their owner.
"""

from typing import TYPE_CHECKING

import msgspec

from actors.devices.arp_entries import (
    MOST_PER_NEXT_HOP,
    ArpEntry,
    ArpSeen,
    Resolution,
    spread,
    stale_at,
)
from actors.devices.idleness import Idleness
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
from actors.packets.arp import arp_request
from actors.state.tables import arp_table, decode_arp, encode_arp
from actors.tags import arp_tag
from actors.values import (
    BROADCAST_MAC,
    ActorName,
    IpAddress,
    Mac,
    Nanoseconds,
    PortId,
    Tag,
    parse_ip,
)

if TYPE_CHECKING:
    from actors.devices.router import RouterActor

_STATE_TABLES = ActorName("state-tables")
_WORKFLOW = ActorName("packet-workflow")
_TELLS_PER_STALENESS = 4
"""An entry's owner tells the others so often that it is fresh, at most."""
_REFRESH_RETRIES = 4
"""A refresh that is not answered is asked for again after so many retry times."""


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
            router.send(_WORKFLOW, PacketParked(context.number, context.raw_key, "arp"))
        resolution = self._resolve(needs.port, needs.next_hop, router.lane.now)
        if len(resolution.waiting) >= MOST_PER_NEXT_HOP:
            self._end(resolution.waiting.pop(0), "too many wait for one next hop", LIFE_NONE)
        resolution.waiting.append(parked(hop, context, router.lane.inputs))
        router.state.parked += 1

    def _resolve(self, port: PortId, address: IpAddress, at: Nanoseconds) -> Resolution:
        state = self._router.state
        name = f"{port} {address.hex()}"
        resolution = state.resolutions.get(name)
        if resolution is None:
            resolution = state.resolutions[name] = Resolution(port, address, 1, at)
            self._ask(port, address, at)
            self._ask_again_later(resolution, at)
        return resolution

    def _ask_again_later(self, resolution: Resolution, at: Nanoseconds) -> None:
        host, port, address = self._router.host, resolution.port, resolution.address
        jitter = spread(host.seed, port, address, resolution.tries, host.arp_retry // 5)
        resolution.next_at = Nanoseconds(at + host.arp_retry + jitter)
        Idleness.wake_by(self._router, resolution.next_at)

    def _ask(
        self, port_id: PortId, address: IpAddress, at: Nanoseconds, mac: Mac = BROADCAST_MAC
    ) -> None:
        view = self._router.view
        port = None if view is None else view.ports.get(port_id)
        if port is not None:
            request = arp_request(port.mac, port.interface.address, address, to=mac)
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
            entry = self._set(fact.port, fact.address, fact.mac, own=True, at=at)
            self._publish(entry, fact.port, fact.address, at)
        self._resolved(fact.port, fact.address)

    def _confirm(self, entry: ArpEntry, port: PortId, address: IpAddress, at: Nanoseconds) -> None:
        """Take in that an entry is right; let the others know, unless they heard it just now."""
        self._is_fresh(entry, port, address, at)
        host = self._router.host
        if not entry.own or at - entry.told_at >= host.arp_stale // _TELLS_PER_STALENESS:
            entry.own = True  # the neighbour speaks here: this host manages the entry from now on
            self._publish(entry, port, address, at)

    def _is_fresh(self, entry: ArpEntry, port: PortId, address: IpAddress, at: Nanoseconds) -> None:
        entry.confirmed_at = at
        entry.asked = 0
        host = self._router.host
        entry.stale_at = Nanoseconds(stale_at(host, port, address, at, own=entry.own))

    def _publish(self, entry: ArpEntry, port: PortId, address: IpAddress, at: Nanoseconds) -> None:
        entry.told_at = at
        key, value = encode_arp(address, entry.mac)
        self._router.send(_STATE_TABLES, OwnRow(arp_table(port), key, value, again=True))
        self._look_at(entry)

    def _look_at(self, entry: ArpEntry) -> None:
        """See to it that the router wakes when it has something to do about an entry."""
        due = self._due(entry)
        if due is not None:
            Idleness.wake_by(self._router, due)

    def _due(self, entry: ArpEntry) -> int | None:
        """Return when there is something to do about an entry, None if it is another's affair."""
        expires_at = entry.confirmed_at + self._router.host.arp_expiry
        if entry.held:
            return min(entry.stale_at, expires_at) if entry.own else entry.stale_at
        return expires_at if entry.own else None

    def _set(
        self, port: PortId, address: IpAddress, mac: Mac, *, own: bool, at: Nanoseconds
    ) -> ArpEntry:
        router = self._router
        table = router.state.arp.setdefault(port, {})
        old = table.get(address)
        tag = arp_tag(port, address) if old is None else old.tag
        entry = ArpEntry(mac, tag, own, at, at)
        if old is not None:
            entry.held = old.held
        table[address] = entry
        self._is_fresh(entry, port, address, at)
        router.send(FLOW_CONTROLLER, InvalidateTags((tag,)))
        router.send(FLOW_CONTROLLER, WatchTag(tag, router.name))
        self._look_at(entry)
        return entry

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
            elif own != old.own or not own:
                # Written again: its owner says that it is fresh, or has become another.
                old.own = own
                self._is_fresh(old, port, address, message.at)
                self._look_at(old)
            self._resolved(port, address)

    def flows_use(self, tag: Tag, *, held: bool) -> None:
        """Note that flows began or ceased to depend on an entry."""
        _, port, address = tag.split(":", 2)
        entry = arp_entry(self._router.state.arp, PortId(port), parse_ip(address))
        if entry is not None:
            entry.held = held
            self._look_at(entry)

    def owns_any(self) -> bool:
        """Tell whether this host manages an entry of the router."""
        return any(e.own for table in self._router.state.arp.values() for e in table.values())

    def unwatch_all(self) -> None:
        """Have the flow controller forget the entries."""
        for table in self._router.state.arp.values():
            Idleness.unwatch(self._router, [entry.tag for entry in table.values()])

    # --- time ---------------------------------------------------------------------------------

    def tick(self, at: Nanoseconds) -> None:
        """Ask again, give up, refresh, expire."""
        router = self._router
        state = router.state
        state.wakes_at = Nanoseconds(0)
        if state.waiting and at - state.waiting_since >= MOST_WAIT:
            WaitingRoom.give_up(router, "router not loaded")
        if state.waiting:
            Idleness.wake_by(router, state.waiting_since + MOST_WAIT)
        for name, resolution in list(state.resolutions.items()):
            if at < resolution.next_at:
                Idleness.wake_by(router, resolution.next_at)
                continue
            if resolution.tries >= router.host.arp_tries:
                del state.resolutions[name]
                self._give_up(resolution, at)
            else:
                resolution.tries += 1
                self._ask(resolution.port, resolution.address, at)
                self._ask_again_later(resolution, at)
        for port, table in state.arp.items():
            for address, entry in list(table.items()):
                due = self._due(entry)
                if due is not None and due <= at:
                    self._age(port, address, entry, at)
                elif due is not None:
                    Idleness.wake_by(router, due)

    def _age(self, port: PortId, address: IpAddress, entry: ArpEntry, at: Nanoseconds) -> None:
        host = self._router.host
        if entry.own and at - entry.confirmed_at >= host.arp_expiry:
            self._router.send(_STATE_TABLES, DisownRow(arp_table(port), address))
            self._forget(port, address, entry)
            return
        # The neighbour alone first (RFC 1122 2.3.2.1), then all, as the address may have moved.
        self._ask(port, address, at, BROADCAST_MAC if entry.asked else entry.mac)
        entry.asked += 1
        jitter = spread(host.seed, port, address, entry.asked, host.arp_retry)
        entry.stale_at = Nanoseconds(at + _REFRESH_RETRIES * host.arp_retry + jitter)
        self._look_at(entry)

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

    def retry(self, ports: frozenset[PortId] | None = None) -> None:
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
