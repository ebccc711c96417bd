"""Random packets as values whose fields can be redrawn one by one, and the topologies they enter."""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.packets.arp import arp_reply, arp_request
from actors.packets.ethernet import ethernet_frame
from actors.values import parse_ip, parse_mac
from tests.wire import ipv4

MACHINES = {"a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b", "c": "02:00:00:00:00:0c"}
ROUTER_MACS = ["02:00:00:00:ff:01", "02:00:00:00:ff:02", "02:00:00:00:ff:03", "02:00:00:00:ff:04"]
UNKNOWN_MAC, MULTICAST, BROADCAST = "02:00:00:00:99:99", "01:00:5e:00:00:05", "ff:ff:ff:ff:ff:ff"

TOPOLOGIES = [
    """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, b: {host: h1, interface: b}, c: {host: h2, interface: c}}}
""",
    """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
routers:
  edge:
    ports:
      a: {host: h1, interface: a, address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      b: {host: h1, interface: b, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      c: {host: h2, interface: c, address: 10.0.3.1/24, mac: "02:00:00:00:ff:03"}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.11}
      - {to: 10.9.0.0/16, via: 10.0.3.11}
      - {to: 10.9.7.0/24, from: 10.0.1.0/28, via: 10.0.2.11}
      - {to: 10.8.0.0/16, action: blackhole}
      - {to: 10.7.0.0/16, action: reject}
""",
    """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web: {ports: {a: {host: h1, interface: a}, gw: {peer: edge/web}, bb: {peer: mid/bb}}}
  mid: {ports: {bb: {}, c: {host: h2, interface: c}}}
  db: {ports: {b: {host: h1, interface: b}, gw: {peer: core/db}}}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      core: {address: 10.0.3.1/30, mac: "02:00:00:00:ff:03", peer: core/edge}
    routes:
      - {to: 10.0.2.0/24, via: 10.0.3.2}
      - {to: 10.9.0.0/16, via: 10.0.3.2}
      - {to: 10.8.0.0/16, from: 10.0.1.0/28, via: 10.0.3.2}
  core:
    ports:
      edge: {address: 10.0.3.2/30, mac: "02:00:00:00:ff:04"}
      db: {address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
    routes:
      - {to: 10.0.1.0/24, via: 10.0.3.1}
      - {to: 10.9.1.0/24, via: 10.0.2.11}
""",
]


class Fields(Struct, frozen=True):
    """What a test packet is made of; each kind of frame uses some."""

    link: str
    eth_src: str
    eth_dst: str
    vlan: int
    kind: str
    ip_src: str
    ip_dst: str
    proto: int
    ttl: int
    tos: int
    fragment: int
    first: int
    """Source port, or ICMP type."""
    second: int
    """Destination port, or ICMP code."""
    op: int
    sha: str
    tha: str
    payload: bytes

    def frame(self) -> bytes:
        src, dst = parse_mac(self.eth_src), parse_mac(self.eth_dst)
        if self.kind == "ipv4":
            return self._ipv4()
        if self.kind == "arp":
            spa, tpa = parse_ip(self.ip_src), parse_ip(self.ip_dst)
            sha = parse_mac(self.sha)
            if self.op == 1:
                body = arp_request(sha, spa, tpa)[14:]
            else:
                body = arp_reply(sha, spa, parse_mac(self.tha), tpa)[14:]
            return ethernet_frame(dst, src, 0x0806, body, self.vlan)
        ethertype = 0x86DD if self.kind == "ipv6" else 0x88B5
        body = bytes((0x60, 0, 0, 0, 0, 0, 59, self.ttl)) + bytes(30) + self.payload + bytes(2)
        return ethernet_frame(dst, src, ethertype, body, self.vlan)

    def _ipv4(self) -> bytes:
        if self.proto == 1:
            body = bytes((self.first, self.second, 0, 0)) + bytes(28)
        elif self.proto == 6:
            body = self._ports() + bytes(8) + b"\x50\x02" + bytes(6)
        else:
            body = self._ports() + bytes(12)
        return ipv4(
            self.eth_src, self.eth_dst, self.ip_src, self.ip_dst, self.proto,
            body + self.payload, ttl=self.ttl, vlan=self.vlan, fragment=self.fragment,
            tos=self.tos,
        )  # fmt: skip

    def _ports(self) -> bytes:
        return self.first.to_bytes(2) + self.second.to_bytes(2)


_MACS = [*MACHINES.values(), *ROUTER_MACS, UNKNOWN_MAC, MULTICAST, BROADCAST]
_IPS = [
        "10.0.1.11", "10.0.1.12", "10.0.2.11", "10.0.2.12", "10.0.3.11", "10.0.3.2", "10.0.1.1",
        "10.0.2.1", "10.0.3.1", "10.9.1.1", "10.9.1.2", "10.9.7.7", "10.8.0.1", "10.7.0.1",
        "172.16.0.1", "10.0.1.255", "224.0.0.5", "127.0.0.1", "255.255.255.255",
]  # fmt: skip
POOLS: dict[str, list[Any]] = {
    "link": ["a", "b"],
    "eth_src": _MACS,
    "eth_dst": _MACS,
    "vlan": [0, 0, 0, 0, 5, 0x2005],
    "kind": ["ipv4", "ipv4", "ipv4", "ipv4", "arp", "other", "ipv6"],
    "ip_src": _IPS,
    "ip_dst": _IPS,
    "proto": [1, 1, 6, 17, 47, 132],
    "ttl": [0, 1, 2, 64, 64, 64, 255],
    "tos": [0, 4, 255],
    "fragment": [0, 0, 0, 0x2000, 5, 0x4000],
    "first": [0, 3, 8, 8, 11, 80],
    "second": [0, 0, 1, 53],
    "op": [1, 2, 3],
    "sha": _MACS,
    "tha": _MACS,
    "payload": [b"", b"x", b"a longer payload"],
}

_TALKS = [
    [("a", "10.0.1.11", MACHINES["b"], "10.0.1.12"), ("a", "10.0.1.11", MACHINES["c"], "10.0.1.13"),
     ("b", "10.0.1.12", UNKNOWN_MAC, "10.0.1.99")],
    [("a", "10.0.1.11", ROUTER_MACS[0], "10.0.2.11"), ("a", "10.0.1.11", ROUTER_MACS[0], "10.0.3.11"),
     ("a", "10.0.1.11", ROUTER_MACS[0], "10.9.1.1"), ("a", "10.0.1.11", ROUTER_MACS[0], "10.9.7.7"),
     ("b", "10.0.2.11", ROUTER_MACS[1], "10.0.1.11"), ("a", "10.0.1.11", ROUTER_MACS[0], "172.16.0.1"),
     ("b", "10.0.2.11", ROUTER_MACS[1], "172.16.0.1"), ("a", "10.0.1.11", ROUTER_MACS[0], "10.0.1.1")],
    [("a", "10.0.1.11", ROUTER_MACS[0], "10.0.2.11"), ("a", "10.0.1.11", ROUTER_MACS[0], "10.9.1.1"),
     ("b", "10.0.2.11", ROUTER_MACS[1], "10.0.1.11"), ("a", "10.0.1.11", ROUTER_MACS[0], "10.8.0.1")],
]  # fmt: skip


def random_packet(random: Random, topology: int) -> Fields:
    """Return any packet, or one that machines might send, perhaps with something odd about it."""
    if random.random() < 0.2:
        return Fields(**{name: random.choice(pool) for name, pool in POOLS.items()})
    link, src, mac, dst = random.choice(_TALKS[topology])
    own = MACHINES[link]
    sender = random.choice([own, own, own, *ROUTER_MACS])
    proto, kind = random.choice([1, 6, 17, 47]), random.choice([0, 3, 8])
    packet = Fields(
        link, sender, mac, 0, "ipv4", src, dst, proto, 64, 0, 0, kind, 0, 1, own, own, b""
    )
    if random.random() < 0.2:
        asked = random.choice([dst, "10.0.1.1", "10.0.2.1", "10.0.1.99"])
        packet = replace(packet, kind="arp", eth_dst=BROADCAST, ip_dst=asked)
    for name in random.sample(sorted(POOLS), random.choice([0, 0, 1, 2])):
        packet = replace(packet, **{name: random.choice(POOLS[name])})
    return packet


def relatives(random: Random, first: Fields, matches: Callable[[Fields], bool]) -> list[Fields]:
    """Return packets that match as `first` does: one field redrawn, or all that are open."""
    found = []
    redrawn = first
    for name, pool in POOLS.items():
        fit = [
            other
            for value in pool
            if value != getattr(first, name) and matches(other := replace(first, **{name: value}))
        ]
        if fit:
            found.append(random.choice(fit))
            both = replace(redrawn, **{name: getattr(random.choice(fit), name)})
            redrawn = both if matches(both) else redrawn
    return [*found, redrawn]


def warm_up(topology: int) -> list[tuple[str, Fields]]:
    """Return frames by which devices learn where the machines are."""
    nets = {"a": "10.0.1.11", "b": "10.0.2.11", "c": "10.0.3.11"}
    gateways = {"a": "10.0.1.1", "b": "10.0.2.1", "c": "10.0.3.1"}
    return [
        (
            link,
            Fields(
                link, mac, BROADCAST, 0, "arp", nets[link], gateways[link], 0, 0, 0, 0, 0, 0, 1,
                mac, mac, b"",
            ),
        )
        for link, mac in MACHINES.items()
        if topology != 2 or link != "c"
    ]  # fmt: skip
