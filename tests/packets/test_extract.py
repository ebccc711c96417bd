"""flow_key_of against what the openvswitch module's key_extract() makes of the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.packets.arp import arp_request
from actors.packets.errors import PacketError
from actors.packets.ethernet import ethernet_frame
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import FRAG_FIRST, FRAG_LATER, FRAG_NONE, FlowKey, TunnelKey
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import tcp_segment, udp_datagram
from actors.values import IpAddress, Mac
from tests.packets.frames import broken_frames

A_MAC, B_MAC = Mac(bytes.fromhex("020000000001")), Mac(bytes.fromhex("020000000002"))
A, B = IpAddress(bytes([10, 0, 1, 1])), IpAddress(bytes([10, 0, 2, 2]))
A6, B6 = IpAddress(b"\xfd" + bytes(14) + b"\1"), IpAddress(b"\xfd" + bytes(14) + b"\2")
NONE4 = bytes(4)


def _ethernet(ethertype: int, payload: bytes) -> bytes:
    return ethernet_frame(B_MAC, A_MAC, ethertype, payload)


def _key_of(ethertype: int, payload: bytes) -> FlowKey:
    return flow_key_of(_ethernet(ethertype, payload), 3)


def _tcp4(flags: int = 0x012) -> bytes:
    return ipv4_packet(A, B, 6, tcp_segment(A, B, 1000, 80, flags=flags), ttl=63, tos=4)


def _ipv6(next_header: int, body: bytes) -> bytes:
    head = bytes.fromhex("6b812345") + len(body).to_bytes(2) + bytes((next_header, 61))
    return head + A6 + B6 + body


def test_tcp_over_ipv4_fills_every_layer() -> None:
    assert _key_of(0x0800, _tcp4()) == FlowKey(
        in_port=3, tunnel=None, eth_src=A_MAC, eth_dst=B_MAC, ethertype=0x0800,
        ip_src=A, ip_dst=B, ip_proto=6, ip_tos=4, ip_ttl=63, ip_frag=FRAG_NONE,
        l4_src=1000, l4_dst=80, tcp_flags=0x012,
    )  # fmt: skip


def test_all_twelve_tcp_flags_are_kept() -> None:
    assert _key_of(0x0800, _tcp4(0xFFF)).tcp_flags == 0xFFF


def test_the_tunnel_and_port_are_passed_on() -> None:
    tunnel = TunnelKey(7, A, B)
    key = flow_key_of(_ethernet(0x0800, _tcp4()), 9, tunnel)
    assert key.in_port == 9
    assert key.tunnel is tunnel


def test_one_tag_is_read_and_its_cfi_bit_marks_presence() -> None:
    tagged = _ethernet(0x0800, _tcp4())[:12] + bytes.fromhex("81006064")
    key = flow_key_of(tagged + _ethernet(0x0800, _tcp4())[12:], 3)
    assert (key.vlan_tpid, key.vlan_tci, key.cvlan_tci) == (0x8100, 0x7064, 0)
    assert (key.ethertype, key.l4_dst) == (0x0800, 80)


def test_two_tags_are_read_and_a_third_is_the_ethertype() -> None:
    inner = bytes.fromhex("00020800") + _tcp4()
    two = _key_of(0x88A8, bytes.fromhex("00018100") + inner)
    assert (two.vlan_tpid, two.vlan_tci) == (0x88A8, 0x1001)
    assert (two.cvlan_tpid, two.cvlan_tci) == (0x8100, 0x1002)
    assert two.l4_src == 1000
    three = _key_of(0x88A8, bytes.fromhex("0001810000028100") + inner)
    assert three.ethertype == 0x8100
    assert three.ip_src == b""


def test_a_cut_off_tag_is_the_ethertype() -> None:
    key = _key_of(0x8100, b"\0\1\x08")
    assert (key.ethertype, key.vlan_tci, key.vlan_tpid) == (0x8100, 0, 0)


def test_802_3_frames_have_no_ethertype_unless_snap_names_one() -> None:
    assert _key_of(38, bytes.fromhex("424203") + bytes(35)).ethertype == 0
    snap = bytes.fromhex("aaaa03000000")
    assert _key_of(60, snap + b"\x08\0" + _tcp4()).l4_dst == 80
    assert _key_of(60, snap + b"\0\x26" + bytes(40)).ethertype == 0
    assert _key_of(60, bytes.fromhex("aaaa0300000c2000")).ethertype == 0
    assert _key_of(3, snap).ethertype == 0


def test_arp_uses_the_address_and_protocol_fields() -> None:
    key = flow_key_of(arp_request(A_MAC, A, B), 1)
    assert (key.ip_proto, key.ip_src, key.ip_dst) == (1, A, B)
    assert (key.arp_sha, key.arp_tha) == (A_MAC, bytes(6))
    assert (key.ip_ttl, key.ip_tos, key.l4_src) == (0, 0, 0)


def test_an_arp_opcode_above_255_reads_as_zero() -> None:
    frame = bytearray(arp_request(A_MAC, A, B))
    frame[20] = 1
    assert flow_key_of(bytes(frame), 1).ip_proto == 0


def test_other_or_short_arp_gives_zeros() -> None:
    frame = arp_request(A_MAC, A, B)
    wrong = frame[:14] + b"\0\6" + frame[16:]
    for broken in (wrong, frame[:41]):
        key = flow_key_of(broken, 1)
        assert (key.ip_proto, key.ip_src, key.arp_sha) == (0, NONE4, bytes(6))


@pytest.mark.parametrize(
    ("bits", "frag", "ports"),
    [(0x2000, FRAG_FIRST, (1000, 80)), (0x2001, FRAG_LATER, (0, 0)), (0x0001, FRAG_LATER, (0, 0))],
)
def test_fragments_are_told_apart(bits: int, frag: int, ports: tuple[int, int]) -> None:
    packet = _tcp4()[:6] + bits.to_bytes(2) + _tcp4()[8:]
    key = _key_of(0x0800, packet)
    assert (key.ip_frag, key.l4_src, key.l4_dst) == (frag, *ports)
    assert (key.ip_src, key.ip_proto) == (A, 6)


def test_a_cut_off_ipv4_header_gives_zeros() -> None:
    for broken in (_tcp4()[:19], b"\x44" + _tcp4()[1:], b"\x4f" + _tcp4()[1:30]):
        key = _key_of(0x0800, broken)
        assert (key.ethertype, key.ip_src, key.ip_dst, key.ip_proto) == (0x0800, NONE4, NONE4, 0)


def test_a_cut_off_transport_header_gives_zero_ports() -> None:
    for length in range(20, 40):
        key = _key_of(0x0800, _tcp4()[:length])
        assert (key.ip_proto, key.l4_src, key.l4_dst, key.tcp_flags) == (6, 0, 0, 0)
    bad_offset = bytearray(_tcp4())
    bad_offset[32] = 0x40
    assert _key_of(0x0800, bytes(bad_offset)).l4_dst == 0


def test_udp_sctp_and_icmp_are_read() -> None:
    udp = ipv4_packet(A, B, 17, udp_datagram(A, B, 5, 6, b""))
    sctp = ipv4_packet(A, B, 132, bytes.fromhex("00050006") + bytes(8))
    icmp = ipv4_packet(A, B, 1, bytes.fromhex("0301") + bytes(6))
    assert (_key_of(0x0800, udp).l4_src, _key_of(0x0800, udp).l4_dst) == (5, 6)
    assert (_key_of(0x0800, sctp).l4_src, _key_of(0x0800, sctp).l4_dst) == (5, 6)
    assert (_key_of(0x0800, icmp).l4_src, _key_of(0x0800, icmp).l4_dst) == (3, 1)


def test_icmpv6_in_ipv4_and_icmp_in_ipv6_are_no_transport() -> None:
    assert _key_of(0x0800, ipv4_packet(A, B, 58, b"\x80\1" + bytes(6))).l4_src == 0
    assert _key_of(0x86DD, _ipv6(1, b"\x08\1" + bytes(6))).l4_src == 0


def test_ipv6_fields_are_read() -> None:
    key = _key_of(0x86DD, _ipv6(17, udp_datagram(A6, B6, 7, 8, b"")))
    assert (key.ip_src, key.ip_dst, key.ip_proto) == (A6, B6, 17)
    assert (key.ip_tos, key.ip_ttl, key.ipv6_label) == (0xB8, 61, 0x12345)
    assert (key.l4_src, key.l4_dst) == (7, 8)


def test_extension_headers_are_walked_to_the_transport() -> None:
    udp = udp_datagram(A6, B6, 7, 8, b"")
    hop_by_hop = bytes((43, 0)) + bytes(6)
    routing = bytes((51, 0)) + bytes(6)
    authentication = bytes((60, 1)) + bytes(10)
    destination = bytes((17, 1)) + bytes(14)
    key = _key_of(0x86DD, _ipv6(0, hop_by_hop + routing + authentication + destination + udp))
    assert (key.ip_proto, key.l4_src, key.l4_dst) == (17, 7, 8)


def test_ipv6_fragments_are_told_apart() -> None:
    udp = udp_datagram(A6, B6, 7, 8, b"")
    first = _key_of(0x86DD, _ipv6(44, bytes.fromhex("1100000100000001") + udp))
    assert (first.ip_frag, first.ip_proto, first.l4_dst) == (FRAG_FIRST, 17, 8)
    later = _key_of(0x86DD, _ipv6(44, bytes.fromhex("1100000800000001") + udp))
    assert (later.ip_frag, later.ip_proto, later.l4_dst) == (FRAG_LATER, 44, 0)


def test_a_cut_off_extension_header_leaves_no_protocol() -> None:
    key = _key_of(0x86DD, _ipv6(0, b"\x11"))
    assert (key.ip_proto, key.ip_src, key.l4_dst) == (59, A6, 0)


def test_a_cut_off_ipv6_header_gives_zeros() -> None:
    key = _key_of(0x86DD, _ipv6(17, b"")[:39])
    assert (key.ip_src, key.ip_proto, key.ipv6_label) == (bytes(16), 0, 0)


def test_neighbour_discovery_is_read() -> None:
    solicitation = bytes.fromhex("8700") + bytes(6) + B6 + b"\1\1" + A_MAC
    key = _key_of(0x86DD, _ipv6(58, solicitation))
    assert (key.l4_src, key.l4_dst) == (135, 0)
    assert (key.nd_target, key.nd_sll, key.nd_tll) == (B6, A_MAC, bytes(6))
    advertisement = bytes.fromhex("8800") + bytes(6) + B6 + b"\2\1" + B_MAC
    assert _key_of(0x86DD, _ipv6(58, advertisement)).nd_tll == B_MAC


def test_a_repeated_or_cut_off_neighbour_option_is_not_believed() -> None:
    option = b"\1\1" + A_MAC
    head = bytes.fromhex("8700") + bytes(6) + B6
    twice = _key_of(0x86DD, _ipv6(58, head + option + option))
    assert (twice.nd_target, twice.nd_sll) == (bytes(16), bytes(6))
    cut = _key_of(0x86DD, _ipv6(58, head + option[:7]))
    assert (cut.nd_target, cut.nd_sll) == (B6, bytes(6))
    endless = _key_of(0x86DD, _ipv6(58, head + b"\1\0" + A_MAC))
    assert (endless.nd_target, endless.nd_sll) == (B6, bytes(6))


def test_an_unknown_ethertype_has_no_upper_layer() -> None:
    key = _key_of(0x88CC, bytes(40))
    assert (key.ethertype, key.ip_src, key.ip_proto) == (0x88CC, b"", 0)


@pytest.mark.parametrize("length", range(14))
def test_a_frame_without_a_whole_ethernet_header_is_refused(length: int) -> None:
    with pytest.raises(PacketError):
        flow_key_of(bytes(length), 1)


@given(st.one_of(broken_frames(), st.binary(max_size=120)))
def test_any_bytes_give_a_key_or_a_packet_error(frame: bytes) -> None:
    if len(frame) < 14:
        with pytest.raises(PacketError):
            flow_key_of(frame, 1)
    else:
        key = flow_key_of(frame, 1)
        assert len(key.ip_src) in (0, 4, 16)
        assert len(key.arp_sha) in (0, 6)
