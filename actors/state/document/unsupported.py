"""What the format has and this version does not: refused by name, never ignored."""

from collections.abc import Iterator

from actors.state.document.model import Bridge, BridgePort, Document, Router, RouterPort
from actors.state.document.reader import Path

_NO_CHAINS = "this version has no chains yet"


def unsupported(document: Document) -> Iterator[tuple[Path, str]]:
    """Yield where each feature stands that this version lacks, and the message."""
    yield from _sections(document)
    yield from _devices(document)
    for name, machine in document.lab.machines.items() if document.lab is not None else ():
        if machine.dhcp:
            yield ("lab", "machines", name, "dhcp"), "dhcp: this version has no DHCP yet"


def _sections(document: Document) -> Iterator[tuple[Path, str]]:
    if document.chains:
        yield ("chains",), f"chains: {_NO_CHAINS}"
    if document.ip_groups:
        yield ("ip_groups",), f"ip_groups: {_NO_CHAINS}, which are what uses them"
    if document.load_balancers:
        yield ("load_balancers",), "load_balancers: this version has no load balancers yet"


def _devices(document: Document) -> Iterator[tuple[Path, str]]:
    for name, bridge in document.bridges.items():
        yield from _filters(("bridges", name), bridge)
        if bridge.dhcp:
            yield ("bridges", name, "dhcp"), "dhcp: this version has no DHCP yet"
    for name, router in document.routers.items():
        yield from _filters(("routers", name), router)
        if router.load_balancer is not None:
            path = ("routers", name, "load_balancer")
            yield path, "load_balancer: this version has no load balancers yet"


def _filters(path: Path, device: Bridge | Router) -> Iterator[tuple[Path, str]]:
    yield from _filters_of(path, device)
    for name, port in device.ports.items():
        yield from _filters_of((*path, "ports", name), port)


def _filters_of(
    path: Path, owner: Bridge | Router | BridgePort | RouterPort
) -> Iterator[tuple[Path, str]]:
    if owner.inbound is not None:
        yield (*path, "inbound"), f"inbound: {_NO_CHAINS}"
    if owner.outbound is not None:
        yield (*path, "outbound"), f"outbound: {_NO_CHAINS}"
