"""Pings as scenarios need them: one with its answer looked at, and one that runs beside a test."""

import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cli.lab.ping import request
from tests.scenarios.machine import Machine
from tests.scenarios.waiting import PATIENCE, eventually

ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED = 0, 3, 11
ECHO_REPLY_6 = 129
_ECHO = struct.Struct("!BBHHH")
_IP_MTU_DISCOVER, _PMTU_PROBE = 10, 3
"""IP_MTU_DISCOVER and IP_PMTUDISC_PROBE of linux/in.h: set DF, and leave what the path's MTU is out of account."""
_identifiers = itertools.count(0x4000)


class Answer(NamedTuple):
    """What came back: an echo reply (type 0; 129 for IPv6), or an error about the request."""

    kind: int
    code: int
    source: str
    sequence: int
    size: int
    """Bytes of ICMP message."""
    mtu: int = 0
    """Of a `fragmentation needed`."""


class Echo:
    """Echo requests from a machine to an address, by a socket of their own."""

    def __init__(
        self,
        machine: Machine,
        to: str,
        *,
        size: int = 56,
        ttl: int | None = None,
        dont_fragment: bool = False,
    ) -> None:
        self.to = to
        self._size = size
        self._six = ":" in to
        self._identifier = next(_identifiers) & 0xFFFF
        family = socket.AF_INET6 if self._six else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self._six else socket.IPPROTO_ICMP
        self.socket = machine.open(family, socket.SOCK_RAW, protocol)
        if ttl is not None:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        if dont_fragment:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTU_PROBE)

    def send(self, sequence: int = 1) -> None:
        """Send one request. Raises OSError."""
        packet = request(self._identifier, sequence, self._size, six=self._six)
        self.socket.sendto(packet, (self.to, 0))

    def receive(self, patience: float = PATIENCE) -> Answer | None:
        """Return the next answer, None if there is none in `patience` seconds."""
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return None
            packet, source = self.socket.recvfrom(65536)
            answer = self._parse(packet, source[0])
            if answer is not None:
                return answer
        return None

    def _parse(self, packet: bytes, source: str) -> Answer | None:
        message = packet if self._six else packet[(packet[0] & 15) * 4 :]
        kind, code, _, identifier, sequence = _ECHO.unpack_from(message)
        if kind in {ECHO_REPLY, ECHO_REPLY_6}:
            if identifier != self._identifier:
                return None
            return Answer(kind, code, source, sequence, len(message))
        if self._six or kind not in {UNREACHABLE, TIME_EXCEEDED}:
            return None
        inner = message[8:]
        about = inner[(inner[0] & 15) * 4 :]
        _, _, _, whose, which = _ECHO.unpack_from(about)
        if whose != self._identifier:
            return None
        return Answer(kind, code, source, which, len(message), mtu=sequence)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def ping(
    machine: Machine,
    to: str,
    *,
    size: int = 56,
    ttl: int | None = None,
    dont_fragment: bool = False,
    patience: float = PATIENCE,
) -> Answer | None:
    """Send one echo request and return what came back, None if nothing did."""
    echo = Echo(machine, to, size=size, ttl=ttl, dont_fragment=dont_fragment)
    try:
        echo.send()
        return echo.receive(patience)
    finally:
        echo.close()


def reaches(machine: Machine, to: str, *, size: int = 56, dont_fragment: bool = False) -> bool:
    """Tell whether an echo request is answered by a reply of its own size."""
    answer = ping(machine, to, size=size, dont_fragment=dont_fragment)
    return (
        answer is not None
        and answer.kind in {ECHO_REPLY, ECHO_REPLY_6}
        and answer.size == size + _ECHO.size
    )


class RunningPing:
    """A ping that goes on beside the test until it is stopped."""

    def __init__(self, machine: Machine, to: str, interval: float = 0.05) -> None:
        """`interval` is the seconds between two requests."""
        self.answers: dict[int, Answer] = {}
        """By sequence number, the first answer to each request."""
        self.sent = 0
        self._going_on = False
        self._echo = Echo(machine, to)
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ping {to}")
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._echo.send(self.sent + 1)
                self.sent += 1
            except OSError:
                pass  # The machine's link is away for a moment: one request less.
            self._gather(self._interval)

    def _gather(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            answer = self._echo.receive(left)
            if answer is not None:
                self.answers.setdefault(answer.sequence, answer)

    def replied(self, sequence: int) -> bool:
        """Tell whether the request of this number was answered by a reply."""
        answer = self.answers.get(sequence)
        return answer is not None and answer.kind == ECHO_REPLY

    def goes_on(self, count: int = 5) -> int:
        """Wait until `count` requests sent from now on were replied to; return the first's number."""
        self._going_on = True
        mark = self.sent

        def replies() -> list[int]:
            return [number for number in range(mark + 1, self.sent + 1) if self.replied(number)]

        eventually(lambda: len(replies()) >= count, f"{count} replies from {self._echo.to}")
        return replies()[0]

    def fails(self, count: int = 5) -> None:
        """Wait until `count` requests in a row, sent from now on, were not replied to."""
        self._going_on = False
        mark = self.sent

        def silent() -> bool:
            sent = self.sent
            late = range(max(mark, sent - count - 2) + 1, sent - 1)
            return len(late) >= count and not any(self.replied(number) for number in late)

        eventually(silent, f"no reply from {self._echo.to}")

    def told(self, kind: int, code: int) -> None:
        """Wait until a request sent from now on is answered by this error."""
        mark = self.sent

        def is_told() -> bool:
            fresh = [each for number, each in [*self.answers.items()] if number > mark]
            return any((each.kind, each.code) == (kind, code) for each in fresh)

        eventually(is_told, f"ICMP {kind}/{code} about {self._echo.to}")

    def lost(self, first: int = 1) -> list[int]:
        """Return the requests from `first` on that were not replied to; stop the ping before."""
        return [number for number in range(first, self.sent + 1) if not self.replied(number)]

    def stop(self) -> None:
        """Send no more; wait for the last request's answer if this was seen to go on."""
        self._stop.set()
        self._thread.join()
        if self._going_on:
            self._await_last()
        self._echo.close()

    def _await_last(self) -> None:
        """Take answers until the last request has its own: what came before is then lost."""
        deadline = time.monotonic() + PATIENCE
        while self.sent not in self.answers and (left := deadline - time.monotonic()) > 0:
            answer = self._echo.receive(left)
            if answer is not None:
                self.answers.setdefault(answer.sequence, answer)


@contextmanager
def pinging(machine: Machine, to: str, interval: float = 0.05) -> Iterator[RunningPing]:
    """Run a ping beside the body; it is stopped at its end, and can be looked at after it."""
    running = RunningPing(machine, to, interval)
    try:
        yield running
    finally:
        running.stop()
