"""The contract of every Store: a backend's test class inherits it and provides `url`."""

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    EntryPut,
    EntryRemoved,
    KindWatch,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    Operation,
    SessionLost,
    SnapshotComplete,
    Store,
    StoredObject,
    StoreError,
    StoreEvent,
    TableWatch,
    Update,
)
from actors.state.store.open import open_store
from tests.state.store_process import COUNTER
from tests.state.store_recorder import PATIENCE, Recorder

BRIDGE = ObjectKey("bridge", "b1")
OTHER_BRIDGE = ObjectKey("bridge", "b2")
ROUTER = ObjectKey("router", "r1")
LONG = 60.0
SHORT = 0.3
"""Seconds of a lease that is meant to run out."""

Opener = Callable[[], Store]


class StoreContract:
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test class says where its store is")

    @pytest.fixture
    def reports(self) -> list[str]:
        """What the stores reported from their own threads."""
        return []

    @pytest.fixture
    def opener(self, url: str, reports: list[str]) -> Iterator[Opener]:
        """Open the same store once more, as another part of the system would."""
        with contextlib.ExitStack() as stack:

            def open_another() -> Store:
                store = open_store(url, report=lambda message, _: reports.append(message))
                stack.callback(store.close)
                return store

            yield open_another

    @pytest.fixture
    def store(self, opener: Opener) -> Store:
        return opener()

    # Objects

    def test_store_knows_its_url(self, store: Store, url: str) -> None:
        assert store.url == url

    def test_created_object_is_read_at_version_1(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        assert store.read(BRIDGE) == StoredObject(BRIDGE, 1, b"one")

    def test_absent_object_reads_as_none(self, store: Store) -> None:
        assert store.read(BRIDGE) is None

    def test_update_replaces_data_and_adds_1_to_the_version(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        store.transact((Update(BRIDGE, 1, b"two"),))
        store.transact((Update(BRIDGE, 2, b"two"),))
        assert store.read(BRIDGE) == StoredObject(BRIDGE, 3, b"two")

    def test_deleted_object_is_gone_and_may_begin_anew_at_version_1(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        store.transact((Update(BRIDGE, 1, b"two"),))
        store.transact((Delete(BRIDGE, 2),))
        assert store.read(BRIDGE) is None
        store.transact((Create(BRIDGE, b"three"),))
        assert store.read(BRIDGE) == StoredObject(BRIDGE, 1, b"three")

    def test_list_has_the_objects_of_one_kind_in_the_order_of_ids(self, store: Store) -> None:
        assert store.list("bridge") == ()
        store.transact((Create(OTHER_BRIDGE, b""), Create(ROUTER, b""), Create(BRIDGE, b"x")))
        assert store.list("bridge") == (
            StoredObject(BRIDGE, 1, b"x"),
            StoredObject(OTHER_BRIDGE, 1, b""),
        )

    @pytest.mark.parametrize("data", [b"", bytes(range(256)), b"\0" * 500_000])
    def test_data_is_opaque(self, store: Store, data: bytes) -> None:
        store.transact((Create(BRIDGE, data),))
        assert store.read(BRIDGE) == StoredObject(BRIDGE, 1, data)

    def test_objects_are_shared_by_all_who_open_the_store(
        self, store: Store, opener: Opener
    ) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        assert opener().read(BRIDGE) == StoredObject(BRIDGE, 1, b"one")

    @pytest.mark.parametrize(
        "operation",
        [
            Create(BRIDGE, b"x"),
            Update(BRIDGE, 2, b"x"),
            Update(BRIDGE, 0, b"x"),
            Update(BRIDGE, 1 << 80, b"x"),
            Delete(BRIDGE, 2),
            Update(OTHER_BRIDGE, 1, b"x"),
            Delete(OTHER_BRIDGE, 0),
        ],
    )
    def test_conflict_names_the_object_and_nothing_is_applied(
        self, store: Store, operation: Operation
    ) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        watcher = Recorder()
        store.watch(KindWatch("router"), watcher)
        watcher.wait_complete()
        with pytest.raises(Conflict, match=f"{operation.key.kind}.*{operation.key.id}"):
            store.transact((Create(ROUTER, b""), operation, Create(ObjectKey("host", "h"), b"")))
        assert store.read(ROUTER) is None
        assert store.read(OTHER_BRIDGE) is None
        assert store.list("host") == ()
        assert store.read(BRIDGE) == StoredObject(BRIDGE, 1, b"one")
        store.transact((Create(ObjectKey("router", "r2"), b""),))
        watcher.wait_for(ObjectChanged(ObjectKey("router", "r2"), 1, b""))
        assert all(ObjectChanged(ROUTER, 1, b"") not in call for call in watcher.calls)

    def test_empty_transaction_does_nothing(self, store: Store) -> None:
        store.transact(())
        assert store.list("bridge") == ()

    def test_concurrent_updates_in_threads_lose_none(self, opener: Opener) -> None:
        store = opener()
        store.transact((Create(COUNTER, b"0"),))

        def count() -> None:
            own, done = opener(), 0
            while done < 40:
                found = own.read(COUNTER)
                assert found is not None
                with contextlib.suppress(Conflict):
                    own.transact((Update(COUNTER, found.version, b"%d" % (int(found.data) + 1)),))
                    done += 1

        _run_in_threads(count, count, count)
        assert store.read(COUNTER) == StoredObject(COUNTER, 121, b"120")

    # Watches

    def test_object_watch_tells_what_is_there_and_then_every_change(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        watcher = Recorder()
        store.watch(ObjectWatch(BRIDGE), watcher)
        watcher.wait_complete()
        store.transact((Update(BRIDGE, 1, b"two"),))
        store.transact((Create(OTHER_BRIDGE, b"not asked for"),))
        store.transact((Delete(BRIDGE, 2),))
        watcher.wait_for(ObjectChanged(BRIDGE, 0, None))
        assert watcher.events == [
            ObjectChanged(BRIDGE, 1, b"one"),
            SnapshotComplete(ObjectWatch(BRIDGE)),
            ObjectChanged(BRIDGE, 2, b"two"),
            ObjectChanged(BRIDGE, 0, None),
        ]

    def test_watch_of_an_object_that_does_not_exist_says_so_and_tells_of_its_creation(
        self, store: Store
    ) -> None:
        watcher = Recorder()
        store.watch(ObjectWatch(BRIDGE), watcher)
        watcher.wait_complete()
        store.transact((Create(BRIDGE, b"one"),))
        watcher.wait_for(ObjectChanged(BRIDGE, 1, b"one"))
        assert watcher.events == [
            ObjectChanged(BRIDGE, 0, None),
            SnapshotComplete(ObjectWatch(BRIDGE)),
            ObjectChanged(BRIDGE, 1, b"one"),
        ]

    def test_kind_watch_tells_of_all_objects_of_the_kind(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"), Create(ROUTER, b"not asked for")))
        watcher = Recorder()
        store.watch(KindWatch("bridge"), watcher)
        watcher.wait_complete()
        store.transact((Create(OTHER_BRIDGE, b"other"),))
        store.transact((Update(ROUTER, 1, b"not asked for"),))
        store.transact((Delete(BRIDGE, 1),))
        watcher.wait_for(ObjectChanged(BRIDGE, 0, None))
        assert watcher.events == [
            ObjectChanged(BRIDGE, 1, b"one"),
            SnapshotComplete(KindWatch("bridge")),
            ObjectChanged(OTHER_BRIDGE, 1, b"other"),
            ObjectChanged(BRIDGE, 0, None),
        ]

    def test_watch_of_nothing_is_complete_at_once(self, store: Store) -> None:
        for watch in (KindWatch("bridge"), TableWatch("mac/1")):
            watcher = Recorder()
            store.watch(watch, watcher)
            watcher.wait_complete()
            assert watcher.events == [SnapshotComplete(watch)]

    def test_changes_of_one_transaction_arrive_in_one_call(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        watcher = Recorder()
        store.watch(KindWatch("bridge"), watcher)
        watcher.wait_complete()
        store.transact((Update(BRIDGE, 1, b"two"), Create(ROUTER, b""), Create(OTHER_BRIDGE, b"")))
        watcher.wait(lambda recorder: len(recorder.updates) >= 2)
        assert watcher.calls[-1] == (
            ObjectChanged(BRIDGE, 2, b"two"),
            ObjectChanged(OTHER_BRIDGE, 1, b""),
        )

    def test_several_watches_of_the_same_are_each_told(self, store: Store) -> None:
        watchers = Recorder(), Recorder()
        for watcher in watchers:
            store.watch(ObjectWatch(BRIDGE), watcher)
            watcher.wait_complete()
        store.transact((Create(BRIDGE, b"one"),))
        for watcher in watchers:
            watcher.wait_for(ObjectChanged(BRIDGE, 1, b"one"))

    def test_changes_made_elsewhere_are_told(self, store: Store, opener: Opener) -> None:
        watcher = Recorder()
        store.watch(KindWatch("bridge"), watcher)
        watcher.wait_complete()
        opener().transact((Create(BRIDGE, b"one"),))
        watcher.wait_for(ObjectChanged(BRIDGE, 1, b"one"))

    def test_ended_watch_is_told_nothing_more_and_others_are(self, store: Store) -> None:
        ended, other = Recorder(), Recorder()
        unsubscribe = store.watch(KindWatch("bridge"), ended)
        ended.wait_complete()
        store.watch(KindWatch("bridge"), other)
        other.wait_complete()
        unsubscribe()
        unsubscribe()
        store.transact((Create(BRIDGE, b"one"),))
        other.wait_for(ObjectChanged(BRIDGE, 1, b"one"))
        assert ended.events == [SnapshotComplete(KindWatch("bridge"))]

    def test_watch_may_end_from_within_its_listener(self, store: Store) -> None:
        heard, other = Recorder(), Recorder()

        def listener(events: tuple[StoreEvent, ...]) -> None:
            heard(events)
            unsubscribe()

        unsubscribe = store.watch(ObjectWatch(BRIDGE), listener)
        heard.wait_complete()
        store.watch(ObjectWatch(BRIDGE), other)
        other.wait_complete()
        store.transact((Create(BRIDGE, b"one"),))
        other.wait_for(ObjectChanged(BRIDGE, 1, b"one"))
        assert len(heard.calls) == 1

    def test_failing_listener_is_reported_and_stops_no_watch(
        self, store: Store, reports: list[str]
    ) -> None:
        failing, other = Recorder(), Recorder()

        def listener(events: tuple[StoreEvent, ...]) -> None:
            failing(events)
            raise RuntimeError("the listener's bug")

        store.watch(ObjectWatch(BRIDGE), listener)
        store.watch(ObjectWatch(BRIDGE), other)
        other.wait_complete()
        store.transact((Create(BRIDGE, b"one"),))
        other.wait_for(ObjectChanged(BRIDGE, 1, b"one"))
        store.transact((Update(BRIDGE, 1, b"two"),))
        failing.wait_for(ObjectChanged(BRIDGE, 2, b"two"))
        other.wait_for(ObjectChanged(BRIDGE, 2, b"two"))
        assert "the listener's bug" in reports[0]

    def test_watches_under_load_miss_nothing_and_keep_the_order(
        self, store: Store, opener: Opener
    ) -> None:
        early, late = Recorder(), [Recorder() for _ in range(10)]
        store.watch(TableWatch("load"), early)
        early.wait_complete()
        watching = opener()

        def write(owner: str) -> None:
            session = opener().open_session(owner, LONG)
            for number in range(300):
                session.put("load", b"%d" % (number % 5), b"%d" % number)
                if number % 7 == 0:
                    session.remove("load", b"%d" % (number % 5))

        def begin_watches() -> None:
            for recorder in late:
                watching.watch(TableWatch("load"), recorder)
                recorder.wait_complete()

        _run_in_threads(lambda: write("a"), lambda: write("b"), lambda: write("c"), begin_watches)
        final = store.entries("load")
        assert len(final) == 15
        for recorder in (early, *late):
            recorder.wait(lambda recorder: recorder.entries == final)
        puts = [event for event in early.events if isinstance(event, EntryPut)]
        assert len(puts) == 900
        assert [put.seq for put in puts] == sorted({put.seq for put in puts})
        for owner in "abc":
            values = [int(put.value) for put in puts if put.owner == owner]
            assert values == list(range(300))

    def test_object_watches_under_load_see_every_version(self, store: Store) -> None:
        watcher = Recorder()
        store.transact((Create(BRIDGE, b""),))
        store.watch(ObjectWatch(BRIDGE), watcher)
        watcher.wait_complete()
        for version in range(1, 501):
            store.transact((Update(BRIDGE, version, b"%d" % version),))
        watcher.wait_for(ObjectChanged(BRIDGE, 501, b"500"))
        assert watcher.updates == [
            ObjectChanged(BRIDGE, version + 1, b"%d" % version) for version in range(1, 501)
        ]

    # Tables

    def test_entry_is_there_with_its_owner_and_seq(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        assert session.owner == "h1"
        seq = session.put("mac/1", b"key", b"value")
        assert store.entries("mac/1") == (EntryPut("mac/1", b"key", b"value", "h1", seq),)
        assert store.entries("mac/2") == ()

    def test_seq_orders_all_puts_into_the_store(self, store: Store, opener: Opener) -> None:
        first, second = store.open_session("h1", LONG), opener().open_session("h2", LONG)
        seqs = [
            session.put(table, key, b"")
            for session, table, key in itertools.product(
                (first, second), ("mac/1", "mac/2"), (b"a", b"b", b"a")
            )
        ]
        assert seqs == sorted(set(seqs))
        assert seqs[0] > 0

    def test_entries_come_in_the_order_of_seq(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        seqs = {key: session.put("t", key, b"") for key in (b"c", b"a", b"b")}
        seqs[b"c"] = session.put("t", b"c", b"again")
        assert [(entry.key, entry.seq) for entry in store.entries("t")] == [
            (b"a", seqs[b"a"]),
            (b"b", seqs[b"b"]),
            (b"c", seqs[b"c"]),
        ]

    def test_put_replaces_the_owners_entry_in_one_step(self, store: Store) -> None:
        watcher = Recorder()
        store.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = store.open_session("h1", LONG)
        first = session.put("t", b"key", b"one")
        second = session.put("t", b"key", b"two")
        watcher.wait_for(EntryPut("t", b"key", b"two", "h1", second))
        assert watcher.calls[-1] == (
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

    # Sessions

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
        session = opener().open_session("h1", SHORT)
        seq = session.put("t", b"key", b"value")
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
        kept = store.open_session("kept", ttl=1.0)
        kept.put("t", b"key", b"value")
        for _ in range(4):  # four leases of others that run out last longer than one of 1 s
            session = store.open_session("left alone", SHORT)
            session.put("brief", b"key", b"value")
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
        watcher.wait_for(EntryRemoved("t", b"key", b"one", "h1", seq))
        assert store.entries("t") == ()
        with pytest.raises(SessionLost):
            earlier.put("t", b"key", b"two")
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

    # The end

    def test_closed_store_says_so(self, store: Store) -> None:
        session = store.open_session("h1", LONG)
        store.close()
        store.close()
        session.close()
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.read(BRIDGE),
            lambda: store.list("bridge"),
            lambda: store.transact((Create(BRIDGE, b""),)),
            lambda: store.watch(KindWatch("bridge"), Recorder()),
            lambda: store.entries("t"),
            lambda: store.seed("t", b"key", b"value"),
            lambda: store.open_session("h1", LONG),
        )
        for call in calls:
            with pytest.raises(StoreError, match="closed"):
                call()

    def test_close_ends_watches_while_changes_rain(self, store: Store, opener: Opener) -> None:
        writer, closing, watcher = opener(), opener(), Recorder()
        closing.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        stop = threading.Event()

        def write() -> None:
            session = writer.open_session("h1", LONG)
            while not stop.is_set():
                session.put("t", b"key", b"value")

        thread = threading.Thread(target=write)
        thread.start()
        watcher.wait(lambda recorder: len(recorder.calls) > 10)
        closing.close()
        told = len(watcher.calls)
        other = Recorder()
        store.watch(TableWatch("t"), other)
        other.wait_complete()
        other.wait(lambda recorder: len(recorder.calls) > 10)
        stop.set()
        thread.join(PATIENCE)
        assert len(watcher.calls) == told

    def test_close_from_within_a_listener_ends_the_watches(
        self, store: Store, opener: Opener
    ) -> None:
        closing, told = opener(), threading.Event()

        def listener(_: tuple[StoreEvent, ...]) -> None:
            closing.close()
            told.set()

        closing.watch(KindWatch("bridge"), listener)
        assert told.wait(PATIENCE)
        store.transact((Create(BRIDGE, b""),))
        with pytest.raises(StoreError, match="closed"):
            closing.read(BRIDGE)

    def test_names_that_are_no_text_are_refused(self, store: Store) -> None:
        lone_surrogate = "\ud800"
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.read(ObjectKey("bridge", lone_surrogate)),
            lambda: store.transact((Create(ObjectKey(lone_surrogate, ""), b""),)),
            lambda: store.watch(TableWatch(lone_surrogate), Recorder()),
            lambda: store.watch(ObjectWatch(ObjectKey("bridge", lone_surrogate)), Recorder()),
            lambda: store.entries(lone_surrogate),
        )
        for call in calls:
            with pytest.raises(StoreError):
                call()


class SharedStoreContract(StoreContract):
    """Beyond that, what a store that several processes share has to do."""

    def test_concurrent_updates_in_processes_lose_none(self, store: Store, url: str) -> None:
        store.transact((Create(COUNTER, b"0"),))
        watcher = Recorder()
        store.watch(ObjectWatch(COUNTER), watcher)
        watcher.wait_complete()
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(_child("count", url, "100")) for _ in range(3)]
            for child in children:
                assert child.wait(PATIENCE) == 0
        assert store.read(COUNTER) == StoredObject(COUNTER, 301, b"300")
        watcher.wait_for(ObjectChanged(COUNTER, 301, b"300"))
        versions = [event.version for event in watcher.events if isinstance(event, ObjectChanged)]
        assert versions == list(range(versions[0], 302))

    def test_watch_follows_writers_in_other_processes(self, store: Store, url: str) -> None:
        watcher = Recorder()
        store.watch(TableWatch("load"), watcher)
        watcher.wait_complete()
        with contextlib.ExitStack() as stack:
            children = [
                stack.enter_context(_child("put", url, owner, "1000")) for owner in ("a", "b", "c")
            ]
            for child in children:
                _await_ready(child)
            final = store.entries("load")
            watcher.wait(lambda recorder: recorder.entries == final)
        assert {entry.owner for entry in final} == {"a", "b", "c"}
        puts = [event for event in watcher.events if isinstance(event, EntryPut)]
        for owner in "abc":
            assert [int(put.value) for put in puts if put.owner == owner] == list(range(1000))
        watcher.wait(lambda recorder: recorder.entries == ())
        assert store.entries("load") == ()

    def test_entries_of_a_killed_process_go_away_by_themselves(
        self, store: Store, url: str
    ) -> None:
        watcher = Recorder()
        store.watch(TableWatch("held"), watcher)
        watcher.wait_complete()
        with _child("hold", url, "h1", "1.0") as child:
            _await_ready(child)
            watcher.wait(lambda recorder: len(recorder.entries) == 1)
            child.kill()
            watcher.wait(lambda recorder: recorder.entries == ())
        assert store.entries("held") == ()

    def test_fresh_reader_sees_no_entries_of_the_dead(self, opener: Opener, url: str) -> None:
        with _child("hold", url, "h1", str(SHORT)) as child:
            _await_ready(child)
            child.kill()
        reader = opener()
        deadline = threading.Event()
        while reader.entries("held"):
            deadline.wait(0.01)


def _run_in_threads(*functions: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert failures == []


@contextlib.contextmanager
def _child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.state.store_process", *arguments]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
            assert child.stdin is not None
            child.stdin.close()
            child.wait(PATIENCE)
        finally:
            child.kill()


def _await_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
