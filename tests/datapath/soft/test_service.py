"""Flow and packet requests as bytes, without a process: whatever they are, they are answered."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import (
    Output,
    PopVlan,
    PushVlan,
    SetEthernet,
    SetTunnel,
    Userspace,
    encode_actions,
)
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.replies import NetlinkRefused
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    DeleteFlow,
    Encodable,
    ExecutePacket,
    GetFlow,
    NewFlow,
    SetFlow,
    encode_request,
)
from actors.datapath.soft import flow_table
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.families import FAMILIES
from actors.datapath.soft.flow_requests import FlowRequests
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.link_watch import LinkWatch
from actors.datapath.soft.loop import Loop
from actors.datapath.soft.port_requests import PortRequests
from actors.datapath.soft.service import Service
from actors.datapath.soft.upcalls import UpcallSender
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import SEEN_ALL, SEEN_ETH_DST, TunnelKey
from actors.values import IpAddress
from tests.datapath.soft.frames import TCP, UDP, ip_frame, tcp_header, with_l4_checksum

_TUNNEL = TunnelKey(7, IpAddress(b"abcd"), IpAddress(b"efgh"))
_TAG = bytes.fromhex("81002005")
_FRAMES = [
    with_l4_checksum(ip_frame(UDP, struct.pack("!HHHH", 1, 2, 8, 0))),
    with_l4_checksum(ip_frame(TCP, tcp_header(), v6=True)),
    with_l4_checksum(ip_frame(TCP, tcp_header(), tags=_TAG)),
    bytes(12) + b"\x08\x06\0\1\x08\0\6\4\0\1" + bytes(20),
    bytes(12) + b"\x00\x20" + bytes(32),
]
_OF_802_3 = 4
_ACTIONS = encode_actions(
    (
        SetEthernet(dst=b"abcdef"),
        PushVlan(0x8100, 0x1005),
        PopVlan(),
        SetTunnel(_TUNNEL),
        Output(1),
        Userspace(1, b"why"),
    )
)
_DP = 7


class Bench:
    """A service with one datapath that has no ports."""

    def __init__(self) -> None:
        self.agent, self.its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.its.setblocking(False)
        self.clock = TurnClock()
        self.links = LinkWatch()
        self.loop = Loop(self.clock, self.links)
        inventory = Inventory()
        upcalls = UpcallSender(self.its, self.clock)
        self.datapath = Datapath("dp0", _DP, upcalls, self.clock)
        inventory.add(self.datapath)
        ports = PortRequests(inventory, self.loop, upcalls, self.clock)
        self.service = Service(inventory, ports, FlowRequests(inventory))

    def ask(self, *requests: Encodable, flags: int = 0) -> list[object]:
        datagram = b"".join(_encode(request, flags) for request in requests)
        return [
            reply
            for answer in self.service.answer(datagram)
            for reply in decode_replies(answer, FAMILIES)
        ]

    def close(self) -> None:
        self.loop.close()
        self.links.close()
        self.agent.close()
        self.its.close()


def _encode(request: Encodable, flags: int = 0) -> bytes:
    return encode_request(request, families=FAMILIES, seq=1, pid=1, flags=flags)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def _flow(frame: bytes, seen: int | None, ufid: bytes | None = None) -> NewFlow:
    key = encode_key(flow_key_of(frame, 1, _TUNNEL if seen == SEEN_ALL else None))
    mask = None if seen is None else mask_for(key, seen)
    return NewFlow(_DP, key, _ACTIONS, mask, ufid)


_SAMPLES: list[Encodable] = [
    *(_flow(frame, seen) for frame in _FRAMES for seen in (0, SEEN_ALL, None)),
    *(ExecutePacket(_DP, _flow(frame, 0).raw_key, _ACTIONS, frame) for frame in _FRAMES),
    SetFlow(_DP, _flow(_FRAMES[0], 0).raw_key, _ACTIONS, None, None, clear=True),
    GetFlow(_DP, b"ufid"),
    DeleteFlow(_DP, None, _flow(_FRAMES[1], 0).raw_key),
]
_SAMPLE_BYTES = [
    _encode(sample, flags) for sample in _SAMPLES for flags in (0, odp.NLM_F_CREATE | odp.NLM_F_ACK)
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sample=st.sampled_from(_SAMPLE_BYTES),
    changes=st.lists(st.tuples(st.integers(24, 400), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 60),
)
def test_any_damage_to_a_request_is_refused_or_harmless(
    bench: Bench, sample: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(sample[: len(sample) - cut // 4 * 4])
    for at, value in changes:
        if at < len(damaged):
            damaged[at] = value
    if len(damaged) >= 4:
        struct.pack_into("=I", damaged, 0, len(damaged))
    for answer in bench.service.answer(bytes(damaged)):
        decode_replies(answer, FAMILIES)


@pytest.mark.parametrize("frame", range(len(_FRAMES)))
@pytest.mark.parametrize("seen", [0, SEEN_ETH_DST, SEEN_ALL, None])
@pytest.mark.parametrize("tunnel", [None, _TUNNEL])
def test_the_flow_made_from_an_upcalls_key_matches_its_packet(
    bench: Bench, frame: int, seen: int | None, tunnel: TunnelKey | None
) -> None:
    bench.ask(DeleteFlow(_DP))
    key = flow_key_of(_FRAMES[frame], 1, tunnel)
    raw_key = encode_key(key)
    mask = None if seen is None else mask_for(raw_key, seen)
    assert bench.ask(NewFlow(_DP, raw_key, _ACTIONS, mask, b"id"), flags=odp.NLM_F_CREATE) == []
    assert bench.datapath.table.lookup(key) is not None
    assert bench.datapath.table.lookup(flow_key_of(_FRAMES[frame], 2, tunnel)) is None
    for number, other in enumerate(_FRAMES):
        # Without mask nothing says that an 802.3 frame has no ethertype.
        if number != frame and not (seen is None and frame == _OF_802_3):
            assert bench.datapath.table.lookup(flow_key_of(other, 1, tunnel)) is None


def test_a_full_table_is_refused_with_enospc(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(DeleteFlow(_DP))
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 1)
    replies = bench.ask(
        _flow(_FRAMES[0], 0, b"one"), _flow(_FRAMES[1], 0, b"two"), flags=odp.NLM_F_CREATE
    )
    assert replies == [NetlinkRefused(1, errno.ENOSPC)]
