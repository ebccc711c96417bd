"""Operators' requests, and how a lane is stopped."""

from typing import Literal

from msgspec import Struct

from actors.messages.stored import Input, Output
from actors.values import ActorName, Nanoseconds


class AgentStarted(Input, frozen=True, tag="agent-started.1"):
    """The first input of a run: the actors that are always there come to life."""

    at: Nanoseconds


class OperatorAsked(Input, frozen=True, tag="operator-asked.1"):
    """Somebody wants to see what the actor holds; answered by OperatorAnswered."""

    at: Nanoseconds
    request: int
    subject: Literal["flows", "tables", "devices", "stats"]


class FaultInjected(Input, frozen=True, tag="fault-injected.1"):
    """The next `times` messages to `actor` shall crash it: to see the supervision work."""

    at: Nanoseconds
    actor: ActorName
    times: int


class StopRequested(Input, frozen=True, tag="stop-requested.1"):
    """The agent stops: take the flows out of the datapath, or leave them."""

    at: Nanoseconds
    keep_flows: bool


class OperatorAnswered(Output, frozen=True, tag="operator-answered.1"):
    """The answer, as JSON."""

    request: int
    body: bytes


class StopComplete(Output, frozen=True, tag="stop-complete.1"):
    """All that stopping asks of the lane has been sent."""


class Inspect(Struct, frozen=True):
    """Report what you hold to `requester`, as Inspected."""

    request: int
    subject: str
    at: Nanoseconds
    requester: ActorName


class Inspected(Struct, frozen=True):
    """An actor's part of an answer: JSON."""

    request: int
    actor: ActorName
    body: bytes
