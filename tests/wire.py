"""Frames for tests: one line each, with addresses as people write them."""

from actors.packets.arp import Arp, arp_reply, arp_request, parse_arp
from actors.packets.errors import PacketError
from actors.packets.ethernet import ethernet_frame, l3_offset
from actors.packets.ipv4 import ipv4_packet, parse_ipv4
from actors.packets.transport import tcp_segment, udp_datagram
from actors.values import ZERO_MAC, format_ip, parse_ip, parse_mac


def udp(
    src_mac: str, dst_mac: str, src: str, dst: str, *, sport: int = 1000, dport: int = 2000,
    ttl: int = 64, vlan: int = 0, payload: bytes = b"hello",
) -> bytes:  # fmt: skip
    a, b = parse_ip(src), parse_ip(dst)
    body = udp_datagram(a, b, sport, dport, payload)
    return ipv4(src_mac, dst_mac, src, dst, 17, body, ttl=ttl, vlan=vlan)


def tcp(
    src_mac: str, dst_mac: str, src: str, dst: str, *, sport: int = 1000, dport: int = 80
) -> bytes:
    body = tcp_segment(parse_ip(src), parse_ip(dst), sport, dport, flags=2)
    return ipv4(src_mac, dst_mac, src, dst, 6, body)


def ping(src_mac: str, dst_mac: str, src: str, dst: str, *, ttl: int = 64, ident: int = 7) -> bytes:
    return ipv4(src_mac, dst_mac, src, dst, 1, echo(8, ident), ttl=ttl)


def echo(kind: int, ident: int = 7) -> bytes:
    """Return an ICMP echo (kind 8) or reply (0) with a right checksum."""
    bare = bytes((kind, 0, 0, 0)) + ident.to_bytes(2) + b"\0\1" + b"data"
    total = sum(int.from_bytes(bare[i : i + 2]) for i in range(0, len(bare), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return bare[:2] + (~total & 0xFFFF).to_bytes(2) + bare[4:]


def icmp_unreachable(src_mac: str, dst_mac: str, src: str, dst: str) -> bytes:
    """Return an ICMP error, about which no error may be sent."""
    body = bytes((3, 1, 0, 0, 0, 0, 0, 0)) + bytes(28)
    return ipv4(src_mac, dst_mac, src, dst, 1, body)


def ipv4(
    src_mac: str, dst_mac: str, src: str, dst: str, proto: int, body: bytes, *,
    ttl: int = 64, vlan: int = 0, fragment: int = 0, tos: int = 0,
) -> bytes:  # fmt: skip
    """Return an IPv4 frame; `fragment` is the header's flags and offset field."""
    packet = ipv4_packet(parse_ip(src), parse_ip(dst), proto, body, ttl=ttl, tos=tos)
    if fragment:
        bare = packet[:6] + fragment.to_bytes(2) + packet[8:10] + b"\0\0" + packet[12:20]
        total = sum(int.from_bytes(bare[i : i + 2]) for i in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        packet = bare[:10] + (~total & 0xFFFF).to_bytes(2) + bare[12:] + packet[20:]
    return ethernet_frame(parse_mac(dst_mac), parse_mac(src_mac), 0x0800, packet, vlan)


def ether(src_mac: str, dst_mac: str, payload: bytes = b"payload", *, vlan: int = 0) -> bytes:
    """Return a frame of no protocol that devices know."""
    return ethernet_frame(parse_mac(dst_mac), parse_mac(src_mac), 0x88B5, payload, vlan)


def who_has(asked: str, mac: str, ip: str) -> bytes:
    """Return the ARP request for `asked` by the machine at `mac` and `ip`."""
    return arp_request(parse_mac(mac), parse_ip(ip), parse_ip(asked))


def is_at(mac: str, ip: str, to_mac: str, to_ip: str) -> bytes:
    """Return the ARP reply by which `ip` says that it is at `mac`."""
    return arp_reply(parse_mac(mac), parse_ip(ip), parse_mac(to_mac), parse_ip(to_ip))


def announce(mac: str, ip: str) -> bytes:
    """Return a gratuitous ARP."""
    return arp_request(parse_mac(mac), parse_ip(ip), parse_ip(ip))


def as_arp(frame: bytes) -> Arp | None:
    try:
        return parse_arp(frame)
    except PacketError:
        return None


def is_arp_request(frame: bytes, target: str) -> bool:
    arp = as_arp(frame)
    return arp is not None and arp.op == 1 and arp.tpa == parse_ip(target) and arp.tha == ZERO_MAC


def ttl_of(frame: bytes) -> int:
    return parse_ipv4(frame).ttl


def addresses_of(frame: bytes) -> tuple[str, str]:
    header = parse_ipv4(frame)
    return format_ip(header.src), format_ip(header.dst)


def icmp_of(frame: bytes) -> tuple[int, int] | None:
    """Return type and code of the ICMP message in a frame, None if it holds none."""
    try:
        header = parse_ipv4(frame)
    except PacketError:
        return None
    at = l3_offset(frame) + header.ihl
    return (frame[at], frame[at + 1]) if header.proto == 1 else None
