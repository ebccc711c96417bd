"""Bridges, seen from the machines that are plugged into them: what is flooded, learned, forgotten."""

from tests.network import Network, bridge
from tests.web_bridge import AB, AC, BA, CA, TOPOLOGY, A, B, C, learned
from tests.wire import announce, ether, udp


def test_unknown_unicast_is_flooded_to_all_ports_but_its_own() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert net.delivered("c") == [AB]
    assert net.delivered("a") == []


def test_known_unicast_leaves_by_one_port_only() -> None:
    net = learned()
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert net.quiet()


def test_known_unicast_reaches_another_host_through_the_tunnel() -> None:
    net = learned()
    net.send("a", AC)
    net.send("c", CA)
    assert net.delivered("c") == [AC]
    assert net.delivered("a") == [CA]
    assert net.quiet()


def test_flood_flow_becomes_unicast_as_soon_as_the_destination_is_learned() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", AB)
    net.forget()
    net.send("b", BA)
    net.forget()
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    assert net.delivered("c") == []


def test_second_packet_of_a_flow_needs_no_agent() -> None:
    net = learned()
    net.send("a", AB)
    inputs = net.hosts["h1"].lane.inputs
    net.send("a", AB)
    assert net.delivered("b") == [AB, AB]
    assert net.hosts["h1"].lane.inputs == inputs


def test_mac_learned_at_one_host_is_known_at_the_other() -> None:
    net = learned()
    assert net.macs("h1", "web") == {A: "a", B: "b", C: "c"}
    assert net.macs("h2", "web") == {A: "a", B: "b", C: "c"}


def test_mac_that_moves_takes_its_flows_along() -> None:
    net = learned()
    net.send("c", CA)
    net.forget()
    net.send("b", announce(A, "10.0.0.1"))
    net.forget()
    net.send("c", CA)
    assert net.delivered("b") == [CA]
    assert net.delivered("a") == []
    assert net.macs("h2", "web")[A] == "b"


def test_mac_that_moves_to_another_host_leaves_no_row_behind() -> None:
    net = learned()
    net.send("c", announce(A, "10.0.0.1"))
    rows = net.store.rows(f"mac/{bridge('web').partition('/')[2]}")
    assert len(rows) == 3
    assert net.macs("h1", "web")[A] == net.macs("h2", "web")[A] == "c"
    owners = net.store.entries[f"mac/{bridge('web').partition('/')[2]}"].values()
    assert len(owners) == 3


def test_vlans_are_learned_apart_and_tagged_frames_pass_unchanged() -> None:
    net = learned()
    tagged = udp(A, B, "10.0.0.1", "10.0.0.2", vlan=0x2005)
    net.send("a", tagged)
    assert net.delivered("b") == [tagged]
    assert net.delivered("c") == [tagged], "B is not known in VLAN 5"
    net.send("b", udp(B, A, "10.0.0.2", "10.0.0.1", vlan=5))
    net.forget()
    net.send("a", tagged)
    assert net.delivered("b") == [tagged]
    assert net.quiet()
    assert net.macs("h1", "web")["5/" + B] == "b"


def test_priority_tag_counts_as_untagged_for_learning_and_stays_on() -> None:
    net = learned()
    tagged = udp(A, B, "10.0.0.1", "10.0.0.2", vlan=0xE000)
    net.send("a", tagged)
    assert net.delivered("b") == [tagged]
    assert net.quiet()


def test_multicast_source_is_dropped_and_not_learned() -> None:
    net = learned()
    net.send("a", ether("03:00:00:00:00:01", B))
    assert net.quiet()
    assert net.hosts["h1"].drops(bridge("web")) == {"multicast source": 1}


def test_frame_to_its_own_port_goes_nowhere() -> None:
    net = learned()
    net.send("a", ether(A, A))
    assert net.quiet()


def test_mac_expires_a_while_after_the_last_flow_that_uses_it() -> None:
    net = learned()
    net.advance(14)
    net.send("a", AB)
    net.forget()
    net.advance(65)
    assert not [flow for flow in net.flows("h1") if flow.key.tunnel is None]
    assert set(net.macs("h1", "web")) == {A, B}, "their flow went 5 s ago, that of C 19 s ago"
    assert set(net.macs("h2", "web")) == {A, B}
    net.advance(15)
    assert net.macs("h1", "web") == {}
    assert net.macs("h2", "web") == {}


def test_mac_of_a_machine_that_is_never_talked_to_expires() -> None:
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"))
    assert set(net.macs("h1", "web")) == {A}
    net.advance(60 + 18)
    assert net.macs("h1", "web") == {}
    assert not net.store.rows(f"mac/{bridge('web').partition('/')[2]}")


def test_rows_of_a_dead_host_go_away() -> None:
    net = learned()
    net.send("a", AC)
    net.forget()
    net.hosts["h2"].store.lose_session()
    net.settle()
    assert set(net.macs("h1", "web")) == {A, B}
    net.send("a", AC)
    assert net.delivered("b") == [AC], "flooded, and the port on h2 is nowhere"
    assert net.delivered("c") == []
    net.hosts["h2"].store.open_session()
    net.settle()
    net.send("a", AC)
    assert net.delivered("c") == [AC]


CHAINED = """
ayatori: 1
bridges:
  left:
    ports: {a: {host: h1, interface: a}, x: {peer: right/x}, y: {peer: right/y}}
  right:
    ports: {b: {host: h1, interface: b}, x: {}, y: {}}
"""


def test_loop_of_bridges_ends_with_a_drop_instead_of_a_storm() -> None:
    net = Network.from_yaml(CHAINED)
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"))
    assert len(net.delivered("b")) >= 1
    drops = [net.hosts["h1"].drops(bridge(name)) for name in ("left", "right")]
    reasons = {
        flow.reason for flow in net.hosts["h1"].actor("flow-controller").state.flows.values()
    }
    assert "loop" in {reason for counted in drops for reason in counted} | reasons


def test_chain_of_bridges_forwards_both_ways() -> None:
    net = Network.from_yaml(CHAINED.replace(", y: {peer: right/y}", "").replace(", y: {}", ""))
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    net.send("b", BA)
    assert net.delivered("a") == [BA]
    net.send("a", AB)
    assert net.delivered("b") == [AB]
