"""Bridges and ports that go down, come up, are removed, or are not loaded yet."""

from actors.values import parse_mac
from tests.network import Network, bridge
from tests.web_bridge import AB, AC, BA, TOPOLOGY, A, B, C, learned
from tests.wire import ether, udp


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
