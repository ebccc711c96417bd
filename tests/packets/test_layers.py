"""Ethernet, ARP, IPv4 and transport headers: golden bytes, round trips, cut off input."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.packets.arp import (
    ARP_REPLY,
    ARP_REQUEST,
    Arp,
    arp_reply,
    arp_request,
    gratuitous_arp,
    parse_arp,
)
from actors.packets.checksum import internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ethernet import ethernet_frame, l3_offset, parse_ethernet
from actors.packets.ipv4 import header_checksum_ok, ipv4_packet, parse_ipv4
from actors.packets.transport import (
    parse_tcp,
    parse_udp,
    tcp_segment,
    transport_checksum,
    udp_datagram,
)
from actors.values import IpAddress, Mac

A_MAC, B_MAC = Mac(bytes.fromhex("020000000001")), Mac(bytes.fromhex("020000000002"))
A_IP, B_IP = IpAddress(bytes([10, 0, 1, 1])), IpAddress(bytes([10, 0, 2, 2]))
IPV6 = bytes(15) + b"\1"

GOLDEN_ARP_REQUEST = bytes.fromhex(
    "ffffffffffff 020000000001 0806 0001 0800 06 04 0001020000000001 0a000101 000000000000 0a000202"
)
GOLDEN_UDP = bytes.fromhex(
    "020000000002 020000000001 0800"
    "4500 0020 0007 4000 4011 23c4 0a000101 0a000202"
    "1f90 0035 000c 0448 61626364"
)


def _golden_udp() -> bytes:
    datagram = udp_datagram(A_IP, B_IP, 8080, 53, b"abcd")
    packet = ipv4_packet(A_IP, B_IP, 17, datagram, ident=7, dont_fragment=True)
    return ethernet_frame(B_MAC, A_MAC, 0x0800, packet)


def test_arp_request_has_the_bytes_of_rfc_826() -> None:
    assert arp_request(A_MAC, A_IP, B_IP) == GOLDEN_ARP_REQUEST
    assert len(GOLDEN_ARP_REQUEST) == 42


def test_arp_messages_are_read_as_they_were_built() -> None:
    assert parse_arp(GOLDEN_ARP_REQUEST) == Arp(ARP_REQUEST, A_MAC, A_IP, Mac(bytes(6)), B_IP)
    assert parse_arp(arp_reply(A_MAC, A_IP, B_MAC, B_IP)) == Arp(
        ARP_REPLY, A_MAC, A_IP, B_MAC, B_IP
    )
    announced = parse_arp(gratuitous_arp(A_MAC, A_IP))
    assert announced.spa == announced.tpa == A_IP


def test_arp_behind_a_vlan_tag_is_found() -> None:
    tagged = ethernet_frame(B_MAC, A_MAC, 0x0806, GOLDEN_ARP_REQUEST[14:], vlan_tci=0x64)
    assert parse_arp(tagged) == parse_arp(GOLDEN_ARP_REQUEST)


@pytest.mark.parametrize("at", [12, 15, 17, 18, 19])
def test_arp_about_other_protocols_is_refused(at: int) -> None:
    broken = bytearray(GOLDEN_ARP_REQUEST)
    broken[at] ^= 0x10
    with pytest.raises(PacketError):
        parse_arp(bytes(broken))


def test_ipv4_and_udp_are_built_with_the_right_bytes_and_checksums() -> None:
    frame = _golden_udp()
    assert frame == GOLDEN_UDP
    assert internet_checksum(frame[14:34]) == 0
    assert transport_checksum(A_IP, B_IP, 17, frame[34:]) == 0


def test_ipv4_header_is_read_field_by_field() -> None:
    header = parse_ipv4(GOLDEN_UDP)
    assert (header.ihl, header.total_length, header.tos, header.ident) == (20, 32, 0, 7)
    assert (header.dont_fragment, header.more_fragments, header.frag_offset) == (True, False, 0)
    assert (header.ttl, header.proto, header.src, header.dst) == (64, 17, A_IP, B_IP)
    assert header == parse_ipv4(GOLDEN_UDP, 14)


def test_ipv4_options_count_as_header() -> None:
    bare = bytearray(GOLDEN_UDP[:34] + b"\x94\x04\0\0" + GOLDEN_UDP[34:])
    bare[14] = 0x46
    bare[17] += 4
    bare[24:26] = b"\0\0"
    bare[24:26] = internet_checksum(bare[14:38]).to_bytes(2)
    assert parse_ipv4(bytes(bare)).ihl == 24
    assert header_checksum_ok(bytes(bare), 14)


def test_a_wrong_header_checksum_is_noticed() -> None:
    assert header_checksum_ok(GOLDEN_UDP, 14)
    for at in range(14, 34):
        broken = bytearray(GOLDEN_UDP)
        broken[at] ^= 0x01
        assert not header_checksum_ok(bytes(broken), 14)


def test_payload_is_found_behind_up_to_two_tags() -> None:
    assert l3_offset(GOLDEN_UDP) == 14
    one = ethernet_frame(B_MAC, A_MAC, 0x0800, GOLDEN_UDP[14:], vlan_tci=0x2064)
    assert l3_offset(one) == 18
    two = one[:12] + bytes.fromhex("88a80007") + one[12:]
    assert l3_offset(two) == 22
    assert parse_ipv4(two) == parse_ipv4(GOLDEN_UDP)
    ethernet = parse_ethernet(two)
    assert (ethernet.vlan_tpid, ethernet.vlan_tci, ethernet.ethertype) == (0x88A8, 7, 0x0800)
    assert parse_ethernet(one).vlan_tci == 0x2064


def test_udp_and_tcp_headers_are_read_as_they_were_built() -> None:
    udp = parse_udp(GOLDEN_UDP, 34)
    assert (udp.src, udp.dst, udp.length) == (8080, 53, 12)
    segment = tcp_segment(A_IP, B_IP, 80, 9, b"data", flags=0x112, sequence=7, acknowledgment=8)
    tcp = parse_tcp(segment, 0)
    assert (tcp.src, tcp.dst, tcp.sequence, tcp.acknowledgment) == (80, 9, 7, 8)
    assert (tcp.length, tcp.flags, tcp.window) == (20, 0x112, 0xFFFF)
    assert transport_checksum(A_IP, B_IP, 6, segment) == 0


def test_transport_checksums_cover_ipv6_addresses() -> None:
    datagram = udp_datagram(IPV6, IPV6, 1, 2, b"odd")
    assert transport_checksum(IPV6, IPV6, 17, datagram) == 0


def test_udp_checksum_is_never_sent_as_zero() -> None:
    for payload in range(0x10000):
        datagram = udp_datagram(A_IP, B_IP, 1, 2, payload.to_bytes(2))
        if datagram[6:8] == b"\xff\xff":
            return
        assert datagram[6:8] != b"\0\0"
    pytest.fail("no payload gave the checksum that is replaced")


@pytest.mark.parametrize(
    "build",
    [
        lambda: ethernet_frame(b"short", A_MAC, 0x0800, b""),
        lambda: ethernet_frame(A_MAC, B_MAC, 0x10000, b""),
        lambda: ethernet_frame(A_MAC, B_MAC, 0x0800, b"", vlan_tci=0x10000),
        lambda: arp_request(A_MAC, IPV6, B_IP),
        lambda: ipv4_packet(A_IP, IPV6, 17, b""),
        lambda: ipv4_packet(A_IP, B_IP, 300, b""),
        lambda: ipv4_packet(A_IP, B_IP, 17, bytes(65516)),
        lambda: udp_datagram(A_IP, B_IP, -1, 0, b""),
        lambda: udp_datagram(A_IP, B_IP, 0, 0, bytes(65530)),
        lambda: tcp_segment(A_IP, B_IP, 0, 70000),
    ],
)
def test_what_cannot_be_built_is_a_packet_error(build: Callable[[], bytes]) -> None:
    with pytest.raises(PacketError):
        build()


PARSERS: list[Callable[[bytes], object]] = [
    parse_ethernet,
    l3_offset,
    parse_arp,
    parse_ipv4,
    lambda data: parse_udp(data, 34),
    lambda data: parse_tcp(data, 34),
    lambda data: header_checksum_ok(data, 14),
]


def _total(parse: Callable[[bytes], object], data: bytes) -> None:
    with suppress(PacketError):
        parse(data)


@pytest.mark.parametrize("parse", PARSERS)
def test_every_prefix_of_a_packet_is_read_or_refused(parse: Callable[[bytes], object]) -> None:
    tcp = ipv4_packet(A_IP, B_IP, 6, tcp_segment(A_IP, B_IP, 1, 2, b"x"))
    for frame in (GOLDEN_UDP, GOLDEN_ARP_REQUEST, ethernet_frame(A_MAC, B_MAC, 0x0800, tcp, 5)):
        for length in range(len(frame)):
            _total(parse, frame[:length])


@given(st.sampled_from(PARSERS), st.binary(max_size=80), st.booleans())
def test_random_bytes_are_read_or_refused(
    parse: Callable[[bytes], object], data: bytes, headed: bool
) -> None:
    _total(parse, GOLDEN_UDP[:14] + data if headed else data)
