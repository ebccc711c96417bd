"""OperatorDesk: takes operators' requests, asks the actors concerned, puts the answer together.

Owns the requests that are being answered. Also starts the actors that are always there, and
carries out injected faults and the orderly stop.
"""

from typing import assert_never

import msgspec

from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flows import FlushFlows
from actors.messages.operator import (
    AgentStarted,
    FaultInjected,
    Inspect,
    Inspected,
    OperatorAnswered,
    OperatorAsked,
    StopComplete,
    StopRequested,
)
from actors.messages.time import Tick, WakeMe
from actors.values import SECOND, ActorName, Nanoseconds

FLOW_CONTROLLER = ActorName("flow-controller")
CLOCK = ActorName("clock")
PATIENCE = 4 * SECOND
MOST_REQUESTS = 64

DeskMessage = AgentStarted | OperatorAsked | Inspected | FaultInjected | StopRequested | Tick


class Asked(msgspec.Struct):
    """A request whose parts are being gathered."""

    missing: list[ActorName]
    deadline: Nanoseconds
    parts: dict[ActorName, msgspec.Raw] = msgspec.field(default_factory=dict)


class DeskState(msgspec.Struct):
    """All that the operator desk knows."""

    asked: dict[int, Asked] = msgspec.field(default_factory=dict)


class OperatorDesk(LaneActor):
    """See the module."""

    State = DeskState
    can_begin_afresh = False
    state: DeskState

    def __init__(self, name: ActorName, lane: Lane, always_there: tuple[ActorName, ...]) -> None:
        super().__init__(name, lane)
        self._always_there = always_there

    def on_receive(self, message: DeskMessage) -> None:
        """Handle one message."""
        match message:
            case AgentStarted():
                for name in self._always_there:
                    self.lane.start_actor(name)
            case OperatorAsked():
                self._ask(message)
            case Inspected():
                self._gather(message)
            case FaultInjected():
                self.lane.inject_fault(message.actor, message.times)
            case StopRequested():
                if not message.keep_flows:
                    self.send(FLOW_CONTROLLER, FlushFlows())
                self.emit(StopComplete())
            case Tick():
                self._run_out_of_patience(message.at)
            case _:
                assert_never(message)

    def _ask(self, message: OperatorAsked) -> None:
        state = self.state
        if len(state.asked) >= MOST_REQUESTS:
            self.emit(OperatorAnswered(message.request, b'{"error":"too many requests"}'))
            return
        names = [n for n in self.lane.names if _concerns(n, message.subject) and n != self.name]
        deadline = Nanoseconds(message.at + PATIENCE)
        state.asked[message.request] = Asked(names, deadline)
        for name in names:
            self.send(name, Inspect(message.request, message.subject, message.at, self.name))
        if not names:
            self._answer(message.request, state.asked[message.request])
        elif len(state.asked) == 1:
            self.send(CLOCK, WakeMe(self.name, deadline))

    def _gather(self, message: Inspected) -> None:
        asked = self.state.asked.get(message.request)
        if asked is None or message.actor not in asked.missing:
            return
        asked.missing.remove(message.actor)
        asked.parts[message.actor] = msgspec.Raw(message.body)
        if not asked.missing:
            self._answer(message.request, asked)

    def _run_out_of_patience(self, at: Nanoseconds) -> None:
        for request, asked in list(self.state.asked.items()):
            if asked.deadline <= at:
                self._answer(request, asked)
        if self.state.asked:
            deadline = min(asked.deadline for asked in self.state.asked.values())
            self.send(CLOCK, WakeMe(self.name, deadline))

    def _answer(self, request: int, asked: Asked) -> None:
        del self.state.asked[request]
        body = msgspec.json.encode({"parts": asked.parts, "missing": asked.missing})
        self.emit(OperatorAnswered(request, body))


def _concerns(name: ActorName, subject: str) -> bool:
    device = name.startswith(("bridge/", "router/"))
    match subject:
        case "flows":
            return name == FLOW_CONTROLLER
        case "tables":
            return device or name in {"datapath-ports", "state-tables"}
        case "devices":
            return device
        case _:
            return True
