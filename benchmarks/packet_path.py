"""What a packet costs: simulation alone, the whole path, the journal, a hop."""

import shutil
from collections.abc import Callable

import msgspec
from msgspec import Struct

from actors.devices import bridge_forwarding, router_forwarding
from actors.devices.bridge import BridgeActor
from actors.devices.outcome import Emitted, Forwarded
from actors.devices.router import RouterActor
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.lifetimes import LIFE_PLAIN
from actors.messages.packet_in import PacketIn
from actors.messages.simulation import PacketContext
from actors.messages.time import ClockTicked
from actors.packets.extract import flow_key_of
from actors.state.journal import JournalSettings, JournalWriter, Run
from actors.values import ActorName, PortId
from benchmarks.measure import Figure, per_operation
from benchmarks.network import (
    START,
    BenchNetwork,
    NullEdge,
    NullJournal,
    bridged_packets,
    routed_packets,
    scratch,
)

PACKETS = 10_000
HOPS = 100_000


def figures() -> list[Figure]:
    """Measure."""
    return [
        per_operation("hop between two actors of a lane", _hops, wanted=2.0),
        per_operation("simulation alone: bridge", _bridge_alone),
        per_operation("simulation alone: bridge, router, bridge", _routed_alone),
        per_operation("whole path: bridge, flow known already", _whole(bridged_packets)),
        per_operation(
            "whole path: bridge, router, bridge, flow create + execute",
            _whole(routed_packets),
            wanted=40.0,
        ),
        _journal_cost(),
    ]


class _Nothing(Struct):
    pass


class _Ball(Struct, frozen=True):
    left: int


class _Player(LaneActor):
    State = _Nothing

    def on_receive(self, message: _Ball | ClockTicked) -> None:
        left = message.left if type(message) is _Ball else HOPS
        if left:
            self.send(_PONG if self.name == _PING else _PING, _Ball(left - 1))


_PING, _PONG = ActorName("ping"), ActorName("pong")


def _hops() -> tuple[Callable[[], None], int]:
    lane = Lane("hop", _Player.start_on, NullJournal(), NullEdge())
    lane.handle(_PONG, ClockTicked(START))
    return lambda: lane.handle(_PING, ClockTicked(START)), HOPS


def _context(frame: bytes, port: PortId, in_port: int) -> PacketContext:
    key = flow_key_of(frame, in_port)
    return PacketContext(1, START, b"", key, key, frame, port, 0, (), (), (), 0, 1, LIFE_PLAIN)


def _devices(network: BenchNetwork) -> tuple[BridgeActor, RouterActor, BridgeActor, PortId]:
    lane = network.lane
    left, right = (actor for n in lane.names if isinstance(actor := lane.actor(n), BridgeActor))
    if left.state.config is not None and left.state.config.name != "left":
        left, right = right, left
    router = next(a for n in lane.names if isinstance(a := lane.actor(n), RouterActor))
    assert left.state.config is not None
    entry = next(p.id for p in left.state.config.ports if p.interface == "a")
    return left, router, right, entry


def _bridge_alone() -> tuple[Callable[[], None], int]:
    network = BenchNetwork()
    left, _, _, entry = _devices(network)
    packet = bridged_packets(network, 1)[0]
    context = _context(packet.frame, entry, 2)
    view, macs = left.view, left.state.macs
    assert view is not None

    def run() -> None:
        for _ in range(PACKETS):
            bridge_forwarding.decide(view, macs, context, entry)

    return run, PACKETS


def _routed_alone() -> tuple[Callable[[], None], int]:
    network = BenchNetwork()
    left, router, right, entry = _devices(network)
    context = _context(routed_packets(network, 1)[0].frame, entry, 2)
    assert left.view is not None
    assert router.view is not None
    assert right.view is not None
    views = left.view, router.view, right.view

    def run() -> None:
        for _ in range(PACKETS):
            first, _ = bridge_forwarding.decide(views[0], left.state.macs, context, entry)
            assert type(first) is Forwarded
            second = router_forwarding.decide(views[1], router.state.arp, first.context, first.port)
            assert type(second) is Forwarded
            third, _ = bridge_forwarding.decide(
                views[2], right.state.macs, second.context, second.port
            )
            assert type(third) is Emitted

    return run, PACKETS


def _whole(
    make: Callable[[BenchNetwork, int], list[PacketIn]],
) -> Callable[[], tuple[Callable[[], None], int]]:
    def prepare() -> tuple[Callable[[], None], int]:
        network = BenchNetwork()
        packets = make(network, PACKETS)
        handle, workflow = network.lane.handle, ActorName("packet-workflow")

        def run() -> None:
            for packet in packets:
                handle(workflow, packet)

        return run, PACKETS

    return prepare


def _journal_cost() -> Figure:
    """Measure what the records of one packet cost: its input, its flow, its execute."""
    folder = scratch("journal")
    network = BenchNetwork()
    packets = routed_packets(network, PACKETS)
    flow, execute = bytes(300), bytes(220)

    def prepare() -> tuple[Callable[[], None], int]:
        run = Run("bench", "h1", START, 2048, msgspec.Raw(b"\xc0"))
        writer = JournalWriter(
            JournalSettings(folder, segment_size=64 * 1024 * 1024, keep_segments=2), run
        )
        writer.begin_segment_if_due(START, network.lane.snapshot)
        flow_view, execute_view = memoryview(flow), memoryview(execute)
        workflow = ActorName("packet-workflow")

        def record() -> None:
            for number, packet in enumerate(packets):
                writer.append_input(number, workflow, packet)
                writer.append_netlink(flow_view, 0)
                writer.append_netlink(execute_view, 64)

        return record, PACKETS

    try:
        return per_operation("journal: input, flow and execute of a packet", prepare, wanted=3.0)
    finally:
        shutil.rmtree(folder)
