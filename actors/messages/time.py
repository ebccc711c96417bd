"""Time, which enters a lane only as messages."""

from msgspec import Struct

from actors.messages.stored import Input
from actors.values import ActorName, Nanoseconds


class ClockTicked(Input, frozen=True, tag="clock-ticked.1"):
    """Some time has passed; sent a few times a second."""

    at: Nanoseconds


class TurnEnded(Struct, frozen=True, gc=False):
    """All is handled that came in together: let out what you gathered."""


class WakeMe(Struct, frozen=True, gc=False):
    """Send `actor` a Tick at the first clock tick at or after `at`; replaces its earlier wish."""

    actor: ActorName
    at: Nanoseconds


class Tick(Struct, frozen=True, gc=False):
    """The time that you asked to be woken at has come."""

    at: Nanoseconds
