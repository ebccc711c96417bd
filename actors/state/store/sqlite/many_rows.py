"""Many rows by one step of SQLite.

Python lets other threads run during each step, and a thread that wants to go on waits for its turn:
with a busy lane beside it that takes longer than the step. So rows are written by statements with
many of them, and read as one, in JSON.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

_SIZES: Final = (64, 16, 4, 1)
"""Rows of a statement. Few sizes, so that sqlite3 has the statements ready; 64 rows of 10 are well
below the 32,766 parameters that SQLite takes (999 before 3.32)."""

Row = tuple[object, ...]


def in_statements(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Split rows into as few pieces as there are statements for."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@lru_cache
def places(rows: int, columns: int) -> str:
    """Return the parameters of so many rows, `(?, ?), (?, ?)`."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def insert(connection: sqlite3.Connection, verb_and_table: str, rows: Sequence[Row]) -> None:
    """Insert rows, all of the same length. `verb_and_table` is `INSERT INTO changes`, say."""
    for piece in in_statements(rows):
        connection.execute(
            f"{verb_and_table} VALUES {places(len(piece), len(piece[0]))}",
            tuple(chain.from_iterable(piece)),
        )
