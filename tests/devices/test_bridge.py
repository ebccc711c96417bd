"""Bridges, seen from the machines that are plugged into them."""

from actors.values import ActorName, parse_mac
from tests.network import Network, bridge, router
from tests.wire import announce, echo, ether, icmp_of, ipv4, is_arp_request, udp, who_has

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


def learned() -> Network:
    """Return a network whose bridge knows where A, B and C are."""
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"))
    net.send("b", ether(B, "ff:ff:ff:ff:ff:ff"))
    net.send("c", ether(C, "ff:ff:ff:ff:ff:ff"))
    net.forget()
    return net


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


def test_bridge_that_is_down_passes_nothing_until_it_is_up() -> None:
    net = learned()
    net.send("a", AB)
    net.forget()
    net.apply(TOPOLOGY.replace("  web:", "  web:\n    admin_up: false"))
    net.send("a", AB)
    assert net.quiet()
    net.apply(TOPOLOGY)
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_port_that_is_down_neither_sends_nor_receives() -> None:
    net = learned()
    net.send("a", AB, AC)
    net.send("b", BA)
    net.forget()
    down = TOPOLOGY.replace("interface: b}", "interface: b, admin_up: false}")
    net.apply(down)
    net.send("a", AB)
    net.send("b", BA)
    assert net.quiet()
    net.send("a", AC, ether(A, "ff:ff:ff:ff:ff:ff"))
    assert len(net.delivered("c")) == 2
    assert net.quiet()
    net.apply(TOPOLOGY)
    net.send("a", AB)
    net.send("b", BA)
    assert net.delivered("b") == [AB]
    assert net.delivered("a") == [BA]


def test_port_change_leaves_the_flows_of_other_ports_alone() -> None:
    net = learned()
    net.send("a", AC)
    net.send("b", BA)
    (to_c,) = (flow for flow in net.flows("h1") if flow.key.eth_dst == parse_mac(C))
    net.apply(TOPOLOGY.replace("interface: b}", "interface: b, admin_up: false}"))
    assert to_c.alive
    assert not [flow for flow in net.flows("h1") if flow.key.eth_src == parse_mac(B)]


def test_port_removed_under_traffic_takes_only_its_own_flows() -> None:
    net = learned()
    net.send("a", AB, AC)
    net.send("b", BA)
    net.forget()
    (to_c,) = (flow for flow in net.flows("h1") if flow.key.eth_dst == parse_mac(C))
    without = TOPOLOGY.replace("      b: {host: h1, interface: b}\n", "")
    net.apply(without)
    assert net.hosts["h1"].datapath.port("b") is None
    assert to_c.alive
    assert not [
        flow for flow in net.flows("h1") if parse_mac(B) in {flow.key.eth_src, flow.key.eth_dst}
    ]
    net.send("a", AC)
    assert net.delivered("c") == [AC]
    assert B not in net.macs("h1", "web")
    net.send("a", AB)
    assert net.delivered("c") == [AB], "B is unknown again"


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


def test_packet_waits_for_the_configuration_of_its_bridge() -> None:
    net = Network(TOPOLOGY)
    net.start()
    host = net.hosts["h1"]
    host.hold_store()
    net.send("a", AB)
    assert net.quiet()
    host.release_store()
    net.settle()
    assert net.delivered("b") == [AB]


def test_duplicates_of_a_waiting_packet_follow_it() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    host.hold_store()
    net.send_at_once("a", AB, AB, AB)
    host.release_store()
    net.settle()
    assert net.delivered("b") == [AB] * 3


def test_packet_whose_bridge_is_not_told_of_is_dropped_after_a_while_and_not_for_long() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    host.hold_store()
    net.send("a", AB)
    net.advance(5.5)
    assert host.drops(bridge("web")) == {"bridge not loaded": 1}
    host.release_store()
    net.settle()
    assert net.quiet()
    net.send("a", AB)
    assert net.delivered("b") == [AB], "the drop flow does not outlive its cause"


def test_waiting_room_is_bounded_and_recovers_at_once() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    host.hold_store()
    frames = [udp(A, B, "10.0.0.1", "10.0.0.2", sport=n) for n in range(100)]
    net.send_at_once("a", *frames)
    assert host.drops(bridge("web"))["waiting room full"] == 36
    host.release_store()
    net.settle()
    assert net.delivered("b") == frames[:64]
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_deleted_bridge_drops_and_a_bridge_made_again_forwards() -> None:
    net = learned()
    net.send("a", AB)
    net.forget()
    other = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  other: {ports: {z: {host: h1, interface: z}}}
"""
    net.apply(other)
    net.send("a", AB)
    assert net.quiet()
    assert net.flows("h1") == ()
    net.apply(TOPOLOGY)
    net.send("a", AB)
    assert net.delivered("b") == [AB]


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
