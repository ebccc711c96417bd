"""RoutingTable: longest destination prefix, then longest source prefix, then lowest weight. Pure.

Among equals the flow's hash chooses (ECMP), so that a connection keeps its way. Routes by a port
that is down, or that no host has active, are not in the table. A route change names the tags of the flows that it can concern:
those that used a route which went, and for a route that came, those to its destination.
"""

import zlib
from collections.abc import Container, Iterable

from msgspec import Struct

from actors.packets.flow_key import (
    FRAG_NONE,
    SEEN_IP_FRAG,
    SEEN_IP_PROTO,
    SEEN_IP_SRC,
    SEEN_L4_DST,
    SEEN_L4_SRC,
    FlowKey,
)
from actors.state.topology import Port, Route, RouteAction, Router
from actors.tags import route_tag
from actors.values import DeviceId, IpAddress, IpPrefix, PortId, Tag, prefix_of

BUCKET_BITS = 24
"""Flows are tagged with their destination's /24, so that a new route concerns few of them."""

ANYWHERE = IpPrefix(IpAddress(b"\0\0\0\0"), 0)


class RouteEntry(Struct, frozen=True):
    """A usable route."""

    to: IpPrefix
    source: IpPrefix
    action: RouteAction
    port: PortId | None
    via: IpAddress | None
    weight: int
    tag: Tag


class _Group(Struct, frozen=True):
    """The best routes for one (destination, source) prefix: all of one weight."""

    source_shift: int
    source_bits: int
    routes: tuple[RouteEntry, ...]


class Found(Struct, frozen=True, gc=False):
    """What a lookup gives: the route, or None; and the fields that it had to read."""

    route: RouteEntry | None
    seen: int


class RoutingTable:
    """The IPv4 routes of one router, made anew from each configuration."""

    def __init__(self, router: DeviceId, entries: tuple[RouteEntry, ...]) -> None:
        self.router = router
        self.entries = entries
        by_length: dict[int, dict[int, dict[IpPrefix, list[RouteEntry]]]] = {}
        for entry in entries:
            if len(entry.to.address) != 4:
                continue
            bits = int.from_bytes(entry.to.address) >> (32 - entry.to.length)
            sources = by_length.setdefault(entry.to.length, {}).setdefault(bits, {})
            sources.setdefault(entry.source, []).append(entry)
        self._lengths = tuple(
            (32 - length, {bits: _groups(sources) for bits, sources in prefixes.items()})
            for length, prefixes in sorted(by_length.items(), reverse=True)
        )

    def find(self, headers: FlowKey) -> Found:
        """Look up the route of a packet."""
        destination = int.from_bytes(headers.ip_dst)
        seen = 0
        for shift, prefixes in self._lengths:
            groups = prefixes.get(destination >> shift)
            if groups is None:
                continue
            for group in groups:
                if group.source_shift < 32:
                    seen |= SEEN_IP_SRC
                    source = int.from_bytes(headers.ip_src)
                    if source >> group.source_shift != group.source_bits:
                        continue
                routes = group.routes
                if len(routes) == 1:
                    return Found(routes[0], seen)
                fields, value = flow_hash(headers)
                return Found(routes[value % len(routes)], seen | fields)
        return Found(None, seen)


def flow_hash(headers: FlowKey) -> tuple[int, int]:
    """Return the fields that were read and a hash which all packets of a connection share.

    Fragments hash without ports, as later ones have none.
    """
    data = headers.ip_src + headers.ip_dst + bytes((headers.ip_proto,))
    seen = SEEN_IP_SRC | SEEN_IP_PROTO | SEEN_IP_FRAG
    if headers.ip_frag == FRAG_NONE and headers.ip_proto in {6, 17, 132}:
        data += headers.l4_src.to_bytes(2) + headers.l4_dst.to_bytes(2)
        seen |= SEEN_L4_SRC | SEEN_L4_DST
    return seen, zlib.crc32(data)


def _groups(sources: dict[IpPrefix, list[RouteEntry]]) -> tuple[_Group, ...]:
    groups = []
    for source, routes in sorted(sources.items(), key=lambda item: -item[0].length):
        least = min(route.weight for route in routes)
        shift = 32 - source.length
        bits = int.from_bytes(source.address) >> shift
        # By tag, so that neither the order nor a repetition in the configuration matters.
        best = {route.tag: route for route in routes if route.weight == least}
        groups.append(_Group(shift, bits, tuple(best[tag] for tag in sorted(best))))
    return tuple(groups)


def entries_of(config: Router, active: Container[PortId]) -> tuple[RouteEntry, ...]:
    """Return the usable routes: connected ones of ports that are up, and the configured ones.

    `active` are the exterior ports that some host has active; interior ones need no host.
    """
    usable = {
        port.id
        for port in config.ports
        if port.admin_up and (port.peer is not None or (is_exterior(port) and port.id in active))
    }
    entries = [
        RouteEntry(
            port.address.network,
            ANYWHERE,
            "forward",
            port.id,
            None,
            0,
            route_tag(config.id, f"{port.address.network} connected {port.id}"),
        )
        for port in config.ports
        if port.address is not None and port.id in usable
    ]
    entries += [
        RouteEntry(
            route.to,
            route.source,
            route.action,
            route.port,
            route.via,
            route.weight,
            route_tag(config.id, _text(route)),
        )
        for route in config.routes
        if route.port is None or route.port in usable
    ]
    return tuple(entries)


def is_exterior(port: Port) -> bool:
    """Tell whether a port is bound to an interface of a host."""
    return port.peer is None and port.host is not None


def _text(route: Route) -> str:
    via = "" if route.via is None else f" {route.via.hex()}"
    return f"{route.to} from {route.source} {route.action} {route.port or ''}{via} w{route.weight}"


def no_route_tag(router: DeviceId) -> Tag:
    """Return the tag of flows for which a router had no route."""
    return route_tag(router, "none")


def bucket_tag(router: DeviceId, destination: IpAddress) -> Tag:
    """Return the tag of flows to destinations that share `destination`'s first 24 bits."""
    return route_tag(router, f"to {destination[0]}.{destination[1]}.{destination[2]}.0/24")


def changed_route_tags(
    router: DeviceId, old: Iterable[RouteEntry], new: Iterable[RouteEntry]
) -> tuple[Tag, ...]:
    """Return the tags of the flows that going from `old` to `new` can concern."""
    before = {entry.tag: entry for entry in old}
    after = {entry.tag: entry for entry in new}
    gone = {(entry.to, entry.source) for tag, entry in before.items() if tag not in after}
    # What shared the way with a route that went is hashed over fewer routes now.
    tags = {tag: None for tag, entry in before.items() if (entry.to, entry.source) in gone}
    to: dict[IpPrefix, list[Tag]] = {}
    for tag, entry in before.items():
        to.setdefault(entry.to, []).append(tag)
    for tag, entry in after.items():
        if tag in before:
            continue
        if entry.to.length >= BUCKET_BITS:
            tags[bucket_tag(router, entry.to.address)] = None
            continue
        tags[no_route_tag(router)] = None
        for length in range(entry.to.length + 1):
            around = prefix_of(entry.to.address, length)
            tags.update(dict.fromkeys(to.get(around, ())))
    return tuple(tags)
