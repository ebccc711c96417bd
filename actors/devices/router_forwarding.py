"""How a router decides about a packet at a hop: RFC 1812's path through a router. Pure."""

from msgspec import Struct

from actors.devices.arp_entries import ArpEntry, ArpSeen, ArpTables
from actors.devices.outcome import (
    Consumed,
    Dropped,
    Emitted,
    Forwarded,
    consume,
    drop,
    emit,
    forward,
)
from actors.devices.router_view import RouterPort, RouterView
from actors.devices.routing_table import RouteEntry, bucket_tag, no_route_tag
from actors.lifetimes import LIFE_ERROR, LIFE_NONE, LIFE_PLAIN
from actors.messages.simulation import PacketContext
from actors.packets.arp import arp_reply
from actors.packets.errors import PacketError
from actors.packets.flow_key import (
    FRAG_NONE,
    SEEN_ETH_DST,
    SEEN_ETH_SRC,
    SEEN_IP_DST,
    SEEN_IP_FRAG,
    SEEN_IP_PROTO,
    SEEN_IP_SRC,
    SEEN_IP_TTL,
    SEEN_L4_DST,
    SEEN_L4_SRC,
    SEEN_VLAN,
    FlowKey,
)
from actors.packets.icmp import echo_reply
from actors.packets.ipv4 import header_checksum_ok
from actors.packets.rewrite import frame_with
from actors.tags import port_tag
from actors.values import BROADCAST_MAC, ZERO_MAC, IpAddress, Mac, PortId, Tag

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ARP_REQUEST = 1
PROTO_ICMP, PROTO_TCP, PROTO_UDP = 1, 6, 17
ICMP_ECHO_REQUEST = 8
ETHERNET_HEADER = 14

UNREACHABLE, TIME_EXCEEDED = 3, 11
NET_UNREACHABLE, HOST_UNREACHABLE, PROTOCOL_UNREACHABLE, PORT_UNREACHABLE = 0, 1, 2, 3
PROHIBITED = 13

SEEN_BY_ICMP_RULES = SEEN_IP_PROTO | SEEN_IP_FRAG | SEEN_L4_SRC
"""What decides, beside addresses, whether an ICMP error about a packet may be sent."""


class Answered(Struct, frozen=True, gc=False):
    """The packet was for the router, which sends `frame` back by the port of entry."""

    context: PacketContext
    frame: bytes
    learned: ArpSeen | None = None


class Noted(Struct, frozen=True, gc=False):
    """The packet was for the router, which only learns from it."""

    context: PacketContext
    learned: ArpSeen


class Rejected(Struct, frozen=True, gc=False):
    """The packet goes no further, and its sender is to be told by ICMP if the rules allow."""

    context: PacketContext
    icmp_type: int
    icmp_code: int


class NeedsMac(Struct, frozen=True, gc=False):
    """The way is known, but not the MAC of the next hop on the link of `port`."""

    context: PacketContext
    port: PortId
    next_hop: IpAddress


RouterOutcome = Forwarded | Emitted | Dropped | Consumed | Answered | Noted | Rejected | NeedsMac


def decide(
    view: RouterView, arp: ArpTables, context: PacketContext, port_id: PortId
) -> RouterOutcome:
    """Decide what becomes of a packet that enters by `port_id`."""
    headers = context.headers
    port = view.ports.get(port_id)
    if port is None:
        tags = (*context.tags, view.tag, port_tag(port_id))
        return drop(context, context.seen, tags, "unknown port", LIFE_ERROR)
    tags = (*context.tags, view.tag, port.tag)
    seen = context.seen | SEEN_ETH_DST | SEEN_VLAN
    if headers.vlan_tci:
        return drop(context, seen, tags, "VLAN tag at a router", LIFE_PLAIN)
    if headers.ethertype == ETHERTYPE_ARP:
        return _arp(view, port, context, seen, tags)
    if headers.eth_dst != port.mac:
        return drop(context, seen, tags, "not for this router", LIFE_PLAIN)
    if headers.ethertype != ETHERTYPE_IPV4:
        return drop(context, seen, tags, "no IPv4", LIFE_PLAIN)
    if len(headers.ip_src) != 4:
        return drop(context, seen, tags, "malformed IPv4 header", LIFE_NONE)
    if headers is context.key and not header_checksum_ok(context.frame, ETHERNET_HEADER):
        return drop(context, seen, tags, "wrong IP header checksum", LIFE_NONE)
    seen |= SEEN_IP_SRC | SEEN_IP_DST
    if not (view.admin_up and port.admin_up):
        return Rejected(_with(context, seen, tags, "down"), UNREACHABLE, PROHIBITED)
    source, destination = headers.ip_src, headers.ip_dst
    if is_martian_source(view, source):
        return drop(context, seen, tags, "martian source", LIFE_PLAIN)
    if destination in view.addresses:
        return _for_us(context, seen, tags)
    first = destination[0]
    if first >= 224 or first in {0, 127} or destination in view.broadcasts:
        return drop(context, seen, tags, "not unicast", LIFE_PLAIN)
    seen |= SEEN_IP_TTL
    if headers.ip_ttl <= 1:
        return Rejected(_with(context, seen, tags, "TTL exceeded"), TIME_EXCEEDED, 0)

    found = view.routes.find(headers)
    seen |= found.seen
    route = found.route
    tags = (*tags, bucket_tag(view.id, destination))
    if route is None:
        tags = (*tags, no_route_tag(view.id))
        return Rejected(_with(context, seen, tags, "no route"), UNREACHABLE, NET_UNREACHABLE)
    tags = (*tags, route.tag)
    if route.action == "blackhole":
        return drop(context, seen, tags, "blackhole route", LIFE_PLAIN)
    if route.action == "reject":
        return Rejected(_with(context, seen, tags, "reject route"), UNREACHABLE, PROHIBITED)
    return _by(view, arp, context, seen, tags, route)


def _by(
    view: RouterView,
    arp: ArpTables,
    context: PacketContext,
    seen: int,
    tags: tuple[Tag, ...],
    route: RouteEntry,
) -> RouterOutcome:
    """Leave by a route's port."""
    headers = context.headers
    port = None if route.port is None else view.ports.get(route.port)
    if port is None:
        return drop(context, seen, tags, "unusable route", LIFE_ERROR)
    next_hop = route.via if route.via is not None else headers.ip_dst
    tags = (*tags, port.tag)
    if port.peer_mac is not None and next_hop == port.peer_address:
        mac = port.peer_mac
    else:
        entry = arp_entry(arp, port.id, next_hop)
        if entry is None:
            return NeedsMac(_with(context, seen, tags, ""), port.id, next_hop)
        mac = entry.mac
        tags = (*tags, entry.tag)
    if context.key.eth_src == port.mac:
        # No action will set it: a packet from any other MAC needs a flow of its own.
        seen |= SEEN_ETH_SRC
    h = headers
    onward = FlowKey(
        h.in_port, h.tunnel, port.mac, mac, h.ethertype, h.vlan_tci, h.vlan_tpid, h.cvlan_tci,
        h.cvlan_tpid, h.ip_src, h.ip_dst, h.ip_proto, h.ip_tos, h.ip_ttl - 1, h.ip_frag,
        h.ipv6_label, h.l4_src, h.l4_dst, h.tcp_flags,
    )  # fmt: skip
    if port.exterior:
        return emit(context, onward, seen, tags, port.id)
    if port.peer_device is None or port.peer_port is None:
        return drop(context, seen, tags, "unplugged port", LIFE_ERROR)
    return forward(context, onward, seen, tags, port.peer_device, port.peer_port)


def arp_entry(arp: ArpTables, port: PortId, address: IpAddress) -> ArpEntry | None:
    """Return the entry of an address on a port's link, if there is one."""
    table = arp.get(port)
    return None if table is None else table.get(address)


def is_martian_source(view: RouterView, source: IpAddress) -> bool:
    """Tell whether no honest packet can come from `source` (RFC 1812 5.3.7)."""
    first = source[0]
    return (
        first >= 224 or first in {0, 127} or source in view.addresses or source in view.broadcasts
    )


def _for_us(context: PacketContext, seen: int, tags: tuple[Tag, ...]) -> RouterOutcome:
    """Answer what is addressed to the router itself; its TTL does not matter."""
    headers = context.headers
    seen |= SEEN_IP_PROTO | SEEN_IP_FRAG | SEEN_L4_SRC | SEEN_L4_DST
    if headers.ip_frag != FRAG_NONE:
        return drop(context, seen, tags, "fragment for the router", LIFE_ERROR)
    if headers.ip_proto == PROTO_ICMP:
        if headers.l4_src == ICMP_ECHO_REQUEST and headers.l4_dst == 0:
            try:
                reply = echo_reply(frame_with(context.frame, context.key, headers))
            except PacketError:
                return drop(context, seen, tags, "malformed echo request", LIFE_NONE)
            return Answered(_with(context, seen, tags, ""), reply)
        return consume(_with(context, seen, tags, ""), "ICMP for the router")
    if headers.ip_proto == PROTO_TCP:
        return drop(context, seen, tags, "TCP for the router", LIFE_ERROR)
    code = PORT_UNREACHABLE if headers.ip_proto == PROTO_UDP else PROTOCOL_UNREACHABLE
    return Rejected(_with(context, seen, tags, "for the router"), UNREACHABLE, code)


def _arp(
    view: RouterView, port: RouterPort, context: PacketContext, seen: int, tags: tuple[Tag, ...]
) -> RouterOutcome:
    """Learn from ARP, and answer requests for the port's own address (RFC 826)."""
    headers = context.headers
    if headers.eth_dst != port.mac and headers.eth_dst != BROADCAST_MAC:  # noqa: PLR1714 - faster
        return drop(context, seen, tags, "not for this router", LIFE_PLAIN)
    if len(headers.ip_src) != 4 or len(headers.arp_sha) != 6:
        return drop(context, seen, tags, "malformed ARP", LIFE_NONE)
    if not (view.admin_up and port.admin_up):
        return drop(context, seen, tags, "down", LIFE_PLAIN)
    sender, target = headers.ip_src, headers.ip_dst
    own = port.interface.address
    for_us = target == own
    context = _with(context, seen, tags, "")
    if sender == own:
        return consume(context, "ARP with the router's own address")
    sound = (
        port.first < int.from_bytes(sender) < port.last
        or (port.interface.length >= 31 and port.first <= int.from_bytes(sender) <= port.last)
    ) and not (headers.arp_sha[0] & 1 or headers.arp_sha == ZERO_MAC)
    learned = ArpSeen(port.id, sender, Mac(headers.arp_sha), for_us) if sound else None
    if for_us and headers.ip_proto == ARP_REQUEST:
        frame = arp_reply(port.mac, own, headers.arp_sha, sender)
        return Answered(context, frame, learned)
    if learned is None:
        return consume(context, "ARP from another network")
    return Noted(context, learned)


def _with(context: PacketContext, seen: int, tags: tuple[Tag, ...], reason: str) -> PacketContext:
    c = context
    return PacketContext(
        c.number, c.at, c.raw_key, c.key, c.headers, c.frame, c.ingress, seen, tags, c.outputs,
        c.pending, c.depth, c.hops, c.lifetime, reason or c.reason, c.resumed, c.waited_tags, c.trace,
    )  # fmt: skip
