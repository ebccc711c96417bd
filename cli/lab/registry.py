"""Which labs run on this machine: what the keepers wrote down, checked against their locks.

A keeper holds its lock file locked while it lives, so an entry whose lock is free is what a
killed keeper left; it is ignored here, and cleaned by the next `lab up` or `lab down`.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

from cli.errors import CommandError, ExitStatus
from cli.lab.state_folder import LabFiles, lab_files, labs_folder


class HostEntry(NamedTuple):
    """Where to find the agent of one host."""

    control: Path
    """Its control socket."""
    journal: Path
    """The folder of its journal."""
    config: Path
    log: Path


class RunningLab(NamedTuple):
    """A lab whose keeper lives."""

    name: str
    store_url: str
    datapath: str
    state_dir: Path
    keeper_pid: int
    token: str
    """In the environment of every process of the lab."""
    hosts: dict[str, HostEntry]
    machines: tuple[str, ...]
    store_asked: str = ""
    """What `lab up --store` said."""

    @property
    def files(self) -> LabFiles:
        """The lab's files."""
        return LabFiles(self.state_dir)


def find_lab(name: str | None) -> RunningLab | None:
    """Return the running lab of that name, or the only one if no name is given; None if none runs.

    Raises CommandError USAGE if several run and no name tells which.
    """
    if name is not None:
        return _read(lab_files(name))
    found = [lab for files in all_labs() if (lab := _read(files)) is not None]
    if len(found) > 1:
        names = ", ".join(lab.name for lab in found)
        raise CommandError(f"several labs run ({names}): choose one with --name", ExitStatus.USAGE)
    return found[0] if found else None


def require_lab(name: str | None) -> RunningLab:
    """Return the running lab as find_lab does. Raises CommandError NOT_FOUND if there is none."""
    lab = find_lab(name)
    if lab is None:
        which = "no lab" if name is None else f"no lab {name!r}"
        dead = [files.folder.name for files in all_labs() if name in {None, files.folder.name}]
        hint = (
            f"the keeper of {', '.join(dead)} was killed: `ayatori lab down` cleans up"
            if dead
            else "`ayatori lab up FILE` starts one"
        )
        raise CommandError(f"{which} is running ({hint})", ExitStatus.NOT_FOUND)
    return lab


def all_labs() -> tuple[LabFiles, ...]:
    """Return the files of every lab that has a folder, running or not."""
    labs = labs_folder()
    folders = sorted(labs.iterdir()) if labs.is_dir() else []
    return tuple(LabFiles(folder) for folder in folders if folder.is_dir())


def is_alive(files: LabFiles) -> bool:
    """Tell whether a keeper holds the lab's lock."""
    try:
        descriptor = os.open(files.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_entry(files: LabFiles) -> RunningLab | None:
    """Return what a keeper, alive or dead, wrote down; None if it wrote nothing that is whole."""
    try:
        raw = json.loads(files.entry.read_bytes())
        hosts = {name: files.host(name) for name in raw["hosts"]}
        return RunningLab(
            name=str(raw["name"]),
            store_url=str(raw["store"]),
            datapath=str(raw["datapath"]),
            state_dir=files.folder,
            keeper_pid=int(raw["pid"]),
            token=str(raw["token"]),
            hosts={
                name: HostEntry(of.control, of.journal, of.config, of.log)
                for name, of in hosts.items()
            },
            machines=tuple(str(name) for name in raw["machines"]),
            store_asked=str(raw["store_asked"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_entry(files: LabFiles, lab: RunningLab) -> None:
    """Write a keeper's entry, whole or not at all. Raises OSError."""
    draft = files.entry.with_suffix(".new")
    draft.write_text(
        json.dumps(
            {
                "name": lab.name,
                "store": lab.store_url,
                "store_asked": lab.store_asked,
                "datapath": lab.datapath,
                "pid": lab.keeper_pid,
                "token": lab.token,
                "hosts": list(lab.hosts),
                "machines": list(lab.machines),
            }
        )
    )
    draft.replace(files.entry)


def _read(files: LabFiles) -> RunningLab | None:
    return read_entry(files) if is_alive(files) else None
