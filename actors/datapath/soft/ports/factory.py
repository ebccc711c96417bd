"""PortFactory: makes the port that a vport request asks for, or says with which errno not."""

import errno

from actors.datapath.odp.constants import (
    OVS_VPORT_TYPE_INTERNAL,
    OVS_VPORT_TYPE_NETDEV,
    OVS_VPORT_TYPE_VXLAN,
)
from actors.datapath.soft.ingress_guard import IngressGuard
from actors.datapath.soft.ports.netdev import NetdevPort
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.ports.tap import InternalPort
from actors.datapath.soft.ports.vxlan import VxlanPort


class PortFactory:
    """Opens devices; owns the guard that all device ports share."""

    def __init__(self) -> None:
        self._guard = IngressGuard()

    def open(self, kind: int, number: int, name: str, udp_port: int | None) -> Port:
        """Return a new port of type OVS_VPORT_TYPE_*; raise PortUnavailableError."""
        if kind == OVS_VPORT_TYPE_NETDEV:
            return NetdevPort(number, name, self._guard)
        if kind == OVS_VPORT_TYPE_INTERNAL:
            return InternalPort(number, name)
        if kind == OVS_VPORT_TYPE_VXLAN:
            if not udp_port:
                raise PortUnavailableError(errno.EINVAL, "a VXLAN port needs its UDP port")
            return VxlanPort(number, name, udp_port)
        raise PortUnavailableError(errno.EAFNOSUPPORT, f"vport type {kind} is not supported")

    def close(self) -> None:
        """Give back what the guard still holds; close the ports first."""
        self._guard.close()
