"""What a lab is made of, as plain values: the desired state, and the actual one.

`lab up` makes it from a topology document (see from_document.py), the plan compares two of
them, the fabric builds it. Addresses are text, as rtnetlink's client takes them.
"""

from msgspec import Struct


class UnderlayRoute(Struct, frozen=True):
    """A link-scope route to another tunnel zone member's address."""

    to: str
    source: str


class Host(Struct, frozen=True):
    """A host: its underlay addresses, and the ways to the other hosts."""

    name: str
    addresses: tuple[str, ...] = ()
    routes: tuple[UnderlayRoute, ...] = ()


class Plug(Struct, frozen=True):
    """Where a machine's cable ends: an interface in a host's namespace."""

    host: str
    interface: str


class Route(Struct, frozen=True):
    """A route of a machine; without `via` its destination is on the link."""

    to: str
    via: str | None = None


class Machine(Struct, frozen=True):
    """A machine: a namespace with `eth0`, whose other end is plugged into a host (or unplugged)."""

    name: str
    port: str
    plug: Plug | None
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


class Lab(Struct, frozen=True):
    """A whole lab. `mtu` is the underlay's, in bytes of IP packet."""

    mtu: int
    hosts: dict[str, Host]
    machines: dict[str, Machine]


NOTHING = Lab(mtu=1500, hosts={}, machines={})
"""What there is before the first `lab up`."""
