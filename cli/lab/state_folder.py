"""Where labs keep their state on disk: one folder each, readable by its owner only.

The folder is below $AYATORI_STATE_DIR, else /run/ayatori (root), else
$XDG_RUNTIME_DIR/ayatori, else /tmp/ayatori-<uid>. A folder in a place that everybody can
write to is used only if it is ours and closed to others.
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from cli.errors import CommandError, ExitStatus

DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LONGEST_SOCKET_PATH = 107
"""Bytes in sockaddr_un.sun_path, less the final zero (unix(7))."""


class HostFiles(NamedTuple):
    """The files of one host's agent."""

    folder: Path

    @property
    def config(self) -> Path:
        """The agent's configuration."""
        return self.folder / "agent.yaml"

    @property
    def log(self) -> Path:
        """Standard output and error of the agent."""
        return self.folder / "agent.log"

    @property
    def control(self) -> Path:
        """The agent's own control socket."""
        return self.folder / "control"

    @property
    def notify(self) -> Path:
        """The socket on which the keeper hears that the agent is ready."""
        return self.folder / "notify"

    @property
    def journal(self) -> Path:
        """The folder of the agent's journal."""
        return self.folder / "journal"


class LabFiles(NamedTuple):
    """The files of one lab."""

    folder: Path

    @property
    def entry(self) -> Path:
        """What the registry reads: who keeps the lab, and what it holds."""
        return self.folder / "lab.json"

    @property
    def lock(self) -> Path:
        """Locked by the keeper for as long as it lives."""
        return self.folder / "keeper.lock"

    @property
    def log(self) -> Path:
        """The keeper's log."""
        return self.folder / "keeper.log"

    @property
    def control(self) -> Path:
        """The keeper's control socket."""
        return self.folder / "control"

    @property
    def store(self) -> Path:
        """The store, if the lab has one of its own."""
        return self.folder / "store.db"

    @property
    def zookeeper(self) -> Path:
        """The folder of the lab's own ZooKeeper server, if it has one."""
        return self.folder / "zookeeper"

    @property
    def credential(self) -> Path:
        """The user and password of that server's."""
        return self.folder / "store.secret"

    def host(self, name: str) -> HostFiles:
        """Return the files of a host's agent."""
        return HostFiles(self.folder / "hosts" / name)


def lab_files(name: str, *, make: bool = False) -> LabFiles:
    """Return the files of the lab of that name, existing or not. Raises CommandError.

    With `make` the folder that its own folder goes into exists.
    """
    if _NAME.fullmatch(name) is None:
        raise CommandError(
            f"{name!r} cannot name a lab: letters, digits, '-', '_' and '.', at most 32",
            ExitStatus.USAGE,
        )
    return LabFiles(labs_folder(make=make) / name)


def labs_folder(*, make: bool = False) -> Path:
    """Return the folder that holds all labs' folders; with `make` it exists. Raises CommandError."""
    refusals = []
    for base in _bases():
        labs = base / "labs"
        try:
            if make:
                base.mkdir(mode=0o700, exist_ok=True)
                labs.mkdir(mode=0o700, exist_ok=True)
            elif not labs.is_dir():
                continue
            for folder in (base, labs):
                _refuse_unless_ours(folder, private=folder == labs)
        except OSError as error:
            refusals.append(f"{base}: {error.strerror}")
        else:
            return labs
    if refusals:
        raise CommandError(f"no place for the lab's state: {'; '.join(refusals)}")
    return _bases()[0] / "labs"


def _bases() -> tuple[Path, ...]:
    told = os.environ.get("AYATORI_STATE_DIR")
    if told:
        base = Path(told).absolute()
        return (base,)
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    candidates = [Path("/run/ayatori")] if uid == 0 else []
    if uid != 0 and runtime:
        candidates.append(Path(runtime, "ayatori"))
    candidates.append(Path(f"/tmp/ayatori-{uid}"))  # noqa: S108 - ownership and mode are checked
    return tuple(candidates)


def _refuse_unless_ours(folder: Path, *, private: bool) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise CommandError(f"{folder} is not a folder of ours: remove it or set AYATORI_STATE_DIR")
    loose = status.st_mode & (0o077 if private else 0o022)
    if loose and not status.st_mode & stat.S_ISVTX:
        raise CommandError(f"{folder} is open to others (mode {status.st_mode & 0o777:04o})")


def check_socket_paths(files: LabFiles, hosts: tuple[str, ...]) -> None:
    """Raise CommandError if a unix socket below the folder would have too long a path."""
    for path in (files.control, *(files.host(name).control for name in hosts)):
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            raise CommandError(
                f"{path} is too long for a unix socket ({_LONGEST_SOCKET_PATH} bytes):"
                " set AYATORI_STATE_DIR to a shorter path"
            )
