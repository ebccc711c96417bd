"""Which packets a flow catches: every field under every mask."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output
from actors.datapath.odp.attributes import attribute, walk
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame

# Field: (attribute, its bytes, a frame, the same with another value, the same otherwise changed).
Case = tuple[int, tuple[int, int], bytes, bytes, bytes]
_ND = f.neighbour(135, options=f.link_layer_option(1, f.MAC_A)).raw()


def _tcp(**changes: object) -> bytes:
    return Frame(**({"proto": f.TCP} | changes)).raw()  # type: ignore[arg-type]


def _tcp6(**changes: object) -> bytes:
    return Frame(**({"v6": True, "proto": f.TCP, "label": 5} | changes)).raw()  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    "eth_src": (4, (0, 6), _tcp(), _tcp(eth_src=f.MAC_C), _tcp(eth_dst=f.MAC_C, ttl=3)),
    "eth_dst": (4, (6, 12), _tcp(), _tcp(eth_dst=f.MAC_C), _tcp(eth_src=f.MAC_C, ttl=3)),
    "ip_src": (7, (0, 4), _tcp(), _tcp(src=f.IP_C), _tcp(dst=f.IP_C, sport=9)),
    "ip_dst": (7, (4, 8), _tcp(), _tcp(dst=f.IP_C), _tcp(src=f.IP_C, tos=4)),
    "ip_proto": (7, (8, 9), _tcp(), _tcp(proto=f.UDP), _tcp(src=f.IP_C, tos=4, sport=9)),
    "ip_tos": (7, (9, 10), _tcp(), _tcp(tos=4), _tcp(ttl=4, dport=9)),
    "ip_ttl": (7, (10, 11), _tcp(), _tcp(ttl=4), _tcp(tos=4, dport=9)),
    "ip_frag first": (7, (11, 12), _tcp(), _tcp(fragment=0x2000), _tcp(fragment=0x4000, ttl=3)),
    "ip_frag later": (7, (11, 12), _tcp(fragment=9), _tcp(), _tcp(fragment=0x2001, src=f.IP_C)),
    "ip6_src": (8, (0, 16), _tcp6(), _tcp6(src=f.IP6_C), _tcp6(dst=f.IP6_C, sport=9)),
    "ip6_dst": (8, (16, 32), _tcp6(), _tcp6(dst=f.IP6_C), _tcp6(src=f.IP6_C, label=6)),
    "label": (8, (33, 36), _tcp6(), _tcp6(label=6), _tcp6(src=f.IP6_C, tos=6)),
    "ip6_proto": (8, (36, 37), _tcp6(), _tcp6(proto=f.UDP), _tcp6(tos=6)),
    "ip6_class": (8, (37, 38), _tcp6(), _tcp6(tos=6), _tcp6(label=6, ttl=1)),
    "hop limit": (8, (38, 39), _tcp6(), _tcp6(ttl=1), _tcp6(label=6, tos=1)),
    "ip6_frag": (
        8, (39, 40), _tcp6(),
        _tcp6(first_extension=44, extensions=f.fragment_header(f.TCP)), _tcp6(ttl=1),
    ),
    "arp_op": (13, (8, 10), f.arp(), f.arp(2), f.arp(tpa=f.IP_C, sha=f.MAC_C)),
    "arp_spa": (13, (0, 4), f.arp(), f.arp(spa=f.IP_C), f.arp(2, tpa=f.IP_C)),
    "arp_tpa": (13, (4, 8), f.arp(), f.arp(tpa=f.IP_C), f.arp(2, spa=f.IP_C)),
    "arp_sha": (13, (10, 16), f.arp(), f.arp(sha=f.MAC_C), f.arp(2, tha=f.MAC_C)),
    "arp_tha": (13, (16, 22), f.arp(), f.arp(tha=f.MAC_C), f.arp(2, sha=f.MAC_C)),
}  # fmt: skip

# Fields of the upper layer need those that announce it exact.
UPPER_CASES: dict[str, Case] = {
    "tcp_src": (9, (0, 2), _tcp(), _tcp(sport=9), _tcp(dport=9, src=f.IP_C, ttl=1)),
    "tcp_dst": (9, (2, 4), _tcp(), _tcp(dport=9), _tcp(sport=9, src=f.IP_C, ttl=1)),
    "tcp_flags": (18, (0, 2), _tcp(), _tcp(tcp_flags=2), _tcp(sport=9)),
    "udp_src": (10, (0, 2), Frame().raw(), Frame(sport=9).raw(), Frame(dport=9).raw()),
    "udp_dst": (10, (2, 4), Frame().raw(), Frame(dport=9).raw(), Frame(sport=9).raw()),
    "sctp_dst": (
        17, (2, 4), _tcp(proto=f.SCTP), _tcp(proto=f.SCTP, dport=9), _tcp(proto=f.SCTP, sport=9)
    ),
    "icmp_type": (
        11, (0, 1), _tcp(proto=f.ICMP, sport=8, dport=0), _tcp(proto=f.ICMP, sport=0, dport=0),
        _tcp(proto=f.ICMP, sport=8, dport=1),
    ),
    "icmp_code": (
        11, (1, 2), _tcp(proto=f.ICMP, sport=3, dport=0), _tcp(proto=f.ICMP, sport=3, dport=4),
        _tcp(proto=f.ICMP, sport=8, dport=0),
    ),
    "tcp6_dst": (9, (2, 4), _tcp6(), _tcp6(dport=9), _tcp6(sport=9, src=f.IP6_C, label=0)),
    "icmpv6_type": (
        12, (0, 1), _tcp6(proto=f.ICMPV6, sport=128, dport=0),
        _tcp6(proto=f.ICMPV6, sport=129, dport=0), _tcp6(proto=f.ICMPV6, sport=128, dport=1),
    ),
    "nd_target": (
        14, (0, 16), _ND,
        f.neighbour(135, target=f.IP6_C, options=f.link_layer_option(1, f.MAC_A)).raw(),
        f.neighbour(135, options=f.link_layer_option(1, f.MAC_C)).raw(),
    ),
    "nd_sll": (
        14, (16, 22), _ND, f.neighbour(135, options=f.link_layer_option(1, f.MAC_C)).raw(),
        f.neighbour(135, target=f.IP6_C, options=f.link_layer_option(1, f.MAC_A)).raw(),
    ),
}  # fmt: skip

_EXACT = {odp.OVS_KEY_ATTR_IN_PORT: b"\xff" * 4, odp.OVS_KEY_ATTR_ETHERTYPE: b"\xff" * 2}
_ANNOUNCES = {
    odp.OVS_KEY_ATTR_IPV4: bytes(8) + b"\xff\0\0\xff",
    odp.OVS_KEY_ATTR_IPV6: bytes(36) + b"\xff\0\0\xff",
    odp.OVS_KEY_ATTR_ICMPV6: b"\xff\xff",
}


def mask_of(raw_key: bytes, ones: dict[int, bytes]) -> bytes:
    """A mask with these bits in these attributes, and zeros elsewhere; two-tagged keys are none."""
    mask = bytearray(raw_key)
    for kind, start, end in walk(raw_key):
        mask[start:end] = ones.get(kind, bytes(end - start))
    return bytes(mask)


def _ones(field: tuple[int, int], size: int) -> bytes:
    return bytes(0xFF if field[0] <= at < field[1] else 0 for at in range(size))


def _attribute(raw_key: bytes, kind: int) -> bytes:
    (payload,) = (raw_key[start:end] for each, start, end in walk(raw_key) if each == kind)
    return payload


@pytest.mark.parametrize("name", [*CASES, *UPPER_CASES])
def test_a_flow_matches_on_one_field_alone(bench: Bench, name: str) -> None:
    kind, field, frame, differing, like = (CASES | UPPER_CASES)[name]
    key = bench.key_of(frame)
    ones = dict(_EXACT)
    if name in UPPER_CASES:
        ones |= _ANNOUNCES
    if kind == odp.OVS_KEY_ATTR_ICMPV6:
        ones.pop(kind)
    ones[kind] = _ones(field, len(_attribute(key, kind)))
    bench.add_flow(key, Output(2), mask=mask_of(key, ones))
    assert bench.inject(0, frame, like).only(1) == [frame, like]
    assert bench.inject(0, differing).upcall().frame == differing
    assert bench.inject(1, frame).upcall().frame == frame


@pytest.mark.parametrize("name", CASES)
def test_a_flow_with_a_field_wildcarded_matches_all_its_values(bench: Bench, name: str) -> None:
    _, _, frame, differing, like = CASES[name]
    key = bench.key_of(frame)
    ones = _EXACT | {odp.OVS_KEY_ATTR_ETHERNET: b"\x80" + bytes(11)}
    bench.add_flow(key, Output(2), mask=mask_of(key, ones))
    assert bench.inject(0, frame, differing, like).only(1) == [frame, differing, like]


def test_a_flow_without_in_port_matches_those_of_all_ports(bench: Bench) -> None:
    key = bench.key_of(_tcp())
    mask = attribute(odp.OVS_KEY_ATTR_ETHERTYPE, b"\xff\xff")
    mask += attribute(odp.OVS_KEY_ATTR_ETHERNET, bytes(6) + b"\xff" * 6)
    bench.add_flow(key, Output(2), mask=mask)
    for place in range(3):
        assert bench.inject(place, _tcp()).only(1) == [_tcp()]


def test_an_in_port_is_exact_however_little_of_it_is_masked(bench: Bench) -> None:
    key = bench.key_of(_tcp())
    ones = _EXACT | {odp.OVS_KEY_ATTR_IN_PORT: struct.pack("=I", 1 << 16)}
    bench.add_flow(key, Output(2), mask=mask_of(key, ones))
    assert bench.inject(0, _tcp()).only(1)
    assert bench.inject(1, _tcp()).upcall()


def test_untagged_tagged_and_twice_tagged_packets_are_apart(bench: Bench) -> None:
    frames = [
        Frame(tags=tags).raw()
        for tags in (
            (), ((f.QTAG, 0),), ((f.QTAG, 5),), ((f.STAG, 5),), ((f.QTAG, 0x2005),),
            ((f.QTAG, 5), (f.QTAG, 0)), ((f.STAG, 5), (f.QTAG, 6)), ((f.STAG, 5), (f.QTAG, 7)),
        )
    ]  # fmt: skip
    for wanted in frames:
        bench.reset()
        key = bench.key_of(wanted)
        bench.add_flow(key, Output(2), mask=_tags_exact(key))
        outcome = bench.inject(0, *frames)
        assert outcome.frames[1] == [wanted]
        assert [u.frame for u in outcome.upcalls] == [frame for frame in frames if frame != wanted]


def _tags_exact(raw_key: bytes) -> bytes:
    """A mask of port and tags alone."""
    exact = {
        odp.OVS_KEY_ATTR_IN_PORT, odp.OVS_KEY_ATTR_ETHERTYPE, odp.OVS_KEY_ATTR_VLAN,
    }  # fmt: skip
    mask = bytearray(raw_key)
    for kind, start, end in walk(raw_key):
        ones = b"\xff" if kind in exact else b"\0"
        mask[start:end] = ones * (end - start)
        if kind == odp.OVS_KEY_ATTR_ENCAP:
            mask[start:end] = _tags_exact(raw_key[start:end])
    return bytes(mask)


@pytest.mark.parametrize("ones", [0x1FFF, 0x1001, 0xF000, 0x1000])
def test_part_of_a_tag_may_be_matched(bench: Bench, ones: int) -> None:
    tcis = (0x0005, 0x2005, 0x0007, 0x0FFF, 0x0004)
    frames = [Frame(tags=((f.QTAG, tci),)).raw() for tci in tcis]
    key = bench.key_of(frames[0])
    mask = _tags_exact(key).replace(b"\6\0\5\0\xff\xff", b"\6\0\5\0" + struct.pack("!H", ones))
    bench.add_flow(key, Output(2), mask=mask)
    like = [frame for frame, tci in zip(frames, tcis, strict=True) if not (tci ^ tcis[0]) & ones]
    outcome = bench.inject(0, *frames)
    assert outcome.frames[1] == like
    assert len(outcome.upcalls) == len(frames) - len(like)


def test_bits_of_a_key_outside_its_mask_do_not_count(bench: Bench) -> None:
    key = bench.key_of(_tcp(src=bytes((10, 0, 0, 77))))
    ones = _EXACT | {odp.OVS_KEY_ATTR_IPV4: b"\xff\xff\xff\0" + bytes(8)}
    bench.add_flow(key, Output(2), mask=mask_of(key, ones))
    assert bench.inject(0, _tcp()).only(1) == [_tcp()]


def test_a_flow_without_mask_is_open_for_what_its_key_lacks(bench: Bench) -> None:
    frame = Frame().raw()
    key = bench.key_of(frame)
    lacking = b"".join(
        attribute(kind, key[start:end])
        for kind, start, end in walk(key)
        if kind != odp.OVS_KEY_ATTR_IN_PORT
    )
    bench.add_flow(lacking, Output(2))
    assert bench.inject(0, frame).only(1) == [frame]
    assert bench.inject(2, frame).only(1) == [frame]


def test_an_802_3_flow_without_mask_is_open_for_any_ethertype(bench: Bench) -> None:
    key = bench.key_of(f.ethernet(40, bytes(40)))
    bench.add_flow(key, Output(2))
    assert bench.inject(0, f.ethernet(0x88CC, bytes(40))).only(1)


_FIELD_VALUES = st.fixed_dictionaries(
    {
        "eth_src": st.sampled_from([f.MAC_A, f.MAC_C, b"\2\0\0\0\0\x1a"]),
        "eth_dst": st.sampled_from([f.MAC_B, f.MAC_C, b"\1\0\x5e\0\0\1"]),
        "src": st.binary(min_size=4, max_size=4),
        "dst": st.sampled_from([f.IP_B, f.IP_C, bytes((10, 0, 0, 3))]),
        "tos": st.integers(0, 255),
        "ttl": st.sampled_from([1, 63, 64, 255]),
        "sport": st.integers(0, 65535),
        "dport": st.sampled_from([80, 81, 443, 0x8050]),
        "tcp_flags": st.sampled_from([2, 0x12, 0x10, 0x18]),
    }
)
_MASKS = st.fixed_dictionaries(
    {
        odp.OVS_KEY_ATTR_ETHERNET: st.binary(min_size=12, max_size=12),
        odp.OVS_KEY_ATTR_IPV4: st.binary(min_size=10, max_size=10).map(
            lambda raw: raw[:8] + b"\xff" + raw[8:10] + b"\xff"
        ),
        odp.OVS_KEY_ATTR_TCP: st.binary(min_size=4, max_size=4),
        odp.OVS_KEY_ATTR_TCP_FLAGS: st.sampled_from([b"\0\0", b"\0\x12", b"\x0f\xff"]),
    }
)


@settings(
    max_examples=80, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    place=st.integers(0, 2),
    values=st.lists(_FIELD_VALUES, min_size=2, max_size=6),
    ones=_MASKS,
    sparse=st.booleans(),
)
def test_a_packet_is_caught_when_its_masked_key_is_the_flows(
    bench: Bench,
    place: int,
    values: list[dict[str, object]],
    ones: dict[int, bytes],
    *,
    sparse: bool,
) -> None:
    # Few enough at each port for the share of upcalls that a soft datapath grants it.
    bench.reset()
    if sparse:  # of random bits few packets would be caught
        ones = {
            kind: bytes(byte & 0x11 if at not in (8, 11) else byte for at, byte in enumerate(raw))
            for kind, raw in ones.items()
        }
    frames = [_tcp(**each) for each in values]
    keys = [upcall.raw_key for upcall in bench.inject(place, *frames).upcalls]
    mask = mask_of(keys[0], _EXACT | ones)
    bench.add_flow(keys[0], Output(2), mask=mask)
    caught = [list(_masked(key, mask)) == list(_masked(keys[0], mask)) for key in keys]
    outcome = bench.inject(place, *frames)
    assert outcome.frames[1] == [frame for frame, hit in zip(frames, caught, strict=True) if hit]
    assert [upcall.frame for upcall in outcome.upcalls] == [
        frame for frame, hit in zip(frames, caught, strict=True) if not hit
    ]


def _masked(raw_key: bytes, mask: bytes) -> Iterator[int]:
    return (key & bits for key, bits in zip(raw_key, mask, strict=True))
