"""Hosts in zones of several types: by which tunnel packets go, and what is believed of tunnels."""

import pytest

from actors.messages.flow_state import FlowStateKey, ShareFlowState
from actors.packets.flow_key import TunnelKey
from actors.state.topology import TUNNEL_LINKS, TunnelType
from actors.tunnel_key import egress_port_key
from actors.values import ActorName, DeviceId, HostId, parse_ip, stable_id
from tests.network import Network
from tests.wire import ether

ONE_ZONE = """
ayatori: 1
tunnel_zones: {{dc: {{type: {kind}, members: {{h1: 198.18.0.1, h2: 198.18.0.2}}}}}}
bridges: {{web: {{ports: {{a: {{host: h1, interface: a}}, b: {{host: h2, interface: b}}}}}}}}
"""
MIXED = """
ayatori: 1
tunnel_zones:
  east: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
  west: {type: gre, members: {h2: 198.19.0.2, h3: 198.19.0.3}}
bridges:
  one: {ports: {a: {host: h1, interface: a}, b: {host: h2, interface: b}}}
  two: {ports: {c: {host: h2, interface: c}, d: {host: h3, interface: d}}}
  three: {ports: {e: {host: h1, interface: e}, f: {host: h3, interface: f}}}
"""
HERE, THERE = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
AB, BA = ether(B, A), ether(A, B)
TYPES: list[TunnelType] = ["vxlan", "geneve", "gre"]
every_kind = pytest.mark.parametrize("kind", TYPES)


def plugged(net: Network, host: str) -> set[str]:
    """Return the names of the tunnel ports that a host's datapath has."""
    datapath = net.hosts[host].datapath
    return {link for link in TUNNEL_LINKS.values() if datapath.port(link) is not None}


def settled(net: Network, host: str) -> bool:
    """Tell whether a host's agent has said that it is ready."""
    return net.hosts[host].settled


@every_kind
def test_frames_go_by_the_tunnel_of_the_shared_zone_and_back(kind: TunnelType) -> None:
    net = Network.from_yaml(ONE_ZONE.format(kind=kind))
    assert plugged(net, "h1") == plugged(net, "h2") == {TUNNEL_LINKS[kind]}
    assert all(host.settled for host in net.hosts.values())
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    net.send("b", BA)
    assert net.delivered("a") == [BA]


def test_a_host_in_two_zones_reaches_each_peer_by_their_own_tunnel() -> None:
    net = Network.from_yaml(MIXED)
    assert plugged(net, "h1") == {"ayatori-vxlan"}
    assert plugged(net, "h2") == {"ayatori-vxlan", "ayatori-gre"}
    assert plugged(net, "h3") == {"ayatori-gre"}
    for one, other in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")):
        net.send(one, AB)
        assert net.delivered(other) == [AB], (one, other)
    net.send("e", AB)
    assert net.delivered("f") == []
    peers = net.ask("h2", "tables")["datapath-ports"]["peers"]
    assert {each["host"]: each["type"] for each in peers} == {"h1": "vxlan", "h3": "gre"}


def test_the_first_shared_zone_by_name_decides() -> None:
    zones = "dc: {type: gre, members: {h1: 198.18.0.1, h2: 198.18.0.2}}"
    second = zones.replace("dc", "alpha").replace("gre", "geneve").replace("198.18", "198.19")
    text = ONE_ZONE.format(kind="gre").replace(zones, f"{zones}, {second}")
    net = Network.from_yaml(text)
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    (peer,) = net.ask("h1", "tables")["datapath-ports"]["peers"]
    assert (peer["type"], peer["remote"]) == ("geneve", "198.19.0.2")


def test_a_zone_of_another_type_moves_flows_to_another_port_and_removes_the_old() -> None:
    net = Network.from_yaml(ONE_ZONE.format(kind="vxlan"))
    for kind in ("gre", "geneve", "vxlan"):
        net.send("a", AB)
        net.forget()
        net.apply(ONE_ZONE.format(kind=kind))
        assert plugged(net, "h1") == plugged(net, "h2") == {f"ayatori-{kind}"}
        net.send("a", AB)
        assert net.delivered("b") == [AB]


def test_a_host_that_leaves_its_last_zone_has_no_tunnel_port() -> None:
    text = ONE_ZONE.format(kind="gre") + "lab: {hosts: {h1: {}, h2: {}}}\n"
    net = Network.from_yaml(text)
    net.apply(text.replace("h1: 198.18.0.1, ", ""))
    assert plugged(net, "h1") == set()
    assert plugged(net, "h2") == {"ayatori-gre"}
    net.send("a", AB)
    assert net.delivered("b") == []


def test_a_tunnel_port_that_is_refused_is_asked_for_again() -> None:
    net = Network(ONE_ZONE.format(kind="gre"))
    refused = net.hosts["h1"].datapath.refused
    refused.add("ayatori-gre")
    net.start()
    assert not settled(net, "h1")
    (tunnel,) = net.ask("h1", "tables")["datapath-ports"]["tunnels"]
    assert (tunnel["interface"], tunnel["status"]) == ("ayatori-gre", "failed")
    refused.clear()
    net.advance(2)
    assert settled(net, "h1")
    net.send("a", AB)
    assert net.delivered("b") == [AB]


@every_kind
def test_only_peers_and_known_keys_are_believed_by_whatever_tunnel(kind: TunnelType) -> None:
    net = Network.from_yaml(ONE_ZONE.format(kind=kind))
    keys = net.hosts["h1"].actor("packet-workflow").state.keys
    good = egress_port_key(next(iter(keys)))
    assert next(iter(keys.values())).name == "web/a"
    for tun_id, source, expected in (
        (good, "198.18.0.2", [BA]),
        (good, "198.18.0.9", []),
        (good ^ 1, "198.18.0.2", []),
        (1 << 24 | good, "198.18.0.2", []),
        (0xFF << 24 | good, "198.18.0.2", []),
        (0, "198.18.0.2", []),
    ):
        outer = TunnelKey(tun_id, parse_ip(source), parse_ip("198.18.0.1"))
        for _ in range(2):
            net.tunnel(BA, outer, TUNNEL_LINKS[kind])
            net.settle()
            assert net.delivered("a") == expected, hex(tun_id)
    drops = net.hosts["h1"].drops("packet-workflow")
    assert drops.pop("unknown tunnel peer") == 1
    assert sum(drops.values()) == 4


@every_kind
def test_flow_state_goes_by_the_peers_tunnel(kind: TunnelType) -> None:
    net = Network.from_yaml(ONE_ZONE.format(kind=kind))
    key = FlowStateKey("conntrack", DeviceId("x"), 6, HERE, 1, THERE, 2)
    peer = HostId(stable_id("host", "h2"))
    net.hosts["h1"].lane.send(ActorName("flow-state-replicator"), ShareFlowState((key,), (peer,)))
    net.advance(0.25)
    assert net.hosts["h2"].actor("flow-state-replicator").state.received == 1
