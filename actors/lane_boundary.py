"""What a lane needs of the world: a journal to write in, an edge that performs its outputs."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from actors.messages.stored import Input, Output
from actors.values import ActorName, Nanoseconds


class Journal(Protocol):
    """Where a lane writes down what enters and leaves it."""

    def append_input(self, number: int, to: ActorName, message: Input) -> None:
        """Record an input that is about to be handled."""
        ...

    def append_output(self, message: Output) -> None:
        """Record an output that is about to be performed."""
        ...

    def append_netlink(self, message: memoryview, frame_length: int, /) -> None:
        """Record netlink requests that stand one behind the other.

        One with a packet's frame comes alone; its last `frame_length` bytes, but for the padding,
        are the frame.
        """
        ...

    def append_crash(self, actor: ActorName, kind: str, decision: str, trace: str) -> None:
        """Record a crash, for people."""
        ...

    def begin_segment_if_due(self, at: Nanoseconds, snapshot: Callable[[], "Snapshot"]) -> None:
        """Start a new segment with a snapshot if the current one is full or old."""
        ...


class Edge(Protocol):
    """What performs a lane's outputs. Its methods must not block."""

    def perform(self, output: Output) -> None:
        """Do what the output says, soon, in the order of calls."""
        ...

    def idle(self) -> None:
        """Nothing waits: send what was gathered."""
        ...


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A lane's whole state between two inputs; actors in the order of their creation."""

    inputs: int
    policy: bytes
    faults: dict[ActorName, int]
    actors: tuple[tuple[ActorName, bytes], ...]
