from pathlib import Path

import pytest

from actors.state.store.interface import Create, ObjectKey, StoreError
from actors.state.store.open import open_store

OBJECT = ObjectKey("bridge", "b1")


def test_three_slashes_begin_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///here.db").close()
    assert (tmp_path / "here.db").is_file()


def test_four_slashes_begin_an_absolute_path(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/there.db").close()
    assert (tmp_path / "there.db").is_file()


def test_path_is_taken_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#%41.db"
    open_store(f"sqlite:///{path}").close()
    assert list(tmp_path.iterdir()) == [path]


def test_memory_stores_are_shared_by_name_while_someone_has_them_open() -> None:
    first, other = open_store("memory:one"), open_store("memory:two")
    first.transact((Create(OBJECT, b""),))
    second = open_store("memory:one")
    first.close()
    assert second.read(OBJECT) is not None
    assert other.read(OBJECT) is None
    second.close()
    other.close()
    again = open_store("memory:one")
    assert again.read(OBJECT) is None
    again.close()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("etcd://there", "unknown kind of store.*sqlite:///.*memory:"),
        ("/var/lib/store.db", "unknown kind of store"),
        ("", "unknown kind of store"),
        ("sqlite", "unknown kind of store"),
        ("sqlite://store.db", "path is missing"),
        ("sqlite:///", "path is missing"),
        ("memory:", "name is missing"),
        ("sqlite:////proc/a\0b", "cannot create"),
        ("sqlite:////proc/\ud800", "cannot create"),
        ("sqlite:////", "no file"),
    ],
)
def test_url_that_names_no_store_is_refused_in_one_line(url: str, complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)
