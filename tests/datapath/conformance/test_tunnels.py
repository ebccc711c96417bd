"""Tunnel ports: outer headers out of actions and into keys."""

import errno
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, SetEthernet, SetTunnel, encode_actions
from actors.datapath.odp.key import decode_key
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.requests import ExecutePacket, NewFlow, NewVport
from actors.packets.flow_key import SEEN_ETH_DST, SEEN_TUNNEL_ENDPOINTS, TunnelKey
from actors.values import IpAddress
from tests.datapath.conformance import frames as f
from tests.datapath.conformance.bench import Bench, OpenChannel
from tests.datapath.conformance.frames import Frame
from tests.datapath.conformance.underlay import (
    GENEVE,
    GRE,
    LOCAL,
    REMOTE,
    UDP_PORTS,
    VXLAN,
    Outer,
    Underlay,
)

_KINDS = [VXLAN, GENEVE, GRE]
_FRAME = Frame(proto=f.TCP)
_TO_REMOTE = TunnelKey(tun_id=0x123456, src=IpAddress(LOCAL), dst=IpAddress(REMOTE), ttl=64)


@pytest.fixture(scope="module")
def _shared(open_channel: OpenChannel) -> Iterator[Underlay]:
    bench = Bench(open_channel, 2)
    underlay = Underlay(bench)
    yield underlay
    underlay.close()
    bench.close()


@pytest.fixture
def underlay(_shared: Underlay) -> Underlay:
    _shared.bench.reset()
    _shared.wire.drain()
    return _shared


def _went_out(outer: Outer) -> Outer:
    """An outer header without what the sender chooses.

    A checksum may be there unasked, as a program can let the kernel cut segments (UDP_SEGMENT)
    only on a socket that makes checksums; outer_of() has found it right.
    """
    return replace(outer, sport=0, checksum=False)


def _expected(kind: int, **changes: object) -> Outer:
    plain = Outer(kind=kind, src=LOCAL, dst=REMOTE, sport=0, inner=_FRAME.raw())
    return replace(plain, **changes)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"tun_id": 0}, {"tun_id": 0xFFFFFF}, {"tos": 0xB8}, {"ttl": 3}, {"ttl": 255},
        {"src": IpAddress(b"")},
    ],
)  # fmt: skip
def test_a_tunnel_action_gives_the_outer_header(
    underlay: Underlay, kind: int, changes: dict[str, object]
) -> None:
    bench = underlay.bench
    tunnel = replace(_TO_REMOTE, **changes)
    bench.add_flow(bench.key_of(_FRAME.raw()), SetTunnel(tunnel), Output(underlay.ports[kind]))
    bench.inject(0, _FRAME.raw())
    sent = underlay.receive()
    assert _went_out(sent) == _expected(kind, key=tunnel.tun_id, tos=tunnel.tos, ttl=tunnel.ttl)


@pytest.mark.parametrize("kind", [VXLAN, GENEVE])
def test_an_outer_checksum_is_there_when_it_is_asked_for(underlay: Underlay, kind: int) -> None:
    bench = underlay.bench
    tunnel = replace(_TO_REMOTE, checksum=True)
    bench.add_flow(bench.key_of(_FRAME.raw()), SetTunnel(tunnel), Output(underlay.ports[kind]))
    bench.inject(0, _FRAME.raw())
    sent = underlay.receive()
    assert sent.checksum
    assert _went_out(sent) == _expected(kind)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_packet_is_executed_into_a_tunnel(underlay: Underlay, kind: int) -> None:
    actions = encode_actions((SetTunnel(_TO_REMOTE), Output(underlay.ports[kind])))
    request = ExecutePacket(underlay.bench.dp, b"", actions, _FRAME.raw())
    underlay.bench.dialogue.ask(request)
    assert _went_out(underlay.receive()) == _expected(kind)


def test_one_packet_goes_into_several_tunnels(underlay: Underlay) -> None:
    bench, ports = underlay.bench, underlay.ports
    second = replace(_TO_REMOTE, tun_id=7)
    bench.add_flow(
        bench.key_of(_FRAME.raw()),
        SetTunnel(_TO_REMOTE), Output(ports[VXLAN]), Output(bench.ports[1]),
        SetEthernet(dst=f.MAC_C), SetTunnel(second), Output(ports[VXLAN]), Output(ports[GENEVE]),
    )  # fmt: skip
    assert bench.inject(0, _FRAME.raw()).only(1) == [_FRAME.raw()]
    changed = replace(_FRAME, eth_dst=f.MAC_C).raw()
    assert [_went_out(underlay.receive()) for _ in range(3)] == [
        _expected(VXLAN), _expected(VXLAN, key=7, inner=changed),
        _expected(GENEVE, key=7, inner=changed),
    ]  # fmt: skip


def test_a_tunnel_port_without_tunnel_action_sends_nothing(underlay: Underlay) -> None:
    bench = underlay.bench
    key = bench.key_of(_FRAME.raw())
    bench.execute(key, _FRAME.raw(), Output(underlay.ports[VXLAN]), Output(bench.ports[1]))
    bench.execute(key, _FRAME.raw(), SetTunnel(_TO_REMOTE), Output(underlay.ports[VXLAN]))
    assert _went_out(underlay.receive()) == _expected(VXLAN)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    "changes", [{}, {"key": 0}, {"key": 0xFFFFFF}, {"tos": 0x2C}, {"ttl": 1}, {"sport": 777}]
)
def test_a_packet_out_of_a_tunnel_has_the_outer_header_in_its_key(
    underlay: Underlay, kind: int, changes: dict[str, object]
) -> None:
    outer = replace(Outer(kind=kind, inner=_FRAME.raw()), **changes)
    underlay.send(outer)
    upcall = underlay.bench.dialogue.next_upcall()
    assert upcall.frame == _FRAME.raw()
    key = decode_key(upcall.raw_key)
    assert key.in_port == underlay.ports[kind]
    assert key.tunnel == TunnelKey(
        tun_id=outer.key, src=IpAddress(REMOTE), dst=IpAddress(LOCAL), tos=outer.tos, ttl=outer.ttl,
        tp_src=0 if kind == GRE else outer.sport, tp_dst=UDP_PORTS[kind] or 0,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [VXLAN, GENEVE])
def test_a_packet_with_an_outer_checksum_is_taken_too(underlay: Underlay, kind: int) -> None:
    underlay.send(Outer(kind=kind, inner=_FRAME.raw(), checksum=True))
    assert underlay.bench.dialogue.next_upcall().frame == _FRAME.raw()


@pytest.mark.parametrize("kind", _KINDS)
def test_a_flow_catches_what_its_tunnel_key_says(underlay: Underlay, kind: int) -> None:
    bench = underlay.bench
    underlay.send(Outer(kind=kind, inner=_FRAME.raw()))
    key = bench.dialogue.next_upcall().raw_key
    bench.add_flow(key, Output(bench.ports[0]), mask=mask_for(key, SEEN_ETH_DST))
    other = Frame(eth_src=f.MAC_C).raw()
    underlay.send(Outer(kind=kind, inner=other, sport=999, ttl=9, src=bytes((192, 168, 77, 9))))
    assert bench.wires[0].receive() == other
    underlay.send(Outer(kind=kind, inner=_FRAME.raw(), key=0x123457))
    told = decode_key(bench.dialogue.next_upcall().raw_key)
    assert told.tunnel is not None
    assert told.tunnel.tun_id == 0x123457


def test_a_flow_may_ask_for_a_tunnels_endpoints(underlay: Underlay) -> None:
    bench = underlay.bench
    underlay.send(Outer(inner=_FRAME.raw()))
    key = bench.dialogue.next_upcall().raw_key
    bench.add_flow(key, Output(bench.ports[0]), mask=mask_for(key, SEEN_TUNNEL_ENDPOINTS))
    underlay.send(Outer(inner=_FRAME.raw(), sport=5))
    assert bench.wires[0].receive() == _FRAME.raw()
    elsewhere = bytes((192, 168, 77, 9))
    underlay.send(Outer(inner=_FRAME.raw(), src=elsewhere))
    told = decode_key(bench.dialogue.next_upcall().raw_key)
    assert told.tunnel is not None
    assert told.tunnel.src == elsewhere


@pytest.mark.parametrize("kind", _KINDS)
def test_what_is_no_tunnelled_frame_never_arrives(underlay: Underlay, kind: int) -> None:
    good = Outer(kind=kind, inner=_FRAME.raw()).raw(underlay.mac)
    shim = 34 if kind == GRE else 42
    damaged = [
        good[:shim] + b"\xff" + good[shim + 1 :],
        good[: shim + 2],
        Outer(kind=kind, inner=b"too short").raw(underlay.mac),
    ]
    for frame in damaged:
        underlay.wire.send(frame)
    underlay.wire.send(good)
    assert underlay.bench.dialogue.next_upcall().frame == _FRAME.raw()


def test_a_flow_has_no_tunnel_without_destination(underlay: Underlay) -> None:
    bench = underlay.bench
    key = bench.key_of(_FRAME.raw())
    tunnel = encode_actions((SetTunnel(_TO_REMOTE),))
    assert tunnel.count(REMOTE) == 1
    request = NewFlow(bench.dp, key, tunnel.replace(REMOTE, bytes(4)))
    assert bench.dialogue.refusal(request, odp.NLM_F_CREATE) == errno.EINVAL


@pytest.mark.parametrize(
    ("kind", "code"), [(VXLAN, errno.EEXIST), (GENEVE, errno.EBUSY), (GRE, errno.EEXIST)]
)
def test_a_second_port_for_the_same_packets_is_refused(
    underlay: Underlay, kind: int, code: int
) -> None:
    bench = underlay.bench
    request = NewVport(bench.dp, kind, "another", (0,), None, UDP_PORTS[kind])
    assert bench.dialogue.refusal(request) == code
    if kind != GRE:
        assert bench.dialogue.refusal(replace(request, dst_port=None)) == errno.EINVAL


def test_a_tunnel_port_tells_its_udp_port(underlay: Underlay) -> None:
    for kind, udp_port in UDP_PORTS.items():
        info = underlay.bench.vport(underlay.ports[kind])
        assert (info.type, info.dst_port) == (kind, udp_port)
