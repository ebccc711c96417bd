"""PortDump: a dump of the datapath's vports while it comes in. Pure."""

from msgspec import Struct, field

from actors.datapath.odp.replies import VportInfo
from actors.messages.netlink import PortAdded, PortsDumped
from actors.values import DatapathPort, Nanoseconds

LOCAL_PORT = 0
"""OVSP_LOCAL: the datapath's own internal port, which nobody plugs in or out."""


class PortDump(Struct, tag="ports"):
    """What came so far."""

    sequence: int
    deadline: Nanoseconds
    ports: list[PortAdded] = field(default_factory=list)

    def take(self, info: VportInfo) -> None:
        """Take in one vport."""
        if info.port_no != LOCAL_PORT:
            self.ports.append(PortAdded(info.name, DatapathPort(info.port_no)))

    def complete(self) -> PortsDumped:
        """Return what the datapath ports are told."""
        return PortsDumped(tuple(self.ports))
