"""One host of a network: the real lane, with the edge played by calls that the test makes."""

import zlib
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from actors.composition import actor_factory
from actors.datapath.flow_counters import FlowCounters
from actors.datapath.odp.upcalls import decode_upcall
from actors.datapath.request_buffer import RequestBuffer
from actors.edge.datapath_readers import packets_of
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.netlink import (
    DatapathLost,
    NetlinkReplied,
    NetlinkSendFailed,
    PortFailed,
    PortsSettled,
)
from actors.messages.operator import AgentStarted, OperatorAnswered, StopComplete
from actors.messages.stored import Input, Output
from actors.messages.topology import Link, LinksChanged
from actors.packets.flow_key import TunnelKey
from actors.values import ActorName, HostId, IpAddress, stable_id
from tests.network_datapath import MemoryDatapath
from tests.network_store import StoreEnd
from tests.tape import Tape

if TYPE_CHECKING:
    from tests.network import Network


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
        self.failed_ports: list[PortFailed] = []
        self.stopped = False
        self.answers: dict[int, bytes] = {}

    # --- actors.lane.Edge ---------------------------------------------------------------------

    def perform(self, output: Output) -> None:
        if self.store.perform(output):
            return
        match output:
            case PortsSettled():
                self.settled = True
            case PortFailed():
                self.failed_ports.append(output)
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
        upcalls = [decode_upcall(datagram) for datagram in self.datapath.receive_upcalls()]
        for packet in packets_of(upcalls, at):
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
