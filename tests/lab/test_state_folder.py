"""Where labs keep their state, and which folders are refused."""

from pathlib import Path

import pytest

from cli.errors import CommandError, ExitStatus
from cli.lab.registry import all_labs
from cli.lab.state_folder import LabFiles, check_socket_paths, lab_files, labs_folder


def test_the_folder_that_is_told_is_used_and_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "state"))
    assert labs_folder(make=True) == tmp_path / "state" / "labs"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert labs_folder().stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "state"))
    labs_folder(make=True).chmod(0o777)
    with pytest.raises(CommandError, match="open to others"):
        labs_folder()


def test_a_folder_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(CommandError, match="not a folder of ours"):
        labs_folder(make=True)


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(CommandError, match=r"no place for the lab's state: .*/file/state"):
        labs_folder(make=True)


def test_asking_for_labs_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path / "state"))
    assert labs_folder() == tmp_path / "state" / "labs"
    assert lab_files("one").folder == tmp_path / "state" / "labs" / "one"
    assert all_labs() == ()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "x" * 33, "sp ace", "a\n"])
def test_a_name_that_is_no_plain_word_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AYATORI_STATE_DIR", str(tmp_path))
    with pytest.raises(CommandError) as refusal:
        lab_files(name)
    assert refusal.value.status == ExitStatus.USAGE


def test_a_path_too_long_for_a_unix_socket_is_refused_before_anything_is_built() -> None:
    deep = LabFiles(Path("/tmp") / ("d" * 90))
    with pytest.raises(CommandError, match="set AYATORI_STATE_DIR to a shorter path"):
        check_socket_paths(deep, ("h1",))
    check_socket_paths(LabFiles(Path("/run/ayatori/labs/default")), ("h1",))
