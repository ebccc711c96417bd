"""The store's thread of an agent while servers come and go: what it keeps, and what it makes up for."""

from collections.abc import Iterator

import pytest

from actors.edge.steady_clock import SteadyClock
from actors.edge.store_driver import STATE_TABLES, StoreDriver
from actors.lane import Lane
from actors.messages.stored import Input
from actors.messages.tables import PutEntry, RemoveEntry, SessionEnded, SessionOpened, SettleSession
from actors.state.store.interface import EntryPut, EntryRemoved, Store, TableWatch
from actors.state.store.open import open_store
from actors.values import ActorName, HostId
from tests.state.store_recorder import Recorder
from tests.state.zookeeper_fixtures import ProxiedServerFixtures, until
from tests.zookeeper.ensemble import Ensemble, running
from tests.zookeeper.proxy import Proxy

HOST = HostId("h1")


class HeardLane(Lane):
    """A lane that keeps what it is told, and handles nothing."""

    def __init__(self) -> None:
        self.heard: list[Input] = []

    def submit(self, to: ActorName, *messages: Input) -> None:
        assert to == STATE_TABLES
        self.heard += messages

    def heard_of(self, kind: type[Input]) -> int:
        return sum(isinstance(message, kind) for message in self.heard)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as ensemble:
        yield ensemble


class TestStoreDriver(ProxiedServerFixtures):
    @pytest.fixture
    def lane(self) -> HeardLane:
        return HeardLane()

    @pytest.fixture
    def driver(
        self, near: Store, proxy: Proxy, lane: HeardLane, root: str
    ) -> Iterator[StoreDriver]:
        del near
        url = f"zookeeper://{proxy.address}/{root}"
        driver = StoreDriver(lane, SteadyClock(), lambda: open_store(url), HOST, 10.0)
        driver.start()
        until(lambda: lane.heard_of(SessionOpened) == 1)
        yield driver
        driver.stop()

    def test_outage_longer_than_any_call_costs_neither_the_session_nor_a_row(
        self,
        near: Store,
        driver: StoreDriver,
        lane: HeardLane,
        proxy: Proxy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        watcher = Recorder()
        near.watch(TableWatch("t"), watcher)
        for key in (b"kept", b"replaced", b"removed"):
            driver.perform(PutEntry("t", key, b"1"))
        driver.perform(SettleSession())
        watcher.wait(lambda recorder: len(recorder.entries) == 3)
        told = len(watcher.events)
        with monkeypatch.context() as impatient:
            impatient.setattr("actors.state.store.zookeeper.connection.CALL_SECONDS", 0.2)
            proxy.cut()
            until(lambda: driver.status()["state"] == "disconnected")
            for number in range(150):
                driver.perform(PutEntry("t", b"new", b"%d" % number))
                driver.perform(PutEntry("t", b"%d" % number, b""))
            driver.perform(PutEntry("t", b"replaced", b"2"))
            driver.perform(RemoveEntry("t", b"removed"))
            until(lambda: int(str(driver.status()["failures"])) >= 2)
        proxy.mend()
        watcher.wait(lambda recorder: len(recorder.entries) == 153)
        until(lambda: driver.status()["state"] == "connected")
        assert driver.status()["sessions"] == 1
        assert lane.heard_of(SessionEnded) == 0
        values = {entry.key: entry.value for entry in near.entries("t")}
        assert values.items() >= {b"kept": b"1", b"replaced": b"2", b"new": b"149"}.items()
        assert not any(
            isinstance(event, EntryPut | EntryRemoved) and event.key == b"kept"
            for event in watcher.events[told:]
        )
