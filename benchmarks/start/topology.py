"""A big topology: 1,000 bridges, 200 routers, 10,000 ports on 100 hosts, all but four elsewhere."""

import msgspec

from actors.state.document import Document, parse_document, port_id
from actors.state.store.interface import Session
from actors.state.tables import ACTIVE_TABLE, ActivePort, encode_active
from actors.values import HostId, stable_id

BRIDGES = 1000
ROUTERS = 200
PORTS_PER_BRIDGE = 8
"""Exterior ones; one more leads to the router."""
HOSTS = 100
HERE = "h0"
INTERFACES = ("i0", "i1", "i2", "i3")
"""The first two on the first bridge, the others on the second: one router joins these bridges."""


def big_topology() -> Document:
    """Return the document."""
    bridges = {
        f"b{bridge}": {
            "ports": {
                **{f"p{port}": _binding(bridge, port) for port in range(PORTS_PER_BRIDGE)},
                "gw": {"peer": f"r{bridge * ROUTERS // BRIDGES}/b{bridge}"},
            }
        }
        for bridge in range(BRIDGES)
    }
    routers: dict[str, dict[str, dict[str, dict[str, str]]]] = {
        f"r{router}": {"ports": {}} for router in range(ROUTERS)
    }
    for bridge in range(BRIDGES):
        ports = routers[f"r{bridge * ROUTERS // BRIDGES}"]["ports"]
        ports[f"b{bridge}"] = {"address": f"{_network(bridge)}.1/24"}
    members = {f"h{host}": f"198.18.0.{host + 1}" for host in range(HOSTS)}
    zones = {"dc": {"type": "vxlan", "members": members}}
    document = {"ayatori": 1, "tunnel_zones": zones, "bridges": bridges, "routers": routers}
    return parse_document(msgspec.json.encode(document).decode(), "benchmark")


def activate_others(session: Session) -> int:
    """Say of all other hosts' ports that they are active there; return how many those are."""
    active = 0
    for bridge in range(BRIDGES):
        for port in range(PORTS_PER_BRIDGE):
            host = _binding(bridge, port)["host"]
            if host != HERE:
                active += 1
                where = ActivePort(HostId(stable_id("host", host)), active)
                key, value = encode_active(port_id(f"b{bridge}/p{port}"), where)
                session.put(ACTIVE_TABLE, key, value)
    return active


def address(bridge: int, number: int) -> str:
    """Return an address in a bridge's network."""
    return f"{_network(bridge)}.{number}"


def _network(bridge: int) -> str:
    return f"10.{bridge // 250}.{bridge % 250}"


def _binding(bridge: int, port: int) -> dict[str, str]:
    if bridge < 2 and port < 2:
        return {"host": HERE, "interface": INTERFACES[2 * bridge + port]}
    number = bridge * PORTS_PER_BRIDGE + port
    return {"host": f"h{1 + number % (HOSTS - 1)}", "interface": f"i{number}"}
