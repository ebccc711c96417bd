"""What can be wrong with a store's file, and what becomes of it in a crash or a reboot."""

import contextlib
import ctypes
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.state.store.interface import Create, ObjectKey, StoreError, TableWatch
from actors.state.store.open import open_store
from actors.state.store.sqlite.changes import changes_after
from actors.state.store.sqlite.database import open_file
from actors.state.store.sqlite.place import FilePlace
from tests.state.store_recorder import Recorder

OBJECT = ObjectKey("bridge", "b1")
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def _complaint(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    message = str(caught.value)
    assert url in message
    assert "\n" not in message
    return message


def test_new_file_and_its_log_are_for_the_owner_only(path: Path, url: str) -> None:
    old = os.umask(0)
    try:
        store = open_store(url)
        store.transact((Create(OBJECT, b""),))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere does not exist" in _complaint(f"sqlite:///{tmp_path}/nowhere/store.db")


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    assert "no file" in _complaint(f"sqlite:///{tmp_path}")


def test_file_that_is_no_database_is_refused_and_kept(path: Path, url: str) -> None:
    path.write_bytes(b"the accounts of 1998\n" * 1000)
    assert "no SQLite database" in _complaint(url)
    assert path.read_bytes() == b"the accounts of 1998\n" * 1000


def test_database_of_another_application_is_refused_and_kept(path: Path, url: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as foreign, foreign:
        foreign.execute("CREATE TABLE accounts (year INTEGER)")
    before = path.read_bytes()
    assert "another application" in _complaint(url)
    assert path.read_bytes() == before


def test_store_of_a_newer_format_is_refused_and_kept(path: Path, url: str) -> None:
    open_store(url).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    before = path.read_bytes()
    assert "has format 3, and this version only reads format 2" in _complaint(url)
    assert path.read_bytes() == before


def test_store_of_the_format_without_holders_is_taken_over(path: Path, url: str) -> None:
    with contextlib.closing(open_store(url)) as store:
        store.transact((Create(ObjectKey("bridge", "b"), b"kept"),))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE sessions DROP lease")
        connection.execute("PRAGMA user_version = 1")
    with contextlib.closing(open_store(url)) as store:
        assert store.list("bridge")[0].data == b"kept"
        store.open_session("h1", 60.0)


def test_damaged_file_is_an_error_of_the_store(path: Path, url: str) -> None:
    store = open_store(url)
    for number in range(200):
        store.transact((Create(ObjectKey("bridge", str(number)), b"x" * 500),))
    store.close()
    whole = path.read_bytes()
    for keep in range(0, len(whole), 4096 * 3):
        path.write_bytes(whole[:keep] + b"\xa5" * (len(whole) - keep))
        with contextlib.suppress(StoreError):
            damaged = open_store(url)
            with contextlib.closing(damaged), contextlib.suppress(StoreError):
                damaged.list("bridge")
                damaged.transact((Create(OBJECT, b""),))
    path.write_bytes(whole[:100] + b"\xa5" * (len(whole) - 100))
    assert "damaged" in _complaint(url)


def test_file_that_may_not_be_written_is_refused(path: Path, url: str) -> None:
    open_store(url).close()
    path.chmod(0o444)
    with _passable(path), _as_nobody(), pytest.raises(StoreError, match="read-only"):
        open_store(url)


def test_file_that_may_not_be_read_is_refused(path: Path, url: str) -> None:
    open_store(url).close()
    path.chmod(0o000)
    with _passable(path), _as_nobody(), pytest.raises(StoreError, match="cannot be opened"):
        open_store(url)


def test_folder_that_may_not_be_written_is_refused(path: Path, url: str) -> None:
    path.parent.chmod(0o555)
    with _passable(path), _as_nobody(), pytest.raises(StoreError, match="cannot create"):
        open_store(url)


def test_full_disk_is_named_and_the_store_stays_whole(path: Path, url: str) -> None:
    store = open_store(url)
    store.transact((Create(OBJECT, b""),))
    store.close()
    place = FilePlace(url, path)
    database = place.database()
    with database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"), database.writing() as connection:
        connection.execute(
            "INSERT INTO objects VALUES ('bridge', 'big', 1, 1, ?)", (b"x" * 50_000,)
        )
    with database.writing() as connection:
        assert connection.execute("SELECT count(*) FROM objects").fetchone() == (1,)
    place.leave()


def test_file_that_was_removed_or_replaced_is_used_no_more(path: Path, url: str) -> None:
    store = open_store(url)
    watcher = Recorder()
    store.watch(TableWatch("t"), watcher)
    watcher.wait_complete()
    path.unlink()
    with pytest.raises(StoreError, match="the file is gone"):
        store.read(OBJECT)
    for leftover in path.parent.iterdir():
        leftover.unlink()
    other = open_store(url)
    with pytest.raises(StoreError, match="replaced"):
        store.transact((Create(OBJECT, b""),))
    other.close()
    store.close()


def test_reboot_ends_all_sessions(path: Path, url: str) -> None:
    store = open_store(url)
    store.open_session("h1", 60.0).put("t", b"key", b"learned")
    store.seed("t", b"key", b"seeded")
    store.transact((Create(OBJECT, b"kept"),))
    last = store.entries("t")[-1].seq
    # As if the machine had stopped here: the file stays as it is, and the next boot reads it.
    copy = path.with_name("copy.db")
    with contextlib.closing(sqlite3.connect(path)) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    store.close()
    with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE facts SET value = 'an earlier boot' WHERE name = 'boot'")
    rebooted = open_store(f"sqlite:///{copy}")
    assert [entry.value for entry in rebooted.entries("t")] == [b"seeded"]
    found = rebooted.read(OBJECT)
    assert found is not None
    assert found.data == b"kept"
    assert rebooted.open_session("h1", 60.0).put("t", b"key", b"learned anew") > last
    rebooted.close()


def test_processes_that_make_the_same_file_at_once_agree(url: str) -> None:
    stores = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        stores.append(open_store(url))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    stores[0].transact((Create(OBJECT, b""),))
    assert all(store.read(OBJECT) for store in stores)
    for store in stores:
        store.close()


def test_writer_killed_at_any_moment_leaves_a_whole_store(path: Path, url: str) -> None:
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.state.store_process", "put", url, "h1", "1000000"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
        )
        store = open_store(url)
        watcher = Recorder()
        store.watch(TableWatch("load"), watcher)
        watcher.wait(lambda recorder: len(recorder.calls) > 200)
        child.kill()
        child.communicate()
        store.close()
        place = FilePlace(url, path)
        with place.database().reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            oldest = connection.execute("SELECT min(revision) FROM changes").fetchone()[0]
            batches = changes_after(connection, oldest - 1, 1 << 40)
        place.leave()
        assert isinstance(batches, tuple)
        revisions = [revision for batch in batches for revision, _ in batch.changes]
        assert revisions == list(range(oldest, oldest + len(revisions)))


def test_database_that_another_process_keeps_locked_is_an_error(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url).close()
    monkeypatch.setattr("actors.state.store.sqlite.database.BUSY_SECONDS", 0.05)
    database = open_file(url, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(StoreError, match="another process kept it locked"),
            database.writing(),
        ):
            pass
    database.close()


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    """Let this thread, if it is root's, use files with the rights of nobody."""
    libc = ctypes.CDLL(None)
    before = libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(before)


@contextlib.contextmanager
def _passable(path: Path) -> Iterator[None]:
    """Let other users pass the folders that pytest keeps to its own."""
    folders = {folder: folder.stat().st_mode for folder in path.parents[:3]}
    for folder, mode in folders.items():
        folder.chmod(stat.S_IMODE(mode) | 0o055)
    try:
        yield
    finally:
        for folder, mode in folders.items():
            folder.chmod(stat.S_IMODE(mode))
