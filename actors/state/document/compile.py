"""A checked document to the objects that the store holds. Pure.

Ids follow from names, and everything but routes is sorted, so that the same network always
compiles to the same bytes.
"""

from collections.abc import Iterator, Mapping

from actors.state import topology
from actors.state.document import model
from actors.state.document.networks import ConnectedNetworks
from actors.state.document.ports import NamedPort, hosts_of, links_of, ports_of
from actors.values import (
    DeviceId,
    HostId,
    IpAddress,
    IpPrefix,
    Mac,
    PortId,
    stable_id,
    stable_mac,
)

ANY_SOURCE = IpPrefix(IpAddress(bytes(4)), 0)
"""0.0.0.0/0."""


def compile_document(document: model.Document) -> tuple[topology.TopologyObject, ...]:
    """Return the objects of a document that `parse_document` or `load_document` returned.

    In the order bridges, routers, hosts, tunnel zones, port groups, by name within each.
    """
    named = ports_of(document)
    links = links_of(named)
    ports = {name: _port(each, named, links) for name, each in sorted(named.items())}
    return (
        *(_bridge(name, bridge, ports) for name, bridge in sorted(document.bridges.items())),
        *(_router(name, router, ports) for name, router in sorted(document.routers.items())),
        *_hosts(document, named),
        *(_zone(name, zone) for name, zone in sorted(document.tunnel_zones.items())),
        *(_group(name, group) for name, group in sorted(document.port_groups.items())),
    )


def port_id(name: str) -> PortId:
    """Return the id of the port that users call `device/port`."""
    return PortId(stable_id("port", name))


def host_id(name: str) -> HostId:
    """Return the id of the host that users call so."""
    return HostId(stable_id("host", name))


def _device_id(kind: topology.DeviceKind, name: str) -> DeviceId:
    return DeviceId(stable_id(kind, name))


def _mac(named: NamedPort) -> Mac | None:
    if not isinstance(named.port, model.RouterPort):
        return None
    return named.port.mac if named.port.mac is not None else stable_mac(named.name)


def _port(
    named: NamedPort, ports: Mapping[str, NamedPort], links: Mapping[str, str]
) -> topology.Port:
    port, peer = named.port, None
    if named.name in links:
        far = ports[links[named.name]]
        peer = topology.Peer(
            port=port_id(far.name),
            device=_device_id(far.kind, far.device),
            kind=far.kind,
            mac=_mac(far),
            address=far.port.address if isinstance(far.port, model.RouterPort) else None,
        )
    return topology.Port(
        id=port_id(named.name),
        name=named.name,
        admin_up=port.admin_up,
        host=host_id(port.host) if port.host is not None else None,
        interface=port.interface,
        peer=peer,
        mac=_mac(named),
        address=port.address if isinstance(port, model.RouterPort) else None,
    )


def _ports(
    device: str, own: Mapping[str, object], ports: Mapping[str, topology.Port]
) -> tuple[topology.Port, ...]:
    return tuple(ports[f"{device}/{name}"] for name in sorted(own))


def _bridge(name: str, bridge: model.Bridge, ports: Mapping[str, topology.Port]) -> topology.Bridge:
    return topology.Bridge(
        id=_device_id("bridge", name),
        name=name,
        admin_up=bridge.admin_up,
        ports=_ports(name, bridge.ports, ports),
    )


def _router(name: str, router: model.Router, ports: Mapping[str, topology.Port]) -> topology.Router:
    networks = ConnectedNetworks(router.ports)
    return topology.Router(
        id=_device_id("router", name),
        name=name,
        admin_up=router.admin_up,
        ports=_ports(name, router.ports, ports),
        routes=tuple(_route(name, networks, route) for route in router.routes),
    )


def _route(name: str, networks: ConnectedNetworks, route: model.Route) -> topology.Route:
    port = route.port
    if port is None and route.via is not None:
        port = networks.port_of(route.via)
    return topology.Route(
        to=route.to,
        source=route.source if route.source is not None else ANY_SOURCE,
        action=route.action,
        port=port_id(f"{name}/{port}") if port is not None else None,
        via=route.via,
        weight=route.weight,
    )


def _hosts(document: model.Document, ports: Mapping[str, NamedPort]) -> Iterator[topology.Host]:
    bindings: dict[str, list[topology.Binding]] = {name: [] for name in hosts_of(document)}
    for full, named in sorted(ports.items()):
        if named.port.host is not None and named.port.interface is not None:
            binding = topology.Binding(
                port=port_id(full),
                port_name=full,
                interface=named.port.interface,
                device=_device_id(named.kind, named.device),
                kind=named.kind,
            )
            bindings[named.port.host].append(binding)
    for name, bound in sorted(bindings.items()):
        yield topology.Host(id=host_id(name), name=name, bindings=tuple(bound))


def _zone(name: str, zone: model.TunnelZone) -> topology.TunnelZone:
    return topology.TunnelZone(
        id=stable_id("tunnel-zone", name),
        name=name,
        type=zone.type,
        members=tuple(
            topology.Member(host=host_id(host), host_name=host, address=address)
            for host, address in sorted(zone.members.items())
        ),
    )


def _group(name: str, group: model.PortGroup) -> topology.PortGroup:
    return topology.PortGroup(
        id=stable_id("port-group", name),
        name=name,
        stateful=group.stateful,
        ports=tuple(port_id(port) for port in sorted(group.ports)),
    )
