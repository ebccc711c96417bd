"""What a state table says, whatever the order in which hosts' entries become known."""

from hypothesis import given
from hypothesis import strategies as st

from actors.messages.tables import EntryState
from actors.state.table_view import OwnEntry, TableView
from actors.values import HostId

ME, YOU = HostId("me"), HostId("you")


def entry(seq: int, owner: str = "you", value: bytes = b"v", key: bytes = b"k") -> EntryState:
    return EntryState(key, value, owner, seq, False)


def gone(seq: int, owner: str = "you", value: bytes = b"v") -> EntryState:
    return EntryState(b"k", value, owner, seq, True)


def test_entry_with_the_highest_number_counts() -> None:
    view = TableView()
    view.apply(entry(5, value=b"new"), ME)
    view.apply(entry(3, "third", b"old"), ME)
    assert view.effective(b"k", ME).value == b"new"
    view.apply(gone(5, value=b"new"), ME)
    assert view.effective(b"k", ME).owner == "third"
    view.apply(gone(3, "third", b"old"), ME)
    assert view.effective(b"k", ME).value is None
    assert view.known() == ()


def test_own_row_counts_from_the_moment_it_is_written() -> None:
    view = TableView()
    view.apply(entry(5), ME)
    view.own[b"k"] = OwnEntry(b"mine")
    assert view.effective(b"k", ME).value == b"mine"


def test_own_row_is_superseded_by_a_later_one_of_another_host() -> None:
    view = TableView(own={b"k": OwnEntry(b"mine")})
    assert not view.apply(entry(5, ME, b"mine"), ME)
    assert view.apply(entry(6), ME)


def test_own_row_is_superseded_also_when_the_later_one_becomes_known_first() -> None:
    view = TableView(own={b"k": OwnEntry(b"mine")})
    assert not view.apply(entry(6), ME)
    assert view.apply(entry(5, ME, b"mine"), ME)


def test_own_row_that_is_replaced_is_not_confirmed_by_the_old_one() -> None:
    view = TableView(own={b"k": OwnEntry(b"new")})
    view.apply(entry(5, ME, b"old"), ME)
    assert view.effective(b"k", ME).value == b"new"
    view.apply(gone(5, ME, b"old"), ME)
    view.apply(entry(6, ME, b"new"), ME)
    assert view.own[b"k"].seq == 6


def test_own_row_that_went_with_its_session_counts_as_not_yet_written() -> None:
    view = TableView(own={b"k": OwnEntry(b"mine")})
    view.apply(entry(5, ME, b"mine"), ME)
    view.apply(gone(5, ME, b"mine"), ME)
    assert view.own[b"k"].seq == 0
    assert view.effective(b"k", ME).value == b"mine"


def test_own_row_that_a_whole_table_lacks_counts_as_not_yet_written() -> None:
    view = TableView(own={b"k": OwnEntry(b"mine", seq=5)})
    assert view.forget_lost() == (b"k",)
    assert view.effective(b"k", ME).value == b"mine"
    assert view.forget_lost() == ()


def test_removal_of_what_is_not_there_changes_nothing() -> None:
    view = TableView()
    view.apply(gone(9), ME)
    assert view.known() == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([b"x", b"y"]), st.booleans()),
        max_size=30,
    )
)
def test_view_agrees_with_a_replay_of_all_puts_and_removals(
    story: list[tuple[str, bytes, bool]],
) -> None:
    view = TableView()
    current: dict[str, tuple[int, bytes]] = {}
    for seq, (owner, value, put) in enumerate(story, 1):
        old = current.pop(owner, None)
        if old is not None:
            view.apply(gone(old[0], owner, old[1]), ME)
        if put:
            current[owner] = seq, value
            view.apply(entry(seq, owner, value), ME)
        row = view.effective(b"k", ME)
        newest = max(current.values(), default=None)
        assert row.value == (None if newest is None else newest[1])
        assert view.known() == ((b"k",) if current else ())
