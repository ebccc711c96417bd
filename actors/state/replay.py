"""Replay: feeds a journal's inputs to fresh actors and compares what they emit.

Needs no kernel, no store, no peer, no clock: what a lane decides follows from its inputs. The
first output that differs is named; at segment borders and at the end the whole state is compared.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.composition import actor_factory
from actors.datapath.odp.messages import requests_of
from actors.datapath.request_buffer import RequestBuffer
from actors.host import HostSettings
from actors.lane import EscalationError, Lane, LaneStuckError
from actors.lane_actor import LaneActor
from actors.lane_boundary import Snapshot
from actors.messages.kinds import AnyInput
from actors.messages.packet_in import PacketIn
from actors.messages.stored import Input, Output
from actors.state.journal import CrashRecord, Run, SegmentEnd, state_checksum
from actors.state.journal_format import JournalError
from actors.state.journal_reader import (
    InputRead,
    NetlinkRead,
    OutputRead,
    SegmentBegun,
    SegmentDamaged,
    read_journal,
)
from actors.values import ActorName, Nanoseconds

Emitted = tuple[bool, bytes]
"""(whether it is a netlink request, its bytes)."""


class Difference(msgspec.Struct, frozen=True):
    """Where the replay parted from the journal."""

    input: int
    what: str
    recorded: Emitted | None
    replayed: Emitted | None


class ReplayResult(msgspec.Struct):
    """What a replay came to."""

    inputs: int = 0
    outputs: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)
    crashes: int = 0
    damage: list[SegmentDamaged] = msgspec.field(default_factory=list)


class _Recorder:
    """The journal and the edge of a replaying lane: keeps what is emitted, performs nothing."""

    def __init__(self) -> None:
        self.emitted: list[Emitted] = []
        self._encode = msgspec.msgpack.Encoder().encode

    def append_input(self, number: int, to: ActorName, message: Input) -> None:
        """Nothing: the input came from a journal."""

    def append_output(self, message: Output) -> None:
        """Keep an output."""
        self.emitted.append((False, self._encode(message)))

    def append_netlink(self, message: memoryview, _frame_length: int, /) -> None:
        """Keep netlink requests."""
        self.emitted += ((True, request) for request in requests_of(message))

    def append_crash(self, actor: ActorName, kind: str, decision: str, trace: str) -> None:
        """Nothing: the lane's own observer is told."""

    def begin_segment_if_due(self, at: Nanoseconds, snapshot: Callable[[], Snapshot]) -> None:
        """Nothing: a replay writes no segments."""

    def perform(self, output: Output) -> None:
        """Nothing: a replay has no effects."""

    def idle(self) -> None:
        """Nothing."""


class Replay:
    """See the module. `run` goes to the end; hooks let a debugger watch."""

    def __init__(self, journal: Path) -> None:
        self._path = journal
        self.result = ReplayResult()
        self.lane: Lane | None = None
        self.run_info: Run | None = None
        self.on_input: Callable[[InputRead], None] | None = None
        """Called before each input is handled."""
        self.after_input: Callable[[InputRead], None] | None = None
        self.substitute: Callable[[Lane, AnyInput], AnyInput] | None = None
        """Gives what is to be handled in place of each input; for asking "what if"."""
        self.observer: Callable[[ActorName, object], None] | None = None
        """Called before each message is delivered to an actor."""
        self._recorder = _Recorder()
        self._expected: list[Emitted] = []
        self._expected_cuts: list[int] = []
        self._current = 0
        self._ended = ""
        """Why the replayed lane ended; the recorded one must have ended there too."""

    def run(self, until: int | None = None, most_differences: int = 1) -> ReplayResult:
        """Replay up to input `until` (its number), or until `most_differences` were found.

        Raises JournalError if the journal cannot be read or was written by other code.
        """
        for entry in read_journal(self._path):
            match entry:
                case SegmentBegun():
                    self._settle(whole=True)
                    self._begin(entry)
                case InputRead():
                    self._settle(whole=True)
                    if until is not None and entry.number > until:
                        return self.result
                    if self._ended:
                        self._differ(f"the replayed lane had ended: {self._ended}", None, None)
                        return self.result
                    self._handle(entry)
                case OutputRead():
                    self._expect((False, entry.body), 0)
                case NetlinkRead():
                    self._expect((True, entry.message), entry.cut)
                case CrashRecord():
                    self.result.crashes += 1
                case SegmentEnd():
                    self._settle(whole=True)
                    self._compare_state(entry)
                case SegmentDamaged():
                    # The writer may have been killed between an input and its last output.
                    self._settle(whole=False)
                    self.result.damage.append(entry)
            if len(self.result.differences) >= most_differences:
                return self.result
        self._settle(whole=False)
        return self.result

    def actor(self, name: ActorName) -> LaneActor | None:
        """Return an actor, to look at its state."""
        return None if self.lane is None else self.lane.actor(name)

    @property
    def emitted(self) -> list[Emitted]:
        """What the current input has led to so far."""
        return self._recorder.emitted

    # --- inner workings -----------------------------------------------------------------------

    def _begin(self, segment: SegmentBegun) -> None:
        """Take over the segment's state, or compare with it if the run goes on from the last."""
        previous = self.run_info
        if (
            self.lane is not None
            and previous is not None
            and previous.started == segment.run.started
            and self.lane.inputs == segment.snapshot.inputs
        ):
            if state_checksum(self.lane.snapshot()) != state_checksum(segment.snapshot):
                self._differ("the state at the beginning of a segment", None, None)
            return
        self.run_info = segment.run
        self._ended = ""
        try:
            host = msgspec.msgpack.decode(segment.run.settings, type=HostSettings)
            requests = RequestBuffer(lambda _: 0, lambda _errno, _sequences: None)
            if self.lane is not None:
                self.lane.close()
            factory = actor_factory(host, requests)
            lane = Lane("replay", factory, self._recorder, self._recorder)
            lane.restore(segment.snapshot)
        except msgspec.DecodeError as error:
            raise JournalError(f"{segment.path}: written by other code: {error}") from error
        lane.observer = self.observer
        self.lane = lane

    def _handle(self, entry: InputRead) -> None:
        lane = self.lane
        if lane is None:
            raise JournalError(f"{self._path}: an input before the first snapshot")
        message = entry.message
        if isinstance(message, PacketIn) and message.whole_length > len(message.frame):
            message = _padded(message)
        self._current = entry.number
        self.result.inputs += 1
        if self.on_input is not None:
            self.on_input(entry)
        lane.observer = self.observer
        if self.substitute is not None:
            message = self.substitute(lane, message)
        try:
            lane.handle(entry.to, message)
        except (EscalationError, LaneStuckError) as error:
            self._ended = str(error)
        if self.after_input is not None:
            self.after_input(entry)

    def _expect(self, emitted: Emitted, cut: int) -> None:
        self._expected.append(emitted)
        self._expected_cuts.append(cut)

    def _settle(self, *, whole: bool) -> None:
        """Compare what the last input led to; if not `whole`, more may have been recorded."""
        replayed = self._recorder.emitted
        for index, recorded in enumerate(self._expected):
            if index >= len(replayed):
                self._differ("an output is missing in the replay", recorded, None)
                break
            if not _same(recorded, replayed[index], self._expected_cuts[index]):
                self._differ(f"output {index + 1} differs", recorded, replayed[index])
                break
            self.result.outputs += 1
        else:
            if whole and len(replayed) > len(self._expected):
                extra = replayed[len(self._expected)]
                self._differ("the replay emits an output more", None, extra)
        self._expected.clear()
        self._expected_cuts.clear()
        replayed.clear()

    def _compare_state(self, end: SegmentEnd) -> None:
        if end.closing and self.lane is not None:
            closing = state_checksum(self.lane.snapshot())
            if closing != end.closing:
                self._differ("the state at the end of a segment", None, None)

    def _differ(self, what: str, recorded: Emitted | None, replayed: Emitted | None) -> None:
        self.result.differences.append(Difference(self._current, what, recorded, replayed))


def _same(recorded: Emitted, replayed: Emitted, cut: int) -> bool:
    if not cut:
        return recorded == replayed
    kept = len(recorded[1])
    return recorded[1] == replayed[1][:kept] and len(replayed[1]) == kept + cut


def _padded(packet: PacketIn) -> PacketIn:
    """Give a frame that was cut its length back; decisions read nothing of what is missing."""
    missing = packet.whole_length - len(packet.frame)
    return msgspec.structs.replace(packet, frame=packet.frame + bytes(missing))
