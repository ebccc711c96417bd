"""Documents as YAML that people like to read: sections in blocks, leaf mappings on one line."""

import json
import re
from collections.abc import Iterator

from actors.state.document.model import Document
from actors.state.document.plain import Plain, to_plain

WIDTH = 120
"""Characters. A leaf mapping that would make its line longer is written as a block."""

_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}(/[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML 1.1 or 1.2 takes for something else than text."""


def render(document: Document) -> str:
    """Return the document as YAML."""
    sections = []
    for key, value in to_plain(document).items():
        if isinstance(value, dict) and value:
            sections.append("\n".join((f"{key}:", *_block(value, "  "))) + "\n")
        else:
            sections.append(f"{key}: {flow(value)}\n")
    return "\n".join(sections)


def flow(value: Plain) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        inside = ", ".join(f"{_text(key)}: {flow(each)}" for key, each in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(flow(each) for each in value)}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    word = _WORD.fullmatch(text) is not None and text.lower() not in _NOT_TEXT
    return text if word or _ADDRESS.fullmatch(text) else json.dumps(text)


def _is_leaf(value: dict[str, Plain] | list[Plain]) -> bool:
    """Tell whether a mapping holds scalars and lists of scalars only, or a list scalars only."""
    if isinstance(value, list):
        return _all_scalars(value)
    return all(
        _all_scalars(child) if isinstance(child, list) else _all_scalars([child])
        for child in value.values()
    )


def _all_scalars(values: list[Plain]) -> bool:
    return not any(isinstance(each, dict | list) and each for each in values)


def _block(value: Plain, indent: str) -> Iterator[str]:
    """Yield the lines of a mapping or list that does not fit on the line of its key."""
    entries: list[tuple[str, Plain]] = []
    if isinstance(value, dict):
        entries = [(f"{_text(key)}:", each) for key, each in value.items()]
    elif isinstance(value, list):
        entries = [("-", each) for each in value]
    for head, each in entries:
        line = f"{indent}{head} {flow(each)}"
        leaf = not isinstance(each, dict | list) or (_is_leaf(each) and len(line) <= WIDTH)
        if leaf or not each:
            yield line
        else:
            yield f"{indent}{head}"
            yield from _block(each, f"{indent}  ")
