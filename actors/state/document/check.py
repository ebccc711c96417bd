"""What a well-formed document may still get wrong: references, bindings, links, zones, groups."""

import itertools
from collections.abc import Iterator

from actors.state.document.check_lab import check_lab
from actors.state.document.check_routers import check_routers, wrong_unicast
from actors.state.document.errors import MAX_PROBLEMS, Problem, nearest
from actors.state.document.model import Document
from actors.state.document.ports import NamedPort, ports_of
from actors.state.document.reader import Path, Places
from actors.state.document.unsupported import unsupported
from actors.state.topology import TUNNEL_LINKS
from actors.values import IpAddress


def check(document: Document, places: Places) -> tuple[Problem, ...]:
    """Return what is wrong with a document whose values are of the right types."""
    return tuple(itertools.islice(_problems(document, places), MAX_PROBLEMS))


def _problems(document: Document, places: Places) -> Iterator[Problem]:
    ports = ports_of(document)
    for path, message in unsupported(document):
        yield Problem(*places.key(path), message)
    for path, message in itertools.chain(
        _devices(document),
        _zones(document),
        _bindings(document, ports),
        _links(ports),
        check_routers(document),
        _groups(document, ports),
        check_lab(document, ports),
    ):
        yield Problem(*places.value(path), message)


def missing_port(name: str, ports: dict[str, NamedPort]) -> str | None:
    """Return what to say about the reference to a port if there is none of that name."""
    if name in ports:
        return None
    device = name.partition("/")[0]
    devices = {each.device for each in ports.values()}
    if device not in devices and devices:
        return (
            f"there is no port {name!r}: no device {device!r} has ports{nearest(device, devices)}"
        )
    siblings = [each.name for each in ports.values() if each.device == device]
    return f"there is no port {name!r}{nearest(name, siblings)}"


def _devices(document: Document) -> Iterator[tuple[Path, str]]:
    for name in document.routers:
        if name in document.bridges:
            yield ("routers", name), f"{name!r} is already the name of a bridge"


def _zones(document: Document) -> Iterator[tuple[Path, str]]:
    for name, zone in document.tunnel_zones.items():
        holders: dict[IpAddress, str] = {}
        for host, address in zone.members.items():
            path = ("tunnel_zones", name, "members", host)
            if len(address) != 4:
                yield path, "this version has no IPv6 underlays yet"
            elif (wrong := wrong_unicast(address)) is not None:
                yield path, f"an underlay address cannot be {wrong}"
            elif address in holders:
                yield path, f"host {holders[address]!r} has this address already"
            holders.setdefault(address, host)


def _bindings(document: Document, ports: dict[str, NamedPort]) -> Iterator[tuple[Path, str]]:
    declared = {host for zone in document.tunnel_zones.values() for host in zone.members}
    declared.update(document.lab.hosts if document.lab is not None else ())
    bound: dict[tuple[str, str], str] = {}
    for name, named in ports.items():
        host, interface = named.port.host, named.port.interface
        if host is not None and declared and host not in declared:
            yield (
                (*named.path, "host"),
                f"there is no host {host!r} in tunnel_zones or lab{nearest(host, declared)}",
            )
        if host is not None and interface is None:
            yield (*named.path, "host"), f"port {name} has a host, but no interface"
        elif host is None and interface is not None:
            yield (*named.path, "interface"), f"port {name} has an interface, but no host"
        elif host is not None and interface is not None:
            if interface in TUNNEL_LINKS.values():
                yield (*named.path, "interface"), f"{interface!r} is the name of a tunnel's port"
            first = bound.setdefault((host, interface), name)
            if first != name:
                message = f"interface {interface!r} of host {host!r} is port {first} already"
                yield (*named.path, "interface"), message


def _links(ports: dict[str, NamedPort]) -> Iterator[tuple[Path, str]]:
    claimed: dict[str, str] = {}
    for name, named in ports.items():
        peer = named.port.peer
        if peer is None:
            continue
        path = (*named.path, "peer")
        if (missing := missing_port(peer, ports)) is not None:
            yield path, missing
            continue
        far, first = ports[peer].port, claimed.setdefault(peer, name)
        if named.port.host is not None or named.port.interface is not None:
            yield path, f"port {name} has both a peer and a host's interface"
        elif peer == name:
            yield path, f"port {name} names itself as its peer"
        elif far.peer is not None and far.peer != name:
            yield path, f"{peer} names {far.peer} as its peer, not {name}"
        elif first != name:
            yield path, f"{peer} is the peer of {first} already"
        elif far.peer is None and (far.host is not None or far.interface is not None):
            yield path, f"{peer} is bound to a host's interface, so it cannot be a peer"


def _groups(document: Document, ports: dict[str, NamedPort]) -> Iterator[tuple[Path, str]]:
    for name, group in document.port_groups.items():
        seen: set[str] = set()
        for index, port in enumerate(group.ports):
            path = ("port_groups", name, "ports", index)
            if (missing := missing_port(port, ports)) is not None:
                yield path, missing
            elif port in seen:
                yield path, f"{port} is in this group already"
            seen.add(port)
