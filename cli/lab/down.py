"""`lab down`: ends a lab, also one whose keeper was killed; all is gone when it returns."""

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cli.errors import CommandError
from cli.lab import control, leftovers
from cli.lab.registry import RunningLab, all_labs, find_lab, is_alive, read_entry, require_lab
from cli.lab.state_folder import LabFiles, lab_files

_PATIENCE = 20.0
"""Seconds that a keeper has to stop its agents and end what runs in its machines."""
_INTERVAL = 0.02
"""Seconds between looks at a keeper that starts."""


@contextmanager
def alone(files: LabFiles) -> Iterator[None]:
    """Hold a lab's lock, waiting for it: one command at a time builds or ends a lab."""
    path = files.folder.with_name(f".{files.folder.name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def tear_down(files: LabFiles) -> None:
    """End a lab, running or left by a killed keeper, and remove its folder.

    The caller holds the lab's lock. Raises CommandError if something cannot be ended.
    """
    entry = _entry(files)
    if is_alive(files) and entry is not None:
        _end_keeper(files, entry.keeper_pid)
    if entry is not None:
        leftovers.end_all_with(entry.token)
    if is_alive(files):
        raise CommandError(f"the keeper of {files.folder.name} does not end: see {files.log}")
    with suppress(FileNotFoundError):
        shutil.rmtree(files.folder)


def _entry(files: LabFiles) -> RunningLab | None:
    """Return what the keeper wrote down; one that has just started is about to."""
    deadline = time.monotonic() + _PATIENCE
    while (entry := read_entry(files)) is None and is_alive(files):
        if time.monotonic() > deadline:
            break
        time.sleep(_INTERVAL)
    return entry


def _end_keeper(files: LabFiles, pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The lock is held, so `pid` still was the keeper when the handle was opened.
        if not is_alive(files):
            return
        with suppress(CommandError, ProcessLookupError):
            control.call(files.control, {"op": "down"}, _PATIENCE)
        if not leftovers.wait_for_end([handle], _PATIENCE):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            leftovers.wait_for_end([handle], _PATIENCE)
    finally:
        os.close(handle)


def bring_down(name: str | None) -> tuple[str, ...]:
    """Do `lab down`; return the names of the labs that ended.

    Without a name: the running lab, and whatever killed keepers left. Raises CommandError
    NOT_FOUND if there was nothing, USAGE if several labs run.
    """
    if name is not None:
        chosen = [lab_files(name)]
    else:
        running = find_lab(None)
        stale = [files for files in all_labs() if not is_alive(files)]
        chosen = [*([running.files] if running else []), *stale]
    chosen = [files for files in chosen if files.folder.exists()]
    if not chosen:
        require_lab(name)
    for files in chosen:
        with alone(files):
            tear_down(files)
    return tuple(files.folder.name for files in chosen)
