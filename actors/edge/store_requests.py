"""StoreRequests: what the lane wants of the store and the store has not done yet.

The lane puts, the store's thread takes. Only the latest wish about each row and each watch is
kept, so that what gathers while the store is slow or away is bounded by what there is to wish for.
"""

import threading
from typing import Final

from actors.messages.tables import (
    PutEntry,
    RemoveEntry,
    SettleSession,
    UnwatchTable,
    WatchTable,
)
from actors.messages.topology import UnwatchObject, WatchKind, WatchObject

StoreOutput = (
    WatchObject
    | UnwatchObject
    | WatchKind
    | WatchTable
    | UnwatchTable
    | PutEntry
    | RemoveEntry
    | SettleSession
)
MOST_ROWS: Final = 200_000
"""Rows that may wait; beyond that all wait to be written into a new session instead."""

_Subject = tuple[str, str, bytes]
_Rows = PutEntry | RemoveEntry | SettleSession
"""What is done in the order in which it was first asked for."""


class StoreRequests:
    """See the module."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._changed = threading.Condition()
        self._watches: dict[_Subject, StoreOutput] = {}
        self._rows: dict[_Subject, _Rows] = {}
        self._written: set[_Subject] = set()
        """Rows that this session may hold."""
        self._in_hand: list[StoreOutput] = []
        """What was taken, and may be given back."""
        self._woken = False
        self._gathering = False
        """Whether whoever takes waits for watches only."""
        self._overflowed = False
        self.replaced = 0
        """Requests that a later one about the same thing made needless."""
        self.overflows = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._watches) + len(self._rows)

    def put(self, request: StoreOutput) -> None:
        """Take a request; it replaces what waits about the same thing. Never blocks."""
        with self._changed:
            if isinstance(request, _Rows):
                self._put_row(request)
                if self._gathering:
                    return
            else:
                subject = _subject(request)
                self.replaced += self._watches.pop(subject, None) is not None
                self._watches[subject] = request
            self._changed.notify()

    def _put_row(self, request: _Rows) -> None:
        subject = _subject(request)
        self.replaced += subject in self._rows
        if isinstance(request, RemoveEntry) and subject not in self._written:
            self._rows.pop(subject, None)  # what was never written need not be removed
        elif subject in self._rows or len(self._rows) < self._most_rows:
            self._rows[subject] = request
        elif not self._overflowed:
            self._overflowed = True
            self.overflows += 1

    def take(self, timeout: float) -> StoreOutput | None:
        """Return the next request, watches first; None after `timeout` s, or when woken.

        What was taken before is done by then.
        """
        with self._changed:
            self._in_hand.clear()
            self._changed.wait_for(lambda: self._woken or self._watches or self._rows, timeout)
            self._woken = False
            waiting = self._watches or self._rows
            if not waiting:
                return None
            subject = next(iter(waiting))
            request = waiting.pop(subject)
            if isinstance(request, PutEntry):
                self._written.add(subject)
            elif isinstance(request, RemoveEntry):
                self._written.discard(subject)
            self._in_hand.append(request)
            return request

    def take_puts(self, most: int) -> tuple[PutEntry, ...]:
        """Return the puts that wait now, up to the first request of another kind. Never blocks."""
        with self._changed:
            puts: list[PutEntry] = []
            if self._watches:
                return ()
            for row in self._rows.values():
                if len(puts) == most or not isinstance(row, PutEntry):
                    break
                puts.append(row)
            for row in puts:
                subject = _subject(row)
                del self._rows[subject]
                self._written.add(subject)
            self._in_hand += puts
            return tuple(puts)

    def gather(self, seconds: float) -> None:
        """Let rows come for some time, unheard; a watch, for which packets may wait, ends that."""
        with self._changed:
            self._gathering = True
            self._changed.wait_for(lambda: self._woken or self._watches, seconds)
            self._gathering = False

    def give_back(self) -> None:
        """Have what was taken last wait again, before the rest: it could not be done."""
        with self._changed:
            in_hand = {_subject(request): request for request in self._in_hand}
            self._in_hand.clear()
            rows = {at: each for at, each in in_hand.items() if isinstance(each, _Rows)}
            watches = {at: each for at, each in in_hand.items() if at not in rows}
            self._written.update(rows)
            self._rows = rows | self._rows  # the later of two wishes counts
            self._watches = watches | self._watches

    def wake(self) -> None:
        """Have `take` return."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    @property
    def overflowed(self) -> bool:
        """Whether rows were left out since the last new session: it takes another one."""
        return self._overflowed

    def begin_session(self) -> None:
        """Forget the rows that wait: those that still hold will be asked for again."""
        with self._changed:
            self._rows.clear()
            self._in_hand.clear()
            self._written.clear()
            self._overflowed = False


def _subject(request: StoreOutput) -> _Subject:
    match request:
        case PutEntry() | RemoveEntry():
            return "row", request.table, request.key
        case SettleSession():
            return "session", "", b""
        case WatchTable() | UnwatchTable():
            return "table", request.table, b""
        case WatchObject() | UnwatchObject():
            return request.kind, request.id, b"object"
        case WatchKind():
            return request.kind, "", b"kind"
