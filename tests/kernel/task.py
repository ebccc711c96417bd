"""What the host tells the kernel that it boots, and the paths and lines that both agree on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

STDOUT, STDERR, CONTROL = "/dev/ttyS0", "/dev/ttyS1", "/dev/ttyS2"
"""The serial lines that carry a command's output, and the lines below, to the host."""

READY: Final = "ready"
STATUS: Final = "status"
"""Followed by a blank and the command's exit status."""
BROKEN: Final = "broken"
"""Followed by a blank and why the command could not be run."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A command to run inside. JSON carries any words, variables and paths, whatever is in them."""

    words: list[str]
    environment: dict[str, str]
    folder: str
    modules: list[str]
    files: tuple[int, int]
    """RLIMIT_NOFILE, soft and hard."""
    hide_tmp: bool
    """Whether /tmp may be a file system of the kernel's own."""

    def write(self, path: Path) -> None:
        """Write to a file; raise OSError."""
        path.write_text(json.dumps(asdict(self)))


def read(path: Path) -> Task:
    """Return the task of a file that `Task.write` wrote; raise OSError."""
    values = json.loads(path.read_text())
    values["files"] = tuple(values["files"])
    return Task(**values)
