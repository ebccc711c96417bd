"""Underlay: the network below the tunnels of a bench, where packets are seen and made by hand."""

import struct

from msgspec import Struct

from actors.datapath.odp import constants as odp
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import MAC_C
from tests.datapath.conformance.wire import Wire
from tests.datapath.soft.frames import ones_sum

LOCAL, REMOTE = bytes((192, 168, 77, 1)), bytes((192, 168, 77, 2))
VXLAN, GENEVE, GRE = odp.OVS_VPORT_TYPE_VXLAN, odp.OVS_VPORT_TYPE_GENEVE, odp.OVS_VPORT_TYPE_GRE
UDP_PORTS = {VXLAN: 4789, GENEVE: 6081, GRE: None}
_GRE_PROTO, _UDP_PROTO = 47, 17
_TEB = 0x6558
_MAC = MAC_C


class Outer(Struct, frozen=True, kw_only=True):
    """The headers around a tunnelled frame."""

    kind: int = VXLAN
    src: bytes = REMOTE
    dst: bytes = LOCAL
    tos: int = 0
    ttl: int = 64
    dont_fragment: bool = False
    sport: int = 40000
    """0 for GRE."""
    checksum: bool = False
    key: int = 0x123456
    inner: bytes = b""

    def raw(self, mac: bytes) -> bytes:
        """The frame of the underlay."""
        if self.kind == GRE:
            l4 = struct.pack("!HHI", 0x2000, _TEB, self.key) + self.inner
        else:
            l4 = self._udp()
        flags = 0x4000 if self.dont_fragment else 0
        proto = _GRE_PROTO if self.kind == GRE else _UDP_PROTO
        head = struct.pack("!BBHHHBB", 0x45, self.tos, 20 + len(l4), 1, flags, self.ttl, proto)
        addresses = self.src + self.dst
        head += struct.pack("!H", 0xFFFF - ones_sum(head + addresses)) + addresses
        return mac + _MAC + b"\x08\0" + head + l4

    def _udp(self) -> bytes:
        if self.kind == VXLAN:
            shim = struct.pack("!II", 0x08000000, self.key << 8)
        else:
            shim = struct.pack("!BBHI", 0, 0, _TEB, self.key << 8)
        body = shim + self.inner
        head = struct.pack("!HHH", self.sport, UDP_PORTS[self.kind] or 0, 8 + len(body))
        value = 0
        if self.checksum:
            pseudo = self.src + self.dst + struct.pack("!II", 8 + len(body), _UDP_PROTO)
            value = 0xFFFF - ones_sum(pseudo + head + body) or 0xFFFF
        return head + struct.pack("!H", value) + body


def outer_of(frame: bytes) -> Outer:
    """What is around a frame that went out; its IP header's checksum is right."""
    assert frame[12:14] == b"\x08\0"
    head = frame[14:34]
    assert head[0] == 0x45
    assert ones_sum(head) == 0xFFFF
    _, tos, length, _, flags, ttl, proto, _, src, dst = struct.unpack("!BBHHHBBH4s4s", head)
    l4 = frame[34 : 14 + length]
    common = {
        "src": src, "dst": dst, "tos": tos, "ttl": ttl, "dont_fragment": bool(flags & 0x4000)
    }  # fmt: skip
    assert not flags & 0x3FFF
    if proto == _GRE_PROTO:
        gre_flags, kind, key = struct.unpack_from("!HHI", l4)
        assert (gre_flags, kind) == (0x2000, _TEB)
        return Outer(kind=GRE, sport=0, key=key, inner=l4[8:], **common)
    sport, dport, size, checksum, first, second = struct.unpack_from("!HHHHII", l4)
    assert size == len(l4)
    kind = VXLAN if dport == UDP_PORTS[VXLAN] else GENEVE
    assert dport == UDP_PORTS[kind]
    assert first == (0x08000000 if kind == VXLAN else _TEB)
    assert not second & 0xFF
    if checksum:
        pseudo = src + dst + struct.pack("!II", size, _UDP_PROTO)
        assert ones_sum(pseudo + l4) == 0xFFFF
    return Outer(
        kind=kind, sport=sport, checksum=bool(checksum), key=second >> 8, inner=l4[16:], **common
    )


class Underlay:
    """A link with an address below a bench, a neighbour on it, and a tunnel port of each type."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        host = bench.host
        host.veth("under", host, "under-far")
        host.address("under", "192.168.77.1", 24)
        host.neighbour("under", "192.168.77.2", ":".join(f"{byte:02x}" for byte in _MAC))
        self.mac = bytes.fromhex(host.mac("under").replace(":", ""))
        self.wire = Wire(host, "under-far")
        self.ports = {
            kind: bench.add_vport(f"tunnel{kind}", kind, dst_port=udp_port)
            for kind, udp_port in UDP_PORTS.items()
        }

    def send(self, outer: Outer) -> None:
        """Let a tunnelled frame come in."""
        self.wire.send(outer.raw(self.mac))

    def receive(self) -> Outer:
        """The next tunnelled frame that goes out."""
        return outer_of(self.wire.receive())

    def close(self) -> None:
        """Let the link go; the bench has the rest."""
        self.wire.close()
