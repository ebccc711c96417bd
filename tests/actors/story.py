"""A story of traffic, changes and failures, told as one checksum of all that left the lanes."""

import hashlib
import sys

from tests.network import Network, bridge
from tests.wire import announce, ether, icmp_unreachable, is_at, ping, udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}, gw: {peer: edge/web}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      d: {host: h2, interface: d, address: 10.0.3.1/24, mac: "02:00:00:00:ff:03"}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.11}
      - {to: 10.9.0.0/16, via: 10.0.3.11}
"""
A, B, C, D = (f"02:00:00:00:00:0{digit}" for digit in "abcd")
RA, RB, RD = (f"02:00:00:00:ff:0{digit}" for digit in "123")


def tell() -> str:
    """Live through the story; return a checksum of all outputs, requests and final states."""
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"), udp(A, RA, "10.0.1.11", "10.0.2.11"))
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    net.send("d", who_has("10.0.3.1", D, "10.0.3.11"))
    for port in range(1000, 1020):
        net.send("a", udp(A, RA, "10.0.1.11", "10.9.0.1", sport=port))
    net.send("c", ether(C, "ff:ff:ff:ff:ff:ff"), ping(C, RA, "10.0.1.13", "10.0.3.11"))
    net.send_at_once("a", ping(A, RA, "10.0.1.11", "172.16.0.1"), ether(A, C), ether(A, C))
    net.advance(3)
    net.apply(TOPOLOGY.replace("      - {to: 10.9.0.0/16, via: 10.0.3.11}\n", ""))
    net.send(
        "a", udp(A, RA, "10.0.1.11", "10.9.0.1"), icmp_unreachable(A, RA, "10.0.1.11", "10.0.2.99")
    )
    net.inject("h1", bridge("web"), 2)
    net.send("a", ether(A, C, b"one"), ether(A, C, b"two"), ether(A, "02:00:00:00:00:99"))
    net.hosts["h2"].store.lose_session()
    net.advance(20)
    net.hosts["h2"].store.open_session()
    net.send("c", announce(A, "10.0.1.11"))
    net.hosts["h1"].restart_datapath()
    net.settle()
    net.send("a", ether(A, C))
    net.advance(100)
    digest = hashlib.sha256()
    for host in net.hosts.values():
        for output in host.tape.outputs:
            digest.update(output)
        for name, state in host.lane.snapshot().actors:
            digest.update(name.encode() + state)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(tell() + "\n")
