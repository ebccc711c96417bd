"""A router between three links of two hosts, with routes of every kind."""

from tests.network import Network
from tests.wire import udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
routers:
  edge:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      c: {host: h2, interface: c, address: 10.0.3.1/24, mac: "02:00:00:00:ff:03"}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.11}
      - {to: 10.9.7.0/24, via: 10.0.3.11}
      - {to: 10.9.7.0/24, from: 10.0.1.12/32, via: 10.0.2.11}
      - {to: 10.9.8.0/24, via: 10.0.3.11, weight: 10}
      - {to: 10.9.8.0/24, via: 10.0.2.11, weight: 20}
      - {to: 10.8.0.0/16, action: blackhole}
      - {to: 10.7.0.0/16, action: reject}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RB, RC = "02:00:00:00:ff:01", "02:00:00:00:ff:02", "02:00:00:00:ff:03"
AB = udp(A, RA, "10.0.1.11", "10.0.2.11")
HOSTS = {
    "a": (A, "10.0.1.11", "10.0.1.1"),
    "b": (B, "10.0.2.11", "10.0.2.1"),
    "c": (C, "10.0.3.11", "10.0.3.1"),
}


def fresh() -> Network:
    net = Network.from_yaml(TOPOLOGY)
    net.forget()
    return net


def known() -> Network:
    """Return a network whose router knows its neighbours."""
    net = fresh()
    for link, (mac, ip, gateway) in HOSTS.items():
        net.send(link, who_has(gateway, mac, ip))
    net.forget()
    return net


def sent_to(dst: str, src: str = "10.0.1.11", *, sport: int = 1000, ttl: int = 64) -> bytes:
    return udp(A, RA, src, dst, sport=sport, ttl=ttl)


def way_of(net: Network, frame: bytes) -> str:
    """Return the link by which a frame from A leaves, "" if by none."""
    net.forget()
    net.send("a", frame)
    return "".join(link for link in "bc" if net.delivered(link))
