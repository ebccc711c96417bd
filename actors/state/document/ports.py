"""The ports of a document by their full names, and who is joined to whom."""

from msgspec import Struct

from actors.state.document.model import BridgePort, Document, RouterPort
from actors.state.document.reader import Path
from actors.state.topology import DeviceKind


class NamedPort(Struct, frozen=True):
    """A port, the device it belongs to, and where it stands in the document."""

    name: str
    """`device/port`."""
    device: str
    kind: DeviceKind
    port: BridgePort | RouterPort
    path: Path


def ports_of(document: Document) -> dict[str, NamedPort]:
    """Return every port of a document, bridges' first, in the order of the document."""
    found: dict[str, NamedPort] = {}
    for device, bridge in document.bridges.items():
        for name, bridge_port in bridge.ports.items():
            full, path = f"{device}/{name}", ("bridges", device, "ports", name)
            found[full] = NamedPort(full, device, "bridge", bridge_port, path)
    for device, router in document.routers.items():
        for name, router_port in router.ports.items():
            full, path = f"{device}/{name}", ("routers", device, "ports", name)
            found[full] = NamedPort(full, device, "router", router_port, path)
    return found


def links_of(ports: dict[str, NamedPort]) -> dict[str, str]:
    """Return the far end of each interior port, whichever end names the other."""
    links: dict[str, str] = {}
    for name, named in ports.items():
        if named.port.peer is not None:
            links[name] = named.port.peer
            links[named.port.peer] = name
    return links


def hosts_of(document: Document) -> set[str]:
    """Return every host that a document names."""
    hosts = {host for zone in document.tunnel_zones.values() for host in zone.members}
    if document.lab is not None:
        hosts.update(document.lab.hosts)
    hosts.update(
        named.port.host for named in ports_of(document).values() if named.port.host is not None
    )
    return hosts
