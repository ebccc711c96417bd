"""A machine that has moved says so with one frame, as hypervisors do after a live migration.

Bridges then learn its MAC at the new place at once, not when their entry runs out. The frame
is a RARP request about itself (RFC 903), which needs no address and which nobody answers.
"""

import socket
import struct

from actors.values import BROADCAST_MAC, parse_mac
from cli.lab import namespaces
from cli.lab.links import LinkError, Namespace

_RARP = 0x8035
_REQUEST_REVERSE = 3
_BODY = struct.Struct("!HHBBH6s4s6s4s")
_LEAST_FRAME = 60
"""Bytes of an Ethernet frame without its checksum (IEEE 802.3)."""


def announcement(mac: bytes) -> bytes:
    """Return the frame."""
    body = _BODY.pack(1, 0x0800, 6, 4, _REQUEST_REVERSE, mac, bytes(4), mac, bytes(4))
    return (BROADCAST_MAC + mac + struct.pack("!H", _RARP) + body).ljust(_LEAST_FRAME, b"\0")


def announce(machine: Namespace, link: str, mac: str) -> None:
    """Send the frame from a machine's link, as soon as that sends. Raises LinkError."""
    machine.wait_sending(link)
    try:
        with namespaces.inside(machine.descriptor):
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with opened:
            opened.bind((link, 0))
            opened.send(announcement(parse_mac(mac)))
    except OSError as error:
        raise LinkError(f"{machine.label}: cannot announce itself: {error.strerror}") from error
