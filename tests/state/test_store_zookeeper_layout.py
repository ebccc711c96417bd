import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.state.store.interface import EntryPut, ObjectKey, StoreError
from actors.state.store.zookeeper.entries import checked_entry_name
from actors.state.store.zookeeper.layout import (
    Layout,
    Undecodable,
    component,
    entry_name,
    entry_of,
    name_of,
)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(names | st.sampled_from(["", ".", "..", "%", "a/b", "a,b", "é", "\0", "%2E"]))
def test_any_name_is_a_component_of_a_path_and_comes_back(name: str) -> None:
    text = component(name)
    assert text
    assert text not in {".", ".."}
    assert text.isascii()
    assert text.isprintable()
    assert "/" not in text
    assert "," not in text
    assert name_of(text) == name


@given(names, names)
def test_different_names_have_different_paths(one: str, other: str) -> None:
    assert (component(one) == component(other)) == (one == other)


@given(names, st.binary(max_size=40), st.binary(max_size=40), names, st.integers(0, 2**31 - 1))
def test_an_entry_is_read_from_its_name(
    table: str, key: bytes, value: bytes, owner: str, number: int
) -> None:
    name = entry_name(key, value, owner)
    if owner:
        assert entry_of(table, f"{name}{number:010d}") == EntryPut(
            table, key, value, owner, number + 1
        )
    else:
        assert entry_of(table, name) == EntryPut(table, key, value, "", 0)


@given(st.text(max_size=30))
def test_any_other_text_is_no_name(text: str) -> None:
    for read in (name_of, lambda text: entry_of("t", text)):
        try:
            read(text)
        except Undecodable:
            continue
    with contextlib.suppress(Undecodable):
        assert component(name_of(text)) == text


@pytest.mark.parametrize(
    "name",
    [
        "",
        "garbage",
        "a2V5",  # a key alone
        "a2V5,dmFsdWU,h1",
        "a2V5,dmFsdWU,h1,123",
        "a2V5,dmFsdWU,h1,-000000001",
        "a2V5,dmFsdWU,h1,00000000\u06601",
        "a2V5,dmFsdWU,%,0000000001",  # an owner without a name
        "a2V5=,dmFsdWU,h1,0000000001",
        "a2V5,d mFsdWU,h1,0000000001",
        "a2V5,dmFsdWV,h1,0000000001",  # bits beyond the last byte
        "a2V5,dmFsdWU,%68%31,0000000001",
        "a2V5,dmFsdWU,h1,0000000001,",
        "é,,",
    ],
)
def test_name_that_no_entry_has_is_refused(name: str) -> None:
    with pytest.raises(Undecodable):
        entry_of("t", name)


def test_paths_are_under_the_root() -> None:
    layout = Layout("/a/root")
    assert layout.folders[:2] == ("/a", "/a/root")
    assert layout.object(ObjectKey("a/b", "")) == "/a/root/objects/a%2Fb/%"
    assert layout.table("mac/1") == "/a/root/tables/mac%2F1"
    assert layout.session("h1") == "/a/root/sessions/h1"


def test_entry_that_is_too_long_is_refused_with_its_sizes() -> None:
    checked_entry_name("url", "t", b"k" * 100, b"v" * 10_000, "h1")
    with pytest.raises(StoreError, match=r"table t.*key 100 and value 20000 bytes.*at most 16384"):
        checked_entry_name("url", "t", b"k" * 100, b"v" * 20_000, "h1")
