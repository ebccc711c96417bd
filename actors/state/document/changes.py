"""What an apply changes, in the users' words. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from actors.state.document.objects import ObjectError, decode_object, encode_object, object_key
from actors.state.document.plain import Plain
from actors.state.document.plan import StoredTopology
from actors.state.document.render import flow
from actors.state.topology import (
    Bridge,
    Host,
    Port,
    PortGroup,
    Route,
    Router,
    TopologyObject,
    TunnelZone,
)
from actors.values import format_ip, format_mac

Mark = Literal["+", "~", "-"]
"""Created, changed, deleted."""


class Detail(Struct, frozen=True):
    """One change inside an object. `before` and `after` are written as in a document."""

    mark: Mark
    what: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        value = f"{self.before} -> {self.after}" if self.mark == "~" else self.before or self.after
        return f"{self.mark} {self.what}: {value}" if value else f"{self.mark} {self.what}"


class Change(Struct, frozen=True):
    """One object that an apply creates, changes or deletes."""

    mark: Mark
    kind: str
    name: str
    details: tuple[Detail, ...] = ()


def changes(stored: StoredTopology, wanted: tuple[TopologyObject, ...]) -> tuple[Change, ...]:
    """Return what differs, by kind and name: empty exactly when `plan` is."""
    old: dict[tuple[str, str], TopologyObject | None] = {}
    same: set[tuple[str, str]] = set()
    after = {(object_key(each).kind, each.id): each for each in wanted}
    for each in stored.objects:
        key = (each.key.kind, each.key.id)
        if key in after and encode_object(after[key]) == each.data:
            same.add(key)
        try:
            old[key] = decode_object(each.data)
        except ObjectError:
            old[key] = None  # it can be replaced or deleted all the same
    names = _names([*(each for each in old.values() if each is not None), *wanted])
    found = [
        _change(key, old.get(key), after.get(key), names, existed=key in old)
        for key in {**old, **after}
        if key not in same
    ]
    return tuple(sorted(found, key=lambda each: (each.kind, each.name)))


def _change(
    key: tuple[str, str],
    before: TopologyObject | None,
    after: TopologyObject | None,
    names: Mapping[str, str],
    *,
    existed: bool,
) -> Change:
    kind, name = key[0], names.get(key[1], key[1])
    if after is None:
        return Change("-", kind, name)
    if not existed:
        return Change("+", kind, name)
    if before is None:
        return Change("~", kind, name)
    old, new = _facts(before, names), _facts(after, names)
    details: list[Detail] = []
    for fact in {**old, **new}:
        if fact not in new:
            details.append(Detail("-", fact, before=old[fact]))
        elif fact not in old:
            details.append(Detail("+", fact, after=new[fact]))
        elif old[fact] != new[fact]:
            details.append(Detail("~", fact, old[fact], new[fact]))
    return Change("~", kind, name, tuple(details))


def _names(things: Iterable[TopologyObject]) -> dict[str, str]:
    names: dict[str, str] = {}
    for thing in things:
        names[thing.id] = thing.name
        if isinstance(thing, Bridge | Router):
            names.update((port.id, port.name) for port in thing.ports)
    return names


def _facts(thing: TopologyObject, names: Mapping[str, str]) -> dict[str, str]:
    """Return what there is to say about an object, each by what it is about."""
    match thing:
        case Bridge() | Router():
            facts = {"admin_up": flow(thing.admin_up)}
            facts |= {f"port {port.name}": _port(port, names) for port in thing.ports}
            if isinstance(thing, Router):
                count: Counter[str] = Counter(_route(route, names) for route in thing.routes)
                facts |= {f"route {route}": _times(times) for route, times in count.items()}
            return facts
        case Host():
            return {f"port {each.port_name}": f"on {each.interface}" for each in thing.bindings}
        case TunnelZone():
            members = {
                f"member {each.host_name}": format_ip(each.address) for each in thing.members
            }
            return {"type": thing.type, **members}
        case PortGroup():
            ports = {f"port {names.get(port, port)}": "" for port in thing.ports}
            return {"stateful": flow(thing.stateful), **ports}


def _times(times: int) -> str:
    return f"{times} times" if times > 1 else ""


def _port(port: Port, names: Mapping[str, str]) -> str:
    plain: dict[str, Plain] = {}
    if port.address is not None:
        plain["address"] = str(port.address)
    if port.mac is not None:
        plain["mac"] = format_mac(port.mac)
    if port.host is not None:
        plain["host"] = names.get(port.host, port.host)
    if port.interface is not None:
        plain["interface"] = port.interface
    if port.peer is not None:
        plain["peer"] = names.get(port.peer.port, port.peer.port)
        if port.peer.address is not None:
            plain["peer_address"] = str(port.peer.address)
        if port.peer.mac is not None:
            plain["peer_mac"] = format_mac(port.peer.mac)
    if not port.admin_up:
        plain["admin_up"] = False
    return flow(plain)


def _route(route: Route, names: Mapping[str, str]) -> str:
    plain: dict[str, Plain] = {"from": str(route.source), "to": str(route.to)}
    if route.via is not None:
        plain["via"] = format_ip(route.via)
    if route.port is not None:
        plain["port"] = names.get(route.port, route.port)
    if route.action != "forward":
        plain["action"] = route.action
    plain["weight"] = route.weight
    return flow(plain)
