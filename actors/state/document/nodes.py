"""YAML or JSON text to a tree of nodes that know their line and column, within fixed bounds.

Plain scalars follow YAML 1.2's core schema. Built from the parser's events, so that depth and
aliases are bounded before they cost anything.
"""

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from actors.state.document.errors import DocumentError, Problem

MAX_CHARACTERS = 16 * 1024 * 1024  # a network of a hundred thousand ports
MAX_DEPTH = 32  # the format itself needs eight levels, nested matches some more
MAX_NODES = 2_000_000  # with aliases written out: what those characters could say without aliases

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


class ScalarNode(Struct, frozen=True):
    """A scalar: its text, what YAML takes it for, and whether it stood there without quotes."""

    line: int
    column: int
    text: str
    kind: Literal["text", "int", "float", "bool", "null"]
    plain: bool
    depth: int = 1
    size: int = 1


class SequenceNode(Struct, frozen=True):
    """A list. `depth` and `size` count what aliases stand for."""

    line: int
    column: int
    items: tuple["Node", ...]
    depth: int
    size: int


class MappingNode(Struct, frozen=True):
    """A mapping. `depth` and `size` count what aliases stand for."""

    line: int
    column: int
    entries: tuple[tuple["Node", "Node"], ...]
    depth: int
    size: int


Node = ScalarNode | SequenceNode | MappingNode


def compose(text: str, name: str) -> Node | None:
    """Return the text's one document, or None if it is empty. Raises DocumentError."""
    if len(text) > MAX_CHARACTERS:
        raise _error(name, 1, 1, f"the file is larger than {MAX_CHARACTERS} characters")
    builder = _Builder(name)
    try:
        for event in _events(text):
            builder.take(event)
    except ReaderError as error:
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1)
        message = f"the character U+{ord(text[error.position]):04X} is not allowed"
        raise _error(name, before.count("\n") + 1, column + 1, message) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        what = " ".join(str(error.problem or error.context or "malformed").split())
        raise _error(name, line + 1, column + 1, f"this is not YAML: {what}") from None
    except YAMLError as error:
        raise _error(name, 1, 1, f"this is not YAML: {' '.join(str(error).split())}") from None
    return builder.root


def _events(text: str) -> Iterator[Event]:
    events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
    return events


def _error(name: str, line: int, column: int, message: str) -> DocumentError:
    return DocumentError(name, (Problem(line, column, message),))


class _Open(Struct):
    """A collection whose end has not come yet."""

    event: SequenceStartEvent | MappingStartEvent
    children: list[Node]


class _Builder:
    """Turns events into nodes without recursion."""

    def __init__(self, name: str) -> None:
        self.root: Node | None = None
        self._name = name
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def take(self, event: Event) -> None:
        """Take the next event. Raises DocumentError."""
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._wrong(event, "a file holds one document, here begins a second")
        elif isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._wrong(event, f"the alias *{event.anchor} stands for nothing before it")
            self._place(event, self._anchors[event.anchor])
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            self._refuse_tag(event)
            if len(self._stack) >= MAX_DEPTH:
                raise self._wrong(event, f"nested deeper than {MAX_DEPTH} levels")
            self._stack.append(_Open(event, []))
        elif isinstance(event, CollectionEndEvent):
            self._close(self._stack.pop())
        elif isinstance(event, ScalarEvent):
            self._refuse_tag(event)
            self._add(event, _scalar(event))

    def _close(self, opened: _Open) -> None:
        event = opened.event
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        children = tuple(opened.children)
        depth = 1 + max((child.depth for child in children), default=0)
        size = 1 + sum(child.size for child in children)
        if isinstance(event, SequenceStartEvent):
            self._add(event, SequenceNode(line, column, children, depth, size))
        else:
            pairs = zip(children[::2], children[1::2], strict=True)
            entries = tuple((key, _placed(value, key)) for key, value in pairs)
            self._add(event, MappingNode(line, column, entries, depth, size))

    def _add(self, event: NodeEvent, node: Node) -> None:
        self._place(event, node)
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _place(self, event: Event, node: Node) -> None:
        if node.size > MAX_NODES:
            raise self._wrong(event, "aliases make this document too large")
        if node.depth + len(self._stack) > MAX_DEPTH + 1:
            raise self._wrong(event, f"nested deeper than {MAX_DEPTH} levels")
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node

    def _refuse_tag(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent) -> None:
        if event.tag is not None:
            raise self._wrong(event, f"the tag {str(event.tag)!r}: tags have no place here")

    def _wrong(self, event: Event, message: str) -> DocumentError:
        mark = event.start_mark
        return _error(self._name, mark.line + 1, mark.column + 1, message)


def _placed(value: Node, key: Node) -> Node:
    """Return a value that is not there at all with the place of its key."""
    if isinstance(value, ScalarNode) and value.plain and not value.text:
        return ScalarNode(key.line, key.column, "", "null", plain=True)
    return value


def _scalar(event: ScalarEvent) -> ScalarNode:
    mark, text, plain = event.start_mark, str(event.value), event.style is None
    kind: Literal["text", "int", "float", "bool", "null"] = "text"
    if plain:
        if _NULL.fullmatch(text):
            kind = "null"
        elif _BOOL.fullmatch(text):
            kind = "bool"
        elif _INT.fullmatch(text):
            kind = "int"
        elif _FLOAT.fullmatch(text):
            kind = "float"
    return ScalarNode(mark.line + 1, mark.column + 1, text, kind, plain)
