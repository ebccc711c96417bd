"""A document as plain values (mappings, lists, text, numbers), driven by the types of `model.py`.

What equals its default is left out.
"""

from typing import cast

from msgspec import inspect

from actors.state.document.model import Document
from actors.state.document.scalars import Scalar

Plain = dict[str, "Plain"] | list["Plain"] | str | int | bool


def to_plain(document: Document) -> dict[str, Plain]:
    """Return the document as YAML and JSON know it."""
    plain = _plain(document, inspect.type_info(Document))
    return cast("dict[str, Plain]", plain)


def _plain(value: object, kind: inspect.Type) -> Plain:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            if extra is not None and "scalar" in extra:
                scalar: Scalar = extra["scalar"]
                return scalar.write(value)
            if extra is not None and "one_or_many" in extra:
                items = cast("list[Plain]", _plain(value, inner))
                return items[0] if len(items) == 1 else items
            return _plain(value, inner)
        case inspect.UnionType(types=types):
            inner = next(each for each in types if not isinstance(each, inspect.NoneType))
            return _plain(value, inner)
        case inspect.StructType(fields=fields):
            return {
                field.encode_name: _plain(getattr(value, field.name), field.type)
                for field in fields
                if field.required or getattr(value, field.name) != _default(field)
            }
        case inspect.DictType(key_type=key_type, value_type=value_type):
            entries = cast("dict[object, object]", value)
            return {
                str(_plain(key, key_type)): _plain(each, value_type)
                for key, each in entries.items()
            }
        case inspect.VarTupleType(item_type=item_type):
            return [_plain(each, item_type) for each in cast("tuple[object, ...]", value)]
        case _:
            return cast("str | int | bool", value)


def _default(field: inspect.Field) -> object:
    if callable(field.default_factory):
        return field.default_factory()
    return field.default
