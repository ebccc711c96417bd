"""The store's objects back to a document: compiling it gives the same objects. Pure.

A link is named at one end only: at the bridge's if a router is at the other, else at the end
whose name comes first. What follows from other values is left out (made-up MACs, the port that
reaches a gateway, any source).
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from actors.state import topology
from actors.state.document import model
from actors.state.document.compile import ANY_SOURCE
from actors.state.document.networks import ConnectedNetworks
from actors.state.document.objects import ObjectError
from actors.values import HostId, PortId, stable_mac

Thing = TypeVar("Thing", bound=topology.TopologyObject)


def decompile(things: Iterable[topology.TopologyObject]) -> model.Document:
    """Return the document of all the objects of a store.

    It has a lab section, with all hosts, only if a host is in no tunnel zone and has no port.
    Raises ObjectError when an object refers to one that is not there.
    """
    everything = tuple(things)
    hosts = _of(topology.Host, everything)
    bridges, routers = _of(topology.Bridge, everything), _of(topology.Router, everything)
    zones, groups = _of(topology.TunnelZone, everything), _of(topology.PortGroup, everything)
    devices: tuple[topology.Bridge | topology.Router, ...] = (*bridges, *routers)
    names = _Names(
        {host.id: host.name for host in hosts},
        {port.id: port.name for device in devices for port in device.ports},
    )
    placed = {member.host for zone in zones for member in zone.members}
    placed.update(port.host for each in devices for port in each.ports if port.host is not None)
    lab = None
    if any(host.id not in placed for host in hosts):
        lab = model.Lab(hosts={host.name: model.LabHost() for host in hosts})
    return model.Document(
        ayatori=1,
        tunnel_zones={zone.name: _zone(zone) for zone in zones},
        bridges={bridge.name: _bridge(bridge, names) for bridge in bridges},
        routers={router.name: _router(router, names) for router in routers},
        port_groups={group.name: _group(group, names) for group in groups},
        lab=lab,
    )


class _Names:
    """What people call the hosts and ports behind the ids."""

    def __init__(self, hosts: dict[HostId, str], ports: dict[PortId, str]) -> None:
        self._hosts = hosts
        self._ports = ports

    def host(self, host: HostId | None) -> str | None:
        if host is None:
            return None
        if host not in self._hosts:
            raise ObjectError(f"a port is bound to host {host}, which is not in the store")
        return self._hosts[host]

    def port(self, port: PortId) -> str:
        if port not in self._ports:
            raise ObjectError(f"port {port} is referred to, but not in the store")
        return self._ports[port]


def _of(kind: type[Thing], things: Iterable[topology.TopologyObject]) -> list[Thing]:
    return sorted((each for each in things if isinstance(each, kind)), key=_by_name)


def _by_name(thing: topology.TopologyObject | topology.Port) -> list[tuple[int, str]]:
    return natural(thing.name)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts vm2 before vm10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _short(device: str, port: topology.Port) -> str:
    prefix, _, short = port.name.partition("/")
    if prefix != device or not short:
        raise ObjectError(f"port {port.name!r} is stored in device {device!r}")
    return short


def _peer(port: topology.Port, kind: topology.DeviceKind, names: _Names) -> str | None:
    if port.peer is None:
        return None
    far = names.port(port.peer.port)
    here = kind == "bridge" if port.peer.kind != kind else port.name < far
    return far if here else None


def _bridge(bridge: topology.Bridge, names: _Names) -> model.Bridge:
    ports = {
        _short(bridge.name, port): model.BridgePort(
            host=names.host(port.host),
            interface=port.interface,
            peer=_peer(port, "bridge", names),
            admin_up=port.admin_up,
        )
        for port in sorted(bridge.ports, key=_by_name)
    }
    return model.Bridge(ports=ports, admin_up=bridge.admin_up)


def _router(router: topology.Router, names: _Names) -> model.Router:
    ports = {
        _short(router.name, port): _router_port(port, names)
        for port in sorted(router.ports, key=_by_name)
    }
    networks = ConnectedNetworks(ports)
    routes = tuple(_route(route, networks, names) for route in router.routes)
    return model.Router(ports=ports, routes=routes, admin_up=router.admin_up)


def _router_port(port: topology.Port, names: _Names) -> model.RouterPort:
    if port.address is None:
        raise ObjectError(f"port {port.name!r} of a router is stored without an address")
    return model.RouterPort(
        address=port.address,
        mac=port.mac if port.mac != stable_mac(port.name) else None,
        host=names.host(port.host),
        interface=port.interface,
        peer=_peer(port, "router", names),
        admin_up=port.admin_up,
    )


def _route(route: topology.Route, networks: ConnectedNetworks, names: _Names) -> model.Route:
    port = names.port(route.port).partition("/")[2] if route.port is not None else None
    if route.via is not None and networks.port_of(route.via) == port:
        port = None
    return model.Route(
        to=route.to,
        source=route.source if route.source != ANY_SOURCE else None,
        via=route.via,
        port=port,
        action=route.action,
        weight=route.weight,
    )


def _zone(zone: topology.TunnelZone) -> model.TunnelZone:
    members = sorted(zone.members, key=lambda member: natural(member.host_name))
    return model.TunnelZone(
        type=zone.type, members={member.host_name: member.address for member in members}
    )


def _group(group: topology.PortGroup, names: _Names) -> model.PortGroup:
    ports = sorted((names.port(port) for port in group.ports), key=natural)
    return model.PortGroup(ports=tuple(ports), stateful=group.stateful)
