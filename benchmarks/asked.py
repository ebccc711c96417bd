"""What a run of benchmarks is asked for on its command line."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Asked(NamedTuple):
    """The sections to measure, in their own order, and where to write the figures as JSON."""

    sections: tuple[str, ...]
    json: Path | None


def asked_for(module: str, sections: Iterable[str]) -> Asked:
    """Read the command line of `python -m module`; end the program if it is wrong."""
    known = tuple(sections)
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(known)}; all if left out")
    arguments = parser.parse_args()
    for name in arguments.sections:
        if name not in known:
            parser.error(f"no section {name!r}")
    wanted = arguments.sections or known
    return Asked(tuple(name for name in known if name in wanted), arguments.json)
