"""Network: a whole virtual network in one process, without threads, sockets or clocks.

Per host the real lane with all its actors, the real request buffer and codec, and a datapath that
executes the real bytes (network_datapath.py); hosts share a store in memory (network_store.py) and
reach each other through tunnels. Everything happens in one order: the same calls, the same bytes.
"""

import zlib
from collections import deque
from collections.abc import Callable
from typing import Any, Self

import msgspec

from actors.composition import actor_factory
from actors.datapath.flow_counters import FlowCounters
from actors.datapath.odp.constants import OVS_PACKET_CMD_ACTION
from actors.datapath.odp.upcalls import decode_upcall
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.soft.flow_table import Flow
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.lane_boundary import Snapshot
from actors.messages.netlink import DatapathLost, NetlinkReplied, NetlinkSendFailed, PortsSettled
from actors.messages.operator import (
    AgentStarted,
    FaultInjected,
    OperatorAnswered,
    OperatorAsked,
    StopComplete,
)
from actors.messages.packet_in import PacketIn
from actors.messages.stored import Input, Output
from actors.messages.time import ClockTicked
from actors.messages.topology import Link, LinksChanged
from actors.packets.flow_key import TunnelKey
from actors.state.document import Document, compile_document, parse_document
from actors.state.topology import Bridge, Host, Router
from actors.values import (
    SECOND,
    ActorName,
    HostId,
    IpAddress,
    Nanoseconds,
    stable_id,
)
from tests.network_datapath import MemoryDatapath
from tests.network_store import MemoryStore, StoreEnd

START = Nanoseconds(1_700_000_000 * SECOND)
TICK = SECOND // 4
MOST_EVENTS = 100_000


class Tape:
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.inputs: list[tuple[int, ActorName, Input]] = []
        self.outputs: list[bytes] = []
        self.crashes: list[tuple[ActorName, str, str]] = []

    def append_input(self, number: int, to: ActorName, message: Input) -> None:
        self.inputs.append((number, to, message))

    def append_output(self, message: Output) -> None:
        self.outputs.append(msgspec.msgpack.encode(message))

    def append_netlink(self, message: memoryview, frame_length: int) -> None:
        del frame_length
        self.outputs.append(bytes(message))

    def append_crash(self, actor: ActorName, kind: str, decision: str, trace: str) -> None:
        del trace
        self.crashes.append((actor, kind, decision))

    def begin_segment_if_due(self, at: Nanoseconds, snapshot: Callable[[], Snapshot]) -> None:
        """One tape is enough."""


class HostEnd:
    """One host: its lane, its datapath, its end of the store."""

    def __init__(self, network: "Network", name: str, addresses: frozenset[IpAddress]) -> None:
        self.network = network
        self.name = name
        self.addresses = addresses
        self.settings = msgspec.structs.replace(
            network.settings,
            host=HostId(stable_id("host", name)),
            name=name,
            seed=zlib.crc32(name.encode()),
        )
        self.links: dict[str, int] = {}
        self.silent: set[str] = set()
        """Links that have no carrier when all are told of."""
        self.datapath = MemoryDatapath(self.links, self._frame_out)
        self.requests = RequestBuffer(self.datapath.send, self._send_failed)
        self.tape = Tape()
        self.lane = Lane(name, actor_factory(self.settings, self.requests), self.tape, self)
        self.lane.on_crash = self._crashed
        self.store = StoreEnd(network.store, self.settings.host, self.give)
        self.store_held: deque[tuple[ActorName, Input]] | None = None
        """What the store says waits here while it is not None."""
        self.replies_lost = False
        """Whether what the datapath answers never arrives."""
        self.settled = False
        self.stopped = False
        self.answers: dict[int, bytes] = {}

    # --- actors.lane.Edge ---------------------------------------------------------------------

    def perform(self, output: Output) -> None:
        if self.store.perform(output):
            return
        match output:
            case PortsSettled():
                self.settled = True
            case OperatorAnswered(request, body):
                self.answers[request] = body
            case StopComplete():
                self.stopped = True
            case _:
                raise TypeError(f"nobody performs {type(output).__name__}")

    def idle(self) -> None:
        self.requests.flush()

    # --- inputs -------------------------------------------------------------------------------

    def give(self, to: ActorName, message: Input) -> None:
        """Hand in an input, behind those that wait already."""
        if self.store_held is not None and to in {"topology-watcher", "state-tables"}:
            self.store_held.append((to, message))
            return
        self.network.events.append(lambda: self.handle(to, message))

    def handle(self, to: str, message: Input) -> None:
        """Let the lane handle an input now, and take what came of it from the datapath."""
        self.lane.handle(ActorName(to), message)
        self.idle()
        self.collect()

    def collect(self) -> None:
        """Hand in the datapath's replies and upcalls."""
        at = self.network.now
        if self.replies_lost:
            self.datapath.replies.clear()
        while self.datapath.replies:
            datagram = self.datapath.receive_reply()
            self.give(ActorName("netlink-broker"), NetlinkReplied(at, datagram))
        for datagram in self.datapath.receive_upcalls():
            upcall = decode_upcall(datagram)
            by_action = upcall.cmd == OVS_PACKET_CMD_ACTION
            packet = PacketIn(at, upcall.raw_key, upcall.frame, by_action, upcall.userdata)
            self.give(ActorName("packet-workflow"), packet)

    def start(self) -> None:
        at = self.network.now
        self.give(ActorName("operator"), AgentStarted(at))
        self.give(ActorName("netlink-broker"), self.datapath.connect(at))
        self.tell_links()
        self.store.open_session()

    def tell_links(self) -> None:
        links = tuple(
            Link(name, index, True, 1500, name not in self.silent)
            for name, index in self.links.items()
        )
        changed = LinksChanged(self.network.now, links, whole=True)
        self.give(ActorName("datapath-ports"), changed)

    def set_link(self, name: str, *, up: bool = True, carrier: bool = True) -> None:
        """Let an interface go down or up, lose or regain its carrier."""
        link = Link(name, self.links[name], up, 1500, carrier)
        self.give(ActorName("datapath-ports"), LinksChanged(self.network.now, (link,)))

    def plug_link(self, link: str) -> None:
        self.links[link] = self.network.next_index()
        self.tell_links()

    def unplug_link(self, link: str) -> None:
        del self.links[link]
        self.tell_links()

    def restart_datapath(self) -> None:
        self.give(ActorName("netlink-broker"), DatapathLost(self.network.now))
        self.give(ActorName("netlink-broker"), self.datapath.connect(self.network.now))

    def kill(self) -> None:
        """Let the agent die, with all that it knew; its datapath and its session live on."""
        self.lane.close()
        self.tape = Tape()
        self.lane = Lane(self.name, actor_factory(self.settings, self.requests), self.tape, self)
        self.lane.on_crash = self._crashed
        self.store.forget_watches()
        self.settled = False

    def hold_store(self) -> None:
        self.store_held = deque()

    def release_store(self) -> None:
        held, self.store_held = self.store_held, None
        for to, message in held or ():
            self.give(to, message)

    def _send_failed(self, errno: int, sequences: tuple[int, ...]) -> None:
        failed = NetlinkSendFailed(self.network.now, errno, sequences)
        self.give(ActorName("netlink-broker"), failed)

    def _frame_out(self, link: str, frame: bytes, tunnel: TunnelKey | None) -> None:
        if tunnel is None:
            self.network.frames.setdefault(link, []).append(frame)
        else:
            self.network.events.append(lambda: self.network.tunnel(frame, tunnel, link))

    def _crashed(self, actor: ActorName, error: BaseException, trace: str) -> None:
        self.network.crashes.append((self.name, actor, repr(error), trace))

    # --- looking inside -----------------------------------------------------------------------

    def actor(self, name: str) -> LaneActor:
        found = self.lane.actor(ActorName(name))
        assert found is not None, name
        return found

    @property
    def counters(self) -> FlowCounters:
        counters: FlowCounters = self.actor("flow-controller").state.counters
        return counters

    def drops(self, actor: str) -> dict[str, int]:
        counted: dict[str, int] = self.actor(actor).state.drops
        return counted


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
