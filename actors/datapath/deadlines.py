"""Deadlines: when each of many requests is given up, the first of them at hand.

A heap from which what has been answered is taken when it comes to the top, so that neither a
request nor its answer looks at all the others. It holds no more than the requests of the longest
time that one may wait. It can be made anew from the requests themselves: it is no actor's state.
"""

import heapq
from collections.abc import Callable

from actors.values import Nanoseconds

Key = int | str


class Deadlines:
    """See the module. `deadline_of` tells a request's deadline, None of one that is answered."""

    def __init__(self, deadline_of: Callable[[Key], Nanoseconds | None]) -> None:
        self._deadline_of = deadline_of
        self._heap: list[tuple[Nanoseconds, int, Key]] = []
        self._added = 0

    def add(self, key: Key, deadline: Nanoseconds) -> None:
        """Take in a request."""
        self._added += 1  # so that no two keys are compared
        heapq.heappush(self._heap, (deadline, self._added, key))

    def first(self) -> Nanoseconds | None:
        """Return the first deadline of those that are not answered."""
        heap = self._heap
        while heap:
            deadline, _, key = heap[0]
            if self._deadline_of(key) == deadline:
                return deadline
            heapq.heappop(heap)
        return None

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
