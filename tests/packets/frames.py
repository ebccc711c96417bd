"""Strategies for frames: well-formed ones of every kind, and broken ones made of them."""

from hypothesis import strategies as st

from actors.packets.arp import arp_reply
from actors.packets.ethernet import ethernet_frame
from actors.packets.flow_key import TunnelKey
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import tcp_segment, udp_datagram
from actors.values import IpAddress

macs = st.binary(min_size=6, max_size=6)
v4 = st.binary(min_size=4, max_size=4)
v6 = st.binary(min_size=16, max_size=16)
ports = st.integers(0, 0xFFFF)
octets = st.integers(0, 0xFF)


@st.composite
def _ipv4_payloads(draw: st.DrawFn) -> bytes:
    src, dst = draw(v4), draw(v4)
    proto = draw(st.sampled_from([1, 6, 17, 132, 58, 47]))
    if proto == 6:
        body = tcp_segment(src, dst, draw(ports), draw(ports), flags=draw(st.integers(0, 0xFFF)))
    elif proto == 17:
        body = udp_datagram(src, dst, draw(ports), draw(ports), draw(st.binary(max_size=8)))
    else:
        body = draw(st.binary(max_size=24))
    packet = bytearray(ipv4_packet(src, dst, proto, body, ttl=draw(octets), tos=draw(octets)))
    packet[6:8] = draw(st.sampled_from([b"\0\0", b"\x20\0", b"\0\5", b"\x40\0"]))
    return bytes(packet)


@st.composite
def _ipv6_payloads(draw: st.DrawFn) -> bytes:
    first = 6 << 28 | draw(st.integers(0, 0x0FFFFFFF))
    chain = [0, 43, 44, 51, 60, 59, 58, 6, 17, 132]
    headers = b""
    next_header = protocol = draw(st.sampled_from(chain))
    for _ in range(draw(st.integers(0, 3))):
        following = draw(st.sampled_from(chain))
        headers += bytes((following, draw(st.sampled_from([0, 0, 1])))) + draw(
            st.sampled_from([bytes(6), b"\0\x08" + bytes(4), b"\0\x01" + bytes(4)])
        )
        protocol = following
    body = draw(st.binary(max_size=40))
    if protocol == 58 and draw(st.booleans()):
        option = bytes((draw(st.sampled_from([1, 2])), 1)) + draw(macs)
        body = bytes((draw(st.sampled_from([135, 136])), 0)) + bytes(6) + draw(v6) + option
    head = first.to_bytes(4) + len(headers + body).to_bytes(2) + bytes((next_header, 64))
    return head + draw(v6) + draw(v6) + headers + body


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Any frame that the flow key has fields for, with up to three tags."""
    kind = draw(st.sampled_from(["ipv4", "ipv6", "arp", "llc", "snap", "other"]))
    if kind == "ipv4":
        ethertype, payload = 0x0800, draw(_ipv4_payloads())
    elif kind == "ipv6":
        ethertype, payload = 0x86DD, draw(_ipv6_payloads())
    elif kind == "arp":
        ethertype = draw(st.sampled_from([0x0806, 0x8035]))
        payload = arp_reply(draw(macs), draw(v4), draw(macs), draw(v4))[14:]
    elif kind == "llc":
        ethertype, payload = draw(st.integers(0, 0x5FF)), draw(st.binary(max_size=20))
    elif kind == "snap":
        ethertype = draw(st.integers(0, 0x5FF))
        payload = b"\xaa\xaa\3\0\0\0\x08\0" + draw(_ipv4_payloads())
    else:
        ethertype, payload = draw(st.integers(0x600, 0xFFFF)), draw(st.binary(max_size=40))
    for _ in range(draw(st.integers(0, 3))):
        payload = draw(ports).to_bytes(2) + ethertype.to_bytes(2) + payload
        ethertype = draw(st.sampled_from([0x8100, 0x88A8]))
    return ethernet_frame(draw(macs), draw(macs), ethertype, payload)


@st.composite
def broken_frames(draw: st.DrawFn) -> bytes:
    """A frame cut anywhere, with bytes changed."""
    frame = bytearray(draw(frames()))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(octets)
    return bytes(frame[: draw(st.integers(0, len(frame)))])


@st.composite
def tunnels(draw: st.DrawFn) -> TunnelKey:
    """A tunnel key as a datapath gives it: both addresses of one family, no zero ones."""
    addresses = draw(st.sampled_from([v4, v6])).filter(any)
    return TunnelKey(
        tun_id=draw(st.integers(0, 0xFFFFFF)),
        src=IpAddress(draw(addresses)),
        dst=IpAddress(draw(addresses)),
        tos=draw(octets),
        ttl=draw(octets),
        tp_src=draw(ports),
        tp_dst=draw(ports),
        dont_fragment=draw(st.booleans()),
        checksum=draw(st.booleans()),
    )
