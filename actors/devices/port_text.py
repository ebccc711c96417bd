"""A device's port as plain data, for operators. Pure."""

from typing import Any

from actors.state.topology import Port
from actors.values import format_mac


def describe_port(port: Port) -> dict[str, Any]:
    """Return a port for JSON; `peer` and `host` are ids, which the asker knows by name."""
    return {
        "id": port.id,
        "name": port.name,
        "admin_up": port.admin_up,
        "peer": None if port.peer is None else port.peer.port,
        "host": port.host,
        "interface": port.interface,
        "mac": None if port.mac is None else format_mac(port.mac),
        "address": None if port.address is None else str(port.address),
    }
