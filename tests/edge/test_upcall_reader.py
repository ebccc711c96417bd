"""The reader of upcalls keeps to the lane's pace: what waits, waits in the datapath's queues."""

import queue
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from actors.datapath.odp.upcalls import encode_upcall
from actors.edge.datapath_readers import UpcallReader
from actors.edge.steady_clock import SteadyClock
from actors.lane import PACKET_BACKLOG, Lane
from actors.lane_actor import LaneActor
from actors.messages.packet_in import PacketIn
from actors.values import ActorName
from tests.network_datapath import MemoryDatapath
from tests.scenarios.waiting import eventually
from tests.tape import Tape

UPCALL = encode_upcall(1, 1, 1, b"\x08\x00\x03\x00\x01\x00\x00\x00", bytes(60))


class _Count(msgspec.Struct):
    packets: int = 0


class _Workflow(LaneActor):
    State = _Count
    state: _Count

    def on_receive(self, message: PacketIn) -> None:
        assert message.frame
        self.state.packets += 1


class _Idle:
    def perform(self, output: object) -> None:
        """Nothing comes of packets here."""

    def idle(self) -> None:
        """Nothing waits."""


class _Endless(MemoryDatapath):
    """A datapath that never runs out of upcalls until it is closed."""

    def __init__(self) -> None:
        super().__init__({}, lambda *_: None)
        self.read = 0
        self._closed = queue.SimpleQueue[None]()

    def receive_upcalls(self) -> list[bytes]:
        if not self._closed.empty():
            return []
        self.read += 1
        return [UPCALL] * 64

    def close(self) -> None:
        self._closed.put(None)


Started = tuple[Lane, _Endless, UpcallReader]


@pytest.fixture
def started() -> Iterator[Started]:
    def make(lane: Lane, name: ActorName) -> Any:
        return _Workflow.start_on(lane, name)

    lane = Lane("test", make, Tape(), _Idle())
    channel = _Endless()
    reader = UpcallReader(lane, SteadyClock(), channel)
    reader.start()
    yield lane, channel, reader
    channel.close()
    assert reader.stop()
    lane.close()


def test_what_the_lane_has_no_room_for_stays_in_the_datapath(started: Started) -> None:
    _, channel, reader = started
    eventually(lambda: channel.read > PACKET_BACKLOG, "the lane's door is full")
    assert channel.read == PACKET_BACKLOG + 1
    assert reader.overflow == 0
    assert reader.alive


def test_reading_goes_on_when_the_lane_has_room_again(started: Started) -> None:
    lane, channel, reader = started
    eventually(lambda: channel.read > PACKET_BACKLOG, "the lane's door is full")
    channel.close()
    lane.stop()  # behind what waits
    lane.run()
    eventually(lambda: not reader.alive, "the last batch is handed in")
    assert reader.overflow == 0
    lane.stop()
    lane.run()
    workflow = lane.actor(ActorName("packet-workflow"))
    assert workflow is not None
    assert workflow.state.packets == (PACKET_BACKLOG + 1) * 64


def test_a_reader_that_is_stopped_waits_for_no_room(started: Started) -> None:
    _, channel, reader = started
    eventually(lambda: channel.read > PACKET_BACKLOG, "the lane's door is full")
    assert reader.stop()
    assert reader.failure is None
    assert reader.overflow == 64
