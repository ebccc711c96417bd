"""What the lane wants of the store: the latest wish about each thing, and no more than that."""

import threading

from actors.edge.store_requests import StoreOutput, StoreRequests
from actors.messages.tables import PutEntry, RemoveEntry, SettleSession, UnwatchTable, WatchTable
from actors.messages.topology import WatchObject
from tests.state.store_recorder import PATIENCE


def taken(requests: StoreRequests) -> list[object]:
    found: list[object] = []
    while (request := requests.take(0)) is not None:
        found.append(request)
    return found


def test_requests_come_in_order_and_watches_first() -> None:
    requests = StoreRequests()
    wanted: list[StoreOutput] = [
        PutEntry("t", b"a", b"1"),
        PutEntry("t", b"b", b"1"),
        WatchTable("t"),
    ]
    for request in wanted:
        requests.put(request)
    assert taken(requests) == [wanted[2], wanted[0], wanted[1]]


def test_only_the_latest_wish_about_a_row_is_kept() -> None:
    requests = StoreRequests()
    for number in range(1000):
        requests.put(PutEntry("t", b"a", b"%d" % number))
    requests.put(PutEntry("u", b"a", b"another table's"))
    assert len(requests) == 2
    assert requests.replaced == 999
    assert taken(requests) == [PutEntry("t", b"a", b"999"), PutEntry("u", b"a", b"another table's")]


def test_row_that_was_never_written_is_not_removed() -> None:
    requests = StoreRequests()
    requests.put(PutEntry("t", b"a", b"1"))
    requests.put(RemoveEntry("t", b"a"))
    requests.put(RemoveEntry("t", b"b"))
    assert taken(requests) == []


def test_row_that_was_taken_is_removed_once() -> None:
    requests = StoreRequests()
    requests.put(PutEntry("t", b"a", b"1"))
    taken(requests)
    requests.put(PutEntry("t", b"a", b"2"))
    requests.put(RemoveEntry("t", b"a"))
    requests.put(RemoveEntry("t", b"a"))
    assert taken(requests) == [RemoveEntry("t", b"a")]


def test_watch_replaces_the_end_of_the_same_watch() -> None:
    requests = StoreRequests()
    for request in (UnwatchTable("t"), WatchTable("t"), WatchObject("bridge", "t")):
        requests.put(request)
    assert taken(requests) == [WatchTable("t"), WatchObject("bridge", "t")]


def test_too_many_rows_are_left_to_another_session() -> None:
    requests = StoreRequests(most_rows=3)
    for number in range(5):
        requests.put(PutEntry("t", b"%d" % number, b""))
    requests.put(PutEntry("t", b"0", b"changed"))
    requests.put(WatchTable("t"))
    before = requests.overflowed
    assert (before, requests.overflows) == (True, 1)
    assert len(requests) == 4
    requests.begin_session()
    assert not requests.overflowed
    assert taken(requests) == [WatchTable("t")]


def test_what_is_given_back_comes_again_before_the_rest() -> None:
    requests = StoreRequests()
    puts = [PutEntry("t", b"%d" % number, b"") for number in range(4)]
    for request in puts:
        requests.put(request)
    requests.put(SettleSession())
    first = requests.take(0)
    assert (first, *requests.take_puts(2)) == tuple(puts[:3])
    requests.give_back()
    assert taken(requests) == [*puts, SettleSession()]


def test_later_wish_about_a_row_takes_the_place_of_what_is_given_back() -> None:
    requests = StoreRequests()
    requests.put(PutEntry("t", b"a", b"1"))
    requests.put(PutEntry("t", b"b", b"1"))
    first = requests.take(0)
    requests.put(RemoveEntry("t", b"a"))
    requests.give_back()
    assert first == PutEntry("t", b"a", b"1")
    assert taken(requests) == [RemoveEntry("t", b"a"), PutEntry("t", b"b", b"1")]


def test_removal_that_is_given_back_is_still_one_of_a_written_row() -> None:
    requests = StoreRequests()
    requests.put(PutEntry("t", b"a", b"1"))
    taken(requests)
    requests.put(RemoveEntry("t", b"a"))
    requests.take(0)
    requests.give_back()
    requests.put(PutEntry("t", b"a", b"2"))
    requests.put(RemoveEntry("t", b"a"))
    assert taken(requests) == [RemoveEntry("t", b"a")]


def test_what_was_taken_before_is_not_given_back() -> None:
    requests = StoreRequests()
    requests.put(WatchTable("t"))
    requests.put(PutEntry("t", b"a", b"1"))
    requests.take(0)
    requests.take(0)
    requests.give_back()
    requests.give_back()
    assert taken(requests) == [PutEntry("t", b"a", b"1")]


def test_nothing_is_given_back_into_another_session() -> None:
    requests = StoreRequests()
    requests.put(PutEntry("t", b"a", b"1"))
    requests.take(0)
    requests.begin_session()
    requests.give_back()
    assert taken(requests) == []


def test_rows_gather_until_a_watch_comes() -> None:
    requests = StoreRequests()
    gathered = threading.Thread(target=requests.gather, args=(PATIENCE,))
    gathered.start()
    for number in range(100):
        requests.put(PutEntry("t", b"%d" % number, b""))
    assert gathered.is_alive()
    requests.put(WatchTable("t"))
    gathered.join(PATIENCE / 2)
    assert not gathered.is_alive()
    assert requests.take(0) == WatchTable("t")
    assert len(taken(requests)) == 100


def test_gathering_ends_when_woken() -> None:
    requests = StoreRequests()
    gathered = threading.Thread(target=requests.gather, args=(PATIENCE,))
    gathered.start()
    requests.put(PutEntry("t", b"a", b""))
    requests.wake()
    gathered.join(PATIENCE / 2)
    assert not gathered.is_alive()
    assert requests.take(0) == PutEntry("t", b"a", b"")


def test_waiting_ends_when_woken() -> None:
    requests = StoreRequests()
    requests.wake()
    assert requests.take(60.0) is None
