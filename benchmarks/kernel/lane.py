"""BenchLane: a real lane with the real netlink broker, and little else.

Two actors stand in for what is not measured: a producer asks for flows as the flow controller
does, and a sink hears, in the flow controller's place, what became of them. Nothing is journaled.
"""

import threading
from typing import ClassVar

from msgspec import Struct

from actors.datapath.netlink_broker import NetlinkBroker
from actors.datapath.request_buffer import RequestBuffer
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import FlowRefused, FlowsDeleted, InstallFlows, RemoveFlows
from actors.messages.netlink import NetlinkReplied
from actors.messages.stored import Output
from actors.values import ActorName, Nanoseconds
from benchmarks.kernel.requests import ACTIONS, EPOCH, MASK
from benchmarks.kernel.stage import Stage
from benchmarks.network import NullJournal

BROKER = ActorName("netlink-broker")
AT = Nanoseconds(EPOCH)


class Produce(Struct, frozen=True):
    """Ask for the flows from `first` to before `end`, or for their removal."""

    first: int
    end: int
    remove: bool = False
    at: Nanoseconds = AT


class _Nothing(Struct):
    pass


class Producer(LaneActor):
    """Asks the broker as the flow controller does at the end of a turn: for all flows at once."""

    State = _Nothing
    keys: ClassVar[list[bytes]] = []

    def on_receive(self, message: Produce) -> None:
        """Ask for what the order says."""
        flows = tuple(range(message.first, message.end))
        if message.remove:
            self.send(BROKER, RemoveFlows(flows))
            return
        keys = tuple(self.keys[message.first : message.end])
        self.send(BROKER, InstallFlows(flows, keys, MASK, ACTIONS))


class Sink(LaneActor):
    """Hears what the flow controller would hear, and only counts."""

    State = _Nothing
    deleted = refused = 0

    def on_receive(self, message: object) -> None:
        """Count."""
        if type(message) is FlowsDeleted:
            self.deleted += message.flows
        elif type(message) is FlowRefused:
            self.refused += 1

    @property
    def heard(self) -> int:
        """Answers so far."""
        return self.deleted + self.refused


class _SendingEdge:
    def __init__(self, requests: RequestBuffer) -> None:
        self.idle = requests.flush

    def perform(self, output: Output) -> None:
        """Nothing: the broker's outputs are in its buffer."""


class BenchLane:
    """See the module. `keys` are the flows' keys by number."""

    def __init__(self, stage: Stage, keys: list[bytes], send_at: int = 1 << 20) -> None:
        self.requests = RequestBuffer(stage.channel.send, self._failed, send_at=send_at)
        self.lane = Lane("bench", self._make, NullJournal(), _SendingEdge(self.requests))
        Producer.keys = keys
        handle = self.lane.handle
        handle(BROKER, stage.connected(AT))
        sink = self.lane.actor(ActorName("flow-controller"))
        assert isinstance(sink, Sink)
        self.sink = sink
        for number in range(2):
            self.lane.start_actor(ActorName(f"producer/{number}"))
        handle(BROKER, NetlinkReplied(AT, b""))
        self._handle = handle
        self._producer = ActorName("producer/0")

    def _make(self, lane: Lane, name: ActorName) -> LaneActor | None:
        if name == BROKER:
            return NetlinkBroker.start_on(lane, name, requests=self.requests)
        kind = Producer if name.startswith("producer/") else Sink
        return kind.start_on(lane, name)

    @staticmethod
    def _failed(error: int, sequences: tuple[int, ...]) -> None:
        raise OSError(error, f"{len(sequences)} requests were not sent")

    def create(self, first: int, end: int) -> None:
        """Let the producer ask for flows."""
        self._handle(self._producer, Produce(first, end))  # type: ignore[arg-type]

    def delete(self, first: int, end: int) -> None:
        """Let the producer ask for the removal of flows."""
        self._handle(self._producer, Produce(first, end, remove=True))  # type: ignore[arg-type]

    def flush(self) -> None:
        """Send what has gathered."""
        self.requests.flush()

    def replied(self, datagram: bytes) -> None:
        """Give the broker what the datapath answered."""
        self._handle(BROKER, NetlinkReplied(AT, datagram))

    def produce(self, producer: int, first: int, end: int, batch: int) -> None:
        """Hand in orders for flows, from any thread."""
        name = ActorName(f"producer/{producer}")
        for start in range(first, end, batch):
            order = Produce(start, min(start + batch, end))
            self.lane.submit(name, order)  # type: ignore[arg-type]

    def run_until(self, threads: list[threading.Thread]) -> None:
        """Run the lane in this thread until all is done that `threads` hand in."""

        def end() -> None:
            for thread in threads:
                thread.join()
            self.lane.stop()

        ending = threading.Thread(target=end)
        ending.start()
        self.lane.run()
        ending.join()
