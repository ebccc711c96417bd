"""Network: a whole virtual network in one process, without threads, sockets or clocks.

Per host the real lane with all its actors, the real request buffer and codec, and a datapath that
executes the real bytes (network_datapath.py); hosts share a store in memory (network_store.py) and
reach each other through tunnels. Everything happens in one order: the same calls, the same bytes.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Self

import msgspec

from actors.datapath.soft.flow_table import Flow
from actors.host import HostSettings
from actors.messages.operator import FaultInjected, OperatorAsked
from actors.messages.time import ClockTicked
from actors.packets.flow_key import TunnelKey
from actors.state.document import Document, compile_document, parse_document
from actors.state.topology import Bridge, Host, Router
from actors.values import SECOND, ActorName, HostId, Nanoseconds, stable_id
from tests.network_host import HostEnd
from tests.network_store import MemoryStore

START = Nanoseconds(1_700_000_000 * SECOND)
TICK = SECOND // 4
MOST_EVENTS = 100_000


class Network:
    """See the module."""

    def __init__(self, text: str, settings: HostSettings | None = None) -> None:
        self.now = START
        self.settings = settings or HostSettings(HostId(""), "")
        self.store = MemoryStore(lambda: self.now)
        self.events: deque[Callable[[], None]] = deque()
        self.frames: dict[str, list[bytes]] = {}
        self.crashes: list[tuple[str, ActorName, str, str]] = []
        self.crashes_expected = False
        self.hosts: dict[str, HostEnd] = {}
        self._index = 10
        self._requests = 0
        self.store.apply(text)
        document = parse_document(text, "test.yaml")
        bound = [
            (port.host, port.interface)
            for each in compile_document(document)
            if isinstance(each, Bridge | Router)
            for port in each.ports
            if port.host is not None and port.interface is not None
        ]
        names = {stable_id("host", name): name for name in document_hosts(document)}
        for name in names.values():
            members = [zone.members for zone in document.tunnel_zones.values()]
            addresses = frozenset(each[name] for each in members if name in each)
            self.hosts[name] = HostEnd(self, name, addresses)
        for host, interface in bound:
            self.hosts[names[host]].links[interface] = self.next_index()

    @classmethod
    def from_yaml(cls, text: str, settings: HostSettings | None = None) -> Self:
        """Return a started network."""
        network = cls(text, settings)
        network.start()
        return network

    def start(self) -> None:
        for host in self.hosts.values():
            host.start()
        self.settle()

    def next_index(self) -> int:
        self._index += 1
        return self._index

    # --- what happens -------------------------------------------------------------------------

    def settle(self) -> None:
        """Let everything that follows happen."""
        for _ in range(MOST_EVENTS):
            if not self.events:
                break
            self.events.popleft()()
        else:
            raise AssertionError("the network does not come to rest")
        if self.crashes and not self.crashes_expected:
            raise AssertionError("an actor crashed: " + self.crashes[0][3])

    def advance(self, seconds: float) -> None:
        """Let time pass, with the edge's ticks."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now = Nanoseconds(min(self.now + TICK, end))
            for host in self.hosts.values():
                host.datapath.clock.now = self.now / SECOND
                host.datapath.clock.milliseconds = self.now // 1_000_000
                host.give(ActorName("clock"), ClockTicked(self.now))
            self.settle()

    def send(self, link: str, *frames: bytes) -> None:
        """Let a machine send frames by its link, one after the other."""
        host = self.host_of(link)
        for frame in frames:
            host.datapath.enter(link, frame)
            host.collect()
            self.settle()

    def send_from(self, link: str, frame: bytes) -> None:
        """As `send`, by a link that need not be a port: then nothing happens."""
        host = self.host_of(link)
        if host.datapath.enter(link, frame):
            host.collect()
            self.settle()

    def send_at_once(self, link: str, *frames: bytes) -> None:
        """Let a machine send frames before the agent has looked at the first."""
        host = self.host_of(link)
        for frame in frames:
            host.datapath.enter(link, frame)
        host.collect()
        self.settle()

    def tunnel(self, frame: bytes, outer: TunnelKey, link: str = "ayatori-vxlan") -> None:
        """Carry a frame over the underlay to the tunnel port of that name, if it is there."""
        for host in self.hosts.values():
            if outer.dst in host.addresses and host.datapath.enter(link, frame, outer):
                host.collect()

    def apply(self, text: str) -> None:
        """Change the topology."""
        self.store.apply(text)
        self.settle()

    def inject(self, host: str, actor: str, times: int = 1) -> None:
        """Make an actor crash on its next messages."""
        self.crashes_expected = True
        fault = FaultInjected(self.now, ActorName(actor), times)
        self.hosts[host].give(ActorName("operator"), fault)
        self.settle()

    # --- what can be seen ---------------------------------------------------------------------

    def host_of(self, link: str) -> HostEnd:
        for host in self.hosts.values():
            if link in host.links:
                return host
        raise KeyError(link)

    def delivered(self, link: str) -> list[bytes]:
        """Return the frames that came out of a link since the last call."""
        return self.frames.pop(link, [])

    def quiet(self) -> bool:
        """Tell whether no frame came out anywhere since it was last looked at; forget them."""
        frames, self.frames = self.frames, {}
        return not frames

    def forget(self) -> None:
        """Forget the frames that came out so far."""
        self.frames.clear()

    def flows(self, host: str) -> tuple[Flow, ...]:
        return self.hosts[host].datapath.flows()

    def ask(self, host: str, subject: str) -> dict[str, Any]:
        """Ask as an operator; return the actors' parts by name."""
        self._requests += 1
        asked = OperatorAsked(self.now, self._requests, subject)  # type: ignore[arg-type]
        self.hosts[host].give(ActorName("operator"), asked)
        self.settle()
        answer = msgspec.json.decode(self.hosts[host].answers.pop(self._requests))
        assert answer["missing"] == []
        parts: dict[str, Any] = answer["parts"]
        return parts

    def macs(self, host: str, bridge: str) -> dict[str, str]:
        """Return a bridge's MAC table as a host knows it: MAC (with VLAN if any) -> port."""
        parts = self.ask(host, "tables")
        table = parts[f"bridge/{stable_id('bridge', bridge)}"]["macs"]
        return {
            (f"{row['vlan']}/" if row["vlan"] else "") + row["mac"]: row["port"].split("/")[1]
            for row in table
        }

    def arp(self, host: str, router: str) -> dict[str, str]:
        """Return a router's ARP entries as a host knows them: address -> MAC."""
        parts = self.ask(host, "tables")
        table = parts[f"router/{stable_id('router', router)}"]["arp"]
        return {row["address"]: row["mac"] for row in table}


def document_hosts(document: Document) -> tuple[str, ...]:
    """Return the names of all hosts of a document, sorted."""
    names = {host for zone in document.tunnel_zones.values() for host in zone.members}
    for each in compile_document(document):
        if isinstance(each, Host):
            names.add(each.name)
    return tuple(sorted(names))


def bridge(name: str) -> str:
    """Return the name of a bridge's actor."""
    return f"bridge/{stable_id('bridge', name)}"


def router(name: str) -> str:
    """Return the name of a router's actor."""
    return f"router/{stable_id('router', name)}"
