"""WhatIf: yesterday's traffic under another topology.

Replays a journal twice, once as it was and once with the topology's objects replaced by those of
another document, and tells of each packet that would have fared differently. What the outside
world answered is taken from the journal: an interface that was not plugged in then stays so.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from actors.lane import Lane
from actors.messages.kinds import AnyInput
from actors.messages.topology import ObjectState, TopologyChanged, WatchObject
from actors.state.document import encode_object, object_key
from actors.state.journal_reader import InputRead, decode_output
from actors.state.replay import Replay
from actors.state.replay_trace import PacketTrace, PacketTraces
from actors.state.topology import TopologyObject
from actors.values import ActorName

TOPOLOGY_WATCHER = ActorName("topology-watcher")
OTHER_VERSION = 1_000_000_000
"""Of the substituted objects: above any that a store has given out."""


class Changed(Struct, frozen=True):
    """A packet that fares differently: as it was, and as it would be."""

    was: PacketTrace
    would_be: PacketTrace | None


class Answer(Struct, frozen=True):
    """What comes of the question."""

    packets: int
    changed: tuple[Changed, ...]


def what_if(journal: Path, objects: tuple[TopologyObject, ...]) -> Answer:
    """Ask what the journal's packets would have met. Raises JournalError."""
    was = _traces(journal, None)
    would_be = _traces(journal, objects)
    changed = tuple(
        Changed(trace, would_be.get(number))
        for number, trace in was.items()
        if _fate(trace) != _fate(would_be.get(number))
    )
    return Answer(len(was), changed)


def _fate(trace: PacketTrace | None) -> tuple[tuple[str, ...], str, str] | None:
    return None if trace is None else (tuple(trace.path), trace.verdict, trace.outputs)


def _traces(journal: Path, objects: tuple[TopologyObject, ...] | None) -> dict[int, PacketTrace]:
    replay = Replay(journal)
    traces = PacketTraces()

    def delivered(actor: ActorName, message: object) -> None:
        if replay.lane is not None:
            traces.delivered(replay.lane, actor, message)

    replay.observer = delivered
    if objects is not None:
        other = _OtherTopology(replay, objects)
        replay.substitute = other.substitute
        replay.after_input = other.answer_watches
    replay.run(most_differences=1 << 62)
    return {trace.number: trace for trace in traces.finished}


class _OtherTopology:
    """Stands in for the store: every object is as the other document has it."""

    def __init__(self, replay: Replay, objects: tuple[TopologyObject, ...]) -> None:
        self._replay = replay
        self._data = {
            (object_key(thing).kind, object_key(thing).id): encode_object(thing)
            for thing in objects
        }

    def substitute(self, _lane: Lane, message: AnyInput) -> AnyInput:
        """Replace the objects that a topology change brings."""
        if not isinstance(message, TopologyChanged):
            return message
        there = {(stored.kind, stored.id) for stored in message.objects}
        objects = [self._object(stored.kind, stored.id) for stored in message.objects]
        if message.whole_kind:
            objects += [
                self._object(kind, identity)
                for kind, identity in self._data
                if kind == message.whole_kind and (kind, identity) not in there
            ]
        return msgspec.structs.replace(message, objects=tuple(objects))

    def answer_watches(self, entry: InputRead) -> None:
        """Answer what is asked for at once: the journal's store may never have been asked."""
        lane = self._replay.lane
        answered = 0
        while lane is not None and answered < len(self._replay.emitted):
            netlink, body = self._replay.emitted[answered]
            answered += 1
            output = None if netlink else decode_output(body)
            if isinstance(output, WatchObject):
                stored = self._object(output.kind, output.id)
                lane.handle(TOPOLOGY_WATCHER, TopologyChanged(lane.now, (stored,)))
                lane.inputs = entry.number

    def _object(self, kind: str, identity: str) -> ObjectState:
        data = self._data.get((kind, identity))
        return ObjectState(kind, identity, OTHER_VERSION if data is not None else 0, data)
