"""The change log: what it keeps, and what watchers that lag behind it are told."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.state.store.interface import (
    Create,
    Delete,
    EntryPut,
    EntryRemoved,
    KindWatch,
    ObjectChanged,
    ObjectKey,
    Store,
    StoreEvent,
    TableWatch,
    Update,
)
from actors.state.store.open import open_store
from actors.state.store.sqlite import delivery, waker
from actors.state.store.sqlite.changes import (
    ChangeWriter,
    FellBehind,
    LogBounds,
    changes_after,
    last_revision,
)
from actors.state.store.sqlite.database import Database, open_memory
from tests.state.store_recorder import PATIENCE, Recorder

SMALL = LogBounds(changes=8)
_names = itertools.count()


@pytest.fixture
def store() -> Iterator[Store]:
    store = open_store(f"memory:log-{next(_names)}", log_bounds=SMALL)
    yield store
    store.close()


@pytest.fixture
def database() -> Iterator[Database]:
    database = open_memory("memory:of its own")
    yield database
    database.close()


class _Held(Recorder):
    """A listener that is busy with its first call until released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def __call__(self, events: tuple[StoreEvent, ...]) -> None:
        super().__call__(events)
        assert self.released.wait(PATIENCE)


def _log(database: Database, bounds: LogBounds, changes: int, at: int = 0, size: int = 0) -> None:
    with database.writing() as connection:
        writer = ChangeWriter(connection, at, bounds)
        for _ in range(changes):
            writer.append(EntryPut("t", b"key", b"x" * size, "h1", writer.next_revision))
        writer.write()


def _kept(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM changes").fetchone()[0])


def test_log_keeps_a_bounded_number_of_changes(database: Database) -> None:
    for _ in range(1000):
        _log(database, SMALL, changes=1)
        assert _kept(database) <= 11
    assert _kept(database) >= 8
    with database.reading() as connection:
        assert last_revision(connection) == 1000


def test_log_keeps_a_bounded_volume(database: Database) -> None:
    bounds = LogBounds(volume=100_000)
    for _ in range(100):
        _log(database, bounds, changes=1, size=10_000)
        assert _kept(database) <= 13
    assert _kept(database) >= 9


def test_log_forgets_what_is_old(database: Database) -> None:
    bounds = LogBounds(age=1000)
    for at in range(0, 100_000, 100):
        _log(database, bounds, changes=1, at=at)
        assert _kept(database) <= 14
    assert _kept(database) >= 10


def test_log_keeps_a_transaction_that_is_larger_than_its_bounds(database: Database) -> None:
    _log(database, SMALL, changes=5)
    _log(database, SMALL, changes=100)
    assert _kept(database) == 100


def test_log_is_read_in_whole_transactions(database: Database) -> None:
    for _ in range(4):
        _log(database, LogBounds(), changes=3)
    with database.reading() as connection:
        batches = changes_after(connection, 3, limit=4)
        assert isinstance(batches, tuple)
        assert [[revision for revision, _ in batch.changes] for batch in batches] == [
            [4, 5, 6],
            [7, 8, 9],
        ]
        assert changes_after(connection, 12, limit=4) == ()


def test_reader_behind_the_trim_is_told_so(database: Database) -> None:
    _log(database, SMALL, changes=5)
    _log(database, SMALL, changes=100)
    with database.reading() as connection:
        assert isinstance(changes_after(connection, 4, limit=10), FellBehind)
        assert isinstance(changes_after(connection, 5, limit=10), tuple)


def test_table_watcher_behind_the_trim_is_told_the_difference(store: Store) -> None:
    session, watcher = store.open_session("h1", 60.0), _Held()
    seqs = {key: session.put("t", key, b"old") for key in (b"kept", b"gone", b"new value")}
    store.seed("t", b"seeded", b"old")
    store.watch(TableWatch("t"), watcher)
    watcher.wait_complete()
    for number in range(50):
        session.put("t", b"brief", b"%d" % number)
    session.remove("t", b"brief")
    session.remove("t", b"gone")
    store.seed("t", b"seeded", b"new")
    new = session.put("t", b"new value", b"new")
    watcher.released.set()
    watcher.wait(lambda recorder: recorder.entries == store.entries("t"))
    assert watcher.updates == [
        EntryRemoved("t", b"seeded", b"old", "", 0),
        EntryRemoved("t", b"gone", b"old", "h1", seqs[b"gone"]),
        EntryRemoved("t", b"new value", b"old", "h1", seqs[b"new value"]),
        EntryPut("t", b"seeded", b"new", "", 0),
        EntryPut("t", b"new value", b"new", "h1", new),
    ]
    last = session.put("t", b"later", b"value")
    watcher.wait_for(EntryPut("t", b"later", b"value", "h1", last))


def test_object_watcher_behind_the_trim_is_told_the_difference(store: Store) -> None:
    kept, gone, again, changed, brief = (ObjectKey("bridge", id_) for id_ in "abcde")
    store.transact(tuple(Create(key, b"old") for key in (kept, gone, again, changed)))
    watcher = _Held()
    store.watch(KindWatch("bridge"), watcher)
    watcher.wait_complete()
    for _ in range(20):
        store.transact((Create(brief, b""),))
        store.transact((Delete(brief, 1),))
    store.transact((Delete(gone, 1), Delete(again, 1), Update(changed, 1, b"new")))
    store.transact((Create(again, b"another"),))
    watcher.released.set()
    watcher.wait(lambda recorder: recorder.objects == store.list("bridge"))
    assert watcher.updates == [
        ObjectChanged(gone, 0, None),
        ObjectChanged(again, 1, b"another"),
        ObjectChanged(changed, 2, b"new"),
    ]


def test_watchers_that_lag_again_and_again_end_up_right(store: Store) -> None:
    session, watchers = store.open_session("h1", 60.0), [Recorder() for _ in range(3)]
    for number in range(3000):
        session.put("t", b"%d" % (number % 11), b"%d" % number)
        if number % 1000 == 0:
            store.watch(TableWatch("t"), watchers[number // 1000])
    for watcher in watchers:
        watcher.wait(lambda recorder: recorder.entries == store.entries("t"))


def test_update_in_a_large_table_is_told_alone(store: Store) -> None:
    session, watcher = store.open_session("h1", 60.0), Recorder()
    for number in range(10_000):
        session.put("t", b"%d" % number, b"value")
    store.watch(TableWatch("t"), watcher)
    watcher.wait_complete()
    session.put("t", b"5000", b"other")
    watcher.wait(lambda recorder: len(recorder.calls) == 2)
    assert len(watcher.calls[0]) == 10_001
    assert len(watcher.calls[1]) == 2


def test_watches_follow_other_stores_of_the_file_without_inotify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waker, "_inotify", lambda _: None)
    watching, writing = (open_store(f"sqlite:///{tmp_path}/store.db") for _ in range(2))
    watcher = Recorder()
    watching.watch(TableWatch("t"), watcher)
    watcher.wait_complete()
    writing.seed("t", b"key", b"value")
    watcher.wait_for(EntryPut("t", b"key", b"value", "", 0))
    watching.close()
    writing.close()


def test_listener_that_never_returns_does_not_keep_the_store_from_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_STOP_SECONDS", 0.05)
    reports: list[str] = []
    store = open_store("memory:stuck", report=lambda message, _: reports.append(message))
    watcher = _Held()
    store.watch(TableWatch("t"), watcher)
    watcher.wait_complete()
    store.close()
    assert "a listener hangs" in reports[0]
    watcher.released.set()
