"""Between devices, the state tables actor and the store."""

from msgspec import Struct

from actors.messages.stored import Input, Output
from actors.values import ActorName, HostId, Nanoseconds


class EntryState(Struct, frozen=True, array_like=True, gc=False):
    """An entry of a table: that of `owner` and `seq` is there, or (removed) it is not."""

    key: bytes
    value: bytes
    owner: str
    seq: int
    removed: bool


class TableChanged(Input, frozen=True, tag="table-changed.1"):
    """Entries of a watched table came or went, in this order."""

    at: Nanoseconds
    table: str
    entries: tuple[EntryState, ...]
    whole: bool
    """These are all entries of the table; others known of it are gone."""


class SessionOpened(Input, frozen=True, tag="session-opened.1"):
    """This host has a new session: it owns nothing in it yet.

    What this process put in an earlier one may still stand, until the new one is settled.
    """

    at: Nanoseconds


class SessionEnded(Input, frozen=True, tag="session-ended.1"):
    """This host's session ran out, or the store is out of reach."""

    at: Nanoseconds
    why: str


class WatchTable(Output, frozen=True, tag="watch-table.1"):
    """Watch a table; what it holds comes first."""

    table: str


class UnwatchTable(Output, frozen=True, tag="unwatch-table.1"):
    """Watch it no more."""

    table: str


class PutEntry(Output, frozen=True, tag="put-entry.1"):
    """Set this host's entry."""

    table: str
    key: bytes
    value: bytes


class RemoveEntry(Output, frozen=True, tag="remove-entry.1"):
    """Remove this host's entry."""

    table: str
    key: bytes


class SettleSession(Output, frozen=True, tag="settle-session.1"):
    """All rows that hold are put: what an earlier session of this process put besides may go."""


class SubscribeTable(Struct, frozen=True):
    """Tell `subscriber` of the table's effective rows, now and after each change."""

    subscriber: ActorName
    table: str


class UnsubscribeTable(Struct, frozen=True):
    """Stop telling `subscriber`."""

    subscriber: ActorName
    table: str


class SubscribeRow(Struct, frozen=True):
    """Tell `subscriber` of one effective row: once the table is known, and after each change."""

    subscriber: ActorName
    table: str
    key: bytes


class UnsubscribeRow(Struct, frozen=True):
    """Stop telling `subscriber` of that row."""

    subscriber: ActorName
    table: str
    key: bytes


class OwnRow(Struct, frozen=True, gc=False):
    """This host says so: publish the row and keep it published."""

    table: str
    key: bytes
    value: bytes
    again: bool = False
    """Write it even if it is published already: the others shall know that it is fresh."""


class DisownRow(Struct, frozen=True, gc=False):
    """This host says so no more."""

    table: str
    key: bytes


class Row(Struct, frozen=True, array_like=True, gc=False):
    """What a table says of a key, after conflicts; `value` is None when it says nothing."""

    key: bytes
    value: bytes | None
    owner: HostId


class RowsChanged(Struct, frozen=True, gc=False):
    """Effective rows that changed."""

    table: str
    at: Nanoseconds
    rows: tuple[Row, ...]
