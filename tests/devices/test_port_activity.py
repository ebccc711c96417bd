"""Routes by an exterior port are in use only while some host has the port active."""

from actors.state.tables import ACTIVE_TABLE
from actors.values import stable_id
from tests.devices.edge_router import AB, HOSTS, RA, TOPOLOGY, A, known, sent_to, way_of
from tests.network import Network, router
from tests.wire import announce, as_arp, icmp_of, is_arp_request, udp, who_has

EQUAL = TOPOLOGY.replace("weight: 20", "weight: 10")


def is_told_no_route(net: Network, frame: bytes) -> bool:
    """Tell whether the sender, A, hears at once that there is no route."""
    net.forget()
    net.send("a", frame)
    return [icmp_of(reply) for reply in net.delivered("a")] == [(3, 0)]


def lose_carrier(net: Network, host: str, link: str) -> None:
    net.hosts[host].set_link(link, carrier=False)
    net.settle()


def regain_carrier(net: Network, host: str, link: str) -> None:
    net.hosts[host].set_link(link)
    net.settle()


def test_second_uplink_takes_over_while_the_first_has_no_carrier() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.8.1")) == "c"
    lose_carrier(net, "h2", "c")
    assert way_of(net, sent_to("10.9.8.1")) == "b"
    regain_carrier(net, "h2", "c")
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_connections_of_an_equal_route_move_when_its_port_is_down_and_come_back() -> None:
    net = known()
    net.apply(EQUAL)
    ways = {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(20)}
    assert set(ways.values()) == {"b", "c"}
    net.hosts["h1"].set_link("b", up=False, carrier=False)
    net.settle()
    assert {way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(20)} == {"c"}
    regain_carrier(net, "h1", "b")
    net.send("b", who_has(HOSTS["b"][2], *HOSTS["b"][:2]))
    assert {n: way_of(net, sent_to("10.9.8.1", sport=n)) for n in range(20)} == ways


def test_connected_network_of_an_inactive_port_has_no_route() -> None:
    net = known()
    assert way_of(net, AB) == "b"
    lose_carrier(net, "h1", "b")
    assert is_told_no_route(net, AB)
    regain_carrier(net, "h1", "b")
    assert way_of(net, AB) == "b"


def test_sender_is_told_when_the_only_route_is_by_a_port_that_is_active_nowhere() -> None:
    net = known()
    lose_carrier(net, "h2", "c")
    assert is_told_no_route(net, sent_to("10.0.3.11"))
    net.hosts["h2"].unplug_link("c")
    net.settle()
    assert is_told_no_route(net, sent_to("10.0.3.11"))


def test_ports_of_a_host_whose_session_ends_are_inactive() -> None:
    net = known()
    assert way_of(net, sent_to("10.9.8.1")) == "c"
    net.hosts["h2"].store.lose_session()
    net.settle()
    assert way_of(net, sent_to("10.9.8.1")) == "b"
    net.hosts["h2"].store.open_session()
    net.settle()
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_own_ports_stay_active_while_the_store_is_out_of_reach() -> None:
    net = known()
    net.hosts["h1"].store.lose_session()
    net.settle()
    assert way_of(net, AB) == "b"


def test_port_that_turns_inactive_concerns_no_flows_of_other_ports() -> None:
    net = known()
    net.send("a", AB)
    (flow,) = net.flows("h1")
    lose_carrier(net, "h2", "c")
    assert net.flows("h1") == (flow,)


def test_packet_that_waits_for_a_mac_goes_by_the_other_uplink() -> None:
    net = known()
    net.send("c", announce("02:00:00:00:00:0c", "10.0.3.11"))
    net.apply(TOPOLOGY.replace("via: 10.0.3.11, weight: 10", "via: 10.0.3.99, weight: 10"))
    net.forget()
    net.send("a", sent_to("10.9.8.1"))
    (asked,) = net.delivered("c")
    assert is_arp_request(asked, "10.0.3.99")
    assert not net.delivered("b")
    lose_carrier(net, "h2", "c")
    assert len(net.delivered("b")) == 1


def test_packet_waits_until_it_is_known_which_ports_are_active() -> None:
    net = Network(TOPOLOGY)
    host = net.hosts["h1"]
    for other in net.hosts.values():
        other.start()
    net.settle()
    state = host.actor(router("edge")).state
    assert state.known
    assert set(state.active) == {stable_id("port", f"edge/{name}") for name in "abc"}
    assert all(state.active.values())


def test_port_that_turns_active_announces_the_routers_address() -> None:
    net = known()
    lose_carrier(net, "h1", "b")
    net.forget()
    regain_carrier(net, "h1", "b")
    (frame,) = net.delivered("b")
    arp = as_arp(frame)
    assert arp is not None
    assert arp.spa == arp.tpa


def test_malformed_row_of_the_active_table_changes_nothing() -> None:
    net = known()
    key = stable_id("port", "edge/c").encode()
    net.store.put(ACTIVE_TABLE, key, b"\xc1", "somebody")
    net.settle()
    assert "malformed active row" in net.hosts["h1"].drops(router("edge"))
    assert way_of(net, sent_to("10.9.8.1")) == "c"


def test_port_that_no_document_has_any_more_is_not_followed() -> None:
    net = known()
    without = "\n".join(line for line in TOPOLOGY.splitlines() if "10.0.3." not in line)
    net.apply(without)
    host = net.hosts["h1"]
    key = stable_id("port", "edge/c").encode()
    assert key not in host.actor("state-tables").state.row_subscribers[ACTIVE_TABLE]
    net.send("a", udp(A, RA, "10.0.1.11", "10.9.1.1"))
    assert len(net.delivered("b")) == 1
