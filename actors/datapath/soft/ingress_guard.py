"""IngressGuard: keeps the host's own stack from handling the frames of links that are ports.

The kernel's module takes frames away by a receive handler. Here each such link gets an nf_tables
chain at its ingress hook with policy drop: AF_PACKET sockets see a frame before that hook, the
stack behind it never does. The table belongs to this object's netlink socket
(NFT_TABLE_F_OWNER, Linux 5.12), so the kernel removes it when the process ends, however it ends.
Where nf_tables is missing it falls back to sysctls that silence ARP and IPv6, and says so.
"""

import errno
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Final

_LOG = logging.getLogger(__name__)

# linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h, linux/netfilter.h
_NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_NEW_TABLE: Final = _SUBSYSTEM << 8 | 0
_NEW_CHAIN: Final = _SUBSYSTEM << 8 | 3
_DELETE_CHAIN: Final = _SUBSYSTEM << 8 | 5
_FAMILY_NETDEV: Final = 5
_TABLE_NAME, _TABLE_FLAGS = 1, 2
_TABLE_OWNED: Final = 2
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE = 1, 2, 3
_INGRESS: Final = 0
_DROP: Final = 0
_FIRST: Final = -(2**31) + 1
"""Before any other chain at that hook: a port's frames are nobody else's."""
_NESTED: Final = 0x8000

_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 1, 4, 0x400
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_ACK_TIMEOUT: Final = 5.0
"""Seconds; the kernel answers within milliseconds, so a longer silence is a failure."""
_MISSING: Final = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ENOENT)
_SYSCTLS: Final = (("ipv4", "arp_ignore", "8"), ("ipv6", "disable_ipv6", "1"))


class IngressGuard:
    """The links protected by one process; at most one guard a network namespace and process."""

    def __init__(self) -> None:
        self._table = f"ayatori-{os.getpid()}".encode()
        self._socket: socket.socket | None = None
        self._sequence = 0
        self._chains: set[str] = set()
        self._saved: dict[str, list[tuple[Path, str]]] = {}
        self._missing = False

    def protect(self, link: str) -> None:
        """Hide the frames that `link` receives from the stack; raise OSError if refused."""
        if not self._missing:
            try:
                self._add_chain(link)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise
                self._missing = True
                _LOG.warning(
                    "nf_tables is not usable (%s): links that are ports get arp_ignore=8 and"
                    " disable_ipv6=1 instead, and the host may still answer IPv4 on them",
                    error,
                )
            else:
                self._chains.add(link)
                return
        self._silence(link)

    def release(self, link: str) -> None:
        """Give the frames of `link` back to the stack; a link that has gone away is fine."""
        if link in self._chains:
            self._chains.remove(link)
            body = _attribute(_CHAIN_TABLE, self._table + b"\0")
            body += _attribute(_CHAIN_NAME, _chain_name(link))
            try:
                self._transact([(_DELETE_CHAIN, 0, body)])
            except OSError as error:
                # The kernel removes a chain together with its link.
                if error.errno not in {errno.ENOENT, errno.ENODEV}:
                    _LOG.warning("the ingress chain of %s was not removed: %s", link, error)
        for path, value in self._saved.pop(link, ()):
            if path.exists():
                path.write_text(value)

    def close(self) -> None:
        """Give all links back."""
        for link in sorted(self._chains | self._saved.keys()):
            self.release(link)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _add_chain(self, link: str) -> None:
        messages: list[tuple[int, int, bytes]] = []
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
            self._socket.settimeout(_ACK_TIMEOUT)
            self._socket.bind((0, 0))
            body = _attribute(_TABLE_NAME, self._table + b"\0")
            body += _attribute(_TABLE_FLAGS, struct.pack("!I", _TABLE_OWNED))
            messages.append((_NEW_TABLE, _NLM_F_CREATE, body))
        hook = _attribute(_HOOK_NUMBER, struct.pack("!I", _INGRESS))
        hook += _attribute(_HOOK_PRIORITY, struct.pack("!i", _FIRST))
        hook += _attribute(_HOOK_DEVICE, link.encode() + b"\0")
        body = _attribute(_CHAIN_TABLE, self._table + b"\0")
        body += _attribute(_CHAIN_NAME, _chain_name(link))
        body += _attribute(_CHAIN_HOOK | _NESTED, hook)
        body += _attribute(_CHAIN_POLICY, struct.pack("!I", _DROP))
        body += _attribute(_CHAIN_TYPE, b"filter\0")
        messages.append((_NEW_CHAIN, _NLM_F_CREATE, body))
        try:
            self._transact(messages)
        except OSError:
            if len(messages) > 1:
                self._socket.close()
                self._socket = None
            raise

    def _transact(self, messages: list[tuple[int, int, bytes]]) -> None:
        """Send one batch and wait until each message of it is acknowledged; raise OSError."""
        if self._socket is None:
            raise OSError(errno.EBADF, "the netfilter socket is closed")
        batch = self._message(_BATCH_BEGIN, 0, b"", family=0, resource=_SUBSYSTEM)
        awaited = set()
        for kind, flags, body in messages:
            batch += self._message(kind, flags | _NLM_F_ACK, body, family=_FAMILY_NETDEV)
            awaited.add(self._sequence)
        batch += self._message(_BATCH_END, 0, b"", family=0, resource=_SUBSYSTEM)
        self._socket.send(batch)
        while awaited:
            reply = self._socket.recv(65536)
            at = 0
            while at + 20 <= len(reply):
                length, kind, _, sequence, _ = _HEADER.unpack_from(reply, at)
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", reply, at + 16)[0]
                    if code:
                        raise OSError(code, f"nf_tables: {os.strerror(code)}")
                    awaited.discard(sequence)
                at += max(20, length + 3 & ~3)

    def _message(
        self, kind: int, flags: int, body: bytes, *, family: int, resource: int = 0
    ) -> bytes:
        self._sequence += 1
        payload = struct.pack("!BBH", family, 0, resource) + body
        header = _HEADER.pack(
            16 + len(payload), kind, flags | _NLM_F_REQUEST, self._sequence & 0xFFFFFFFF, 0
        )
        return header + payload

    def _silence(self, link: str) -> None:
        saved = self._saved.setdefault(link, [])
        for family, name, value in _SYSCTLS:
            path = Path("/proc/sys/net", family, "conf", link, name)
            if path.exists():
                saved.append((path, path.read_text()))
                path.write_text(value)


def _chain_name(link: str) -> bytes:
    return f"port-{link}".encode() + b"\0"


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
