"""Store -> topology watcher -> devices; interfaces of the host."""

from msgspec import Struct

from actors.messages.stored import Input, Output
from actors.state.topology import Bridge, Host, PortGroup, Router, TunnelZone
from actors.values import ActorName, Nanoseconds


class ObjectState(Struct, frozen=True, array_like=True):
    """An object as the store has it; `data` is None when it does not exist."""

    kind: str
    id: str
    version: int
    data: bytes | None


class TopologyChanged(Input, frozen=True, tag="topology-changed.1"):
    """Watched objects now are so."""

    at: Nanoseconds
    objects: tuple[ObjectState, ...]
    whole_kind: str = ""
    """If not "": these are all objects of that kind; others known of it are gone."""


class WatchObject(Output, frozen=True, tag="watch-object.1"):
    """Watch one object of the store; the first answer says how it is now."""

    kind: str
    id: str


class UnwatchObject(Output, frozen=True, tag="unwatch-object.1"):
    """Watch it no more."""

    kind: str
    id: str


class WatchKind(Output, frozen=True, tag="watch-kind.1"):
    """Watch all objects of a kind."""

    kind: str


class Subscribe(Struct, frozen=True):
    """Tell `subscriber` how the object is, now and after each change."""

    subscriber: ActorName
    kind: str
    id: str


class Unsubscribe(Struct, frozen=True):
    """Stop telling `subscriber`."""

    subscriber: ActorName
    kind: str
    id: str


class Configured(Struct, frozen=True):
    """The object now is so; None: it does not exist."""

    kind: str
    id: str
    config: Bridge | Router | Host | TunnelZone | PortGroup | None
    at: Nanoseconds


class Link(Struct, frozen=True, array_like=True):
    """A network interface of this host."""

    name: str
    index: int
    up: bool
    """Whether its administrator wants it up (IFF_UP)."""
    mtu: int
    carrier: bool = True
    """Whether something is at the other end; True of kinds that cannot tell."""


class LinksChanged(Input, frozen=True, tag="links-changed.2"):
    """The host's interfaces: how those that came or changed are now, and which went."""

    at: Nanoseconds
    changed: tuple[Link, ...]
    removed: tuple[int, ...] = ()
    """Indexes. Applied before `changed`, so that names can pass from one interface to another."""
    whole: bool = False
    """`changed` is all interfaces there are; others known are gone."""


class LinksChanged1(Input, frozen=True, tag="links-changed.1"):
    """As journals of earlier agents have it: all interfaces after each change."""

    at: Nanoseconds
    links: tuple[Link, ...]

    def upcast(self) -> LinksChanged:
        """Return what it says as it is said today."""
        return LinksChanged(self.at, self.links, whole=True)
