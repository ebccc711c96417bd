"""Frame: a packet by its fields, and its bytes with every checksum computed from nothing.

What a rewrite should have made of a packet is another Frame: no code is shared with the datapaths.
"""

import struct

from msgspec import Struct

from tests.datapath.soft.frames import ones_sum

MAC_A, MAC_B, MAC_C = (bytes.fromhex(f"0200000000{last:02x}") for last in (0x0A, 0x0B, 0x0C))
IP_A, IP_B, IP_C = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), bytes([172, 16, 5, 3])
IP6_A, IP6_B, IP6_C = (b"\xfd" + bytes(14) + bytes([last]) for last in (1, 2, 3))
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
QTAG, STAG = 0x8100, 0x88A8


class Frame(Struct, frozen=True, kw_only=True):
    """An IP packet in Ethernet; ICMP has its type and code in `sport` and `dport`."""

    eth_dst: bytes = MAC_B
    eth_src: bytes = MAC_A
    tags: tuple[tuple[int, int], ...] = ()
    """TPID and TCI from the outside in."""
    v6: bool = False
    src: bytes | None = None
    dst: bytes | None = None
    tos: int = 0
    ttl: int = 64
    label: int = 0
    fragment: int = 0
    """IPv4's flags and offset."""
    options: bytes = b""
    extensions: bytes = b""
    """IPv6's extension headers; the first is `first_extension`, the last names `proto`."""
    first_extension: int = 0
    proto: int = UDP
    sport: int = 1000
    dport: int = 2000
    tcp_flags: int = 0x18
    payload: bytes = b"what is carried along"
    checksummed: bool = True
    """UDP over IPv4 may go without."""

    def raw(self) -> bytes:
        """The frame as it is on the wire."""
        l4 = self._transport()
        l3 = self._ipv6(l4) if self.v6 else self._ipv4(l4)
        return ethernet(
            0x86DD if self.v6 else 0x0800, l3 + l4, self.eth_dst, self.eth_src, self.tags
        )

    def _addresses(self) -> tuple[bytes, bytes]:
        if self.v6:
            return self.src or IP6_A, self.dst or IP6_B
        return self.src or IP_A, self.dst or IP_B

    def _ipv4(self, l4: bytes) -> bytes:
        src, dst = self._addresses()
        words = 5 + len(self.options) // 4
        first = struct.pack(
            "!BBHHHBB", 0x40 | words, self.tos, words * 4 + len(l4), 7, self.fragment, self.ttl,
            self.proto,
        )  # fmt: skip
        rest = src + dst + self.options
        return first + struct.pack("!H", 0xFFFF - ones_sum(first + b"\0\0" + rest)) + rest

    def _ipv6(self, l4: bytes) -> bytes:
        src, dst = self._addresses()
        header = self.first_extension if self.extensions else self.proto
        word = 6 << 28 | self.tos << 20 | self.label
        length = len(self.extensions) + len(l4)
        return struct.pack("!IHBB", word, length, header, self.ttl) + src + dst + self.extensions

    def _transport(self) -> bytes:
        ports = struct.pack("!HH", self.sport, self.dport)
        if self.fragment & 0x1FFF:
            return self.payload
        if self.proto == TCP:
            l4 = ports + struct.pack("!IIHHHH", 77, 1, 5 << 12 | self.tcp_flags, 100, 0, 0)
            return self._summed(l4 + self.payload, 16)
        if self.proto == UDP:
            l4 = ports + struct.pack("!HH", 8 + len(self.payload), 0) + self.payload
            return self._summed(l4, 6) if self.checksummed else l4
        if self.proto == SCTP:
            l4 = ports + bytes(8) + self.payload
            return l4[:8] + struct.pack("<I", crc32c(l4)) + l4[12:]
        if self.proto in (ICMP, ICMPV6):
            l4 = bytes((self.sport, self.dport)) + b"\0\0" + self.payload
            return self._summed(l4, 2)
        return self.payload

    def _summed(self, l4: bytes, at: int) -> bytes:
        src, dst = self._addresses()
        pseudo = src + dst + struct.pack("!II", len(l4), self.proto)
        value = 0xFFFF - ones_sum((b"" if self.proto == ICMP else pseudo) + l4)
        if self.proto == UDP:
            value = value or 0xFFFF
        return l4[:at] + struct.pack("!H", value) + l4[at + 2 :]


def ethernet(
    ethertype: int,
    payload: bytes,
    dst: bytes = MAC_B,
    src: bytes = MAC_A,
    tags: tuple[tuple[int, int], ...] = (),
) -> bytes:
    """An Ethernet frame; below 0x600 `ethertype` is an 802.3 length."""
    tagged = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return dst + src + tagged + struct.pack("!H", ethertype) + payload


def arp(op: int = 1, *, sha: bytes = MAC_A, spa: bytes = IP_A, tha: bytes = bytes(6),
        tpa: bytes = IP_B, ethertype: int = 0x0806) -> bytes:  # fmt: skip
    """An ARP (or reverse ARP) frame."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + sha + spa + tha + tpa
    return ethernet(ethertype, body, b"\x7f" * 6)


def neighbour(kind: int, *, target: bytes = IP6_B, options: bytes = b"", code: int = 0) -> Frame:
    """A neighbour solicitation (135) or advertisement (136)."""
    return Frame(
        v6=True, proto=ICMPV6, sport=kind, dport=code, ttl=255, payload=bytes(4) + target + options
    )


def link_layer_option(kind: int, mac: bytes) -> bytes:
    """A neighbour discovery option: 1 is the source's address, 2 the target's."""
    return bytes((kind, 1)) + mac


def crc32c(data: bytes) -> int:
    """SCTP's checksum (RFC 4960, appendix B)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def fragment_header(following: int, offset: int = 0, *, more: bool = True) -> bytes:
    """IPv6's fragment extension header; `offset` in units of 8 bytes."""
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 99)


def options_header(following: int, words: int = 0) -> bytes:
    """IPv6's hop-by-hop or destination options: padding of 8 * (words + 1) bytes."""
    length = 6 + 8 * words
    return bytes((following, words, 1, length - 2)) + bytes(length - 2)
