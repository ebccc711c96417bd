"""Scope: one watched path, what is known under it, and who is to be told.

A scope is driven by the delivery thread: it asks, and takes events and answers in the order of
the stream. `begin` sets the watch and reads what is there; a scope that already told its
subscribers something tells them the difference then. That is all that a reconnect needs.
"""

from typing import Protocol

from kazoo.exceptions import NoNodeError
from kazoo.protocol import serialization as wire
from msgspec import Struct

from actors.state.store.interface import SnapshotComplete, StoreEvent
from actors.state.store.zookeeper.persistent_watch import AddWatch, NodeEvent, RemoveWatch
from actors.state.store.zookeeper.stream import Answered
from actors.state.store.zookeeper.subscription import Subscription


class Asked(Struct, frozen=True, eq=False):
    """A token: whose request it is, of which reading, and what for."""

    scope: "Scope"
    reading: int
    what: object = None


class Post(Protocol):
    """What the delivery thread does for a scope."""

    def ask(self, request: object, token: Asked) -> None:
        """Send a request whose answer comes back to the scope."""
        ...

    def tell(self, subscription: Subscription, events: tuple[StoreEvent, ...]) -> None:
        """Call a listener."""
        ...

    def gathered(self, scope: "Scope") -> None:
        """Have the scope flush once all that has come already has been taken."""
        ...

    def refuse(self, path: str) -> None:
        """Report a node that this store would not have written."""
        ...

    def failed(self, scope: "Scope", error: Exception) -> None:
        """Report a reading that failed, and begin it again later."""
        ...


_SYNC, _JOIN, _WATCH = "sync", "join", "watch"
_OVER = 0
"""The reading of requests whose answers matter to nobody; readings count from 1."""


class Scope:
    """What tables, kinds and single objects have in common."""

    def __init__(self, path: str, post: Post) -> None:
        self.path = path
        self._post = post
        self._reading = 0
        self._live = False
        self._news: list[StoreEvent] = []
        self._told: list[Subscription] = []
        self._waiting: list[Subscription] = []

    @property
    def wanted(self) -> bool:
        """Whether somebody still listens."""
        return any(sub.active for sub in (*self._told, *self._waiting))

    def begin(self) -> None:
        """Set the watch (anew) and read what is there."""
        self.flush()
        self._reading += 1
        self._live = False
        self._ask(AddWatch(self.path), _WATCH)
        self._ask(wire.Sync(self.path), _SYNC)
        self._ask_first()

    def join(self, subscription: Subscription) -> None:
        """Add a subscription; it is told all that there was when it came, and then the changes."""
        self._waiting.append(subscription)
        if self._live:
            self._ask(wire.Sync(self.path), _JOIN)
        elif not self._reading:
            self.begin()

    def leave(self) -> None:
        """Forget subscriptions that have ended."""
        self._told = [sub for sub in self._told if sub.active]
        self._waiting = [sub for sub in self._waiting if sub.active]

    def end(self) -> None:
        """Remove the watch."""
        self._reading += 1
        self._post.ask(RemoveWatch(self.path), Asked(self, _OVER))

    def take_event(self, event: NodeEvent, path: str) -> None:
        """Take an event of a node under the path. What is still being read includes it."""
        raise NotImplementedError

    def take_answer(self, asked: Asked, answer: Answered) -> None:
        """Take the answer to a request of this scope."""
        if asked.reading != self._reading:
            return  # of a connection that is no more
        missing = isinstance(answer.error, NoNodeError)
        if answer.error is not None and not missing:
            self._reading += 1
            self._live = False
            self._post.failed(self, answer.error)
        elif asked.what is _JOIN:
            if self._live:
                self._greet()
        elif asked.what not in {_WATCH, _SYNC}:
            self._take_read(asked.what, None if missing else answer.value)

    def _ask_first(self) -> None:
        raise NotImplementedError

    def _take_read(self, what: object, value: object) -> None:
        raise NotImplementedError

    def _everything(self) -> tuple[StoreEvent, ...]:
        """Return what there is, as known."""
        raise NotImplementedError

    def _ask(self, request: object, what: object) -> None:
        self._post.ask(request, Asked(self, self._reading, what))

    def flush(self) -> None:
        """Tell what has been gathered to those who know what was before."""
        if self._news:
            events, self._news = tuple(self._news), []
            for subscription in tuple(self._told):
                self._post.tell(subscription, events)

    def _publish(self, events: tuple[StoreEvent, ...]) -> None:
        """Gather changes, to be told together with others that have come already."""
        if events:
            self._news += events
            self._post.gathered(self)

    def _arrive(self, difference: tuple[StoreEvent, ...]) -> None:
        """All is read: tell the difference, and everything to those who know nothing yet."""
        self._live = True
        self._publish(difference)
        self._greet()

    def _greet(self) -> None:
        self.flush()
        waiting, self._waiting = self._waiting, []
        if waiting:
            everything = self._everything()
            for subscription in waiting:
                self._told.append(subscription)
                self._post.tell(subscription, (*everything, SnapshotComplete(subscription.watch)))
