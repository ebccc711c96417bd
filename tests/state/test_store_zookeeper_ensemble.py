"""The ZooKeeper store on three servers, some of which die."""

from collections.abc import Iterator

import pytest

from actors.state.store.interface import (
    Create,
    KindWatch,
    ObjectChanged,
    StoredObject,
    TableWatch,
    Update,
)
from tests.state.store_recorder import Recorder
from tests.state.zookeeper_fixtures import B1, Opener, ZookeeperFixtures, fails, until
from tests.zookeeper.ensemble import Ensemble, running


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("ensemble"), 3) as ensemble:
        yield ensemble


class TestEnsembleOfThree(ZookeeperFixtures):
    def test_leader_killed_under_writes_loses_none(
        self, ensemble: Ensemble, opener: Opener, root: str
    ) -> None:
        writing, watching = opener(ensemble.url(root)), opener(ensemble.url(root))
        watcher = Recorder()
        watching.watch(TableWatch("t"), watcher)
        watcher.wait_complete()
        session = writing.open_session("h1", 8.0)
        for number in range(200):
            session.put("t", b"%d" % (number % 10), b"%d" % number)
            if number == 100:
                leader = ensemble.leader()
                leader.kill()
        final = writing.entries("t")
        assert sorted(int(entry.value) for entry in final) == list(range(190, 200))
        watcher.wait(lambda recorder: recorder.entries == final)
        leader.start()
        leader.wait_ready()

    def test_reads_see_what_was_written_through_another_server(
        self, ensemble: Ensemble, opener: Opener, root: str
    ) -> None:
        stores = [opener(f"zookeeper://{s.address}/{root}") for s in ensemble.servers]
        for version in range(1, 60):
            writing, reading = stores[version % 3], stores[(version + 1) % 3]
            writing.transact((Create(B1, b"") if version == 1 else Update(B1, version - 1, b""),))
            assert reading.read(B1) == StoredObject(B1, version, b"")

    def test_lost_quorum_fails_calls_and_comes_back_with_all_that_was_stored(
        self, ensemble: Ensemble, opener: Opener, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = opener(ensemble.url(root))
        until(lambda: not fails(lambda: store.read(B1)))
        store.transact((Create(B1, b"1"),))
        watcher = Recorder()
        store.watch(KindWatch("bridge"), watcher)
        watcher.wait_complete()
        for server in ensemble.servers[:2]:
            server.kill()
        with monkeypatch.context() as impatient:
            impatient.setattr("actors.state.store.zookeeper.connection.CALL_SECONDS", 0.5)
            until(lambda: fails(lambda: store.read(B1)))
        for server in ensemble.servers[:2]:
            server.start()
        ensemble.leader()
        until(lambda: not fails(lambda: store.read(B1)))
        store.transact((Update(B1, 1, b"2"),))
        watcher.wait_for(ObjectChanged(B1, 2, b"2"))
