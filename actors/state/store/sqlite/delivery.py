"""Delivery: the store's own thread, which follows the change log and calls the listeners.

Owns the subscriptions and a connection. It also ends sessions whose lease ran out, whichever
process they belong to. It never stops for an error: it reports it and tries again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from actors.state.store.interface import Listener, StoreError, StoreEvent, Watch
from actors.state.store.sqlite.changes import Batch, FellBehind, changes_after
from actors.state.store.sqlite.subscription import Subscription, watches_of
from actors.state.store.sqlite.waker import Waker
from actors.state.store.sqlite.writer import Writer

Report = Callable[[str, Exception], None]
"""Called on the store's thread with one line about what went wrong, and the cause."""

_CHANGES_AT_ONCE = 500
_LOOK_SECONDS = 0.25
"""How often to look for changes and overdue sessions though nothing woke the thread."""
_GATHER_SECONDS = 0.001
"""Rest after delivering, so that a rain of commits is taken by the pailful and not by the drop."""
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 5.0
"""How long stop() waits for a listener to return."""


class Delivery:
    """The delivery thread of one open store."""

    def __init__(
        self,
        url: str,
        writer: Writer,
        waker: Waker,
        report: Report,
    ) -> None:
        self._url = url
        self._database = writer.database
        self._waker = waker
        self._writer = writer
        self._report = report
        self._lock = threading.Lock()
        self._new: deque[Subscription] = deque()
        self._subscriptions: dict[Watch, tuple[Subscription, ...]] = {}
        self._revision = 0  # all changes up to this one have been delivered
        self._next_look = 0.0  # when to look for overdue sessions, by time.monotonic()
        self._reported = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"store {url}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def subscribe(self, watch: Watch, listener: Listener) -> Callable[[], None]:
        """Add a subscription; return what ends it."""
        subscription = Subscription(watch, listener)
        self._new.append(subscription)
        self._waker.wake()

        def unsubscribe() -> None:
            subscription.active = False
            with self._lock:
                left = tuple(s for s in self._subscriptions.get(watch, ()) if s.active)
                if left:
                    self._subscriptions[watch] = left
                else:
                    self._subscriptions.pop(watch, None)

        return unsubscribe

    def expect_session(self) -> None:
        """Take note that there is a new session, whose lease may be a short one."""
        self._next_look = 0.0
        self._waker.wake()

    def stop(self) -> None:
        """End the thread; no listener is called after its present call. May come from one."""
        self._stopping = True
        self._waker.wake()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            stuck = TimeoutError(f"no return within {_STOP_SECONDS:.0f} s")
            self._report(f"{self._url}: a listener hangs while the store closes", stuck)

    def _run(self) -> None:
        try:
            while not self._stopping:
                errors = [
                    error
                    # Each by itself: when the disk is full, watches go on.
                    for error in map(self._try, (self._look, self._begin_new, self._follow))
                    if error is not None
                ]
                if not errors:
                    self._reported = ""
                    self._waker.wait(max(0.0, self._next_look - time.monotonic()))
                    continue
                if str(errors[0]) != self._reported:  # once, not at every try
                    self._reported = str(errors[0])
                    self._report(f"{errors[0]} (trying again)", errors[0])
                self._waker.wait(_RETRY_SECONDS)
        finally:
            self._waker.close()

    @staticmethod
    def _try(work: Callable[[], None]) -> StoreError | None:
        try:
            work()
        except StoreError as error:
            return error
        return None

    def _look(self) -> None:
        """End overdue sessions, now and then: a commit wakes the thread far more often."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        left = self._writer.end_overdue()
        if left is not None:
            self._next_look = min(self._next_look, now + left)

    def _begin_new(self) -> None:
        while self._new and not self._stopping:
            subscription = self._new[0]
            with self._database.reading() as connection:
                picture = subscription.look(connection)
            events = subscription.snapshot(picture)
            with self._lock:
                self._new.popleft()
                if not self._subscriptions:
                    self._revision = subscription.revision
                others = self._subscriptions.get(subscription.watch, ())
                if subscription.active:
                    self._subscriptions[subscription.watch] = (*others, subscription)
            self._tell(subscription, events)

    def _follow(self) -> None:
        while self._subscriptions and not self._stopping:
            with self._database.reading() as connection:
                batches = changes_after(connection, self._revision, _CHANGES_AT_ONCE)
            if isinstance(batches, FellBehind):
                self._catch_up()
                continue
            for batch in batches:
                self._deliver(batch)
            if sum(len(batch.changes) for batch in batches) < _CHANGES_AT_ONCE:
                if batches:
                    time.sleep(_GATHER_SECONDS)
                return  # a later commit wakes the thread again

    def _deliver(self, batch: Batch) -> None:
        outgoing: dict[Subscription, list[StoreEvent]] = {}
        for revision, change in batch.changes:
            self._revision = revision
            for watch in watches_of(change):
                for subscription in self._subscriptions.get(watch, ()):
                    if subscription.news(revision, change):
                        outgoing.setdefault(subscription, []).append(change)
        for subscription, events in outgoing.items():
            self._tell(subscription, tuple(events))

    def _catch_up(self) -> None:
        """Tell every listener the difference, since the log does not reach back far enough."""
        reached: int | None = None
        with self._lock:
            everyone = tuple(self._subscriptions.values())
        for subscriptions in everyone:
            for subscription in subscriptions:
                with self._database.reading() as connection:
                    picture = subscription.look(connection)
                events = subscription.difference(picture)
                if reached is None:
                    reached = subscription.revision
                if events:
                    self._tell(subscription, events)
        if reached is not None:
            self._revision = reached

    def _tell(self, subscription: Subscription, events: tuple[StoreEvent, ...]) -> None:
        if self._stopping or not subscription.active:
            return
        try:
            subscription.listener(events)
        except Exception as error:  # noqa: BLE001 - one listener's bug must not end the others' watches
            self._report(
                f"{self._url}: the listener of {subscription.watch} failed: {error!r}"
                " (its watch goes on)",
                error,
            )
