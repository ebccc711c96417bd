"""One network namespace with a rtnetlink socket inside it: links, addresses, routes, sysctls.

Owns a namespace's descriptor and its IPRoute. pyroute2 is asyncio inside and not thread-safe:
one thread owns all of these. Acts on no other namespace, but for the far ends of veth pairs.
"""

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from cli.lab import namespaces

_NODAD = 0x02
"""IFA_F_NODAD: an IPv6 address that is usable at once (linux/if_addr.h)."""
_SCOPE_UNIVERSE = 0
_SCOPE_LINK = 253
_SCOPE_ANY = 255
"""RT_SCOPE_NOWHERE: of whichever scope the route to delete is (linux/rtnetlink.h)."""
_STATIC = 4
"""RTPROT_STATIC marks the routes that are ours to change (linux/rtnetlink.h)."""
_MAIN_TABLE = 254
_LOOK_SECONDS = 0.001


class LinkError(Exception):
    """The kernel refused something; the message says what, where and why."""


class Namespace:
    """A network namespace and its links. `label` names it in errors."""

    def __init__(self, label: str, descriptor: int) -> None:
        """Take over `descriptor` and bring `lo` up. Raises LinkError."""
        self.label = label
        self.descriptor = descriptor
        with self._doing("open rtnetlink"), namespaces.inside(descriptor):
            self._route = IPRoute()
            self._route.link("set", index=1, state="up")

    def close(self) -> None:
        """Let the namespace go; it ends with the last process in it."""
        self._route.close()
        os.close(self.descriptor)

    def sysctl(self, settings: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Write settings below /proc/sys/net; return those that this machine does not allow."""
        refused = []
        with namespaces.inside(self.descriptor):
            for name, value in settings:
                try:
                    Path("/proc/sys/net", name).write_text(value)
                except OSError as error:
                    refused.append(f"{self.label}: net/{name}: {error.strerror}")
        return tuple(refused)

    def add_bridge(self, name: str, mtu: int) -> None:
        """Make a Linux bridge that is up. Raises LinkError."""
        with self._doing(f"make the bridge {name}", module="bridge"):
            self._route.link("add", ifname=name, kind="bridge")
            self._route.link("set", index=self._index(name), mtu=mtu, state="up")

    def add_veth(
        self, name: str, far: "Namespace", far_name: str, mtu: int, mac: str | None
    ) -> None:
        """Make a veth pair, one end here, the other in `far` (with `mac`), both up.

        The pair is born in its two namespaces: no end is ever anywhere else. Raises LinkError.
        """
        peer: dict[str, str | int] = {
            "ifname": far_name,
            "net_ns_fd": far.descriptor,
            "mtu": mtu,
        }
        if mac is not None:
            peer["address"] = mac
        with self._doing(f"make the link {name}", module="veth"):
            self._route.link("add", ifname=name, kind="veth", mtu=mtu, peer=peer)
        self.set_up(name)
        far.set_up(far_name)

    def set_up(self, name: str) -> None:
        """Bring a link up. Raises LinkError."""
        with self._doing(f"bring {name} up"):
            self._route.link("set", index=self._index(name), state="up")

    def wait_sending(self, name: str, patience: float = 2.0) -> None:
        """Wait until a link sends, `patience` seconds at most. Raises LinkError.

        It drops all without a word until the kernel has looked at its new carrier, and then says
        that it is UP (net/core/link_watch.c): a busy machine takes its time for that.
        """
        deadline = time.monotonic() + patience
        with self._doing(f"look at {name}"):
            index = self._index(name)
            while self._route.get_links(index)[0].get_attr("IFLA_OPERSTATE") != "UP":
                if time.monotonic() > deadline:
                    raise LinkError(f"{self.label}: {name} does not send")
                time.sleep(_LOOK_SECONDS)

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set a link's MTU in bytes. Raises LinkError."""
        with self._doing(f"set the MTU of {name} to {mtu}"):
            self._route.link("set", index=self._index(name), mtu=mtu)

    def set_mac(self, name: str, mac: str) -> None:
        """Set a link's MAC address. Raises LinkError."""
        with self._doing(f"set the MAC of {name} to {mac}"):
            self._route.link("set", index=self._index(name), address=mac)

    def join_bridge(self, name: str, bridge: str) -> None:
        """Make a link a port of a bridge. Raises LinkError."""
        with self._doing(f"join {name} to {bridge}"):
            self._route.link("set", index=self._index(name), master=self._index(bridge))

    def move(self, name: str, to: "Namespace", new_name: str, new_index: int) -> None:
        """Move a link to another namespace under another name; it arrives down.

        It arrives as number `new_index`, too: by its number a link that was replaced by another
        of the same name is told from one that stayed. Raises LinkError.
        """
        with self._doing(f"move {name} to {to.label}"):
            self._route.link(
                "set",
                index=self._index(name),
                net_ns_fd=to.descriptor,
                ifname=new_name,
                new_ifindex=new_index,
            )

    def remove_if_there(self, name: str) -> None:
        """Remove a link, a veth with its far end. Raises LinkError."""
        for index in self._route.link_lookup(ifname=name):
            with self._doing(f"remove {name}"):
                self._route.link("del", index=index)

    def set_addresses(self, name: str, addresses: Iterable[str]) -> None:
        """Give a link exactly these addresses (`10.0.0.1/24`), link-local ones left alone.

        An address that stays is not touched, unless the kernel takes it along with its primary
        address; then it is put back. Raises LinkError.
        """
        wanted = {ipaddress.ip_interface(text) for text in addresses}
        index = self._index(name)
        for gone in sorted(self._addresses(index) - wanted, key=str):
            with self._doing(f"remove {gone} from {name}"):
                self._tolerant(errno.EADDRNOTAVAIL, "del", index, gone)
        present = self._addresses(index)
        for text in addresses:
            if (new := ipaddress.ip_interface(text)) not in present:
                with self._doing(f"add {new} to {name}"):
                    self._tolerant(errno.EEXIST, "add", index, new)

    def _tolerant(
        self,
        fine: int,
        command: str,
        index: int,
        address: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    ) -> None:
        extra = {"flags": _NODAD} if command == "add" and address.version == 6 else {}
        try:
            self._route.addr(
                command,
                index=index,
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
                **extra,
            )
        except NetlinkError as error:
            if error.code != fine:
                raise

    def _addresses(self, index: int) -> set[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
        found = set()
        for message in self._route.get_addr(index=index):
            if message["scope"] == _SCOPE_UNIVERSE:
                address = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
                found.add(ipaddress.ip_interface(f"{address}/{message['prefixlen']}"))
        return found

    def set_routes(self, name: str, routes: Iterable[tuple[str, str | None, str | None]]) -> None:
        """Give a link exactly these (destination, gateway, source) routes besides the kernel's own.

        Without a gateway the destination is on the link. Raises LinkError.
        """
        index = self._index(name)
        wanted = [
            (ipaddress.ip_network(to, strict=False), via, source) for to, via, source in routes
        ]
        destinations = {to for to, _, _ in wanted}
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._route.get_routes(family=family, oif=index, proto=_STATIC):
                to = self._destination(message.get("RTA_DST"), message["dst_len"], family)
                if message.get("RTA_TABLE") == _MAIN_TABLE and to not in destinations:
                    with self._doing(f"remove the route to {to}"):
                        self._route.route(
                            "del",
                            dst=str(to),
                            oif=index,
                            proto=_STATIC,
                            family=family,
                            scope=_SCOPE_ANY,
                        )
        for to, via, source in wanted:
            request: dict[str, str | int] = {"dst": str(to), "oif": index, "proto": _STATIC}
            request["family"] = socket.AF_INET if to.version == 4 else socket.AF_INET6
            if via is not None:
                request["gateway"] = via
            elif to.version == 4:
                request["scope"] = _SCOPE_LINK
            if source is not None:
                request["prefsrc"] = source
            with self._doing(f"set the route to {to}" + (f" via {via}" if via else "")):
                self._route.route("replace", **request)

    @staticmethod
    def _destination(
        address: str | None, length: int, family: int
    ) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        anywhere = "0.0.0.0" if family == socket.AF_INET else "::"  # noqa: S104 - a route's default
        return ipaddress.ip_network(f"{address or anywhere}/{length}")

    def _index(self, name: str) -> int:
        found = self._route.link_lookup(ifname=name)
        if not found:
            raise LinkError(f"{self.label}: there is no interface {name}")
        return int(found[0])

    @contextmanager
    def _doing(self, what: str, module: str | None = None) -> Iterator[None]:
        """Turn refusals into LinkError; `module` is the kernel's that the request needs."""
        try:
            yield
        except NetlinkError as error:
            reason = os.strerror(error.code)
            if module is not None and error.code == errno.EOPNOTSUPP:
                reason = f"this kernel has no module {module!r}, or may not load it"
            raise LinkError(f"{self.label}: cannot {what}: {reason}") from error
        except OSError as error:
            raise LinkError(f"{self.label}: cannot {what}: {error.strerror}") from error
