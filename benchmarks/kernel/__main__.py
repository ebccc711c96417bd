"""`python -m benchmarks.kernel [--json FILE] [SECTION ...]`: measure on a kernel with the module.

Natively or in User Mode Linux, as tests.kernel finds it; prints a table, and exits with 0 whatever
the figures are.
"""

import subprocess
import sys

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.asked import asked_for
from benchmarks.kernel import os_ken_environment
from benchmarks.kernel.outcome import Report, Row
from benchmarks.measure import ROUNDS

_WIDTH = 130
"""Columns of the table, where standard output is narrower or no terminal."""
SECTIONS = ("requests", "parts", "peers", "upcalls")


def main() -> None:
    """Measure and print."""
    asked = asked_for("benchmarks.kernel", SECTIONS)
    if "peers" in asked.sections:
        os_ken_environment.provide()
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.kernel", "--run", "--", sys.executable, "-m",
         "benchmarks.kernel.inside", *asked.sections],
        stdout=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.returncode)
    report = msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Report)
    _print(report)
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.encode(report))


def _print(report: Report) -> None:
    console = Console()
    console.width = max(console.width, _WIDTH)
    if report.rows:
        console.print(_contest(report))
        for row in report.rows:
            for fault in sorted(set(row.faults)):
                console.print(f"{row.name}: {fault}")
    if report.parts:
        table = Table(title="Where the time goes, µs", title_justify="left")
        for column in ("", "median", "lowest"):
            table.add_column(column, justify="left" if not column else "right")
        for part in report.parts:
            table.add_row(part.name, f"{part.median:.2f}", f"{part.lowest:.2f}")
        console.print(table)
    if report.rates:
        table = Table(title="Packets of new flows a second", title_justify="left")
        for column in ("", "per second", "arrived", ""):
            table.add_column(column, justify="right" if column else "left")
        for rate in report.rates:
            arrived = f"{rate.arrived} of {rate.sent}"
            table.add_row(rate.name, f"{rate.per_second:,.0f}", arrived, rate.note)
        console.print(table)
    if report.sockets:
        console.print(_sockets(report))


def _sockets(report: Report) -> Table:
    table = Table(title="Upcalls by port or by CPU, one port flooding", title_justify="left")
    for column in ("", "ports", "new flows/s", "lowest", "highest", "arrived", "others served",
                   "lowest", "highest", "of the flood"):  # fmt: skip
        table.add_column(column, justify="right" if column else "left")
    for row in report.sockets:
        rates = (f"{rate:,.0f}" for rate in (row.per_second, row.lowest, row.highest))
        shares = (row.share, row.least_share, row.most_share, row.flood_share)
        table.add_row(
            f"upcalls: {row.mode}", str(row.ports), *rates, f"{row.arrived:.1%}",
            *("" if row.share is None else f"{share:.1%}" for share in shares),
        )  # fmt: skip
    return table


def _contest(report: Report) -> Table:
    table = Table(
        title=f"µs per operation on Linux {report.kernel}: median of {ROUNDS} rounds",
        title_justify="left",
    )
    for column in ("", "C", "lowest", "ours", "lowest", "wanted", "ratio", "to", "wanted", ""):
        table.add_column(column, justify="left" if column in {"", "to"} else "right")
    for row in report.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    c = sorted(row.c)[len(row.c) // 2]
    return (
        row.name,
        f"{c:.2f}",
        f"{min(row.c):.2f}",
        f"{row.median:.2f}",
        f"{min(row.ours):.2f}",
        "" if row.wanted is None else f"< {row.wanted:g}",
        f"{row.ratio:.2f}",
        row.compared_with,
        "" if row.wanted_ratio is None else f"≤ {row.wanted_ratio:g}",
        {None: "", True: "ok", False: "MISSED"}[row.met],
    )


if __name__ == "__main__":
    main()
