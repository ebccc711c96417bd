"""Frames in words: for any bytes, and the same before and after a router."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.packets.extract import flow_key_of
from actors.packets.frame_text import changes_text, frame_text
from actors.packets.rewrite import frame_with
from actors.values import parse_ip, parse_mac
from tests.packets.frames import broken_frames, frames
from tests.wire import ether, icmp_unreachable, ipv4, is_at, ping, tcp, udp, who_has

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (udp(A, B, "10.0.1.1", "10.0.2.1"), "udp 10.0.1.1:1000 > 10.0.2.1:2000 ip_id=0 length=47"),
        (udp(A, B, "10.0.1.1", "10.0.2.1", vlan=5),
         "udp 10.0.1.1:1000 > 10.0.2.1:2000 ip_id=0 vlan=5 length=51"),
        (tcp(A, B, "10.0.1.1", "10.0.2.1"),
         "tcp 10.0.1.1:1000 > 10.0.2.1:80 flags=S seq=0 ip_id=0 length=54"),
        (ping(A, B, "10.0.1.1", "10.0.2.1", ident=9),
         "icmp 10.0.1.1 > 10.0.2.1 echo-request id=9 seq=1 ip_id=0 length=46"),
        (icmp_unreachable(A, B, "10.0.1.1", "10.0.2.1"),
         "icmp 10.0.1.1 > 10.0.2.1 type=3 code=1 ip_id=0 length=70"),
        (ipv4(A, B, "10.0.1.1", "10.0.2.1", 17, bytes(16), fragment=5),
         "udp 10.0.1.1 > 10.0.2.1 later-fragment ip_id=0 length=50"),
        (ipv4(A, B, "10.0.1.1", "10.0.2.1", 47, b""),
         "proto=47 10.0.1.1 > 10.0.2.1 ip_id=0 length=34"),
        (who_has("10.0.1.1", A, "10.0.1.2"), "arp who-has 10.0.1.1 tell 10.0.1.2"),
        (is_at(A, "10.0.1.1", B, "10.0.1.2"), f"arp 10.0.1.1 is-at {A} to 10.0.1.2"),
        (ether(A, B), f"{A} > {B} ethertype=0x88b5 length=21"),
        (b"short", "a frame of 5 bytes has no whole Ethernet header"),
    ],
)  # fmt: skip
def test_frame_is_told_by_what_routers_leave_alone(frame: bytes, text: str) -> None:
    assert frame_text(frame) == text


@given(st.one_of(st.binary(max_size=120), frames(), broken_frames()))
def test_any_bytes_have_a_text(frame: bytes) -> None:
    assert "\n" not in frame_text(frame)


def test_text_stays_when_a_router_rewrites() -> None:
    frame = ping(A, B, "10.0.1.1", "10.0.2.1")
    entered = flow_key_of(frame, 1)
    onward = replace(entered, eth_src=parse_mac(B), eth_dst=parse_mac(A), ip_ttl=63)
    assert frame_text(frame_with(frame, entered, onward)) == frame_text(frame)
    assert changes_text(entered, onward) == f"eth_src={B},eth_dst={A},ttl=63"
    assert changes_text(entered, entered) == ""
    assert changes_text(entered, replace(entered, ip_src=parse_ip("10.9.9.9"), l4_src=4)) == (
        "src=10.9.9.9,src_port=4"
    )
