"""The JSON Schema (draft 2020-12) of the format, made from the types of `model.py`."""

from msgspec import inspect

from actors.state.document.model import Document
from actors.state.document.scalars import Scalar

Schema = dict[str, object]


def json_schema() -> Schema:
    """Return the schema of a whole document."""
    definitions: dict[str, Schema] = {}
    root = _schema(inspect.type_info(Document), definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ayatori topology document",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema(kind: inspect.Type, definitions: dict[str, Schema]) -> Schema:
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            if extra is not None and "scalar" in extra:
                return _scalar(extra["scalar"])
            if extra is not None and "one_or_many" in extra:
                many = _schema(inner, definitions)
                return {"anyOf": [many["items"], many]}
            return _schema(inner, definitions)
        case inspect.UnionType(types=types):
            inner = next(each for each in types if not isinstance(each, inspect.NoneType))
            return _schema(inner, definitions)
        case inspect.StructType(cls=cls):
            if cls.__name__ not in definitions:
                definitions[cls.__name__] = {}  # so that a type that holds itself ends here
                definitions[cls.__name__] = _struct(kind, definitions)
            return {"$ref": f"#/$defs/{cls.__name__}"}
        case inspect.DictType(key_type=key_type, value_type=value_type):
            return {
                "type": "object",
                "propertyNames": _schema(key_type, definitions),
                "additionalProperties": _schema(value_type, definitions),
            }
        case inspect.VarTupleType(item_type=item_type):
            return {"type": "array", "items": _schema(item_type, definitions)}
        case _:
            return _leaf(kind)


def _leaf(kind: inspect.Type) -> Schema:
    match kind:
        case inspect.LiteralType(values=values):
            return {"enum": list(values)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType(ge=low, le=high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case _:
            raise TypeError(f"the format has no {kind!r}")


def _struct(kind: inspect.StructType, definitions: dict[str, Schema]) -> Schema:
    schema: Schema = {
        "description": (kind.cls.__doc__ or "").replace("`", "").split("\n\n")[0],
        "type": "object",
        "properties": {
            field.encode_name: _schema(field.type, definitions)
            | ({"default": field.default} if isinstance(field.default, bool | int | str) else {})
            for field in kind.fields
        },
        "additionalProperties": False,
    }
    required = [field.encode_name for field in kind.fields if field.required]
    return schema | ({"required": required} if required else {})


def _scalar(scalar: Scalar) -> Schema:
    text: Schema = {
        "description": scalar.what,
        "type": "string",
        "pattern": f"^(?:{scalar.pattern})$",
    }
    if not scalar.numeric:
        return text
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, text]}
