"""The keeper's process: detaches, leaves the machine's network, takes the lab's lock, serves.

Started by cli/lab/launch.py, which says what the options mean.
"""

import argparse
import fcntl
import logging
import os
import resource
import secrets
import sys
import time
from pathlib import Path

from actors.state.store.interface import StoreError
from cli.lab.keeper import Keeper
from cli.lab.lab_store import lab_store
from cli.lab.launch import READY
from cli.lab.links import LinkError
from cli.lab.namespaces import IsolationRefused, leave_machine
from cli.lab.registry import RunningLab
from cli.lab.state_folder import LabFiles
from cli.lab.zookeeper_server import ZookeeperFailed

AGENT = (sys.executable, "-m", "cli.main", "agent")
"""The command that is an agent, less its `--config FILE`."""

_LOCK_PATIENCE = 0.5
"""Seconds to wait for the lock: other commands hold it for a moment to see whether it is free."""


def main(arguments: list[str], agent: tuple[str, ...] = AGENT) -> None:
    """Run a keeper as the options say, in a process of its own; returns in the first process."""
    parser = argparse.ArgumentParser(prog="python -m cli.lab.keeper_main")
    for option in ("--folder", "--name", "--store", "--datapath"):
        parser.add_argument(option, required=True)
    parser.add_argument("--report", required=True, type=int)
    options = parser.parse_args(arguments)
    if os.fork() != 0:
        return  # not a session's leader, so the keeper never gets a terminal
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a namespace takes several
    files = LabFiles(Path(options.folder))
    try:
        store = lab_store(options.store, files)  # it has an end in the machine's own network
    except (StoreError, OSError) as error:
        _report(options.report, f"no store for the lab: {error}")
        raise SystemExit(1) from error
    about = RunningLab(
        name=options.name,
        store_url=store.url,
        datapath=options.datapath,
        state_dir=files.folder,
        keeper_pid=os.getpid(),
        token=secrets.token_hex(16),
        hosts={},
        machines=(),
        store_asked=options.store,
    )
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(lock)
        keeper = Keeper(files, about, agent, leave_machine(), store)
    except (IsolationRefused, LinkError, OSError, ZookeeperFailed) as error:
        store.close()
        _report(options.report, f"cannot build a lab here: {error}")
        raise SystemExit(1) from error
    try:
        _report(options.report, READY)
    except BrokenPipeError:
        return  # nobody waits for this lab any more, and nothing is in it yet
    keeper.run()


def _take(lock: int) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _report(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "w") as pipe:
        pipe.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
