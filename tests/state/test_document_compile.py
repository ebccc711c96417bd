"""What a document becomes in the store."""

import pytest

from actors.state.document import compile_document, host_id, parse_document, port_id
from actors.state.topology import Bridge, Host, PortGroup, Router, TopologyObject, TunnelZone
from actors.values import format_ip, format_mac, stable_id, stable_mac
from tests.state.document_good import GOOD


@pytest.fixture(name="objects")
def _objects() -> dict[str, TopologyObject]:
    return {thing.name: thing for thing in compile_document(parse_document(GOOD, "net.yaml"))}


def _router(objects: dict[str, TopologyObject]) -> Router:
    edge = objects["edge"]
    assert isinstance(edge, Router)
    return edge


def test_ids_follow_from_kinds_and_names(objects: dict[str, TopologyObject]) -> None:
    assert {name: thing.id for name, thing in objects.items()} == {
        "web": stable_id("bridge", "web"),
        "db": stable_id("bridge", "db"),
        "edge": stable_id("router", "edge"),
        "h1": stable_id("host", "h1"),
        "h2": stable_id("host", "h2"),
        "dc": stable_id("tunnel-zone", "dc"),
        "uplinks": stable_id("port-group", "uplinks"),
    }
    assert [port.id for port in _router(objects).ports] == [
        stable_id("port", f"edge/{name}") for name in ("db", "up1", "web")
    ]


def test_mac_that_is_left_out_is_made_up_stably(objects: dict[str, TopologyObject]) -> None:
    db, _, web = _router(objects).ports
    assert db.mac == stable_mac("edge/db")
    assert web.mac is not None
    assert format_mac(web.mac) == "02:00:00:00:01:01"


def test_both_ends_of_a_link_know_the_far_port_whichever_named_it(
    objects: dict[str, TopologyObject],
) -> None:
    for name in ("web", "db"):
        bridge, edge = objects[name], _router(objects)
        assert isinstance(bridge, Bridge)
        near = next(port for port in bridge.ports if port.name == f"{name}/gw")
        far = next(port for port in edge.ports if port.name == f"edge/{name}")
        assert near.peer is not None
        assert far.peer is not None
        assert (near.peer.port, near.peer.device, near.peer.kind) == (far.id, edge.id, "router")
        assert (near.peer.mac, near.peer.address) == (far.mac, far.address)
        assert (far.peer.port, far.peer.device, far.peer.kind) == (near.id, bridge.id, "bridge")
        assert (far.peer.mac, far.peer.address) == (None, None)


def test_gateway_leaves_by_the_port_whose_network_holds_it(
    objects: dict[str, TopologyObject],
) -> None:
    default, on_link, blackhole = _router(objects).routes
    assert default.port == port_id("edge/up1")
    assert default.via is not None
    assert format_ip(default.via) == "203.0.113.1"
    assert str(default.source) == "0.0.0.0/0"
    assert (on_link.port, on_link.via, on_link.weight) == (port_id("edge/db"), None, 100)
    assert (blackhole.port, blackhole.action) == (None, "blackhole")
    assert str(blackhole.source) == "10.0.1.0/24"


def test_hosts_hold_their_bindings_by_name(objects: dict[str, TopologyObject]) -> None:
    h1, h2 = objects["h1"], objects["h2"]
    assert isinstance(h1, Host)
    assert isinstance(h2, Host)
    assert [each.port_name for each in h1.bindings] == ["db/vm3", "edge/up1", "web/vm1"]
    assert [(each.port_name, each.interface) for each in h2.bindings] == [("web/vm2", "vm2")]
    assert [each.kind for each in h1.bindings] == ["bridge", "router", "bridge"]


def test_administrative_state_reaches_devices_and_ports(
    objects: dict[str, TopologyObject],
) -> None:
    web, db = objects["web"], objects["db"]
    assert isinstance(web, Bridge)
    assert isinstance(db, Bridge)
    assert (web.admin_up, db.admin_up) == (False, True)
    assert {port.name: port.admin_up for port in web.ports} == {
        "web/gw": True,
        "web/spare": True,
        "web/vm1": True,
        "web/vm2": False,
    }


def test_zones_and_groups_refer_by_id(objects: dict[str, TopologyObject]) -> None:
    zone, group = objects["dc"], objects["uplinks"]
    assert isinstance(zone, TunnelZone)
    assert isinstance(group, PortGroup)
    assert [(each.host, format_ip(each.address)) for each in zone.members] == [
        (host_id("h1"), "198.18.0.1"),
        (host_id("h2"), "198.18.0.2"),
    ]
    assert (group.stateful, group.ports) == (True, (port_id("edge/up1"),))


@pytest.mark.parametrize(
    ("lab", "hosts"),
    [
        ("lab: {}", ["h1", "h2"]),
        ("lab: {hosts: {h2: {}, h3: {}}}", ["h2", "h3"]),
    ],
)
def test_lab_has_the_zones_members_unless_it_names_its_hosts(lab: str, hosts: list[str]) -> None:
    zone = "tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}"
    document = parse_document(f"ayatori: 1\n{zone}\n{lab}\n", "net.yaml")
    assert document.lab is not None
    assert list(document.lab.hosts) == hosts


def test_lab_without_zones_has_the_hosts_of_the_ports() -> None:
    text = "ayatori: 1\nbridges: {a: {ports: {x: {host: h7, interface: i}}}}\nlab: {}\n"
    document = parse_document(text, "net.yaml")
    assert document.lab is not None
    assert list(document.lab.hosts) == ["h7"]


def test_one_address_of_a_machine_needs_no_list() -> None:
    document = parse_document(GOOD, "net.yaml")
    assert document.lab is not None
    machines = document.lab.machines
    assert [str(each) for each in machines["vm1"].addresses] == ["10.0.1.11/24"]
    assert [str(each) for each in machines["vm2"].addresses] == ["10.0.1.12/24", "2001:db8::12/64"]
