"""A small ping, because a bare machine has none: `python -m cli.lab.ping ADDRESS`.

Prints as ping(8) does. Exits 0 if every request was answered, 1 if not, 2 if it cannot send.
ICMP echo is RFC 792, ICMPv6 echo RFC 4443. Needs a raw socket, so root of its network namespace.
"""

import argparse
import ipaddress
import os
import socket
import struct
import sys
import time
from typing import NamedTuple, Protocol

_HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""
_ECHO_REPLY, _UNREACHABLE, _ECHO_REQUEST, _TIME_EXCEEDED = 0, 3, 8, 11
_ECHO_REQUEST_6, _ECHO_REPLY_6 = 128, 129
_ERRORS = {_UNREACHABLE: "Destination unreachable", _TIME_EXCEEDED: "Time to live exceeded"}
_REASONS = {0: "net", 1: "host", 3: "port", 4: "fragmentation needed", 13: "prohibited"}
"""Codes of destination unreachable (RFC 792, RFC 1812)."""
_LEAST_IP_HEADER = 20
_LARGEST = 65535 - _LEAST_IP_HEADER - _HEADER.size


class Echo(NamedTuple):
    """An answer: to which request, from whom, with what."""

    sequence: int
    source: str
    size: int
    """Bytes of ICMP message."""
    ttl: int | None
    """None where the raw socket does not tell it."""
    error: str | None = None
    """What a router said instead, None for a reply."""


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def request(identifier: int, sequence: int, size: int, *, six: bool) -> bytes:
    """Return an echo request with `size` bytes of data; the kernel fills ICMPv6's checksum in."""
    data = bytes(index & 0xFF for index in range(size))
    kind = _ECHO_REQUEST_6 if six else _ECHO_REQUEST
    bare = _HEADER.pack(kind, 0, 0, identifier, sequence)
    return _HEADER.pack(kind, 0, 0 if six else checksum(bare + data), identifier, sequence) + data


def parse_4(packet: bytes, source: str, identifier: int) -> Echo | None:
    """Read an IPv4 packet; None if it is no answer to requests with this identifier."""
    message = _payload(packet)
    if message is None:
        return None
    kind, code, _, number, sequence = _HEADER.unpack_from(message)
    error = None
    if kind in _ERRORS:
        quoted = _payload(message[_HEADER.size :])
        if quoted is None:
            return None
        asked, _, _, number, sequence = _HEADER.unpack_from(quoted)
        reason = f": {_REASONS.get(code, f'code {code}')}" if kind == _UNREACHABLE else ""
        error = _ERRORS[kind] + reason
        kind = _ECHO_REPLY if asked == _ECHO_REQUEST else asked
    if kind != _ECHO_REPLY or number != identifier:
        return None
    return Echo(sequence, source, len(message), packet[8], error)


def _payload(packet: bytes) -> bytes | None:
    """Return the ICMP message in an IPv4 packet, None if there is none with a whole header."""
    if len(packet) < _LEAST_IP_HEADER or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP:
        return None
    message = packet[(packet[0] & 15) * 4 :]
    return message if len(message) >= _HEADER.size else None


def parse_6(message: bytes, source: str, identifier: int) -> Echo | None:
    """Read an ICMPv6 message (raw sockets give no header); None if it is no such answer."""
    if len(message) < _HEADER.size:
        return None
    kind, _, _, number, sequence = _HEADER.unpack_from(message)
    if kind != _ECHO_REPLY_6 or number != identifier:
        return None
    return Echo(sequence, source, len(message), None)


def milliseconds(taken: float) -> str:
    """Return a time in milliseconds with three digits, or all that are before the point."""
    return f"{taken:.0f}" if taken >= 100 else f"{taken:.3g}"


class _Output(Protocol):
    def __call__(self, line: str) -> None: ...


class Pinger:
    """Sends echo requests to one address and collects the answers."""

    def __init__(self, address: str, size: int, say: _Output) -> None:
        """Open the socket; `size` is in bytes of data. Raises OSError, ValueError."""
        self._target = str(ipaddress.ip_address(address))
        self._six = ":" in self._target
        family = socket.AF_INET6 if self._six else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self._six else socket.IPPROTO_ICMP
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self._identifier = os.getpid() & 0xFFFF
        self._size = size
        self._say = say
        self._sent: dict[int, float] = {}
        self.times: list[float] = []
        """Round trips in milliseconds."""
        self.sent = 0

    def send(self) -> None:
        """Send the next request; one that the kernel refuses counts as not answered."""
        self.sent += 1
        sequence = self.sent & 0xFFFF
        data = request(self._identifier, sequence, self._size, six=self._six)
        self._sent[sequence] = time.monotonic()
        try:
            self._socket.sendto(data, (self._target, 0))
        except OSError as error:
            self._say(f"icmp_seq={sequence} {error.strerror}")

    def listen(self, until: float, *, stop_when_answered: bool) -> None:
        """Take answers until that time (monotonic seconds), or until none is outstanding."""
        while (left := until - time.monotonic()) > 0:
            if stop_when_answered and not self._sent:
                return
            self._socket.settimeout(left)
            try:
                packet, sender = self._socket.recvfrom(1 << 16)
            except TimeoutError:
                return
            parse = parse_6 if self._six else parse_4
            echo = parse(packet, str(sender[0]), self._identifier)
            if echo is not None and echo.sequence in self._sent:
                self._count(echo)

    def _count(self, echo: Echo) -> None:
        taken = (time.monotonic() - self._sent.pop(echo.sequence)) * 1000
        if echo.error is not None:
            self._say(f"From {echo.source} icmp_seq={echo.sequence} {echo.error}")
            return
        self.times.append(taken)
        ttl = f" ttl={echo.ttl}" if echo.ttl is not None else ""
        self._say(
            f"{echo.size} bytes from {echo.source}: icmp_seq={echo.sequence}{ttl}"
            f" time={milliseconds(taken)} ms"
        )

    def summary(self) -> None:
        """Say how it went."""
        lost = 100 * (self.sent - len(self.times)) // max(1, self.sent)
        self._say(f"\n--- {self._target} ping statistics ---")
        self._say(
            f"{self.sent} packets transmitted, {len(self.times)} received, {lost}% packet loss"
        )
        if self.times:
            least, most = min(self.times), max(self.times)
            average = sum(self.times) / len(self.times)
            self._say(f"rtt min/avg/max = {least:.3f}/{average:.3f}/{most:.3f} ms")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is its output


def main(arguments: list[str]) -> int:
    """Ping as the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(prog="ping")
    parser.add_argument("address", help="an IPv4 or IPv6 address")
    parser.add_argument("-c", type=int, default=4, metavar="N", help="requests to send")
    parser.add_argument("-i", type=float, default=1.0, metavar="S", help="seconds between requests")
    parser.add_argument("-s", type=int, default=56, metavar="SIZE", help="bytes of data")
    parser.add_argument(
        "-W", type=float, default=1.0, metavar="S", help="seconds to wait at the end"
    )
    options = parser.parse_args(arguments)
    if options.c < 1 or options.i < 0 or options.W < 0 or not 0 <= options.s <= _LARGEST:
        parser.error(f"-c from 1, -i and -W from 0, -s from 0 to {_LARGEST}")
    try:
        pinger = Pinger(options.address, options.s, _say)
    except (OSError, ValueError) as error:
        print(f"ping: {error}", file=sys.stderr)  # noqa: T201 - this is its output
        return 2
    _say(f"PING {options.address}: {options.s} data bytes")
    try:
        began = time.monotonic()
        for number in range(options.c):
            pinger.send()
            if number + 1 < options.c:
                pinger.listen(began + (number + 1) * options.i, stop_when_answered=False)
        pinger.listen(time.monotonic() + options.W, stop_when_answered=True)
    except KeyboardInterrupt:
        _say("")
    pinger.summary()
    return 0 if len(pinger.times) == options.c else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
