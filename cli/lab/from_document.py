"""What a topology document's lab section asks for, as plain values for the plan. Pure.

The document was checked when it was loaded; here only what building it on Linux adds is refused.
"""

from collections.abc import Iterator

from actors.state.document import Document
from actors.state.document import Machine as DocumentMachine
from actors.state.document.ports import ports_of
from actors.values import IpAddress, format_ip, format_mac, stable_mac
from cli.errors import CommandError, ExitStatus
from cli.lab.wanted import Host, Lab, Machine, Plug, Route, UnderlayRoute

_TUNNEL_BYTES = {"vxlan": 30, "geneve": 30, "gre": 22}
"""What a tunnel adds between the outer IP header and the inner IP packet, inner Ethernet included:
14 and UDP 8 + VXLAN 8 (RFC 7348), UDP 8 + Geneve 8 (RFC 8926), GRE with key 8 (RFC 2890)."""
_IP_HEADER = {4: 20, 16: 40}
"""Bytes of an outer IP header, by the length of an address."""
_DEFAULT_OVERHEAD = _IP_HEADER[4] + _TUNNEL_BYTES["vxlan"]
_LEAST_MTU = 68
_LEAST_IPV6_MTU = 1280
"""Bytes (RFC 791, RFC 8200)."""
_RESERVED = {"lo", "underlay0", "store0", "all", "default"}
"""Interface names that a host's namespace has already, or that the kernel refuses."""


def wanted_lab(document: Document) -> Lab:
    """Return the lab that a loaded document describes. Raises CommandError USAGE."""
    if document.lab is None:
        raise CommandError("the document has no lab section", ExitStatus.USAGE)
    lab = document.lab
    ports = ports_of(document)
    hosts = {name: _host(document, name) for name in lab.hosts}
    mtu = lab.mtu - _overhead(document)
    machines = {}
    for name, machine in lab.machines.items():
        port = ports[machine.port].port
        if port.host is None or port.interface is None:
            raise CommandError(f"machine {name}: port {machine.port} is unbound", ExitStatus.USAGE)
        plug = Plug(port.host, port.interface)
        machines[name] = _machine(name, machine, plug, mtu)
    wanted = Lab(mtu=lab.mtu, hosts=hosts, machines=machines)
    for problem in _problems(wanted):
        raise CommandError(problem, ExitStatus.USAGE)
    return wanted


def _host(document: Document, name: str) -> Host:
    addresses: dict[str, None] = {}
    routes: dict[str, UnderlayRoute] = {}
    for zone in document.tunnel_zones.values():
        own = zone.members.get(name)
        if own is None:
            continue
        addresses[_single(own)] = None
        for member, address in zone.members.items():
            if member != name and len(address) == len(own):
                to = _single(address)
                routes.setdefault(to, UnderlayRoute(to, format_ip(own)))
    return Host(name, tuple(addresses), tuple(routes.values()))


def _single(address: IpAddress) -> str:
    return f"{format_ip(address)}/{len(address) * 8}"


def _overhead(document: Document) -> int:
    """Return how much smaller than the underlay's the MTU of a machine has to be.

    The same for all: machines of several hosts share a bridge, whose MTU is one.
    """
    return max(
        (
            _IP_HEADER[len(address)] + _TUNNEL_BYTES[zone.type]
            for zone in document.tunnel_zones.values()
            for address in zone.members.values()
        ),
        default=_DEFAULT_OVERHEAD,
    )


def _machine(name: str, machine: DocumentMachine, plug: Plug, mtu: int) -> Machine:
    routes = [Route(str(route.to), format_ip(route.via)) for route in machine.routes]
    if machine.gateway is not None:
        default = "0.0.0.0/0" if len(machine.gateway) == 4 else "::/0"
        routes.insert(0, Route(default, format_ip(machine.gateway)))
    return Machine(
        name=name,
        port=machine.port,
        plug=plug,
        mac=format_mac(machine.mac if machine.mac is not None else stable_mac(f"machine/{name}")),
        mtu=machine.mtu if machine.mtu is not None else mtu,
        addresses=tuple(str(address) for address in machine.addresses),
        routes=tuple(routes),
    )


def _problems(lab: Lab) -> Iterator[str]:
    for host in lab.hosts.values():
        if lab.mtu < _LEAST_IPV6_MTU and any(":" in address for address in host.addresses):
            yield f"host {host.name}: IPv6 needs an underlay MTU of {_LEAST_IPV6_MTU} or more"
    taken: dict[Plug | None, str] = {}
    for machine in lab.machines.values():
        yield from _machine_problems(machine)
        if machine.name in lab.hosts:
            yield f"{machine.name!r} is the name of a host and of a machine"
        first = taken.setdefault(machine.plug, machine.name)
        if first != machine.name:
            yield f"machines {first} and {machine.name} are on one interface of a host"


def _machine_problems(machine: Machine) -> Iterator[str]:
    label = f"machine {machine.name}"
    interface = machine.plug.interface if machine.plug else ""
    if interface in _RESERVED or "%" in interface:
        yield f"{label}: no interface of a host can be called {interface!r}"
    if machine.mtu < _LEAST_IPV6_MTU and any(":" in each for each in machine.addresses):
        yield f"{label}: IPv6 needs an MTU of {_LEAST_IPV6_MTU} or more"
    if machine.mtu < _LEAST_MTU:
        yield f"{label}: an MTU of {machine.mtu} is below IPv4's least, {_LEAST_MTU}"
    destinations = [route.to for route in machine.routes]
    for to in destinations:
        if destinations.count(to) > 1:
            yield f"{label}: two routes to {to}"
