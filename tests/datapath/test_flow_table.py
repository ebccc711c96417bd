"""The flow table against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.flow_table import Flow, FlowTable
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.lifetimes import LIFE_ERROR, LIFE_PLAIN, LIFE_STATEFUL, LIFE_TUNNEL, LIFETIMES
from actors.packets.flow_key import SEEN_ALL, FlowKey
from actors.values import SECOND, Mac, Nanoseconds, Tag

KINDS = [LIFE_ERROR, LIFE_STATEFUL, LIFE_PLAIN, LIFE_TUNNEL]
TAGS = [Tag(f"tag{n}") for n in range(6)]


def flow(number: int, lifetime: int = LIFE_PLAIN, at: int = 0, tags: tuple[Tag, ...] = ()) -> Flow:
    key = FlowKey(number, None, Mac(bytes(6)), Mac(bytes(6)), 0x88B5)
    raw = encode_key(key)
    return Flow(number, lifetime, Nanoseconds(at), raw, mask_for(raw, SEEN_ALL), b"", tags)


def add(table: FlowTable, added: Flow) -> tuple[Tag, ...]:
    return table.add(added, masked(added.raw_key, added.mask))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sets(st.sampled_from(TAGS)).map(sorted)),
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.tuples(st.just("invalidate"), st.sets(st.sampled_from(TAGS)).map(sorted)),
    ),
    max_size=60,
)


@given(steps)
def test_tags_find_exactly_their_flows_and_tell_when_they_are_first_and_last_used(
    story: list[tuple[str, list[Tag] | int]],
) -> None:
    table = FlowTable({})
    book: dict[int, set[Tag]] = {}
    for number, (what, argument) in enumerate(story, 1):
        used = set().union(*book.values())
        if what == "add" and isinstance(argument, list):
            first = add(table, flow(number, tags=tuple(argument)))
            assert set(first) == set(argument) - used
            book[number] = set(argument)
        elif what == "remove" and isinstance(argument, int):
            gone = book.pop(argument, set())
            last = table.remove(argument)
            assert set(last) == gone - set().union(*book.values())
        elif isinstance(argument, list):
            found = table.tagged(argument)
            assert len(found) == len(set(found))
            assert set(found) == {n for n, tags in book.items() if tags & set(argument)}
        assert set(table.flows) == set(book)
        assert set(table.by_tag) == set().union(*book.values())


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 100)), max_size=40),
    st.integers(0, 500),
    st.sets(st.integers(1, 40)),
)
def test_flows_expire_a_fixed_time_after_they_were_made_by_their_kind(
    made: list[tuple[int, int]], seconds: int, removed: set[int]
) -> None:
    table = FlowTable({})
    at = 0
    for number, (kind, later) in enumerate(made, 1):
        at += later * SECOND
        add(table, flow(number, kind, at))
    for number in removed:
        table.remove(number)
    now = Nanoseconds(at + seconds * SECOND)
    wanted = {n for n, f in table.flows.items() if f.made_at + LIFETIMES[f.lifetime] <= now}
    assert set(table.expired(now, 1000)) == wanted


def test_lifetimes_are_5_30_60_and_300_seconds() -> None:
    assert [LIFETIMES[kind] // SECOND for kind in KINDS] == [5, 30, 60, 300]


def test_expiry_at_once_is_bounded_and_goes_on_where_it_stopped() -> None:
    table = FlowTable({})
    for number in range(1, 6):
        add(table, flow(number))
    late = Nanoseconds(1000 * SECOND)
    assert table.expired(late, 2) == (1, 2)
    for number in (1, 2):
        table.remove(number)
    assert table.expired(late, 10) == (3, 4, 5)


def test_eviction_takes_the_oldest_of_the_shortest_lived_kind() -> None:
    table = FlowTable({})
    kinds = [LIFE_TUNNEL, LIFE_PLAIN, LIFE_ERROR, LIFE_PLAIN, LIFE_ERROR, LIFE_STATEFUL]
    for number, kind in enumerate(kinds, 1):
        add(table, flow(number, kind, number))
    order = []
    while (number := table.to_evict() or 0) != 0:
        order.append(number)
        table.remove(number)
    assert order == [3, 5, 6, 2, 4, 1]


def test_table_made_again_of_its_flows_is_the_same() -> None:
    table = FlowTable({})
    for number in range(1, 5):
        add(table, flow(number, KINDS[number % 4], number, (TAGS[number % 3],)))
    again = FlowTable(dict(table.flows))
    assert again.by_tag == table.by_tag
    assert again.tagged([TAGS[1]]) == table.tagged([TAGS[1]])
    assert again.has_match(masked(table.flows[2].raw_key, table.flows[2].mask))
