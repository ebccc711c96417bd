"""Upcalls by a socket for each port against one for each CPU: how fast, and how fair.

The real agent (bridge, router, bridge) on the kernel's datapath, started anew for each mode in
turns; every packet is the first of its flow, as its source address is its own. First packets of
new flows a second, from all ports in turn, 64 in flight. Then one port floods from a process of
its own while each of the others sends a new flow now and then: what share of those arrives.
"""

import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct
from pyroute2 import IPRoute

from actors.packets.arp import arp_reply, arp_request
from actors.packets.ethernet import ethernet_frame
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import udp_datagram
from actors.values import parse_ip, parse_mac
from benchmarks.kernel.outcome import SocketsRow
from benchmarks.kernel.switches import agent
from benchmarks.kernel.wires import EXIT, RECEIVER, Wires

Mode = Literal["port", "cpu"]

PORTS = (1, 16, 256)
ROUNDS = 3
"""Starts of the agent for each mode."""
RUNS = 3
"""Of the first measurement, in each round."""
PACKETS = 1_280
IN_FLIGHT = 64
FLOOD_SECONDS = 2.0
SENT_BY_OTHERS = 600
"""Packets that the ports that do not flood send meanwhile, all together."""
_PATIENCE = 60.0
_QUIET = 0.5
"""Seconds without an arrival after which nothing more is waited for."""
_STREAM_AT, _ID_AT, _LOW_AT = 27, 18, 28
_ROUTER_MAC = parse_mac("02:00:00:00:01:01")
_FAR_MAC, _FAR_ROUTER_MAC = parse_mac("02:00:00:00:00:02"), parse_mac("02:00:00:00:02:01")
_FAR_IP, _FAR_ROUTER_IP = parse_ip("192.0.2.1"), parse_ip("192.0.2.254")
_FLOOD_STREAM = 250


class Stream:
    """Frames of new flows from one port: the source is 10.STREAM.x.y, 65,536 of them."""

    def __init__(self, port: int, stream: int) -> None:
        source = bytes((10, stream, 0, 0))
        datagram = udp_datagram(source, _FAR_IP, 1000, 53, b"x" * 22)
        # No checksum of UDP, which covers the addresses; IP's stays right, see `frame`.
        packet = ipv4_packet(source, _FAR_IP, 17, datagram[:6] + bytes(2) + datagram[8:])
        mac = parse_mac(f"02:02:00:00:{port >> 8:02x}:{port & 255:02x}")
        self._frame = bytearray(ethernet_frame(_ROUTER_MAC, mac, 0x0800, packet))
        self._frame[_ID_AT : _ID_AT + 2] = bytes(2)

    def frame(self, number: int) -> bytearray:
        """Return the frame of a flow; the same buffer each time.

        The identification makes up for the address, so that the checksum is that of both as zero
        (in ones' complement their sum, 0xFFFF, is nothing).
        """
        low = number & 0xFFFF
        struct.pack_into(">H", self._frame, _ID_AT, 0xFFFF - low)
        struct.pack_into(">H", self._frame, _LOW_AT, low)
        return self._frame


class Ports:
    """Veths by which many ports' packets enter, and the one by which they all leave."""

    def __init__(self, count: int) -> None:
        self._route = IPRoute()
        self._links = [link_of(number) for number in range(count)]
        for link in self._links:
            self._route.link("add", ifname=link, kind="veth", peer={"ifname": f"{link}-in"})
            for end in (link, f"{link}-in"):
                Path(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6").write_text("1")
                index = self._route.link_lookup(ifname=end)[0]
                self._route.link("set", index=index, state="up")
        self.out = [_wire(link) for link in self._links]
        self.far = _wire(RECEIVER, 0x0800)
        self.far.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._poll = select.poll()
        self._poll.register(self.far, select.POLLIN)

    def close(self) -> None:
        """Remove them."""
        for wire in (*self.out, self.far):
            wire.close()
        for link in self._links:
            self._route.link("del", index=self._route.link_lookup(ifname=link)[0])
        self._route.close()

    def arrivals(self, wait: float) -> Iterator[int]:
        """Yield the stream of each frame that arrived, once `wait` seconds have brought one."""
        if not self._poll.poll(wait * 1000):
            return
        while True:
            try:
                frame = self.far.recv(256, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield frame[_STREAM_AT]

    def announce(self) -> None:
        """Say at the far end who is there."""
        with _wire(RECEIVER) as wire:
            wire.send(arp_request(_FAR_MAC, _FAR_IP, _FAR_ROUTER_IP))
            wire.send(arp_reply(_FAR_MAC, _FAR_IP, _FAR_ROUTER_MAC, _FAR_ROUTER_IP))


def link_of(number: int) -> str:
    """Return the outer end of a port's veth."""
    return f"b{number}"


def _wire(link: str, protocol: int = 0) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    wire.bind((link, protocol))
    return wire


def _document(count: int) -> str:
    ports = "\n".join(
        f"      p{number}: {{host: h1, interface: {link_of(number)}-in}}" for number in range(count)
    )
    return f"""
ayatori: 1
bridges:
  left:
    ports:
{ports}
      gw: {{peer: r/left}}
  right:
    ports:
      b: {{host: h1, interface: {EXIT}}}
      gw: {{peer: r/right}}
routers:
  r:
    ports:
      left: {{address: 10.0.0.1/8, mac: "02:00:00:00:01:01"}}
      right: {{address: 192.0.2.254/24, mac: "02:00:00:00:02:01"}}
"""


class _Found(Struct):
    """What was measured of one mode with one number of ports."""

    rates: list[float]
    arrived: list[float]
    shares: list[float]
    flood: list[float]


def rows() -> tuple[SocketsRow, ...]:
    """Measure all."""
    with closing(Wires()), _ports(max(PORTS)) as ports:
        return tuple(row for count in PORTS for row in _modes(ports, count))


@contextmanager
def _ports(count: int) -> Iterator[Ports]:
    ports = Ports(count)
    try:
        yield ports
    finally:
        ports.close()


def _modes(ports: Ports, count: int) -> tuple[SocketsRow, ...]:
    modes: tuple[Mode, ...] = ("port", "cpu")
    found = {mode: _Found([], [], [], []) for mode in modes}
    for number in range(ROUNDS):
        for mode in modes if number % 2 else modes[::-1]:
            print(f"upcalls by {mode}, {count} ports, round {number + 1}", file=sys.stderr)
            with agent(_document(count), f"upcalls: {mode}"):
                _measure(ports, count, found[mode])
    return tuple(_row(mode, count, found[mode]) for mode in modes)


def _row(mode: Mode, count: int, found: _Found) -> SocketsRow:
    shares, flood = (sorted(values) or [0.0] for values in (found.shares, found.flood))
    return SocketsRow(
        mode, count, statistics.median(found.rates), min(found.rates), max(found.rates),
        statistics.median(found.arrived),
        statistics.median(shares) if found.shares else None, shares[0], shares[-1],
        statistics.median(flood),
    )  # fmt: skip


def _measure(ports: Ports, count: int, found: _Found) -> None:
    _await_forwarding(ports, count)
    for run in range(RUNS):
        _windows(ports, count, 10 + run, found)
    if count > 1:
        _flooded(ports, count, found)


def _await_forwarding(ports: Ports, count: int) -> None:
    """Let the agent learn who is where, until packets of every port arrive."""
    end = time.monotonic() + _PATIENCE
    waiting, number = set(range(count)), 0
    while waiting:
        if time.monotonic() > end:
            raise TimeoutError(f"packets of {len(waiting)} ports do not arrive")
        ports.announce()
        port = min(waiting)
        ports.out[port].send(Stream(port, 1).frame(number))
        number += 1
        if any(True for _ in ports.arrivals(0.2)):
            waiting.discard(port)


def _windows(ports: Ports, count: int, stream: int, found: _Found) -> None:
    """Send windows of new flows, by all ports in turn; note how fast they arrive."""
    streams = [Stream(port, stream) for port in range(count)]
    out = ports.out
    arrived = 0
    begin = time.monotonic()
    for first in range(0, PACKETS, IN_FLIGHT):
        for number in range(first, first + IN_FLIGHT):
            port = number % count
            out[port].send(streams[port].frame(number))
        due = arrived + IN_FLIGHT
        while arrived < due:
            got = sum(1 for which in ports.arrivals(_QUIET) if which == stream)
            if not got:
                break
            arrived += got
    found.rates.append(arrived / (time.monotonic() - begin))
    found.arrived.append(arrived / PACKETS)


def _flooded(ports: Ports, count: int, found: _Found) -> None:
    """Let port 0 flood, and the others send a little; note what share of theirs arrives."""
    streams = [Stream(port, 20) for port in range(count)]
    pause = FLOOD_SECONDS / SENT_BY_OTHERS
    counted = {20: 0, _FLOOD_STREAM: 0}

    def take(wait: float) -> bool:
        before = sum(counted.values())
        for which in ports.arrivals(wait):
            if which in counted:
                counted[which] += 1
        return sum(counted.values()) > before

    words = [sys.executable, "-m", "benchmarks.kernel.upcall_sockets", str(2 * FLOOD_SECONDS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as flood:  # noqa: S603 - our own
        assert flood.stdout is not None
        flood.stdout.readline()  # it floods from now on
        settled = time.monotonic() + FLOOD_SECONDS / 2
        while time.monotonic() < settled:
            take(0.01)
        began = time.monotonic()
        for number in range(SENT_BY_OTHERS):
            port = 1 + number % (count - 1)
            ports.out[port].send(streams[port].frame(number))
            while (wait := began + (number + 1) * pause - time.monotonic()) > 0:
                take(wait)
        sent = int(flood.stdout.readline())
    while take(_QUIET):
        pass
    found.shares.append(counted[20] / SENT_BY_OTHERS)
    found.flood.append(counted[_FLOOD_STREAM] / sent)


def flood(seconds: float) -> None:
    """Send new flows by port 0 as fast as this process can; say so first, then how many."""
    stream = Stream(0, _FLOOD_STREAM)
    frame = stream.frame
    with ExitStack() as stack:
        send = stack.enter_context(_wire(link_of(0))).send
        print(flush=True)
        end, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for number in range(sent, sent + IN_FLIGHT):
                send(frame(number))
            sent += IN_FLIGHT
        print(sent, flush=True)


if __name__ == "__main__":
    flood(float(sys.argv[1]))
