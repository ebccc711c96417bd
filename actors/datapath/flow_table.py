"""FlowTable: the flows that this agent has installed, found by number, match, tag and age. Pure.

Owns the bookkeeping and nothing else: its methods return what was removed, the flow controller
acts. Every flow expires a fixed time after it was made, by its kind, so each kind's flows expire
in the order of their making. A tag's flows are found without looking at any other flow.
"""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from actors.datapath.odp.mask import masked
from actors.lifetimes import LIFE_TUNNEL, LIFETIMES
from actors.values import Nanoseconds, Tag


class Flow(Struct):
    """One installed flow. Times in nanoseconds."""

    number: int
    lifetime: int
    """One of the LIFE_* constants."""
    made_at: Nanoseconds
    raw_key: bytes
    mask: bytes
    actions: bytes
    tags: tuple[Tag, ...]
    reason: str = ""
    """Why it drops, if it does."""

    @property
    def expires_at(self) -> int:
        """When it is removed, however busy it is."""
        return self.made_at + LIFETIMES[self.lifetime]


class FlowTable:
    """See the module. `flows` is the state; the indexes are made of it."""

    def __init__(self, flows: dict[int, Flow]) -> None:
        self.flows = flows
        self.by_tag: dict[Tag, dict[int, None]] = {}
        self._by_match: dict[bytes, int] = {}
        self._queues: tuple[deque[Flow], ...] = tuple(deque() for _ in LIFETIMES)
        for flow in flows.values():
            self._index(flow, masked(flow.raw_key, flow.mask))

    def has_match(self, identity: bytes) -> bool:
        """Tell whether there is a flow of this match; `identity` is odp.mask.masked's."""
        return identity in self._by_match

    def add(self, flow: Flow, identity: bytes) -> tuple[Tag, ...]:
        """Add a flow; return those of its tags that no other flow carries."""
        self.flows[flow.number] = flow
        return self._index(flow, identity)

    def _index(self, flow: Flow, identity: bytes) -> tuple[Tag, ...]:
        number = flow.number
        self._by_match[identity] = number
        self._queues[flow.lifetime].append(flow)
        by_tag = self.by_tag
        first: tuple[Tag, ...] = ()
        for tag in flow.tags:
            numbers = by_tag.get(tag)
            if numbers is None:
                by_tag[tag] = {number: None}
                first = (*first, tag)
            else:
                numbers[number] = None
        return first

    def remove(self, number: int) -> tuple[Tag, ...]:
        """Remove a flow; return those of its tags that no flow carries any more."""
        flow = self.flows.pop(number, None)
        if flow is None:
            return ()
        identity = masked(flow.raw_key, flow.mask)
        if self._by_match.get(identity) == number:
            del self._by_match[identity]
        by_tag = self.by_tag
        last: tuple[Tag, ...] = ()
        for tag in flow.tags:
            numbers = by_tag.get(tag)
            if numbers is None:
                continue
            numbers.pop(number, None)
            if not numbers:
                del by_tag[tag]
                last = (*last, tag)
        return last

    def tagged(self, tags: Iterable[Tag]) -> tuple[int, ...]:
        """Return the numbers of the flows that carry one of the tags, each once."""
        found: dict[int, None] = {}
        for tag in tags:
            numbers = self.by_tag.get(tag)
            if numbers is not None:
                found.update(numbers)
        return tuple(found)

    def expired(self, at: Nanoseconds, most: int) -> tuple[int, ...]:
        """Return the numbers of at most `most` flows whose time is over, taken off the queues."""
        found: list[int] = []
        for queue in self._queues:
            while queue and len(found) < most:
                flow = queue[0]
                if self.flows.get(flow.number) is not flow:
                    queue.popleft()
                elif flow.expires_at <= at:
                    queue.popleft()
                    found.append(flow.number)
                else:
                    break
        return tuple(found)

    def to_evict(self) -> int | None:
        """Return the oldest flow of the shortest-lived kind that has one, taken off its queue."""
        for queue in self._queues[: LIFE_TUNNEL + 1]:
            while queue:
                flow = queue.popleft()
                if self.flows.get(flow.number) is flow:
                    return flow.number
        return None

    def clear(self) -> tuple[Tag, ...]:
        """Forget all flows; return all tags that they carried."""
        tags = tuple(self.by_tag)
        self.flows.clear()
        self.by_tag.clear()
        self._by_match.clear()
        for queue in self._queues:
            queue.clear()
        return tags
