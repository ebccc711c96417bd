"""Layout: where things are under the store's root, and how names become parts of a path. Pure.

    ROOT/objects/KIND/ID                            an object: its data
    ROOT/tables/TABLE/KEY,VALUE,OWNER,NNNNNNNNNN    an entry, ephemeral and sequential
    ROOT/tables/TABLE/KEY,VALUE                     a persistent entry, of no owner
    ROOT/sessions/OWNER                             who holds the session of that owner, ephemeral

Names are percent-encoded, keys and values are base64url without padding. A name that none of
these functions would have made is none: one thing has one path.
"""

import base64
import binascii
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from actors.state.store.interface import EntryPut, ObjectKey

LONGEST_ENTRY: Final = 16_384
"""Bytes of an entry's name. ZooKeeper sends a folder's names in one answer, and clients of it
written in Java take up to 1 MiB; tables hold addresses, not documents."""
LAST_SEQ: Final = 2**31 - 2
"""ZooKeeper numbers the nodes of a folder with 32 bits, and repeats itself after the last."""
PERSISTENT: Final = ""
"""The owner of entries that no session owns."""
_EMPTY: Final = "%"
"""The component for an empty name; no percent-encoding is a lone percent sign."""
_SEQUENCE_DIGITS: Final = 10


class Undecodable(ValueError):  # noqa: N818 - it names what was found
    """A component of a path that this store would not have written."""


def component(name: str) -> str:
    """Return a name as a component of a path. Raises UnicodeEncodeError for a lone surrogate."""
    if name in {".", ".."}:
        return name.replace(".", "%2E")
    return quote(name, safe="") or _EMPTY


def name_of(text: str) -> str:
    """Return the name that a component is of. Raises Undecodable."""
    if text == _EMPTY:
        return ""
    try:
        name = unquote_to_bytes(text).decode()
        if component(name) == text:
            return name
    except UnicodeError:
        pass
    raise Undecodable(text)


def entry_name(key: bytes, value: bytes, owner: str) -> str:
    """Return an entry's name, to which ZooKeeper adds the number; a persistent one's is whole."""
    if owner == PERSISTENT:
        return f"{_encode(key)},{_encode(value)}"
    return f"{_encode(key)},{_encode(value)},{component(owner)},"


def entry_of(table: str, name: str) -> EntryPut:
    """Return the entry that a name is of. Raises Undecodable."""
    parts = name.split(",")
    if len(parts) == 2:
        return EntryPut(table, _decode(parts[0]), _decode(parts[1]), PERSISTENT, 0)
    if len(parts) != 4 or len(parts[3]) != _SEQUENCE_DIGITS or not parts[3].isdecimal():
        raise Undecodable(name)
    owner = name_of(parts[2])
    if owner == PERSISTENT or not parts[3].isascii():
        raise Undecodable(name)
    return EntryPut(table, _decode(parts[0]), _decode(parts[1]), owner, seq_of(name))


def seq_of(path: str) -> int:
    """Return the seq of an entry by its path: from 1, as ZooKeeper's number begins with 0."""
    return int(path.rpartition(",")[2]) + 1


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Undecodable(text) from error
    if _encode(value) != text:
        raise Undecodable(text)
    return value


class Layout:
    """The paths under one root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.objects = f"{root}/objects"
        self.tables = f"{root}/tables"
        self.sessions = f"{root}/sessions"

    @property
    def folders(self) -> tuple[str, ...]:
        """The root and what is in it, outermost first."""
        parts = self.root.split("/")[1:]
        above = tuple("/" + "/".join(parts[:n]) for n in range(1, len(parts)))
        return (*above, self.root, self.objects, self.tables, self.sessions)

    def kind(self, kind: str) -> str:
        """Return the path that objects of a kind are under."""
        return f"{self.objects}/{component(kind)}"

    def object(self, key: ObjectKey) -> str:
        """Return the path of an object."""
        return f"{self.objects}/{component(key.kind)}/{component(key.id)}"

    def table(self, table: str) -> str:
        """Return the path that a table's entries are under."""
        return f"{self.tables}/{component(table)}"

    def session(self, owner: str) -> str:
        """Return the path that says who holds the session of `owner`."""
        return f"{self.sessions}/{component(owner)}"
