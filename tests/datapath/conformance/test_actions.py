"""What each action makes of a packet, against the same packet built anew."""

import msgspec
import pytest

from actors.datapath.odp.actions import (
    Action,
    Output,
    PopVlan,
    PushVlan,
    SetEthernet,
    SetIpv4,
    SetIpv6,
    SetTcp,
    SetUdp,
    Trunc,
    Userspace,
)
from actors.datapath.odp.key import decode_key
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame

_UDP, _TCP = Frame(), Frame(proto=f.TCP)
_ICMP = Frame(proto=f.ICMP, sport=8, dport=0)
_BARE = Frame(checksummed=False)
_UDP6, _TCP6 = Frame(v6=True), Frame(v6=True, proto=f.TCP)
_ICMP6 = Frame(v6=True, proto=f.ICMPV6, sport=128, dport=0)
_LATER = Frame(fragment=0x0010)
_OTHER, _SCTP = Frame(proto=253), Frame(proto=f.SCTP)
_TAGGED = Frame(tags=((f.QTAG, 0x6005),))
_QINQ = Frame(tags=((f.STAG, 7), (f.QTAG, 9)), proto=f.TCP)
_ROUTED6 = Frame(v6=True, proto=f.TCP, first_extension=60, extensions=f.options_header(f.TCP))

_ETHERNET = SetEthernet(src=f.MAC_C, dst=f.MAC_A)
_NAT = SetIpv4(src=f.IP_C, dst=f.IP_A)
_NAT6 = SetIpv6(src=f.IP6_C, dst=f.IP6_A)
_WRAPPED: dict[str, object] = {"eth_src": f.MAC_C, "eth_dst": f.MAC_A}
_NATTED: dict[str, object] = {"src": f.IP_C, "dst": f.IP_A}
_NATTED6: dict[str, object] = {"src": f.IP6_C, "dst": f.IP6_A}

Case = tuple[Frame, tuple[Action, ...], dict[str, object]]
CASES: dict[str, Case] = {
    "nothing": (_UDP, (), {}),
    "ethernet": (_UDP, (_ETHERNET,), _WRAPPED),
    "ethernet source": (_UDP, (SetEthernet(src=f.MAC_C),), {"eth_src": f.MAC_C}),
    "ethernet under a mask": (
        _UDP,
        (SetEthernet(dst=bytes.fromhex("000000000050"), dst_mask=bytes.fromhex("0000000000f0")),),
        {"eth_dst": f.MAC_B[:5] + bytes((0x50 | f.MAC_B[5] & 0x0F,))},
    ),
    "ethernet of a tagged frame": (_QINQ, (_ETHERNET,), _WRAPPED),
    "ttl": (_UDP, (SetIpv4(ttl=63),), {"ttl": 63}),
    "tos": (_TCP, (SetIpv4(tos=0xB8),), {"tos": 0xB8}),
    "tos under a mask": (
        Frame(tos=0x03), (SetIpv4(tos=0xB8, tos_mask=0xFC),), {"tos": 0xBB}
    ),
    "addresses of udp": (_UDP, (_NAT,), _NATTED),
    "addresses of tcp": (_TCP, (_NAT,), _NATTED),
    "addresses of icmp": (_ICMP, (_NAT,), _NATTED),
    "addresses of sctp": (_SCTP, (_NAT,), _NATTED),
    "addresses of another protocol": (_OTHER, (_NAT,), _NATTED),
    "addresses of udp without checksum": (_BARE, (_NAT,), _NATTED),
    "addresses of a later fragment": (_LATER, (_NAT,), _NATTED),
    "addresses with options": (Frame(options=b"\1" * 8), (_NAT,), _NATTED),
    "addresses under a mask": (
        _UDP, (SetIpv4(dst=bytes((0, 9, 0, 0)), dst_mask=bytes((0, 255, 0, 0))),),
        {"dst": bytes((10, 9, 0, 2))},
    ),
    "addresses of a tagged frame": (_QINQ, (_NAT,), _NATTED),
    "udp ports": (_UDP, (SetUdp(src=5000, dst=53),), {"sport": 5000, "dport": 53}),
    "udp ports without checksum": (_BARE, (SetUdp(dst=53),), {"dport": 53}),
    "udp port under a mask": (_UDP, (SetUdp(dst=0x0100, dst_mask=0x0F00),), {"dport": 0x01D0}),
    "tcp ports": (_TCP, (SetTcp(src=5000, dst=80),), {"sport": 5000, "dport": 80}),
    "all of a routed and translated packet": (
        _TCP, (_ETHERNET, _NAT, SetIpv4(ttl=63), SetTcp(src=30000)),
        {**_WRAPPED, **_NATTED, "ttl": 63, "sport": 30000},
    ),
    "hop limit": (_UDP6, (SetIpv6(ttl=9),), {"ttl": 9}),
    "label": (_UDP6, (SetIpv6(label=0x12345),), {"label": 0x12345}),
    "traffic class": (_UDP6, (SetIpv6(tos=0xB8),), {"tos": 0xB8}),
    "class and label at once": (
        Frame(v6=True, tos=0x11, label=0xFFFFF), (SetIpv6(tos=0x22, label=0x0000F),),
        {"tos": 0x22, "label": 0x0000F},
    ),
    "addresses of udp6": (_UDP6, (_NAT6,), _NATTED6),
    "addresses of tcp6": (_TCP6, (_NAT6,), _NATTED6),
    "addresses of icmpv6": (_ICMP6, (_NAT6,), _NATTED6),
    "addresses behind extensions": (_ROUTED6, (_NAT6,), _NATTED6),
    "address under a mask": (
        _TCP6, (SetIpv6(dst=bytes(14) + b"\7\0", dst_mask=bytes(14) + b"\xff\0"),),
        {"dst": f.IP6_B[:14] + b"\7" + f.IP6_B[15:]},
    ),
    "udp6 ports": (_UDP6, (SetUdp(src=1, dst=65535),), {"sport": 1, "dport": 65535}),
    "tcp6 ports": (_TCP6, (SetTcp(dst=443),), {"dport": 443}),
    "push": (_UDP, (PushVlan(0x8100, 0x1064),), {"tags": ((f.QTAG, 0x0064),)}),
    "push with priority": (_UDP, (PushVlan(0x88A8, 0xF064),), {"tags": ((f.STAG, 0xE064),)}),
    "push a second": (
        _TAGGED, (PushVlan(0x88A8, 0x1064),), {"tags": ((f.STAG, 0x64), (f.QTAG, 0x6005))}
    ),
    "push two": (
        _UDP, (PushVlan(0x8100, 0x1001), PushVlan(0x88A8, 0x1002)),
        {"tags": ((f.STAG, 2), (f.QTAG, 1))},
    ),
    "pop": (_TAGGED, (PopVlan(),), {"tags": ()}),
    "pop the outer": (_QINQ, (PopVlan(),), {"tags": ((f.QTAG, 9),)}),
    "pop both": (_QINQ, (PopVlan(), PopVlan()), {"tags": ()}),
    "pop and push": (_TAGGED, (PopVlan(), PushVlan(0x8100, 0x1FFF)), {"tags": ((f.QTAG, 0xFFF),)}),
    "rewrite and push": (
        _TCP, (_ETHERNET, SetIpv4(ttl=1), PushVlan(0x8100, 0x1007)),
        {**_WRAPPED, "ttl": 1, "tags": ((f.QTAG, 7),)},
    ),
    "push and rewrite": (
        _TCP, (PushVlan(0x8100, 0x1007), _NAT, SetTcp(dst=7)),
        {**_NATTED, "dport": 7, "tags": ((f.QTAG, 7),)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_flow_rewrites_its_packets(bench: Bench, name: str) -> None:
    frame, actions, changes = CASES[name]
    bench.add_flow(bench.key_of(frame.raw()), *actions, Output(2))
    (received,) = bench.inject(0, frame.raw()).only(1)
    assert received.hex() == msgspec.structs.replace(frame, **changes).raw().hex()


@pytest.mark.parametrize("name", CASES)
def test_an_executed_packet_is_rewritten(bench: Bench, name: str) -> None:
    frame, actions, changes = CASES[name]
    key = bench.key_of(frame.raw())
    bench.execute(key, frame.raw(), *actions, Output(2))
    (received,) = bench.outcome(0).only(1)
    assert received.hex() == msgspec.structs.replace(frame, **changes).raw().hex()


def test_each_output_sends_what_the_packet_is_by_then(bench: Bench) -> None:
    frame = _TCP.raw()
    actions = (
        Output(1), SetEthernet(dst=f.MAC_C), Output(2), PushVlan(0x8100, 0x1009), Output(3),
        PopVlan(), SetEthernet(dst=f.MAC_B), Output(2),
    )  # fmt: skip
    bench.add_flow(bench.key_of(frame), *actions)
    changed = Frame(proto=f.TCP, eth_dst=f.MAC_C).raw()
    tagged = Frame(proto=f.TCP, eth_dst=f.MAC_C, tags=((f.QTAG, 9),)).raw()
    outcome = bench.inject(0, frame)
    assert outcome.frames == ([frame], [changed, frame], [tagged])


def test_a_lifted_packet_is_as_it_is_by_then_and_its_key_too(bench: Bench) -> None:
    frame = _TCP.raw()
    key = bench.key_of(frame)
    bench.add_flow(key, SetIpv4(ttl=3), PushVlan(0x8100, 0x1009), Userspace(bench.pid, b"x"))
    upcall = bench.inject(0, frame).upcall()
    assert upcall.frame == Frame(proto=f.TCP, ttl=3, tags=((f.QTAG, 9),)).raw()
    told = decode_key(upcall.raw_key)
    assert (told.in_port, told.ip_ttl) == (1, 3)


def test_a_cut_holds_for_one_output(bench: Bench) -> None:
    frame = Frame(payload=b"x" * 1000).raw()
    bench.add_flow(bench.key_of(frame), Trunc(100), Output(2), Output(3))
    assert bench.inject(0, frame).frames == ([], [frame[:100]], [frame])


def test_a_cut_packet_is_lifted_cut(bench: Bench) -> None:
    frame = Frame(payload=b"x" * 1000).raw()
    bench.add_flow(bench.key_of(frame), Trunc(60), Userspace(bench.pid, b"x"), Output(3))
    outcome = bench.inject(0, frame)
    assert [upcall.frame for upcall in outcome.upcalls] == [frame[:60]]
    assert outcome.frames[2] == [frame]


def test_a_cut_longer_than_the_packet_cuts_nothing(bench: Bench) -> None:
    bench.add_flow(bench.key_of(_UDP.raw()), Trunc(1000), Output(2))
    assert bench.inject(0, _UDP.raw()).only(1) == [_UDP.raw()]


def test_an_executed_packet_has_the_metadata_of_its_key(bench: Bench) -> None:
    key = bench.key_of(_UDP.raw(), 2)
    bench.execute(key, _TCP.raw(), Userspace(bench.pid, b"executed"))
    told = decode_key(bench.outcome(0).upcall().raw_key)
    assert (told.in_port, told.ip_proto) == (3, f.TCP)


def test_an_executed_packet_may_have_a_key_of_metadata_alone(bench: Bench) -> None:
    bench.execute(b"", _TCP.raw(), Output(2))
    assert bench.outcome(0).only(1) == [_TCP.raw()]


def test_a_packet_with_a_larger_frame_than_the_links_is_dropped(bench: Bench) -> None:
    key = bench.key_of(_UDP.raw())
    large = Frame(payload=b"x" * 1473).raw()
    fits = Frame(payload=b"x" * 1472).raw()
    bench.execute(key, large, Output(2))
    bench.execute(key, fits, Output(2))
    assert bench.outcome(0).only(1) == [fits]


def test_outputs_to_ports_that_are_not_there_do_nothing(bench: Bench) -> None:
    bench.add_flow(bench.key_of(_UDP.raw()), Output(99), Output(2))
    assert bench.inject(0, _UDP.raw()).only(1) == [_UDP.raw()]
