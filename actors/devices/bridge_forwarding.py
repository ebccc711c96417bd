"""How a bridge decides: learn the source, then unicast, flood or drop. Pure.

Frames keep their VLAN tag and are learned per VLAN (IEEE 802.1Q independent learning). An ARP
request for a router that is joined to the bridge goes to that router's port alone.
"""

from msgspec import Struct

from actors.devices.bridge_view import BridgePort, BridgeView
from actors.devices.outcome import Dropped, Emitted, Forwarded, drop, emit, flood, forward
from actors.lifetimes import LIFE_ERROR, LIFE_PLAIN
from actors.messages.simulation import Branch, PacketContext, PortOutput
from actors.packets.flow_key import (
    SEEN_ETH_DST,
    SEEN_ETH_SRC,
    SEEN_IP_DST,
    SEEN_IP_PROTO,
    SEEN_IP_SRC,
    SEEN_VLAN,
)
from actors.tags import mac_tag, port_tag
from actors.values import Mac, PortId, Tag

ETHERTYPE_ARP = 0x0806
ARP_REQUEST = 1
VLAN_VID = 0xFFF
_UNTAGGED = b"\0\0"
_SEEN = SEEN_ETH_SRC | SEEN_ETH_DST | SEEN_VLAN
_SEEN_ARP = SEEN_IP_PROTO | SEEN_IP_SRC | SEEN_IP_DST


class MacEntry(Struct):
    """Where a MAC is. Times in nanoseconds."""

    port: PortId
    tag: Tag
    own: bool
    """This host learned it, and manages its life; else another host did."""
    used_at: int
    """When a packet from the MAC was last simulated here, or its last flow went."""
    held: bool = False
    """Flows of this host depend on it."""


class MacSeen(Struct, frozen=True, gc=False):
    """A frame from this (VLAN, MAC) entered by `port`: learn or refresh. `key` is VID + MAC."""

    key: bytes
    port: PortId
    known: bool


MacTable = dict[bytes, MacEntry]
"""VID (2 bytes, 0 if untagged) followed by the MAC -> entry."""


def decide(
    view: BridgeView, macs: MacTable, context: PacketContext, port_id: PortId
) -> tuple[Forwarded | Emitted | Dropped, MacSeen | None]:
    """Decide what becomes of a packet that enters by `port_id`, and what is learned from it."""
    headers = context.headers
    source = headers.eth_src
    port = view.ports.get(port_id)
    if port is None:
        tags = (*context.tags, view.tag, port_tag(port_id))
        return drop(context, context.seen, tags, "unknown port", LIFE_ERROR), None
    tags = (*context.tags, view.tag, port.tag)
    if not view.admin_up:
        return drop(context, context.seen, tags, "bridge down", LIFE_PLAIN), None
    if not port.admin_up:
        return drop(context, context.seen, tags, "port down", LIFE_PLAIN), None
    seen = context.seen | _SEEN
    if source[0] & 1:
        return drop(context, seen, tags, "multicast source", LIFE_PLAIN), None

    vlan = (headers.vlan_tci & VLAN_VID).to_bytes(2) if headers.vlan_tci else _UNTAGGED
    fact = None
    if source not in view.router_macs:
        key = vlan + source
        entry = macs.get(key)
        if entry is not None and entry.port == port_id:
            tags = (*tags, entry.tag)
            fact = MacSeen(key, port_id, known=True)
        else:
            tags = (*tags, mac_tag(view.id, int.from_bytes(vlan), source))
            fact = MacSeen(key, port_id, known=False)
    return _towards(view, macs, context, port_id, seen, tags, vlan), fact


def _towards(
    view: BridgeView,
    macs: MacTable,
    context: PacketContext,
    port_id: PortId,
    seen: int,
    tags: tuple[Tag, ...],
    vlan: bytes,
) -> Forwarded | Emitted | Dropped:
    headers = context.headers
    destination = headers.eth_dst
    out: PortId | None
    if destination[0] & 1:
        out = None
        if headers.ethertype == ETHERTYPE_ARP:
            seen |= _SEEN_ARP
            asks = headers.ip_proto == ARP_REQUEST and headers.ip_src != headers.ip_dst
            if asks and not headers.vlan_tci:
                out = view.router_ips.get(headers.ip_dst)
        if out is None:
            return _flood(view, context, port_id, seen, tags)
        tags = (*tags, view.flood_tag)
    else:
        out = view.router_macs.get(destination)
        if destination == headers.eth_src:
            out = port_id  # where it is just being learned, whatever the table says yet
        if out is None:
            entry = macs.get(vlan + destination)
            if entry is None or entry.port not in view.ports:
                unknown = mac_tag(view.id, int.from_bytes(vlan), Mac(destination))
                return _flood(view, context, port_id, seen, (*tags, unknown))
            out = entry.port
            tags = (*tags, entry.tag)
    if out == port_id:
        return drop(context, seen, tags, "back out of its port", LIFE_ERROR)
    port = view.ports[out]
    tags = (*tags, port.tag)
    if not port.admin_up:
        return drop(context, seen, tags, "port down", LIFE_PLAIN)
    if port.exterior:
        return emit(context, headers, seen, tags, out)
    if port.peer_device is None or port.peer_port is None:
        return drop(context, seen, tags, "unplugged port", LIFE_PLAIN)
    return forward(context, headers, seen, tags, port.peer_device, port.peer_port)


def _flood(
    view: BridgeView, context: PacketContext, port_id: PortId, seen: int, tags: tuple[Tag, ...]
) -> Emitted | Dropped:
    """Send to every port but the one of entry; to routers only ARP, as they take no other flood."""
    headers = context.headers
    depth = context.depth + 1
    to_routers = headers.ethertype == ETHERTYPE_ARP and headers.eth_dst[0] & 1
    outputs: list[PortOutput] = []
    branches: list[Branch] = []
    for identity, port in view.ports.items():
        if identity == port_id or not port.admin_up:
            continue
        if port.exterior:
            outputs.append(PortOutput(identity, headers))
        elif port.peer_device is not None and (to_routers or not port.to_router):
            branches.append(_branch(port, context, depth))
    return flood(context, seen, (*tags, view.flood_tag), tuple(outputs), tuple(branches))


def _branch(port: BridgePort, context: PacketContext, depth: int) -> Branch:
    assert port.peer_device is not None and port.peer_port is not None  # noqa: S101, PT018
    return Branch(port.peer_device, port.peer_port, context.headers, depth)
