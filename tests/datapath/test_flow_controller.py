"""The flow controller, by what it does to flows that a datapath executes."""

import msgspec

from actors.datapath.invalidations import MOST_KEPT, RecentInvalidations
from actors.datapath.odp.upcalls import decode_upcall
from actors.datapath.soft.flow_table import Flow as DatapathFlow
from actors.datapath.soft.match import mask_of
from actors.host import HostSettings
from actors.messages.netlink import DatapathLost
from actors.messages.operator import StopRequested
from actors.messages.packet_in import PacketIn
from actors.values import ActorName, HostId, Tag
from tests.network import Network
from tests.web_bridge import AB, AC, CA, TOPOLOGY, A, B, C, learned
from tests.wire import announce, ether, is_at, udp

BROADCAST = "ff:ff:ff:ff:ff:ff"


def flush(net: Network) -> None:
    for host in net.hosts.values():
        host.give(ActorName("operator"), StopRequested(net.now, keep_flows=False))
    net.settle()


def to(net: Network, host: str, mac: str) -> list[DatapathFlow]:
    return [f for f in net.flows(host) if f.key.eth_dst.hex(":") == mac]


def test_plain_flow_lives_a_minute_however_busy_it_is() -> None:
    net = learned()
    net.send("a", AB)
    (flow,) = to(net, "h1", B)
    for _ in range(11):
        net.advance(5)
        net.send("a", AB)
    assert flow.alive
    net.advance(6)
    assert not flow.alive


def test_tunnel_flow_lives_five_minutes() -> None:
    net = learned()
    net.send("c", CA)
    net.advance(70)
    (flow,) = [f for f in net.flows("h1") if f.key.eth_dst.hex(":") == A and f.key.tunnel]
    net.advance(229)
    assert flow.alive
    net.advance(3)
    assert not flow.alive


def test_drop_flow_for_an_error_lives_five_seconds() -> None:
    net = learned()
    net.send("a", ether(A, A))
    (flow,) = to(net, "h1", A)
    net.advance(4)
    assert flow.alive
    net.advance(2)
    assert not flow.alive


def test_oldest_flow_of_the_shortest_lived_kind_makes_room() -> None:
    net = Network.from_yaml(TOPOLOGY, HostSettings(HostId(""), "", most_flows=3))
    net.send("c", ether(C, BROADCAST))
    net.send("a", ether(A, BROADCAST))
    net.send("a", ether(A, A))
    net.send("a", AB)
    host = net.hosts["h1"]
    assert len(net.flows("h1")) == 3
    assert host.counters.evicted >= 1
    assert to(net, "h1", A) == [], "the error flow went first"
    assert any(flow.key.tunnel for flow in net.flows("h1")), "tunnel flows go last"


def test_two_packets_of_one_match_make_one_flow() -> None:
    net = learned()
    net.send_at_once("a", AB, udp(A, B, "10.0.0.1", "10.0.0.9"))
    assert len(to(net, "h1", B)) == 1
    assert net.hosts["h1"].counters.duplicates == 1
    assert len(net.delivered("b")) == 2


def test_flow_that_the_datapath_has_already_is_not_kept_in_the_book() -> None:
    net = learned()
    net.send("a", AB)
    (flow,) = to(net, "h1", B)
    flush(net)
    host = net.hosts["h1"]
    foreign = DatapathFlow(ufid=b"someone else's", key=flow.key, mask=flow.mask)
    raw_key = flow.raw_key
    host.datapath.datapath.table.insert(foreign)
    host.give(ActorName("packet-workflow"), PacketIn(net.now, raw_key, AB))
    net.settle()
    assert net.delivered("b")[-1] == AB
    assert host.actor("flow-controller").state.refusals == {17: 1}
    assert host.actor("flow-controller").state.flows == {}


def test_invalidation_takes_exactly_the_flows_that_carry_a_tag() -> None:
    net = learned()
    net.send("a", AB, AC)
    net.send("b", udp(B, C, "10.0.0.2", "10.0.0.3"))
    (kept,) = to(net, "h1", B)
    gone = to(net, "h1", C)
    assert len(gone) == 2
    net.send("b", announce(C, "10.0.0.3"))
    assert kept.alive
    assert not any(flow.alive for flow in gone)


def test_flow_of_a_packet_that_waited_is_refused_when_what_it_had_read_has_changed() -> None:
    routed = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}, gw: {peer: edge/web}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      up: {host: h1, interface: up, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
    net = Network.from_yaml(routed)
    frame = udp(A, "02:00:00:00:ff:01", "10.0.1.11", "10.0.2.11")
    net.send("a", ether(A, BROADCAST), frame)
    net.send("b", announce(A, "10.0.1.11"))
    net.forget()
    net.send("up", is_at(C, "10.0.2.11", "02:00:00:00:ff:02", "10.0.2.1"))
    assert len(net.delivered("up")) == 1
    assert net.hosts["h1"].counters.stale == 1
    assert to(net, "h1", "02:00:00:00:ff:01") == []
    net.send("b", frame)
    assert len(to(net, "h1", "02:00:00:00:ff:01")) == 1


def test_flow_of_a_packet_that_waited_is_installed_when_nothing_has_changed() -> None:
    routed = """
ayatori: 1
routers:
  edge:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      up: {host: h1, interface: up, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
    net = Network.from_yaml(routed)
    frame = udp(A, "02:00:00:00:ff:01", "10.0.1.11", "10.0.2.11")
    net.send("a", frame)
    net.forget()
    net.send("up", is_at(C, "10.0.2.11", "02:00:00:00:ff:02", "10.0.2.1"))
    assert len(net.delivered("up")) == 1
    assert len(to(net, "h1", "02:00:00:00:ff:01")) == 1
    assert net.hosts["h1"].counters.stale == 0


def test_flow_to_a_port_that_is_nowhere_ends_when_the_port_turns_active() -> None:
    net = learned()
    c = net.hosts["h2"]
    (index,) = c.links.values()
    c.unplug_link("c")
    net.settle()
    net.send("a", AC)
    assert net.quiet()
    assert net.hosts["h1"].counters.unreachable >= 1
    c.links["c"] = index
    c.tell_links()
    net.settle()
    net.send("a", AC)
    assert net.delivered("c") == [AC]


def test_new_datapath_begins_empty_and_fills_again() -> None:
    net = learned()
    net.send("a", AB)
    net.forget()
    host = net.hosts["h1"]
    host.restart_datapath()
    net.settle()
    assert net.flows("h1") == ()
    net.send("a", AB)
    assert net.delivered("b") == [AB]
    net.send("c", CA)
    assert net.delivered("a") == [CA], "the tunnel port is back, too"


def test_nothing_is_installed_while_there_is_no_datapath() -> None:
    net = learned()
    net.send("a", AB)
    host = net.hosts["h1"]
    raw_key = next(flow.raw_key for flow in to(net, "h1", B))
    host.give(ActorName("netlink-broker"), DatapathLost(net.now))
    net.settle()
    host.give(ActorName("packet-workflow"), PacketIn(net.now, raw_key, AB))
    net.settle()
    assert host.actor("flow-controller").state.flows == {}


def test_mac_entry_is_held_as_long_as_a_flow_depends_on_it() -> None:
    net = learned()
    net.advance(10)
    net.send("a", AB)
    held = [row["mac"] for row in net_rows(net) if row["in_use"]]
    assert set(held) >= {A, B}
    flush(net)
    assert not [row for row in net_rows(net) if row["in_use"]]


def net_rows(net: Network) -> list[dict[str, object]]:
    parts = net.ask("h1", "tables")
    return [row for part in parts.values() for row in part.get("macs", ())]


def test_flow_that_vanished_from_the_datapath_is_noticed_when_it_is_asked() -> None:
    net = learned()
    net.send("a", AB)
    (flow,) = to(net, "h1", B)
    net.hosts["h1"].datapath.delete_flow(flow)
    net.advance(1)
    net.ask("h1", "flows")
    assert net.hosts["h1"].counters.lost == 1
    net.send("a", AB)
    assert len(to(net, "h1", B)) == 1


def test_flow_whose_deletion_got_lost_is_deleted_when_the_datapath_is_asked() -> None:
    net = learned()
    net.send("a", AB)
    (flow,) = to(net, "h1", B)
    host = net.hosts["h1"]
    host.datapath.refuse_with = 5
    net.send("c", announce(B, "10.0.0.2"))
    assert flow.alive, "the request never arrived"
    host.datapath.refuse_with = 0
    net.ask("h1", "flows")
    assert not flow.alive


def test_create_that_never_arrived_is_not_kept_in_the_book() -> None:
    net = learned()
    flush(net)
    host = net.hosts["h1"]
    host.datapath.refuse_with = 5
    net.send("a", AB)
    assert net.quiet()
    assert [f for f in host.actor("flow-controller").state.flows.values() if not f.reason] == []
    host.datapath.refuse_with = 0
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_flows_are_described_to_operators_with_their_statistics() -> None:
    net = learned()
    net.send("a", AB, AB, AB)
    flows = net.ask("h1", "flows")["flow-controller"]
    (described,) = [f for f in flows if f"eth_dst={B}" in f["match"]]
    assert described["packets"] == 2, "the first was executed, not matched"
    assert described["kind"] == "plain"
    assert described["actions"] == "output(web/b)"


def test_flood_over_more_ports_than_a_flow_has_room_for_reaches_all() -> None:
    ports = "".join(f"      r{n}: {{host: h2, interface: r{n}}}\n" for n in range(900))
    net = Network.from_yaml(TOPOLOGY + ports)
    frame = ether(A, BROADCAST)
    net.send("a", frame)
    assert net.hosts["h1"].counters.in_pieces == 1
    assert all(net.delivered(f"r{n}") == [frame] for n in range(900))
    assert net.delivered("b") == [frame]


def test_port_that_gets_packets_before_it_is_known_is_not_deaf_afterwards() -> None:
    net = learned()
    host = net.hosts["h1"]
    host.unplug_link("b")
    net.settle()
    host.plug_link("b")
    net.events.popleft()()  # the link is known, the port being made; its reply is on the way
    assert host.datapath.enter("b", ether(B, BROADCAST))
    upcalls = host.datapath.receive_upcalls()
    replies, net.events = net.events, type(net.events)()
    assert upcalls
    upcall = decode_upcall(upcalls[0])
    host.handle("packet-workflow", PacketIn(net.now, upcall.raw_key, upcall.frame))
    assert host.drops("packet-workflow") == {"no virtual port": 1}
    net.events.extend(replies)
    net.settle()
    frame = ether(B, BROADCAST, b"second")
    net.send("b", frame)
    assert net.delivered("a") == [frame]


def test_host_that_left_the_tunnel_zone_is_believed_no_more() -> None:
    net = learned()
    net.send("c", CA)
    assert net.delivered("a") == [CA]
    (flow,) = [f for f in net.flows("h1") if f.key.tunnel and f.key.eth_dst.hex(":") == A]
    outer = flow.key.tunnel
    assert outer is not None
    zone = "  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}"
    apart = "  dc: {type: vxlan, members: {h1: 198.18.0.1}}\n"
    apart += "  other: {type: vxlan, members: {h2: 198.18.0.2}}"
    net.apply(TOPOLOGY.replace(zone, apart))
    net.tunnel(CA, outer)
    net.settle()
    assert net.quiet()
    net.apply(TOPOLOGY)
    net.tunnel(CA, outer)
    net.settle()
    assert net.delivered("a") == [CA]


def test_recent_invalidations_take_what_they_have_forgotten_for_stale() -> None:
    recent = RecentInvalidations()
    recent.add(10, (Tag("first"),))
    assert recent.since(9, (Tag("first"),))
    assert not recent.since(10, (Tag("first"),))
    assert not recent.since(9, (Tag("other"),))
    recent.add(20, tuple(Tag(str(n)) for n in range(MOST_KEPT)))
    assert recent.since(9, (Tag("other"),)), "nobody knows any more"
    assert not recent.since(20, (Tag("other"),))
    assert len(recent.tags) == MOST_KEPT
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(recent), type=RecentInvalidations)
    assert again == recent


def test_masks_of_installed_flows_are_what_the_kernel_takes() -> None:
    net = learned()
    net.send("a", AB, AC, ether(A, BROADCAST), udp(A, B, "10.0.0.1", "10.0.0.2", vlan=5))
    for flow in net.flows("h1"):
        assert mask_of(flow.raw_key, flow.raw_mask) == flow.mask
