"""The first deadline of many requests, against looking at all of them."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.deadlines import Deadlines
from actors.values import Nanoseconds

KEYS = st.one_of(st.integers(0, 5), st.sampled_from(["a", "b"]))


@given(st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 9)))))
def test_the_first_is_that_of_all_that_are_not_answered(
    steps: list[tuple[int | str, int | None]],
) -> None:
    waiting: dict[int | str, Nanoseconds] = {}
    deadlines = Deadlines(waiting.get)
    for key, deadline in steps:
        if deadline is None:
            waiting.pop(key, None)
        else:
            waiting[key] = Nanoseconds(deadline)
            deadlines.add(key, waiting[key])
        assert deadlines.first() == min(waiting.values(), default=None)


def test_what_is_answered_is_looked_at_once() -> None:
    waiting = {number: Nanoseconds(number) for number in range(1000)}
    looked_at: list[int | str] = []

    def deadline_of(key: int | str) -> Nanoseconds | None:
        looked_at.append(key)
        return waiting.get(int(key))

    deadlines = Deadlines(deadline_of)
    for number, deadline in waiting.items():
        deadlines.add(number, deadline)
        assert deadlines.first() == 0
    for number in range(999):
        del waiting[number]
        assert deadlines.first() == number + 1
    assert len(looked_at) <= 3 * 1000


def test_nothing_is_first_of_what_is_forgotten() -> None:
    deadlines = Deadlines(lambda _: Nanoseconds(1))
    deadlines.add("a", Nanoseconds(1))
    deadlines.clear()
    assert deadlines.first() is None
