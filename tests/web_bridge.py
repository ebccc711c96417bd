"""A bridge with three machines: a and b on one host, c on another."""

from actors.host import HostSettings
from tests.network import Network
from tests.wire import ether, udp

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
AB = udp(A, B, "10.0.0.1", "10.0.0.2")
BA = udp(B, A, "10.0.0.2", "10.0.0.1")
AC = udp(A, C, "10.0.0.1", "10.0.0.3")
CA = udp(C, A, "10.0.0.3", "10.0.0.1")


def learned(settings: HostSettings | None = None) -> Network:
    """Return a network whose bridge knows where A, B and C are."""
    net = Network.from_yaml(TOPOLOGY, settings)
    for link, mac in (("a", A), ("b", B), ("c", C)):
        net.send(link, ether(mac, "ff:ff:ff:ff:ff:ff"))
    net.forget()
    return net
