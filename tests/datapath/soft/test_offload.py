"""Partial checksums and segmentation, against sums computed word by word."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.soft.offload import complete_checksum, segments
from actors.datapath.soft.packet import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Packet
from tests.datapath.soft.frames import (
    TCP,
    UDP,
    checksums_are_right,
    ip_frame,
    partial_packet,
    tcp_header,
)

_TAG = b"\x81\x00\x00\x05"


@given(payload=st.binary(max_size=200), v6=st.booleans(), tags=st.sampled_from([b"", _TAG]))
def test_a_completed_checksum_is_right(payload: bytes, v6: bool, tags: bytes) -> None:
    for proto, header in (
        (TCP, tcp_header()),
        (UDP, struct.pack("!HHHH", 1, 2, 8 + len(payload), 0)),
    ):
        packet = partial_packet(ip_frame(proto, header + payload, v6=v6, tags=tags))
        complete_checksum(packet)
        assert checksums_are_right(packet.frame())
        assert not packet.needs_csum


@pytest.mark.parametrize("tags", [b"", _TAG])
@pytest.mark.parametrize("v6", [False, True])
def test_tcp_segments_carry_the_stream_on_with_right_headers(v6: bool, tags: bytes) -> None:
    payload = bytes(range(256)) * 20
    whole = ip_frame(
        TCP, tcp_header(flags=0x99, options=b"\1\1\x08\x0a12345678") + payload, v6=v6, tags=tags
    )
    packet = partial_packet(whole, gso_type=GSO_TCPV6 if v6 else GSO_TCPV4, gso_size=1000)
    cut = segments(packet)
    l4 = 14 + len(tags) + (40 if v6 else 20)
    assert len(cut) == 6
    assert b"".join(frame[l4 + 32 :] for frame in cut) == payload
    assert all(checksums_are_right(frame) for frame in cut)
    assert [int.from_bytes(f[l4 + 4 : l4 + 8]) for f in cut] == list(range(1000, 7000, 1000))
    # CWR in the first only, FIN and PSH in the last only.
    assert [f[l4 + 13] for f in cut] == [0x90, 0x10, 0x10, 0x10, 0x10, 0x19]
    if not v6:
        l3 = 14 + len(tags)
        assert [int.from_bytes(f[l3 + 4 : l3 + 6]) for f in cut] == list(range(7, 13))


@pytest.mark.parametrize("v6", [False, True])
def test_udp_segments_are_datagrams_of_their_own(v6: bool) -> None:
    payload = b"x" * 2500
    whole = ip_frame(UDP, struct.pack("!HHHH", 1, 2, 8 + len(payload), 0) + payload, v6=v6)
    cut = segments(partial_packet(whole, gso_type=GSO_UDP_L4, gso_size=1200))
    l4 = 54 if v6 else 34
    assert [int.from_bytes(f[l4 + 4 : l4 + 6]) for f in cut] == [1208, 1208, 108]
    assert all(checksums_are_right(frame) for frame in cut)


@given(
    noise=st.binary(min_size=14, max_size=120),
    start=st.integers(0, 120),
    kind=st.sampled_from([1, 4, 5, 0x81, 7]),
    ethertype=st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00"]),
)
def test_any_bytes_called_gso_give_no_segments_or_whole_ones(
    noise: bytes, start: int, kind: int, ethertype: bytes
) -> None:
    packet = partial_packet(ip_frame(UDP, bytes(8)))
    packet.load(noise[:12] + ethertype + noise[14:])
    packet.needs_csum, packet.csum_start, packet.csum_offset = True, start, 16
    packet.gso_type, packet.gso_size = kind, 10
    assert all(len(frame) <= len(noise) for frame in segments(packet))


@given(size=st.integers(1, 65535), payload=st.integers(1, 65400), v6=st.booleans())
def test_a_segment_size_that_fits_no_packet_gives_no_segments(
    size: int, payload: int, v6: bool
) -> None:
    base = partial_packet(ip_frame(TCP, tcp_header(), v6=v6))
    packet = Packet()
    packet.load(base.frame() + bytes(payload))
    packet.needs_csum, packet.csum_start, packet.csum_offset = True, base.csum_start, 16
    packet.gso_type, packet.gso_size = GSO_TCPV4, size
    cut = segments(packet)
    assert all(checksums_are_right(frame) for frame in (*cut[:1], *cut[-1:]))
    assert sum(len(frame) - len(base.frame()) for frame in cut) in {0, payload}
