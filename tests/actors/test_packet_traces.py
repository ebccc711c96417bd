"""Following packets: seen hop by hop where they enter, and again where a tunnel brings them."""

import pytest

from actors.messages.traces import TraceMatch
from actors.tunnel_key import TRACE_BIT
from actors.values import parse_prefix, stable_id
from tests.actors.tracer import (
    PORT_A,
    PORT_B,
    PORT_C,
    RA,
    RB,
    ROUTED,
    TOPOLOGY,
    A,
    B,
    Tracer,
    misses,
    network,
)
from tests.network import Network, bridge, router
from tests.wire import ether, is_at, ping, udp


def test_followed_packet_is_seen_at_both_ends() -> None:
    net, near, far = network()
    assert near.start(TraceMatch(src=parse_prefix("10.0.1.11/32"))) == {"started": 1}
    net.send("a", ROUTED)
    assert len(net.delivered("b")) == 1
    (sent,) = near.records
    (came,) = far.records
    assert sent["summary"] == came["summary"]
    assert sent["summary"].startswith("udp 10.0.1.11:1000 > 10.0.2.11:2000 ip_id=")
    assert (sent["side"], sent["trace"], sent["port"]) == ("ingress", 1, PORT_A)
    assert (came["side"], came["trace"], came["peer"]) == ("egress", 0, "h1")
    (out,) = sent["outputs"]
    assert (out["port"], out["how"], out["to"]) == (PORT_B, "tunnel", "198.18.0.2")
    assert out["tunnel_key"] == came["tunnel_key"]
    assert out["tunnel_key"] & TRACE_BIT
    assert out["changes"] == f"eth_src={RB},eth_dst={B},ttl=63"
    (arrived,) = came["outputs"]
    assert (arrived["port"], arrived["how"], arrived["tunnel_key"]) == (PORT_B, "local", 0)
    assert sent["complete"]
    assert came["complete"]


def test_record_has_each_hop_and_what_it_decided() -> None:
    net, near, _ = network()
    near.start()
    net.send("a", ROUTED)
    (record,) = near.records
    web = stable_id("port", "edge/web")
    assert [(hop["device"], hop["decision"], hop["changes"]) for hop in record["hops"]] == [
        (bridge("web"), f"to {router('edge')} by {web}", ""),
        (router("edge"), f"out by {PORT_B}", f"eth_src={RB},eth_dst={B},ttl=63"),
    ]
    assert record["match"].startswith(f"eth_src={A},eth_dst={RA},")


@pytest.mark.parametrize(
    ("frame", "decision", "reason"),
    [
        (udp(A, RA, "10.0.1.11", "10.9.9.9"), "rejects it: no route (ICMP 3/0)", "no route"),
        (udp(A, RA, "10.0.1.11", "10.0.2.11", ttl=1), "rejects it: TTL exceeded (ICMP 11/0)",
         "TTL exceeded"),
        (udp(A, RA, "10.0.1.1", "10.0.2.11"), "drops it: martian source", "martian source"),
        (ping(A, RA, "10.0.1.11", "10.0.1.1"), "answers it", ""),
    ],
)  # fmt: skip
def test_record_says_why_a_packet_went_no_further(frame: bytes, decision: str, reason: str) -> None:
    net, near, _ = network()
    near.start()
    net.send("a", frame)
    (record,) = near.records
    assert record["hops"][-1]["decision"] == decision
    assert (record["reason"], record["outputs"]) == (reason, [])


def test_flood_names_its_ways() -> None:
    net, near, far = network()
    near.start()
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"))
    assert near.records[0]["hops"][0]["decision"] == f"out by {PORT_C}"
    assert far.records[0]["outputs"][0]["port"] == PORT_C


def test_packet_that_waits_for_a_mac_is_followed_to_its_end() -> None:
    net = Network.from_yaml(TOPOLOGY)
    near = Tracer(net, "h1")
    near.start()
    net.send("a", ROUTED)
    (record,) = near.records
    assert not record["complete"]
    assert record["hops"][-1]["decision"] == f"waits for the MAC of 10.0.2.11 at {PORT_B}"
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    record = near.records[0]
    assert (record["complete"], record["waited"]) == (True, True)
    assert record["hops"][-1]["decision"] == f"out by {PORT_B}"


def test_duplicates_of_a_packet_that_is_followed_and_waits_are_records_of_their_own() -> None:
    net = Network.from_yaml(TOPOLOGY)
    near, far = Tracer(net, "h1"), Tracer(net, "h2")
    near.start(limit=2)
    net.send("a", ROUTED, ROUTED, ROUTED)
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    assert [r["complete"] for r in near.records] == [True, True]
    assert len([r for r in far.records if r["summary"].startswith("udp")]) == 2
    assert len([f for f in net.delivered("b") if f[12:14] == b"\x08\x00"]) == 3


def test_no_flow_is_made_of_followed_packets_until_the_limit_is_reached() -> None:
    net, near, far = network()
    net.send("a", ROUTED, ROUTED)
    before = misses(near.host), misses(far.host)
    net.send("a", ROUTED)
    assert (misses(near.host), misses(far.host)) == before, "flows carry it at both ends"
    near.start(limit=3)
    net.send("a", *[ROUTED] * 3)
    assert (misses(near.host), misses(far.host)) == (before[0] + 3, before[1] + 3)
    assert near.told()["requests"] == []
    net.send("a", *[ROUTED] * 5)
    assert misses(near.host) == before[0] + 4
    assert misses(far.host) == before[1] + 3, (
        "its flow never matched the trace bit, and is still there"
    )
    assert len(near.records) == len(far.records) == 3
    assert len(net.delivered("b")) == 11


def test_flows_of_other_packets_do_not_hide_those_that_are_meant() -> None:
    net, near, _ = network()
    meant = udp(A, RA, "10.0.1.11", "10.0.2.11", dport=2001)
    near.start(TraceMatch(dst_port=2001))
    net.send("a", ROUTED)
    before = misses(near.host)
    net.send("a", ROUTED)
    assert misses(near.host) == before, "a flow carries it"
    net.send("a", meant)
    (record,) = near.records
    assert "10.0.2.11:2001" in record["summary"]
    near.stop()
    net.advance(61)
    net.send("a", ROUTED)
    before = misses(near.host)
    net.send("a", meant)
    assert misses(near.host) == before, "without a request ports are not read"


def test_packet_that_waited_since_before_a_request_makes_no_flow_that_hides_it() -> None:
    net = Network.from_yaml(TOPOLOGY)
    near = Tracer(net, "h1")
    net.send("a", ROUTED)
    near.start(TraceMatch(dst_port=2001))
    net.send("b", is_at(B, "10.0.2.11", RB, "10.0.2.1"))
    net.send("a", udp(A, RA, "10.0.1.11", "10.0.2.11", dport=2001))
    assert len(near.records) == 1


def test_flood_in_pieces_carries_the_trace_bit_in_each() -> None:
    ports = "".join(f"    p{n}: {{host: h2, interface: p{n}}}\n" for n in range(700))
    net = Network.from_yaml(
        f"""
ayatori: 1
tunnel_zones: {{dc: {{type: vxlan, members: {{h1: 198.18.0.1, h2: 198.18.0.2}}}}}}
bridges:
  web:
   ports:
    a: {{host: h1, interface: a}}
{ports}"""
    )
    near, far = Tracer(net, "h1"), Tracer(net, "h2")
    near.start()
    net.send("a", ether(A, "ff:ff:ff:ff:ff:ff"))
    assert near.host.counters.in_pieces == 1
    assert len(far.records) == 700
    (record,) = near.records
    assert (len(record["outputs"]), record["more_outputs"]) == (32, 668)
