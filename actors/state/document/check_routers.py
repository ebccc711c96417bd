"""What routers may get wrong: addresses, networks that overlap, routes that lead nowhere."""

import ipaddress
from collections.abc import Iterator

from actors.state.document.errors import nearest
from actors.state.document.model import Document, Route, Router
from actors.state.document.networks import ConnectedNetworks
from actors.state.document.reader import Path
from actors.values import IpAddress, IpInterface, format_ip

_NO_IPV6 = "this version does not route IPv6 yet"


def wrong_unicast(address: IpAddress) -> str | None:
    """Return what an address is when it is none that one host could have, else None."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_multicast:
        return "a multicast address"
    if parsed.is_unspecified:
        return "the unspecified address"
    if parsed.is_loopback:
        return "a loopback address"
    if parsed.version == 4 and parsed.is_reserved:  # RFC 1112, section 4: 240/4 and broadcast
        return "a reserved address"
    return None


def wrong_interface(interface: IpInterface) -> str | None:
    """Return what is wrong with an address in its network, else None."""
    if (wrong := wrong_unicast(interface.address)) is not None:
        return f"{interface} is {wrong}"
    bits = len(interface.address) * 8 - interface.length
    if len(interface.address) == 4 and bits >= 2:  # RFC 3021: a /31 has neither
        host = int.from_bytes(interface.address) & ((1 << bits) - 1)
        if host == 0:
            return f"{interface} is the network's own address"
        if host == (1 << bits) - 1:
            return f"{interface} is the network's broadcast address"
    return None


def check_routers(document: Document) -> Iterator[tuple[Path, str]]:
    """Yield where each router is wrong, and how."""
    for name, router in document.routers.items():
        yield from _addresses(("routers", name, "ports"), router)
        networks = ConnectedNetworks(router.ports)
        own = {port.address.address for port in router.ports.values()}
        for index, route in enumerate(router.routes):
            path: Path = ("routers", name, "routes", index)
            where = next((key for key, length in _values(route) if length != 4), None)
            if where is not None:
                yield (*path, where), f"{_NO_IPV6}: {where} has to be IPv4"
                continue
            yield from _action(path, name, router, route)
            if route.via is None or route.action != "forward":
                continue
            if (wrong := wrong_unicast(route.via)) is not None:
                yield (*path, "via"), f"a gateway cannot be {wrong}"
            elif route.via in own:
                yield (*path, "via"), f"{format_ip(route.via)} is this router's own address"
            elif route.port is None and networks.port_of(route.via) is None:
                via = format_ip(route.via)
                yield (*path, "via"), f"no port of router {name!r} has {via} in its network"


def _addresses(path: Path, router: Router) -> Iterator[tuple[Path, str]]:
    networks = ConnectedNetworks()
    for name, port in router.ports.items():
        address, where = port.address, (*path, name, "address")
        if len(address.address) != 4:
            yield where, f"{_NO_IPV6}: a router's port has an IPv4 address"
            continue
        if (wrong := wrong_interface(address)) is not None:
            yield where, wrong
        elif (other := networks.overlapping(address)) is not None:
            earlier = router.ports[other].address
            yield where, f"{address} overlaps {earlier} of port {other!r} of this router"
        networks.add(name, address)


def _values(route: Route) -> list[tuple[str, int]]:
    values = [("to", len(route.to.address))]
    if route.source is not None:
        values.append(("from", len(route.source.address)))
    if route.via is not None:
        values.append(("via", len(route.via)))
    return values


def _action(path: Path, name: str, router: Router, route: Route) -> Iterator[tuple[Path, str]]:
    if route.action != "forward":
        for key, given in (("via", route.via), ("port", route.port)):
            if given is not None:
                yield (*path, key), f"a {route.action} route forwards nothing: leave {key} out"
    elif route.port is None and route.via is None:
        yield path, "a forward route needs via or port"
    elif route.port is not None and route.port not in router.ports:
        message = f"router {name!r} has no port {route.port!r}{nearest(route.port, router.ports)}"
        yield (*path, "port"), message
