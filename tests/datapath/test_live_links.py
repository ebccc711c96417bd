"""Interfaces of a host as they come, go, are renamed and lose their carrier; seen from a bridge."""

from typing import Any

from actors.messages.topology import Link, LinksChanged, LinksChanged1
from actors.state.tables import ACTIVE_TABLE
from actors.values import ActorName
from tests.network import Network
from tests.network_host import HostEnd
from tests.web_bridge import TOPOLOGY, A, B, C
from tests.wire import announce, ether

PORTS = ActorName("datapath-ports")


def known() -> Network:
    net = Network.from_yaml(TOPOLOGY)
    for link, mac in zip("abc", (A, B, C), strict=True):
        net.send(link, announce(mac, "10.0.0.1"))
    net.forget()
    return net


def tell(net: Network, host: HostEnd, changed: tuple[Link, ...], *removed: int) -> None:
    host.give(PORTS, LinksChanged(net.now, changed, removed))
    net.settle()


def statuses(net: Network, host: str = "h1") -> dict[str, str]:
    described: list[dict[str, Any]] = net.ask(host, "tables")["datapath-ports"]["ports"]
    return {row["interface"]: row["status"] for row in described}


def vports(host: HostEnd) -> set[str]:
    return {name for name in "abcxy" if host.datapath.port(name) is not None}


def test_port_without_carrier_stays_in_the_datapath_but_is_active_nowhere() -> None:
    net = known()
    net.send("a", ether(A, C))
    assert net.delivered("c")
    far = net.hosts["h2"]
    number = far.datapath.port("c")
    far.set_link("c", carrier=False)
    net.settle()
    assert len(net.store.rows(ACTIVE_TABLE)) == 2
    assert statuses(net, "h2") == {"c": "no carrier"}
    assert far.datapath.port("c") is number
    net.send("a", ether(A, C))
    assert not net.delivered("c")
    far.set_link("c")
    net.settle()
    assert statuses(net, "h2") == {"c": "plugged"}
    net.send("a", ether(A, C))
    assert len(net.delivered("c")) == 1


def test_status_tells_an_interface_that_is_down() -> None:
    net = known()
    net.hosts["h1"].set_link("b", up=False, carrier=False)
    net.settle()
    assert statuses(net) == {"a": "plugged", "b": "down"}


def test_flows_to_a_port_that_lost_its_carrier_are_invalidated_on_both_hosts() -> None:
    net = known()
    near, far = net.hosts["h1"], net.hosts["h2"]
    learned = set(near.datapath.flows())
    net.send("a", ether(A, B))
    local = set(near.datapath.flows()) - learned
    net.send("a", ether(A, C))
    remote = set(near.datapath.flows()) - learned - local
    assert len(local) == len(remote) == 1
    far.set_link("c", carrier=False)
    net.settle()
    assert local <= set(near.datapath.flows())
    assert not remote & set(near.datapath.flows())
    assert not [flow for flow in far.datapath.flows() if flow.raw_actions]


def test_mtu_change_touches_no_port_and_no_flow() -> None:
    net = known()
    net.send("a", ether(A, B))
    host, flows = net.hosts["h1"], net.flows("h1")
    port, at = host.datapath.port("b"), len(host.tape.outputs)
    tell(net, host, (Link("b", host.links["b"], True, 1400),))
    assert host.datapath.port("b") is port
    assert net.flows("h1") == flows
    assert len(host.tape.outputs) == at


def test_interface_that_takes_another_name_is_unplugged_and_plugged_again_by_its_own() -> None:
    net = known()
    host = net.hosts["h1"]
    index = host.links.pop("b")
    host.links["x"] = index
    tell(net, host, (Link("x", index, True, 1500),))
    assert vports(host) == {"a"}
    assert net.ask("h1", "tables")["datapath-ports"]["missing_interfaces"] == ["b"]
    host.links["b"] = host.links.pop("x")
    tell(net, host, (Link("b", index, True, 1500),))
    assert vports(host) == {"a", "b"}
    net.send("a", ether(A, B))
    assert len(net.delivered("b")) == 1


def test_two_bound_interfaces_may_swap_their_names() -> None:
    net = known()
    host = net.hosts["h1"]
    a, b = host.links["a"], host.links["b"]
    host.links.update(a=b, b=a)
    tell(net, host, (Link("b", a, True, 1500), Link("a", b, True, 1500)))
    assert statuses(net) == {"a": "plugged", "b": "plugged"}
    assert {name: p.link_index for name, p in host.actor(PORTS).state.plugged.items()} == {
        "a": b,
        "b": a,
    }


def test_interface_made_again_under_its_name_is_plugged_anew() -> None:
    net = known()
    host = net.hosts["h1"]
    old = host.links["b"]
    host.links["b"] = net.next_index()
    tell(net, host, (Link("b", host.links["b"], True, 1500),), old)
    assert statuses(net) == {"a": "plugged", "b": "plugged"}
    assert host.actor(PORTS).state.plugged["b"].link_index == host.links["b"]


def test_interface_without_carrier_at_first_turns_active_when_it_has_it() -> None:
    net = Network(TOPOLOGY)
    net.hosts["h1"].silent.add("b")
    net.start()
    assert net.hosts["h1"].settled
    assert statuses(net) == {"a": "plugged", "b": "no carrier"}
    net.hosts["h1"].set_link("b")
    net.settle()
    assert statuses(net) == {"a": "plugged", "b": "plugged"}


def test_flapping_interface_ends_as_it_is_with_one_row() -> None:
    net = known()
    for turn in range(100):
        net.hosts["h2"].set_link("c", carrier=bool(turn % 2))
    net.settle()
    assert len(net.store.rows(ACTIVE_TABLE)) == 3
    net.send("a", ether(A, C))
    assert len(net.delivered("c")) == 1


def test_journal_of_an_earlier_agent_tells_all_interfaces_each_time() -> None:
    net = known()
    host = net.hosts["h1"]
    host.give(PORTS, LinksChanged1(net.now, (Link("a", host.links["a"], True, 1500),)))
    net.settle()
    assert statuses(net) == {"a": "plugged"}
