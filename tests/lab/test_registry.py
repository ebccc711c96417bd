"""Which labs are found: those whose keeper lives, by name or as the only one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.errors import CommandError, ExitStatus
from cli.lab.registry import HostEntry, RunningLab, find_lab, is_alive, require_lab, write_entry
from cli.lab.state_folder import LabFiles, lab_files


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "s"))


@contextmanager
def kept(name: str) -> Iterator[LabFiles]:
    """Stand for a keeper: an entry, and the lock held."""
    files = lab_files(name, make=True)
    files.folder.mkdir()
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    host = files.host("h1")
    hosts = {"h1": HostEntry(host.control, host.journal, host.config, host.log)}
    write_entry(
        files,
        RunningLab(
            name, "sqlite:////s.db", "soft", files.folder, os.getpid(), "t", hosts, ("vm1",)
        ),
    )
    try:
        yield files
    finally:
        os.close(lock)


def test_no_lab_is_found_where_none_runs() -> None:
    assert find_lab(None) is None
    assert find_lab("one") is None
    with pytest.raises(CommandError) as refusal:
        require_lab(None)
    assert refusal.value.status == ExitStatus.NOT_FOUND


def test_the_only_lab_is_found_without_its_name() -> None:
    with kept("one") as files:
        found = find_lab(None)
        assert found is not None
        assert found == find_lab("one")
        assert found.store_url == "sqlite:////s.db"
        assert found.hosts["h1"].journal == files.folder / "hosts" / "h1" / "journal"
        assert found.machines == ("vm1",)


def test_of_several_labs_one_must_be_named() -> None:
    with kept("one"), kept("two"):
        with pytest.raises(CommandError, match=r"one, two.*--name") as refusal:
            find_lab(None)
        assert refusal.value.status == ExitStatus.USAGE
        found = find_lab("two")
        assert found is not None
        assert found.name == "two"


def test_what_a_killed_keeper_left_is_not_found() -> None:
    with kept("one") as files:
        assert is_alive(files)
    assert files.entry.exists()
    assert not is_alive(files)
    assert find_lab(None) is None
    assert find_lab("one") is None


def test_an_entry_that_is_cut_short_is_not_found() -> None:
    with kept("one") as files:
        whole = files.entry.read_bytes()
        for length in range(len(whole)):
            files.entry.write_bytes(whole[:length])
            assert find_lab("one") is None
