from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.modules import ModulesError, find_folder, load_order

Folder = Callable[[str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(dep: str, built_in: str = "kernel/net/unix/unix.ko\n") -> Path:
        (tmp_path / "modules.dep").write_text(dep)
        (tmp_path / "modules.builtin").write_text(built_in)
        return tmp_path

    return make


def names(order: list[Path]) -> list[str]:
    return [path.name for path in order]


def test_module_comes_after_all_it_depends_on(folder: Folder) -> None:
    dep = (
        "net/vport-gre.ko: net/gre.ko net/ovs.ko\nnet/ovs.ko: net/nsh.ko\nnet/nsh.ko:\nnet/gre.ko:"
    )
    order = load_order(folder(dep), ["vport-gre"], [])
    assert names(order) == ["gre.ko", "nsh.ko", "ovs.ko", "vport-gre.ko"]


def test_module_is_inserted_once(folder: Folder) -> None:
    dep = "a.ko: c.ko\nb.ko: c.ko\nc.ko:\n"
    assert names(load_order(folder(dep), ["a", "b", "a"], ["c"])) == ["c.ko", "a.ko", "b.ko"]


def test_compressed_module_and_one_of_another_spelling_are_found(folder: Folder) -> None:
    dep = "net/nf_tables.ko.xz: net/nf-link.ko.xz\nnet/nf-link.ko.xz:\n"
    order = load_order(folder(dep), ["nf-tables"], [])
    assert names(order) == ["nf-link.ko.xz", "nf_tables.ko.xz"]


def test_built_in_module_is_not_inserted(folder: Folder) -> None:
    assert load_order(folder("a.ko:\n"), ["unix"], ["packet"]) == []


def test_missing_module_is_named(folder: Folder) -> None:
    with pytest.raises(ModulesError, match="openvswitch"):
        load_order(folder("a.ko:\n"), ["a", "openvswitch"], [])


def test_circle_is_refused(folder: Folder) -> None:
    with pytest.raises(ModulesError, match="circle"):
        load_order(folder("a.ko: b.ko\nb.ko: a.ko\n"), ["a"], [])


def test_newest_kernel_is_chosen(tmp_path: Path) -> None:
    for version in ("6.1.176", "6.12.9", "6.9"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "modules.dep").write_text("")
    assert find_folder(tmp_path).name == "6.12.9"


def test_folder_without_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModulesError, match="no kernel modules"):
        find_folder(tmp_path)
