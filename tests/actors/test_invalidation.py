"""No flow outlives what it was made of: whatever changes, flows do what a fresh simulation would.

Random traffic and random changes of the topology, then probes. A probe that installed flows
handle alone must come out as it does once all flows are gone.
"""

from random import Random

from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from actors.messages.operator import StopRequested
from actors.packets.extract import flow_key_of
from actors.values import ActorName
from tests.network import Network
from tests.wire import announce, as_arp, ether, icmp_unreachable, tcp, udp, who_has

BASE = """
ayatori: 1
tunnel_zones: {dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}}
bridges:
  web:
    ports:
      a: {host: h1, interface: a}
      b: {host: h1, interface: b}
      c: {host: h2, interface: c}
      x: {peer: mid/x}
      gw: {peer: edge/web}
  mid:
    ports:
      x: {}
      d: {host: h2, interface: d}
routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:ff:01"}
      up: {host: h1, interface: up, address: 10.0.2.1/24, mac: "02:00:00:00:ff:02"}
      far: {host: h2, interface: far, address: 10.0.3.1/24, mac: "02:00:00:00:ff:03"}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.11}
      - {to: 10.9.0.0/16, via: 10.0.3.11}
      - {to: 10.9.7.0/24, via: 10.0.3.11}
      - {to: 10.8.0.0/16, from: 10.0.1.11/32, via: 10.0.2.11}
"""
CHANGES = [
    ("interface: b}", "interface: b, admin_up: false}"),
    ("      b: {host: h1, interface: b}\n", ""),
    ("      b: {host: h1, interface: b}", "      bb: {host: h1, interface: b}"),
    ("host: h2, interface: c", "host: h2, interface: d2"),
    ("  web:\n    ports", "  web:\n    admin_up: false\n    ports"),
    ("  mid:\n    ports", "  mid:\n    admin_up: false\n    ports"),
    ("      x: {peer: mid/x}\n", ""),
    ("      gw: {peer: edge/web}\n", ""),
    ("  edge:\n    ports", "  edge:\n    admin_up: false\n    ports"),
    ('"02:00:00:00:ff:01"', '"02:00:00:00:ff:09"'),
    ('"02:00:00:00:ff:02"', '"02:00:00:00:00:0a"'),
    ("10.0.1.1/24", "10.0.1.254/24"),
    ("10.0.2.1/24", "10.0.2.1/28"),
    ("interface: up,", "interface: up, admin_up: false,"),
    ("      - {to: 10.9.0.0/16, via: 10.0.3.11}\n", ""),
    ("{to: 10.9.0.0/16, via: 10.0.2.11}", "{to: 10.9.0.0/16, via: 10.0.2.12}"),
    ("      - {to: 10.9.7.0/24, via: 10.0.3.11}\n", ""),
    ("via: 10.0.3.11}\n      - {to: 10.8", "action: blackhole}\n      - {to: 10.8"),
    ("from: 10.0.1.11/32", "from: 10.0.1.0/24"),
    ("    routes:\n", "    routes:\n      - {to: 0.0.0.0/0, via: 10.0.2.12}\n"),
    ("    routes:\n", "    routes:\n      - {to: 172.16.5.0/24, action: reject}\n"),
]
MACS = {n: f"02:00:00:00:00:0{n}" for n in "abcdef"}
PLACES = {
    "a": (MACS["a"], "10.0.1.11", "10.0.1.1"),
    "b": (MACS["b"], "10.0.1.12", "10.0.1.1"),
    "c": (MACS["c"], "10.0.1.13", "10.0.1.1"),
    "d": (MACS["d"], "10.0.1.14", "10.0.1.1"),
    "up": (MACS["e"], "10.0.2.11", "10.0.2.1"),
    "far": (MACS["f"], "10.0.3.11", "10.0.3.1"),
}
ROUTER_MACS = ["02:00:00:00:ff:01", "02:00:00:00:ff:02", "02:00:00:00:ff:03"]
DESTINATIONS = [
    "10.0.1.11", "10.0.1.12", "10.0.1.14", "10.0.2.11", "10.0.2.15", "10.0.2.77", "10.0.3.11",
    "10.9.1.1", "10.9.2.2", "10.9.7.1", "10.8.0.1", "172.16.5.1", "172.16.6.1", "10.0.1.254",
]  # fmt: skip


def topology(random: Random) -> str:
    text = BASE
    for old, new in random.sample(CHANGES, random.choice([0, 1, 1, 2, 3])):
        if old == "      gw: {peer: edge/web}\n" or "peer: mid/x" in old:
            text = text.replace("      x: {}\n" if "mid" in old else "\0", "", 1)
        text = text.replace(old, new, 1)
    return text


def packet(random: Random) -> tuple[str, bytes]:
    """Return a link and what its machine sends."""
    link = random.choice(list(PLACES))
    mac, ip, _ = PLACES[link]
    kind = random.random()
    if kind < 0.3:
        other = random.choice([*MACS.values(), "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"])
        return link, ether(mac, other, vlan=random.choice([0, 0, 0, 5]))
    gateway = {"up": ROUTER_MACS[1], "far": ROUTER_MACS[2]}.get(link, ROUTER_MACS[0])
    destination = random.choice(DESTINATIONS)
    if kind < 0.8:
        return link, udp(mac, gateway, ip, destination, sport=random.choice([1, 2, 3]))
    if kind < 0.9:
        return link, tcp(mac, gateway, ip, destination)
    return link, icmp_unreachable(mac, gateway, ip, destination)


def step(random: Random, net: Network, pool: list[tuple[str, bytes]]) -> None:
    """Let something happen."""
    kind = random.random()
    if kind < 0.5:
        for link, frame in random.sample(pool, 10):
            net.send_from(link, frame)
    elif kind < 0.7:
        mac, ip, gateway = PLACES[link := random.choice(list(PLACES))]
        net.send_from(link, random.choice([who_has(gateway, mac, ip), announce(mac, ip)]))
    elif kind < 0.75:
        roamer, there = random.choice(list(MACS.values())), random.choice(list(PLACES))
        net.send_from(there, announce(roamer, "10.0.1.99"))
    elif kind < 0.97:
        net.apply(topology(random))
    else:
        net.advance(random.choice([1, 6, 20]))


def outcome(net: Network, link: str, frame: bytes) -> tuple[list[tuple[str, list[bytes]]], bool]:
    """Return what comes out where, ARP aside, and whether the agents were asked."""
    net.forget()
    before = [host.lane.inputs for host in net.hosts.values()]
    net.send_from(link, frame)
    asked = before != [host.lane.inputs for host in net.hosts.values()]
    out = [
        (name, [each for each in frames if as_arp(each) is None])
        for name, frames in sorted(net.frames.items())
    ]
    return [(name, frames) for name, frames in out if frames], asked


def has_flow(net: Network, link: str, frame: bytes) -> bool:
    """Tell whether a flow at the host of `link` takes care of a frame."""
    datapath = net.host_of(link).datapath
    port = datapath.port(link)
    if port is None:
        return False
    return datapath.datapath.table.lookup(flow_key_of(frame, port.number)) is not None


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, (1 << 64) - 1))
def test_flows_do_what_a_fresh_simulation_would_whatever_changed_before(seed: int) -> None:
    random = Random(seed)
    net = Network.from_yaml(BASE)
    net.hosts["h2"].plug_link("d2")
    for link, (mac, ip, gateway) in PLACES.items():
        net.send(link, who_has(gateway, mac, ip))
    pool = [packet(random) for _ in range(40)]
    for _ in range(random.choice([5, 15, 30])):
        step(random, net, pool)
    net.advance(4)  # nothing waits for a neighbour any more, so that no duplicates are held
    handled = []
    for link, frame in pool:
        if has_flow(net, link, frame):
            first, asked = outcome(net, link, frame)
            if not asked:
                handled.append((link, frame, first))
    event(f"{len(handled) // 5 * 5}+ probes handled by flows")
    for link, frame, first in handled:
        for host in net.hosts.values():
            host.give(ActorName("operator"), StopRequested(net.now, keep_flows=False))
        net.settle()
        again, _ = outcome(net, link, frame)
        assert first == again, (seed, link, frame)
