"""The connected networks of a router, found in a time that does not grow with their number."""

from collections.abc import Mapping

from actors.state.document.model import RouterPort
from actors.values import IpAddress, IpInterface, IpPrefix, prefix_of


class ConnectedNetworks:
    """Networks by the short names of their ports; those of one router do not overlap."""

    def __init__(self, ports: Mapping[str, RouterPort] | None = None) -> None:
        self._networks: dict[IpPrefix, str] = {}
        self._lengths: list[int] = []
        self._above: dict[IpPrefix, str] = {}
        """Every prefix that holds one of the networks, with a port in it."""
        for name, port in (ports or {}).items():
            self.add(name, port.address)

    def add(self, name: str, interface: IpInterface) -> None:
        """Add a port's network."""
        self._networks.setdefault(interface.network, name)
        self._lengths = sorted({*self._lengths, interface.length}, reverse=True)
        for length in range(interface.length + 1):
            self._above.setdefault(prefix_of(interface.address, length), name)

    def overlapping(self, interface: IpInterface) -> str | None:
        """Return a port whose network overlaps that of `interface`."""
        inside = self._above.get(interface.network)
        return inside if inside is not None else self.port_of(interface.address)

    def port_of(self, address: IpAddress) -> str | None:
        """Return the port whose network holds `address`."""
        for length in self._lengths:
            if length <= len(address) * 8:
                name = self._networks.get(prefix_of(address, length))
                if name is not None:
                    return name
        return None
