"""Whatever text comes as a document: it is read, or refused with a DocumentError, and soon."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.state.document import DocumentError, parse_document
from tests.state.document_good import GOOD

_PIECES = st.sampled_from(
    [
        *"{}[]:,-?&*!|>'\"%@`#~\n\t \\",
        *(f"\n{line}" for line in GOOD.splitlines()),
        *("&a ", "*a", "<<: ", "--- ", "...", "!!str ", "%YAML 1.1\n", "%TAG ! x\n", "\ufeff"),
        *("0x", "1e9", ".inf", "2026-01-01", "null", "true", "? ", "- - ", '"\\ud800"', "\x85"),
    ]
)


def _complaints(text: str) -> list[str]:
    try:
        parse_document(text, "net.yaml")
    except DocumentError as error:
        return str(error).split("\n")
    return []


@given(st.lists(st.one_of(_PIECES, st.text(max_size=4)), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
@example("%YAML 1.1.1\n--- a")
@example('a: "\\uZZZZ"')
@example("a: |9999999999\n  b")
@example("!<tag:\n> a")
def test_any_text_is_read_or_refused(text: str) -> None:
    for line in _complaints(text):
        assert re.match(r"net\.yaml:[1-9][0-9]*:[1-9][0-9]*: .", line)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_good_document_with_a_random_piece_replaced_is_read_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 30)))
    text = GOOD[:start] + data.draw(st.one_of(_PIECES, st.text(max_size=6))) + GOOD[end:]
    for line in _complaints(text):
        assert re.match(r"net\.yaml:[1-9][0-9]*:[1-9][0-9]*: .", line)


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)
    ]
    with pytest.raises(DocumentError, match="aliases make this document too large"):
        parse_document("\n".join(lines), "net.yaml")


def test_aliases_that_deepen_are_refused() -> None:
    lines = ["a0: &a0 [x]", *(f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, 60))]
    with pytest.raises(DocumentError, match="nested deeper than"):
        parse_document("\n".join(lines), "net.yaml")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(DocumentError, match="nested deeper than 32 levels"):
        parse_document(text, "net.yaml")


def test_aliases_within_bounds_stand_for_what_they_name() -> None:
    text = (
        "ayatori: 1\nbridges:\n"
        "  a: {ports: {x: &x {host: h1, interface: i}}}\n  b: {ports: {x: *x}}\n"
    )
    with pytest.raises(DocumentError, match="interface 'i' of host 'h1' is port a/x already"):
        parse_document(text, "net.yaml")


def test_json_is_taken_with_tabs_too() -> None:
    text = '{\n\t"ayatori":\t1,\n\t"bridges": {"web": {"ports": {"vm1": {"host": 7}}}}\n}'
    column = text.splitlines()[2].index("7") + 1
    with pytest.raises(DocumentError, match=f":3:{column}: expected a name"):
        parse_document(text, "net.json")
