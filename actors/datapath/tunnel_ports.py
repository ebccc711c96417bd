"""Which tunnel ports this host ought to have, and the steps from what is to what ought to be.

One port for each type of tunnel among the zones that the host is in, whatever their number: where
a packet goes is told per packet. Pure: the datapath ports actor carries the steps out.
"""

from typing import Final, Literal

from msgspec import Struct

from actors.host import HostSettings
from actors.messages.flows import LocalTunnel, TunnelPeer
from actors.state.topology import TUNNEL_LINKS, TunnelType, TunnelZone
from actors.values import DatapathPort

_TYPES: Final = {link: kind for kind, link in TUNNEL_LINKS.items()}


class TunnelPort(Struct):
    """A tunnel port that is there, or is about to become or cease to be."""

    status: Literal["adding", "plugged", "removing", "failed"]
    number: DatapathPort = DatapathPort(0)
    retry_at: int = 0
    errno: int = 0
    """Why it failed."""


class AddTunnel(Struct, frozen=True):
    """Add the port of this type to the datapath."""

    type: TunnelType


class RemoveTunnel(Struct, frozen=True):
    """Remove it: no zone of this host is of this type any more."""

    type: TunnelType


class ForgetTunnel(Struct, frozen=True):
    """It is not in the datapath and need not be: stop trying."""

    type: TunnelType


TunnelStep = AddTunnel | RemoveTunnel | ForgetTunnel


def type_of(link: str) -> TunnelType | None:
    """Return the type of the tunnel port of that name, None if the name is no tunnel port's."""
    return _TYPES.get(link)


def wanted_types(host: HostSettings, zones: dict[str, TunnelZone]) -> tuple[TunnelType, ...]:
    """Return the types of the zones that the host is in, in the order of TUNNEL_LINKS."""
    own = {z.type for z in zones.values() if any(m.host == host.host for m in z.members)}
    return tuple(kind for kind in TUNNEL_LINKS if kind in own)


def udp_port_of(host: HostSettings, kind: TunnelType) -> int | None:
    """Return the UDP port of the tunnels of a type; None for GRE, which has its own IP protocol."""
    return {"vxlan": host.tunnel_udp_port, "geneve": host.tunnel_geneve_port, "gre": None}[kind]


def plan_tunnels(
    wanted: tuple[TunnelType, ...], ports: dict[TunnelType, TunnelPort], at: int
) -> tuple[TunnelStep, ...]:
    """Return the steps that bring `ports` to what `wanted` asks for; failed ones after a while."""
    steps: list[TunnelStep] = []
    for kind, port in ports.items():
        if kind in wanted:
            if port.status == "failed" and port.retry_at <= at:
                steps.append(AddTunnel(kind))
        elif port.status == "plugged":
            steps.append(RemoveTunnel(kind))
        elif port.status == "failed":
            steps.append(ForgetTunnel(kind))
    steps += [AddTunnel(kind) for kind in wanted if kind not in ports]
    return tuple(steps)


def usable_tunnels(ports: dict[TunnelType, TunnelPort]) -> tuple[LocalTunnel, ...]:
    """Return the tunnel ports that packets may go out by."""
    return tuple(
        LocalTunnel(kind, port.number) for kind, port in ports.items() if port.status == "plugged"
    )


def peers_of(host: HostSettings, zones: dict[str, TunnelZone]) -> tuple[TunnelPeer, ...]:
    """Return how each host of a shared zone is reached; the first zone by name counts."""
    peers: dict[str, TunnelPeer] = {}
    for zone in sorted(zones.values(), key=lambda z: z.name):
        own = [m.address for m in zone.members if m.host == host.host]
        if not own:
            continue
        for member in zone.members:
            if member.host != host.host and member.host not in peers:
                peers[member.host] = TunnelPeer(
                    member.host, member.host_name, zone.type, own[0], member.address
                )
    return tuple(peers.values())
