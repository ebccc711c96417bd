"""Nodes to typed values, driven by the types of `model.py`; remembers where each value stood.

What does not fit the types is collected, up to MAX_PROBLEMS, not only the first of it.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from msgspec import inspect

from actors.state.document.errors import MAX_PROBLEMS, Problem, nearest
from actors.state.document.nodes import MappingNode, Node, ScalarNode, SequenceNode
from actors.state.document.scalars import Scalar, text_of

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value, such as ("bridges", "web", "ports", "vm1")."""

T = TypeVar("T")

_SEXAGESIMAL = re.compile(r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+")  # YAML 1.1, section int
_KINDS = {"int": "the number", "float": "the number", "bool": "the truth value"}


class Places:
    """Where the values and the keys of a document stood."""

    def __init__(self) -> None:
        self._values: dict[Path, tuple[int, int]] = {}
        self._keys: dict[Path, tuple[int, int]] = {}

    def note(self, path: Path, node: Node, key: Node | None = None) -> None:
        """Remember where the value at `path` stood, and its key."""
        self._values[path] = (node.line, node.column)
        if key is not None:
            self._keys[path] = (key.line, key.column)

    def value(self, path: Path) -> tuple[int, int]:
        """Return line and column of the value, or of what should have held it."""
        while path and path not in self._values:
            path = path[:-1]
        return self._values.get(path, (1, 1))

    def key(self, path: Path) -> tuple[int, int]:
        """Return line and column of the key, or of the value if it is a list's."""
        return self._keys.get(path) or self.value(path)


class _Missing:
    """What a value that could not be read is read as."""


_MISSING = _Missing()


class _EnoughProblems(Exception):  # noqa: N818 - the reader's own way out
    """There are MAX_PROBLEMS."""


class Reader:
    """Reads nodes; `problems` and `places` fill as it goes."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.places = Places()

    def read(self, node: Node, as_type: type[T]) -> T | None:
        """Return the value, or None when there were problems."""
        self.places.note((), node)
        try:
            value = self._read(node, inspect.type_info(as_type), ())
        except _EnoughProblems:
            return None
        return value if isinstance(value, as_type) and not self.problems else None

    def _wrong(self, node: Node, message: str) -> _Missing:
        return self._wrong_at((node.line, node.column), message)

    def _wrong_at(self, place: tuple[int, int], message: str) -> _Missing:
        self.problems.append(Problem(*place, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _EnoughProblems
        return _MISSING

    def _read(self, node: Node, kind: inspect.Type, path: Path) -> object:
        match kind:
            case inspect.Metadata(type=inner, extra=extra):
                if extra is not None and "scalar" in extra:
                    return self._scalar(node, extra["scalar"])
                if extra is not None and "one_or_many" in extra and isinstance(node, ScalarNode):
                    node = SequenceNode(node.line, node.column, (node,), 2, 2)
                if isinstance(inner, inspect.LiteralType):
                    return self._literal(node, inner.values, (extra or {}).get("what"))
                return self._read(node, inner, path)
            case inspect.UnionType(types=types):
                # The only unions here are with None: a key that may be left out.
                inner = next(each for each in types if not isinstance(each, inspect.NoneType))
                return self._read(node, inner, path)
            case inspect.StructType():
                return self._struct(node, kind, path)
            case inspect.DictType():
                return self._dict(node, kind, path)
            case inspect.VarTupleType(item_type=item_type):
                return self._tuple(node, item_type, path)
            case inspect.LiteralType(values=values):
                return self._literal(node, values)
            case inspect.BoolType():
                if isinstance(node, ScalarNode) and node.kind == "bool":
                    return node.text.lower() == "true"
                return self._wrong(node, f"expected true or false, found {_found(node)}")
            case inspect.IntType():
                return self._int(node, kind)
            case _:
                raise TypeError(f"the format has no {kind!r}")

    def _scalar(self, node: Node, scalar: Scalar) -> object:
        if not isinstance(node, ScalarNode):
            return self._wrong(node, f"expected {scalar.what}, found {_found(node)}")
        number = node.kind in {"int", "float"}
        sexagesimal = scalar.colons and node.plain and _SEXAGESIMAL.fullmatch(node.text)
        if sexagesimal or (scalar.colons and number):
            return self._wrong(
                node, f"YAML reads the MAC address {node.text[:80]} as a number: quote it"
            )
        if node.kind != "text" and not (scalar.numeric and node.kind == "int"):
            hint = ": quote it" if node.kind != "null" else ""
            return self._wrong(node, f"expected {scalar.what}, found {_found(node)}{hint}")
        try:
            return text_of(scalar, node.text)
        except ValueError as error:
            return self._wrong(node, f"expected {error}")

    def _int(self, node: Node, kind: inspect.IntType) -> object:
        if not isinstance(node, ScalarNode) or node.kind != "int":
            return self._wrong(node, f"expected a whole number, found {_found(node)}")
        number = _integer(node.text)
        low, high = kind.ge, kind.le
        if (low is not None and number < low) or (high is not None and number > high):
            return self._wrong(node, f"expected a number from {low} to {high}, found {number}")
        return number

    def _literal(
        self, node: Node, values: Iterable[str | int | bool | None], what: str | None = None
    ) -> object:
        choices = tuple(values)
        if isinstance(node, ScalarNode):
            found: str | int = _integer(node.text) if node.kind == "int" else node.text
            if node.kind in {"text", "int"} and found in choices:
                return found
        wanted = " or ".join(str(choice) for choice in choices)
        wanted = f"{what}, {wanted}" if what is not None else wanted
        return self._wrong(node, f"expected {wanted}, found {_found(node)}")

    def _tuple(self, node: Node, item_type: inspect.Type, path: Path) -> object:
        if not isinstance(node, SequenceNode):
            return self._wrong(node, f"expected a list, found {_found(node)}")
        items = []
        for index, item in enumerate(node.items):
            self.places.note((*path, index), item)
            items.append(self._read(item, item_type, (*path, index)))
        return tuple(items)

    def _entries(self, node: MappingNode, path: Path) -> list[tuple[str, ScalarNode, Node]]:
        """Return a mapping's entries, without duplicates and keys that are no text."""
        entries: dict[str, tuple[str, ScalarNode, Node]] = {}
        for key, value in node.entries:
            if not isinstance(key, ScalarNode):
                self._wrong(key, f"expected a key, found {_found(key)}")
            elif key.text in entries:
                first = entries[key.text][1].line
                self._wrong(key, f"duplicate key {key.text[:80]!r}, first on line {first}")
            else:
                entries[key.text] = (key.text, key, value)
                self.places.note((*path, key.text), value, key)
        return list(entries.values())

    def _dict(self, node: Node, kind: inspect.DictType, path: Path) -> object:
        if not isinstance(node, MappingNode):
            return self._wrong(node, f"expected a mapping, found {_found(node)}")
        result: dict[object, object] = {}
        for text, key_node, value_node in self._entries(node, path):
            key = self._read(key_node, kind.key_type, path)
            value = self._read(value_node, kind.value_type, (*path, text))
            if key in result:  # one MAC written in two ways
                self._wrong(key_node, f"duplicate key {text[:80]!r}")
            elif not isinstance(key, _Missing):
                result[key] = value
        return result

    def _struct(self, node: Node, kind: inspect.StructType, path: Path) -> object:
        if not isinstance(node, MappingNode):
            return self._wrong(node, f"expected a mapping, found {_found(node)}")
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, object] = {}
        for text, key_node, value_node in self._entries(node, path):
            if text not in fields:
                self._wrong(key_node, _unknown_key(text, tuple(fields)))
            else:
                field = fields[text]
                values[field.name] = self._read(value_node, field.type, (*path, text))
        for name, field in fields.items():
            if field.required and field.name not in values:
                where = self.places.key(path)
                values[field.name] = self._wrong_at(where, f"the key {name!r} is missing")
        if any(isinstance(value, _Missing) for value in values.values()):
            return _MISSING
        made: object = kind.cls(**values)
        return made


def _unknown_key(text: str, known: tuple[str, ...]) -> str:
    message = f"unknown key {text[:80]!r}"
    if not known:
        return f"{message}: nothing can be set here"
    return message + nearest(text, known)


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)


def _found(node: Node) -> str:
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return "a mapping"
    if node.kind == "null":
        return "nothing"
    if node.kind == "text":
        return repr(node.text[:80])
    return f"{_KINDS[node.kind]} {node.text[:80]}"
