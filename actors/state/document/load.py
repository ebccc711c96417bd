"""From a file or text to a checked document."""

from pathlib import Path

import msgspec

from actors.state.document.check import check
from actors.state.document.check_lab import with_hosts
from actors.state.document.errors import DocumentError, DocumentUnreadable, Problem
from actors.state.document.model import Document
from actors.state.document.nodes import MAX_CHARACTERS, MappingNode, compose
from actors.state.document.reader import Reader

MAX_BYTES = 4 * MAX_CHARACTERS
"""Bytes that MAX_CHARACTERS can take in UTF-8."""


def load_document(path: Path) -> Document:
    """Read and check the document in a file. Raises DocumentError, DocumentUnreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DocumentUnreadable(str(path), reason) from None
    return parse_bytes(data, str(path))


def parse_bytes(data: bytes, name: str) -> Document:
    """Read and check a document in UTF-8; `name` stands for the file in messages.

    Raises DocumentError.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - before.rfind(b"\n")
        problem = Problem(line, column, "this is not UTF-8 text")
        raise DocumentError(name, (problem,)) from None
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Read and check a document; `name` stands for the file in messages. Raises DocumentError."""
    root = compose(text, name)
    if not isinstance(root, MappingNode):
        found = "is empty" if root is None else "is no mapping"
        line, column = (root.line, root.column) if root is not None else (1, 1)
        message = f"the document {found}: it begins with `ayatori: 1`"
        raise DocumentError(name, (Problem(line, column, message),))
    reader = Reader()
    document = reader.read(root, Document)
    if document is None:
        raise DocumentError(name, tuple(reader.problems))
    if document.lab is not None:
        document = msgspec.structs.replace(document, lab=with_hosts(document, document.lab))
    problems = check(document, reader.places)
    if problems:
        raise DocumentError(name, problems)
    return document
