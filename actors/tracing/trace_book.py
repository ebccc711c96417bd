"""TraceBook: operators' requests to follow packets, and what was seen of those packets.

Owns both, bounded: the oldest records go. Receives operators' requests, and reports of packets that
are followed from the packet workflow, the devices and the flow controller. Tells the packet
workflow what to look for; answers operators itself. Touches no packet.
"""

from collections.abc import Iterable
from typing import assert_never

import msgspec

from actors.lane_actor import LaneActor
from actors.messages.operator import Inspect, Inspected, OperatorAnswered
from actors.messages.time import Tick, WakeMe
from actors.messages.traces import (
    BROUGHT_BY_TUNNEL,
    ActiveTrace,
    HopTraced,
    PacketTraced,
    TraceAsked,
    TraceEnded,
    TraceMatch,
    TracesAsked,
    TracesChanged,
    TraceStopAsked,
)
from actors.tracing.matching import complaint
from actors.tracing.records import (
    MOST_OUTPUTS_KEPT,
    TraceRecord,
    add_hop,
    opened,
    output_record,
)
from actors.values import SECOND, ActorName, Nanoseconds, format_mac

PACKET_WORKFLOW = ActorName("packet-workflow")
CLOCK = ActorName("clock")

MOST_REQUESTS = 16
"""Each active one is compared with every packet that misses the flows of its port."""

MOST_RECORDS = 1_000

BookMessage = (
    TraceAsked
    | TraceStopAsked
    | TracesAsked
    | PacketTraced
    | HopTraced
    | TraceEnded
    | Tick
    | Inspect
)


class TraceRequest(msgspec.Struct):
    """A request that is not used up."""

    id: int
    match: TraceMatch
    limit: int
    left: int
    """Packets that may still be followed."""
    until: Nanoseconds


class TraceBookState(msgspec.Struct):
    """All that the trace book knows."""

    requests: dict[int, TraceRequest] = msgspec.field(default_factory=dict)
    records: dict[int, TraceRecord] = msgspec.field(default_factory=dict)
    """By number, oldest first."""
    open: dict[int, int] = msgspec.field(default_factory=dict)
    """Number of a packet on its way -> of its record."""
    next_request: int = 1
    next_record: int = 1
    forgotten: int = 0
    """Records that went to make room."""


class TraceBook(LaneActor):
    """See the module."""

    State = TraceBookState
    can_begin_afresh = False
    state: TraceBookState

    def on_receive(self, message: BookMessage) -> None:
        """Handle one message."""
        match message:
            case PacketTraced():
                self._begin(message)
            case HopTraced():
                record = self._record(message.number)
                if record is not None:
                    add_hop(record, message)
            case TraceEnded():
                self._end(message)
            case TraceAsked():
                self._begin_request(message)
            case TraceStopAsked():
                self._end_requests(message)
            case TracesAsked():
                self._answer(message.request, self._describe(message.after, message.at))
            case Tick():
                self._drop_requests(r.id for r in self._requests() if r.until <= message.at)
            case Inspect():
                counters = {
                    "requests": len(self.state.requests),
                    "records": len(self.state.records),
                    "forgotten": self.state.forgotten,
                }
                body = msgspec.json.encode(counters)
                self.send(message.requester, Inspected(message.request, self.name, body))
            case _:
                assert_never(message)

    # --- requests -----------------------------------------------------------------------------

    def _begin_request(self, asked: TraceAsked) -> None:
        state = self.state
        wrong = complaint(asked.match, asked.limit, asked.duration)
        if wrong is None and len(state.requests) >= MOST_REQUESTS:
            wrong = f"{MOST_REQUESTS} trace requests are active already: stop one of them"
        if wrong is not None:
            self._answer(asked.request, {"error": wrong})
            return
        number = state.next_request
        state.next_request = number + 1
        until = Nanoseconds(asked.at + asked.duration)
        state.requests[number] = TraceRequest(number, asked.match, asked.limit, asked.limit, until)
        self._requests_changed()
        self._answer(asked.request, {"started": number})

    def _end_requests(self, asked: TraceStopAsked) -> None:
        requests = self.state.requests
        if asked.trace and asked.trace not in requests:
            active = ", ".join(map(str, requests)) or "none"
            self._answer(
                asked.request,
                {"error": f"there is no active trace request {asked.trace} (active: {active})"},
            )
            return
        stopped = [asked.trace] if asked.trace else list(requests)
        self._drop_requests(stopped)
        self._answer(asked.request, {"stopped": stopped})

    def _requests(self) -> tuple[TraceRequest, ...]:
        return tuple(self.state.requests.values())

    def _drop_requests(self, numbers: Iterable[int]) -> None:
        for number in tuple(numbers):
            del self.state.requests[number]
        self._requests_changed()

    def _requests_changed(self) -> None:
        """Tell the workflow what to look for, and the clock when that will be less."""
        requests = self._requests()
        active = tuple(ActiveTrace(each.id, each.match, each.until) for each in requests)
        self.send(PACKET_WORKFLOW, TracesChanged(active))
        if requests:
            first = min(each.until for each in requests)
            self.send(CLOCK, WakeMe(self.name, first))

    # --- records ------------------------------------------------------------------------------

    def _begin(self, message: PacketTraced) -> None:
        state = self.state
        number = state.next_record
        state.next_record = number + 1
        state.records[number] = opened(number, message)
        state.open[message.number] = number
        if len(state.records) > MOST_RECORDS:
            oldest = state.records.pop(next(iter(state.records)))
            state.open.pop(oldest.packet, None)
            state.forgotten += 1
        if message.trace != BROUGHT_BY_TUNNEL:
            self._use(message.trace)

    def _use(self, trace: int) -> None:
        request = self.state.requests.get(trace)
        if request is None:
            self._requests_changed()  # the workflow has missed that it is used up
            return
        request.left -= 1
        if not request.left:
            self._drop_requests((trace,))

    def _record(self, packet: int) -> TraceRecord | None:
        number = self.state.open.get(packet)
        return None if number is None else self.state.records.get(number)

    def _end(self, message: TraceEnded) -> None:
        record = self._record(message.number)
        if record is None:
            return
        del self.state.open[message.number]
        kept = message.outputs[:MOST_OUTPUTS_KEPT]
        record.outputs = [output_record(message.key, output) for output in kept]
        record.more_outputs = len(message.outputs) - len(kept)
        record.reason, record.waited, record.complete = message.reason, message.waited, True

    # --- for people ---------------------------------------------------------------------------

    def _describe(self, after: int, at: Nanoseconds) -> dict[str, object]:
        return {
            "requests": [_request_told(each, at) for each in self._requests()],
            "records": [
                {**msgspec.to_builtins(record), "at": record.at / SECOND}
                for number, record in self.state.records.items()
                if number > after
            ],
        }

    def _answer(self, request: int, answer: dict[str, object]) -> None:
        self.emit(OperatorAnswered(request, msgspec.json.encode(answer)))


def _request_told(request: TraceRequest, at: Nanoseconds) -> dict[str, object]:
    match = request.match
    macs = {"src_mac": match.eth_src, "dst_mac": match.eth_dst}
    fields: dict[str, object] = {
        "port": match.port,
        **{name: None if mac is None else format_mac(mac) for name, mac in macs.items()},
        "ethertype": match.ethertype,
        "src": None if match.src is None else str(match.src),
        "dst": None if match.dst is None else str(match.dst),
        "proto": match.proto,
        "src_port": match.src_port,
        "dst_port": match.dst_port,
    }
    return {
        "id": request.id,
        "match": {name: value for name, value in fields.items() if value is not None},
        "limit": request.limit,
        "left": request.left,
        "ends_in": round((request.until - at) / SECOND, 3),
    }
