"""The book of flows: found by tag, match and age, without looking at the others."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.flow_table import Flow, FlowTable
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.lifetimes import LIFE_ERROR, LIFE_PLAIN, LIFE_STATEFUL, LIFE_TUNNEL, LIFETIMES
from actors.packets.flow_key import SEEN_ETH_SRC, FlowKey
from actors.values import SECOND, Mac, Nanoseconds, Tag


def flow(number: int, *tags: str, lifetime: int = LIFE_PLAIN, at: int = 0) -> Flow:
    key = FlowKey(1, None, Mac(number.to_bytes(6)), Mac(b"\2" * 6), 0x88B5)
    raw = encode_key(key)
    made_at = Nanoseconds(at * SECOND)
    return Flow(
        number, lifetime, made_at, raw, mask_for(raw, SEEN_ETH_SRC), b"", tuple(map(Tag, tags))
    )


def identity(each: Flow) -> bytes:
    return masked(each.raw_key, each.mask)


def table_of(*flows: Flow) -> FlowTable:
    table = FlowTable({})
    for each in flows:
        table.add(each, identity(each))
    return table


def test_the_first_flow_of_a_tag_and_the_last_are_told() -> None:
    table = FlowTable({})
    one, two = flow(1, "a", "b"), flow(2, "b")
    assert table.add(one, identity(one)) == ("a", "b")
    assert table.add(two, identity(two)) == ()
    assert table.remove(1) == ("a",)
    assert table.remove(2) == ("b",)
    assert table.remove(2) == ()


@given(
    st.lists(st.sets(st.sampled_from("abcdef")), max_size=30),
    st.lists(st.sampled_from("abcdefg"), max_size=4),
    st.sets(st.integers(0, 29)),
)
def test_just_the_flows_with_a_tag_are_found(
    tagged: list[set[str]], asked: list[str], removed: set[int]
) -> None:
    flows = [flow(number, *sorted(tags)) for number, tags in enumerate(tagged)]
    table = table_of(*flows)
    for number in removed:
        table.remove(number)
    expected = {
        number for number, tags in enumerate(tagged) if number not in removed and tags & set(asked)
    }
    found = table.tagged(map(Tag, asked))
    assert set(found) == expected
    assert len(found) == len(expected)
    rebuilt = FlowTable(dict(table.flows))
    assert rebuilt.by_tag == table.by_tag, "the indexes follow from the flows"


def test_each_kind_expires_after_its_own_time() -> None:
    kinds = (LIFE_ERROR, LIFE_STATEFUL, LIFE_PLAIN, LIFE_TUNNEL)
    table = table_of(*(flow(kind, lifetime=kind) for kind in kinds))
    seconds = [LIFETIMES[kind] // SECOND for kind in kinds]
    assert seconds == [5, 30, 60, 300]
    for kind, second in zip(kinds, seconds, strict=True):
        assert table.expired(Nanoseconds(second * SECOND - 1), 10) == ()
        assert table.expired(Nanoseconds(second * SECOND), 10) == (kind,)
        table.remove(kind)


def test_no_more_expire_at_once_than_asked_for() -> None:
    table = table_of(*(flow(n) for n in range(10)))
    late = Nanoseconds(100 * SECOND)
    first = table.expired(late, 4)
    assert first == (0, 1, 2, 3)
    assert table.expired(late, 100) == (4, 5, 6, 7, 8, 9)


def test_the_oldest_of_the_shortest_lived_kind_is_evicted_first() -> None:
    table = table_of(
        flow(1, lifetime=LIFE_TUNNEL),
        flow(2, lifetime=LIFE_PLAIN),
        flow(3, lifetime=LIFE_ERROR),
        flow(4, lifetime=LIFE_ERROR),
    )
    order = []
    while (number := table.to_evict()) is not None:
        table.remove(number)
        order.append(number)
    assert order == [3, 4, 2, 1]


def test_a_flow_that_is_gone_is_neither_expired_nor_evicted() -> None:
    table = table_of(flow(1), flow(2))
    table.remove(1)
    assert table.to_evict() == 2
    table = table_of(flow(1), flow(2))
    table.remove(1)
    assert table.expired(Nanoseconds(100 * SECOND), 10) == (2,)


def test_a_match_is_free_again_when_its_flow_is_gone() -> None:
    one = flow(1)
    table = table_of(one)
    assert table.has_match(identity(one))
    table.remove(1)
    assert not table.has_match(identity(one))


def test_clearing_tells_every_tag_once() -> None:
    table = table_of(flow(1, "a", "b"), flow(2, "b", "c"))
    assert table.clear() == ("a", "b", "c")
    assert table.flows == {}
    assert table.expired(Nanoseconds(1000 * SECOND), 10) == ()
