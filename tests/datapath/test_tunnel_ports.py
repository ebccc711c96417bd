"""Which tunnel ports a host has, and by which of them it reaches others."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.datapath_ports import PortsState
from actors.datapath.handshake import DATAPATH_NAME
from actors.datapath.odp.requests import DeleteDatapath, encode_request
from actors.datapath.ports_text import describe_ports
from actors.datapath.soft.families import FAMILIES
from actors.datapath.tunnel_ports import (
    AddTunnel,
    ForgetTunnel,
    RemoveTunnel,
    TunnelPort,
    peers_of,
    plan_tunnels,
    type_of,
    udp_port_of,
    wanted_types,
)
from actors.host import HostSettings
from actors.messages.netlink import PortFailed
from actors.state.topology import TUNNEL_LINKS, Member, TunnelType, TunnelZone
from actors.values import DatapathPort, HostId, parse_ip
from tests.network import Network

TYPES: list[TunnelType] = ["vxlan", "geneve", "gre"]
HOSTS = ("h1", "h2", "h3")


def settings(host: str) -> HostSettings:
    return HostSettings(HostId(host), host)


def zone(name: str, kind: TunnelType, *hosts: str) -> TunnelZone:
    members = tuple(
        Member(HostId(host), host, parse_ip(f"198.18.{ord(name) % 200}.{host[1:]}"))
        for host in hosts
    )
    return TunnelZone(name, name, kind, members)


def by_id(*zones: TunnelZone) -> dict[str, TunnelZone]:
    return {each.id: each for each in zones}


def test_only_the_types_of_a_hosts_own_zones_are_wanted() -> None:
    zones = by_id(
        zone("a", "gre", "h2", "h3"), zone("b", "vxlan", "h1", "h2"), zone("c", "geneve", "h3")
    )
    assert wanted_types(settings("h1"), zones) == ("vxlan",)
    assert wanted_types(settings("h2"), zones) == ("vxlan", "gre")
    assert wanted_types(settings("h3"), zones) == ("geneve", "gre")
    assert wanted_types(settings("h4"), zones) == ()


@given(
    st.lists(
        st.builds(
            lambda name, kind, hosts: zone(name, kind, *hosts),
            st.sampled_from("abcd"),
            st.sampled_from(TYPES),
            st.lists(st.sampled_from(HOSTS), unique=True),
        ),
        unique_by=lambda each: each.id,
    )
)
def test_two_hosts_reach_each_other_by_one_type_and_have_its_port(zones: list[TunnelZone]) -> None:
    found = {
        (host, peer.host): peer
        for host in HOSTS
        for peer in peers_of(settings(host), by_id(*zones))
    }
    for (host, other), peer in found.items():
        back = found[other, HostId(host)]
        assert (peer.type, peer.local, peer.remote) == (back.type, back.remote, back.local)
        assert peer.type in wanted_types(settings(host), by_id(*zones))
        shared = min(each.name for each in zones if {host, other} <= {m.host for m in each.members})
        assert peer.type == next(each.type for each in zones if each.name == shared)


@pytest.mark.parametrize(
    ("status", "wanted", "at", "steps"),
    [
        (None, True, 0, (AddTunnel("gre"),)),
        (None, False, 0, ()),
        ("adding", True, 0, ()),
        ("adding", False, 0, ()),
        ("plugged", True, 0, ()),
        ("plugged", False, 0, (RemoveTunnel("gre"),)),
        ("removing", True, 9, ()),
        ("removing", False, 9, ()),
        ("failed", True, 4, ()),
        ("failed", True, 5, (AddTunnel("gre"),)),
        ("failed", False, 4, (ForgetTunnel("gre"),)),
    ],
)
def test_a_tunnel_port_is_made_kept_tried_again_or_removed(
    status: str | None, wanted: bool, at: int, steps: tuple[object, ...]
) -> None:
    port = TunnelPort(status, DatapathPort(3), 5) if status else None  # type: ignore[arg-type]
    ports: dict[TunnelType, TunnelPort] = {"gre": port} if port else {}
    assert plan_tunnels(("gre",) if wanted else (), ports, at) == steps


def test_names_fit_an_interface_and_are_told_apart() -> None:
    assert all(len(link) <= 15 for link in TUNNEL_LINKS.values())
    assert [type_of(link) for link in TUNNEL_LINKS.values()] == list(TUNNEL_LINKS)
    assert type_of("eth0") is None


def test_gre_has_no_port_and_the_others_have_different_ones() -> None:
    assert [udp_port_of(settings("h1"), kind) for kind in TYPES] == [6677, 6081, None]


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (
            TunnelPort("failed", errno=97),
            "the datapath has no gre tunnels (the kernel's module vport-gre)",
        ),
        (TunnelPort("failed", errno=98), "Address already in use"),
        (TunnelPort("plugged"), ""),
    ],
)
def test_operators_are_told_why_a_tunnel_port_is_not_made(port: TunnelPort, why: str) -> None:
    state = PortsState(tunnels={"gre": port})
    (told,) = msgspec.json.decode(describe_ports(state, settings("h1")))["tunnels"]
    assert (told["status"], told["why"]) == (port.status, why)


def test_a_tunnel_port_that_is_refused_is_known_by_its_error() -> None:
    net = Network.from_yaml(
        "{ayatori: 1, bridges: {web: {ports: {a: {host: h1, interface: a}}}},"
        " tunnel_zones: {dc: {type: gre, members: {h1: 198.18.0.1}}}}"
    )
    host = net.hosts["h1"]
    host.datapath.refused.add("ayatori-gre")
    delete = DeleteDatapath(name=DATAPATH_NAME)
    host.datapath.send(encode_request(delete, families=FAMILIES, seq=1, pid=0))
    host.restart_datapath()
    net.settle()
    (port,) = host.actor("datapath-ports").state.tunnels.values()
    assert (port.status, port.errno) == ("failed", 19)
    net.advance(5)
    assert host.failed_ports == [PortFailed("ayatori-gre", 19)]
