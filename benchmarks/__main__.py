"""`python -m benchmarks [--json FILE]`: measure all, print a table, exit 0 whatever the figures."""

import argparse
import platform
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import codec, memory, packet_path, start, tables, zookeeper
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if left out")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}")
    measured: dict[str, list[Figure]] = {}
    for name, figures in SECTIONS.items():
        if not arguments.sections or name in arguments.sections:
            measured[name] = figures()
    _print(measured)
    if arguments.json is not None:
        arguments.json.write_bytes(msgspec.json.encode(measured))


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
