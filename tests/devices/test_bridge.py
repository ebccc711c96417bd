"""Bridges, seen from the machines that are plugged into them."""

from tests.network import Network
from tests.wire import udp

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  web:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      c: {host: h2, interface: c}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"


def test_unknown_unicast_is_flooded_to_all_ports_but_its_own() -> None:
    net = Network.from_yaml(TOPOLOGY)
    frame = udp(A, B, "10.0.0.1", "10.0.0.2")
    net.send("a", frame)
    assert net.delivered("b") == [frame]
    assert net.delivered("c") == [frame]
    assert net.delivered("a") == []
