from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.packets.checksum import internet_checksum
from actors.packets.errors import PacketError
from actors.packets.ethernet import ethernet_frame
from actors.packets.extract import flow_key_of
from actors.packets.icmp import echo_reply, icmp_error, may_answer_with_error
from actors.packets.ipv4 import header_checksum_ok, ipv4_packet, parse_ipv4
from actors.packets.transport import udp_datagram

HOST_MAC, ROUTER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
HOST, ROUTER, FAR = bytes([10, 0, 1, 1]), bytes([10, 0, 1, 254]), bytes([10, 0, 2, 2])


def _icmp(kind: int, code: int = 0, payload: bytes = b"\x12\x34\0\x01data") -> bytes:
    bare = bytes((kind, code, 0, 0)) + payload
    return bare[:2] + internet_checksum(bare).to_bytes(2) + bare[4:]


def _frame(
    payload: bytes, proto: int = 1, *, src: bytes = HOST, dst: bytes = ROUTER, ttl: int = 9
) -> bytes:
    packet = ipv4_packet(src, dst, proto, payload, ttl=ttl, ident=77, dont_fragment=True)
    return ethernet_frame(ROUTER_MAC, HOST_MAC, 0x0800, packet)


def _udp(size: int = 20, *, src: bytes = HOST, dst: bytes = FAR) -> bytes:
    return _frame(udp_datagram(HOST, FAR, 5, 6, bytes(size)), 17, src=src, dst=dst)


def _allowed(frame: bytes) -> bool:
    return may_answer_with_error(frame, flow_key_of(frame, 1))


@given(st.binary(min_size=4, max_size=100), st.integers(0, 255))
def test_echo_reply_swaps_addresses_and_keeps_checksums_right(payload: bytes, ttl: int) -> None:
    reply = echo_reply(_frame(_icmp(8, 0, payload), ttl=ttl))
    assert reply[:12] == HOST_MAC + ROUTER_MAC
    header = parse_ipv4(reply)
    assert (header.src, header.dst, header.ttl, header.ident) == (ROUTER, HOST, 64, 77)
    assert header_checksum_ok(reply, 14)
    assert reply[34:36] == b"\0\0"
    assert internet_checksum(reply[34:]) == 0
    assert reply[38:] == payload


def test_echo_reply_leaves_the_padding_of_the_link_behind() -> None:
    frame = _frame(_icmp(8))
    assert echo_reply(frame + bytes(10)) == echo_reply(frame)


def test_echo_reply_keeps_a_vlan_tag() -> None:
    frame = _frame(_icmp(8))
    tagged = frame[:12] + bytes.fromhex("81000064") + frame[12:]
    assert echo_reply(tagged)[12:16] == bytes.fromhex("81000064")
    assert echo_reply(tagged)[16:] == echo_reply(frame)[12:]


def test_a_wrong_checksum_stays_wrong_in_the_reply() -> None:
    frame = bytearray(_frame(_icmp(8)))
    frame[-1] ^= 0xFF
    assert internet_checksum(echo_reply(bytes(frame))[34:]) != 0


def test_only_whole_echo_requests_are_answered() -> None:
    fragment = bytearray(_frame(_icmp(8)))
    fragment[20] |= 0x20
    for frame in (_frame(_icmp(0)), _udp(), bytes(fragment), _frame(b"\x08\0"), b""):
        with pytest.raises(PacketError):
            echo_reply(frame)


def test_error_quotes_the_packet_and_goes_to_its_source() -> None:
    about = _udp()
    error = icmp_error(about, 3, 4, ROUTER_MAC, HOST_MAC, ROUTER, rest=1450)
    assert error[:14] == HOST_MAC + ROUTER_MAC + b"\x08\0"
    header = parse_ipv4(error)
    assert (header.src, header.dst, header.proto) == (ROUTER, HOST, 1)
    assert (header.tos, header.ttl) == (0xC0, 64)
    assert header_checksum_ok(error, 14)
    assert internet_checksum(error[34:]) == 0
    assert error[34:36] == b"\x03\x04"
    assert error[38:42] == (1450).to_bytes(4)
    assert error[42:] == about[14:]


def test_error_about_a_large_packet_has_576_bytes() -> None:
    assert len(icmp_error(_udp(1400), 11, 0, ROUTER_MAC, HOST_MAC, ROUTER)) == 14 + 576


def test_error_does_not_quote_link_padding() -> None:
    short = _udp(0)
    padded = icmp_error(short + bytes(18), 11, 0, ROUTER_MAC, HOST_MAC, ROUTER)
    assert padded == icmp_error(short, 11, 0, ROUTER_MAC, HOST_MAC, ROUTER)


def test_error_with_numbers_out_of_range_is_refused() -> None:
    with pytest.raises(PacketError):
        icmp_error(_udp(), 300, 0, ROUTER_MAC, HOST_MAC, ROUTER)


def test_errors_about_ordinary_packets_are_allowed() -> None:
    assert _allowed(_udp())
    assert _allowed(_frame(_icmp(8)))


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12, 200])
def test_no_error_about_an_icmp_error(kind: int) -> None:
    assert not _allowed(_frame(_icmp(kind)))


@pytest.mark.parametrize(
    "source",
    [bytes(4), bytes([127, 0, 0, 1]), bytes([224, 0, 0, 1]), bytes([240, 0, 0, 1]), b"\xff" * 4],
)
def test_no_error_to_a_source_that_names_no_host(source: bytes) -> None:
    assert not _allowed(_udp(src=source))


@pytest.mark.parametrize("destination", [bytes([224, 0, 0, 5]), b"\xff" * 4])
def test_no_error_about_ip_multicast_or_broadcast(destination: bytes) -> None:
    assert not _allowed(_udp(dst=destination))


def test_no_error_about_link_layer_multicast_or_broadcast() -> None:
    assert not _allowed(b"\xff" * 6 + _udp()[6:])
    assert not _allowed(bytes.fromhex("01005e000001") + _udp()[6:])


def test_no_error_about_a_later_fragment() -> None:
    frame = bytearray(_udp())
    frame[21] = 5
    assert not _allowed(bytes(frame))
    first = bytearray(_udp())
    first[20] |= 0x20
    assert _allowed(bytes(first))


def test_no_error_about_what_is_not_ipv4_or_cut_short() -> None:
    assert not _allowed(ethernet_frame(ROUTER_MAC, HOST_MAC, 0x86DD, bytes(40)))
    assert not _allowed(_udp()[:30])
    assert not _allowed(_frame(b""))


@given(st.binary(max_size=80))
def test_any_bytes_behind_an_ipv4_header_get_an_answer_or_a_packet_error(data: bytes) -> None:
    for frame in (_udp()[:14] + data, _frame(data), data):
        for make in (
            echo_reply,
            lambda f: icmp_error(f, 11, 0, ROUTER_MAC, HOST_MAC, ROUTER),
            _allowed,
        ):
            with suppress(PacketError):
                make(frame)
