"""The stream: what a connection says, in the order in which the server said it.

An answer to a read comes after the events of every change that it shows, and before those of
every later one. kazoo hands both out on one thread of its own; nothing here reorders them.
"""

from collections.abc import Callable

from msgspec import Struct

from actors.state.store.zookeeper.persistent_watch import NodeEvent


class NodeChanged(Struct, frozen=True):
    """A node that a persistent watch covers was created, changed or deleted."""

    event: NodeEvent
    path: str


class Answered(Struct, frozen=True):
    """What was asked with `token` is answered, or failed."""

    token: object
    value: object = None
    error: Exception | None = None


class Connected(Struct, frozen=True):
    """A connection stands, without any watch yet."""


class Disconnected(Struct, frozen=True):
    """It broke, and its watches with it. `expired` says that the session did, too."""

    expired: bool


StreamItem = NodeChanged | Answered | Connected | Disconnected
Tell = Callable[[StreamItem], None]
