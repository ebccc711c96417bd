"""Namespace: an anonymous network namespace for tests, with one thread that lives in it.

Nothing of it has a name on the machine: it goes away with its thread and descriptor, and so do
its links and whatever runs in it.
"""

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from pyroute2 import IPRoute

_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_PATIENCE = 30.0


def namespaces_are_permitted() -> bool:
    """Whether this process may make network namespaces."""
    try:
        Namespace().close()
    except PermissionError:
        return False
    return True


class Namespace:
    """One network namespace; `run` calls a function inside it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        try:
            self.fd = self._thread.submit(_unshare).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self._route = self.run(IPRoute)
        self.set_link("lo", state="up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, function: Callable[[], _T]) -> _T:
        """Call `function` in the namespace and return what it returns."""
        return self._thread.submit(function).result()

    def _link(self, call: Callable[[IPRoute], _T]) -> _T:
        return self.run(lambda: call(self._route))

    def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        """Make a socket that belongs to the namespace."""
        return self.run(lambda: socket.socket(family, kind, proto))

    def close(self) -> None:
        """Let it go."""
        self.run(self._route.close)
        self._thread.shutdown()
        os.close(self.fd)

    def veth(self, name: str, other: "Namespace", other_name: str, mtu: int = 1500) -> None:
        """Make a veth pair whose ends are here and in `other`, both up and ready to send."""

        def make(ip: IPRoute) -> None:
            ip.link(
                "add",
                ifname=name,
                kind="veth",
                mtu=mtu,
                peer={"ifname": other_name, "net_ns_fd": other.fd, "mtu": mtu},
            )

        self._link(make)
        self.set_link(name, state="up")
        other.set_link(other_name, state="up")
        self.wait_sending(name)
        other.wait_sending(other_name)

    def wait_sending(self, name: str) -> None:
        """Wait until a link that has carrier sends: the kernel sees to that some time after it.

        Until then it drops all packets without a word; afterwards it says that it is UP
        (net/core/link_watch.c, which takes its time on a busy machine).
        """

        def state(ip: IPRoute) -> object:
            return ip.get_links(ip.link_lookup(ifname=name)[0])[0].get_attr("IFLA_OPERSTATE")

        deadline = time.monotonic() + _PATIENCE
        while self._link(state) != "UP":
            assert time.monotonic() < deadline, f"{name} does not send"
            time.sleep(0.001)

    def set_link(self, name: str, **settings: object) -> None:
        """Change a link."""

        def change(ip: IPRoute) -> None:
            ip.link("set", index=ip.link_lookup(ifname=name)[0], **settings)

        self._link(change)

    def delete_link(self, name: str) -> None:
        """Delete a link."""
        self._link(lambda ip: ip.link("del", index=ip.link_lookup(ifname=name)[0]))

    def links(self) -> set[str]:
        """Names of the links that are there."""
        return self.run(lambda: {name for _, name in socket.if_nameindex()})

    def address(self, name: str, address: str, length: int) -> None:
        """Give a link an address, without duplicate address detection."""
        self._link(
            lambda ip: ip.addr(
                "add",
                index=ip.link_lookup(ifname=name)[0],
                address=address,
                prefixlen=length,
                **({"flags": 0x02} if ":" in address else {}),
            )
        )

    def neighbour(self, name: str, address: str, mac: str) -> None:
        """Make a permanent neighbour entry."""
        self._link(
            lambda ip: ip.neigh(
                "replace",
                ifindex=ip.link_lookup(ifname=name)[0],
                dst=address,
                lladdr=mac,
                state=0x80,
            )
        )

    def mac(self, name: str) -> str:
        """MAC address of a link."""

        def read(ip: IPRoute) -> str:
            return str(ip.get_links(ip.link_lookup(ifname=name)[0])[0].get_attr("IFLA_ADDRESS"))

        return self._link(read)


def _unshare() -> int:
    if _LIBC.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
