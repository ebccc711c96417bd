"""Objects in SQLite: reading them, and applying a transaction's operations."""

import sqlite3

from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    ObjectChanged,
    ObjectKey,
    Operation,
    StoredObject,
    Update,
)
from actors.state.store.sqlite.changes import ChangeWriter


def read_object(connection: sqlite3.Connection, key: ObjectKey) -> StoredObject | None:
    """Return the object, or None."""
    row = connection.execute(
        "SELECT version, data FROM objects WHERE kind = ? AND id = ?", (key.kind, key.id)
    ).fetchone()
    return StoredObject(key, *row) if row else None


def list_objects(connection: sqlite3.Connection, kind: str) -> tuple[StoredObject, ...]:
    """Return all objects of a kind in the order of their ids."""
    rows = connection.execute(
        "SELECT id, version, data FROM objects WHERE kind = ? ORDER BY id", (kind,)
    )
    return tuple(StoredObject(ObjectKey(kind, id_), version, data) for id_, version, data in rows)


def object_revisions(
    connection: sqlite3.Connection, kind: str, id_: str | None
) -> tuple[tuple[int, ObjectChanged], ...]:
    """Return the objects of a kind (or the one of `id_`) with the revision that made them so."""
    query = "SELECT revision, id, version, data FROM objects WHERE kind = ?"
    if id_ is None:
        rows = connection.execute(f"{query} ORDER BY id", (kind,))
    else:
        rows = connection.execute(f"{query} AND id = ?", (kind, id_))
    return tuple(
        (revision, ObjectChanged(ObjectKey(kind, found), version, data))
        for revision, found, version, data in rows
    )


def apply_operation(
    connection: sqlite3.Connection, log: ChangeWriter, operation: Operation
) -> None:
    """Apply one operation. Raises Conflict, upon which the caller rolls all of them back."""
    key = operation.key
    row = connection.execute(
        "SELECT version FROM objects WHERE kind = ? AND id = ?", (key.kind, key.id)
    ).fetchone()
    found: int | None = row[0] if row else None
    match operation:
        case Create(_, data):
            if found is not None:
                raise Conflict(f"{key.kind} {key.id} exists already, at version {found}")
            connection.execute(
                "INSERT INTO objects VALUES (?, ?, 1, ?, ?)",
                (key.kind, key.id, log.next_revision, data),
            )
            log.append(ObjectChanged(key, 1, data))
        case Update(_, version, data):
            _expect(key, version, found)
            connection.execute(
                "UPDATE objects SET version = ?, revision = ?, data = ? WHERE kind = ? AND id = ?",
                (version + 1, log.next_revision, data, key.kind, key.id),
            )
            log.append(ObjectChanged(key, version + 1, data))
        case Delete(_, version):
            _expect(key, version, found)
            connection.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (key.kind, key.id))
            log.append(ObjectChanged(key, 0, None))


def _expect(key: ObjectKey, version: int, found: int | None) -> None:
    if found is None:
        raise Conflict(f"{key.kind} {key.id} does not exist, and was expected at version {version}")
    if found != version:
        raise Conflict(
            f"{key.kind} {key.id} is at version {found}, and was expected at version {version}"
        )
