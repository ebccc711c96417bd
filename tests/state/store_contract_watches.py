"""The contract of every Store: watches."""

import threading

from actors.state.store.interface import (
    Create,
    Delete,
    EntryPut,
    KindWatch,
    ObjectChanged,
    ObjectWatch,
    SnapshotComplete,
    Store,
    StoreEvent,
    TableWatch,
    Update,
)
from tests.state.store_contract_base import (
    BRIDGE,
    LONG,
    OTHER_BRIDGE,
    ROUTER,
    Opener,
    StoreFixtures,
    run_in_threads,
)
from tests.state.store_recorder import PATIENCE, Recorder


class WatchContract(StoreFixtures):
    def test_object_watch_tells_what_is_there_and_then_every_change(self, store: Store) -> None:
        store.transact((Create(BRIDGE, b"one"),))
        watcher = Recorder()
        store.watch(ObjectWatch(BRIDGE), watcher)
        watcher.wait_complete()
        store.transact((Update(BRIDGE, 1, b"two"),))
        watcher.wait_for(ObjectChanged(BRIDGE, 2, b"two"))
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
        watcher.wait_for(ObjectChanged(OTHER_BRIDGE, 1, b"other"))
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
        heard, other, known = Recorder(), Recorder(), threading.Event()

        def listener(events: tuple[StoreEvent, ...]) -> None:
            assert known.wait(PATIENCE)  # the first call may come before watch returns
            heard(events)
            unsubscribe()

        unsubscribe = store.watch(ObjectWatch(BRIDGE), listener)
        known.set()
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

        run_in_threads(lambda: write("a"), lambda: write("b"), lambda: write("c"), begin_watches)
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

    def test_object_watches_under_load_see_the_versions_in_order(self, store: Store) -> None:
        watcher = Recorder()
        store.transact((Create(BRIDGE, b""),))
        store.watch(ObjectWatch(BRIDGE), watcher)
        watcher.wait_complete()
        for version in range(1, 501):
            store.transact((Update(BRIDGE, version, b"%d" % version),))
        watcher.wait_for(ObjectChanged(BRIDGE, 501, b"500"))
        told = [event.version for event in watcher.updates if isinstance(event, ObjectChanged)]
        assert watcher.updates == [
            ObjectChanged(BRIDGE, version, b"%d" % (version - 1)) for version in sorted(set(told))
        ]
        if self.tells_every_version:
            assert told == list(range(2, 502))
