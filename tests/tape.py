"""A journal that keeps in memory what it is told."""

from collections.abc import Callable

import msgspec

from actors.datapath.odp.messages import requests_of
from actors.lane_boundary import Snapshot
from actors.messages.stored import Input, Output
from actors.values import ActorName, Nanoseconds


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
        self.outputs += requests_of(message)

    def append_crash(self, actor: ActorName, kind: str, decision: str, trace: str) -> None:
        del trace
        self.crashes.append((actor, kind, decision))

    def begin_segment_if_due(self, at: Nanoseconds, snapshot: Callable[[], Snapshot]) -> None:
        """One tape is enough."""
