"""Packets of new flows a second: through our agent, and through other switches, on the same module.

Each packet is the first of its flow: it has a source MAC address of its own (where it is routed, a
source IP address), so every one is an upcall, a decision, a flow and an execution. The same C
program sends them to each switch, 64 in flight, and counts what arrives.
"""

import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from msgspec import Struct

from actors.packets.arp import arp_reply, arp_request
from actors.packets.ethernet import ethernet_frame
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import udp_datagram
from actors.values import parse_ip, parse_mac
from benchmarks.kernel.c_program import CProgram
from benchmarks.kernel.outcome import Outcome, Rate
from benchmarks.kernel.switches import (
    MissingError,
    agent_bridge,
    agent_routed,
    os_ken,
    vswitchd,
)
from benchmarks.kernel.wires import RECEIVER, SENDER, Wires
from benchmarks.measure import ROUNDS

PACKETS = 1_280
"""A run, of which the median counts."""
MILLISECONDS = 1_500
"""The longest that a run may take."""
_READY = 20.0
"""Seconds that a switch may take until it forwards."""
_OTHER_MAC, _SOURCE_MAC = parse_mac("02:00:00:00:00:02"), parse_mac("02:01:00:00:00:00")
_LEFT_MAC, _RIGHT_MAC = parse_mac("02:00:00:00:01:01"), parse_mac("02:00:00:00:02:01")
_OTHER_IP, _RIGHT_IP = parse_ip("192.0.2.1"), parse_ip("192.0.2.254")
_SOURCE_IP = parse_ip("10.0.0.0")
_MAC_AT, _IP_AT = 8, 26
"""Where the last four bytes of a frame's source MAC address are, and its source IP address."""


class _Entrant(Struct, frozen=True):
    name: str
    switch: Callable[[], AbstractContextManager[None]]
    gateway: bytes = _OTHER_MAC
    """Destination MAC address of the packets."""
    varies_at: int = _MAC_AT
    first: int = 1 << 16
    note: str = ""


_ENTRANTS = (
    _Entrant("our agent: bridge", agent_bridge),
    _Entrant(
        "our agent: bridge, router, bridge", agent_routed, _LEFT_MAC, _IP_AT, 0x0A010000
    ),
    _Entrant("ovs-vswitchd, its normal bridge", vswitchd),
    _Entrant("ovs-vswitchd with os-ken's learning switch", os_ken),
)  # fmt: skip


def rates(program: CProgram) -> tuple[Rate, ...]:
    """Measure one switch after the other."""
    return tuple(_rate(program, entrant) for entrant in _ENTRANTS)


def _rate(program: CProgram, entrant: _Entrant) -> Rate:
    print(entrant.name, file=sys.stderr)
    program.told = {
        "frame": _frame(entrant.gateway).hex(),
        "frame_source": entrant.varies_at,
        "link": SENDER,
        "far_link": RECEIVER,
    }
    try:
        with closing(Wires()), entrant.switch():
            first = _await_forwarding(program, entrant)
            outcomes = [
                program.run(
                    "flows", milliseconds=MILLISECONDS, count=PACKETS, first=first + n * 2 * PACKETS
                )
                for n in range(ROUNDS)
            ]
    except (MissingError, TimeoutError) as failure:
        return Rate(entrant.name, 0.0, 0, 0, str(failure))
    rate = statistics.median(o.replies / o.nanoseconds * 1e9 for o in outcomes)
    arrived = sum(o.replies for o in outcomes)
    return Rate(entrant.name, rate, arrived, arrived + sum(o.errors for o in outcomes))


def _await_forwarding(program: CProgram, entrant: _Entrant) -> int:
    """Let the switch learn where the packets go, until they do; return a fresh number."""
    end = time.monotonic() + _READY
    number = entrant.first
    while True:
        _announce()
        outcome: Outcome = program.run("flows", milliseconds=2_000, count=8, first=number)
        number += 1_000
        if outcome.replies >= 8 and not outcome.errors:
            return number
        if time.monotonic() > end:
            raise TimeoutError(f"forwards nothing within {_READY:.0f} s")


def _announce() -> None:
    """Say at the far end who is there."""
    request = arp_request(_OTHER_MAC, _OTHER_IP, _RIGHT_IP)
    reply = arp_reply(_OTHER_MAC, _OTHER_IP, _RIGHT_MAC, _RIGHT_IP)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((RECEIVER, 0))
        wire.send(request)
        wire.send(reply)


def _frame(destination: bytes) -> bytes:
    datagram = udp_datagram(_SOURCE_IP, _OTHER_IP, 1000, 53, b"x" * 22)
    # C mends the IP header's checksum; UDP's, which covers the addresses, is left out.
    packet = ipv4_packet(_SOURCE_IP, _OTHER_IP, 17, datagram[:6] + bytes(2) + datagram[8:])
    return ethernet_frame(destination, _SOURCE_MAC, 0x0800, packet)
