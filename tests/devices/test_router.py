"""Routers, seen from the machines on their links: which way packets go."""

from actors.packets.ipv4 import header_checksum_ok
from actors.values import parse_mac
from tests.devices.edge_router import AB, RA, RB, RC, TOPOLOGY, A, B, C, known, sent_to, way_of
from tests.network import Network
from tests.wire import (
    addresses_of,
    echo,
    icmp_of,
    ipv4,
    is_arp_request,
    is_at,
    ping,
    ttl_of,
    udp,
    who_has,
)


def test_packet_is_routed_with_new_macs_and_one_hop_less() -> None:
    net = known()
    net.send("a", AB, AB)
    first, second = net.delivered("b")
    assert first == second
    assert first[:6] == parse_mac(B)
    assert first[6:12] == parse_mac(RB)
    assert ttl_of(first) == 63
    assert header_checksum_ok(first, 14)


def test_packet_is_routed_to_another_host() -> None:
    net = known()
    net.send("a", sent_to("10.0.3.11"))
    (frame,) = net.delivered("c")
    assert frame[:12] == parse_mac(C) + parse_mac(RC)


def test_longest_prefix_then_source_then_weight_decide() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.1.1")) == "b"
    assert way_of(net, sent_to("10.9.7.1")) == "c"
    assert way_of(net, sent_to("10.9.7.1", "10.0.1.12")) == "b"
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_lower_weight_takes_over_when_the_better_port_goes_down() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.8.1")) == "c"
    net.apply(TOPOLOGY.replace("interface: c,", "interface: c, admin_up: false,"))
    assert way_of(net, sent_to("10.9.8.1")) == "b"
    net.apply(TOPOLOGY)
    net.send("c", who_has("10.0.3.1", C, "10.0.3.11"))
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_equal_routes_share_flows_and_each_flow_and_its_fragments_stay() -> None:
    net = known()
    net.apply(TOPOLOGY.replace("weight: 20", "weight: 10"))
    ways = {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(40)}
    assert set(ways.values()) == {"b", "c"}
    assert {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(40)} == ways
    fragments = [
        ipv4(A, RA, "10.0.1.11", "10.9.8.1", 17, bytes(16), fragment=place)
        for place in (0x2000, 0x2002, 4)
    ]
    assert len({way_of(net, fragment) for fragment in fragments}) == 1


def test_routers_that_are_joined_directly_need_no_arp() -> None:
    net = Network.from_yaml(
        """
ayatori: 1
routers:
  one:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      link: {address: 10.0.9.1/30, peer: two/link}
    routes: [{to: 10.0.2.0/24, via: 10.0.9.2}]
  two:
    ports:
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      link: {address: 10.0.9.2/30}
    routes: [{to: 10.0.1.0/24, via: 10.0.9.1}]
"""
    )
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"))
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    net.forget()
    net.send("a", AB)
    (frame,) = net.delivered("b")
    assert ttl_of(frame) == 62
    net.send("a", ping(A, RA, "10.0.1.11", "10.0.9.2"), ping(A, RA, "10.0.1.11", "10.0.2.1"))
    assert [icmp_of(f) for f in net.delivered("a")] == [(0, 0), (0, 0)]
    net.send("a", udp(A, RA, "10.0.1.11", "10.0.2.11", ttl=2))
    (error,) = net.delivered("a")
    assert icmp_of(error) == (11, 0)
    assert addresses_of(error)[0] == "10.0.9.2"


def test_ping_of_a_machine_through_two_bridges_and_a_router() -> None:
    net = Network.from_yaml(
        """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  left: {ports: {a: {host: h1, interface: a}, gw: {peer: edge/left}}}
  right: {ports: {b: {host: h2, interface: b}, gw: {peer: edge/right}}}
routers:
  edge:
    ports:
      left: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      right: {address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
    )
    request = ping(A, RA, "10.0.1.11", "10.0.2.11")
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"), request)
    asked = [f for f in net.delivered("b") if is_arp_request(f, "10.0.2.11")]
    assert len(asked) == 1
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    (arrived,) = net.delivered("b")
    assert arrived[:12] == parse_mac(B) + parse_mac(RB)
    net.forget()
    net.send("b", ipv4(B, RB, "10.0.2.11", "10.0.1.11", 1, echo(0)))
    (reply,) = net.delivered("a")
    assert icmp_of(reply) == (0, 0)
    inputs = net.hosts["h1"].lane.inputs
    net.send("a", request)
    net.send("a", request)
    assert len(net.delivered("b")) == 2
    assert net.hosts["h1"].lane.inputs <= inputs + 1
