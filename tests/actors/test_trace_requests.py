"""Requests to follow packets: which are meant, how many, how long, and what is refused."""

import pytest

from actors.messages.traces import TraceMatch
from actors.tracing.trace_book import MOST_RECORDS, MOST_REQUESTS
from actors.values import SECOND, IpPrefix, parse_ip, parse_mac, parse_prefix
from tests.actors.tracer import PORT_A, PORT_B, RB, ROUTED, A, B, C, misses, network
from tests.wire import udp


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
