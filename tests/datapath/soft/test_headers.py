"""Header rewrites: the checksums afterwards are those of the frame as if built anew."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.odp.actions import (
    Action,
    PopVlan,
    PushVlan,
    SetEthernet,
    SetIpv4,
    SetIpv6,
    SetTcp,
    SetUdp,
    Trunc,
)
from actors.datapath.soft.actions import compile_actions
from actors.datapath.soft.offload import complete_checksum
from actors.datapath.soft.packet import Packet
from tests.datapath.soft.frames import (
    IP_A,
    TCP,
    UDP,
    checksums_are_right,
    ip_frame,
    partial_packet,
    plain_packet,
    tcp_header,
    with_l4_checksum,
)

_TAG = b"\x81\x00\x00\x05"


class _NoPorts:
    def output(self, packet: Packet, number: int) -> bool:
        raise AssertionError((packet, number))

    def lift(self, packet: Packet, pid: int, userdata: bytes) -> bool:
        raise AssertionError((packet, pid, userdata))


def _apply(packet: Packet, *actions: Action) -> bool:
    return all(step(_NoPorts(), packet) for step in compile_actions(actions))


def _l4(proto: int, payload: bytes) -> bytes:
    if proto == TCP:
        return tcp_header() + payload
    return struct.pack("!HHHH", 4000, 80, 8 + len(payload), 0) + payload


@given(
    payload=st.binary(max_size=64),
    proto=st.sampled_from([TCP, UDP]),
    src=st.binary(min_size=4, max_size=4),
    port=st.integers(0, 65535),
    ttl=st.integers(0, 255),
    partial=st.booleans(),
    tags=st.sampled_from([b"", _TAG, _TAG * 2]),
)
def test_ipv4_rewrites_keep_all_checksums_right(
    payload: bytes, proto: int, src: bytes, port: int, ttl: int, partial: bool, tags: bytes
) -> None:
    frame = ip_frame(proto, _l4(proto, payload), tags=tags)
    packet = partial_packet(frame) if partial else plain_packet(with_l4_checksum(frame))
    ports = SetTcp(src=port) if proto == TCP else SetUdp(src=port)
    assert _apply(packet, SetIpv4(src=src, ttl=ttl, tos=4), ports)
    assert packet.needs_csum is partial
    complete_checksum(packet)
    result = packet.frame()
    l3 = 14 + len(tags)
    assert checksums_are_right(result)
    assert result[l3 + 12 : l3 + 16] == src
    assert (result[l3 + 8], result[l3 + 1]) == (ttl, 4)
    assert int.from_bytes(result[l3 + 20 : l3 + 22]) == port


@given(
    payload=st.binary(max_size=64),
    proto=st.sampled_from([TCP, UDP]),
    dst=st.binary(min_size=16, max_size=16),
    partial=st.booleans(),
)
def test_ipv6_rewrites_keep_the_transport_checksum_right(
    payload: bytes, proto: int, dst: bytes, partial: bool
) -> None:
    frame = ip_frame(proto, _l4(proto, payload), v6=True)
    packet = partial_packet(frame) if partial else plain_packet(with_l4_checksum(frame))
    assert _apply(packet, SetIpv6(dst=dst, ttl=9, label=0x12345, tos=0xAB))
    complete_checksum(packet)
    result = packet.frame()
    assert checksums_are_right(result)
    assert result[38:54] == dst
    assert result[14:18] == bytes.fromhex("6ab12345")


def test_a_udp_checksum_of_zero_stays_none() -> None:
    frame = ip_frame(UDP, _l4(UDP, b"data"))
    packet = plain_packet(frame)
    assert _apply(packet, SetIpv4(dst=bytes([1, 2, 3, 4])), SetUdp(dst=9))
    assert packet.frame()[40:42] == b"\0\0"


def test_later_fragments_keep_their_payload_when_addresses_change() -> None:
    frame = bytearray(ip_frame(UDP, b"payload-of-a-later-fragment"))
    frame[20:22] = b"\x00\x10"
    packet = plain_packet(bytes(frame))
    assert _apply(packet, SetIpv4(src=bytes([9, 9, 9, 9])))
    assert packet.frame()[34:] == bytes(frame[34:])


def test_masked_bits_alone_change() -> None:
    packet = plain_packet(with_l4_checksum(ip_frame(TCP, _l4(TCP, b""))))
    assert _apply(
        packet,
        SetEthernet(dst=bytes.fromhex("00000000aa00"), dst_mask=bytes.fromhex("00000000ff00")),
        SetIpv4(src=bytes([0, 0, 0, 77]), src_mask=bytes([0, 0, 0, 255]), tos=0xB8, tos_mask=0xFC),
    )
    result = packet.frame()
    assert result[:6] == bytes.fromhex("02000000aa02")
    assert result[26:30] == IP_A[:3] + bytes([77])
    assert checksums_are_right(result)


def test_a_tag_is_pushed_and_popped_without_touching_the_rest() -> None:
    frame = with_l4_checksum(ip_frame(TCP, _l4(TCP, b"xyz")))
    packet = plain_packet(frame)
    assert _apply(packet, PushVlan(0x88A8, 0x1007), PushVlan(0x8100, 0x3005))
    tags = bytes.fromhex("8100200588a80007")
    assert packet.frame() == frame[:12] + tags + frame[12:]
    assert _apply(packet, PopVlan(), PopVlan(), PopVlan())
    assert packet.frame() == frame


def test_a_partial_checksum_moves_with_the_frame_when_a_tag_is_pushed() -> None:
    packet = partial_packet(ip_frame(TCP, _l4(TCP, b"xyz")))
    assert _apply(packet, PushVlan(0x8100, 0x1005), SetIpv4(dst=bytes([7, 7, 7, 7])))
    complete_checksum(packet)
    assert checksums_are_right(packet.frame())


@pytest.mark.parametrize(
    "action", [SetIpv4(ttl=1), SetIpv6(ttl=1), SetTcp(src=1), SetUdp(src=1), SetIpv4(src=b"abcd")]
)
@given(noise=st.binary(min_size=14, max_size=80))
def test_rewriting_noise_never_fails_and_never_grows_it(action: Action, noise: bytes) -> None:
    packet = plain_packet(noise)
    _apply(packet, action, Trunc(20))
    assert len(packet.frame()) == len(noise)
