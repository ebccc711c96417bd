"""What is wrong with a document and where: the one error of everything that reads documents."""

import difflib
from collections.abc import Collection

from msgspec import Struct

MAX_PROBLEMS = 100
"""How many problems of one document are listed: more help nobody, and finding names takes time."""

_MOST_CANDIDATES = 1000  # about 20 ms of comparing


class Problem(Struct, frozen=True, order=True):
    """One thing that is wrong. Lines and columns count from 1, columns in characters."""

    line: int
    column: int
    message: str


class DocumentError(Exception):
    """A document cannot be read, or says what cannot be. One line a problem, `FILE:LINE:COL: message`.

    `line`, `column` and `message` are those of the first problem; `problems` has all, in the
    order of the file.
    """

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems)))
        first = self.problems[0]
        self.line = first.line
        self.column = first.column
        self.message = first.message
        super().__init__(
            "\n".join(f"{file}:{each.line}:{each.column}: {each.message}" for each in self.problems)
        )


class DocumentUnreadable(DocumentError):  # noqa: N818 - it names the file's state
    """The file is not there or may not be read; there is no line to point at."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, (Problem(0, 0, f"cannot be read: {reason}"),))

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def nearest(text: str, known: Collection[str]) -> str:
    """Return what to append to a message about the unknown `text`: the nearest known name."""
    candidates = sorted(known)[:_MOST_CANDIDATES]
    close = difflib.get_close_matches(text[:80], candidates, n=1, cutoff=0.0)
    return f", the nearest known is {close[0]!r}" if close else ""
