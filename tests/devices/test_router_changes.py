"""Routers whose routes, ports and addresses change under traffic."""

from tests.devices.edge_router import AB, HOSTS, RA, RB, TOPOLOGY, A, B, known, sent_to, way_of
from tests.network import Network
from tests.wire import as_arp, icmp_of, icmp_unreachable, is_arp_request, ping, who_has


def test_exterior_port_announces_its_address_when_it_is_plugged() -> None:
    net = Network.from_yaml(TOPOLOGY)
    for link, (_, _, address) in HOSTS.items():
        assert any(is_arp_request(frame, address) for frame in net.delivered(link))


def test_route_that_changes_takes_its_flows_along_and_leaves_the_others() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.7.1")) == "c"
    net.send("a", AB)
    (other,) = [f for f in net.flows("h1") if f.key.ip_dst == AB[30:34]]
    net.apply(
        TOPOLOGY.replace("{to: 10.9.7.0/24, via: 10.0.3.11}", "{to: 10.9.7.0/24, via: 10.0.2.11}")
    )
    assert way_of(net, sent_to("10.9.7.1")) == "b"
    assert other.alive
    net.apply(TOPOLOGY.replace("      - {to: 10.9.7.0/24, via: 10.0.3.11}\n", ""))
    assert way_of(net, sent_to("10.9.7.1")) == "b", "the wider route takes over"
    assert other.alive


def test_new_route_gives_refused_packets_a_way_at_once() -> None:
    net = known()
    net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
    assert net.quiet()
    for prefix in ("172.16.0.0/24", "172.16.0.0/12"):
        net.apply(TOPOLOGY + f"      - {{to: {prefix}, via: 10.0.2.11}}\n")
        net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
        assert len(net.delivered("b")) == 1
        net.apply(TOPOLOGY)
        net.send("a", icmp_unreachable(A, RA, "10.0.1.11", "172.16.0.1"))
        assert net.quiet()


def test_port_with_a_new_address_answers_on_it_and_forgets_its_neighbours() -> None:
    net = known()
    net.send("a", AB)
    net.forget()
    net.apply(TOPOLOGY.replace("10.0.2.1/24", "10.0.2.254/24"))
    net.send("b", ping(B, RB, "10.0.2.11", "10.0.2.254"))
    assert icmp_of(net.delivered("b")[0]) == (0, 0)
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    assert not [f for f in net.delivered("b") if as_arp(f) and as_arp(f).op == 2]  # type: ignore[union-attr]
    net.send("a", AB)
    assert len(net.delivered("b")) == 1


def test_wider_prefix_on_a_port_frees_its_old_broadcast_address() -> None:
    net = known()
    net.apply(TOPOLOGY.replace("10.0.2.1/24", "10.0.2.1/25"))
    net.send("a", sent_to("10.0.2.127"))
    assert net.quiet()
    net.apply(TOPOLOGY)
    net.send("a", sent_to("10.0.2.127"))
    assert is_arp_request(net.delivered("b")[0], "10.0.2.127")


def test_router_that_is_down_routes_nothing_until_it_is_up() -> None:
    net = known()
    net.send("a", AB)
    net.forget()
    net.apply(TOPOLOGY.replace("  edge:", "  edge:\n    admin_up: false"))
    net.send("a", AB)
    assert net.delivered("b") == []
    net.apply(TOPOLOGY)
    net.send("a", AB)
    assert len(net.delivered("b")) == 1


def test_packets_that_wait_follow_a_changed_route() -> None:
    net = known()
    net.advance(1)
    net.send("a", sent_to("10.9.1.1"))
    net.forget()
    net.apply(
        TOPOLOGY.replace(
            "via: 10.0.2.11}\n      - {to: 10.9.7.0/24, via",
            "via: 10.0.2.77}\n      - {to: 10.9.7.0/24, via",
        )
    )
    net.send("a", sent_to("10.9.1.1"))
    assert is_arp_request(net.delivered("b")[0], "10.0.2.77")
    net.apply(TOPOLOGY)
    assert len(net.delivered("b")) == 1, "the packet that waited went the old way again"
