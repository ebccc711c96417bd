"""LinkSocket: rtnetlink's notifications of interfaces, and dumps of them, over one socket.

pyroute2 reads the messages, of each interface the last one only, and of that three attributes: all
that it knows of an interface takes it 1 ms each. The socket is our own: that notifications were
lost (ENOBUFS) must be known here, so that a dump follows.
"""

import errno
import select
import socket
import struct
from collections.abc import Iterator
from typing import Final, Self

from msgspec import Struct
from pyroute2.netlink import nlmsg
from pyroute2.netlink.exceptions import NetlinkError

from actors.messages.topology import Link

# linux/netlink.h, linux/rtnetlink.h, linux/if.h, linux/if_link.h
NLMSG_ERROR, NLMSG_DONE, RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 2, 3, 16, 17, 18
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x300, 0x10
RTMGRP_LINK = 1
IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 29, 8
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
SO_RCVBUFFORCE: Final = 33

RECEIVE_BUFFER = 8 << 20
"""Octets: room for some 2,000 notifications as the kernel accounts for them."""
LONGEST_DATAGRAM = 1 << 18
"""An interface with hundreds of virtual functions needs more than a page."""
DUMP_TIMEOUT = 5.0
"""Seconds without any answer after which a dump has failed."""

_NOT_NOW = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.EBUSY, errno.EINTR})
"""A dump ends so when notifications fill the socket's buffer, or another is not over yet."""

_HEADER = struct.Struct("=IHHII")
_INFO = struct.Struct("=BxHiII")


class Lost(Struct, frozen=True):
    """Notifications were lost: only a dump tells how things are."""


class LinkGone(Struct, frozen=True):
    """An interface is gone from this namespace."""

    index: int


class Dump(Struct, frozen=True):
    """All interfaces at some moment, and what was told of while they were read."""

    links: dict[int, Link]
    since: tuple[Link | LinkGone, ...]
    sound: bool
    """False: it may lack interfaces, as they changed under it or notifications were lost."""


class _LinkMessage(nlmsg):  # type: ignore[misc]
    """struct ifinfomsg and what is wanted of its attributes (linux/if_link.h)."""

    prefix = "IFLA_"
    fields = (
        ("family", "B"),
        ("__align", "x"),
        ("ifi_type", "H"),
        ("index", "i"),
        ("flags", "I"),
        ("change", "I"),
    )
    nla_map = (
        (3, "IFLA_IFNAME", "cdata"),  # any octets, not text
        (4, "IFLA_MTU", "uint32"),
        (33, "IFLA_CARRIER", "uint8"),
    )


class _Message(Struct, frozen=True):
    kind: int
    flags: int
    sequence: int
    index: int
    raw: bytes


class LinkSocket:
    """See the module. One thread uses it. Raises OSError when the kernel refuses."""

    def __init__(self, receive_buffer: int = RECEIVE_BUFFER) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.bind((0, RTMGRP_LINK))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait(self, timeout: float) -> bool:
        """Return whether there is something to read within `timeout` seconds."""
        return bool(select.select([self._socket], [], [], timeout)[0])

    def read(self) -> tuple[tuple[Link | LinkGone, ...], bool]:
        """Return how the interfaces told of since the last call are now, and if some were lost."""
        newest: dict[int, _Message] = {}
        lost = False
        while True:
            datagram = self._receive()
            if datagram is None:
                return tuple(_said(message) for message in newest.values()), lost
            if isinstance(datagram, Lost):
                lost = True
                continue
            for message in _messages(datagram):
                if message.kind in {RTM_NEWLINK, RTM_DELLINK}:
                    newest[message.index] = message

    def dump(self) -> Dump:
        """Ask for all interfaces. Raises OSError (ETIMEDOUT too)."""
        self._sequence += 1
        self._socket.send(
            _HEADER.pack(40, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0)
            + _INFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            + struct.pack("=HHI", 8, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
        )
        dumped: dict[int, _Message] = {}
        since: dict[int, _Message] = {}
        sound, done = True, False
        while not done:
            datagram = self._receive()
            if datagram is None:
                if not self.wait(DUMP_TIMEOUT):
                    raise OSError(errno.ETIMEDOUT, "rtnetlink does not answer")
                continue
            if isinstance(datagram, Lost):
                sound = False
                continue
            for message in _messages(datagram):
                ours = message.sequence == self._sequence
                if message.kind in {NLMSG_ERROR, NLMSG_DONE} and ours:
                    sound = _ended_well(message) and sound
                    done = True
                elif message.kind == RTM_NEWLINK and ours:
                    dumped[message.index] = message
                elif message.kind in {RTM_NEWLINK, RTM_DELLINK}:
                    since[message.index] = message
                sound = sound and not (ours and message.flags & NLM_F_DUMP_INTR)
        # A part of a dump may be queued behind a notification that is newer than it, so all
        # notifications count after all parts; one that is older says the same as the dump.
        links = {index: _parse(m) for index, m in dumped.items() if index not in since}
        return Dump(links, tuple(_said(message) for message in since.values()), sound)

    def _receive(self) -> bytes | Lost | None:
        try:
            datagram, _, flags, _ = self._socket.recvmsg(LONGEST_DATAGRAM)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return Lost()
        return Lost() if flags & socket.MSG_TRUNC else datagram


def _messages(datagram: bytes) -> Iterator[_Message]:
    """Yield the messages of a datagram, but for those that are about a bridge's ports."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= length <= len(datagram) - at:
            raise OSError(errno.EBADMSG, "a netlink message's length is wrong")
        raw = datagram[at : at + length]
        at += (length + 3) & ~3
        if kind not in {RTM_NEWLINK, RTM_DELLINK}:
            yield _Message(kind, flags, sequence, 0, raw)
        elif length >= _HEADER.size + _INFO.size:
            family, _, index, _, _ = _INFO.unpack_from(raw, _HEADER.size)
            # An interface that leaves a bridge is "deleted" with family AF_BRIDGE.
            if family == socket.AF_UNSPEC:
                yield _Message(kind, flags, sequence, index, raw)


def _ended_well(message: _Message) -> bool:
    """Return whether a dump is whole by its last message. Raises OSError if there will be none."""
    code: int = -struct.unpack_from("=i", message.raw.ljust(20, b"\0"), _HEADER.size)[0]
    if code > 0 and code not in _NOT_NOW:
        raise OSError(code, "rtnetlink refuses to tell of the interfaces")
    return code <= 0


def _said(message: _Message) -> Link | LinkGone:
    return LinkGone(message.index) if message.kind == RTM_DELLINK else _parse(message)


def _parse(message: _Message) -> Link:
    read = _LinkMessage(message.raw)
    try:
        read.decode()
    except (NetlinkError, struct.error, ValueError) as error:
        raise OSError(errno.EBADMSG, f"a message about an interface is wrong: {error}") from error
    carrier = read.get("IFLA_CARRIER")
    return Link(
        read.get("IFLA_IFNAME", b"").rstrip(b"\0").decode(errors="backslashreplace"),
        message.index,
        bool(read["flags"] & IFF_UP),
        read.get("IFLA_MTU", 0),
        bool(read["flags"] & IFF_LOWER_UP if carrier is None else carrier),
    )
