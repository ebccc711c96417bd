"""FlowTable: megaflows by tuple-space search, and the counters that each flow keeps.

One dict per distinct mask; a packet's key is projected onto mask after mask until a flow is
found. The flow of a recently seen exact key is remembered, as the kernel's mask cache does in its
own way. It decides nothing about requests: see `flow_requests.py`.
"""

import errno
from collections.abc import Hashable, Iterator

from actors.datapath.soft.actions import Step
from actors.datapath.soft.limits import MAX_FLOWS, MAX_MASKS, RECENT_FLOWS
from actors.datapath.soft.mask import Mask, projection_of
from actors.packets.flow_key import FlowKey


class Flow:
    """One megaflow: identity, actions both as received and ready to run, counters.

    `used` is in milliseconds of the steady clock, 0 if no packet has matched yet.
    """

    __slots__ = (
        "alive",
        "bytes",
        "key",
        "mask",
        "packets",
        "place",
        "raw_actions",
        "raw_key",
        "raw_mask",
        "steps",
        "tcp_flags",
        "ufid",
        "used",
    )

    def __init__(self, *, ufid: bytes, key: FlowKey, mask: Mask) -> None:
        self.ufid = ufid
        """Empty when the flow is identified by its whole key."""
        self.key = key
        self.mask = mask
        self.place: Hashable = None
        self.alive = True
        self.raw_key = b""
        self.raw_mask = b""
        self.raw_actions = b""
        self.steps: tuple[Step, ...] = ()
        self.clear()

    def clear(self) -> None:
        """Begin counting anew."""
        self.packets = 0
        self.bytes = 0
        self.used = 0
        self.tcp_flags = 0


class TableFullError(Exception):
    """A bound of the table was reached; `code` is the errno to answer with."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode[code])
        self.code = code


class _Subtable:
    """The flows of one mask."""

    __slots__ = ("flows", "mask", "project")

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.project = projection_of(mask)
        self.flows: dict[Hashable, Flow] = {}


class FlowTable:
    """All flows of one datapath."""

    def __init__(self) -> None:
        self._subtables: dict[Mask, _Subtable] = {}
        self._searched: tuple[_Subtable, ...] = ()
        self._by_ufid: dict[bytes, Flow] = {}
        self._by_key: dict[FlowKey, Flow] = {}
        self._recent: dict[FlowKey, Flow] = {}
        self.mask_hits = 0
        """Masks visited by all lookups so far."""
        self.cache_hits = 0
        """Lookups answered by the recent keys."""

    def __len__(self) -> int:
        return len(self._by_ufid) + len(self._by_key)

    def __iter__(self) -> Iterator[Flow]:
        yield from self._by_ufid.values()
        yield from self._by_key.values()

    @property
    def masks(self) -> int:
        """Number of distinct masks."""
        return len(self._searched)

    def lookup(self, key: FlowKey) -> Flow | None:
        """Return the flow that `key` matches; the first mask that has one wins."""
        flow = self._recent.get(key)
        if flow is not None and flow.alive:
            self.cache_hits += 1
            return flow
        flow = self._search(key)
        if flow is not None:
            if len(self._recent) >= RECENT_FLOWS:
                self._recent.clear()
            self._recent[key] = flow
        return flow

    def _search(self, key: FlowKey) -> Flow | None:
        for visited, subtable in enumerate(self._searched, 1):
            flow = subtable.flows.get(subtable.project(key))
            if flow is not None:
                self.mask_hits += visited
                return flow
        self.mask_hits += len(self._searched)
        return None

    def overlapping(self, key: FlowKey) -> Flow | None:
        """As `lookup` for a flow's masked key; neither counted nor remembered."""
        for subtable in self._searched:
            flow = subtable.flows.get(subtable.project(key))
            if flow is not None:
                return flow
        return None

    def by_ufid(self, ufid: bytes) -> Flow | None:
        """Return the flow with this unique id."""
        return self._by_ufid.get(ufid)

    def by_key(self, key: FlowKey) -> Flow | None:
        """Return the flow without a unique id that was made with exactly this key."""
        return self._by_key.get(key)

    def insert(self, flow: Flow) -> None:
        """Add a flow whose identity is not in the table; raise TableFullError at a bound."""
        if len(self) >= MAX_FLOWS:
            raise TableFullError(errno.ENOSPC)
        subtable = self._subtables.get(flow.mask)
        if subtable is None:
            if len(self._searched) >= MAX_MASKS:
                raise TableFullError(errno.EFBIG)
            subtable = _Subtable(flow.mask)
            self._subtables[flow.mask] = subtable
            self._searched = tuple(self._subtables.values())
        flow.place = subtable.project(flow.key)
        subtable.flows[flow.place] = flow
        if flow.ufid:
            self._by_ufid[flow.ufid] = flow
        else:
            self._by_key[flow.key] = flow

    def remove(self, flow: Flow) -> None:
        """Take out a flow that is in the table."""
        flow.alive = False
        subtable = self._subtables[flow.mask]
        del subtable.flows[flow.place]
        if not subtable.flows:
            del self._subtables[flow.mask]
            self._searched = tuple(self._subtables.values())
        if flow.ufid:
            del self._by_ufid[flow.ufid]
        else:
            del self._by_key[flow.key]

    def clear(self) -> None:
        """Take out all flows."""
        for flow in self:
            flow.alive = False
        self._subtables.clear()
        self._searched = ()
        self._by_ufid.clear()
        self._by_key.clear()
        self._recent.clear()
