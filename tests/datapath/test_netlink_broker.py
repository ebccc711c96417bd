"""The netlink broker: replies that are late, lost, refused or rubbish."""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import FlowInfo, VportInfo
from actors.datapath.odp.reply_encoding import encode_done, encode_reply
from actors.datapath.sequence import (
    CREATE_BITS,
    NUMBER_MASK,
    flow_of,
    kind_of,
)
from actors.datapath.soft.families import AGENT_PID, FAMILIES
from actors.datapath.soft.flow_table import Flow
from actors.messages.netlink import NetlinkReplied, NetlinkRepliesLost
from actors.values import ActorName
from tests.network import Network
from tests.wire import ether, udp

TOPOLOGY = """
ayatori: 1
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}}}
"""
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
AB = udp(A, B, "10.0.0.1", "10.0.0.2")
BROADCAST = "ff:ff:ff:ff:ff:ff"
BROKER = ActorName("netlink-broker")


def network() -> Network:
    net = Network.from_yaml(TOPOLOGY)
    net.send("b", ether(B, BROADCAST))
    net.send("a", AB)
    net.forget()
    return net


def counters(net: Network) -> dict[str, int]:
    counted: dict[str, int] = net.hosts["h1"].actor("netlink-broker").state.counters
    return counted


@given(st.integers(1, 1 << 40), st.integers(0, 1 << 29))
def test_sequence_number_finds_its_flow_among_the_latest(next_flow: int, back: int) -> None:
    flow = next_flow - 1 - back
    if flow >= 0:
        assert flow_of(CREATE_BITS | (flow & NUMBER_MASK), next_flow) == flow
        assert kind_of(CREATE_BITS | (flow & NUMBER_MASK)) == 1


def test_lost_replies_make_both_sides_agree_again() -> None:
    net = network()
    host = net.hosts["h1"]
    ours = net.flows("h1")[0]
    foreign = Flow(ufid=b"f" * 16, key=ours.key, mask=ours.mask)
    host.datapath.delete_flow(ours)
    host.datapath.datapath.table.insert(foreign)
    net.advance(1)
    host.give(BROKER, NetlinkRepliesLost(net.now))
    net.settle()
    assert not foreign.alive
    assert host.counters.lost == 1
    book = {f.number for f in host.actor("flow-controller").state.flows.values()}
    assert book == {int.from_bytes(flow.ufid[8:], sys.byteorder) for flow in net.flows("h1")}
    assert counters(net)["replies lost"] == 1
    assert counters(net)["foreign flows deleted"] == 1
    assert "dumps broken off" not in counters(net)


def test_replies_lost_during_a_dump_begin_another() -> None:
    net = network()
    host = net.hosts["h1"]
    before = len(net.flows("h1"))
    net.advance(1)
    host.handle("netlink-broker", NetlinkRepliesLost(net.now))
    net.events.clear()  # the dump's replies are lost, too
    host.give(BROKER, NetlinkRepliesLost(net.now))
    net.settle()
    assert host.counters.lost == 0
    assert len(net.flows("h1")) == before
    assert host.actor("netlink-broker").state.dumps.current is None


def test_dump_that_never_ends_is_given_up() -> None:
    net = network()
    host = net.hosts["h1"]
    host.handle("netlink-broker", NetlinkRepliesLost(net.now))
    net.events.clear()
    net.advance(5.5)
    assert host.actor("netlink-broker").state.dumps.current is None
    assert host.counters.lost == 0


def test_port_whose_creation_is_not_answered_is_tried_again_and_found_there() -> None:
    net = network()
    host = net.hosts["h1"]
    host.unplug_link("b")
    net.settle()
    host.replies_lost = True
    host.plug_link("b")
    net.settle()
    net.advance(5.5)
    assert host.datapath.port("b") is not None
    assert counters(net)["requests timed out"] >= 1
    host.replies_lost = False
    net.advance(3)
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_port_on_a_link_that_is_gone_is_refused_and_retried_until_it_is_there() -> None:
    net = network()
    host = net.hosts["h1"]
    host.unplug_link("b")
    net.settle()
    host.plug_link("b")
    index = host.links.pop("b")  # it vanished before the request came
    net.settle()
    refusals = net.ask("h1", "devices") and host.actor("datapath-ports").state.refusals
    assert list(refusals.values()) == [1]
    host.links["b"] = index
    net.advance(2)
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_removal_that_is_not_answered_counts_as_done() -> None:
    net = network()
    host = net.hosts["h1"]
    host.replies_lost = True
    host.unplug_link("b")
    net.settle()
    net.advance(5.5)
    assert "b" not in host.actor("datapath-ports").state.plugged


def test_late_and_foreign_replies_are_counted() -> None:
    net = network()
    host = net.hosts["h1"]
    index = host.datapath.datapath.ifindex
    late = encode_reply(VportInfo(12345, 1, index, 9, 1, "x"), families=FAMILIES, pid=AGENT_PID)
    stray = encode_reply(FlowInfo(777, 1, index, b"u" * 16), families=FAMILIES, pid=AGENT_PID)
    for reply in (late, stray, encode_done(4242, AGENT_PID)):
        host.give(BROKER, NetlinkReplied(net.now, reply))
    net.settle()
    assert counters(net)["late replies"] == 2


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_datagram_of_replies_is_survived(data: st.DataObject) -> None:
    net = network()
    host = net.hosts["h1"]
    index = host.datapath.datapath.ifindex
    good = encode_reply(
        FlowInfo(
            data.draw(st.integers(0, (1 << 32) - 1)), 1, index, data.draw(st.binary(max_size=16))
        ),
        families=data.draw(st.sampled_from([FAMILIES, Families(1, 2, 3, 4)])),
        pid=AGENT_PID,
    )
    broken = bytearray(good + data.draw(st.binary(max_size=20)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(broken) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    for datagram in (bytes(broken), bytes(broken[: data.draw(st.integers(0, len(broken)))])):
        host.give(BROKER, NetlinkReplied(net.now, datagram))
    net.settle()
    net.forget()
    net.send("a", AB)
    assert net.delivered("b") == [AB]


def test_frame_too_large_for_any_request_is_dropped_and_counted() -> None:
    net = network()
    host = net.hosts["h1"]
    net.send("a", ether(A, "02:00:00:00:00:99", bytes(60_000)))
    assert len(net.delivered("b")) == 1
    assert host.requests.reserve(1 << 20) == -1
