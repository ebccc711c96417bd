"""The routing table against a linear scan, and the tags of a change against all lookups."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.devices.routing_table import (
    ANYWHERE,
    RouteEntry,
    RoutingTable,
    bucket_tag,
    changed_route_tags,
    entries_of,
    flow_hash,
    no_route_tag,
)
from actors.packets.flow_key import SEEN_IP_SRC, SEEN_L4_SRC, FlowKey
from actors.state.topology import Port, Route, Router
from actors.values import (
    DeviceId,
    HostId,
    IpAddress,
    Mac,
    PortId,
    Tag,
    parse_interface,
    parse_ip,
    parse_prefix,
    prefix_of,
)

R = DeviceId("r")
PORTS = [PortId(name) for name in ("p", "q", "s")]

# Few bits differ, so that prefixes nest and destinations hit them.
addresses = st.builds(
    lambda high, third, last: IpAddress(bytes((10, high, third, last))),
    st.sampled_from([0, 1, 128]),
    st.sampled_from([0, 1, 255]),
    st.sampled_from([0, 1, 128, 255]),
)
lengths = st.sampled_from([0, 8, 9, 16, 23, 24, 25, 32])
prefixes = st.builds(prefix_of, addresses, lengths)
sources = st.one_of(st.just(ANYWHERE), prefixes)
routes = st.builds(
    Route,
    to=prefixes,
    source=sources,
    action=st.sampled_from(["forward", "blackhole", "reject"]),
    port=st.sampled_from(PORTS),
    via=st.sampled_from([None, parse_ip("10.0.0.9")]),
    weight=st.sampled_from([1, 2]),
)
packets = st.builds(
    lambda src, dst, proto, frag, sport: FlowKey(
        1, None, Mac(bytes(6)), Mac(bytes(6)), 0x0800, ip_src=src, ip_dst=dst, ip_proto=proto,
        ip_frag=frag, l4_src=sport,
    ),
    addresses, addresses, st.sampled_from([1, 6, 17]), st.sampled_from([0, 1, 2]),
    st.integers(0, 5),
)  # fmt: skip


def configuration(*given_routes: Route, down: PortId | None = None) -> Router:
    ports = tuple(
        Port(
            port,
            port,
            admin_up=port != down,
            host=HostId("h"),
            address=parse_interface(f"10.0.{number}.1/24"),
        )
        for number, port in enumerate(PORTS)
    )
    return Router(R, "r", True, ports, given_routes)


def usable(config: Router, inactive: PortId | None = None) -> tuple[RouteEntry, ...]:
    """Return the routes in use while all exterior ports but one, or all, are active."""
    return entries_of(config, {port.id for port in config.ports} - {inactive})


def scan(entries: tuple[RouteEntry, ...], packet: FlowKey) -> list[RouteEntry]:
    """Return the routes among which the flow's hash may choose, by looking at all."""
    fit = [e for e in entries if e.to.contains(packet.ip_dst) and e.source.contains(packet.ip_src)]
    if not fit:
        return []
    best = max((e.to.length, e.source.length, -e.weight) for e in fit)
    return [e for e in fit if (e.to.length, e.source.length, -e.weight) == best]


@given(st.lists(routes, max_size=12), st.lists(packets, min_size=1, max_size=10))
def test_lookup_agrees_with_a_scan_of_all_routes(
    given_routes: list[Route], looked_up: list[FlowKey]
) -> None:
    entries = usable(configuration(*given_routes))
    table = RoutingTable(R, entries)
    for packet in looked_up:
        found = table.find(packet).route
        best = scan(entries, packet)
        assert (found is None) == (not best)
        assert found is None or found in best


def lookup_tags(table: RoutingTable, packet: FlowKey) -> tuple[Tag | None, set[Tag]]:
    """Return the route's tag and all route tags that a flow of this packet carries."""
    route = table.find(packet).route
    tag = None if route is None else route.tag
    return tag, {bucket_tag(R, packet.ip_dst), no_route_tag(R) if tag is None else tag}


@given(
    st.lists(routes, max_size=8),
    st.lists(routes, max_size=8),
    st.sampled_from([None, *PORTS]),
    st.sampled_from([None, *PORTS]),
    st.sampled_from([None, *PORTS]),
    st.randoms(use_true_random=False),
    st.lists(packets, min_size=1, max_size=12),
)
def test_every_flow_whose_route_changes_carries_an_invalidated_tag(
    kept: list[Route],
    others: list[Route],
    down: PortId | None,
    inactive: PortId | None,
    becomes_inactive: PortId | None,
    random: Random,
    looked_up: list[FlowKey],
) -> None:
    half = len(others) // 2
    before = [*kept, *others[:half]]
    after = [*kept, *others[half:]]
    random.shuffle(after)
    old = usable(configuration(*before), inactive)
    new = usable(configuration(*after, down=down), becomes_inactive)
    changed = set(changed_route_tags(R, old, new))
    old_table, new_table = RoutingTable(R, old), RoutingTable(R, new)
    for packet in looked_up:
        was, carried = lookup_tags(old_table, packet)
        becomes, _ = lookup_tags(new_table, packet)
        if was != becomes:
            assert carried & changed, (was, becomes)


@given(st.lists(routes, max_size=10), st.randoms(use_true_random=False))
def test_order_and_repetition_of_routes_in_the_configuration_do_not_matter(
    given_routes: list[Route],
    random: Random,
) -> None:
    shuffled = [*given_routes, *given_routes[:2]]
    random.shuffle(shuffled)
    one = RoutingTable(R, usable(configuration(*given_routes)))
    other = RoutingTable(R, usable(configuration(*shuffled)))
    assert changed_route_tags(R, one.entries, other.entries) == ()
    for last in range(0, 256, 51):
        packet = FlowKey(
            1, None, Mac(bytes(6)), Mac(bytes(6)), 0x0800,
            ip_src=parse_ip("10.0.0.1"), ip_dst=IpAddress(bytes((10, 0, 1, last))), ip_proto=17,
        )  # fmt: skip
        assert one.find(packet) == other.find(packet)


def test_unchanged_routes_name_no_tags() -> None:
    entries = usable(configuration(Route(parse_prefix("10.9.0.0/16"), ANYWHERE, "reject")))
    assert changed_route_tags(R, entries, entries) == ()


def test_change_of_one_route_does_not_touch_the_flows_of_another() -> None:
    left = Route(parse_prefix("10.8.0.0/16"), ANYWHERE, "forward", PORTS[0])
    right = Route(parse_prefix("10.9.0.0/16"), ANYWHERE, "forward", PORTS[1])
    old, new = usable(configuration(left, right)), usable(configuration(left))
    (kept,) = (e.tag for e in new if e.to == left.to)
    assert kept not in changed_route_tags(R, old, new)


def test_equal_routes_share_connections_and_keep_each_on_its_way() -> None:
    to = parse_prefix("10.9.0.0/16")
    table = RoutingTable(
        R, usable(configuration(*(Route(to, ANYWHERE, "forward", port) for port in PORTS)))
    )
    used: dict[PortId | None, int] = {}
    for port in range(1000, 1100):
        packet = FlowKey(
            1, None, Mac(bytes(6)), Mac(bytes(6)), 0x0800,
            ip_src=parse_ip("10.0.0.1"), ip_dst=parse_ip("10.9.0.1"), ip_proto=6, l4_src=port,
        )  # fmt: skip
        found = table.find(packet)
        assert found.seen & SEEN_L4_SRC
        assert found.route is not None
        used[found.route.port] = used.get(found.route.port, 0) + 1
        assert table.find(replace(packet, ip_ttl=9)).route is found.route
    assert set(used) == set(PORTS)
    assert min(used.values()) > 10


@given(packets, st.sampled_from([1, 2]), st.integers(0, 9), st.integers(0, 9))
def test_all_fragments_of_a_packet_hash_alike(
    packet: FlowKey, frag: int, sport: int, dport: int
) -> None:
    fragment = replace(packet, ip_frag=frag)
    with_ports = replace(fragment, l4_src=sport, l4_dst=dport)
    assert flow_hash(fragment)[1] == flow_hash(with_ports)[1]


@given(st.lists(routes, max_size=8), packets, addresses, st.integers(0, 9))
def test_fields_that_a_lookup_did_not_read_do_not_change_its_result(
    given_routes: list[Route], packet: FlowKey, source: IpAddress, sport: int
) -> None:
    table = RoutingTable(R, usable(configuration(*given_routes)))
    found = table.find(packet)
    if not found.seen & SEEN_IP_SRC:
        packet = replace(packet, ip_src=source)
    if not found.seen & SEEN_L4_SRC:
        packet = replace(packet, l4_src=sport)
    assert table.find(packet) == found
