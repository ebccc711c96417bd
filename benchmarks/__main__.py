"""`python -m benchmarks [--json FILE]`: measure all, print a table, exit 0 whatever the figures."""

import platform

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import codec, memory, packet_path, start, tables, zookeeper
from benchmarks.asked import asked_for
from benchmarks.measure import ROUNDS, Figure

SECTIONS = {
    "packet path": packet_path.figures,
    "codec": codec.figures,
    "tables": tables.figures,
    "memory": memory.figures,
    "zookeeper": zookeeper.figures,
    "start": start.figures,
}


def main() -> None:
    """Measure and print."""
    asked = asked_for("benchmarks", SECTIONS)
    measured = {name: SECTIONS[name]() for name in asked.sections}
    _print(measured)
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(measured))


def _print(measured: dict[str, list[Figure]]) -> None:
    table = Table(
        title=f"Ayatori, Python {platform.python_version()}: median of {ROUNDS} rounds",
        title_justify="left",
    )
    for column in ("", "median", "lowest", "highest", "wanted", ""):
        table.add_column(column, justify="left" if not column else "right")
    for section, figures in measured.items():
        table.add_row(f"[bold]{section}")
        for figure in figures:
            spread = (
                (f"{figure.lowest:.2f}", f"{figure.highest:.2f}") if figure.highest else ("", "")
            )
            verdict = {None: "", True: "ok", False: "MISSED"}[figure.holds]
            wanted = "" if figure.wanted is None else f"≤ {figure.wanted:g} {figure.unit}"
            table.add_row(
                figure.name, f"{figure.value:.2f} {figure.unit}", *spread, wanted, verdict
            )
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
