"""The contract of every Store: a backend's test class inherits it and provides `url`."""

import contextlib
import time

import pytest

from actors.state.store.holder import OwnerTaken
from actors.state.store.interface import (
    Create,
    EntryPut,
    ObjectChanged,
    ObjectWatch,
    Store,
    StoredObject,
    TableWatch,
)
from tests.state.store_contract_base import (
    LONG,
    SHORT,
    Opener,
    await_ready,
    child_process,
)
from tests.state.store_contract_leases import LeaseContract
from tests.state.store_contract_objects import ObjectContract
from tests.state.store_contract_tables import TableContract
from tests.state.store_contract_watches import WatchContract
from tests.state.store_process import COUNTER
from tests.state.store_recorder import PATIENCE, Recorder


class StoreContract(ObjectContract, WatchContract, TableContract, LeaseContract):
    """What every store has to do."""


class SharedStoreContract(StoreContract):
    """Beyond that, what a store that several processes share has to do."""

    def test_concurrent_updates_in_processes_lose_none(self, store: Store, url: str) -> None:
        store.transact((Create(COUNTER, b"0"),))
        watcher = Recorder()
        store.watch(ObjectWatch(COUNTER), watcher)
        watcher.wait_complete()
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(child_process("count", url, "100")) for _ in range(3)]
            for child in children:
                assert child.wait(PATIENCE) == 0
        assert store.read(COUNTER) == StoredObject(COUNTER, 301, b"300")
        watcher.wait_for(ObjectChanged(COUNTER, 301, b"300"))
        versions = [event.version for event in watcher.events if isinstance(event, ObjectChanged)]
        assert versions == sorted(set(versions))
        if self.tells_every_version:
            assert versions == list(range(versions[0], 302))

    def test_watch_follows_writers_in_other_processes(self, store: Store, url: str) -> None:
        watcher = Recorder()
        store.watch(TableWatch("load"), watcher)
        watcher.wait_complete()
        with contextlib.ExitStack() as stack:
            children = [
                stack.enter_context(child_process("put", url, owner, "1000"))
                for owner in ("a", "b", "c")
            ]
            for child in children:
                await_ready(child)
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
        with child_process("hold", url, "h1", "1.0") as child:
            await_ready(child)
            watcher.wait(lambda recorder: len(recorder.entries) == 1)
            child.kill()
            watcher.wait(lambda recorder: recorder.entries == ())
        assert store.entries("held") == ()

    def test_killed_process_is_succeeded_at_once(self, store: Store, url: str) -> None:
        with child_process("hold", url, "h1", "60.0") as child:
            await_ready(child)
            with pytest.raises(OwnerTaken) as taken:
                store.open_session("h1", LONG)
            assert f"process {child.pid} on " in str(taken.value)
            assert len(store.entries("held")) == 1
            child.kill()
            child.wait(PATIENCE)
            session = store.open_session("h1", LONG)
            (held,) = store.entries("held")
            seq = session.put("held", held.key, b"anew")
            assert store.entries("held")[-1] == EntryPut("held", held.key, b"anew", "h1", seq)

    def test_fresh_reader_sees_no_entries_of_the_dead(self, opener: Opener, url: str) -> None:
        with child_process("hold", url, "h1", str(SHORT)) as child:
            await_ready(child)
            child.kill()
        reader = opener()
        while reader.entries("held"):
            time.sleep(0.01)
