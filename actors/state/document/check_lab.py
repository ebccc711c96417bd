"""What a lab section may get wrong: machines on ports that cannot take them, unusable addresses."""

from collections.abc import Iterator

from actors.state.document.check_routers import wrong_interface, wrong_unicast
from actors.state.document.errors import nearest
from actors.state.document.model import Document, Lab, LabHost, Machine
from actors.state.document.ports import NamedPort, links_of, ports_of
from actors.state.document.reader import Path
from actors.values import IpAddress, IpInterface, format_ip


def with_hosts(document: Document, lab: Lab) -> Lab:
    """Return a lab section that says its hosts: the tunnel zones' members if it left them out.

    Without tunnel zones they are the hosts that ports are bound to.
    """
    if lab.hosts:
        return lab
    hosts = {host: LabHost() for zone in document.tunnel_zones.values() for host in zone.members}
    if not hosts:
        bound = [named.port.host for named in ports_of(document).values()]
        hosts = {host: LabHost() for host in bound if host is not None}
    return Lab(mtu=lab.mtu, hosts=hosts, machines=lab.machines)


def check_lab(document: Document, ports: dict[str, NamedPort]) -> Iterator[tuple[Path, str]]:
    """Yield where the lab section is wrong, and how."""
    if document.lab is None:
        return
    links = links_of(ports)
    taken: dict[str, str] = {}
    for name, machine in document.lab.machines.items():
        path: Path = ("lab", "machines", name)
        wrong = _wrong_port(machine.port, ports, links)
        first = taken.setdefault(machine.port, name)
        if wrong is None and first != name:
            wrong = f"machine {first!r} is on port {machine.port} already"
        if wrong is None:
            host = ports[machine.port].port.host
            if host not in document.lab.hosts:
                wrong = f"port {machine.port} is on host {host!r}, which is none of the lab's"
        if wrong is not None:
            yield (*path, "port"), wrong
        yield from _addresses(path, machine)


def _wrong_port(name: str, ports: dict[str, NamedPort], links: dict[str, str]) -> str | None:
    if name not in ports:
        return f"there is no port {name!r}{nearest(name, ports)}"
    if name in links:
        return f"port {name} is interior, joined to {links[name]}: no machine fits there"
    port = ports[name].port
    if port.host is None or port.interface is None:
        return f"port {name} is bound to no host's interface: no machine can reach it"
    return None


def _addresses(path: Path, machine: Machine) -> Iterator[tuple[Path, str]]:
    seen: set[IpInterface] = set()
    for index, interface in enumerate(machine.addresses):
        where = (*path, "address", index)
        if (wrong := wrong_interface(interface)) is not None:
            yield where, wrong
        elif interface in seen:
            yield where, f"{interface} is given twice"
        seen.add(interface)
    gateways: list[tuple[Path, IpAddress]] = []
    if machine.gateway is not None:
        gateways.append(((*path, "gateway"), machine.gateway))
    for index, route in enumerate(machine.routes):
        where = (*path, "routes", index, "via")
        gateways.append((where, route.via))
        if len(route.via) != len(route.to.address):
            yield where, f"{format_ip(route.via)} is of another family than {route.to}"
    for where, gateway in gateways:
        if (unusable := wrong_unicast(gateway)) is not None:
            yield where, f"a gateway cannot be {unusable}"
        elif not _on_link(machine, gateway):
            yield where, f"no address of this machine has {format_ip(gateway)} in its network"


def _on_link(machine: Machine, gateway: IpAddress) -> bool:
    if len(gateway) == 16 and gateway[0] == 0xFE and gateway[1] & 0xC0 == 0x80:  # fe80::/10
        return True
    return any(each.network.contains(gateway) for each in machine.addresses)
