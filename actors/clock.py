"""Clock: turns the edge's ticks into wake-up calls for the actors that asked for one.

Owns who wants to be woken when, one wish an actor. Reads no clock: time comes as ClockTicked.
"""

from typing import assert_never

import msgspec

from actors.lane_actor import LaneActor
from actors.messages.operator import Inspect, Inspected
from actors.messages.time import ClockTicked, Tick, WakeMe
from actors.values import ActorName, Nanoseconds


class ClockState(msgspec.Struct):
    """All that the clock knows."""

    wishes: dict[ActorName, Nanoseconds] = msgspec.field(default_factory=dict)
    next_at: int = 0
    """No wish is due before this; 0 when there is none."""


class ClockActor(LaneActor):
    """See the module."""

    State = ClockState
    can_begin_afresh = False
    state: ClockState

    def on_receive(self, message: ClockTicked | WakeMe | Inspect) -> None:
        """Handle one message."""
        state = self.state
        match message:
            case WakeMe():
                state.wishes[message.actor] = message.at
                if not state.next_at or message.at < state.next_at:
                    state.next_at = message.at
            case ClockTicked():
                if state.next_at and message.at >= state.next_at:
                    self._wake(message.at)
            case Inspect():
                body = msgspec.json.encode({"wishes": len(state.wishes)})
                self.send(message.requester, Inspected(message.request, self.name, body))
            case _:
                assert_never(message)

    def _wake(self, at: Nanoseconds) -> None:
        state = self.state
        due = [actor for actor, when in state.wishes.items() if when <= at]
        for actor in due:
            del state.wishes[actor]
            self.send(actor, Tick(at))
        state.next_at = min(state.wishes.values(), default=0)
