"""A router's configuration in the shape that forwarding wants it, and what a change touches."""

from collections.abc import Container

from msgspec import Struct

from actors.devices.routing_table import (
    RouteEntry,
    RoutingTable,
    changed_route_tags,
    entries_of,
    is_exterior,
)
from actors.state.topology import Port, Router
from actors.tags import device_tag, port_tag
from actors.values import (
    ActorName,
    DeviceId,
    IpAddress,
    IpInterface,
    Mac,
    PortId,
    Tag,
)


class RouterPort(Struct, frozen=True):
    """A port as forwarding sees it."""

    id: PortId
    admin_up: bool
    mac: Mac
    interface: IpInterface
    first: int
    """The network's own address, as a number."""
    last: int
    """The network's broadcast address, as a number."""
    exterior: bool
    peer_device: ActorName | None
    peer_port: PortId | None
    peer_address: IpAddress | None
    """Of another router's port that is joined to this one directly, with its MAC."""
    peer_mac: Mac | None
    tag: Tag


class RouterView(Struct, frozen=True):
    """The whole router. Made anew from each configuration; never part of a snapshot."""

    id: DeviceId
    tag: Tag
    admin_up: bool
    ports: dict[PortId, RouterPort]
    addresses: dict[IpAddress, PortId]
    broadcasts: dict[IpAddress, PortId]
    routes: RoutingTable


def view_of(config: Router, active: Container[PortId]) -> RouterView:
    """Build the view of a configuration, given the exterior ports that some host has active.

    Ports without MAC and address are left out.
    """
    ports = {}
    for port in config.ports:
        seen = _port_view(port)
        if seen is not None:
            ports[port.id] = seen
    return RouterView(
        config.id,
        device_tag(config.id),
        config.admin_up,
        ports,
        {port.interface.address: port.id for port in ports.values()},
        {
            IpAddress(port.last.to_bytes(4)): port.id
            for port in ports.values()
            if port.interface.length < 31
        },
        RoutingTable(config.id, entries_of(config, active)),
    )


def _port_view(port: Port) -> RouterPort | None:
    if port.mac is None or port.address is None or len(port.address.address) != 4:
        return None
    peer = port.peer
    network = port.address.network
    first = int.from_bytes(network.address)
    return RouterPort(
        port.id,
        port.admin_up,
        port.mac,
        port.address,
        first,
        first + (1 << (32 - network.length)) - 1,
        is_exterior(port),
        None if peer is None else ActorName(f"{peer.kind}/{peer.device}"),
        None if peer is None else peer.port,
        None if peer is None or peer.address is None else peer.address.address,
        None if peer is None else peer.mac,
        port_tag(port.id),
    )


def changed_tags(
    old: Router, new: Router, routes: tuple[RouteEntry, ...], new_routes: tuple[RouteEntry, ...]
) -> tuple[Tag, ...]:
    """Return the tags of flows that the change may concern, and of no others."""
    tags: list[Tag] = []
    own = {p.address for p in old.ports}
    becoming = {p.address for p in new.ports}
    if old.admin_up != new.admin_up or own != becoming:
        # Any packet may be to or from an address of the router's own, or a subnet's broadcast.
        tags.append(device_tag(old.id))
    before = {port.id: port for port in old.ports}
    after = {port.id: port for port in new.ports}
    tags += [
        port_tag(identity)
        for identity in (*before, *(p for p in after if p not in before))
        if before.get(identity) != after.get(identity)
    ]
    tags += changed_route_tags(old.id, routes, new_routes)
    return tuple(tags)
