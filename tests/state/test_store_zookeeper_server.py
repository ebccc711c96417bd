"""The ZooKeeper store and what else is on the server: permissions, garbage, sizes, and watches."""

from collections.abc import Iterator
from pathlib import Path

import kazoo
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from actors.state.store.interface import (
    Create,
    EntryPut,
    KindWatch,
    ObjectChanged,
    ObjectKey,
    ObjectWatch,
    SessionLost,
    StoredObject,
    StoreError,
    TableWatch,
)
from actors.state.store.zookeeper.persistent_watch import AddWatch
from tests.state.store_recorder import Recorder
from tests.state.zookeeper_fixtures import B1, B2, Opener, ZookeeperFixtures, until
from tests.zookeeper.ensemble import Ensemble, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as ensemble:
        yield ensemble


@pytest.fixture
def stranger(server: Ensemble) -> Iterator[KazooClient]:
    """Someone else's client."""
    client = KazooClient(server.hosts)
    client.start()
    yield client
    client.stop()
    client.close()


class TestServer(ZookeeperFixtures):
    def test_nothing_under_the_root_is_open_to_others_where_a_credential_is_set(
        self, server: Ensemble, opener: Opener, root: str, tmp_path: Path, stranger: KazooClient
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("ayatori:secret")
        secret.chmod(0o600)
        url = f"{server.url(root)}?auth=digest:{secret}"
        store, other = opener(url), opener(url)
        store.transact((Create(B1, b"data"),))
        store.seed("t", b"key", b"value")
        session = store.open_session("h1", 10.0)
        session.put("t", b"key", b"value")
        assert other.read(B1) == StoredObject(B1, 1, b"data")
        assert len(other.entries("t")) == 2
        for path in ("", "/objects", "/objects/bridge", "/objects/bridge/b1", "/tables/t"):
            with pytest.raises(NoAuthError):
                stranger.get(f"/{root}{path}")
            with pytest.raises(NoAuthError):
                stranger.create(f"/{root}{path}/x", b"")
        with pytest.raises(StoreError, match="not permitted"):
            opener(server.url(root)).read(B1)

    def test_credential_for_a_root_that_everyone_may_change_is_refused(
        self, server: Ensemble, opener: Opener, root: str, tmp_path: Path
    ) -> None:
        opener(server.url(root))
        secret = tmp_path / "secret"
        secret.write_text("ayatori:secret")
        secret.chmod(0o600)
        with pytest.raises(StoreError, match=f"/{root} may be changed by everyone"):
            opener(f"{server.url(root)}?auth=digest:{secret}")

    def test_garbage_is_refused_by_name_and_the_rest_is_served(
        self,
        server: Ensemble,
        opener: Opener,
        root: str,
        reports: list[str],
        stranger: KazooClient,
    ) -> None:
        store = opener(server.url(root))
        store.transact((Create(B1, b""),))
        session = store.open_session("h1", 10.0)
        seq = session.put("t", b"key", b"")
        stranger.create(f"/{root}/tables/t/garbage before", b"")
        stranger.create(f"/{root}/objects/bridge/%zz", b"")
        table, kind = Recorder(), Recorder()
        store.watch(TableWatch("t"), table)
        store.watch(KindWatch("bridge"), kind)
        table.wait_complete()
        kind.wait_complete()
        stranger.create(f"/{root}/tables/t/garbage after", b"")
        stranger.create(f"/{root}/objects/bridge/b b", b"")
        stranger.delete(f"/{root}/tables/t/garbage before")
        later = session.put("t", b"later", b"")
        store.transact((Create(B2, b""),))
        kind.wait_for(ObjectChanged(B2, 1, b""))
        table.wait_for(EntryPut("t", b"later", b"", "h1", later))
        assert [put.seq for put in store.entries("t")] == [seq, later]
        assert store.list("bridge") == (StoredObject(B1, 1, b""), StoredObject(B2, 1, b""))
        for name in ("t/garbage before", "t/garbage after", "bridge/%zz", "bridge/b b"):
            assert (
                len([report for report in reports if f"{name} is not of this store" in report]) == 1
            )
        assert len(reports) == 4

    def test_mark_of_a_session_that_is_no_mark_stops_nobody(
        self, server: Ensemble, opener: Opener, root: str, stranger: KazooClient
    ) -> None:
        store = opener(server.url(root))
        stranger.create(f"/{root}/sessions/h1", b"garbage")
        session = store.open_session("h1", 10.0)
        session.put("t", b"key", b"")
        stranger.delete(f"/{root}/sessions/h1")
        with pytest.raises(SessionLost):
            session.keep_alive()
        until(lambda: store.entries("t") == ())

    def test_folders_that_someone_removed_are_made_again(
        self, server: Ensemble, opener: Opener, root: str, stranger: KazooClient
    ) -> None:
        store = opener(server.url(root))
        session = store.open_session("h1", 10.0)
        session.put("t", b"key", b"one")
        store.transact((Create(B1, b""),))
        stranger.delete(f"/{root}/tables", recursive=True)
        stranger.delete(f"/{root}/objects", recursive=True)
        seq = session.put("t", b"key", b"two")
        store.transact((Create(B2, b""),))
        store.seed("u", b"key", b"")
        assert store.entries("t") == (EntryPut("t", b"key", b"two", "h1", seq),)
        assert store.list("bridge") == (StoredObject(B2, 1, b""),)

    def test_entry_that_someone_removed_is_put_again(
        self, server: Ensemble, opener: Opener, root: str, stranger: KazooClient
    ) -> None:
        store = opener(server.url(root))
        session = store.open_session("h1", 10.0)
        session.put("t", b"key", b"one")
        (name,) = stranger.get_children(f"/{root}/tables/t")
        stranger.delete(f"/{root}/tables/t/{name}")
        seq = session.put("t", b"key", b"two")
        assert store.entries("t") == (EntryPut("t", b"key", b"two", "h1", seq),)

    def test_entries_put_together_are_put_though_someone_removed_some_of_them_before(
        self, server: Ensemble, opener: Opener, root: str, stranger: KazooClient
    ) -> None:
        store = opener(server.url(root))
        session = store.open_session("h1", 10.0)
        session.put_all((("t", b"a", b"1"), ("t", b"b", b"2"), ("u", b"c", b"3")))
        for name in stranger.get_children(f"/{root}/tables/t"):
            stranger.delete(f"/{root}/tables/t/{name}")
        session.put_all((("t", b"a", b"4"), ("t", b"b", b"5"), ("u", b"c", b"6")))
        assert [(put.key, put.value) for put in store.entries("t")] == [(b"a", b"4"), (b"b", b"5")]
        assert [(put.key, put.value) for put in store.entries("u")] == [(b"c", b"6")]

    def test_entries_too_long_for_one_request_are_put_together_too(
        self, server: Ensemble, opener: Opener, root: str
    ) -> None:
        store = opener(server.url(root))
        session = store.open_session("h1", 10.0)
        rows = tuple(("t", b"%d" % number, bytes(10_000)) for number in range(40))
        session.put_all(rows)
        assert [put.key for put in store.entries("t")] == [key for _, key, _ in rows]

    def test_topology_of_ten_thousand_ports_is_one_transaction(
        self, server: Ensemble, opener: Opener, root: str
    ) -> None:
        store = opener(server.url(root))
        watcher = Recorder()
        store.watch(KindWatch("port"), watcher)
        ports = [ObjectKey("port", f"{n:05}") for n in range(10_000)]
        store.transact(tuple(Create(port, b"x" * 200) for port in ports))
        watcher.wait(lambda recorder: len(recorder.objects) == 10_000)
        assert store.list("port") == tuple(StoredObject(port, 1, b"x" * 200) for port in ports)

    def test_transaction_that_servers_do_not_take_is_said_with_its_size(
        self, server: Ensemble, opener: Opener, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("actors.state.store.zookeeper.store.WATCH_TIMEOUT", 3.0)
        store = opener(server.url(root))
        big = tuple(Create(ObjectKey("port", f"{n}"), b"x" * 1_000_000) for n in range(9))
        with pytest.raises(StoreError, match=r"9 operations and 9\d{6} bytes.*jute\.maxbuffer"):
            store.transact(big)
        assert store.list("port") == ()
        store.transact((Create(B1, b""),))

    def test_many_watches_of_single_objects_are_each_told(
        self, server: Ensemble, opener: Opener, root: str
    ) -> None:
        store, other = opener(server.url(root)), opener(server.url(root))
        keys = [ObjectKey("bridge", f"b{n}") for n in range(300)]
        watchers = {key: Recorder() for key in keys}
        ends = [store.watch(ObjectWatch(key), watcher) for key, watcher in watchers.items()]
        for watcher in watchers.values():
            watcher.wait_complete()
        other.transact(tuple(Create(key, b"") for key in keys))
        for key, watcher in watchers.items():
            watcher.wait_for(ObjectChanged(key, 1, b""))
            assert len(watcher.updates) == 1
        for end in ends:
            end()

    def test_kazoo_has_no_persistent_watch_of_its_own_yet(self) -> None:
        # Once it has, persistent_watch.py can go.
        assert kazoo.__version__.startswith("2.11.")
        assert not hasattr(KazooClient, "add_watch")
        assert AddWatch("/a").serialize() == b"\0\0\0\2/a\0\0\0\1"
