"""Properties: round trips of whatever can be said, OdpError for whatever cannot be read."""

from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.odp import actions as a
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import (
    GetFamily,
    NewFlow,
    NewVport,
    encode_request,
)
from actors.datapath.odp.upcalls import decode_upcall
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import SEEN_ALL, TunnelKey
from actors.values import IpAddress
from tests.datapath.odp import cases
from tests.datapath.odp.cases import FAMILIES
from tests.packets.frames import broken_frames, frames, macs, octets, ports, tunnels, v4, v6

DECODERS: list[Callable[[bytes], object]] = [
    decode_key,
    lambda data: mask_for(data, SEEN_ALL),
    lambda data: masked(data, data),
    lambda data: masked(cases.UDP_KEY, data),
    a.decode_actions,
    decode_upcall,
    lambda data: decode_request(data, FAMILIES),
    lambda data: decode_replies(data, FAMILIES),
]
GOLDEN = [
    *(bytes.fromhex(golden) for _, golden in cases.KEYS.values()),
    *(bytes.fromhex(golden) for _, golden in cases.ACTIONS.values()),
    *(bytes.fromhex(golden) for _, _, golden in cases.REQUESTS.values()),
    *(bytes.fromhex(golden) for _, _, golden in cases.REPLIES.values()),
    cases.MISS,
    cases.ACTION,
]

u32 = st.integers(0, 0xFFFFFFFF)
actions = st.lists(
    st.one_of(
        st.builds(a.Output, u32),
        st.builds(a.Userspace, u32, st.binary(max_size=20)),
        st.builds(
            a.PushVlan,
            st.sampled_from([0x8100, 0x88A8]),
            st.integers(0, 0xFFFF).map(lambda tci: tci | 0x1000),
        ),
        st.just(a.PopVlan()),
        tunnels().map(a.SetTunnel),
        st.builds(a.Trunc, st.integers(14, 0xFFFFFFFF)),
        st.builds(a.SetEthernet, st.none() | macs, st.none() | macs),
        st.builds(
            a.SetIpv4, st.none() | v4, st.none() | v4, st.none() | octets, st.none() | octets
        ),
        st.builds(
            a.SetIpv6,
            st.none() | v6,
            st.none() | v6,
            st.none() | st.integers(0, 0xFFFFF),
            st.none() | octets,
            st.none() | octets,
        ),
        st.builds(a.SetTcp, st.none() | ports, st.none() | ports),
        st.builds(a.SetUdp, st.none() | ports, st.none() | ports),
        st.builds(a.SetPriority, u32),
        st.builds(a.SetSkbMark, u32),
    ),
    max_size=6,
).map(tuple)


@given(frames() | broken_frames(), u32, st.one_of(st.none(), tunnels()))
def test_the_key_of_any_frame_survives_the_wire(
    frame: bytes, in_port: int, tunnel: TunnelKey | None
) -> None:
    if len(frame) < 14:
        return
    key = flow_key_of(frame, in_port, tunnel)
    raw = encode_key(key)
    assert decode_key(raw) == key
    assert encode_key(decode_key(raw)) == raw


@given(actions)
def test_any_actions_survive_the_wire(chosen: tuple[a.Action, ...]) -> None:
    raw = a.encode_actions(chosen)
    assert a.decode_actions(raw) == chosen
    assert len(raw) % 4 == 0


@given(actions)
def test_actions_are_values_that_a_journal_can_keep(chosen: tuple[a.Action, ...]) -> None:
    packed = msgspec.msgpack.encode(chosen)
    assert msgspec.msgpack.decode(packed, type=tuple[a.Action, ...]) == chosen


@given(macs, macs, macs, macs)
def test_partial_masks_survive_the_wire(src: bytes, dst: bytes, m1: bytes, m2: bytes) -> None:
    def within(value: bytes, mask: bytes) -> bytes:
        return bytes(x & y for x, y in zip(value, mask, strict=True))

    action = a.SetEthernet(within(src, m1), within(dst, m2), m1, m2)
    (decoded,) = a.decode_actions(a.encode_actions((action,)))
    assert a.encode_actions((decoded,)) == a.encode_actions((action,))
    if any(m1) and any(m2):
        assert decoded == action


@given(st.sampled_from(DECODERS), st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(decode: Callable[[bytes], object], data: bytes) -> None:
    with suppress(OdpError):
        decode(data)


@given(
    st.sampled_from(DECODERS),
    st.sampled_from(GOLDEN),
    st.lists(st.tuples(st.integers(0, 400), octets), max_size=4),
    st.integers(0, 400),
)
def test_damaged_messages_are_read_or_refused(
    decode: Callable[[bytes], object], golden: bytes, damage: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(golden)
    for at, value in damage:
        if data:
            data[at % len(data)] = value
    with suppress(OdpError):
        decode(bytes(data))
    with suppress(OdpError):
        decode(bytes(data[:cut]))


@pytest.mark.parametrize("decode", DECODERS)
def test_every_prefix_of_every_golden_message_is_read_or_refused(
    decode: Callable[[bytes], object],
) -> None:
    for golden in GOLDEN:
        for length in range(len(golden)):
            with suppress(OdpError):
                decode(golden[:length])


@pytest.mark.parametrize(
    "raw",
    [
        "08000300 05000000 08000300 05000000",  # an attribute twice
        "06000300 0500 0000",  # a wrong length
        "06000500 10010000",  # a tag without its encapsulation
        "06000600 81000000 06000500 10010000 04000100 04000100",  # the same, twice
        "08000900 00010002 08000a00 00010002",  # two transports
        "0c001000 0800 0000 00000001",  # a tunnel id of four bytes
        "0300 0300",  # an attribute shorter than its header
        "08000300 05000000 0000",  # bytes left behind
    ],
)
def test_keys_that_the_kernel_refuses_are_refused(raw: str) -> None:
    with pytest.raises(OdpError):
        decode_key(bytes.fromhex(raw))


def test_tags_nested_too_deep_are_refused() -> None:
    raw = b""
    for _ in range(3):
        header = (len(raw) + 4).to_bytes(2, "little") + b"\1\0"
        raw = bytes.fromhex("06000600 81000000 06000500 10010000") + header + raw
    with pytest.raises(OdpError):
        decode_key(raw)


def test_unknown_key_attributes_are_passed_over() -> None:
    extra = bytes.fromhex("06002000 0100 0000")  # IPV6_EXTHDRS, newer than some readers
    assert decode_key(cases.UDP_KEY + extra) == cases.KEYS["udp"][0]
    assert decode_key(extra + cases.UDP_KEY) == cases.KEYS["udp"][0]
    assert mask_for(cases.UDP_KEY + extra, SEEN_ALL) == mask_for(cases.UDP_KEY, SEEN_ALL)


@pytest.mark.parametrize(
    "raw",
    [
        "08000700 00000000",  # recirc is not supported
        "06000100 0100 0000",  # a port of two bytes
        "04000200",  # userspace without a port id
        "08000400 81000064",  # a tag without the CFI bit
        "08000500 00000000",  # pop_vlan with an argument
        "08000d00 0d000000",  # a cut into the Ethernet header
        "04000300",  # a set of nothing
        "24000300 20001000 0c000000 0000000000000001 08000200 0a000202 04000600 04000500",  # no TTL
        "18000300 14001000 0c000000 0000000000000001 05000400 40000000",  # no destination
        "20000b00 1c000700 00000000 00000000 06000000 00000000 00000000 ff000000",  # protocol
        "20000b00 1c000700 00000000 00000000 00003f00 00000000 00000000 00000f00",  # bits outside
        "1c000b00 18000d00 0a000101 0a000202 0001 020000000001 000000000000",  # ARP
        "44000b00 40001000",  # a masked tunnel
    ],
)
def test_actions_that_the_kernel_refuses_are_refused(raw: str) -> None:
    with pytest.raises(OdpError):
        a.decode_actions(bytes.fromhex(raw))


def test_an_unmasked_set_is_understood() -> None:
    raw = bytes.fromhex("14000300 10000400 020000000001 020000000002")
    assert a.decode_actions(raw) == (a.SetEthernet(src=cases.A_MAC, dst=cases.B_MAC),)
    ipv4 = bytes.fromhex("14000300 10000700 0a000101 0a000202 11 04 3f 00")
    assert a.decode_actions(ipv4) == (a.SetIpv4(cases.A, cases.B, 4, 63),)


@pytest.mark.parametrize(
    "action",
    [
        a.Output(-1),
        a.Userspace(1 << 32),
        a.Userspace(1, bytes(70000)),
        a.PushVlan(0x8100, 5),
        a.PushVlan(0x0800, 0x1005),
        a.SetTunnel(TunnelKey(1, cases.A, IpAddress(bytes(4)))),
        a.SetTunnel(TunnelKey(1 << 64, cases.A, cases.B)),
        a.SetTunnel(TunnelKey(1, cases.A, cases.B, tp_dst=1 << 16)),
        a.SetEthernet(src=b"short", dst=cases.B_MAC),
        a.SetEthernet(src=b"short"),
        a.SetIpv4(ttl=256),
        a.SetIpv4(ttl=-1),
        a.SetIpv4(src=cases.A6),
        a.SetIpv4(tos=7, tos_mask=0xFC),
        a.SetTcp(src=1 << 16),
        a.Trunc(5),
        a.Trunc(1 << 32),
    ],
)
def test_actions_that_cannot_be_expressed_are_refused(action: a.Action) -> None:
    with pytest.raises(OdpError):
        a.encode_actions((action,))


def test_more_actions_than_the_kernel_takes_are_refused() -> None:
    with pytest.raises(OdpError):
        a.encode_actions((a.Output(1),) * 5000)
    with pytest.raises(OdpError):
        a.decode_actions(cases.OUTPUT * 5000)


@pytest.mark.parametrize(
    "fields",
    [
        {"in_port": -1},
        {"eth_src": b"x"},
        {"ip_src": b"abc"},
        {"ip_ttl": 300},
        {"l4_dst": 1 << 16},
        {"ethertype": 1 << 16},
        {"cvlan_tci": 0x1001},
        {"vlan_tci": 1 << 16},
        {"tunnel": TunnelKey(1, IpAddress(b"abc"), cases.B)},
        {"tunnel": TunnelKey(1, cases.A, cases.B, ttl=256)},
    ],
)
def test_keys_that_cannot_be_expressed_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(OdpError):
        encode_key(msgspec.structs.replace(cases.KEYS["udp"][0], **fields))


@pytest.mark.parametrize(
    "body",
    [
        GetFamily(""),
        GetFamily("a name of more than 15"),
        NewVport(1, 1, "n\0l"),
        NewVport(1, 1, "\ud800"),
        NewVport(1, 1, "tap", ()),
        NewVport(1, 1, "tap", (-1,)),
        NewVport(1 << 40, 1, "tap"),
        NewFlow(1, bytes(1 << 16), b""),
        NewFlow(1, b"", b"", ufid=b""),
    ],
)
def test_requests_that_cannot_be_expressed_are_refused(
    body: GetFamily | NewVport | NewFlow,
) -> None:
    with pytest.raises(OdpError):
        encode_request(body, families=FAMILIES, seq=1, pid=1)


def test_names_that_are_no_utf_8_survive_the_wire() -> None:
    body = NewVport(1, 1, b"caf\xe9".decode(errors="surrogateescape"))
    raw = encode_request(body, families=FAMILIES, seq=1, pid=1)
    assert decode_request(raw, FAMILIES)[0].body == body
