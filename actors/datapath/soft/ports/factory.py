"""PortFactory: makes the port that a vport request asks for, or says with which errno not."""

import errno
from typing import Final

from actors.datapath.odp.constants import (
    OVS_VPORT_TYPE_GRE,
    OVS_VPORT_TYPE_INTERNAL,
    OVS_VPORT_TYPE_NETDEV,
)
from actors.datapath.soft.ingress_guard import IngressGuard
from actors.datapath.soft.ports.netdev import NetdevPort
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.ports.tap import InternalPort
from actors.datapath.soft.tunnels.encapsulation import Encapsulation
from actors.datapath.soft.tunnels.geneve import Geneve
from actors.datapath.soft.tunnels.gre_port import GrePort
from actors.datapath.soft.tunnels.udp_port import UdpTunnelPort
from actors.datapath.soft.tunnels.vxlan import Vxlan

_OVER_UDP: Final[dict[int, Encapsulation]] = {each.kind: each for each in (Vxlan(), Geneve())}


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
        if kind == OVS_VPORT_TYPE_GRE:
            return GrePort(number, name)
        encapsulation = _OVER_UDP.get(kind)
        if encapsulation is not None:
            if not udp_port:
                raise PortUnavailableError(errno.EINVAL, "a tunnel over UDP needs its UDP port")
            return UdpTunnelPort(number, name, udp_port, encapsulation)
        raise PortUnavailableError(errno.EAFNOSUPPORT, f"vport type {kind} is not supported")

    def close(self) -> None:
        """Give back what the guard still holds; close the ports first."""
        self._guard.close()
