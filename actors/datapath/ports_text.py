"""What operators are shown of a host's datapath ports."""

import os
from typing import TYPE_CHECKING, Final

import msgspec

from actors.datapath.known_links import why_not_live
from actors.datapath.port_plan import Plugged
from actors.datapath.tunnel_ports import peers_of, type_of
from actors.host import HostSettings
from actors.messages.topology import Link
from actors.state.topology import TUNNEL_LINKS
from actors.values import format_ip

if TYPE_CHECKING:
    from actors.datapath.datapath_ports import PortsState

EAFNOSUPPORT: Final = 97


def describe_ports(state: "PortsState", host: HostSettings) -> bytes:
    """Return what operators are shown of a host's ports, as JSON."""
    return msgspec.json.encode(
        {
            "ports": [
                {
                    "port": port.binding.port_name,
                    "id": port.binding.port,
                    "interface": port.link,
                    "status": _status_of(port, state.links.get(port.link)),
                    "number": port.number,
                    "tunnel_key": port.tunnel_key,
                }
                for port in state.plugged.values()
            ],
            "tunnels": [
                {
                    "type": kind,
                    "interface": TUNNEL_LINKS[kind],
                    "status": port.status,
                    "number": port.number,
                    "why": why_refused(TUNNEL_LINKS[kind], port.errno),
                }
                for kind, port in state.tunnels.items()
            ],
            "peers": [
                {
                    "id": peer.host,
                    "host": peer.host_name,
                    "type": peer.type,
                    "local": format_ip(peer.local),
                    "remote": format_ip(peer.remote),
                }
                for peer in peers_of(host, state.zones)
            ],
            "missing_interfaces": [
                b.interface for b in state.bindings if b.interface not in state.links
            ],
            "refusals": state.refusals,
        }
    )


def why_refused(link: str, errno: int) -> str:
    """Return why the datapath refuses a port, in words; "" if it does not."""
    kind = type_of(link)
    if errno == EAFNOSUPPORT and kind is not None:
        return f"the datapath has no {kind} tunnels (the kernel's module vport-{kind})"
    return os.strerror(errno) if errno else ""


def _status_of(port: Plugged, link: Link | None) -> str:
    """Return "plugged" only of a port that is active too."""
    return (why_not_live(link) if port.status == "plugged" else "") or port.status
