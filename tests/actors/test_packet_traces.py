"""Following packets: seen hop by hop where they enter, and again where a tunnel brings them."""

from typing import Any

import msgspec
import pytest

from actors.datapath.odp.key import decode_key
from actors.lane import Lane
from actors.messages.traces import TraceAsked, TraceMatch, TracesAsked, TraceStopAsked
from actors.packets.flow_key import TunnelKey
from actors.tracing.trace_book import MOST_RECORDS, MOST_REQUESTS
from actors.tunnel_key import TRACE_BIT, egress_port_key
from actors.values import (
    SECOND,
    ActorName,
    IpPrefix,
    PortId,
    parse_ip,
    parse_mac,
    parse_prefix,
    stable_id,
)
from tests.network import HostEnd, Network, bridge, router
from tests.wire import ether, is_at, ping, tcp, udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, c: {host: h2, interface: c}, gw: {peer: edge/web}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h2, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
RA, RB = "02:00:00:00:ff:01", "02:00:00:00:ff:02"
BOOK = ActorName("trace-book")
PORT_A, PORT_B, PORT_C = (PortId(stable_id("port", name)) for name in ("web/a", "edge/b", "web/c"))
ROUTED = udp(A, RA, "10.0.1.11", "10.0.2.11")


class Tracer:
    """An operator at one host of a network."""

    def __init__(self, net: Network, host: str) -> None:
        self.net = net
        self.host = net.hosts[host]

    def _asked(self, message: TraceAsked | TraceStopAsked | TracesAsked) -> Any:
        self.host.give(BOOK, message)
        self.net.settle()
        return msgspec.json.decode(self.host.answers.pop(message.request))

    def start(
        self, match: TraceMatch | None = None, *, limit: int = 10, seconds: float = 60
    ) -> Any:
        duration = int(seconds * SECOND)
        return self._asked(TraceAsked(self.net.now, 900, match or TraceMatch(), limit, duration))

    def stop(self, trace: int = 0) -> Any:
        return self._asked(TraceStopAsked(self.net.now, 901, trace))

    def told(self, after: int = 0) -> Any:
        return self._asked(TracesAsked(self.net.now, 902, after))

    @property
    def records(self) -> Any:
        return self.told()["records"]


def network() -> tuple[Network, Tracer, Tracer]:
    """Return a network in which every MAC is known, and the operators of both hosts."""
    net = Network.from_yaml(TOPOLOGY)
    net.send("a", who_has("10.0.1.1", A, "10.0.1.11"))
    net.send("c", who_has("10.0.1.1", C, "10.0.1.13"))
    net.send("b", who_has("10.0.2.1", B, "10.0.2.11"))
    net.forget()
    return net, Tracer(net, "h1"), Tracer(net, "h2")


def misses(host: HostEnd) -> int:
    packets: int = host.actor("packet-workflow").state.packets
    return packets


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


def test_flows_come_back_when_the_time_is_over() -> None:
    net, near, _ = network()
    near.start(seconds=2)
    net.send("a", ROUTED, ROUTED)
    net.advance(2.5)
    assert near.told()["requests"] == []
    net.send("a", ROUTED)
    before = misses(near.host)
    net.send("a", ROUTED)
    assert misses(near.host) == before
    assert len(near.records) == 2


def test_time_counts_from_the_packet_and_not_from_the_clocks_next_tick() -> None:
    net, near, _ = network()
    near.start(seconds=0.1)
    net.now = type(net.now)(net.now + SECOND // 5)
    net.send("a", ROUTED)
    assert near.records == []


def test_stopped_request_is_not_heard_of_again() -> None:
    net, near, _ = network()
    near.start()
    near.start()
    assert near.stop(1) == {"stopped": [1]}
    assert [r["id"] for r in near.told()["requests"]] == [2]
    assert near.stop() == {"stopped": [2]}
    net.send("a", ROUTED)
    assert near.records == []
    assert near.stop(7) == {"error": "there is no active trace request 7 (active: none)"}


def test_only_the_named_ports_packets_are_followed_and_only_its_flows_go() -> None:
    net, near, far = network()
    back = udp(C, A, "10.0.1.13", "10.0.1.11")
    forth = udp(A, C, "10.0.1.11", "10.0.1.13")
    net.send("c", back, back)
    net.send("b", udp(B, RB, "10.0.2.11", "10.0.1.13"))
    before = misses(far.host)
    far.start(TraceMatch(port=PORT_B))
    net.send("c", back)
    assert misses(far.host) == before
    net.send("b", udp(B, RB, "10.0.2.11", "10.0.1.13"))
    net.send("a", forth)
    assert [r["port"] for r in far.records] == [PORT_B]
    assert near.records == []


def test_packet_is_one_requests_and_the_oldest_ones() -> None:
    net, near, _ = network()
    near.start(TraceMatch(proto=17), limit=1)
    near.start(TraceMatch(), limit=2)
    net.send("a", *[ROUTED] * 5)
    assert [r["trace"] for r in near.records] == [1, 2, 2]


def test_what_a_request_asks_for_is_told_with_what_is_left() -> None:
    net, near, _ = network()
    match = TraceMatch(
        PORT_A, parse_mac(A), None, 0x0800, parse_prefix("10.0.0.0/8"), None, 17, 1000
    )
    near.start(match, limit=4, seconds=30)
    net.send("a", ROUTED)
    net.advance(10)
    assert near.told()["requests"] == [
        {
            "id": 1,
            "match": {
                "port": PORT_A, "src_mac": A, "ethertype": 0x0800, "src": "10.0.0.0/8", "proto": 17,
                "src_port": 1000,
            },
            "limit": 4,
            "left": 3,
            "ends_in": 20.0,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("match", "limit", "seconds", "complaint"),
    [
        (TraceMatch(), 0, 60, "the limit is from 1 to 1000 packets"),
        (TraceMatch(), 1001, 60, "the limit is from 1 to 1000 packets"),
        (TraceMatch(), 1, 0, "the time is from 1 to 3600 seconds"),
        (TraceMatch(), 1, 3601, "the time is from 1 to 3600 seconds"),
        (TraceMatch(eth_src=b"12345"), 1, 1, "a MAC address has 6 bytes"),
        (TraceMatch(src=IpPrefix(parse_ip("10.0.0.1"), 33)), 1, 1, "an address has 4 or 16 bytes"),
        (TraceMatch(dst=IpPrefix(parse_ip("10.0.0.1"), -1)), 1, 1, "an address has 4 or 16 bytes"),
        (TraceMatch(src=parse_prefix("10.0.0.0/8"), dst=parse_prefix("::/0")), 1, 1, "families"),
        (TraceMatch(proto=256), 1, 1, "256 is not from 0 to 255"),
        (TraceMatch(proto=1, dst_port=80), 1, 1, "protocol 1 has no ports"),
    ],
)
def test_senseless_requests_are_refused(
    match: TraceMatch, limit: int, seconds: int, complaint: str
) -> None:
    _, near, _ = network()
    assert complaint in near.start(match, limit=limit, seconds=seconds)["error"]
    assert near.told()["requests"] == []


def test_requests_and_records_are_bounded() -> None:
    net, near, far = network()
    for _ in range(MOST_REQUESTS):
        near.start(limit=1000)
    assert "are active already" in near.start()["error"]
    net.send("a", *[ROUTED] * (MOST_RECORDS + 5))
    assert len(near.records) == len(far.records) == MOST_RECORDS
    assert near.records[0]["number"] == 6
    assert near.told(MOST_RECORDS + 3)["records"] == near.records[-2:]
    assert near.host.actor("trace-book").state.open == {}


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


# --- what tunnels bring ---------------------------------------------------------------------------


def brought(net: Network, key: int, frame: bytes = ROUTED, src: str = "198.18.0.1") -> None:
    net.tunnel(frame, TunnelKey(key, parse_ip(src), parse_ip("198.18.0.2")))
    net.settle()


def key_of(host: HostEnd, name: str) -> int:
    keys = host.actor("packet-workflow").state.keys
    return egress_port_key(next(key for key, port in keys.items() if port.name == name))


def test_traced_packet_passes_by_the_tunnel_flow_of_its_port() -> None:
    net, _, far = network()
    key = key_of(far.host, "edge/b")
    brought(net, key)
    before = misses(far.host)
    brought(net, key)
    assert misses(far.host) == before
    for _ in range(3):
        brought(net, key | TRACE_BIT)
    assert misses(far.host) == before + 3, "and makes no flow of its own"
    assert len(net.delivered("b")) == 5
    for flow in far.host.actor("flow-controller").state.flows.values():
        matched, mask = decode_key(flow.raw_key).tunnel, decode_key(flow.mask).tunnel
        assert matched is None or (mask is not None and mask.tun_id == (1 << 64) - 1)
        assert matched is None or not matched.tun_id & TRACE_BIT


def test_record_says_why_a_traced_packet_was_not_delivered() -> None:
    net, _, far = network()
    key = key_of(far.host, "edge/b")
    for _ in range(2):
        brought(net, (key ^ 1) | TRACE_BIT)
        brought(net, 5 << 20 | TRACE_BIT)
        brought(net, key | TRACE_BIT, src="198.18.0.66")
    assert [(r["reason"], r["peer"]) for r in far.records] == [
        ("tunnel key of no port here", "h1"),
        ("unknown tunnel key", "h1"),
        ("unknown tunnel peer", ""),
        ("tunnel key of no port here", "h1"),
        ("unknown tunnel key", "h1"),
    ]
    assert net.delivered("b") == []


def test_flow_state_is_no_traced_packet() -> None:
    net, _, far = network()
    brought(net, (1 << 24) - 1, udp(A, B, "169.254.15.1", "169.254.15.2", dport=2925))
    assert far.records == []


# --- crashes and replay ---------------------------------------------------------------------------


def test_book_keeps_what_it_knows_when_it_crashes() -> None:
    net, near, _ = network()
    near.start()
    net.send("a", ROUTED)
    net.inject("h1", "trace-book", 1)
    net.send("a", ROUTED)
    assert len(near.records) == 1, "the crash was at the second packet's beginning"
    net.send("a", ROUTED)
    assert len(near.records) == 2
    assert [r["left"] for r in near.told()["requests"]] == [8]


def test_workflow_that_missed_the_end_of_a_request_is_told_again() -> None:
    net, near, _ = network()
    near.start(limit=1)
    net.send("a", ROUTED)
    workflow = near.host.actor("packet-workflow").state
    assert workflow.traces == ()
    near.start(limit=5)
    lost = workflow.traces
    near.stop()
    workflow.traces = lost
    net.send("a", ROUTED)
    assert workflow.traces == ()


def test_packet_of_a_device_that_crashes_is_recorded_as_such() -> None:
    net, near, _ = network()
    near.start()
    net.inject("h1", bridge("web"))
    net.send("a", ROUTED)
    (record,) = near.records
    assert (record["reason"], record["complete"]) == ("crash", True)


def test_same_inputs_give_the_same_records() -> None:
    def story() -> tuple[Any, list[bytes]]:
        net, near, far = network()
        near.start(limit=2)
        net.send("a", ROUTED, tcp(A, C, "10.0.1.11", "10.0.1.13"), ROUTED)
        net.advance(1)
        return (near.told(), far.told()), net.hosts["h1"].tape.outputs

    assert story() == story()


def test_records_survive_in_a_snapshot() -> None:
    net, near, _ = network()
    near.start(limit=2)
    net.send("a", ROUTED)
    before = near.told()
    host = near.host
    lane: Lane = host.lane
    lane.restore(lane.snapshot())
    assert near.told() == before
    net.send("a", ROUTED)
    assert len(near.records) == 2
    assert near.told()["requests"] == []
