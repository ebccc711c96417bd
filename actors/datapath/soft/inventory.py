"""Inventory: the datapaths of this program, found by name or ifindex."""

import errno
from collections.abc import Iterator

from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.ports.port import Port
from actors.datapath.soft.refusal import Refused


class Inventory:
    """All datapaths; what is not there is ENODEV, as in the module."""

    def __init__(self) -> None:
        self._by_ifindex: dict[int, Datapath] = {}

    def __len__(self) -> int:
        return len(self._by_ifindex)

    def __iter__(self) -> Iterator[Datapath]:
        return iter(tuple(self._by_ifindex.values()))

    def add(self, datapath: Datapath) -> None:
        """Take in a datapath whose ifindex is new."""
        self._by_ifindex[datapath.ifindex] = datapath

    def remove(self, datapath: Datapath) -> None:
        """Let go of a datapath."""
        del self._by_ifindex[datapath.ifindex]

    def find(self, ifindex: int, name: str | None = None) -> Datapath:
        """Return the datapath of that name, or else of that ifindex; raise Refused."""
        if name is None:
            found = self._by_ifindex.get(ifindex)
        else:
            found = next((dp for dp in self if dp.name == name), None)
        if found is None:
            raise Refused(errno.ENODEV, f"no datapath {name or ifindex}")
        return found

    def port_named(self, name: str) -> tuple[Datapath, Port] | None:
        """Return the port of that name in any datapath."""
        for datapath in self:
            for port in datapath.ports.values():
                if port.name == name:
                    return datapath, port
        return None

    def has_tunnel(self, kind: int, udp_port: int | None) -> bool:
        """Tell whether any datapath has a tunnel port of type OVS_VPORT_TYPE_* on a UDP port."""
        return any(
            port.kind == kind and port.udp_port == udp_port
            for datapath in self
            for port in datapath.ports.values()
        )
