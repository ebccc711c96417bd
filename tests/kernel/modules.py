"""Which modules a kernel is given, and in what order: modules.dep read, nothing inserted."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

NEEDED: Final = ("openvswitch", "vport-vxlan", "vport-geneve", "vport-gre", "veth", "tun")
"""What the agent's datapath, its tunnels and its machines' links are made of."""

WELCOME: Final = (
    "ipv6", "bridge", "8021q", "nf_tables", "sch_ingress", "cls_matchall", "act_mirred", "sch_netem",
)  # fmt: skip
"""What some tests set networks up with; nf_tables is the soft datapath's ingress guard."""


class ModulesError(Exception):
    """The folder of modules lacks what is needed; the text names it."""


def find_folder(below: Path) -> Path:
    """Return the newest folder of modules below `below`; raise ModulesError if there is none."""
    found = sorted(below.glob("*/modules.dep"), key=lambda path: _version(path.parent.name))
    if not found:
        raise ModulesError(f"no kernel modules below {below}")
    return found[-1].parent


def load_order(
    folder: Path, needed: Iterable[str] = NEEDED, welcome: Iterable[str] = WELCOME
) -> list[Path]:
    """Return the files to insert, each after all that it depends on (modules.dep(5)).

    What is built into the kernel is left out. Raise ModulesError if one of `needed` is missing.
    """
    built_in = {_name(line) for line in _lines(folder / "modules.builtin")}
    depends = {}
    files = {}
    for line in _lines(folder / "modules.dep"):
        path, _, others = line.partition(":")
        files[_name(path)] = folder / path
        depends[_name(path)] = [_name(other) for other in others.split()]
    wanted = [_name(name) for name in needed]
    missing = [name for name in wanted if name not in files and name not in built_in]
    if missing:
        raise ModulesError(f"{folder} has no {', '.join(missing)}")
    order: dict[str, Path] = {}
    for name in [*wanted, *(_name(name) for name in welcome if _name(name) in files)]:
        _place(name, depends, files, order)
    return list(order.values())


def _place(
    name: str,
    depends: dict[str, list[str]],
    files: dict[str, Path],
    order: dict[str, Path],
    above: Sequence[str] = (),
) -> None:
    if name in order or name not in files:
        return
    if name in above:
        raise ModulesError(f"modules.dep goes in a circle: {', '.join([*above, name])}")
    for other in depends[name]:
        _place(other, depends, files, order, [*above, name])
    order[name] = files[name]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ModulesError(f"{path}: {error.strerror}") from error


def _name(path: str) -> str:
    """Return a module's name as the kernel knows it: kernel/net/vport-gre.ko.xz is vport_gre."""
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def _version(text: str) -> list[tuple[int, str]]:
    return [
        (int(part) if part.isdigit() else -1, part) for part in text.replace("-", ".").split(".")
    ]
