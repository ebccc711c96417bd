"""Segments are joined exactly when cutting the joined frame gives them back."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.soft.coalesce import join_segments
from actors.datapath.soft.offload import segments
from actors.datapath.soft.packet import GSO_TCPV4, GSO_TCPV6, Packet
from tests.datapath.soft.frames import (
    TCP,
    UDP,
    checksums_are_right,
    ip_frame,
    partial_packet,
    plain_packet,
    tcp_header,
    with_l4_checksum,
)

_OUTER = b"outerhdr"


def _cut(payload: int, *, v6: bool = False, flags: int = 0x18, options: bytes = b"") -> list[bytes]:
    """Segments of 100 bytes as a sender's card would make them."""
    header = tcp_header(flags=flags, options=options)
    whole = ip_frame(TCP, header + bytes(range(256)) * (payload // 256 + 1), v6=v6)
    end = (54 if not v6 else 74) + len(options) + payload
    l3_length = end - 14 if not v6 else end - 54
    at = 16 if not v6 else 18
    whole = whole[:at] + struct.pack("!H", l3_length) + whole[at + 2 : end]
    return segments(partial_packet(whole, gso_type=GSO_TCPV6 if v6 else GSO_TCPV4, gso_size=100))


def _join(frames: list[bytes]) -> tuple[int, Packet]:
    packet = Packet()
    buffer = memoryview(b"".join(_OUTER + frame for frame in frames))
    step = len(_OUTER) + len(frames[0])
    return join_segments(packet, buffer, len(_OUTER), len(_OUTER), step, len(buffer)), packet


@given(payload=st.integers(101, 3000), v6=st.booleans(), options=st.sampled_from([b"", b"\1" * 12]))
def test_what_was_cut_is_joined_and_cut_again_to_the_same(
    payload: int, v6: bool, options: bytes
) -> None:
    frames = _cut(payload, v6=v6, options=options)
    count, packet = _join(frames)
    assert count == len(frames)
    assert segments(packet) == frames


def _with(frame: bytes, at: int, value: bytes, *, resum: bool = True) -> bytes:
    changed = frame[:at] + value + frame[at + len(value) :]
    return with_l4_checksum(changed) if resum else changed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: _with(f, 38, b"\0\0\0\0"),  # sequence
        lambda f: _with(f, 42, b"\0\0\0\7"),  # acknowledgement
        lambda f: _with(f, 47, b"\x11"),  # FIN
        lambda f: _with(f, 47, b"\x90"),  # CWR
        lambda f: _with(f, 48, b"\0\1"),  # window
        lambda f: _with(f, 36, b"\0\x51"),  # port
        lambda f: _with(f, 0, b"\7"),  # Ethernet
        lambda f: _with(f, 100, b"?", resum=False),  # payload against its checksum
        lambda f: _with(f, 24, b"\0\0", resum=False),  # IP header checksum
    ],
)
def test_a_segment_that_differs_ends_the_run(spoil: Callable[[bytes], bytes]) -> None:
    frames = _cut(600)
    frames[2] = spoil(frames[2])
    count, packet = _join(frames)
    assert count == 2
    assert segments(packet) == frames[:2]


def test_a_push_ends_the_run_with_its_segment() -> None:
    frames = _cut(600)
    frames[2] = _with(frames[2], 47, b"\x18")
    count, packet = _join(frames)
    assert count == 3
    assert segments(packet) == frames[:3]


def test_another_tunnel_header_ends_the_run() -> None:
    frames = _cut(300)
    buffer = bytearray(b"".join(_OUTER + frame for frame in frames))
    step = len(_OUTER) + len(frames[0])
    buffer[step] ^= 1
    count = join_segments(Packet(), memoryview(buffer), 8, 8, step, len(buffer))
    assert count == 1


def test_datagrams_of_udp_stay_apart() -> None:
    frame = with_l4_checksum(ip_frame(UDP, struct.pack("!HHHH", 1, 2, 108, 0) + bytes(100)))
    assert checksums_are_right(frame)
    assert _join([frame, frame])[0] == 1


@given(noise=st.lists(st.binary(min_size=60, max_size=60), min_size=2, max_size=4))
def test_noise_is_left_alone(noise: list[bytes]) -> None:
    assert _join(noise)[0] == 1
    assert plain_packet(noise[0]).frame() == noise[0]
