"""The contract of every Store: objects, transactions, and a closed store."""

import contextlib
import threading
from collections.abc import Callable

import pytest

from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    KindWatch,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    Operation,
    Store,
    StoredObject,
    StoreError,
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
from tests.state.store_process import COUNTER
from tests.state.store_recorder import PATIENCE, Recorder


class ObjectContract(StoreFixtures):
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

        run_in_threads(count, count, count)
        assert store.read(COUNTER) == StoredObject(COUNTER, 121, b"120")

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
