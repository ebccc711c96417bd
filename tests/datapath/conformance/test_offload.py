"""Packets as virtual machines hand them over: checksums left to the card, many segments in one."""

import pytest
from msgspec.structs import replace

from actors.datapath.odp.actions import (
    Action,
    Output,
    PushVlan,
    SetIpv4,
    SetIpv6,
    SetTcp,
    SetUdp,
)
from actors.datapath.odp.key import decode_key
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame
from tests.datapath.conformance.wire import Offload
from tests.datapath.soft.frames import checksums_are_right, ones_sum

_GSO_TCPV4, _GSO_TCPV6 = 1, 4
_SIZE = 1000
_PARTIAL = {
    "udp": Frame(),
    "tcp": Frame(proto=f.TCP),
    "udp6": Frame(v6=True),
    "tcp6": Frame(v6=True, proto=f.TCP),
    "tagged": Frame(proto=f.TCP, tags=((f.QTAG, 5),)),
}
_CHANGES: dict[str, tuple[tuple[Action, ...], dict[str, object]]] = {
    "udp": (
        (SetIpv4(src=f.IP_C, ttl=9), SetUdp(dst=53)), {"src": f.IP_C, "ttl": 9, "dport": 53}
    ),
    "tcp": ((SetIpv4(dst=f.IP_C), SetTcp(src=9)), {"dst": f.IP_C, "sport": 9}),
    "udp6": ((SetIpv6(src=f.IP6_C), SetUdp(src=9)), {"src": f.IP6_C, "sport": 9}),
    "tcp6": ((SetIpv6(dst=f.IP6_C), SetTcp(dst=9)), {"dst": f.IP6_C, "dport": 9}),
    "tagged": (
        (PushVlan(0x88A8, 0x1007), SetIpv4(src=f.IP_C)),
        {"src": f.IP_C, "tags": ((f.STAG, 7), (f.QTAG, 5))},
    ),
}  # fmt: skip


def _l4_of(frame: Frame) -> int:
    return 14 + 4 * len(frame.tags) + (40 if frame.v6 else 20)


def _partial(frame: Frame) -> tuple[bytes, Offload]:
    """A frame whose transport checksum is the pseudo header's sum alone."""
    raw, l4 = frame.raw(), _l4_of(frame)
    addresses = raw[l4 - 32 : l4] if frame.v6 else raw[l4 - 8 : l4]
    pseudo = addresses + (len(raw) - l4).to_bytes(4) + frame.proto.to_bytes(4)
    offset = 16 if frame.proto == f.TCP else 6
    at = l4 + offset
    return raw[:at] + ones_sum(pseudo).to_bytes(2) + raw[at + 2 :], Offload(l4, offset)


@pytest.mark.parametrize("name", _PARTIAL)
def test_an_upcall_has_the_checksum_that_its_sender_left_out(bench: Bench, name: str) -> None:
    frame = _PARTIAL[name]
    bench.wires[0].send(*_partial(frame))
    upcall = bench.outcome(0).upcall()
    assert upcall.frame == frame.raw()
    bench.execute(upcall.raw_key, upcall.frame, Output(2))
    assert bench.outcome(0).only(1) == [frame.raw()]


@pytest.mark.parametrize("name", _PARTIAL)
def test_a_partial_checksum_survives_forwarding(bench: Bench, name: str) -> None:
    frame = _PARTIAL[name]
    bench.add_flow(bench.key_of(frame.raw()), Output(2))
    bench.wires[0].send(*_partial(frame))
    assert bench.outcome(0).only(1) == [frame.raw()]


@pytest.mark.parametrize("name", _PARTIAL)
def test_a_partial_checksum_survives_rewriting(bench: Bench, name: str) -> None:
    frame = _PARTIAL[name]
    actions, changes = _CHANGES[name]
    bench.add_flow(bench.key_of(frame.raw()), *actions, Output(2))
    bench.wires[0].send(*_partial(frame))
    assert bench.outcome(0).only(1) == [replace(frame, **changes).raw()]


def _large(frame: Frame, length: int) -> tuple[Frame, bytes, Offload]:
    whole = replace(frame, proto=f.TCP, payload=bytes(n * 7 & 0xFF for n in range(length)))
    raw, offload = _partial(whole)
    kind = _GSO_TCPV6 if frame.v6 else _GSO_TCPV4
    header = offload.csum_start + 20
    return whole, raw, replace(offload, gso_type=kind, gso_size=_SIZE, header_length=header)


@pytest.mark.parametrize("name", ["tcp", "tcp6", "tagged"])
@pytest.mark.parametrize("length", [1001, 5000, 60000])
def test_a_packet_larger_than_any_link_is_lifted_in_segments(
    bench: Bench, name: str, length: int
) -> None:
    whole, raw, offload = _large(_PARTIAL[name], length)
    bench.wires[0].send(raw, offload)
    upcalls = bench.outcome(0).upcalls
    header = _l4_of(whole) + 20
    assert b"".join(upcall.frame[header:] for upcall in upcalls) == whole.payload
    assert {len(upcall.frame) - header for upcall in upcalls[:-1]} == {_SIZE}
    assert all(checksums_are_right(upcall.frame) for upcall in upcalls)
    assert len({decode_key(upcall.raw_key).l4_dst for upcall in upcalls}) == 1


@pytest.mark.parametrize("name", ["tcp", "tcp6", "tagged"])
@pytest.mark.parametrize("rewritten", [False, True])
def test_a_packet_larger_than_any_link_is_forwarded_whole_or_cut(
    bench: Bench, name: str, *, rewritten: bool
) -> None:
    frame = _PARTIAL[name]
    whole, raw, offload = _large(frame, 20000)
    actions, changes = _CHANGES[name] if rewritten else ((), {})
    bench.add_flow(bench.key_of(replace(frame, proto=f.TCP).raw()), *actions, Output(2))
    bench.wires[0].send(raw, offload)
    received = bench.outcome(0).only(1)
    changed = replace(whole, **changes)
    header = _l4_of(changed) + 20
    assert b"".join(each[header:] for each in received) == whole.payload
    assert all(checksums_are_right(each) for each in received)
    start = 14 + 4 * len(changed.tags)
    addresses = slice(start + 8, start + 40) if frame.v6 else slice(start + 12, start + 20)
    assert {each[addresses] for each in received} == {changed.raw()[addresses]}
    assert {each[: start - 2] for each in received} == {changed.raw()[: start - 2]}
