"""Bridges that have a router: its MAC and its ARP are known, not learned."""

from actors.values import ActorName
from tests.network import Network, router
from tests.web_bridge import AB, A
from tests.wire import announce, echo, ether, icmp_of, ipv4, is_arp_request, who_has

ROUTED = """
ayatori: 1
bridges:
  web:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      gw: {peer: edge/web}
routers:
  edge:
    ports:
      web: {address: 10.0.0.254/24, mac: "02:00:00:00:ff:01"}
"""
ROUTER = "02:00:00:00:ff:01"


def test_arp_for_a_router_goes_to_the_router_alone() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("a", who_has("10.0.0.254", A, "10.0.0.1"))
    assert net.delivered("b") == []
    (reply,) = net.delivered("a")
    assert reply[6:12].hex(":") == ROUTER


def test_arp_for_a_machine_is_flooded() -> None:
    net = Network.from_yaml(ROUTED)
    request = who_has("10.0.0.2", A, "10.0.0.1")
    net.send("a", request)
    assert net.delivered("b") == [request]


def test_tagged_arp_for_a_router_is_flooded_as_the_router_takes_no_tags() -> None:
    net = Network.from_yaml(ROUTED)
    request = who_has("10.0.0.254", A, "10.0.0.1")
    tagged = request[:12] + b"\x81\x00\x00\x05" + request[12:]
    net.send("a", tagged)
    assert net.delivered("b") == [tagged]
    assert net.delivered("a") == []


def test_gratuitous_arp_reaches_machines_and_router() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("a", announce(A, "10.0.0.1"))
    assert is_arp_request(net.delivered("b")[0], "10.0.0.1")


def test_mac_of_a_router_is_never_learned_from_a_frame() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("b", ether(ROUTER, "ff:ff:ff:ff:ff:ff"))
    assert ROUTER not in net.macs("h1", "web")
    net.forget()
    net.send("a", ipv4(A, ROUTER, "10.0.0.1", "10.0.0.254", 1, echo(8)))
    assert icmp_of(net.delivered("a")[0]) == (0, 0)


def test_unknown_unicast_does_not_reach_routers() -> None:
    net = Network.from_yaml(ROUTED)
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert net.hosts["h1"].lane.actor(ActorName(router("edge"))) is None
