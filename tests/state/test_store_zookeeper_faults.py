"""The ZooKeeper store while links break, servers die and disks are lost: no change is missed."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from actors.state.store.interface import (
    Create,
    Delete,
    EntryPut,
    KindWatch,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    Session,
    SessionLost,
    Store,
    StoredObject,
    StoreError,
    TableWatch,
    Update,
)
from actors.state.store.open import open_store
from actors.state.store.zookeeper.store import ZookeeperStore
from tests.state.store_recorder import PATIENCE, Recorder
from tests.state.zookeeper_fixtures import (
    B1,
    B2,
    B3,
    Opener,
    ProxiedServerFixtures,
    fails,
    until,
)
from tests.zookeeper.ensemble import Ensemble, restart_from_an_empty_disk, running
from tests.zookeeper.proxy import Proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as ensemble:
        yield ensemble


def _keep_for_ever(session: Session) -> None:
    while True:
        session.keep_alive()


class TestFaults(ProxiedServerFixtures):
    @pytest.fixture
    def far(self, near: Store, opener: Opener, proxy: Proxy, root: str) -> Store:
        """The same store, behind the proxy."""
        del near
        return opener(f"zookeeper://{proxy.address}/{root}")

    def test_changes_made_while_the_link_was_cut_are_told_as_the_difference(
        self, near: Store, far: Store, proxy: Proxy, reports: list[str]
    ) -> None:
        near.transact((Create(B1, b"1"), Create(B2, b"1")))
        session = near.open_session("h1", 10.0)
        session.put("t", b"kept", b"")
        session.put("t", b"removed", b"")
        session.put("t", b"replaced", b"old")
        kind, one, absent, table = Recorder(), Recorder(), Recorder(), Recorder()
        far.watch(KindWatch("bridge"), kind)
        far.watch(ObjectWatch(B1), one)
        far.watch(ObjectWatch(B3), absent)
        far.watch(TableWatch("t"), table)
        for recorder in (kind, one, absent, table):
            recorder.wait_complete()
        proxy.cut()
        until(lambda: any("connection is lost" in report for report in reports))
        near.transact((Update(B1, 1, b"2"), Delete(B2, 1), Create(B3, b"1")))
        session.remove("t", b"removed")
        session.put("t", b"replaced", b"new")
        session.put("t", b"added", b"")
        proxy.mend()
        kind.wait(lambda recorder: recorder.objects == near.list("bridge"))
        one.wait_for(ObjectChanged(B1, 2, b"2"))
        absent.wait_for(ObjectChanged(B3, 1, b"1"))
        table.wait(lambda recorder: recorder.entries == near.entries("t"))
        assert kind.updates == [
            ObjectChanged(B2, 0, None),
            ObjectChanged(B1, 2, b"2"),
            ObjectChanged(B3, 1, b"1"),
        ]
        assert len(one.updates) == len(absent.updates) == 1
        assert len(table.updates) == 4

    def test_object_made_anew_behind_a_cut_link_is_told_as_gone_and_there_again(
        self, near: Store, far: Store, proxy: Proxy, reports: list[str]
    ) -> None:
        near.transact((Create(B1, b"same"),))
        watcher = Recorder()
        far.watch(ObjectWatch(B1), watcher)
        watcher.wait_complete()
        proxy.cut()
        until(lambda: reports != [])
        near.transact((Delete(B1, 1),))
        near.transact((Create(B1, b"same"),))
        proxy.mend()
        watcher.wait(lambda recorder: len(recorder.updates) == 2)
        assert watcher.updates == [ObjectChanged(B1, 0, None), ObjectChanged(B1, 1, b"same")]

    def test_watches_begun_and_ended_while_the_link_is_cut_are_right_after_it(
        self, near: Store, far: Store, proxy: Proxy, reports: list[str]
    ) -> None:
        ended, begun = Recorder(), Recorder()
        end = far.watch(KindWatch("bridge"), ended)
        ended.wait_complete()
        proxy.cut()
        until(lambda: reports != [])
        end()
        far.watch(KindWatch("router"), begun)
        near.transact((Create(B1, b""), Create(ObjectKey("router", "r"), b"")))
        proxy.mend()
        begun.wait_complete()
        assert begun.events[0] == ObjectChanged(ObjectKey("router", "r"), 1, b"")
        assert ended.updates == []

    def test_link_that_breaks_again_and_again_under_changes_loses_none(
        self, near: Store, far: Store, proxy: Proxy
    ) -> None:
        table, objects = Recorder(), Recorder()
        far.watch(TableWatch("t"), table)
        far.watch(KindWatch("bridge"), objects)
        table.wait_complete()
        objects.wait_complete()
        stop = threading.Event()

        def write() -> None:
            session = near.open_session("h1", 10.0)
            for number in itertools.count():
                session.put("t", b"%d" % (number % 20), b"%d" % number)
                if number % 3 == 0:
                    session.remove("t", b"%d" % (number * 7 % 20))
                key = ObjectKey("bridge", f"b{number % 9}")
                found = near.read(key)
                near.transact((Create(key, b"") if found is None else Delete(key, found.version),))
                if stop.is_set():
                    return

        thread = threading.Thread(target=write)
        thread.start()
        for _ in range(6):
            told = len(table.calls)
            proxy.cut()
            proxy.mend()
            table.wait(lambda recorder, told=told: len(recorder.calls) > told + 3)  # type: ignore[misc]
        stop.set()
        thread.join(PATIENCE)
        table.wait(lambda recorder: recorder.entries == near.entries("t"))
        objects.wait(lambda recorder: recorder.objects == near.list("bridge"))

    def test_calls_behind_a_cut_link_fail_in_bounded_time_and_work_again_later(
        self, far: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as impatient:
            impatient.setattr("actors.state.store.zookeeper.connection.CALL_SECONDS", 0.3)
            proxy.cut()
            until(lambda: fails(lambda: far.read(B1)))
            for call in (
                lambda: far.list("bridge"),
                lambda: far.entries("t"),
                lambda: far.transact((Create(B1, b""),)),
                lambda: far.seed("t", b"", b""),
            ):
                assert fails(call)
        proxy.mend()
        until(lambda: not fails(lambda: far.read(B1)))
        far.transact((Create(B1, b""),))

    def test_session_survives_a_short_cut_with_its_entries(
        self, near: Store, far: Store, proxy: Proxy
    ) -> None:
        watcher = Recorder()
        near.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = far.open_session("h1", 10.0)
        first = session.put("t", b"key", b"one")
        proxy.cut()
        proxy.mend()
        second = session.put("t", b"key", b"two")
        session.keep_alive()
        assert near.entries("t") == (EntryPut("t", b"key", b"two", "h1", second),)
        assert second > first

    def test_server_that_accepts_connections_and_says_nothing_is_tried_again_soon(
        self, near: Store, far: Store, proxy: Proxy
    ) -> None:
        session = far.open_session("h1", 10.0)
        first = session.put("t", b"key", b"one")
        proxy.cut()
        proxy.leave_unanswered(2)
        proxy.mend()
        second = session.put("t", b"key", b"two")  # would not wait as long as the session lasts
        assert second > first
        assert near.entries("t") == (EntryPut("t", b"key", b"two", "h1", second),)

    def test_stall_longer_than_the_lease_loses_the_session_and_its_entries(
        self, near: Store, far: Store, proxy: Proxy
    ) -> None:
        watcher = Recorder()
        near.watch(TableWatch("t"), watcher)
        session = far.open_session("h1", 3.0)
        session.put("t", b"key", b"value")
        watcher.wait(lambda recorder: len(recorder.entries) == 1)
        proxy.stall()
        watcher.wait(lambda recorder: recorder.complete and recorder.entries == ())
        proxy.mend()
        with pytest.raises(SessionLost, match="h1"):
            _keep_for_ever(session)
        with pytest.raises(SessionLost, match="h1"):
            session.put("t", b"key", b"value")
        again = far.open_session("h1", 10.0)
        seq = again.put("t", b"key", b"anew")
        session.close()
        assert near.entries("t") == (EntryPut("t", b"key", b"anew", "h1", seq),)

    def test_owner_comes_back_before_its_earlier_session_timed_out(
        self, near: Store, far: Store, proxy: Proxy
    ) -> None:
        far.open_session("h1", 10.0).put("t", b"key", b"old")
        proxy.stall()
        session = near.open_session("h1", 10.0)
        assert len(near.entries("t")) == 1
        seq = session.put("t", b"key", b"new")
        session.settle()
        proxy.mend()
        assert near.entries("t") == (EntryPut("t", b"key", b"new", "h1", seq),)

    def test_closing_behind_a_stalled_link_takes_a_bounded_time(
        self, far: Store, proxy: Proxy
    ) -> None:
        session = far.open_session("h1", 10.0)
        session.put("t", b"key", b"value")
        before = threading.active_count()
        proxy.stall()
        far.close()
        assert threading.active_count() < before

    def test_closed_store_leaves_no_thread(
        self, opener: Opener, server: Ensemble, root: str
    ) -> None:
        before = set(threading.enumerate())
        store = opener(server.url(root))
        store.watch(TableWatch("t"), Recorder())
        store.open_session("h1", 10.0).put("t", b"key", b"value")
        store.close()
        assert set(threading.enumerate()) <= before

    def test_no_server_is_said_in_bounded_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.state.store.zookeeper.connection.CONNECT_SECONDS", 0.3)
        with pytest.raises(
            StoreError, match=r"127\.0\.0\.1:1/ayatori.*no ZooKeeper server answers"
        ):
            open_store("zookeeper://127.0.0.1:1/ayatori")

    def test_server_that_lost_its_disk_ends_sessions_and_is_filled_again(
        self, server: Ensemble, opener: Opener, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("actors.state.store.zookeeper.store.WATCH_TIMEOUT", 3.0)
        store = opener(server.url(root))
        store.transact((Create(B1, b"old"),))
        session = store.open_session("h1", 3.0)
        session.put("t", b"key", b"old")
        objects, table = Recorder(), Recorder()
        store.watch(KindWatch("bridge"), objects)
        end = store.watch(TableWatch("t"), table)
        objects.wait_complete()
        table.wait_complete()
        restart_from_an_empty_disk(server.servers[0])
        objects.wait_for(ObjectChanged(B1, 0, None))
        table.wait(lambda recorder: recorder.entries == ())
        end()
        anew = Recorder()  # with the disk, the numbers begin again
        store.watch(TableWatch("t"), anew)
        with pytest.raises(SessionLost):
            session.put("t", b"key", b"old")
        store.transact((Create(B1, b"new"),))
        again = store.open_session("h1", 10.0)
        seq = again.put("t", b"key", b"new")
        objects.wait_for(ObjectChanged(B1, 1, b"new"))
        anew.wait_for(EntryPut("t", b"key", b"new", "h1", seq))
        assert store.read(B1) == StoredObject(B1, 1, b"new")

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_answer_that_cannot_be_read_ends_no_watch(
        self, near: Store, server: Ensemble, opener: Opener, root: str
    ) -> None:
        store = opener(server.url(root))
        assert isinstance(store, ZookeeperStore)
        watcher = Recorder()
        store.watch(KindWatch("bridge"), watcher)
        watcher.wait_complete()
        reader = store._connection._client._connection
        read = reader._read_socket

        def misread(_: float) -> object:
            reader._read_socket = read
            raise RuntimeError("not to be read")

        reader._read_socket = misread
        near.transact((Create(B1, b"1"),))
        watcher.wait_for(ObjectChanged(B1, 1, b"1"))
        assert store.read(B1) == StoredObject(B1, 1, b"1")
