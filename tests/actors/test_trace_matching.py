"""What trace requests mean, and that no flow made while one is active hides what it means."""

from random import Random

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.messages.traces import TraceMatch
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import FlowKey
from actors.tracing.matching import complaint, fields_of, is_meant
from actors.values import SECOND, parse_mac, parse_prefix
from tests.devices.soundness_frames import POOLS, Fields, random_packet, relatives
from tests.wire import ether, ipv4, ping, tcp, udp, who_has

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
PACKETS = {
    "udp": udp(A, B, "10.0.1.11", "10.0.2.11"),
    "tcp": tcp(A, B, "10.0.1.11", "10.0.2.12"),
    "ping": ping(B, A, "10.0.1.11", "10.0.1.1"),
    "arp": who_has("10.0.1.1", A, "10.0.1.11"),
    "other": ether(A, B),
    "tagged": udp(A, B, "10.0.1.11", "10.0.2.11", vlan=7),
    "later": ipv4(A, B, "10.0.9.9", "10.0.2.11", 17, bytes(16), fragment=5),
}
IP = {"udp", "tcp", "ping", "tagged", "later"}


def key_of(frame: bytes) -> FlowKey:
    return decode_key(encode_key(flow_key_of(frame, 1)))


@pytest.mark.parametrize(
    ("match", "meant"),
    [
        (TraceMatch(), set(PACKETS)),
        (TraceMatch(src=parse_prefix("10.0.1.11/32")), {"udp", "tcp", "ping", "arp", "tagged"}),
        (TraceMatch(dst=parse_prefix("10.0.2.0/24")), {"udp", "tcp", "tagged", "later"}),
        (TraceMatch(dst=parse_prefix("10.0.1.0/24")), {"ping", "arp"}),
        (TraceMatch(src=parse_prefix("::/0")), set()),
        (TraceMatch(src=parse_prefix("0.0.0.0/0")), IP | {"arp"}),
        (TraceMatch(proto=1), {"ping"}),
        (TraceMatch(proto=17), {"udp", "tagged", "later"}),
        (TraceMatch(src_port=1000), {"udp", "tcp", "tagged"}),
        (TraceMatch(dst_port=80), {"tcp"}),
        (TraceMatch(src_port=8), set()),
        (TraceMatch(dst_port=0), {"later"}),
        (TraceMatch(proto=6, src_port=1000, dst_port=80), {"tcp"}),
        (TraceMatch(eth_src=parse_mac(B)), {"ping"}),
        (TraceMatch(eth_dst=parse_mac(B)), {"udp", "tcp", "other", "tagged", "later"}),
        (TraceMatch(ethertype=0x0806), {"arp"}),
        (TraceMatch(ethertype=0x0800), IP),
    ],
)
def test_request_means_packets_that_have_all_it_asks_for(
    match: TraceMatch, meant: set[str]
) -> None:
    assert {name for name, frame in PACKETS.items() if is_meant(match, key_of(frame))} == meant


def random_match(random: Random, packet: Fields) -> TraceMatch:
    """Return a request for some fields, with values that the packet or another may have."""

    def some(field: str) -> bool:
        return random.random() < {"proto": 0.5}.get(field, 0.3)

    def value(field: str) -> object:
        return random.choice([getattr(packet, field), *POOLS[field]])

    proto = random.choice([1, 6, 17]) if some("proto") else None
    ports = proto != 1
    return TraceMatch(
        eth_src=parse_mac(str(value("eth_src"))) if some("eth_src") else None,
        eth_dst=parse_mac(str(value("eth_dst"))) if some("eth_dst") else None,
        ethertype=random.choice([0x0800, 0x0806, 0x88B5]) if random.random() < 0.2 else None,
        src=parse_prefix(f"{value('ip_src')}/32") if some("ip_src") else None,
        dst=parse_prefix(f"{value('ip_dst')}/32") if some("ip_dst") else None,
        proto=proto,
        src_port=random.choice(POOLS["first"]) if ports and some("first") else None,
        dst_port=random.choice(POOLS["second"]) if ports and some("second") else None,
    )


@settings(max_examples=300, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, (1 << 64) - 1))
def test_flow_made_while_a_request_is_active_matches_nothing_that_it_means(seed: int) -> None:
    random = Random(seed)
    first = random_packet(random, seed % 3)
    match = random_match(random, first)
    assert complaint(match, 1, SECOND) is None
    raw_key = encode_key(flow_key_of(first.frame(), 1))
    if is_meant(match, decode_key(raw_key)):
        event("meant itself")
        return
    mask = mask_for(raw_key, fields_of(match))
    identity = masked(raw_key, mask)

    def matches(packet: Fields) -> bool:
        return masked(encode_key(flow_key_of(packet.frame(), 1)), mask) == identity

    others = list(relatives(random, first, matches))
    event(f"{min(len(others), 3)} or more others")
    for other in others:
        assert not is_meant(match, key_of(other.frame())), (match, first, other)
