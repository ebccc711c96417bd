"""What the demonstration shows: headings, commands, tables, drawings and its checks."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

_WIDTH_ELSEWHERE = 140
"""Columns where there is no terminal."""


class Screen:
    """Prints, and counts the checks that failed."""

    def __init__(self) -> None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows "?"
        width = None if sys.stdout.isatty() else _WIDTH_ELSEWHERE
        self._console = Console(highlight=False, width=width)
        self.failures: list[str] = []
        self.checks = 0

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(Rule(Text(text, style="bold"), align="left", characters="─"))

    def command(self, words: Sequence[str]) -> None:
        """Show what a person would type."""
        self._console.print(Text(f"$ {' '.join(words)}", style="cyan"), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(Text(text), soft_wrap=True)

    def remark(self, text: str) -> None:
        """Print an explanation."""
        self._console.print(Text(text, style="dim"))

    def check(self, text: str, *, holds: bool, why: str = "") -> None:
        """Print a check's outcome, and remember a failure."""
        self.checks += 1
        if not holds:
            self.failures.append(text)
            text += f": {why}" if why else ""
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self._console.print(Text(f" {mark} {text}", style=style))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*columns, header_style="bold", pad_edge=False, box=None)
        for row in rows:
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        self._console.print(table)

    def busy(self, text: str) -> AbstractContextManager[Status]:
        """Show on a terminal that something takes a moment; its `update` says what."""
        return self._console.status(Text(text))

    def verdict(self, seconds: float) -> None:
        """Print the last line."""
        if self.failures:
            text = (
                f"{len(self.failures)} of {self.checks} checks failed: {'; '.join(self.failures)}"
            )
            self._console.print(Text(f"\n✗ {text}", style="bold red"))
        else:
            text = f"all {self.checks} checks held, in {seconds:.1f} s"
            self._console.print(Text(f"\n✓ {text}", style="bold green"))
