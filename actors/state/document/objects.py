"""How the store holds topology objects: their keys, and their bytes in msgpack."""

from collections.abc import Iterator

import msgspec

from actors.state.store.interface import ObjectKey
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
from actors.values import IpInterface, IpPrefix

KINDS = ("bridge", "router", "host", "tunnel-zone", "port-group")
"""The kinds of the topology's objects."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[TopologyObject] = msgspec.msgpack.Decoder(TopologyObject)


class ObjectError(ValueError):
    """The bytes are no topology object that this version can read. The message says why."""


def object_key(thing: TopologyObject) -> ObjectKey:
    """Return the key under which the store holds an object."""
    match thing:
        case Bridge():
            return ObjectKey("bridge", thing.id)
        case Router():
            return ObjectKey("router", thing.id)
        case Host():
            return ObjectKey("host", thing.id)
        case TunnelZone():
            return ObjectKey("tunnel-zone", thing.id)
        case PortGroup():
            return ObjectKey("port-group", thing.id)


def encode_object(thing: TopologyObject) -> bytes:
    """Return an object's bytes: the same for equal objects."""
    return _ENCODER.encode(thing)


def decode_object(data: bytes) -> TopologyObject:
    """Read an object's bytes. Raises ObjectError."""
    try:
        thing = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ObjectError(f"no topology object that this version can read: {error}") from None
    for value, wanted in _sized(thing):
        if value is not None and len(value) not in wanted:
            raise ObjectError(f"{thing.name!r} holds an address of {len(value)} bytes")
    for prefix in _prefixes(thing):
        if not 0 <= prefix.length <= len(prefix.address) * 8:
            raise ObjectError(f"{thing.name!r} holds a prefix of {prefix.length} bits")
    return thing


_IP = frozenset({4, 16})
_MAC = frozenset({6})


def _sized(thing: TopologyObject) -> Iterator[tuple[bytes | None, frozenset[int]]]:
    """Yield each address of an object and the lengths that it may have."""
    for prefix in _prefixes(thing):
        yield prefix.address, _IP
    match thing:
        case Bridge() | Router():
            for port in thing.ports:
                yield port.mac, _MAC
                yield (port.peer.mac if port.peer is not None else None), _MAC
            for route in thing.routes if isinstance(thing, Router) else ():
                yield route.via, _IP
        case TunnelZone():
            for member in thing.members:
                yield member.address, _IP
        case Host() | PortGroup():
            pass


def _prefixes(thing: TopologyObject) -> Iterator[IpPrefix | IpInterface]:
    if isinstance(thing, Bridge | Router):
        for port in thing.ports:
            yield from _prefixes_of_port(port)
    if isinstance(thing, Router):
        for route in thing.routes:
            yield from _prefixes_of_route(route)


def _prefixes_of_port(port: Port) -> Iterator[IpInterface]:
    if port.address is not None:
        yield port.address
    if port.peer is not None and port.peer.address is not None:
        yield port.peer.address


def _prefixes_of_route(route: Route) -> Iterator[IpPrefix]:
    yield route.to
    yield route.source
