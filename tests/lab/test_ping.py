"""The small ping reads answers as the RFCs write them, and nothing else as an answer."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.lab.ping import Echo, checksum, main, milliseconds, parse_4, parse_6, request

IP = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 63, 1, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")


def test_a_request_has_a_checksum_that_verifies() -> None:
    message = request(7, 1, 56, six=False)
    assert len(message) == 64
    assert checksum(message) == 0


def test_checksum_of_rfc_1071s_example() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


def test_a_reply_is_read_with_its_ttl() -> None:
    reply = IP + b"\0" + request(7, 3, 56, six=False)[1:]
    assert parse_4(reply, "10.0.0.1", 7) == Echo(3, "10.0.0.1", 64, 63)
    assert parse_4(reply, "10.0.0.1", 8) is None


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (3, 1, "Destination unreachable: host"),
        (3, 13, "Destination unreachable: prohibited"),
        (3, 99, "Destination unreachable: code 99"),
        (11, 0, "Time to live exceeded"),
    ],
)
def test_an_error_about_a_request_is_told_with_its_reason(kind: int, code: int, said: str) -> None:
    quoted = IP + request(7, 3, 0, six=False)
    packet = IP + struct.pack("!BBHI", kind, code, 0, 0) + quoted
    echo = parse_4(packet, "10.0.0.254", 7)
    assert echo is not None
    assert (echo.sequence, echo.source, echo.error) == (3, "10.0.0.254", said)
    assert parse_4(packet, "10.0.0.254", 8) is None


@pytest.mark.parametrize(
    ("taken", "said"), [(0.0731, "0.0731"), (13.52, "13.5"), (126.4, "126"), (1300.2, "1300")]
)
def test_a_time_is_told_in_digits_alone(taken: float, said: str) -> None:
    assert milliseconds(taken) == said


def test_an_icmpv6_reply_is_read() -> None:
    message = b"\x81" + request(7, 3, 8, six=True)[1:]
    assert parse_6(message, "2001:db8::1", 7) == Echo(3, "2001:db8::1", 16, None)


@given(st.binary(max_size=120), st.sampled_from((b"", IP, IP + b"\3\1\0\0\0\0\0\0")))
def test_no_packet_is_an_error(tail: bytes, head: bytes) -> None:
    parse_4(head + tail, "10.0.0.1", 7)
    parse_6(tail, "::1", 7)


@pytest.mark.parametrize("arguments", [["10.0.0.1", "-c", "0"], ["10.0.0.1", "-s", "70000"], []])
def test_wrong_options_are_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
