"""What is on disk keeps its meaning: a stored kind's fields do not change without a new version."""

import json
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import msgpack  # type: ignore[import-untyped]
import msgspec
import pytest

from actors.messages.kinds import AnyInput, AnyOutput
from actors.messages.stored import Input, Output
from actors.state.topology import TopologyObject

GOLDEN = Path(__file__).with_name("stored_kinds.json")
HOW = """a stored kind changed. If old journals or stores would be misread, give it the next version
and keep the old class with an upcaster; then write the list anew: python -m tests.state.test_stored_kinds"""


def kinds() -> dict[str, list[str]]:
    """Return tag -> its fields, as `name: type`."""
    found = {}
    for kind in (*get_args(AnyInput), *get_args(AnyOutput), *get_args(TopologyObject)):
        config = kind.__struct_config__
        found[str(config.tag)] = [
            f"{field.name}: {_type_name(field.type)}" for field in msgspec.structs.fields(kind)
        ]
    return dict(sorted(found.items()))


def _type_name(kind: object) -> str:
    """Return a type's name, a nested struct's fields included, since they are stored too."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inner = ", ".join(f"{f.name}: {_type_name(f.type)}" for f in msgspec.structs.fields(kind))
        return f"{kind.__name__}({inner})"
    arguments = get_args(kind)
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return " | ".join(_type_name(argument) for argument in arguments)
    if arguments:
        name = getattr(kind, "__name__", str(get_origin(kind)))
        return f"{name}[{', '.join(_type_name(a) for a in arguments)}]"
    return getattr(kind, "__name__", str(kind))


def test_no_stored_kind_changed_silently() -> None:
    assert kinds() == json.loads(GOLDEN.read_text()), HOW


@pytest.mark.parametrize(("base", "union"), [(Input, AnyInput), (Output, AnyOutput)])
def test_every_kind_that_enters_or_leaves_a_lane_can_be_read_back(
    base: type, union: object
) -> None:
    def leaves(kind: type) -> list[type]:
        direct: list[type] = type.__subclasses__(kind)
        return [kind, *(leaf for each in direct for leaf in leaves(each))]

    declared = {kind for kind in leaves(base) if kind is not base}
    assert {k for k in declared if k.__module__.startswith("actors.")} == set(get_args(union))


def test_every_kind_has_a_name_and_version_of_its_own() -> None:
    for tag in kinds():
        name, _, version = tag.rpartition(".")
        assert name
        assert version.isdigit()


def test_what_is_stored_is_plain_msgpack() -> None:
    first = next(kind for kind in get_args(AnyInput) if kind.__name__ == "ClockTicked")
    assert msgpack.unpackb(msgspec.msgpack.encode(first(at=5))) == ["clock-ticked.1", 5]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(kinds(), indent=1) + "\n")
