"""What an apply does to the store: the least, in one transaction, or nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.state.document import (
    REVISION_KEY,
    StoredTopology,
    apply_document,
    apply_onto,
    changes,
    compile_document,
    parse_document,
    plan,
    read_stored,
)
from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    ObjectKey,
    Store,
    StoredObject,
    Update,
)
from actors.state.store.open import open_store
from tests.state.document_good import GOOD

_ONE = "ayatori: 1\nbridges: {a: {ports: {x: {}}}}\n"
_TWO = "ayatori: 1\nbridges: {a: {ports: {x: {}}}, b: {}}\n"
_OTHER = "ayatori: 1\nbridges: {a: {ports: {y: {}}}}\n"
_NOTHING = "ayatori: 1\n"


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


def _apply(store: Store, text: str) -> list[str]:
    operations = apply_document(store, parse_document(text, "net.yaml"))
    return [f"{type(each).__name__} {each.key.kind}" for each in operations]


def test_first_apply_creates_everything_and_the_revision(store: Store) -> None:
    assert _apply(store, _TWO) == ["Create bridge", "Create bridge", "Create document"]


def test_second_apply_of_the_same_document_writes_nothing(store: Store) -> None:
    _apply(store, GOOD)
    before = read_stored(store)
    assert _apply(store, GOOD) == []
    assert read_stored(store) == before


def test_apply_touches_only_what_differs(store: Store) -> None:
    _apply(store, _TWO)
    _apply(store, GOOD.replace("spare: {}", ""))
    assert _apply(store, GOOD) == ["Update bridge", "Update document"]


def test_apply_deletes_what_the_document_does_not_have(store: Store) -> None:
    _apply(store, GOOD)
    _apply(store, _NOTHING)
    stored = read_stored(store)
    assert stored.objects == ()
    assert stored.revision is not None
    assert stored.revision.version == 2


def test_apply_leaves_alone_what_is_no_topology(store: Store) -> None:
    store.transact((Create(ObjectKey("note", "1"), b"mine"),))
    _apply(store, _ONE)
    _apply(store, _NOTHING)
    assert store.read(ObjectKey("note", "1")) is not None


def test_what_was_applied_is_what_is_read_back(store: Store) -> None:
    _apply(store, GOOD)
    wanted = compile_document(parse_document(GOOD, "net.yaml"))
    assert plan(read_stored(store), wanted) == ()
    assert changes(read_stored(store), wanted) == ()


@pytest.mark.parametrize("mine", [_ONE, _OTHER, _TWO, _NOTHING])
@pytest.mark.parametrize("theirs", [_ONE, _OTHER, _TWO, _NOTHING])
@pytest.mark.parametrize("first", [None, _ONE, _TWO])
def test_apply_that_raced_with_another_changes_nothing(
    store: Store, first: str | None, theirs: str, mine: str
) -> None:
    if first is not None:
        _apply(store, first)
    seen = read_stored(store)
    changed = _apply(store, theirs)
    before = read_stored(store)
    document = parse_document(mine, "net.yaml")
    if changed and plan(seen, compile_document(document)):
        with pytest.raises(Conflict):
            apply_onto(store, seen, document)
    else:
        apply_onto(store, seen, document)
        return
    assert read_stored(store) == before


def test_object_that_cannot_be_read_is_replaced(store: Store) -> None:
    bridge = compile_document(parse_document(_ONE, "net.yaml"))[0]
    store.transact((Create(ObjectKey("bridge", bridge.id), b"\xc1 garbage"),))
    store.transact((Create(ObjectKey("host", "no-id"), b""),))
    wanted = compile_document(parse_document(_ONE, "net.yaml"))
    found = changes(read_stored(store), wanted)
    assert [(each.mark, each.kind, each.name) for each in found] == [
        ("~", "bridge", "a"),
        ("-", "host", "no-id"),
    ]
    assert _apply(store, _ONE) == ["Update bridge", "Delete host", "Create document"]
    assert plan(read_stored(store), wanted) == ()


def test_plan_names_the_versions_that_it_saw() -> None:
    key = ObjectKey("bridge", "gone")
    revision = StoredObject(REVISION_KEY, 7, b"")
    operations = plan(StoredTopology(revision, (StoredObject(key, 3, b"old"),)), ())
    assert operations[0] == Delete(key, 3)
    assert isinstance(operations[1], Update)
    assert (operations[1].key, operations[1].version) == (REVISION_KEY, 7)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("spare: {}", "other: {}", ["- port web/spare: {}", "+ port web/other: {}"]),
        (
            "interface: vm3",
            "interface: vm4",
            [
                "~ port db/vm3: {host: h1, interface: vm3} -> {host: h1, interface: vm4}",
                "~ port db/vm3: on vm3 -> on vm4",
            ],
        ),
        (
            "{to: 10.8.0.0/16, port: db}",
            "{to: 10.8.0.0/16, port: db, weight: 7}",
            [
                "- route {from: 0.0.0.0/0, to: 10.8.0.0/16, port: edge/db, weight: 100}",
                "+ route {from: 0.0.0.0/0, to: 10.8.0.0/16, port: edge/db, weight: 7}",
            ],
        ),
        ("h2: 198.18.0.2", "h2: 198.18.0.3", ["~ member h2: 198.18.0.2 -> 198.18.0.3"]),
        ("stateful: true", "stateful: false", ["~ stateful: true -> false"]),
        ("admin_up: false\n", "admin_up: true\n", ["~ admin_up: false -> true"]),
    ],
)
def test_changes_are_told_by_name(store: Store, old: str, new: str, lines: list[str]) -> None:
    _apply(store, GOOD)
    wanted = compile_document(parse_document(GOOD.replace(old, new), "net.yaml"))
    found = changes(read_stored(store), wanted)
    assert [str(detail) for change in found for detail in change.details] == lines
