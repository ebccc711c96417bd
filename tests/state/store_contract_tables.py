"""The contract of every Store: tables, and the sessions that own their entries."""

import itertools
import time

import pytest

from actors.state.store.interface import (
    EntryPut,
    EntryRemoved,
    SessionLost,
    SnapshotComplete,
    Store,
    StoreError,
    TableWatch,
)
from tests.state.store_contract_base import LONG, Opener, StoreFixtures, with_brief_lease
from tests.state.store_recorder import Recorder


class TableContract(StoreFixtures):
    def test_entry_is_there_with_its_owner_and_seq(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        assert session.owner == "h1"
        seq = session.put("mac/1", b"key", b"value")
        assert store.entries("mac/1") == (EntryPut("mac/1", b"key", b"value", "h1", seq),)
        assert store.entries("mac/2") == ()

    def test_seq_orders_all_puts_into_a_table(self, store: Store, opener: Opener) -> None:
        first, second = store.open_session("h1", LONG), opener().open_session("h2", LONG)
        seqs: dict[str, list[int]] = {"mac/1": [], "mac/2": []}
        for session, table, key in itertools.product((first, second), seqs, (b"a", b"b", b"a")):
            seqs[table].append(session.put(table, key, b""))
        for of_table in seqs.values():
            assert of_table == sorted(set(of_table))
            assert of_table[0] > 0

    def test_entries_come_in_the_order_of_seq(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        seqs = {key: session.put("t", key, b"") for key in (b"c", b"a", b"b")}
        seqs[b"c"] = session.put("t", b"c", b"again")
        assert [(entry.key, entry.seq) for entry in store.entries("t")] == [
            (b"a", seqs[b"a"]),
            (b"b", seqs[b"b"]),
            (b"c", seqs[b"c"]),
        ]

    def test_entries_put_together_replace_earlier_ones_in_their_order(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        first = session.put("t", b"a", b"1")
        session.put_all((("t", b"b", b"2"), ("t", b"a", b"3"), ("u", b"a", b"4")))
        entries = store.entries("t")
        assert [(e.key, e.value, e.owner) for e in entries] == [
            (b"b", b"2", "h1"),
            (b"a", b"3", "h1"),
        ]
        assert first < entries[0].seq < entries[1].seq
        assert [e.value for e in store.entries("u")] == [b"4"]
        assert session.remove("t", b"a")
        session.put_all((("t", b"c", b"5"), ("t", b"c", b"6")))
        assert [(e.key, e.value) for e in store.entries("t")] == [(b"b", b"2"), (b"c", b"6")]

    def test_a_removed_entry_is_put_again_together_with_another(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        session.put_all((("t", b"a", b"1"), ("t", b"b", b"2")))
        session.remove("t", b"b")
        session.put_all((("t", b"a", b"3"), ("t", b"b", b"4")))
        assert [e.value for e in store.entries("t")] == [b"3", b"4"]

    def test_many_entries_put_together_are_told_as_single_ones_are(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = store.open_session("h1", LONG)
        keys = [b"%03d" % number for number in range(250)]
        session.put_all(tuple(("t", key, b"one") for key in keys[:150]))
        session.put_all(tuple(("t", key, b"two") for key in keys[75:]))
        session.put("t", b"last", b"")
        watcher.wait(lambda recorder: len(recorder.entries) == 251)
        assert watcher.entries == store.entries("t")
        assert [(e.key, e.value) for e in store.entries("t")][:-1] == [
            (key, b"one" if number < 75 else b"two") for number, key in enumerate(keys)
        ]
        gone = [event.key for event in watcher.updates if isinstance(event, EntryRemoved)]
        assert gone == keys[75:150]

    def test_put_replaces_the_owners_entry_in_one_step(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = store.open_session("h1", LONG)
        first = session.put("t", b"key", b"one")
        second = session.put("t", b"key", b"two")
        watcher.wait_for(EntryPut("t", b"key", b"two", "h1", second))
        assert watcher.calls[-1][-2:] == (
            EntryRemoved("t", b"key", b"one", "h1", first),
            EntryPut("t", b"key", b"two", "h1", second),
        )
        assert store.entries("t") == (EntryPut("t", b"key", b"two", "h1", second),)

    def test_owners_have_entries_for_the_same_key_beside_each_other(self, store: Store) -> None:
        first, second = store.open_session("h1", LONG), store.open_session("h2", LONG)
        seqs = first.put("t", b"key", b"one"), second.put("t", b"key", b"two")
        assert store.entries("t") == (
            EntryPut("t", b"key", b"one", "h1", seqs[0]),
            EntryPut("t", b"key", b"two", "h2", seqs[1]),
        )
        assert second.remove("t", b"key")
        assert store.entries("t") == (EntryPut("t", b"key", b"one", "h1", seqs[0]),)

    def test_remove_says_whether_an_entry_was_there(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        assert not session.remove("t", b"key")
        session.put("t", b"key", b"value")
        assert session.remove("t", b"key")
        assert not session.remove("t", b"key")
        assert store.entries("t") == ()

    def test_remove_of_a_seq_spares_a_newer_entry(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        old = session.put("t", b"key", b"one")
        new = session.put("t", b"key", b"two")
        assert not session.remove("t", b"key", old)
        assert len(store.entries("t")) == 1
        assert session.remove("t", b"key", new)
        assert store.entries("t") == ()

    def test_table_watch_tells_what_is_there_and_then_every_change(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        first = session.put("t", b"a", b"one")
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        second = session.put("t", b"b", b"two")
        session.put("u", b"b", b"not asked for")
        session.remove("t", b"a")
        watcher.wait_for(EntryRemoved("t", b"a", b"one", "h1", first))
        assert watcher.events == [
            EntryPut("t", b"a", b"one", "h1", first),
            SnapshotComplete(TableWatch("t")),
            EntryPut("t", b"b", b"two", "h1", second),
            EntryRemoved("t", b"a", b"one", "h1", first),
        ]

    def test_seeded_entry_has_no_owner_and_seq_0(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        store.seed("t", b"key", b"one")
        assert store.entries("t") == (EntryPut("t", b"key", b"one", "", 0),)
        store.seed("t", b"key", b"two")
        assert store.entries("t") == (EntryPut("t", b"key", b"two", "", 0),)
        store.seed("t", b"key", None)
        store.seed("t", b"key", None)
        assert store.entries("t") == ()
        watcher.wait_for(EntryRemoved("t", b"key", b"two", "", 0))
        assert watcher.updates == [
            EntryPut("t", b"key", b"one", "", 0),
            EntryRemoved("t", b"key", b"one", "", 0),
            EntryPut("t", b"key", b"two", "", 0),
            EntryRemoved("t", b"key", b"two", "", 0),
        ]

    def test_seeded_entry_ranks_lowest_and_outlives_sessions(
        self, store: Store, opener: Opener
    ) -> None:
        session = store.open_session("h1", LONG)
        seq = session.put("t", b"key", b"learned")
        other = opener()
        other.seed("t", b"key", b"seeded")
        seeded = EntryPut("t", b"key", b"seeded", "", 0)
        assert store.entries("t") == (seeded, EntryPut("t", b"key", b"learned", "h1", seq))
        session.close()
        other.close()
        assert store.entries("t") == (seeded,)

    def test_closed_session_takes_its_entries_along(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = store.open_session("h1", LONG)
        seq = session.put("t", b"key", b"value")
        session.close()
        session.close()
        assert store.entries("t") == ()
        watcher.wait_for(EntryRemoved("t", b"key", b"value", "h1", seq))
        with pytest.raises(SessionLost):
            session.put("t", b"key", b"value")

    def test_closing_the_store_ends_its_sessions(self, store: Store, opener: Opener) -> None:
        other = opener()
        other.open_session("h1", LONG).put("t", b"key", b"value")
        store.open_session("h2", LONG).put("t", b"key", b"value")
        other.close()
        assert [entry.owner for entry in store.entries("t")] == ["h2"]

    def test_session_whose_lease_ran_out_is_lost_with_its_entries(
        self, store: Store, opener: Opener
    ) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session, seq = with_brief_lease(opener(), "h1", "t")
        watcher.wait_for(EntryRemoved("t", b"key", b"value", "h1", seq))
        assert store.entries("t") == ()
        with pytest.raises(SessionLost, match="h1"):
            session.put("t", b"key", b"value")
        with pytest.raises(SessionLost, match="h1"):
            session.remove("t", b"key")
        with pytest.raises(SessionLost, match="h1"):
            session.keep_alive()
        session.close()
        assert store.entries("t") == ()

    def test_session_kept_alive_outlasts_its_lease(self, store: Store) -> None:
        ttl = 2.0
        kept = store.open_session("kept", ttl)
        kept.put("t", b"key", b"value")
        began = time.monotonic()
        while time.monotonic() - began < 1.25 * ttl:
            session, _ = with_brief_lease(store, "left alone", "brief")
            while store.entries("brief"):
                kept.keep_alive()
            with pytest.raises(SessionLost):
                session.keep_alive()
        assert [entry.owner for entry in store.entries("t")] == ["kept"]

    def test_owner_who_comes_back_ends_its_earlier_session(
        self, store: Store, opener: Opener
    ) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        earlier = store.open_session("h1", LONG)
        seq = earlier.put("t", b"key", b"one")
        later = opener().open_session("h1", LONG)
        with pytest.raises(SessionLost):
            earlier.keep_alive()
        with pytest.raises(SessionLost):
            earlier.put("t", b"key", b"two")
        assert store.entries("t") == (EntryPut("t", b"key", b"one", "h1", seq),)
        later.settle()
        watcher.wait_for(EntryRemoved("t", b"key", b"one", "h1", seq))
        assert store.entries("t") == ()
        new = later.put("t", b"key", b"three")
        earlier.close()
        assert store.entries("t") == (EntryPut("t", b"key", b"three", "h1", new),)

    @pytest.mark.parametrize(
        ("owner", "ttl"),
        [("", 1.0), ("h1", 0.0), ("h1", -1.0), ("h1", float("nan")), ("h1", float("inf"))],
    )
    def test_session_without_name_or_sensible_lease_is_refused(
        self, store: Store, owner: str, ttl: float
    ) -> None:
        with pytest.raises(StoreError):
            store.open_session(owner, ttl)
