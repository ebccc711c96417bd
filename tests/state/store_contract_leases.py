"""The contract of every Store: an owner's session is held by one process, first come, first served."""

import msgspec
import pytest

from actors.state.store.holder import Holder, OwnerTaken, this_process
from actors.state.store.interface import EntryPut, EntryRemoved, SessionLost, Store, TableWatch
from tests.state.store_contract_base import LONG, Opener, StoreFixtures, with_brief_lease
from tests.state.store_recorder import Recorder

FAR = Holder("far", "another-boot", "pid:[1]", 77, 1)
FARTHER = Holder("farther", "a-third-boot", "pid:[1]", 77, 1)


def _dead() -> Holder:
    """Return a process of this machine that has ended: another has its number now."""
    own = this_process()
    return msgspec.structs.replace(own, born=own.born - 1)


class LeaseContract(StoreFixtures):
    def test_owner_held_on_another_machine_is_refused_by_its_holders_name(
        self, store: Store, opener: Opener
    ) -> None:
        first = store.open_session("h1", LONG, FAR)
        seq = first.put("t", b"key", b"value")
        with pytest.raises(OwnerTaken, match="h1 is held by process 77 on far since 2") as taken:
            opener().open_session("h1", LONG)
        assert taken.value.lease.holder == FAR
        with pytest.raises(OwnerTaken):
            store.open_session("h1", LONG, FARTHER)
        first.keep_alive()
        assert store.entries("t") == (EntryPut("t", b"key", b"value", "h1", seq),)

    def test_owner_is_free_for_others_when_its_session_is_closed(self, store: Store) -> None:
        store.open_session("h1", LONG, FAR).close()
        store.open_session("h1", LONG, FARTHER).keep_alive()

    def test_owner_is_free_for_others_when_its_lease_has_run_out(
        self, store: Store, opener: Opener
    ) -> None:
        lost, _ = with_brief_lease(opener(), "h1", "t", FAR)
        while store.entries("t"):
            pass
        session = store.open_session("h1", LONG, FARTHER)
        seq = session.put("t", b"key", b"another's")
        with pytest.raises(SessionLost):
            lost.put("t", b"key", b"late")
        lost.close()
        assert store.entries("t") == (EntryPut("t", b"key", b"another's", "h1", seq),)

    def test_holder_that_comes_again_ends_its_earlier_session(self, store: Store) -> None:
        earlier = store.open_session("h1", LONG, FAR)
        session = store.open_session("h1", LONG, FAR)
        with pytest.raises(SessionLost):
            earlier.keep_alive()
        with pytest.raises(SessionLost):
            earlier.put("t", b"key", b"value")
        assert store.entries("t") == ()
        session.keep_alive()

    def test_what_a_holder_said_stays_until_it_has_said_all_anew(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        earlier = store.open_session("h1", LONG, FAR)
        for key in (b"kept", b"changed", b"gone", b"removed"):
            earlier.put("t", key, b"value")
        session = store.open_session("h1", LONG, FAR)
        assert session.remove("t", b"removed")
        session.put_all((("t", b"kept", b"value"), ("t", b"new", b"value")))
        session.put("t", b"changed", b"other")
        watcher.wait(lambda recorder: len(recorder.entries) == 4)
        session.settle()
        watcher.wait(lambda recorder: len(recorder.entries) == 3)
        assert [(entry.key, entry.value) for entry in store.entries("t")] == [
            (b"kept", b"value"),
            (b"new", b"value"),
            (b"changed", b"other"),
        ]
        assert watcher.entries == store.entries("t")
        gone = [event.key for event in watcher.updates if isinstance(event, EntryRemoved)]
        assert sorted(gone) == [b"changed", b"gone", b"kept", b"removed"]
        session.settle()
        with pytest.raises(SessionLost):
            earlier.keep_alive()
        earlier.close()
        session.keep_alive()
        assert len(store.entries("t")) == 3

    def test_session_that_was_left_keeps_its_entries_while_its_lease_lasts(
        self, store: Store, opener: Opener
    ) -> None:
        near = opener()
        session = near.open_session("h1", LONG, FAR)
        seq = session.put("t", b"key", b"value")
        session.leave()
        session.close()
        near.close()
        with pytest.raises(OwnerTaken):
            store.open_session("h1", LONG, FARTHER)
        assert store.entries("t") == (EntryPut("t", b"key", b"value", "h1", seq),)
        store.open_session("h1", LONG, FAR).settle()
        assert store.entries("t") == ()

    def test_session_that_was_left_ends_with_its_lease(self, store: Store, opener: Opener) -> None:
        session, _ = with_brief_lease(opener(), "h1", "t", FAR)
        session.leave()
        while store.entries("t"):
            pass
        store.open_session("h1", LONG, FARTHER).keep_alive()

    def test_what_a_dead_process_said_is_not_for_its_successor_to_settle(
        self, store: Store
    ) -> None:
        seq = store.open_session("h1", LONG, _dead()).put("t", b"key", b"value")
        store.open_session("h1", LONG).settle()
        assert store.entries("t") == (EntryPut("t", b"key", b"value", "h1", seq),)

    def test_process_that_got_the_number_of_a_dead_one_does_not_pass_for_it(
        self, store: Store
    ) -> None:
        store.open_session("h1", LONG, _dead())
        store.open_session("h1", LONG).keep_alive()

    def test_what_a_dead_process_said_stays_until_it_is_said_anew(self, store: Store) -> None:
        earlier = store.open_session("h1", LONG, _dead())
        seq = earlier.put("t", b"key", b"value")
        session = store.open_session("h1", LONG)
        assert store.entries("t") == (EntryPut("t", b"key", b"value", "h1", seq),)
        newer = session.put("t", b"key", b"newer")
        assert store.entries("t")[-1] == EntryPut("t", b"key", b"newer", "h1", newer)
        assert newer > seq

    def test_what_a_dead_process_said_goes_when_its_lease_runs_out(
        self, store: Store, opener: Opener
    ) -> None:
        with_brief_lease(opener(), "h1", "t", _dead())
        session = store.open_session("h1", LONG)
        seq = session.put("t", b"other", b"value")
        left = (EntryPut("t", b"other", b"value", "h1", seq),)
        while store.entries("t") != left:
            pass
        session.keep_alive()

    def test_owners_do_not_stand_in_each_others_way(self, store: Store) -> None:
        store.open_session("h1", LONG, FAR)
        store.open_session("h2", LONG, FARTHER).keep_alive()
