"""The demonstration's guard: a process that outlives it, whatever ends it, and clears up behind it.

Owns the demonstration's state folder. Holds one end of a pipe whose other end only the
demonstration has; when that closes, on SIGKILL too, it ends every process of that folder's labs
and removes the folder. A lab's namespaces and links go with its processes.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.errors import CommandError
from cli.lab import leftovers

STATE = "AYATORI_STATE_DIR"
_ROUNDS = 10
"""A process may start another while it is being ended; so often is looked again."""
_LONGEST_BASE = 60
"""Characters: the paths of unix sockets below it are bounded (unix(7))."""
_PATIENCE = 60.0
"""Seconds that clearing up may take."""


class Guard:
    """The demonstration's side of it."""

    def __init__(self) -> None:
        """Start the guard. Raises CommandError if it does not start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.demo.guard"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self.folder = self._process.stdout.readline().strip()
        """The state folder for the demonstration's labs."""
        if not self.folder:
            raise CommandError("the demonstration's guard does not start")

    def dismiss(self) -> bool:
        """Have everything cleared up; return whether nothing is left. May be called twice."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.close()
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        self._process.stdout.close()
        return status == 0 and not Path(self.folder).exists()


def left_over(folder: str) -> tuple[int, ...]:
    """Return the processes of labs that keep their state in this folder."""
    return leftovers.with_variable(STATE, folder)


def main() -> int:
    """Be the guard."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_BASE:
        base = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
    folder = tempfile.mkdtemp(prefix="ayatori-demo-", dir=base)
    try:
        print(folder, flush=True)  # noqa: T201 - that is how it tells
        sys.stdin.read()
    except BrokenPipeError:
        pass  # the demonstration is gone already
    for _ in range(_ROUNDS):
        pids = left_over(folder)
        if not pids:
            break
        leftovers.end(pids)
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if left_over(folder) else 0


if __name__ == "__main__":
    sys.exit(main())
