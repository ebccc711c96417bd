"""Where ports are: a change of a way names a tag that flows along the old way carry."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.reachability import (
    Reachability,
    reach,
    take_active_rows,
    take_local_ports,
    take_peers,
)
from actors.messages.flows import LocalPort, LocalPortsChanged, LocalTunnel, TunnelPeer
from actors.messages.tables import Row
from actors.state.tables import ActivePort, encode_active
from actors.state.topology import TunnelType
from actors.values import ActorName, DatapathPort, HostId, PortId, Tag, parse_ip

PORTS = [PortId(name) for name in "pqr"]
HOSTS = [HostId(name) for name in ("h1", "h2")]
HERE = parse_ip("198.18.0.1")
TUNNEL_TYPES: list[TunnelType] = ["vxlan", "geneve", "gre"]

local_ports = st.lists(
    st.builds(
        lambda port, number: LocalPort(
            port, port, ActorName("bridge/x"), DatapathPort(number), number
        ),
        st.sampled_from(PORTS),
        st.integers(1, 3),
    ),
    max_size=3,
    unique_by=lambda port: port.port,
).map(tuple)
locals_ = st.builds(
    LocalPortsChanged,
    local_ports,
    local_ports,
    st.lists(
        st.builds(
            LocalTunnel,
            st.sampled_from(TUNNEL_TYPES),
            st.sampled_from([DatapathPort(8), DatapathPort(9)]),
        ),
        max_size=3,
        unique_by=lambda tunnel: tunnel.type,
    ).map(tuple),
)
peers = st.lists(
    st.builds(
        lambda host, kind, last: TunnelPeer(host, host, kind, HERE, parse_ip(f"198.18.0.{last}")),
        st.sampled_from(HOSTS),
        st.sampled_from(TUNNEL_TYPES),
        st.integers(2, 3),
    ),
    max_size=2,
    unique_by=lambda peer: peer.host,
).map(tuple)


@st.composite
def rows(draw: st.DrawFn) -> tuple[Row, ...]:
    port = draw(st.sampled_from(PORTS))
    key, value = encode_active(
        port, ActivePort(draw(st.sampled_from(HOSTS)), draw(st.integers(1, 2)))
    )
    return (Row(key, draw(st.sampled_from([None, value, b"\xc1"])), HOSTS[0]),)


@given(st.lists(st.one_of(locals_, peers, rows()), max_size=12))
def test_every_way_that_changes_carried_a_tag_that_is_named(
    story: list[LocalPortsChanged | tuple[TunnelPeer, ...] | tuple[Row, ...]],
) -> None:
    where = Reachability()
    for change in story:
        before = {port: reach(where, port) for port in PORTS}
        tags: tuple[Tag, ...]
        if isinstance(change, LocalPortsChanged):
            tags = take_local_ports(where, change)
        elif change and isinstance(change[0], Row):
            tags, _ = take_active_rows(where, tuple(r for r in change if isinstance(r, Row)))
        else:
            tags = take_peers(where, tuple(p for p in change if isinstance(p, TunnelPeer)))
        for port, old in before.items():
            if reach(where, port).actions != old.actions:
                assert set(old.tags) & set(tags), port


def test_port_that_is_plugged_in_by_another_interface_stays_when_the_old_one_goes() -> None:
    where = Reachability()
    old, new = (
        LocalPort(PORTS[0], "p", ActorName("bridge/x"), DatapathPort(number), number)
        for number in (1, 2)
    )
    take_local_ports(where, LocalPortsChanged((old,), (), ()))
    take_local_ports(where, LocalPortsChanged((new,), (), ()))
    take_local_ports(where, LocalPortsChanged((), (old,), ()))
    assert where.local == {PORTS[0]: new}
    take_local_ports(where, LocalPortsChanged((), (new,), ()))
    assert where.local == {}


def test_rows_that_cannot_be_read_are_counted_and_change_nothing() -> None:
    where = Reachability()
    bad = (
        Row(b"\xff", b"", HOSTS[0]),
        Row(b"p", b"\x92\xa1h\x00", HOSTS[0]),
        Row(b"\xff", None, HOSTS[0]),
    )
    assert take_active_rows(where, bad) == ((), 3)
    assert where == Reachability()
