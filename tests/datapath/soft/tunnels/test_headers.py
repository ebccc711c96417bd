"""Tunnel headers: what is written reads back, and nothing else passes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.soft.tunnels.encapsulation import Encapsulation
from actors.datapath.soft.tunnels.geneve import Geneve
from actors.datapath.soft.tunnels.gre import gre_header, gre_header_with_checksum, read_gre
from actors.datapath.soft.tunnels.vxlan import Vxlan
from actors.packets.checksum import internet_checksum

VNI = 0xABCDEF
FRAME = bytes(range(60))
frames = st.binary(min_size=14, max_size=200)
vnis = st.integers(0, (1 << 24) - 1)
keys = st.integers(0, (1 << 32) - 1)
over_udp = pytest.mark.parametrize("kind", [Vxlan(), Geneve()], ids=["vxlan", "geneve"])


@over_udp
@given(vnis, frames, st.binary(max_size=20))
def test_a_frame_over_udp_comes_out_as_it_went_in(
    kind: Encapsulation, vni: int, frame: bytes, before: bytes
) -> None:
    header = kind.header(vni)
    datagram = before + header + frame
    at = len(before)
    assert kind.read(memoryview(datagram), at, len(datagram)) == (vni, at + len(header))


@over_udp
@given(keys)
def test_a_larger_key_goes_without_what_exceeds_24_bits(kind: Encapsulation, key: int) -> None:
    assert kind.header(key) == kind.header(key & 0xFFFFFF)


@over_udp
def test_a_header_cut_short_is_none(kind: Encapsulation) -> None:
    header = kind.header(VNI)
    for length in range(len(header)):
        assert kind.read(memoryview(header + FRAME), 0, length) is None


@over_udp
@given(st.binary(max_size=64))
def test_garbage_over_udp_is_refused_or_lies_within_the_datagram(
    kind: Encapsulation, garbage: bytes
) -> None:
    read = kind.read(memoryview(garbage), 0, len(garbage))
    assert read is None or (0 <= read[0] < 1 << 24 and 8 <= read[1] <= len(garbage))


def _geneve(first: int = 0, flags: int = 0, protocol: int = 0x6558, low: int = 0) -> bytes:
    return struct.pack("!BBHI", first, flags, protocol, VNI << 8 | low)


@pytest.mark.parametrize(
    "header",
    [
        _geneve(first=0x40),
        _geneve(first=0xC0),
        _geneve(flags=0x80),
        _geneve(flags=0x40),
        _geneve(protocol=0x0800),
        _geneve(first=16),
    ],
    ids=["version 1", "version 3", "control", "critical", "not Ethernet", "options too long"],
)
def test_what_is_no_frame_in_geneve_is_refused(header: bytes) -> None:
    datagram = header + FRAME
    assert Geneve().read(memoryview(datagram), 0, len(datagram)) is None


@given(st.integers(0, 0x3F), st.integers(0, 0x3F), st.integers(0, 0xFF), frames)
def test_geneve_options_that_are_not_critical_are_skipped(
    words: int, reserved: int, low: int, frame: bytes
) -> None:
    datagram = _geneve(first=words, flags=reserved, low=low) + bytes(words * 4) + frame
    assert Geneve().read(memoryview(datagram), 0, len(datagram)) == (VNI, 8 + words * 4)


@given(keys, frames, st.binary(max_size=24))
def test_a_frame_in_gre_comes_out_as_it_went_in(key: int, frame: bytes, before: bytes) -> None:
    at = len(before)
    packet = before + gre_header(key) + frame
    assert read_gre(memoryview(packet), at, len(packet)) == (key, at + 8)


@given(keys, frames)
def test_a_gre_checksum_is_right_and_its_frame_refused_as_by_the_kernel(
    key: int, frame: bytes
) -> None:
    packet = gre_header_with_checksum(key, memoryview(frame)) + frame
    assert internet_checksum(packet) == 0
    assert packet[8:12] == key.to_bytes(4)
    assert read_gre(memoryview(packet), 0, len(packet)) is None


@pytest.mark.parametrize("bits", [0x0800, 0x0400, 0x0300, 0x00F8])
def test_reserved_bits_of_gre_are_ignored(bits: int) -> None:
    packet = struct.pack("!HHI", 0x2000 | bits, 0x6558, VNI) + FRAME
    assert read_gre(memoryview(packet), 0, len(packet)) == (VNI, 8)


def test_a_sequence_number_in_gre_is_skipped() -> None:
    packet = struct.pack("!HHII", 0x3000, 0x6558, VNI, 77) + FRAME
    assert read_gre(memoryview(packet), 0, len(packet)) == (VNI, 12)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("!HH", 0, 0x6558),
        struct.pack("!HHI", 0x2000, 0x0800, VNI),
        struct.pack("!HHI", 0x2001, 0x6558, VNI),
        struct.pack("!HHI", 0x6000, 0x6558, VNI),
        struct.pack("!HHHHI", 0xA000, 0x6558, 1, 0, VNI),
    ],
    ids=["no key", "IP", "version 1", "routing", "checksum"],
)
def test_what_is_no_keyed_frame_in_gre_is_refused(header: bytes) -> None:
    packet = header + FRAME
    assert read_gre(memoryview(packet), 0, len(packet)) is None


def test_a_gre_header_cut_short_is_none() -> None:
    for header in (gre_header(VNI), struct.pack("!HHII", 0x3000, 0x6558, VNI, 2)):
        for length in range(len(header)):
            assert read_gre(memoryview(header + FRAME), 0, length) is None


@given(st.binary(max_size=64))
def test_garbage_in_gre_is_refused_or_lies_within_the_packet(garbage: bytes) -> None:
    read = read_gre(memoryview(garbage), 0, len(garbage))
    assert read is None or (0 <= read[0] < 1 << 32 and 8 <= read[1] <= len(garbage))
