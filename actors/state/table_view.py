"""TableView: what a state table says of each key, out of what several hosts wrote. Pure.

The entry with the highest sequence number counts, whoever wrote it. A row that this host has just
written counts from that moment, before the store has confirmed it.
"""

from msgspec import Struct, field

from actors.messages.tables import EntryState, Row
from actors.values import HostId


class OwnEntry(Struct):
    """A row that this host keeps published; `seq` is 0 until the store has confirmed it."""

    value: bytes
    seq: int = 0
    last: int = 0
    """The last `seq` that it was confirmed with, in an earlier session perhaps: whose row has a
    higher one came later."""


class TableView(Struct):
    """One table."""

    entries: dict[bytes, dict[int, EntryState]] = field(default_factory=dict)
    """Key -> seq -> entry."""
    own: dict[bytes, OwnEntry] = field(default_factory=dict)
    loaded: bool = False
    """Whether the store has told the whole table: what is not in it then is nowhere."""

    def effective(self, key: bytes, host: HostId) -> Row:
        """Return what the table says of `key`."""
        own = self.own.get(key)
        if own is not None and own.seq == 0:
            return Row(key, own.value, host)
        entries = self.entries.get(key)
        if not entries:
            return Row(key, None, HostId(""))
        entry = entries[max(entries)]
        return Row(key, entry.value, HostId(entry.owner))

    def apply(self, entry: EntryState, host: HostId) -> bool:
        """Take in a change from the store; return True if it supersedes this host's own row."""
        entries = self.entries.setdefault(entry.key, {})
        if entry.removed:
            entries.pop(entry.seq, None)
            if not entries:
                del self.entries[entry.key]
            own = self.own.get(entry.key)
            if own is not None and own.seq == entry.seq:
                # Ours went without our doing (the session ended): it is to be written again.
                own.seq = 0
            return False
        entries[entry.seq] = entry
        own = self.own.get(entry.key)
        if own is None:
            return False
        if entry.owner == host:
            if entry.value == own.value:
                own.seq = own.last = entry.seq
            # Another host's may have come first, with a higher number.
            return 0 < own.seq < max(entries)
        return 0 < own.last < entry.seq

    def disown(self, key: bytes, host: HostId) -> bool:
        """Let go of this host's own row; return whether there was one.

        It counts no more from that moment, before the store has removed it: nobody manages it.
        """
        if self.own.pop(key, None) is None:
            return False
        entries = self.entries.pop(key, {})
        others = {seq: entry for seq, entry in entries.items() if entry.owner != host}
        if others:
            self.entries[key] = others
        return True

    def forget_lost(self) -> tuple[bytes, ...]:
        """Of a view that is whole: count own rows that are not in it as not confirmed; return them."""
        lost = []
        for key, own in self.own.items():
            if own.seq and own.seq not in self.entries.get(key, {}):
                own.seq = 0
                lost.append(key)
        return tuple(lost)

    def known(self) -> tuple[bytes, ...]:
        """Return all keys of which the table says something."""
        return (*self.entries, *(key for key in self.own if key not in self.entries))
