"""A bridge's configuration in the shape that forwarding wants it, and what a change of it touches."""

from msgspec import Struct

from actors.state.topology import Bridge, Port
from actors.tags import device_tag, flood_tag, port_tag
from actors.values import ActorName, DeviceId, IpAddress, Mac, PortId, Tag


class BridgePort(Struct, frozen=True):
    """A port as forwarding sees it: exterior, or interior with what stands behind it."""

    id: PortId
    admin_up: bool
    exterior: bool
    peer_device: ActorName | None
    peer_port: PortId | None
    to_router: bool
    tag: Tag


class BridgeView(Struct, frozen=True):
    """The whole bridge. Made anew from each configuration; never part of a snapshot."""

    id: DeviceId
    tag: Tag
    flood_tag: Tag
    admin_up: bool
    ports: dict[PortId, BridgePort]
    router_macs: dict[Mac, PortId]
    """MAC of a router's port that is joined to this bridge -> this bridge's port towards it."""
    router_ips: dict[IpAddress, PortId]


def view_of(config: Bridge) -> BridgeView:
    """Build the view of a configuration."""
    ports: dict[PortId, BridgePort] = {}
    router_macs: dict[Mac, PortId] = {}
    router_ips: dict[IpAddress, PortId] = {}
    for port in config.ports:
        ports[port.id] = _port_view(port)
        if port.peer is not None and port.peer.mac is not None:
            router_macs[port.peer.mac] = port.id
            if port.peer.address is not None:
                router_ips[port.peer.address.address] = port.id
    return BridgeView(
        config.id,
        device_tag(config.id),
        flood_tag(config.id),
        config.admin_up,
        ports,
        router_macs,
        router_ips,
    )


def _port_view(port: Port) -> BridgePort:
    peer = port.peer
    return BridgePort(
        port.id,
        port.admin_up,
        peer is None and port.host is not None,
        None if peer is None else ActorName(f"{peer.kind}/{peer.device}"),
        None if peer is None else peer.port,
        peer is not None and peer.kind == "router",
        port_tag(port.id),
    )


def changed_tags(old: Bridge, new: Bridge) -> tuple[Tag, ...]:
    """Return the tags of flows that the change may concern, and of no others.

    A port that came, went or changed concerns the flows that use it, and the floods; the bridge's
    own settings concern all.
    """
    tags: list[Tag] = []
    if old.admin_up != new.admin_up:
        tags.append(device_tag(old.id))
    before = {port.id: port for port in old.ports}
    after = {port.id: port for port in new.ports}
    changed = [
        identity
        for identity in (*before, *(p for p in after if p not in before))
        if before.get(identity) != after.get(identity)
    ]
    tags += [port_tag(identity) for identity in changed]
    if changed:
        tags.append(flood_tag(old.id))
    return tuple(tags)
