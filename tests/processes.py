"""What runs below a process, looked at while threads and processes come and go."""

from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not reaped."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in _read(task).split()]


def soft_datapaths_of(agent: int) -> list[int]:
    """Return the processes of an agent that are soft datapaths."""
    return [pid for pid in children_of(agent) if b"actors.datapath.soft" in _command(pid)]


def _command(pid: int) -> bytes:
    return _read(Path(f"/proc/{pid}/cmdline"))


def _read(path: Path) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return path.read_bytes()
    return b""  # it has ended meanwhile
